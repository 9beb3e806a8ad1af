"""Six episodes in mid-course, for tests that compare strategies with slow and obvious implementations."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import numpy.typing as npt
import pytest

from react_rl.acquisition import make_strategy
from react_rl.learners.linear.settings import SoftmaxSettings
from react_rl.seeding import Streams
from react_rl.simulation import EncodedCorpus, EpisodeOptions, LabelingEngine, synthetic_encoded


def built_again(data: EncodedCorpus, cost: npt.NDArray[np.float64]) -> EncodedCorpus:
    """The same rows at other prices."""
    assert data.surprisal is not None
    corpus = replace(data.corpus, cost=cost)
    return EncodedCorpus.build(corpus, data.embeddings.numpy(), surprisal=data.surprisal.numpy())


@cache
def _corpora() -> tuple[EncodedCorpus, ...]:
    made = []
    for size in (2, 5, 18):
        data = synthetic_encoded(300, size, seed=size)
        cost = np.random.default_rng(size).integers(1, 6, data.corpus.n_rows).astype(np.float64)
        made.append(built_again(data, cost))
    return tuple(made)


@pytest.fixture
def mixed() -> LabelingEngine:
    """Two, five and eighteen classes, prices of 1 to 5, some rows without an answer, two rounds played."""
    options = EpisodeOptions(
        pool_size=60, dev_size=30, initial_size=6, budget=60, batch_size=5, abstention=0.2
    )
    engine = LabelingEngine(_corpora(), options, 6, learner=SoftmaxSettings(tolerance=1e-5, max_steps=400))
    engine.reset([Streams(k) for k in range(6)], corpora=[k % 3 for k in range(6)])
    for _ in range(2):
        engine.step(make_strategy("random").select(engine.view, 5))
    return engine
