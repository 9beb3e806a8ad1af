"""Staying near the pretrained weights and mixtures of rows, by hand and in fine-tuning."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from react_rl.data.corpus import Corpus
from react_rl.errors import ReActError
from react_rl.learners.finetune.methods.network import Network
from react_rl.learners.finetune.settings import FineTuneSettings
from react_rl.learners.finetune.training.anchoring import Mixout, pull
from react_rl.learners.finetune.training.mixing import Pairs, draw_pairs
from react_rl.learners.finetune.training.optimiser import Optimiser
from react_rl.learners.recipes import MixupSettings, Recipe

Settings = Callable[..., FineTuneSettings]


def test_the_pull_is_the_gradient_of_half_the_squared_distance() -> None:
    weights = torch.tensor([[1.0, -2.0]], requires_grad=True)
    anchor, gradient = torch.tensor([[0.5, 1.0]]), torch.tensor([[10.0, 20.0]])
    penalty = 0.4 / 2 * (weights - anchor).square().sum()
    assert float(penalty.detach()) == pytest.approx(0.2 * (0.25 + 9.0))
    penalty.backward()  # type: ignore[no-untyped-call]
    assert weights.grad is not None
    expected = gradient + weights.grad
    pull(gradient, weights.detach(), anchor, 0.4)
    torch.testing.assert_close(gradient, expected)
    torch.testing.assert_close(gradient, torch.tensor([[10.2, 18.8]]))


def test_a_step_with_l2_sp_is_that_of_adamw_on_the_loss_with_the_penalty(finetuning: Settings) -> None:
    settings = finetuning(method="full", layers=1, l2_sp=0.3, weight_decay=0.0, clip=1e6)
    network = Network(settings, 2)
    seeds = torch.tensor([3, 4])
    masters, anchors = network.begin(seeds), network.anchors(seeds)
    moved = {name: array + 0.1 for name, array in masters.items()}
    peers = {name: array.clone().requires_grad_() for name, array in moved.items()}
    optimiser = Optimiser(network, moved, settings, 1e-2, anchors)
    for name, array in moved.items():
        array.grad = torch.full_like(array, 0.02)
        peers[name].grad = 0.02 + 0.3 * (peers[name].detach() - anchors[name])
    optimiser.step(1.0)
    torch.optim.AdamW(peers.values(), lr=1e-2, weight_decay=0.0).step()
    for name, array in moved.items():
        torch.testing.assert_close(array, peers[name])
    heads = [name for name in anchors if name.startswith("head.")]
    assert all(not anchors[name].any() for name in heads), "a head that is drawn is drawn back to zero"


def test_a_strong_pull_leaves_the_pretrained_weights_where_they_were(
    classroom: Any, finetuning: Settings, tiny_corpus: Callable[..., Corpus]
) -> None:
    moves = []
    for strength in (0.0, 1000.0):
        room = classroom(finetuning(method="full", l2_sp=strength, steps=12), [tiny_corpus()], [0], [0])
        begin = room.learner.network.begin(torch.tensor([0]))
        room.teach([0], np.arange(8)[None])
        known = [name for name in begin if not name.startswith("head.")]
        gaps = [(room.learner.state()[f"weights/{name}"] - begin[name]).norm() for name in known]
        moves.append(float(torch.stack(gaps).norm()))
    assert moves[1] < 0.5 * moves[0]


def test_mixout_keeps_a_weight_or_the_pretrained_one_and_the_mean_over_draws() -> None:
    master = {"w": torch.full((1, 50, 400), 3.0), "head": torch.ones(1, 2)}
    anchors = {"w": torch.full((1, 50, 400), 1.0), "head": torch.zeros(1, 2)}
    mixout = Mixout(master, anchors, ["w"], 0.75, torch.tensor([5]), np.array([2]))
    mixed = mixout.mixed(master, step=0)
    assert mixed["head"] is master["head"], "nothing is mixed into a head"
    values = mixed["w"].detach()
    assert set(values.flatten().tolist()) == {1.0, 9.0}, "w0, or w0 + (w - w0) / (1 - p)"
    assert float((values == 1.0).float().mean()) == pytest.approx(0.75, abs=0.01)
    assert float(values.mean()) == pytest.approx(3.0, abs=0.08)
    mixed["w"].sum().backward()  # type: ignore[no-untyped-call]
    mixout.give_back(mixed, master)
    expected = torch.where(values == 1.0, 0.0, 4.0)
    torch.testing.assert_close(master["w"].grad, expected)
    assert not torch.equal(mixout.mixed(master, step=1)["w"], mixed["w"])
    again = Mixout(master, anchors, ["w"], 0.75, torch.tensor([5]), np.array([2]))
    assert torch.equal(again.mixed(master, step=0)["w"], mixed["w"]), "the same step, the same draw"


def test_a_mixture_and_its_loss_by_hand() -> None:
    pairs = Pairs(torch.tensor([[1, 0]]), torch.tensor([[0.75, 1.0]]))
    vectors = torch.tensor([[[4.0, 0.0], [0.0, 8.0]]])
    mixed = pairs.mixed(vectors)
    torch.testing.assert_close(mixed, torch.tensor([[[3.0, 2.0], [0.0, 8.0]]]))
    log = functional.log_softmax(mixed, 2)

    def loss_of(targets: torch.Tensor) -> torch.Tensor:
        return -log.gather(2, targets[:, :, None])[:, :, 0]

    found = pairs.loss(loss_of, torch.tensor([[0, 1]]))
    by_hand = -(0.75 * log[0, 0, 0] + 0.25 * log[0, 0, 1])
    torch.testing.assert_close(found[0], torch.stack([by_hand, -log[0, 1, 1]]))


def test_states_of_texts_are_mixed_as_far_as_the_partner_goes() -> None:
    pairs = Pairs(torch.tensor([[1, 0]]), torch.tensor([[0.75, 0.5]]))
    states = torch.tensor([[[1.0], [2.0]], [[5.0], [100.0]]])
    mask = torch.tensor([[True, True], [True, False]])
    mixed = pairs.mixed_states(states, mask)
    torch.testing.assert_close(mixed, torch.tensor([[[2.0], [2.0]], [[3.0], [51.0]]]))


def test_partners_are_other_rows_that_have_a_target_and_rows_stand_for_themselves() -> None:
    known = torch.tensor([[True, True, False, True], [True, False, True, True]])
    pairs = draw_pairs(known, 0.4, torch.tensor([1, 2]), np.array([0, 3]), (7,))
    for r, there in enumerate(known):
        places = torch.nonzero(there)[:, 0]
        assert sorted(pairs.partner[r, places].tolist()) == places.tolist(), "each is a partner once"
    assert (pairs.own >= 0.5).all()
    assert pairs.own[0, 2] == 1.0
    alone = draw_pairs(known[1:], 0.4, torch.tensor([2]), np.array([3]), (7,))
    assert torch.equal(alone.partner, pairs.partner[1:])
    assert torch.equal(alone.own, pairs.own[1:])


def test_a_layer_that_is_not_trained_cannot_be_mixed(
    classroom: Any, finetuning: Settings, tiny_corpus: Callable[..., Corpus]
) -> None:
    room = classroom(finetuning(layers=1, method="full"), [tiny_corpus()], [0], [0])
    with pytest.raises(ReActError, match=r"mixup.layer is 2, but 1 layers"):
        room.learner.choose([Recipe(mixup=MixupSettings(alpha=0.4, layer=2))])


def test_layers_below_the_top_learn_more_slowly_where_the_lowest_are_frozen(finetuning: Settings) -> None:
    network = Network(finetuning(layers=2, method="full"), 2)
    assert {network.depth_of(name) for name in network.names} == {0, 1, 2}
