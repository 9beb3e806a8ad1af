"""The view: every quantity against plain numpy, padded rows and classes left out, nothing leaked."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace
from functools import cache

import numpy as np
import numpy.typing as npt
import pytest
import torch

from react_rl.acquisition import make_strategy
from react_rl.errors import ReActError
from react_rl.seeding import Streams
from react_rl.simulation import EncodedCorpus, EpisodeOptions, LabelingEngine, PoolView, synthetic_encoded

OPTIONS = EpisodeOptions(pool_size=60, dev_size=30, initial_size=8, budget=24, batch_size=4)
Floats = npt.NDArray[np.float64]


@cache
def corpus(n_classes: int) -> EncodedCorpus:
    made = synthetic_encoded(400, n_classes, seed=n_classes)
    return made.with_corpus(replace(made.corpus, name=f"classes-{n_classes}"))


CASES = {
    "up to three classes": (2, 3),
    "twenty classes beside two": (2, 20, 3),
    "class subsets": (3, 20),
    "many rows": (2, 5),
}
"""Numbers of classes of an engine's corpora; more than 16 classes and many rows take other code paths."""


@pytest.fixture(params=list(CASES))
def engine(request: pytest.FixtureRequest) -> LabelingEngine:
    """An engine three rounds into its episodes."""
    counts, options, n = CASES[request.param], OPTIONS, 4
    if request.param == "class subsets":
        options = OPTIONS.model_copy(update={"classes": (2, 3), "pool_size": 160, "abstention": 0.2})
    if request.param == "many rows":
        n = 120
    made = LabelingEngine([corpus(c) for c in counts], options, n)
    made.reset([Streams(k) for k in range(n)], corpora=[k % len(counts) for k in range(n)])
    for _ in range(3):
        made.step(make_strategy("mixture").select(made.view, 4))
    return made


def chances(engine: LabelingEngine, episode: int) -> Floats:
    """Class probabilities (P, C) of the pool rows of one episode, in float64."""
    draw = engine.draw_of(episode)
    logits = (
        engine.learner.logits_of(slice(None))[episode, : draw.classes.size, : draw.pool.size]
        .double()
        .numpy()
        .T
    )
    raised: Floats = np.exp(logits - logits.max(1, keepdims=True))
    raised /= raised.sum(1, keepdims=True)
    return raised


def pool_part(engine: LabelingEngine, values: torch.Tensor, episode: int) -> Floats:
    found: Floats = values[episode, : engine.draw_of(episode).pool.size].double().numpy()
    return found


def test_ids_are_the_rows_of_the_draw_in_order(engine: LabelingEngine) -> None:
    for e in range(engine.n_episodes):
        pool = engine.draw_of(e).pool
        assert engine.view.ids[e, : pool.size].tolist() == pool.tolist()
        assert (engine.view.ids[e, pool.size :] == torch.iinfo(torch.int64).max).all()
        assert not engine.view.available[e, pool.size :].any()
        assert not engine.view.labelled[e, pool.size :].any()
    assert (engine.view.n_available == engine.view.available.sum(1)).all()
    assert (engine.view.n_episodes, engine.view.width) == tuple(engine.view.ids.shape)


def test_margin_confidence_and_prediction_come_from_the_two_largest_probabilities(
    engine: LabelingEngine,
) -> None:
    view = engine.view
    for e in range(engine.n_episodes):
        expected = chances(engine, e)
        ordered = np.sort(expected, axis=1)
        np.testing.assert_allclose(pool_part(engine, view.confidence, e), ordered[:, -1], atol=1e-6)
        np.testing.assert_allclose(
            pool_part(engine, view.margin, e), ordered[:, -1] - ordered[:, -2], atol=2e-6
        )
        np.testing.assert_array_equal(pool_part(engine, view.predicted, e), expected.argmax(1))


def test_entropy_is_in_nats_over_the_classes_of_the_episode(engine: LabelingEngine) -> None:
    for e in range(engine.n_episodes):
        expected = chances(engine, e)
        entropy = -(expected * np.log(expected)).sum(1)
        np.testing.assert_allclose(pool_part(engine, engine.view.entropy, e), entropy, atol=1e-5)
        probabilities = engine.view.probabilities[e, : expected.shape[1], : expected.shape[0]]
        np.testing.assert_allclose(probabilities.T, expected, atol=1e-6)
        assert not engine.view.probabilities[e, expected.shape[1] :].any()


