"""Each feature against a slow and obvious implementation in float64, at the start and inside a batch."""

from __future__ import annotations

import functools
import json

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy.special import entr
from torch import Tensor

from react_rl.acquisition import FEATURES, WeightedFeatures, make_strategy
from react_rl.acquisition.batching.selection import take_weighted
from react_rl.acquisition.clustering.k_means import k_means
from react_rl.acquisition.committees import lasting_committee
from react_rl.acquisition.features import NEEDS, Growth, landmarks, posterior
from react_rl.acquisition.registry import STRATEGIES, entry_of
from react_rl.acquisition.wide.narrow import NarrowView
from react_rl.errors import ReActError
from react_rl.seeding import Streams
from react_rl.simulation import EpisodeOptions, LabelingEngine, synthetic_encoded

Floats = npt.NDArray[np.float64]


@functools.lru_cache
def _heads_and_centres(engine: LabelingEngine, e: int, n_classes: int, size: int) -> tuple[Floats, Floats]:
    """Scores of a lasting committee (M, C, P) and centroids of the clusters (K, D) of an episode at rest."""
    view = engine.view
    rows = view.in_pool.sum(1) // 16
    found = k_means(view, view.in_pool, rows.clamp_min(1), generator=lambda _: np.random.default_rng(0))
    scores = lasting_committee(view).logits()[e, :, :n_classes, :size]
    return scores.double().numpy(), found.centres[e, : int(rows[e])].double().numpy()


