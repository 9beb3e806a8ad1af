"""Batches tried out on copies of the linear tagger and the span scorer bring what buying them brings."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from react_rl.acquisition import make_strategy
from react_rl.learners.linear.span import SpanSettings
from react_rl.learners.linear.tagger import LinearTagger, TaggerSettings
from react_rl.seeding import Streams
from react_rl.simulation import (
    EncodedCorpus,
    EpisodeOptions,
    LabelingEngine,
    synthetic_asked,
    synthetic_tagged,
)
from react_rl.simulation.with_answers import values_with_answers

SENTENCES = EpisodeOptions(pool_size=60, dev_size=30, initial_size=5, budget=200, batch_size=3)
QUESTIONS = EpisodeOptions(pool_size=60, dev_size=30, initial_size=8, budget=40, batch_size=3)


# Copies of a tagger take all steps of a refit, and so must what is bought for the two to be compared.
ALL_STEPS = TaggerSettings(tolerance=1e-6)


def tagged() -> tuple[list[EncodedCorpus], EpisodeOptions, Any]:
    return [synthetic_tagged(300, 3), synthetic_tagged(300, 2, seed=1)], SENTENCES, ALL_STEPS


def smoothed() -> tuple[list[EncodedCorpus], EpisodeOptions, Any]:
    return tagged()[0], SENTENCES, ALL_STEPS.model_copy(update={"l2": 0.02, "label_smoothing": 0.1})


def asked() -> tuple[list[EncodedCorpus], EpisodeOptions, Any]:
    return [synthetic_asked(300, 0.3)], QUESTIONS, SpanSettings()


def started(made: tuple[list[EncodedCorpus], EpisodeOptions, Any]) -> LabelingEngine:
    corpora, options, learner = made
    engine = LabelingEngine(corpora, options, 3, learner=learner)
    engine.reset([Streams(k) for k in range(3)], corpora=[k % len(corpora) for k in range(3)])
    # The first episode buys one row less: episodes have learned from unequal numbers.
    ids = make_strategy("random").select(engine.view, 3)
    ids[0, 2] = -1
    engine.step(ids)
    return engine


@pytest.mark.arithmetic
@pytest.mark.parametrize(
    ("kind", "size"), [("tagged", 1), ("tagged", 2), ("smoothed", 2), ("asked", 1), ("asked", 2)]
)
def test_a_value_is_what_the_model_is_worth_after_buying(kind: str, size: int) -> None:
    made = {"tagged": tagged, "smoothed": smoothed, "asked": asked}[kind]()
    engine = started(made)
    task, view = engine.task, engine.view
    ids = torch.stack([own[free][: 4 * size] for own, free in zip(view.ids, view.available, strict=True)])
    ids = ids.view(3, 4, size).clone()
    ids[1, 3, 1:] = -1  # fewer are bought
    before = {name: array.clone() for name, array in engine.state().items()}

    def judge(scores: Any, tried: Tensor) -> Tensor:
        assert tried.shape[2] == size
        return task.soft_score(scores, engine.pools.truth)

    values = values_with_answers(engine, ids, judge)
    metric = values_with_answers(engine, ids)
    assert all(torch.equal(before[name], array) for name, array in engine.state().items())
    for k in range(4):
        bought = started(made)
        bought.step(ids[:, k])
        scores = bought.learner.logits_of(slice(60, None))
        np.testing.assert_allclose(values[:, k], task.soft_score(scores, bought.pools.truth), atol=1e-4)
        np.testing.assert_allclose(metric[:, k], bought.current[bought.metrics[0]], atol=1e-4)
    assert len(set(values[0].tolist())) == 4


def test_a_sentence_without_an_answer_teaches_copies_nothing() -> None:
    corpora, options, learner = tagged()
    engine = LabelingEngine(corpora, options.model_copy(update={"abstention": 0.5}), 2, learner=learner)
    engine.reset([Streams(k) for k in range(2)], corpora=[0, 1])
    view = engine.view
    ids = torch.stack([own[free][:20] for own, free in zip(view.ids, view.available, strict=True)])
    values = values_with_answers(engine, ids[:, :, None])
    nothing = values_with_answers(engine, torch.full((2, 1, 1), -1))
    columns = engine.pools.columns_of(ids)
    silent = engine.oracle.answer(torch.arange(2), columns)[..., 0].numpy() < 0
    assert 0 < silent.sum() < silent.size
    assert (values[silent] == np.broadcast_to(nothing, values.shape)[silent]).all()
    assert (values[~silent] != np.broadcast_to(nothing, values.shape)[~silent]).any()


def test_copies_of_a_tagger_take_equally_many_steps() -> None:
    corpora, options, _ = tagged()
    engine = started((corpora, options, TaggerSettings(tolerance=10.0, max_steps=5)))
    learner = engine.learner
    assert isinstance(learner, LinearTagger)
    before = learner.steps
    nobody, free = np.full(1, -1), engine.view.ids[0][engine.view.available[0]][:1].numpy()
    columns = np.stack([nobody, np.flatnonzero(np.isin(engine.view.ids[0].numpy(), free))])
    targets = torch.zeros(2, 1, engine.pools.truth.shape[2], dtype=torch.int64)
    learner.branched(0, columns, targets, learner.weights[:1].expand(2, -1, -1))
    assert learner.steps - before == 5