def test_the_nearest_labelled_row_is_found_among_answered_rows_only(engine: LabelingEngine) -> None:
    _, onehot, live = engine.view.labelled_geometry
    slots = engine.ledger.slot_columns()
    for e in range(engine.n_episodes):
        vectors = engine.corpus_of(e).embeddings.double().numpy()
        pool = engine.draw_of(e).pool
        answered = pool[slots[e][live[e] > 0].numpy()]
        assert set(answered) <= set(engine.view.ids[e][engine.view.labelled[e]].tolist())
        assert len(answered) == engine.labels[e] == onehot[e].sum()
        expected = (vectors[pool] @ vectors[answered].T).max(1)
        np.testing.assert_allclose(pool_part(engine, engine.view.nearest_labelled, e), expected, atol=1e-6)


def test_density_is_the_mean_similarity_to_twenty_train_neighbours(engine: LabelingEngine) -> None:
    for e in range(min(engine.n_episodes, 4)):
        data, pool = engine.corpus_of(e), engine.draw_of(e).pool
        train = data.corpus.ids("train")
        vectors = data.embeddings.double().numpy()
        similarity = vectors[pool] @ vectors[train].T
        similarity[pool[:, None] == train[None, :]] = -np.inf
        expected = np.sort(similarity, axis=1)[:, -20:].mean(1)
        np.testing.assert_allclose(pool_part(engine, engine.view.density, e), expected, atol=1e-5)


def test_labelled_geometry_holds_the_bought_rows(engine: LabelingEngine) -> None:
    similarity, onehot, live = engine.view.labelled_geometry
    slots = engine.ledger.slot_columns()
    for e in range(engine.n_episodes):
        draw, data = engine.draw_of(e), engine.corpus_of(e)
        present = np.flatnonzero(live[e].numpy())
        rows = draw.pool[slots[e].numpy()[present]]
        vectors = data.embeddings.double().numpy()[rows]
        np.testing.assert_allclose(similarity[e][present][:, present], vectors @ vectors.T, atol=1e-6)
        classes = draw.classes[onehot[e][:, present].argmax(0).numpy()]
        np.testing.assert_array_equal(classes, data.corpus.targets[rows])
        fitted = engine.view.fitted_logits[e][:, present]
        np.testing.assert_array_equal(fitted, engine.view.logits[e][:, slots[e].numpy()[present]])


def test_a_pick_is_similar_to_the_pool_as_its_embedding_says(engine: LabelingEngine) -> None:
    columns = torch.arange(engine.n_episodes) % 7
    found = engine.view.similarity_of_pick(columns)
    for e in range(engine.n_episodes):
        vectors, pool = engine.corpus_of(e).embeddings.double().numpy(), engine.draw_of(e).pool
        expected = vectors[pool] @ vectors[pool[int(columns[e])]]
        np.testing.assert_allclose(pool_part(engine, found, e), expected, atol=1e-6)


def test_looking_at_rows_does_not_change_what_is_learnt(engine: LabelingEngine) -> None:
    """Products of picked rows are remembered for the refit: other rows than those bought must not be used."""
    ids = make_strategy("margin").select(engine.view, 4)
    other = LabelingEngine(engine.corpora, engine.options, engine.n_episodes)
    for one in (engine, other):
        one.reset([Streams(100 + k) for k in range(one.n_episodes)])
    ids = make_strategy("margin").select(engine.view, 4)
    for column in range(4):
        engine.view.similarity_of_pick(torch.full((engine.n_episodes,), column))
    engine.step(ids)
    other.step(make_strategy("margin").select(other.view, 4))
    assert torch.equal(engine.learner.logits_of(slice(None)), other.learner.logits_of(slice(None)))


def test_only_hides_the_other_episodes_and_touches_no_stream_of_theirs() -> None:
    engine = LabelingEngine([corpus(3)], OPTIONS, 3)
    engine.reset([Streams(k) for k in range(3)])
    view = engine.view
    assert int(view.n_available[0]) == 52
    part = view.only(np.array([True, False, True]))
    assert part.n_available.tolist() == [52, 0, 52]
    assert view.n_available.tolist() == [52, 52, 52]
    assert not part.available[1].any()
    assert part.margin is view.margin or torch.equal(part.margin, view.margin)
    numbers = part.random()
    assert not numbers[1].any()
    untouched = [Streams(k) for k in range(3)]
    assert engine.draws.streams[1].strategy.random() == untouched[1].strategy.random()
    assert numbers[0].tolist() == untouched[0].strategy.random(60).tolist()


def test_random_numbers_are_uniform_and_the_episodes_own() -> None:
    engine = LabelingEngine([corpus(3)], OPTIONS, 40)
    engine.reset([Streams(k) for k in range(40)])
    numbers = engine.view.random()
    assert numbers.shape == (40, 60)
    assert numbers.dtype == torch.float64
    assert 0 <= numbers.min() < 0.01
    assert 0.99 < numbers.max() < 1
    assert numbers.mean() == pytest.approx(0.5, abs=0.03)
    assert len({row[0] for row in numbers.tolist()}) == 40
    assert not torch.equal(numbers, engine.view.random())