class Slow:
    """One episode in float64, row by row, with the picks of a batch added to its labelled rows.

    Args:
        engine: The episodes.
        e: Which of them.
        picks: Columns picked so far in the batch.
    """

    def __init__(self, engine: LabelingEngine, e: int, picks: list[int]) -> None:
        view, data, draw = engine.view, engine.corpus_of(e), engine.draw_of(e)
        self.data, self.rows = data, draw.pool
        size = draw.pool.size
        self.size, self.n_classes = size, draw.classes.size
        logits = engine.learner.logits_of(slice(0, size))[e, : self.n_classes].double().numpy().T
        raised = np.exp(logits - logits.max(1, keepdims=True))
        self.p: Floats = raised / raised.sum(1, keepdims=True)
        ordered = np.sort(self.p, axis=1)[:, ::-1]
        self.ordered = ordered
        self.unsure: Floats = 1 - (ordered[:, 0] - ordered[:, 1])
        columns, mask = view.labelled_columns
        live = mask[e].numpy() > 0
        self.known = columns[e].numpy()[live]  # abstained rows carry no label
        onehot = view.labelled_geometry[1][e].numpy().T[live]
        self.labels = onehot.argmax(1)
        self.shares = np.array([(self.labels == c).mean() for c in range(self.n_classes)])
        self.covering = [*self.known.tolist(), *picks]
        vectors = data.embeddings.double().numpy()[draw.pool]
        self.similarity: Floats = vectors @ vectors.T
        self.density: Floats = data.density.double().numpy()[draw.pool]
        self.kernel: Floats = np.exp((self.similarity - 1) / max(0.5 * (1 - self.density).mean(), 0.025))
        self.cost: Floats = view.cost[e, :size].double().numpy()
        self.vectors: Floats = vectors
        self.members, self.centres = _heads_and_centres(engine, e, self.n_classes, size)

    def gain(self, weight: Floats) -> Floats:
        covered = self.kernel[:, self.covering].max(1)
        return np.array([(weight * np.maximum(self.kernel[i] - covered, 0)).mean() for i in range(self.size)])

    def covariance(self) -> Floats:
        prior = self.similarity + 0.1**2
        chosen = prior[:, self.covering]
        inner = chosen[self.covering] + 0.4 * np.eye(len(self.covering))
        covariance: Floats = prior - chosen @ np.linalg.inv(inner) @ chosen.T
        return covariance

    def reduction(self, weight: Floats) -> Floats:
        covariance = self.covariance()
        return np.array(
            [(weight * covariance[i] ** 2).mean() / (covariance[i, i] + 0.4) for i in range(self.size)]
        )

    def cluster_gaps(self) -> Floats:
        far = ((self.vectors[:, None] - self.centres) ** 2).sum(2).argmin(1)
        labels = np.bincount(far[self.covering], minlength=len(self.centres))
        gaps = np.bincount(far, minlength=len(self.centres)) / self.size - labels / labels.sum()
        of_rows: Floats = gaps[far]
        return of_rows

    def information(self) -> Floats:
        raised = np.exp(self.members - self.members.max(1, keepdims=True))
        p = raised / raised.sum(1, keepdims=True)
        found: Floats = entr(p.mean(0)).sum(0) - entr(p).sum(1).mean(0)
        return found

    def votes(self) -> Floats:
        near = self.kernel[:, self.known]
        cast = np.stack([near[:, self.labels == c].sum(1) for c in range(self.n_classes)], 1)
        votes: Floats = (cast + 0.05 * self.shares) / (near.sum(1, keepdims=True) + 0.05)
        return votes

    def values(self) -> dict[str, Floats]:
        """Every feature by name ``(P,)``."""
        p, every = self.p, np.ones(self.size)
        gini = 1 - (p**2).sum(1)
        entropy = -(p * np.log(p)).sum(1)
        with np.errstate(divide="ignore", invalid="ignore"):
            said = np.nan_to_num(self.votes() * np.log(self.votes()))
        words = [len(self.data.corpus.texts[row].split()) for row in self.rows]
        gradients = [[np.linalg.norm(q - np.eye(q.size)[c]) * q[c] for c in range(q.size)] for q in p]
        return {
            "margin": -(1 - self.unsure),
            "entropy": entropy,
            "relative_entropy": entropy / np.log(self.n_classes),
            "least_confidence": 1 - self.ordered[:, 0],
            "second_probability": self.ordered[:, 1],
            "third_probability": self.ordered[:, 2] if self.n_classes > 2 else 0 * gini,
            "gini": gini,
            "expected_gradient": np.array(gradients).sum(1),
            "density": self.density,
            "crowding": self.kernel.mean(1),
            "novelty": -self.similarity[:, self.covering].max(1),
            "wide_novelty": -np.log(self.kernel[:, self.covering].sum(1) + 1e-3),
            "herding": self.gain(every),
            "unsure_herding": self.gain(self.unsure),
            "variance": np.diag(self.covariance()),
            "even_reduction": self.reduction(every),
            "unsure_reduction": self.reduction(self.unsure),
            "variance_reduction": gini * self.reduction(self.unsure),
            "expected_change": gini * self.reduction(self.unsure) / (np.diag(self.covariance()) + 0.4),
            "cluster_gap": self.cluster_gaps(),
            "bald": self.information(),
            "flips": np.zeros(self.size),  # nobody asked before
            "balance": 1 - self.shares[p.argmax(1)],
            "rarity": (p * (1 - self.shares)).sum(1),
            "vote_entropy": -said.sum(1) / np.log(self.n_classes),
            "disagreement": 0.5 * np.abs(self.votes() - p).sum(1),
            "mentions": np.zeros_like(self.cost),  # there are no tokens here
            "peak_entropy": np.zeros_like(self.cost),
            "cheapness": -self.cost,
            "brevity": -np.log(words),
        }


every_feature = pytest.mark.parametrize("name", sorted(FEATURES))


