"""What the label of every row of a pool brings: a learner that has bought everything, or all rows but one.

Answers are those that the oracle would give, noise and silence included. Rewards scale gains by it, and
comparisons draw it as the line that learning curves climb to.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from react_rl.learners.protocol import INVALID_LOGIT
from react_rl.learners.registry import LearnerSettings, WholeFit, entry_of
from react_rl.seeding import Streams
from react_rl.simulation.draw import Draw, draw_episode
from react_rl.simulation.encoded import EncodedCorpus
from react_rl.simulation.engine import LabelingEngine
from react_rl.simulation.options import EpisodeOptions
from react_rl.simulation.oracle import Oracle


def buy_everything(
    corpus: EncodedCorpus,
    options: EpisodeOptions,
    streams: Sequence[Streams],
    metrics: Sequence[str],
    learner: LearnerSettings | None = None,
) -> LabelingEngine:
    """Episodes that have bought their whole pools in one round, with any learner.

    Args:
        corpus: The corpus.
        options: Sizes and annotator of an episode; what it may spend does not matter.
        streams: Streams of each episode: they draw the pool that a strategy would be played on.
        metrics: Names of the dev metrics.
        learner: Settings of the learner; None is the softmax regression as it comes.

    Raises:
        ReActError: The episodes do not fit the corpus, or the learner cannot be had.
    """
    train = corpus.corpus.ids("train")
    everything = options.pool_size - options.initial_size
    price = float(np.sort(corpus.corpus.cost[train])[::-1][:everything].sum())
    changes = {"budget": price, "batch_size": everything, "phases": "ignored"}
    bought = options.model_copy(update=changes)
    settings = learner if learner is None else entry_of(learner).for_all(learner)
    engine = LabelingEngine([corpus], bought, len(streams), metrics, settings)
    engine.reset(streams, None, [0] * len(streams))
    ids = torch.full((len(streams), everything), -1, dtype=torch.int64)
    for e in range(len(streams)):
        rest = np.setdiff1d(engine.draw_of(e).pool, engine.draw_of(e).initial)
        ids[e, : rest.size] = torch.from_numpy(rest)
    engine.step(ids.to(corpus.device))
    return engine


def values_of_all_but_one(
    corpus: EncodedCorpus,
    options: EpisodeOptions,
    streams: Sequence[Streams],
    metric: str,
    learner: LearnerSettings | None = None,
) -> list[float]:
    """Dev metric, for each draw, of a learner that begins with the labels of all rows of its pool but one.

    Args:
        corpus: The corpus.
        options: Sizes of an episode, made smaller where the corpus is; nobody errs.
        streams: Streams of each draw.
        metric: Name of the dev metric.
        learner: Settings of the learner; None is the softmax regression as it comes.
    """
    rows = corpus.corpus
    pool_size = min(options.pool_size, rows.ids("train").size)
    whole = EpisodeOptions(
        pool_size=pool_size,
        dev_size=min(options.dev_size, rows.ids("dev").size),
        initial_size=pool_size - 1,
        batch_size=1,
        budget=float(rows.cost[rows.ids("train")].min()),
        phases="ignored",
    )
    engine = LabelingEngine([corpus], whole, 1, (metric,), learner)
    values = []
    for one in streams:
        engine.reset([one])
        values.append(float(engine.current[metric][0]))
    return values


@torch.inference_mode()
def scores_with_everything(
    corpus: EncodedCorpus,
    options: EpisodeOptions,
    streams: Sequence[Streams],
    tested: npt.NDArray[np.int64],
    fit: WholeFit,
) -> Iterator[tuple[Tensor, Draw]]:
    """Scores of other rows by a learner that fits thousands of rows at once, without any purchase.

    Args:
        corpus: The corpus.
        options: Sizes and annotator of an episode.
        streams: Streams of each episode whose pool is learnt.
        tested: Row ids ``(T,)`` to score.
        fit: See ``learners.registry``.

    Yields:
        ``(C, T)`` scores, those of classes outside the episode near -1e30, and the episode's draw.
    """
    oracle = Oracle(1, options.pool_size, options, corpus.device)
    asked = corpus.embeddings[torch.from_numpy(tested).to(corpus.device)]
    for one in streams:
        draw = draw_episode([corpus], options, one, 0)
        oracle.draw([0], [draw], [corpus], [one])
        everything = torch.arange(draw.pool.size, device=corpus.device)[None]
        answers = oracle.answer(torch.zeros(1, dtype=torch.int64), everything)[0]  # (P,)
        heard = answers >= 0
        rows = corpus.embeddings[torch.from_numpy(draw.pool).to(corpus.device)[heard]]
        scores = fit(rows, answers[heard], draw.classes.size, asked)
        missing = corpus.corpus.n_classes - draw.classes.size
        yield torch.nn.functional.pad(scores, (0, 0, 0, missing), value=INVALID_LOGIT), draw
