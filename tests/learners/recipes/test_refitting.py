"""Heads that a recipe trains itself, against scikit-learn and by leaving rows out one by one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from react_rl.learners import SoftmaxSettings
from react_rl.learners.recipes.neighbours import Neighbours
from react_rl.learners.recipes.refitting import GRID, TrainingRows, l2_left_out, l2_on_dev, refit, refit_each
from react_rl.learners.recipes.self_training import joined, take_over
from react_rl.learners.recipes.settings import SelfTrainingSettings

EXACT = SoftmaxSettings(bias=1.0, tolerance=1e-6, max_steps=2000)
CLASSES, DIMENSION = 3, 6


def clusters(rows: int, seed: int) -> tuple[Tensor, Tensor]:
    """Unit vectors (rows, D) around one centre for each class, and the classes (rows,)."""
    chance = np.random.default_rng(seed)
    centres = np.random.default_rng(99).standard_normal((CLASSES, DIMENSION))
    labels = np.r_[np.arange(CLASSES), chance.integers(CLASSES, size=rows - CLASSES)]
    vectors = centres[labels] + 1.5 * chance.standard_normal((rows, DIMENSION))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return torch.tensor(vectors, dtype=torch.float32), torch.from_numpy(labels)


def material_of(vectors: Tensor, labels: Tensor, weight: Tensor | None = None) -> TrainingRows:
    onehot = torch.nn.functional.one_hot(labels, CLASSES).T.float()
    rows = torch.ones(len(labels)) if weight is None else weight
    kernel = vectors @ vectors.T + EXACT.bias**2
    return TrainingRows(kernel[None], onehot[None], rows[None], torch.zeros(1, CLASSES, 1))


def reference(vectors: Tensor, labels: Tensor, weight: Tensor, l2: float) -> LogisticRegression:
    """The intercept is penalised here, so it is one more column there."""
    model = LogisticRegression(C=1.0 / l2, fit_intercept=False, tol=1e-8, max_iter=5000)
    inputs = np.c_[vectors.numpy(), np.full(len(vectors), EXACT.bias)]
    return model.fit(inputs, labels.numpy(), sample_weight=weight.numpy())


def test_each_head_is_fitted_under_an_l2_of_its_own() -> None:
    vectors, labels = clusters(24, 0)
    one = material_of(vectors, labels)
    arrays = (one.kernel, one.target, one.weight, one.shift)
    two = TrainingRows(*(torch.cat([array, array]) for array in arrays))
    l2 = torch.tensor([0.05, 1.0])
    dual = refit_each(two, torch.zeros(2, CLASSES, 24), l2, EXACT)
    for head, value in zip(dual, l2.tolist(), strict=True):
        expected = reference(vectors, labels, torch.ones(24), value).coef_
        found = torch.cat([head @ vectors, EXACT.bias * head.sum(1, keepdim=True)], 1).numpy()
        np.testing.assert_allclose(found - found.mean(0), expected - expected.mean(0), atol=2e-3)


def test_the_l2_is_the_one_with_the_least_loss_on_rows_left_out_one_by_one() -> None:
    vectors, labels = clusters(16, 1)
    losses = []
    for l2 in GRID:
        total = 0.0
        for row in range(len(labels)):
            kept = np.delete(np.arange(len(labels)), row)
            model = reference(vectors[kept], labels[kept], torch.ones(len(kept)), l2)
            said = model.predict_log_proba(np.r_[vectors[row].numpy(), EXACT.bias][None])[0]
            total -= said[int(labels[row])]
        losses.append(total)
    chosen = l2_left_out(material_of(vectors, labels), torch.zeros(1, CLASSES, 16), EXACT)
    assert chosen.tolist() == pytest.approx([GRID[int(np.argmin(losses))]])


def test_the_l2_is_the_one_with_the_least_loss_on_dev() -> None:
    vectors, labels = clusters(24, 2)
    dev, truth = clusters(200, 3)
    losses = []
    for l2 in GRID:
        said = reference(vectors, labels, torch.ones(24), l2).predict_log_proba(
            np.c_[dev.numpy(), np.full(len(dev), EXACT.bias)]
        )
        losses.append(-said[np.arange(200), truth.numpy()].sum())
    across = (vectors @ dev.T + EXACT.bias**2)[None]
    chosen = l2_on_dev(material_of(vectors, labels), torch.zeros(1, CLASSES, 24), EXACT, across, truth[None])
    assert chosen.tolist() == pytest.approx([GRID[int(np.argmin(losses))]])


def test_a_smoothed_label_keeps_its_mass_within_the_classes_of_its_episode() -> None:
    vectors, labels = clusters(6, 4)
    plain = material_of(vectors, labels % 2)
    shift = plain.shift.clone()
    shift[:, 2] = -1e30
    smoothed = replace(plain, shift=shift).smoothed(0.2).target[0]
    right = smoothed.gather(0, (labels % 2)[None])[0]
    np.testing.assert_allclose(right.numpy(), 0.9, atol=1e-6)
    np.testing.assert_allclose(smoothed.sum(0).numpy(), 1.0, atol=1e-6)
    assert not smoothed[2].any()


def test_rows_taken_over_weigh_in_the_loss_as_weighted_rows_do() -> None:
    vectors, labels = clusters(30, 5)
    similarity = vectors @ vectors.T
    said = torch.full((1, CLASSES, 30), 0.05)
    said.scatter_(1, labels[None, None], 0.9)
    free = (torch.arange(30) >= 12)[None]
    settings = SelfTrainingSettings(threshold=0.5, rows=9, weight=0.3)
    near = Neighbours(torch.zeros(1, 30, 1, dtype=torch.int64), torch.zeros(1, 30, 1))
    taken = take_over(said, free, near, torch.zeros(1, 30, CLASSES), settings)
    slots = torch.arange(12)[None]
    both = joined(
        material_of(vectors[:12], labels[:12]),
        slots,
        taken,
        similarity[taken.columns[0]][None],
        0.3,
        EXACT.bias,
    )
    dual, _ = refit(both, torch.zeros(1, CLASSES, 21), replace(EXACT, l2=0.1))
    whole = torch.cat([slots[0], taken.columns[0]])
    expected = reference(vectors[whole], labels[whole], both.weight[0], 0.1).coef_
    found = (dual[0] @ vectors[whole]).numpy()
    np.testing.assert_allclose(found - found.mean(0), (expected - expected.mean(0))[:, :-1], atol=2e-3)
    assert set(taken.columns[0].tolist()).isdisjoint(range(12)), "labelled rows are not taken over"


def test_rows_are_taken_over_evenly_where_the_head_is_sure_and_its_neighbours_agree() -> None:
    sure = torch.tensor([0.95, 0.9, 0.85, 0.6, 0.7, 0.55, 0.99])
    label = torch.tensor([0, 0, 0, 0, 1, 1, 1])
    said = torch.where(torch.arange(2)[:, None] == label, sure, 1.0 - sure)[None]
    free = torch.tensor([[True] * 6 + [False]])
    columns = torch.tensor([[1, 2], [4, 5], [0, 1], [0, 1], [5, 6], [4, 6], [4, 5]])[None]
    near = Neighbours(columns, torch.zeros(1, 7, 2))
    hard = torch.nn.functional.one_hot(label, 2).float()[None]

    def taken(**settings: float) -> set[int]:
        found = take_over(said, free, near, hard, SelfTrainingSettings(**settings))  # type: ignore[arg-type]
        return set(found.columns[found.live > 0].tolist())

    assert taken(threshold=0.8, rows=6) == {0, 1, 2}
    assert taken(threshold=0.5, rows=4) == {0, 1, 4, 5}, "the surest two of each class"
    assert taken(threshold=0.5, rows=4, balanced=False) == {0, 1, 2, 4}
    assert taken(threshold=0.5, rows=20, agreement=0.5) == {0, 2, 3, 4, 5}, "those around row 1 say otherwise"
