"""AlfaMix, DropQuery, NoiseStability and FALCUN against mixtures, masks and draws that are written out."""

from __future__ import annotations

import copy

import numpy as np
import numpy.typing as npt
import pytest
import torch

from react_rl.acquisition import make_strategy
from react_rl.acquisition.batching.candidates import spread_over_candidates
from react_rl.acquisition.strategies.perturbed import AlfaMix, DropQuery, NoiseStability
from react_rl.acquisition.strategies.stochastic import Falcun
from react_rl.errors import ReActError
from react_rl.learners.mlp.training import MlpSettings
from react_rl.seeding import Streams
from react_rl.simulation import EpisodeOptions, LabelingEngine, synthetic_encoded

Floats = npt.NDArray[np.float64]


def head(engine: LabelingEngine, e: int) -> tuple[Floats, Floats, Floats]:
    """Weights (C, D), intercepts (C,) and pool embeddings (P, D) of one episode in float64."""
    classes = engine.draw_of(e).classes.size
    weights, intercepts = engine.view.weights
    return (
        weights[e, :classes].double().numpy(),
        intercepts[e, :classes].double().numpy(),
        engine.view.embeddings[e].double().numpy(),
    )


def probabilities(scores: Floats) -> Floats:
    shifted: Floats = np.exp(scores - scores.max(-1, keepdims=True))
    total: Floats = shifted.sum(-1, keepdims=True)
    return shifted / total


@pytest.mark.parametrize("cap", [0.2, 0.9])
def test_alfamix_finds_the_rows_that_turn_when_anchors_are_mixed_in(
    mixed: LabelingEngine, cap: float
) -> None:
    view = mixed.view
    turning = AlfaMix().turning_points(view)
    turned = 0
    for e in range(6):
        weights, intercepts, rows = head(mixed, e)
        columns, live = (part[e].numpy() for part in view.labelled_columns)
        labels = view.labelled_geometry[1][e].argmax(0).numpy()
        anchors = [rows[columns[(live > 0) & (labels == c)]].mean(0) for c in set(labels[live > 0].tolist())]
        for i in torch.nonzero(view.available[e])[:, 0].tolist():
            z = rows[i]
            scores = weights @ z + intercepts
            gradient = weights.T @ (probabilities(scores) - np.eye(len(scores))[scores.argmax()])
            mixtures = []
            for anchor in anchors:
                alpha = cap / np.sqrt(z.size) * np.linalg.norm(anchor - z) * gradient
                alpha /= np.linalg.norm(gradient) * (anchor - z)
                mixtures.append(alpha * anchor + (1 - alpha) * z)
            turns = any((weights @ m + intercepts).argmax() != scores.argmax() for m in mixtures)
            assert turns == (float(turning[e, i]) < cap) or abs(float(turning[e, i]) - cap) < 1e-4
            turned += turns
    assert 5 < turned < 250


def test_alfamix_widens_until_there_are_more_candidates_than_wanted(mixed: LabelingEngine) -> None:
    view, strategy = mixed.view, AlfaMix()
    turning = torch.where(view.available, strategy.turning_points(view), torch.inf)
    for n in (1, 5, 30):
        found = strategy._candidates(view, n) & view.available
        for e in range(6):
            few = [turning[e] <= 0.2 * k + 1e-9 for k in range(1, 6)]
            first = next((some for some in few if int(some.sum()) > n), few[-1])
            assert torch.equal(found[e], first)


def test_dropquery_asks_most_of_three_masked_heads(mixed: LabelingEngine) -> None:
    view = mixed.view
    generators = [copy.deepcopy(s.strategy) for s in mixed.draws.streams]
    found = DropQuery()._candidates(view)
    for e in range(6):
        weights, intercepts, rows = head(mixed, e)
        kept = generators[e].random((3, rows.shape[1]), dtype=np.float32) >= 0.75
        still = (rows @ weights.T + intercepts).argmax(1)
        flips = sum(((4 * rows * mask) @ weights.T + intercepts).argmax(1) != still for mask in kept)
        members = view.in_pool[e].numpy()
        assert (found[e].numpy() == (flips > 1.5))[members].mean() > 0.98, "rounding may turn a row"


def test_candidates_come_first_and_other_rows_fill_the_batch(mixed: LabelingEngine) -> None:
    view = mixed.view
    columns = torch.nonzero(view.available[2])[:3, 0]
    candidates = torch.zeros_like(view.available)
    candidates[2, columns] = True
    candidates[4] = True
    ids = spread_over_candidates(view, candidates, 7)
    assert set(ids[2, :3].tolist()) == set(view.ids[2, columns].tolist())
    for e in range(6):
        assert len(set(ids[e].tolist())) == 7
        assert set(ids[e].tolist()) <= set(view.ids[e, view.available[e]].tolist())


