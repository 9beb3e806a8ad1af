"""Gradient strategies against gradients that are written out, and against a peer's BADGE."""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import cast

import numpy as np
import numpy.typing as npt
import pytest
import torch

from react_rl.acquisition.batching.drawing import draw_column
from react_rl.acquisition.strategies.gradient import (
    Badge,
    ExpectedGradientLength,
    gradient_distance,
    gradient_factor,
)
from react_rl.seeding import Streams
from react_rl.simulation import EncodedCorpus, EpisodeOptions, LabelingEngine, PoolView, synthetic_encoded
from tests.acquisition.strategies.peer_example import PEER_P, PEER_X, UNLABELLED

Floats = npt.NDArray[np.float64]


def chances(engine: LabelingEngine, e: int) -> Floats:
    """Class probabilities (P, C) of the pool rows of one episode in float64."""
    draw = engine.draw_of(e)
    logits = engine.view.logits[e, : draw.classes.size, : draw.pool.size].double()
    found: Floats = torch.softmax(logits, 0).T.numpy()
    return found


def test_expected_gradient_length_is_that_of_automatic_differentiation(mixed: LabelingEngine) -> None:
    view = mixed.view
    scores = ExpectedGradientLength().score(view)
    weights, intercept = view.weights
    for e in range(6):
        n_classes = mixed.draw_of(e).classes.size
        head = weights[e, :n_classes].double().clone().requires_grad_()
        for column in (0, 7, 21):
            x = view.embeddings[e, column].double().clone()
            logits = head @ x + intercept[e, :n_classes].double().clone()
            expected = 0.0
            for c in range(n_classes):
                loss = torch.nn.functional.cross_entropy(logits, torch.tensor(c))
                (gradient,) = torch.autograd.grad(loss, head, retain_graph=True)
                expected += float(torch.softmax(logits.detach(), 0)[c]) * float(gradient.norm())
            assert float(scores[e, column]) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("n", [1, 6])
def test_badge_is_k_means_plus_plus_on_gradients_written_out(mixed: LabelingEngine, n: int) -> None:
    view = mixed.view
    generators = [copy.deepcopy(s.strategy) for s in mixed.draws.streams]
    ids = Badge().select(view, n)
    for e in range(6):
        numbers = generators[e].random(n)
        size = mixed.draw_of(e).pool.size
        p, x = chances(mixed, e), view.embeddings[e, :size].double().numpy()
        a = p - np.eye(p.shape[1])[p.argmax(1)]
        g = np.einsum("pc,pd->pcd", a, x).reshape(size, -1)
        free = view.available[e, :size].numpy().copy()
        picks = [int(np.where(free, (g**2).sum(1), -1.0).argmax())]
        for j in range(1, n):
            free[picks[-1]] = False
            squared = np.min([((g - g[i]) ** 2).sum(1) for i in picks], axis=0) * free
            share = squared.cumsum() / squared.sum()
            picks.append(int(np.searchsorted(share, numbers[j], side="right")))
        assert ids[e].tolist() == view.ids[e, picks].tolist()


# skactiveml 1.0.1, Badge(random_state=1).query on a classifier that returns PEER_P: it picked rows 1, 2, 10
# and 9; the table holds its chances of each pick (the first row: shares of the squared norms). It keeps the
# squared norms as first distances, as if the origin were a pick; the paper and the code of its authors do
# not, so the origin is added below. (small-text 1.4.1 forms -p instead of p - e_argmax.)
PEER_CHANCES = {
    (): [0.24587326, 0.0227617, 0.16054836, 0.17472923, 0.12010035, 0.09683212, 0.17915498],
    (1,): [0.0, 0.03018285, 0.21289307, 0.23169743, 0.15925752, 0.12840299, 0.23756614],
    (1, 2): [0.0, 0.0, 0.1803189, 0.25330785, 0.16627019, 0.14037913, 0.25972393],
    (1, 2, 10): [0.0, 0.0, 0.24358331, 0.34218025, 0.22460566, 0.18963078, 0.0],
}


