"""The dual form of MLP heads against one member trained in plain weights by automatic differentiation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from react_rl.learners import MlpHead, MlpSettings
from react_rl.learners.mlp.training import BETAS, EPSILON, kept_units
from react_rl.learners.protocol import INVALID_LOGIT
from react_rl.simulation.ledger import Ledger

WIDTH, DIMENSION, CLASSES = 30, 12, 3
SMALL: dict[str, Any] = {"hidden": 7, "members": 2, "steps": 12, "learning_rate": 0.02}


def rows_of(seed: int) -> tuple[Tensor, Tensor]:
    """Unit vectors (W, D) around three centres and their classes (W,)."""
    chance = np.random.default_rng(seed)
    classes = np.arange(WIDTH) % CLASSES
    vectors = chance.standard_normal((CLASSES, DIMENSION))[classes] + chance.standard_normal(
        (WIDTH, DIMENSION)
    )
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return torch.tensor(vectors, dtype=torch.float32), torch.from_numpy(classes)


class Class:
    """E learners on corpora of their own, taught without an engine."""

    def __init__(self, settings: MlpSettings, seeds: list[int], capacity: int = 4) -> None:
        self.corpora = [rows_of(seed) for seed in seeds]
        self.ledger = Ledger(len(seeds), CLASSES, WIDTH, capacity)
        self.learner = MlpHead([r for r, _ in self.corpora], self.ledger, settings)
        for e in range(len(seeds)):
            self.learner.place(e, e, torch.arange(WIDTH), torch.full((WIDTH,), -1))
        everyone = torch.arange(len(seeds))
        self.learner.start(everyone, torch.full((len(seeds),), CLASSES), [10**15 + seed for seed in seeds])

    def teach(self, episodes: list[int], columns: list[list[int]], silent: tuple[int, ...] = ()) -> None:
        """Buy columns of some episodes; those in ``silent`` get no label."""
        where = torch.tensor(columns)
        labels = torch.stack([self.corpora[e][1][c] for e, c in zip(episodes, where, strict=True)])
        labels = torch.where(torch.isin(where, torch.tensor(silent)), -1, labels)
        products = [
            self.corpora[e][0][c] @ self.corpora[e][0].T for e, c in zip(episodes, where, strict=True)
        ]
        bought = self.ledger.append(torch.tensor(episodes), where, labels, torch.stack(products))
        self.learner.update(bought)


class PlainMember:
    """One member with its weights written out, in float64."""

    def __init__(self, seed: int, number: int, settings: MlpSettings) -> None:
        chance, hidden = np.random.default_rng([seed, number]), settings.hidden
        first = chance.standard_normal((hidden, DIMENSION), np.float32) * (2 / DIMENSION) ** 0.5
        out = chance.standard_normal((CLASSES, hidden), np.float32) * hidden**-0.5
        self.begin = [
            torch.cat([torch.tensor(first), torch.zeros(hidden, 1)], 1).double(),
            torch.tensor(out).double(),
        ]
        self.weights = [w.clone() for w in self.begin]
        self.settings = settings

    @staticmethod
    def inputs(rows: Tensor) -> Tensor:
        return torch.cat([rows.double() * DIMENSION**0.5, torch.ones(len(rows), 1)], 1)

    def scores(self, rows: Tensor, kept: Tensor | float = 1.0) -> Tensor:
        first, out = self.weights
        return (torch.relu(self.inputs(rows) @ first.T) * kept) @ out.T

    def train(self, rows: Tensor, labels: Tensor, weight: Tensor, kept: Tensor) -> None:
        """AdamW; the second moment of a hidden unit is the mean square of its gradient."""
        s = self.settings
        if s.restart == "reset":
            self.weights = [w.clone() for w in self.begin]
        first, second = ([torch.zeros_like(w) for w in self.weights] for _ in range(2))
        for step in range(s.steps):
            self.weights = [w.detach().requires_grad_() for w in self.weights]
            losses = torch.nn.functional.cross_entropy(
                self.scores(rows, kept[step]), labels, reduction="none"
            )
            (losses * weight).sum().backward()  # type: ignore[no-untyped-call]
            rate = s.learning_rate * (1 - step / s.steps)
            for i, w in enumerate(self.weights):
                gradient = w.grad
                assert gradient is not None
                size = gradient.square().mean(1, keepdim=True) if i == 0 else gradient.square()
                first[i] = BETAS[0] * first[i] + (1 - BETAS[0]) * gradient
                second[i] = BETAS[1] * second[i] + (1 - BETAS[1]) * size
                corrected = second[i] / (1 - BETAS[1] ** (step + 1))
                move = first[i] / (1 - BETAS[0] ** (step + 1)) / (corrected.sqrt() + EPSILON)
                self.weights[i] = (w * (1 - rate * s.weight_decay) - rate * move).detach()


@pytest.mark.parametrize(
    "changes",
    [
        {"dropout": 0.0, "bootstrap": False},
        {"dropout": 0.4},
        {"restart": "warm", "weight_decay": 0.0},
        {"class_weights": "balanced", "restart": "warm"},
    ],
    ids=str,
)
def test_every_member_is_what_plain_training_of_its_weights_gives(changes: dict[str, Any]) -> None:
    settings = MlpSettings(**{**SMALL, **changes})
    room = Class(settings, [3, 4])
    learner = room.learner
    plain = [[PlainMember(10**15 + seed, m, settings) for m in range(2)] for seed in (3, 4)]
    bought: list[list[int]] = [[], []]
    for batch in ([[0, 1, 3, 5], [2, 4, 6, 7]], [[9, 12, 21, 22], [0, 1, 3, 29]]):
        room.teach([0, 1], batch)
        for e in (0, 1):
            bought[e] += batch[e]
            rows, labels = room.corpora[e]
            count = torch.bincount(labels[bought[e]], minlength=CLASSES)
            # The masks of a round are drawn from its number before training, which is now one further.
            learner._rounds -= 1
            keys = learner._round_keys(learner._everyone, 7927)
            learner._rounds += 1
            kept = kept_units(keys, settings.steps, 2, settings.hidden, settings.dropout)
            for m in range(2):
                weight = learner._importance[e, m, : len(bought[e])].double()
                if settings.class_weights == "balanced":
                    weight = weight / count[labels[bought[e]]]
                masks = kept[e, :, m].double()
                plain[e][m].train(rows[bought[e]], labels[bought[e]], weight / weight.sum(), masks)
            expected = torch.stack([member.scores(rows) for member in plain[e]]).mean(0)
            torch.testing.assert_close(
                learner.logits_of(slice(None))[e].T.double(), expected, atol=2e-3, rtol=1e-3
            )
            others = learner.logits_of_rows([np.arange(5, 20)] * 2)[e].T.double()
            torch.testing.assert_close(others, expected[5:20], atol=2e-3, rtol=1e-3)
    assert expected.abs().max() > 0.5, "training moved the scores"


def test_the_last_layer_on_the_hidden_units_gives_the_scores() -> None:
    room = Class(MlpSettings(**SMALL), [1, 2])
    room.teach([0, 1], [[0, 1, 2], [3, 4, 5]])
    weights, intercepts = room.learner.head()
    features = room.learner.features_of(slice(2, 9))
    assert features.shape == (2, 7, 14)
    assert not intercepts.any()
    found = torch.bmm(features, weights.transpose(1, 2)).transpose(1, 2)
    torch.testing.assert_close(found, room.learner.logits_of(slice(2, 9)), atol=1e-5, rtol=1e-4)


def test_an_episode_is_trained_as_if_it_were_alone_whatever_its_neighbours_have_bought() -> None:
    settings = MlpSettings(**SMALL)
    together, alone = Class(settings, [5, 6, 7]), Class(settings, [6])
    together.teach([0, 1, 2], [[0, 1], [2, 3], [4, 5]])
    together.teach([0, 2], [[7, 8], [9, 10]])
    together.teach([1, 2], [[11, 12], [13, 14]])
    alone.teach([0], [[2, 3]])
    alone.teach([0], [[11, 12]])
    torch.testing.assert_close(together.learner.logits[1], alone.learner.logits[0], atol=1e-4, rtol=1e-4)


def test_a_row_without_a_label_teaches_nothing_and_an_episode_without_one_stands_still() -> None:
    settings = MlpSettings(**SMALL, bootstrap=False, dropout=0.0)
    some, fewer = Class(settings, [8, 9]), Class(settings, [8, 9])
    some.teach([0, 1], [[0, 1, 20], [2, 3, 4]], silent=(20,))
    fewer.teach([0], [[0, 1]])
    torch.testing.assert_close(some.learner.logits[0], fewer.learner.logits[0], atol=1e-5, rtol=1e-5)
    before = some.learner.logits.clone()
    some.teach([0, 1], [[5, 6, 7], [8, 9, 10]], silent=(5, 6, 7))
    assert torch.equal(some.learner.logits[0], before[0])
    assert not torch.equal(some.learner.logits[1], before[1])


def test_members_differ_and_do_not_depend_on_how_many_there_are() -> None:
    few, many = (Class(MlpSettings(**{**SMALL, "members": m}), [1]) for m in (2, 4))
    for room in (few, many):
        room.teach([0], [[0, 1, 2, 3]])
    torch.testing.assert_close(few.learner._out[0], many.learner._out[0, :2], atol=1e-5, rtol=1e-5)
    outs = many.learner._out[0]
    assert all((outs[i] - outs[j]).abs().max() > 0.1 for i in range(4) for j in range(i))


def test_a_class_that_an_episode_lacks_gets_no_score_and_moves_nothing() -> None:
    rows, classes = rows_of(1)
    found = []
    for most in (2, 5):
        ledger = Ledger(1, most, WIDTH, 4)
        learner = MlpHead([rows], ledger, MlpSettings(**SMALL))
        learner.place(0, 0, torch.arange(WIDTH), torch.full((WIDTH,), -1))
        learner.start(torch.tensor([0]), torch.tensor([2]), [5])
        columns = torch.tensor([[0, 1, 3, 4]])
        products = (rows[columns[0]] @ rows.T)[None]
        learner.update(ledger.append(torch.tensor([0]), columns, classes[columns], products))
        found.append(learner.logits_of(slice(None)))
    assert (found[1][:, 2:] <= INVALID_LOGIT / 2).all()
    torch.testing.assert_close(found[1][:, :2], found[0], atol=1e-5, rtol=1e-5)


def test_masks_keep_the_share_they_should_and_scale_the_rest() -> None:
    kept = kept_units(torch.arange(50, dtype=torch.int32), 4, 3, 40, 0.25)
    assert sorted(set(kept.flatten().tolist())) == pytest.approx([0.0, 4 / 3])
    assert float((kept == 0).float().mean()) == pytest.approx(0.25, abs=0.01)
    assert (kept_units(torch.arange(3, dtype=torch.int32), 2, 2, 8, 0.0) == 1.0).all()


def test_a_decay_that_would_turn_weights_around_is_refused() -> None:
    with pytest.raises(ValidationError, match="use less than 5"):
        MlpSettings(learning_rate=0.2, weight_decay=5.0)
