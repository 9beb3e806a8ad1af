"""The prompt learner: what a masked language model says of each row, and a head that corrects it.

The model is frozen and reads every row once, so that a round costs what a round of the linear head costs.
With z(x) the calibrated scores of the classes' words, the learner minimises
  sum_i cross_entropy(z(x_i) + V v(x_i), y_i) + l2/2 |V|^2,
v the vector of the gap, the embedding of the text, or both. As scores of words are linear in the vector of
the gap, the first is a linear head that begins at the vectors of the words and is drawn towards them. Without
labels V is zero, and strategies read z.

Source: Schick & Schütze 2021, Exploiting cloze questions for few-shot text classification (PET); Gao et al.
2021, Making pre-trained language models better few-shot learners (LM-BFF).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from react_rl.encoders.cache import ArrayCache
from react_rl.errors import ReActError
from react_rl.learners.linear.settings import SoftmaxSettings
from react_rl.learners.linear.softmax import SoftmaxRegression
from react_rl.learners.prompts.answers import AnswerReader
from react_rl.learners.prompts.ledger import OtherSimilarities
from react_rl.learners.prompts.parsing import WordScores
from react_rl.learners.prompts.reading import GapReader
from react_rl.learners.prompts.settings import CONTENT_FREE, PromptSettings
from react_rl.learners.prompts.templates import MASK
from react_rl.learners.prompts.verbaliser import Verbaliser, check_words
from react_rl.learners.protocol import INVALID_LOGIT, LabelledRows, Purchase, Rows, part_of


@dataclass(frozen=True, eq=False)
class _Read:
    """One corpus as it was read.

    Args:
        name: Its name.
        words: Scores of its classes.
        gaps: ``(N, E)`` vectors of the gap.
        content_free: ``(K, E)`` vectors of the gap in texts that say nothing.
        inputs: ``(N, D)`` unit-norm vectors that the trained head sees.
    """

    name: str
    words: WordScores
    gaps: Tensor
    content_free: Tensor
    inputs: Tensor


class PromptHead:
    """E prompt learners.

    Args:
        corpora: With texts and embeddings.
        labelled: The ledger, to be read only.
        settings: Model, template, words and head.
        cache: Where vectors of gaps are kept; None is the cache's own folder.

    Attributes:
        failures: Reasons why episodes cannot go on; there are none.

    Raises:
        ReActError: The model cannot be had or has no masked-LM head, or words do not fit the classes.
    """

    def __init__(
        self,
        corpora: Sequence[Rows],
        labelled: LabelledRows,
        settings: PromptSettings,
        cache: ArrayCache | None = None,
    ) -> None:
        check_words(settings.words, [one.corpus.label_names for one in corpora])
        self.settings = settings
        self.failures: dict[int, str] = {}
        self.device = labelled.device
        with torch.inference_mode(False):
            self._read = read_corpora(corpora, settings, self.device, cache or ArrayCache())
        n_episodes, n_classes, width = labelled.shape
        self._corpus = [0] * n_episodes
        self._columns = torch.zeros(n_episodes, width, dtype=torch.int64, device=self.device)
        self._words = [self._read[0].words] * n_episodes
        self._base = torch.zeros(n_episodes, n_classes, width, device=self.device)
        self._own: OtherSimilarities | None = None
        if settings.train in ("gap", "both"):
            vectors = torch.zeros(n_episodes, width, self._read[0].inputs.shape[1], device=self.device)
            self._own = OtherSimilarities(labelled, vectors)
        limits = SoftmaxSettings(settings.l2, settings.bias, settings.tolerance, settings.max_steps)
        self._head = SoftmaxRegression(labelled if self._own is None else self._own, limits)

    def place(self, episode: int, corpus: int, rows: Tensor, dev_targets: Tensor) -> None:
        """Note the rows of an episode's columns ``(W,)`` and score them by the words. Mutates."""
        data, real = self._read[corpus], rows >= 0
        self._corpus[episode], self._columns[episode] = corpus, rows.clamp_min(0)
        pool, settings = rows[real & (dev_targets < 0)], self.settings
        words = data.words.adjusted(
            settings.calibration, settings.strength, data.content_free, data.gaps[pool]
        )
        self._words[episode] = words
        n_classes = words.intercepts.numel()
        if n_classes > self._base.shape[1]:
            raise self._some_classes(data, self._base.shape[1])
        self._base[episode] = 0.0
        scores = words.raw(data.gaps[rows.clamp_min(0)])
        self._base[episode, :n_classes] = torch.where(real[:, None], scores, 0.0).T
        if self._own is not None:
            self._own.vectors[episode] = torch.where(real[:, None], data.inputs[rows.clamp_min(0)], 0.0)

    def start(self, episodes: Tensor, n_classes: Tensor, seeds: Sequence[int] = ()) -> None:
        """Forget the given episodes ``(R,)`` and begin again at what the words say. Mutates.

        Raises:
            ReActError: An episode has only some classes of its corpus.
        """
        for episode, count in zip(episodes.tolist(), n_classes.tolist(), strict=True):
            data = self._read[self._corpus[episode]]
            if count != data.words.intercepts.numel():
                raise self._some_classes(data, count)
        self._head.start(episodes, n_classes)
        self._head.add_to(episodes, self._base[episodes])
        if self._own is not None:
            self._own.forget(episodes)

    def _some_classes(self, data: _Read, count: int) -> ReActError:
        return ReActError(
            f"Words stand for all {data.words.intercepts.numel()} classes of {data.name!r}, but an episode "
            f"has {count} of them; leave episode.classes out, or use another learner.kind."
        )

    def update(self, bought: Purchase) -> None:
        """Refit the heads of the given episodes, in place."""
        if self.settings.train != "nothing":
            self._head.update(bought if self._own is None else self._own.note(bought))

    @property
    def logits(self) -> Tensor:
        """Scores ``(E, C, W)`` as they stand."""
        return self._head.logits

    def logits_of(self, columns: slice, wanted: Tensor | None = None) -> Tensor:
        """Current scores ``(E, C, .)`` of a range of columns; all are always there."""
        return self._head.logits_of(columns)

    def fitted_logits(self) -> Tensor:
        """Scores of the labelled rows themselves, ``(E, C, n)``."""
        return self._head.fitted_logits()

    @torch.inference_mode()
    def logits_of_rows(self, rows: Sequence[npt.NDArray[np.int64]]) -> Tensor:
        """Scores ``(E, C, T)`` of other rows, T for each episode, e.g. of a test split."""
        weights, intercepts = self.head()
        trained = self.settings.train != "nothing"
        scores = torch.full((*weights.shape[:2], len(rows[0])), INVALID_LOGIT, device=self.device)
        for episode, own in enumerate(rows):
            data, ids = self._read[self._corpus[episode]], torch.from_numpy(own).to(self.device)
            n_classes = data.words.intercepts.numel()
            found = self._words[episode].raw(data.gaps[ids])
            if trained:
                found = found + data.inputs[ids] @ weights[episode, :n_classes].T
                found = found + intercepts[episode, :n_classes]
            scores[episode, :n_classes] = found.T
        return scores

    def features_of(self, columns: slice) -> Tensor:
        """What the trained head sees of a range of columns ``(E, ., D)`` float32."""
        rows = zip(self._corpus, self._columns[:, columns], strict=True)
        return torch.stack([self._read[corpus].inputs[ids] for corpus, ids in rows])

    def head(self) -> tuple[Tensor, Tensor]:
        """Weights ``(E, C, D)`` and intercepts ``(E, C)`` of the trained head, without the words' own."""
        slots = self._head.labelled.columns[:, : self._head.labelled.slots]
        rows = zip(self._corpus, self._columns.gather(1, slots), strict=True)
        return self._head.primal(torch.stack([self._read[corpus].inputs[ids] for corpus, ids in rows]))

    def state(self) -> dict[str, Tensor]:
        """All that ``update`` has changed, by name; the arrays are the learner's own."""
        own = {} if self._own is None else {"similarity": self._own.rows}
        return own | {f"head/{name}": array for name, array in self._head.state().items()}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Put learners that have just been started where ``state`` was taken. Mutates."""
        if self._own is not None:
            self._own.rows = state["similarity"].to(self.device, copy=True)
        self._head.load_state(part_of(state, "head"))


def read_corpora(
    corpora: Sequence[Rows], settings: PromptSettings, device: torch.device, cache: ArrayCache
) -> list[_Read]:
    """Let the model read all texts, or look up what it said of them."""
    if settings.answers != "gap":
        return [_answered(one, settings, device, cache) for one in corpora]
    reader = GapReader(settings, str(device))
    mask = str(reader.tokenizer.mask_token)
    empty = torch.from_numpy(reader.vectors([text.replace(MASK, mask) for text in CONTENT_FREE]))
    found = []
    for one in corpora:
        corpus = one.corpus
        verbaliser = Verbaliser.of(corpus.label_names, settings.words, corpus.name)
        weights, intercepts = verbaliser.head(reader.head, reader.tokenizer, corpus.name)
        words = WordScores(weights.to(device), intercepts.to(device))
        gaps = torch.from_numpy(reader.vectors(corpus.texts, cache, corpus.name, progress=True))
        inputs = one.embeddings
        if settings.train in ("gap", "both"):
            # Gaps of one template are alike; what sets them apart is the difference from their mean.
            centred = gaps - gaps[torch.from_numpy(corpus.ids("train"))].mean(0)
            own = torch.nn.functional.normalize(centred, dim=1).to(device)
            inputs = own if settings.train == "gap" else torch.cat([own, inputs], 1) / 2**0.5
        found.append(_Read(corpus.name, words, gaps.to(device), empty.to(device), inputs))
    return found


def _answered(one: Rows, settings: PromptSettings, device: torch.device, cache: ArrayCache) -> _Read:
    """One corpus as a decoder answers it: what it says of the classes stands for the vector of a gap."""
    names, name = one.corpus.label_names, one.corpus.name
    reader = AnswerReader(settings, names, name, str(device))
    said = torch.from_numpy(reader.vectors(one.corpus.texts, cache, progress=True))
    # A mask is no word of a decoder, and a text needs one.
    empty = torch.from_numpy(reader.vectors([text for text in CONTENT_FREE if text not in (MASK, "")]))
    words = WordScores(torch.eye(len(names), device=device), torch.zeros(len(names), device=device))
    return _Read(name, words, said.to(device), empty.to(device), one.embeddings)