def test_progress_counts_what_was_spent_labelled_and_gained() -> None:
    engine = LabelingEngine([corpus(3)], OPTIONS, 2, metrics=("log_loss", "accuracy"))
    engine.reset([Streams(0), Streams(1)])
    start = {name: values.copy() for name, values in engine.current.items()}
    first = engine.step(make_strategy("margin").select(engine.view, 4))
    second = engine.step(make_strategy("margin").select(engine.view, 4))
    progress = engine.view.progress
    assert (progress.budget, progress.batch_size) == (24, 4)
    assert progress.spent.tolist() == [8, 8]
    assert progress.labels.tolist() == [16, 16]
    assert progress.rounds.tolist() == [2, 2]
    for name in ("accuracy", "log_loss"):
        dev = progress.metric(name)
        np.testing.assert_array_equal(dev.now, second.metrics[name])
        np.testing.assert_array_equal(dev.before, first.metrics[name])
        np.testing.assert_array_equal(dev.start, start[name])
    with pytest.raises(ReActError, match="'macro_f1' is asked for, but only log_loss, accuracy are measured"):
        progress.metric("macro_f1")
    assert progress.n_classes.tolist() == [3, 3]
    progress.spent[:] = 99
    assert engine.spent.tolist() == [8, 8]


def test_a_view_has_no_way_to_a_label_that_was_not_bought() -> None:
    names = {name for name in vars(PoolView) if not name.startswith("_")}
    assert not {"targets", "oracle", "answers", "dev_labels", "corpus", "corpora"} & names
    made = LabelingEngine([corpus(3)], OPTIONS)
    made.reset([Streams(0)])
    public = {name for name in vars(made.view) if not name.startswith("_")}
    assert public == {"ids", "available", "labelled", "cost", "density", "picks", "progress", "task"}


def test_costs_are_those_of_the_rows() -> None:
    cost = np.random.default_rng(0).uniform(1, 2, 400)
    data = corpus(3)
    priced = EncodedCorpus(
        replace(data.corpus, cost=cost), data.embeddings, data.density, torch.from_numpy(cost)
    )
    engine = LabelingEngine([priced], OPTIONS, 2)
    engine.reset([Streams(0), Streams(1)])
    for e in range(2):
        np.testing.assert_array_equal(engine.view.cost[e], cost[engine.draw_of(e).pool])


def test_copies_have_one_score_one_novelty_and_one_density_however_products_are_rounded() -> None:
    made = synthetic_encoded(300, 3)
    vectors = made.embeddings.numpy().copy()
    vectors[150:] = vectors[:150]  # every row twice, far apart
    data = EncodedCorpus.build(made.corpus, vectors)
    engine = LabelingEngine([data], EpisodeOptions(pool_size=170, dev_size=30, initial_size=6), 3)
    engine.reset([Streams(k) for k in range(3)])
    inner = engine.learner.logits_of

    def rounded_by_place(columns: slice, wanted: torch.Tensor | None = None) -> torch.Tensor:
        scores: torch.Tensor = inner(columns, wanted)
        return scores + 1e-6 * torch.randn(scores.shape, generator=torch.Generator().manual_seed(0))

    engine.learner.logits_of = rounded_by_place  # type: ignore[method-assign]
    view = engine.view
    assert view.copy_pairs is not None
    first = torch.arange(170).repeat(3, 1)
    first[view.copy_pairs[0], view.copy_pairs[1]] = view.copy_pairs[2]
    pick = view.similarity_of_pick(torch.tensor([0, 1, 2]))
    for e in range(3):
        twins = torch.nonzero(view.available[e] & (first[e] != torch.arange(170)))[:, 0]
        assert twins.numel() > 10
        said = (view.margin, view.confidence, view.entropy)
        for values in (*said, view.nearest_labelled, view.density, pick):
            assert torch.equal(values[e, twins], values[e, first[e, twins]])
        assert torch.equal(view.embeddings[e, twins], view.embeddings[e, first[e, twins]])
        for values in (view.logits[e], view.probabilities[e]):
            assert torch.equal(values[:, twins], values[:, first[e, twins]])


def test_a_corpus_without_copies_looks_for_none() -> None:
    engine = LabelingEngine([synthetic_encoded()], EpisodeOptions(pool_size=160, dev_size=30, initial_size=6))
    engine.reset([Streams(0)])
    assert engine.view.copy_pairs is None


@pytest.mark.parametrize("name", ["margin", "mixture", "variance-reduction"])
def test_the_memory_of_a_round_does_not_wait_for_the_garbage_collector(
    engine: LabelingEngine, name: str
) -> None:
    gc.collect()
    gc.disable()
    try:
        ids, seen = make_strategy(name).select(engine.view, 2), weakref.ref(engine.view)
        engine.step(ids)
        assert seen() is None
    finally:
        gc.enable()
