"""Heads that go from phase to phase: penalty, distillation and memory by hand, what is forgotten."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from react_rl.acquisition import make_strategy
from react_rl.data import drifting, synthetic_corpus
from react_rl.data.synthetic import synthetic_embeddings
from react_rl.errors import ReActError
from react_rl.learners import SoftmaxSettings
from react_rl.learners.recipes import ContinualSettings, Recipe, make_recipe
from react_rl.learners.recipes.head import RecipeHead
from react_rl.learners.recipes.phases import (
    PhaseTraining,
    distillation,
    fisher_of,
    fit_phase,
    reservoir_keys,
    used_rows,
)
from react_rl.seeding import Streams
from react_rl.simulation import EncodedCorpus, EpisodeOptions, LabelingEngine
from react_rl.simulation.checkpoint import Checkpoint, Notes
from react_rl.simulation.held_out import HeldOut
from react_rl.simulation.play import play

OPTIONS = EpisodeOptions(pool_size=120, dev_size=60, initial_size=8, budget=48, batch_size=4)
NAMES = ("sequential", "replay", "ewc", "lwf")


def test_fisher_information_by_hand() -> None:
    # Two rows of two features, two classes with p = (1/2, 1/2) and (3/4, 1/4): p (1 - p) = 1/4 and 3/16.
    inputs = torch.tensor([[[1.0, 2.0], [3.0, 1.0]]])
    scores = torch.tensor([[[0.0, math.log(3.0)], [0.0, 0.0]]])
    found = fisher_of(inputs, scores, torch.ones(1, 2))
    own = [1 / 4 * 1 + 3 / 16 * 9, 1 / 4 * 4 + 3 / 16 * 1]
    torch.testing.assert_close(found, torch.tensor([[own, own]]))
    torch.testing.assert_close(
        fisher_of(inputs, scores, torch.tensor([[1.0, 0.0]])), torch.tensor([[[0.25, 1.0], [0.25, 1.0]]])
    )


def one_row(kind: str, **settings: Any) -> tuple[PhaseTraining, ContinualSettings]:
    """A row (1, 2) of class 1, weights that begin at W* = ((.5, 0), (0, .25)), information 1 to 4."""
    material = PhaseTraining(
        inputs=torch.tensor([[[1.0, 2.0]]]),
        target=torch.tensor([[[0.0, 1.0]]]),
        weight=torch.ones(1, 1),
        shift=torch.zeros(1, 1, 2),
        begun=torch.tensor([[[0.5, 0.0], [0.0, 0.25]]]),
        fisher=torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]),
        seen=torch.ones(1, 1, 2, dtype=torch.bool),
    )
    return material, ContinualSettings.model_validate({"kind": kind} | settings)


def test_the_penalty_of_elastic_weight_consolidation_and_its_gradient_by_hand() -> None:
    material, settings = one_row("ewc", strength=10.0)
    found = fit_phase(material, settings, 0.1)
    weights = found.double().requires_grad_()
    row = torch.tensor([1.0, 2.0], dtype=torch.float64)
    scores = weights[0] @ row
    moved = weights[0] - material.begun[0].double()
    penalty = 0.05 * (moved**2).sum() + 5.0 * (
        1 * moved[0, 0] ** 2 + 2 * moved[0, 1] ** 2 + 3 * moved[1, 0] ** 2 + 4 * moved[1, 1] ** 2
    )
    (torch.logsumexp(scores, 0) - scores[1] + penalty).backward()  # type: ignore[no-untyped-call]
    assert weights.grad is not None
    assert weights.grad.abs().max() < 1e-2, "the gradient of the whole, written out, is 0 where the fit ended"
    # Where information is four times as large, weights move a fourth as far for the same pull.
    pull, moved = 1.0 - float(torch.softmax(scores.detach(), 0)[1]), moved.detach()
    assert float(moved[1, 1]) == pytest.approx(pull * 2.0 / (0.1 + 10.0 * 4.0), rel=0.02)
    assert float(moved[0, 0]) == pytest.approx(-pull * 1.0 / (0.1 + 10.0 * 1.0), rel=0.02)


def test_distillation_by_hand() -> None:
    scores, teacher = torch.tensor([[2.0, 0.0, 9.0]]), torch.tensor([[0.0, 2 * math.log(3.0), 9.0]])
    classes = torch.tensor([[True, True, False]])
    loss, slope = distillation(scores, teacher, classes, 2.0)
    # At temperature 2: q = (1/4, 3/4) of the first two classes, p = softmax(1, 0).
    log = torch.log_softmax(torch.tensor([1.0, 0.0]), 0)
    assert float(loss) == pytest.approx(-(0.25 * float(log[0]) + 0.75 * float(log[1])))
    gradient = [(math.exp(float(log[0])) - 0.25) / 2, (math.exp(float(log[1])) - 0.75) / 2, 0.0]
    torch.testing.assert_close(slope, torch.tensor([gradient]))


def test_without_earlier_classes_nothing_is_distilled() -> None:
    loss, slope = distillation(torch.randn(2, 3), torch.randn(2, 3), torch.zeros(2, 3, dtype=torch.bool), 2.0)
    assert loss.tolist() == [0.0, 0.0]
    torch.testing.assert_close(slope, torch.zeros(2, 3))


def test_a_memory_is_an_even_sample_that_keeps_what_it_has() -> None:
    keys = reservoir_keys(torch.arange(100_000))
    assert 0 <= float(keys.min()) < 1e-3
    assert 1 - 1e-3 < float(keys.max()) < 1
    assert np.histogram(keys.numpy(), 10, (0, 1))[0] == pytest.approx(10_000, rel=0.05)
    rows, live = torch.randperm(60, generator=torch.Generator().manual_seed(0))[None], torch.ones(1, 60)
    replay = ContinualSettings(kind="replay", share=0.25)
    some, more = (used_rows(live, rows, torch.tensor([n]), replay)[0] for n in (20, 40))
    assert some[:20].sum() == 5
    assert more[:40].sum() == 10
    assert some[20:].all()
    assert more[40:].all()
    kept = {int(row) for row, one in zip(rows[0, :20], some[:20], strict=True) if one}
    still = {int(row) for row, one in zip(rows[0, :20], more[:20], strict=True) if one}
    assert still <= kept, "who has left the memory does not come back"


@cache
def stream() -> EncodedCorpus:
    corpus = drifting(synthetic_corpus(n_rows=800, n_classes=6, seed=5), 3)
    return EncodedCorpus.build(corpus, synthetic_embeddings(corpus, seed=5))


def engine_with(recipe: str | Recipe, n: int = 4) -> LabelingEngine:
    settings = SoftmaxSettings(recipe=make_recipe(recipe))
    engine = LabelingEngine([stream()], OPTIONS, n, ["accuracy"], settings)
    engine.reset([Streams(seed) for seed in range(n)])
    return engine


@cache
def after(name: str) -> Tensor:
    """Accuracy (3,) on the test rows of each phase at the end, mean over episodes."""
    engine, corpus = engine_with(name), stream().corpus
    for _ in play(engine, make_strategy("random")):
        pass
    phases = corpus.phases
    assert phases is not None
    rows = [np.flatnonzero((phases.of == phase) & (corpus.split == 2)) for phase in range(3)]
    return torch.tensor(
        [float(HeldOut(own).measure(engine, ["accuracy"])["accuracy"].mean()) for own in rows]
    )


def test_the_rows_of_the_phase_alone_make_a_head_forget_and_each_remedy_helps() -> None:
    joint, alone = after("plain"), after("sequential")
    assert joint[:2].mean() > alone[:2].mean() + 0.1
    for remedy in ("replay", "ewc", "lwf"):
        assert after(remedy)[:2].mean() > alone[:2].mean() + 0.02, remedy


def test_in_the_first_phase_every_recipe_is_the_plain_head() -> None:
    plain, others = engine_with("plain"), [engine_with(name) for name in NAMES]
    for _ in range(3):
        ids = make_strategy("margin").select(plain.view, 4)
        for engine in (plain, *others):
            engine.step(ids)
    assert (plain.phases.now == 0).all()
    for engine in others:
        assert torch.equal(engine.view.logits, plain.view.logits)


@pytest.mark.parametrize("name", NAMES)
def test_rows_outside_are_scored_as_columns_are(name: str) -> None:
    engine = engine_with(name, 2)
    for _ in play(engine, make_strategy("random")):
        pass
    draw = engine.draw_of(1)
    inside = engine.learner.logits_of(slice(0, 120))[1]
    outside = engine.scores(draw.pool)[1]
    torch.testing.assert_close(inside, outside, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_an_episode_learns_the_same_whichever_others_are_beside_it(name: str) -> None:
    together, alone = engine_with(name, 3), engine_with(name, 1)
    for engine in (together, alone):
        for _ in play(engine, make_strategy("random")):
            pass
    torch.testing.assert_close(
        together.learner.logits_of(slice(0, 180))[:1],
        alone.learner.logits_of(slice(0, 180)),
        rtol=0,
        atol=1e-2,
    )


@pytest.mark.parametrize("name", NAMES)
def test_episodes_go_on_from_a_file_to_the_same_end(name: str, tmp_path: Path) -> None:
    whole, file = engine_with(name, 2), Checkpoint(tmp_path / "file", "key")
    for rounds, _ in enumerate(play(whole, make_strategy("margin"))):
        if rounds == 5:
            file.save([whole], Notes())
    again = LabelingEngine([stream()], OPTIONS, 2, ["accuracy"], SoftmaxSettings(recipe=make_recipe(name)))
    assert file.restore([again], [Streams(seed) for seed in range(2)], [0, 0]) is not None
    for _ in play(again, make_strategy("margin")):
        pass
    assert torch.equal(again.learner.logits_of(slice(0, 180)), whole.learner.logits_of(slice(0, 180)))
    assert torch.equal(again.ledger.columns, whole.ledger.columns)


def test_a_graph_knows_only_rows_that_have_come() -> None:
    engine = engine_with("smooth", 1)
    learner = engine.learner
    assert isinstance(learner, RecipeHead)
    width = []
    for _ in play(engine, make_strategy("random")):
        width.append(int(learner.graph.pool[0].sum()))
    assert width == [40, 40, 40, 80, 80, 80, 80, 120, 120, 120, 120, 120]


def test_what_is_held_to_earlier_phases_takes_nothing_else_for_training() -> None:
    with pytest.raises(ReActError, match="continual"):
        make_recipe({"continual": {"kind": "ewc"}, "label_smoothing": 0.1})