@every_feature
def test_a_feature_is_what_its_formula_says_before_and_inside_a_batch(
    name: str, mixed: LabelingEngine
) -> None:
    view = mixed.view
    growth = Growth(view)
    picks: list[list[int]] = [[] for _ in range(view.n_episodes)]
    for step in range(4):
        found = FEATURES[name].of(growth)
        for e in range(view.n_episodes):
            expected = Slow(mixed, e, picks[e]).values()[name]
            scale = np.abs(expected).max() + 1e-9
            assert found[e].double().numpy() / scale == pytest.approx(expected / scale, abs=1e-4), (e, step)
        chosen = [int(torch.nonzero(row)[5 * step + 2, 0]) for row in view.available]
        for own, column in zip(picks, chosen, strict=True):
            own.append(column)
        growth.add(torch.tensor(chosen))


@every_feature
def test_a_few_rows_have_the_features_that_they_have_among_all(name: str, mixed: LabelingEngine) -> None:
    view, of = mixed.view, FEATURES[name].of
    whole, few = Growth(view), Growth(view)
    of(whole), of(few)
    rows = torch.stack([torch.randperm(60, generator=torch.Generator().manual_seed(e))[:9] for e in range(6)])
    few.narrow(rows.sort(1).values)
    rows = rows.sort(1).values
    for place in (2, 7):
        scale = of(whole).abs().amax() + 1e-9
        assert torch.allclose(of(few) / scale, of(whole).gather(1, rows) / scale, atol=1e-4)
        whole.add(rows[:, place])
        few.add(rows[:, place])


def test_variances_are_the_same_bits_whenever_somebody_first_asks() -> None:
    options = EpisodeOptions(pool_size=90, dev_size=30, initial_size=6, budget=60, batch_size=7)
    engines = [LabelingEngine([synthetic_encoded(400, 3)], options, 2) for _ in range(2)]
    always, late = engines
    for engine in engines:
        engine.reset([Streams(seed) for seed in range(2)])
    for _ in range(6):
        Growth(always.view).posterior  # noqa: B018 keeps what the labels so far explain
        ids = make_strategy("margin").select(always.view, 7)
        for engine in engines:
            engine.step(ids)
    assert always.labels[0] > 2 * posterior.GROUP
    for name in ("variance", "variance_reduction"):
        assert torch.equal(FEATURES[name](always.view), FEATURES[name](late.view))


def test_other_labels_do_not_meet_what_earlier_ones_explained() -> None:
    options = EpisodeOptions(pool_size=90, dev_size=30, initial_size=20, budget=20)
    engine = LabelingEngine([synthetic_encoded(400, 3)], options, 2)
    engine.reset([Streams(seed) for seed in range(2)])
    kept = engine.view.kept("one", lambda: posterior.Covariances(torch.eye(5).repeat(2, 1, 1), 0.1, 0.4))
    fresh = kept.matrix.clone()
    columns, live = torch.tensor([[0, 1, 2, 3] * 4] * 2)[:, :15], torch.ones(2, 15)
    weights = torch.rand(2, 3, 5, generator=torch.Generator().manual_seed(0))

    def follow(labels: int, live: Tensor) -> tuple[int, Tensor | None]:
        return kept.follow(columns[:, :labels], live[:, :labels], weights)

    assert follow(15, live)[0] == 15
    first = kept.matrix.clone()
    assert follow(15, live) == (15, None)
    assert torch.equal(kept.matrix, first)
    assert follow(4, live) == (0, None)
    assert torch.equal(kept.matrix, fresh)
    done, sums = follow(15, live)
    assert done == 15
    assert torch.equal(kept.matrix, first)
    assert sums is not None
    assert torch.allclose(sums, torch.einsum("ekj,eij->eki", weights, first.square()))
    assert follow(15, torch.zeros(2, 15))[0] == 15
    assert torch.equal(kept.matrix, fresh)


def test_sums_made_on_the_way_are_those_of_a_pass_of_their_own() -> None:
    options = EpisodeOptions(pool_size=90, dev_size=30, initial_size=2 * posterior.GROUP, budget=20)
    engine = LabelingEngine([synthetic_encoded(400, 3)], options, 3)
    engine.reset([Streams(seed) for seed in range(3)])
    new, again = (Growth(engine.view).posterior.reductions for _ in range(2))
    assert torch.equal(new, again)


