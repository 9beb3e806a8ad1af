"""The look-ahead expert says what buying would bring, and nothing is bought."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from react_rl.acquisition import make_strategy
from react_rl.agents.imitation.expert import LookAhead
from react_rl.seeding import Streams
from react_rl.simulation import EncodedCorpus, EpisodeOptions, LabelingEngine, synthetic_encoded

OPTIONS = EpisodeOptions(pool_size=50, dev_size=30, initial_size=6, budget=30, batch_size=2)


def corpora() -> list[EncodedCorpus]:
    return [synthetic_encoded(300, size, seed=size) for size in (2, 5)]


def started(data: list[EncodedCorpus]) -> LabelingEngine:
    engine = LabelingEngine(data, OPTIONS, 3)
    engine.reset([Streams(k) for k in range(3)], corpora=[0, 1, 1])
    engine.step(make_strategy("random").select(engine.view, 2))
    return engine


def candidates(engine: LabelingEngine, count: int) -> torch.Tensor:
    """The first free rows of each pool ``(E, count)``."""
    view = engine.view
    return torch.stack([ids[free][:count] for ids, free in zip(view.ids, view.available, strict=True)])


def soft_accuracy(engine: LabelingEngine, e: int) -> float:
    """Mean probability of the right class of the dev rows at temperature 1/10."""
    draw, targets = engine.draw_of(e), engine.corpus_of(e).corpus.targets
    logits = engine.learner.logits_of(slice(50, None))[e].double().numpy()
    sharp = np.exp(10 * (logits - logits.max(0)))
    right = [
        sharp[np.flatnonzero(draw.classes == targets[row])[0], place] / sharp[:, place].sum()
        for place, row in enumerate(draw.dev)
    ]
    return float(np.mean(right))


@pytest.mark.parametrize("size", [1, 2])
def test_a_value_is_what_the_model_is_worth_after_buying(size: int) -> None:
    engine = started(corpora())
    ids = candidates(engine, 4 * size).view(3, 4, size)
    spent = engine.spent.copy()
    values = LookAhead(engine).values(ids)
    assert engine.spent.tolist() == spent.tolist()
    for k in range(4):
        bought = started(corpora())
        bought.step(ids[:, k])
        for e in range(3):
            assert values[e, k] == pytest.approx(soft_accuracy(bought, e), abs=2e-5)


def test_test_rows_play_no_part() -> None:
    engine = started(corpora())
    ids = candidates(engine, 5)[:, :, None]
    changed = []
    for one in corpora():
        targets = one.corpus.targets.copy()
        rows = one.corpus.ids("test")
        targets[rows] = (targets[rows] + 1) % one.corpus.n_classes
        changed.append(one.with_corpus(replace(one.corpus, targets=targets)))
    assert (LookAhead(started(changed)).values(ids) == LookAhead(engine).values(ids)).all()
