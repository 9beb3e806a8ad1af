"""Each strategy against a slow and obvious implementation in float64, on rows and ids of the corpus."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt
import pytest
import torch

from react_rl.acquisition import FEATURES, MIXTURE, WeightedFeatures, make_strategy
from react_rl.acquisition.batching.selection import standardise, take_top, take_weighted
from react_rl.errors import ReActError
from react_rl.seeding import Streams
from react_rl.simulation import EncodedCorpus, EpisodeOptions, LabelingEngine, synthetic_encoded

Floats = npt.NDArray[np.float64]
OPTIONS = EpisodeOptions(pool_size=80, dev_size=30, initial_size=6, budget=40, batch_size=5)
E = 6


@cache
def corpora() -> tuple[EncodedCorpus, ...]:
    return tuple(synthetic_encoded(300, size, seed=size) for size in (2, 5, 18))


@pytest.fixture
def engine() -> LabelingEngine:
    """Six episodes on three corpora, two rounds in."""
    made = LabelingEngine(corpora(), OPTIONS, E)
    made.reset([Streams(k) for k in range(E)], corpora=[k % 3 for k in range(E)])
    for _ in range(2):
        made.step(make_strategy("random").select(made.view, 5))
    return made


def free_ids(engine: LabelingEngine, e: int) -> list[int]:
    found: list[int] = engine.view.ids[e][engine.view.available[e]].tolist()
    return found


def labelled_ids(engine: LabelingEngine, e: int) -> list[int]:
    found: list[int] = engine.view.ids[e][engine.view.labelled[e]].tolist()
    return found


def chances(engine: LabelingEngine, e: int) -> Floats:
    """Class probabilities of the available rows (A, C)."""
    logits = engine.learner.logits_of(slice(None))[e, : engine.draw_of(e).classes.size, :80].double().numpy()
    logits = logits[:, engine.view.available[e].numpy()].T
    raised: Floats = np.exp(logits - logits.max(1, keepdims=True))
    raised /= raised.sum(1, keepdims=True)
    return raised


def uncertainty(kind: str, p: Floats) -> Floats:
    ordered = np.sort(p, axis=1)
    values: dict[str, Floats] = {
        "margin": ordered[:, -2] - ordered[:, -1],
        "least-confidence": 1 - ordered[:, -1],
        "entropy": -(p * np.log(p)).sum(1),
    }
    return values[kind]


@pytest.mark.parametrize("kind", ["margin", "least-confidence", "entropy"])
@pytest.mark.parametrize("n", [1, 7, 100])
def test_uncertainty_takes_the_top_rows_in_order(engine: LabelingEngine, kind: str, n: int) -> None:
    ids = make_strategy(kind).select(engine.view, n)
    for e in range(E):
        free = np.array(free_ids(engine, e))
        expected = free[np.argsort(-uncertainty(kind, chances(engine, e)), kind="stable")][:n]
        assert ids[e][: expected.size].tolist() == expected.tolist()
        assert (ids[e][expected.size :] == -1).all()


@pytest.mark.parametrize("n", [1, 5, 12])
def test_k_center_takes_the_farthest_row_again_and_again(engine: LabelingEngine, n: int) -> None:
    ids = make_strategy("k-center").select(engine.view, n)
    for e in range(E):
        vectors = engine.corpus_of(e).embeddings.double().numpy()
        free, covered = free_ids(engine, e), labelled_ids(engine, e)
        expected = []
        for _ in range(n):
            distances = [min(np.linalg.norm(vectors[i] - vectors[j]) for j in covered) for i in free]
            pick = free.pop(int(np.argmax(distances)))
            covered.append(pick)
            expected.append(pick)
        assert ids[e].tolist() == expected


def brute_force(engine: LabelingEngine, e: int, weights: dict[str, float], n: int) -> list[int]:
    """Standardise over the available rows, weigh, pick the best, update novelty, and so on."""
    data = engine.corpus_of(e)
    vectors = data.embeddings.double().numpy()
    free, covered = free_ids(engine, e), labelled_ids(engine, e)
    p = chances(engine, e)
    labels = data.corpus.targets[covered]
    shares = np.array([(labels == c).mean() for c in engine.draw_of(e).classes])
    values = {
        "margin": uncertainty("margin", p),
        "entropy": uncertainty("entropy", p),
        "least_confidence": uncertainty("least-confidence", p),
        "density": data.density.double().numpy()[free],
        "novelty": -(vectors[free] @ vectors[covered].T).max(1),
        "balance": 1 - shares[p.argmax(1)],
    }
    mean = {name: column.mean() for name, column in values.items()}
    spread = {name: column.std() for name, column in values.items()}
    fixed = sum(
        weight * (values[name] - mean[name]) / spread[name]
        for name, weight in weights.items()
        if name != "novelty"
    )
    left, picks = list(range(len(free))), []
    for _ in range(n):
        novelty = -(vectors[free] @ vectors[covered].T).max(1)
        total = fixed + weights.get("novelty", 0.0) * (novelty - mean["novelty"]) / spread["novelty"]
        best = max(left, key=lambda i: total[i])
        left.remove(best)
        picks.append(free[best])
        covered.append(free[best])
    return picks


@pytest.mark.parametrize(
    "weights",
    [
        dict(MIXTURE),
        {"density": 1.0, "novelty": 1.0},
        {"novelty": -0.5, "entropy": 1.0},
        {"entropy": 0.3, "least_confidence": -0.2, "balance": 1.0, "novelty": 0.2, "density": -1.0},
        {"margin": 1.0, "density": 0.5},
        {"novelty": 1.0, "margin": 0.0},
    ],
)
def test_weighted_batches_are_those_of_brute_force(engine: LabelingEngine, weights: dict[str, float]) -> None:
    ids = WeightedFeatures("tested", weights).select(engine.view, 6)
    for e in range(E):
        assert ids[e].tolist() == brute_force(engine, e, weights, 6), f"episode {e}"


def test_the_named_weighted_strategies_have_the_weights_they_should(engine: LabelingEngine) -> None:
    for name, weights in (
        ("mixture", {"margin": 0.7, "density": 1.0, "novelty": 1.0, "balance": 0.5}),
        ("typicality", {"density": 1.0, "novelty": 1.0}),
        ("k-center", {"novelty": 1.0}),
    ):
        ids = make_strategy(name).select(engine.view, 6)
        for e in range(E):
            assert ids[e].tolist() == brute_force(engine, e, weights, 6)


def test_each_episode_has_weights_of_its_own(engine: LabelingEngine) -> None:
    features = ("margin", "novelty", "density")
    table = np.random.default_rng(0).uniform(-1, 1, (E, 3)).astype(np.float32)
    ids = take_weighted(engine.view, features, torch.from_numpy(table), 5)
    for e in range(E):
        weights = dict(zip(features, table[e].tolist(), strict=True))
        assert ids[e].tolist() == brute_force(engine, e, weights, 5)


def test_standardised_features_have_mean_zero_and_deviation_one_over_the_available_rows(
    engine: LabelingEngine,
) -> None:
    view = engine.view
    for name, feature in FEATURES.items():
        values = standardise(view, feature(view))
        for e in range(E):
            part = values[e][view.available[e]].double()
            if not part.any():
                # One price, two classes, no tags, never asked before.
                assert name in ("cheapness", "third_probability", "mentions", "peak_entropy", "flips")
                continue
            assert part.mean() == pytest.approx(0, abs=1e-4), name
            assert part.std(correction=0) == pytest.approx(1, abs=1e-3), name


def test_a_feature_that_says_nothing_weighs_nothing(engine: LabelingEngine) -> None:
    view = engine.view
    assert not standardise(view, torch.full((E, 80), 0.3)).any()
    flat_for_one = view.density.clone()
    flat_for_one[2] = 7.0
    values = standardise(view, flat_for_one)
    assert not values[2].any()
    assert values[1].any()


def test_rows_that_cannot_be_bought_do_not_move_the_moments(engine: LabelingEngine) -> None:
    view = engine.view
    wild = torch.where(view.available, view.density, 1e6)
    inside = torch.where(view.available, standardise(view, view.density), 0.0)
    assert torch.allclose(torch.where(view.available, standardise(view, wild), 0.0), inside, atol=1e-5)


def test_ties_at_the_end_of_a_batch_are_broken_evenly_and_clear_winners_stay(engine: LabelingEngine) -> None:
    view = engine.view
    scores = torch.zeros(E, 80)
    winner = [int(view.available[e].nonzero()[7, 0]) for e in range(E)]
    scores[range(E), winner] = 1.0
    hits = np.zeros(80)
    for _ in range(200):
        ids = take_top(view, scores, 3)
        for e in range(E):
            assert ids[e, 0] == view.ids[e, winner[e]]
        hits[torch.searchsorted(view.ids[0], ids[0, 1:]).numpy()] += 1
    free = view.available[0].numpy().copy()
    free[winner[0]] = False
    # 400 picks over 63 rows: 6.3 each, with a standard deviation of about 2.5.
    assert hits[~free].sum() == 0
    assert hits[free].max() < 20
    assert (hits[free] == 0).sum() < 5


def test_k_center_spreads_a_batch_even_where_all_rows_are_equally_far_from_the_labels() -> None:
    """Pairs of copies, all at right angles to the labelled rows: no pair may be picked twice."""
    data = corpora()[0]
    engine = LabelingEngine([data], OPTIONS)
    engine.reset([Streams(0)])
    draw = engine.draw_of(0)
    new = np.setdiff1d(draw.pool, draw.initial)
    axes = np.zeros(300, dtype=np.int64)
    axes[new] = 1 + np.arange(new.size) // 2
    vectors = np.eye(40, dtype=np.float32)[axes]
    engine = LabelingEngine([EncodedCorpus.build(data.corpus, vectors)], OPTIONS)
    engine.reset([Streams(0)])
    assert engine.draw_of(0).initial.tolist() == draw.initial.tolist()
    ids = make_strategy("k-center").select(engine.view, 20)[0].numpy()
    assert len(set(axes[ids])) == 20


def test_an_unknown_feature_names_the_nearest_and_no_weight_is_no_strategy() -> None:
    with pytest.raises(ReActError, match="Did you mean 'novelty'"):
        WeightedFeatures("mine", {"novelti": 1.0})
    with pytest.raises(ReActError, match="at least one feature with a weight other than 0"):
        WeightedFeatures("mine", {"novelty": 0.0})
    with pytest.raises(ReActError, match="at least one feature"):
        WeightedFeatures("mine", {})
