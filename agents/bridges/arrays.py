"""Selection from plain arrays: embeddings, and labels where there are any. Nothing is simulated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict, Unpack

import numpy as np
import numpy.typing as npt
import torch

from react_rl.acquisition.contract import QueryStrategy
from react_rl.acquisition.registry import make_strategy, reads_model
from react_rl.data.corpus import DEV, TRAIN, Corpus
from react_rl.encoders.cache import ArrayCache
from react_rl.errors import ReActError
from react_rl.learners.registry import LearnerSettings
from react_rl.seeding import Streams
from react_rl.simulation.draw import Draw
from react_rl.simulation.encoded import EncodedCorpus
from react_rl.simulation.engine import LabelingEngine
from react_rl.simulation.options import EpisodeOptions
from react_rl.simulation.view import PoolView

_DEV_ROWS = 2
"""The smallest dev set there is; copies of the first row, which no strategy reads here."""


def pool_of_arrays(
    embeddings: npt.ArrayLike,
    labels: npt.ArrayLike,
    n: int = 1,
    *,
    n_classes: int | None = None,
    candidates: npt.ArrayLike | None = None,
    budget: float | None = None,
    texts: Sequence[str] | None = None,
    learner: LearnerSettings | None = None,
    seed: int = 0,
    device: str | torch.device = "cpu",
    cache: ArrayCache | None = None,
    progress: bool = False,
) -> PoolView:
    """One pool as strategies see it, with a learner that was fitted to the labels.

    Without any label the learner knows nothing, and only strategies that read embeddings alone have reasons.

    Args:
        embeddings: ``(N, D)`` rows of any norm.
        labels: ``(N,)`` class indices, -1 where there is no label.
        n: Rows of a batch.
        n_classes: Number of classes; None takes the largest label plus 1, and at least 2.
        candidates: Rows that may be chosen; None for all without a label.
        budget: Labels that are still to be bought, for strategies that look ahead; None for all.
        texts: ``(N,)`` texts, for features that count words; None where nothing does.
        learner: Settings of the learner; None is the softmax regression as it comes.
        seed: Of everything random.
        device: Where the arrays go.
        cache: Where the densities of a large pool are looked up and stored; None for neither.
        progress: Show a bar on a terminal when computing them lasts.

    Raises:
        ReActError: An array has another shape or kind, or all rows have a label.
    """
    vectors, known = np.asarray(embeddings, np.float32), np.asarray(labels)
    if vectors.ndim != 2 or known.shape != vectors.shape[:1]:
        raise ReActError(
            f"Embeddings of shape {vectors.shape} and labels of shape {known.shape} do not go together; give "
            "(N, D) and (N,)."
        )
    whole = np.issubdtype(known.dtype, np.integer)
    if not whole or (known.size and known.min() < -1):
        least = f", from {known.min()} on" if whole else ""
        raise ReActError(f"Labels are {known.dtype}{least}; give integers: classes from 0, -1 for none.")
    bought = np.flatnonzero(known >= 0)
    rows, left = len(known), int((known < 0).sum())
    if left == 0:
        raise ReActError(f"{bought.size} of {rows} rows have a label; strategies need one without.")
    classes = max(2, int(known.max()) + 1) if n_classes is None else n_classes
    if known.max() >= classes:
        raise ReActError(f"Label {known.max()} does not fit {classes} classes; count them from 0.")
    # No strategy sees the target of a row that was not bought, so any will do.
    targets = np.concatenate([np.maximum(known, 0), np.arange(_DEV_ROWS)]).astype(np.int64)
    corpus = Corpus(
        "arrays",
        "classification",
        (*(texts or [f"row {i}" for i in range(rows)]), *(f"copy {i}" for i in range(_DEV_ROWS))),
        targets,
        tuple(f"class {c}" for c in range(classes)),
        np.repeat([TRAIN, DEV], [rows, _DEV_ROWS]).astype(np.uint8),
        np.ones(rows + _DEV_ROWS),
    )
    options = EpisodeOptions(
        pool_size=rows,
        dev_size=_DEV_ROWS,
        initial_size=bought.size,
        budget=float(left if budget is None else min(max(budget, 1.0), left)),
        batch_size=min(n, left),
    )
    everything = np.concatenate([vectors, vectors[:1].repeat(_DEV_ROWS, 0)])
    data = EncodedCorpus.build(corpus, everything, cache, device, progress)
    # Nothing is bought here: room for a whole pool of N rows would be N x N numbers.
    engine = LabelingEngine([data], options, learner=learner, capacity=bought.size)
    own = np.arange(rows, dtype=np.int64)
    dev = np.arange(rows, rows + _DEV_ROWS, dtype=np.int64)
    draw = Draw(0, np.arange(classes, dtype=np.int64), own, dev, bought.astype(np.int64))
    engine.reset([Streams(seed)], draws=[draw])
    if candidates is None:
        return engine.view
    allowed = torch.zeros(1, rows, dtype=torch.bool)
    allowed[0, torch.from_numpy(np.asarray(candidates, np.int64))] = True
    return engine.view.within(allowed.to(engine.device))


class PoolSettings(TypedDict, total=False):
    """What ``pool_of_arrays`` can be told beside the arrays."""

    n_classes: int | None
    candidates: npt.ArrayLike | None
    budget: float | None
    texts: Sequence[str] | None
    learner: LearnerSettings | None
    seed: int
    device: str | torch.device
    cache: ArrayCache | None
    progress: bool


def select_rows(
    strategy: str | QueryStrategy,
    embeddings: npt.ArrayLike,
    labels: npt.ArrayLike,
    n: int = 1,
    **pool: Unpack[PoolSettings],
) -> npt.NDArray[np.int64]:
    """Rows to label next, most wanted first: up to ``n`` of those without a label.

    Args:
        strategy: Name of a strategy, such as ``learned``, or the strategy itself.
        embeddings: ``(N, D)`` rows of any norm.
        labels: ``(N,)`` class indices, -1 where there is no label.
        n: Rows wanted.
        **pool: See ``pool_of_arrays``; the same seed gives the same rows.

    Raises:
        ReActError: The arrays do not fit, there is no such strategy, or it reads a model and there is no
            label.
    """
    chooser = make_strategy(strategy) if isinstance(strategy, str) else strategy
    return rows_of(chooser, pool_of_arrays(embeddings, labels, n, **pool), n)


@torch.inference_mode()
def rows_of(strategy: QueryStrategy, view: PoolView, n: int) -> npt.NDArray[np.int64]:
    """Rows of a pool of arrays to label next, most wanted first: up to ``n`` of those that can be chosen.

    Args:
        strategy: The strategy.
        view: What ``pool_of_arrays`` gave.
        n: Rows wanted.

    Raises:
        ReActError: The strategy reads a model, and there is no label that one could be fitted to.
    """
    if reads_model(strategy.name) and not bool(view.labelled.any()):
        raise ReActError(
            f"0 of {view.width} rows have a label, and {strategy.name!r} chooses by a model that is fitted "
            "to labels; one that reads embeddings alone, such as maxherding, chooses the first rows."
        )
    ids: npt.NDArray[np.int64] = strategy.select(view, n)[0].cpu().numpy()
    return ids[ids >= 0]