@pytest.fixture
def sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pools of more than 40 rows count as large, but all rows are landmarks, so sums stay what they are."""
    monkeypatch.setattr(landmarks, "ALL", 40)
    monkeypatch.setattr(landmarks, "SAMPLE", 100)
    monkeypatch.setattr(landmarks, "BLOCK", 1 << 10)


@every_feature
def test_a_large_pool_in_pieces_has_the_features_of_a_small_one(
    name: str, mixed: LabelingEngine, request: pytest.FixtureRequest
) -> None:
    of = FEATURES[name].of
    growth = Growth(mixed.view)
    of(growth)
    growth.add(torch.full((6,), 7))
    expected = of(growth)
    request.getfixturevalue("sampled")
    pieces = Growth(mixed.view)
    of(pieces)
    pieces.add(torch.full((6,), 7))
    scale = expected.abs().amax() + 1e-9
    assert torch.allclose(of(pieces) / scale, expected / scale, atol=1e-4)


def test_a_sample_of_landmarks_comes_close_to_the_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    options = EpisodeOptions(pool_size=1200, dev_size=50, initial_size=12, budget=60, batch_size=20)
    engine = LabelingEngine([synthetic_encoded(2400, 4)], options, 2)
    engine.reset([Streams(seed) for seed in range(2)])
    exact = {
        name: FEATURES[name](engine.view) for name in ("unsure_herding", "variance_reduction", "crowding")
    }
    monkeypatch.setattr(landmarks, "ALL", 100)
    monkeypatch.setattr(landmarks, "SAMPLE", 600)
    for name, expected in exact.items():
        found = FEATURES[name](engine.view)
        for e in range(2):
            assert np.corrcoef(found[e].numpy(), expected[e].numpy())[0, 1] > 0.85, (
                name
            )  # .66 where sampled rows count themselves as many


def test_the_kernel_is_kept_while_the_pool_stays_and_forgotten_with_it() -> None:
    options = EpisodeOptions(pool_size=60, dev_size=30, initial_size=6, budget=20, batch_size=5)
    engine = LabelingEngine([synthetic_encoded(300, 3)], options, 2)
    engine.reset([Streams(0), Streams(1)])
    first = FEATURES["crowding"](engine.view)
    engine.step(make_strategy("random").select(engine.view, 5))
    assert FEATURES["crowding"](engine.view) is first
    engine.reset([Streams(7)], [1])
    again = FEATURES["crowding"](engine.view)
    assert torch.equal(again[0], first[0])
    assert not torch.equal(again[1], first[1])
    assert torch.equal(landmarks.bandwidth(engine.view)[0], landmarks.bandwidth(engine.view)[0])


@every_feature
def test_a_feature_is_a_strategy_that_takes_its_largest_row_first(name: str, mixed: LabelingEngine) -> None:
    strategy = make_strategy(f"feature:{name}")
    assert strategy.name == f"feature:{name}"
    view = mixed.view
    ids = strategy.select(view, 4)
    values = torch.where(view.available, FEATURES[name](view), -torch.inf)
    for e in range(view.n_episodes):
        first = int((view.ids[e] == ids[e, 0]).nonzero()[0, 0])
        assert values[e, first] == pytest.approx(float(values[e].max()), abs=1e-6)


def test_variance_reduction_takes_what_brute_force_takes(mixed: LabelingEngine) -> None:
    view = mixed.view
    ids = make_strategy("variance-reduction").select(view, 5)
    for e in range(view.n_episodes):
        picks: list[int] = []
        free = view.available[e].numpy().copy()
        for _ in range(5):
            gain = Slow(mixed, e, picks).values()["variance_reduction"]
            picks.append(int(np.where(free, gain, -np.inf).argmax()))
            free[picks[-1]] = False
        assert ids[e].tolist() == view.ids[e][picks].tolist()


def test_several_moving_features_are_weighed_together(mixed: LabelingEngine) -> None:
    view = mixed.view
    weights = {"unsure_herding": 1.0, "novelty": 0.3, "margin": 0.5}
    ids = WeightedFeatures("mine", weights).select(view, 4)
    for e in range(view.n_episodes):
        picks: list[int] = []
        free = view.available[e].numpy().copy()
        start = {name: Slow(mixed, e, []).values()[name] for name in weights}
        where = view.available[e].numpy()
        for _ in range(4):
            now = Slow(mixed, e, picks).values()
            total = sum(
                weight * (now[name] - start[name][where].mean()) / start[name][where].std()
                for name, weight in weights.items()
            )
            picks.append(int(np.where(free, total, -np.inf).argmax()))
            free[picks[-1]] = False
        assert ids[e].tolist() == view.ids[e][picks].tolist()


def test_a_large_pool_keeps_its_best_rows_up_to_date(
    mixed: LabelingEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    features = ("variance_reduction", "density")
    weights = torch.tensor([[1.0, 0.5]]).expand(6, -1)
    exact = take_weighted(mixed.view, features, weights, 4)
    monkeypatch.setattr("react_rl.acquisition.batching.selection.ALL", 40)
    monkeypatch.setattr("react_rl.acquisition.batching.selection._SHORT", 30)
    assert torch.equal(take_weighted(mixed.view, features, weights, 4), exact)


@pytest.mark.parametrize("n", [25, 1000])
def test_a_batch_larger_than_the_short_list_is_still_chosen_and_a_pool_can_be_bought_whole(
    n: int, mixed: LabelingEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    features, weights = ("variance_reduction", "density"), torch.tensor([[1.0, 0.5]]).expand(6, -1)
    exact = take_weighted(mixed.view, features, weights, n)
    monkeypatch.setattr("react_rl.acquisition.batching.selection.ALL", 40)
    monkeypatch.setattr("react_rl.acquisition.batching.selection._SHORT", 5)
    assert torch.equal(take_weighted(mixed.view, features, weights, n), exact)


def test_the_slow_implementation_knows_every_feature(mixed: LabelingEngine) -> None:
    assert set(Slow(mixed, 0, []).values()) == set(FEATURES)


def test_every_feature_says_what_it_is_and_what_it_needs() -> None:
    for name, feature in FEATURES.items():
        assert feature.summary
        assert feature.needs
        assert feature.needs <= set(NEEDS), name
        assert entry_of(f"feature:{name}").summary.startswith(feature.summary)


def test_an_unknown_feature_of_a_strategy_names_the_nearest() -> None:
    with pytest.raises(ReActError, match="Did you mean 'rarity'"):
        make_strategy("feature:rarety")
    assert "variance-reduction" in STRATEGIES


def test_flips_are_counted_from_round_to_round_and_asking_again_counts_nothing(mixed: LabelingEngine) -> None:
    of, player = FEATURES["flips"], make_strategy("margin")
    before, expected = mixed.view.predicted.clone(), torch.zeros(mixed.view.ids.shape)
    assert not of(mixed.view).any()
    for _ in range(3):
        mixed.step(player.select(mixed.view, 2))
        expected += (mixed.view.predicted != before) & mixed.view.in_pool
        before = mixed.view.predicted.clone()
        few = NarrowView(mixed.view, torch.tensor([4, 1]), torch.arange(5, 40).expand(2, -1))
        assert torch.equal(of(few), expected[[4, 1], 5:40])
        for _ in range(2):
            assert torch.equal(of(mixed.view), expected)
        assert torch.equal(of(few), expected[[4, 1], 5:40])
    assert expected.max() > 1
    assert json.loads(json.dumps(mixed.view.notebook(0).state())) == mixed.view.notebook(0).state()