@pytest.mark.parametrize("picked", list(PEER_CHANCES))
def test_the_peer_gives_the_same_chances_once_the_origin_is_a_pick(picked: tuple[int, ...]) -> None:
    x = torch.tensor(PEER_X)
    p = torch.tensor(PEER_P).T[None]
    stub = SimpleNamespace(
        probabilities=p, predicted=p.argmax(1), similarity_of_pick=lambda columns: x[columns] @ x.T
    )
    view = cast("PoolView", stub)
    factor = gradient_factor(view)
    to_picks = [gradient_distance(view, factor, torch.tensor([i])) for i in picked]
    squared = torch.stack([factor.square().sum(1), *to_picks]).amin(0)
    chances = squared[0, UNLABELLED] / squared[0, UNLABELLED].sum()
    np.testing.assert_allclose(chances.numpy(), PEER_CHANCES[picked], atol=2e-5)


def test_copies_of_a_row_are_exactly_nowhere_apart() -> None:
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.normal(size=(20, 64))).float()
    x = torch.nn.functional.normalize(x[[0, *range(19), 0]], dim=1)
    p = torch.softmax(torch.from_numpy(rng.normal(size=(1, 5, 21))).float(), 1)
    p[:, :, [1, 20]] = p[:, :, :1]
    stub = SimpleNamespace(
        probabilities=p, predicted=p.argmax(1), similarity_of_pick=lambda c: 0.9999999 * (x[c] @ x.T)
    )
    view = cast("PoolView", stub)
    apart = gradient_distance(view, gradient_factor(view), torch.tensor([1]))[0]
    assert torch.nonzero(apart == 0.0)[:, 0].tolist() == [0, 1, 20]


@pytest.mark.parametrize(
    ("weight", "free", "number", "column"),
    [
        ([0.0, 3.0, 0.0, 1.0, 0.0], [1, 1, 1, 1, 1], 0.0, 1),
        ([0.0, 3.0, 0.0, 1.0, 0.0], [1, 1, 1, 1, 1], 0.74, 1),
        ([0.0, 3.0, 0.0, 1.0, 0.0], [1, 1, 1, 1, 1], 0.76, 3),
        ([0.0, 3.0, 0.0, 1.0, 0.0], [1, 1, 1, 1, 1], 1.0, 3),
        ([0.0, 0.0, 0.0, 0.0, 0.0], [0, 1, 0, 1, 0], 0.4, 1),
        ([0.0, 0.0, 0.0, 0.0, 0.0], [0, 1, 0, 1, 0], 0.6, 3),
        ([0.0, 0.0, 0.0, 0.0, 0.0], [0, 0, 0, 0, 0], 0.6, -1),
    ],
)
def test_a_pick_is_drawn_in_proportion_to_its_weight(
    weight: list[float], free: list[int], number: float, column: int
) -> None:
    drawn = draw_column(torch.tensor([weight]), torch.tensor([free]).bool(), torch.tensor([number]).double())
    assert drawn.tolist() == [column]


def test_badge_takes_no_copy_of_a_pick_while_anything_else_is_left() -> None:
    data = synthetic_encoded(200, 3, seed=1)
    kinds = np.arange(200) % 8
    vectors = np.eye(8, 12, dtype=np.float32)[kinds] + 0.3
    engine = LabelingEngine(
        [EncodedCorpus.build(data.corpus, vectors)],
        EpisodeOptions(pool_size=80, dev_size=20, initial_size=8, budget=40, batch_size=8),
        30,
    )
    engine.reset([Streams(k) for k in range(30)])
    ids = Badge().select(engine.view, 12)
    for e in range(30):
        present = set(kinds[engine.view.ids[e][engine.view.available[e]].numpy()])
        assert set(kinds[ids[e, : len(present)].numpy()]) == present
        assert len(set(ids[e].tolist())) == 12