def test_noise_stability_is_farthest_first_on_changes_of_the_probabilities(mixed: LabelingEngine) -> None:
    view = mixed.view
    generators = [copy.deepcopy(s.strategy) for s in mixed.draws.streams]
    strategy = NoiseStability(samples=4, scale=0.05)
    ids = strategy.select(view, 4)
    for e in range(6):
        weights, intercepts, rows = head(mixed, e)
        still = probabilities(rows @ weights.T + intercepts)
        parts = []
        for noise in generators[e].standard_normal((4, *weights.shape), dtype=np.float32).astype(float):
            shaken = weights + 0.05 * np.linalg.norm(weights) * noise / np.linalg.norm(noise)
            moved = probabilities(rows @ shaken.T + intercepts)
            parts.append((moved - still) / np.linalg.norm(still, axis=1, keepdims=True))
        changes = np.concatenate(parts, 1)
        free = view.available[e].numpy().copy()
        distance = np.linalg.norm(changes, axis=1)
        picked = []
        for _ in range(4):
            column = int(np.where(free, distance, -1).argmax())
            picked.append(int(view.ids[e, column]))
            free[column] = False
            distance = np.minimum(distance, np.linalg.norm(changes - changes[column], axis=1))
        assert ids[e].tolist() == picked


@pytest.mark.parametrize("gamma", [4.0])
def test_falcun_draws_by_uncertainty_and_unlike_predictions(gamma: float) -> None:
    options = EpisodeOptions(pool_size=14, dev_size=10, initial_size=6, budget=4, batch_size=2)
    engine = LabelingEngine([synthetic_encoded(60, 3, seed=1)], options, 1500)
    engine.reset([Streams(0) for _ in range(1500)])
    for episode, stream in enumerate(engine.draws.streams):
        stream.strategy.bit_generator.state = np.random.default_rng(episode).bit_generator.state
    view = engine.view
    free = view.available[0].numpy()
    p = view.probabilities[0].double().numpy().T[free]
    ordered = np.sort(p, 1)
    unsure = 1 - (ordered[:, -1] - ordered[:, -2])

    def chances(distance: Floats, left: npt.NDArray[np.bool_]) -> Floats:
        own = distance[left]
        weight = np.zeros(left.size)
        weight[left] = (unsure[left] + (own - own.min()) / (own.max() - own.min())) ** gamma
        weight /= weight.sum()
        return weight

    first = chances(unsure, np.ones(8, bool))
    second = np.zeros(8)
    for i, chance in enumerate(first):
        distance = np.minimum(unsure, np.abs(p - p[i]).sum(1))
        second += chance * chances(distance, np.arange(8) != i)
    ids = Falcun(gamma=gamma).select(view, 2)
    places = torch.searchsorted(view.ids[0][view.available[0]], ids)
    for pick, expected in enumerate((first, second)):
        seen = np.bincount(places[:, pick].numpy(), minlength=8) / 1500
        assert np.abs(seen - expected).max() < 4 * np.sqrt(0.25 / 1500)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AlfaMix(cap=0.0), "cap 0.0 mixes nothing"),
        (lambda: DropQuery(copies=0), "0 copies"),
        (lambda: DropQuery(rate=1.0), "Dropout rate 1.0"),
        (lambda: NoiseStability(samples=0), "0 samples"),
        (lambda: Falcun(gamma=-1.0), "gamma -1.0"),
    ],
    ids=["cap", "copies", "rate", "samples", "gamma"],
)
def test_settings_out_of_range_are_refused(make: object, message: str) -> None:
    assert callable(make)
    with pytest.raises(ReActError, match=message):
        make()


@pytest.mark.parametrize("name", ["alfamix", "noise-stability"])
def test_features_are_those_of_the_last_layer_where_there_are_hidden_ones(name: str) -> None:
    options = EpisodeOptions(pool_size=40, dev_size=20, initial_size=8, budget=10, batch_size=5)
    engine = LabelingEngine([synthetic_encoded(200, 3)], options, 2, learner=MlpSettings())
    engine.reset([Streams(0), Streams(1)])
    ids = make_strategy(name).select(engine.view, 5)
    assert (ids >= 0).all()
    heads, intercepts = engine.view.weights
    scores = torch.bmm(heads, engine.view.features.transpose(1, 2)) + intercepts[:, :, None]
    torch.testing.assert_close(scores.argmax(1), engine.view.predicted)
