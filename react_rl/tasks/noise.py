"""How often an annotator errs on each row of a corpus, and which class a wrong answer names."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import Tensor

from react_rl.data.corpus import Corpus
from react_rl.errors import ReActError, unknown
from react_rl.tasks.protocol import AnnotatorSettings

Floats = npt.NDArray[np.float64]
Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Noise:
    """The errors of an annotator on one corpus of N rows and K classes.

    Args:
        rate: ``(N,)`` probability of a wrong answer; None where ``confusion`` holds the rates.
        confusion: ``(K, K)`` weights of the answers to each class, 0 on the diagonal: the odds of the wrong
            answers, or their rates where ``rate`` is None. None makes every wrong class equally likely.
    """

    rate: Floats | None
    confusion: Floats | None

    def answer(self, rows: Ids, truth: Ids, classes: Ids, rng: np.random.Generator) -> Ids:
        """Draw the answers to rows, in an episode of some of the classes.

        Answers never name a class that does not take part in the episode.

        Args:
            rows: ``(P,)`` row ids.
            truth: ``(P,)`` their true classes, as positions in ``classes``.
            classes: ``(C,)`` classes that take part, ascending.
            rng: What the draw is taken from.

        Returns:
            ``(P,)`` int64 positions in ``classes``.
        """
        chance = rng.random(rows.size)
        if self.confusion is None:
            assert self.rate is not None
            shift = rng.integers(1, max(classes.size, 2), size=rows.size)
            other = (truth + shift) % classes.size
            return np.where(chance < self.rate[rows], other, truth)
        reached = self.confusion[np.ix_(classes, classes)].cumsum(1)[truth]  # (P, C)
        total = reached[:, -1]
        # A class that is taken for no other one here is always answered right.
        rate = total if self.rate is None else self.rate[rows] * (total > 0)
        other = (reached <= (rng.random(rows.size) * total)[:, None]).sum(1)
        return np.where(chance < rate, other, truth)


def check_noise(corpus: Corpus, settings: AnnotatorSettings) -> None:
    """Check that such an annotator can be had on ``corpus``.

    Raises:
        ReActError: Crowd noise on a corpus without confidence, or a confusion of classes it does not have.
    """
    if settings.label_noise == "crowd" and (corpus.confidence is None or np.isnan(corpus.confidence).all()):
        raise ReActError(
            f"label_noise is 'crowd', but corpus {corpus.name!r} carries no confidence; "
            "give a rate, or name the column when the corpus is read (confidence=...)."
        )
    if isinstance(settings.confusion, dict):
        for name, row in settings.confusion.items():
            for label in (name, *row):
                if label not in corpus.label_names:
                    raise unknown(f"class of corpus {corpus.name!r} in confusion", label, corpus.label_names)


def noise_of(corpus: Corpus, embeddings: Tensor, settings: AnnotatorSettings) -> Noise | None:
    """The annotator's errors on a corpus; None where there are none.

    - A number as ``label_noise`` is the rate on every row.
    - ``crowd`` takes one minus the row's confidence: the corpus holds what most annotators said, and the
      answer is that of one of them. Rows of unknown confidence err at the mean rate of the others.
    - ``similar`` confusions: class a is taken for b with odds ``1 / |m_a - m_b|^2``, m the mean embeddings of
      the classes' train rows. Classes without train rows are never named.
    - Rates by class names are taken as they are: class-conditional noise.

    Source: class-conditional noise after Patrini et al. 2017, Making deep neural networks robust to label
    noise.

    Raises:
        ReActError: As in ``check_noise``.
    """
    check_noise(corpus, settings)
    if isinstance(settings.confusion, dict):
        return Noise(None, _named(corpus, settings.confusion))
    if settings.label_noise == 0:
        return None
    similar = _similar(corpus, embeddings) if settings.confusion == "similar" else None
    return Noise(error_rates(corpus, settings), similar)


def error_rates(corpus: Corpus, settings: AnnotatorSettings) -> Floats:
    """How often an annotator errs on each row ``(N,)``."""
    if settings.label_noise != "crowd":
        return np.full(corpus.n_rows, float(settings.label_noise))
    assert corpus.confidence is not None
    known = np.isfinite(corpus.confidence)
    disagreed: Floats = 1.0 - np.where(known, corpus.confidence, corpus.confidence[known].mean())
    return disagreed


def _named(corpus: Corpus, confusion: dict[str, dict[str, float]]) -> Floats:
    """Rates by class names as a matrix ``(K, K)``."""
    place = {name: position for position, name in enumerate(corpus.label_names)}
    rates = np.zeros((corpus.n_classes, corpus.n_classes))
    for name, row in confusion.items():
        for other, rate in row.items():
            rates[place[name], place[other]] = rate
    return rates


def _similar(corpus: Corpus, embeddings: Tensor) -> Floats:
    """Inverse squared distances between the class means of the train rows ``(K, K)``."""
    train = corpus.ids("train")
    vectors = embeddings.cpu().numpy()[train].astype(np.float64)
    member = corpus.targets[train][None, :] == np.arange(corpus.n_classes)[:, None]  # (K, n)
    count = member.sum(1)
    means = member @ vectors / np.maximum(count, 1)[:, None]
    norms = (means**2).sum(1)
    gap = norms[:, None] + norms[None] - 2.0 * means @ means.T
    weights: Floats = (count > 0)[None, :] / np.maximum(gap, 1e-12)
    np.fill_diagonal(weights, 0.0)
    return weights
