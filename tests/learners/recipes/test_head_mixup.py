"""Mixup for the linear head: the same as fitting to mixed embeddings, and a function of the labelled rows."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from react_rl.acquisition import make_strategy
from react_rl.errors import ReActError
from react_rl.learners import SoftmaxSettings
from react_rl.learners.linear.weighting import descend
from react_rl.learners.recipes import MixupSettings, Recipe, SelfTrainingSettings, check_recipe, make_recipe
from react_rl.learners.recipes.mixup import mixing_of
from react_rl.seeding import Streams
from react_rl.simulation import EpisodeOptions, LabelingEngine, synthetic_encoded

MIXED = MixupSettings(alpha=0.4, copies=3)


def test_a_mixture_is_mostly_its_own_row_and_wholly_labelled_rows() -> None:
    columns, live = torch.tensor([[4, 9, 7, 2], [4, 9, 7, 2]]), torch.tensor([[1, 1, 0, 1], [1, 1, 1, 1]])
    mixing = mixing_of(columns, live, MIXED)
    torch.testing.assert_close(mixing.sum(2), torch.ones(2, 12))
    own = mixing.view(2, 3, 4, 4).diagonal(dim1=2, dim2=3)
    assert (own >= 0.5).all()
    assert not mixing[0, :, 2][torch.arange(12) % 4 != 2].any(), "no label, no share"
    assert torch.equal(mixing_of(columns[1:], live[1:], MIXED)[0], mixing[1])


def test_a_head_on_mixtures_is_one_that_is_fitted_to_mixed_embeddings() -> None:
    corpus = synthetic_encoded(300, 3)
    exact = SoftmaxSettings(tolerance=1e-6, max_steps=2000, recipe=Recipe(mixup=MIXED))
    options = EpisodeOptions(pool_size=60, dev_size=30, initial_size=6, budget=20, batch_size=4)
    engine = LabelingEngine([corpus], options, 1, ("accuracy",), exact)
    engine.reset([Streams(3)])
    engine.step(make_strategy("random").select(engine.view, 4))
    ledger = engine.learner.labelled  # type: ignore[attr-defined]
    n = ledger.slots
    columns, live, onehot = ledger.columns[:, :n], ledger.live[:, :n], ledger.onehot[:, :, :n]
    mixing = mixing_of(columns, live, MIXED)
    draw = engine.draw_of(0)
    rows = corpus.embeddings[torch.from_numpy(draw.pool)[columns[0]]]
    mixed = (mixing[0] @ rows)[None]
    kernel, target = mixed @ mixed.transpose(1, 2) + exact.bias**2, onehot @ mixing.transpose(1, 2)
    dual, fitted = torch.zeros_like(target), torch.zeros_like(target)
    descend(dual, fitted, target, kernel, torch.full((1, 3 * n), 1 / 3), replace(exact, recipe=Recipe()))
    test = corpus.corpus.ids("test")
    expected = dual @ (mixed @ corpus.embeddings[test].T + exact.bias**2)
    torch.testing.assert_close(engine.scores(test), expected, atol=1e-3, rtol=1e-3)


def test_what_does_not_go_with_mixup_is_refused() -> None:
    with pytest.raises(ReActError, match=r"mixup\.layer' is for learner.kind finetune"):
        check_recipe(make_recipe("mixup-layer"), "softmax")
    with pytest.raises(ValueError, match="leave one out"):
        Recipe(mixup=MIXED, self_training=SelfTrainingSettings())
