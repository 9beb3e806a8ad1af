"""Scores of the pool: only when asked for, only of rows without a label, whatever rectangle they ride in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from react_rl.acquisition import make_strategy
from react_rl.learners.finetune import reading
from react_rl.learners.finetune.methods.network import Network
from react_rl.learners.finetune.training.prediction import Reading, predict
from react_rl.learners.finetune.training.store import TextStore
from react_rl.seeding import Streams
from react_rl.simulation import EncodedCorpus, EpisodeOptions, LabelingEngine

SMALL = EpisodeOptions(pool_size=30, dev_size=12, initial_size=4, budget=12, batch_size=4)


class Asked:
    """Notes which rows each call of ``predict`` scores, fillers left out."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.rows: list[list[set[int]]] = []

        def noted(*given: Any, **more: Any) -> list[Tensor]:
            self.rows.append([set(rows.tolist()) for rows in given[3]])
            assert all(len(rows) == len(set(rows.tolist())) for rows in given[3])
            return predict(*given, **more)

        patch.setattr(reading, "predict", noted)


def rows_scored(engine: LabelingEngine, rows: list[np.ndarray[Any, Any]]) -> torch.Tensor:
    found: Tensor = engine.learner.logits_of_rows(rows)
    return found


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    return Asked(monkeypatch)


@pytest.fixture
def engine(tiny_corpus: Callable[..., Any], finetuning: Callable[..., Any]) -> LabelingEngine:
    corpus = tiny_corpus()
    vectors = np.random.default_rng(0).standard_normal((corpus.n_rows, 8)).astype(np.float32)
    made = LabelingEngine([EncodedCorpus.build(corpus, vectors)], SMALL, 2, learner=finetuning())
    made.reset([Streams(1), Streams(2)])
    return made


def unlabelled(engine: LabelingEngine) -> list[set[int]]:
    return [set(engine.view.ids[e][~engine.view.labelled[e]].tolist()) for e in range(2)]


def test_a_strategy_that_looks_at_no_score_costs_no_prediction_of_the_pool(
    asked: Asked, engine: LabelingEngine
) -> None:
    dev = [set(engine.draw_of(e).dev.tolist()) for e in range(2)]
    asked.rows.clear()
    while not engine.finished.all():
        engine.step(make_strategy("random").select(engine.view, 4))
    assert asked.rows == [dev] * 3


def test_only_rows_without_a_label_are_scored_and_once_a_round(asked: Asked, engine: LabelingEngine) -> None:
    for _ in range(3):
        asked.rows.clear()
        view = engine.view
        for _ in range(2):
            assert view.margin.shape == view.entropy.shape == (2, 30)
        with torch.inference_mode():
            assert torch.equal(engine.learner.logits_of(slice(0, 30)), view.logits)
        assert asked.rows == [unlabelled(engine)]
        assert view.probabilities[view.available.unsqueeze(1).expand(-1, 3, -1)].isfinite().all()
        engine.step(make_strategy("margin").select(view, 4))


def test_a_row_that_was_not_bought_is_scored_again_after_a_short_batch(engine: LabelingEngine) -> None:
    old = engine.view.logits.clone()
    ids = engine.view.ids
    picked = torch.full((2, 4), -1)
    for e in range(2):
        free = ids[e][engine.view.available[e]]
        picked[e, :2] = free[[3, 5]]
    engine.step(picked)
    new = engine.view.logits
    for e in range(2):
        rows = ids[e][engine.view.available[e]].numpy()
        expected = rows_scored(engine, [rows] * 2)[e]
        torch.testing.assert_close(new[e][:, engine.view.available[e]], expected, rtol=1e-4, atol=1e-4)
        assert ((new[e] - old[e]).abs().amax(0) > 0)[engine.view.available[e]].all()


def test_labelled_rows_are_scored_by_the_present_model_when_asked_for(engine: LabelingEngine) -> None:
    for _ in range(2):
        columns, live = engine.view.labelled_columns
        fitted = engine.view.fitted_logits
        for e in range(2):
            rows = engine.view.ids[e][columns[e]].numpy()
            expected = rows_scored(engine, [rows] * 2)[e]
            torch.testing.assert_close(fitted[e], expected, rtol=1e-4, atol=1e-4)
        assert live.all()
        engine.step(make_strategy("random").select(engine.view, 4))


def test_a_view_is_consistent_with_itself(engine: LabelingEngine) -> None:
    engine.step(make_strategy("margin").select(engine.view, 4))
    view = engine.view
    weights, intercepts = view.weights
    assert not view.linear
    assert view.features.shape == (2, 30, 32)
    assert weights.shape == (2, 3, 32)
    scores = torch.einsum("ech,eph->ecp", weights, view.features) + intercepts[:, :, None]
    free = view.available[:, None].expand(-1, 3, -1)
    torch.testing.assert_close(scores[free], view.logits[free], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(view.probabilities, view.logits.softmax(1))
    assert torch.equal(view.predicted, view.logits.argmax(1))


def test_monte_carlo_samples_differ_and_lie_around_the_score_without_dropout(
    classroom: Any, tiny_corpus: Callable[..., Any], finetuning: Callable[..., Any]
) -> None:
    room = classroom(finetuning(method="head", dropout=0.3, epochs=6), [tiny_corpus()], [0, 0], [1, 2])
    room.teach([0, 1], [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]])
    samples = room.learner.dropout_logits(slice(0, 24), 200)
    assert samples.shape == (2, 200, 3, 24)
    clean = room.learner.logits_of_rows(list(room.rows[:, :24]))
    # A linear head on dropped vectors is right on average.
    error = samples.std(1) / 200**0.5
    assert error.min() > 0
    assert ((samples.mean(1) - clean).abs() / error).max() < 5
    again = room.learner.dropout_logits(slice(0, 24), 3)
    assert torch.equal(again, samples[:, :3])
    assert len({tuple(sample.flatten().tolist()) for sample in samples[0]}) == 200
    room.teach([0, 1], [[12, 13], [14, 15]])
    assert not torch.equal(room.learner.dropout_logits(slice(0, 24), 3), again)


# Rectangles.


@pytest.fixture
def scored(
    finetuning: Callable[..., Any], tiny_corpus: Callable[..., Any], tmp_path: Any
) -> Callable[..., Any]:
    """From a bound on tokens (and keys) to scores of two episodes with 40 and 7 rows, and sizes of passes."""
    network = Network(finetuning(dropout=0.4), 3)
    store = TextStore(tiny_corpus().texts, network, tmp_path)
    weights = network.begin(torch.tensor([1, 2]))
    for name, array in weights.items():
        if "lora_B" in name:
            array += 0.1
    rows = [np.arange(40)[::-1].copy(), np.arange(60, 67)]
    reading = Reading(
        lambda r, one: store.lengths[torch.from_numpy(one)].numpy(),
        lambda chosen: store.rectangle(torch.from_numpy(chosen.reshape(-1))),
    )

    def of(tokens: int, features: bool = False, keys: Tensor | None = None, one: int | None = None) -> Any:
        sizes: list[int] = []

        def rectangle(chosen: Any) -> Any:
            texts = reading.rectangle(chosen)
            sizes.append(texts.mask.numel())
            return texts

        part = slice(None) if one is None else slice(one, one + 1)
        with torch.inference_mode():
            found = predict(
                network, {n: a[part] for n, a in weights.items()}, torch.ones(2, 3, dtype=torch.bool)[part],
                rows[part], Reading(lambda r, o: reading.lengths(r, o), rectangle), tokens,
                None if keys is None else keys[part], features,
            )  # fmt: skip
        return found, sizes

    return of


@pytest.mark.parametrize("tokens", [10**6, 300, 64, 1])
@pytest.mark.parametrize("dropped", [False, True])
def test_neither_padding_nor_company_nor_the_size_of_a_pass_changes_a_score(
    tokens: int, dropped: bool, scored: Callable[..., Any]
) -> None:
    keys = torch.tensor([5, 6], dtype=torch.int32) if dropped else None
    expected, _ = scored(10**6, keys=keys)
    assert [tuple(one.shape) for one in expected] == [(3, 40), (3, 7)]
    found, sizes = scored(tokens, keys=keys)
    assert len(sizes) > 1 or tokens == 10**6
    assert max(sizes) <= max(tokens, 2 * 16)
    for e in range(2):
        torch.testing.assert_close(found[e], expected[e], rtol=1e-4, atol=1e-5)
        (alone,), _ = scored(tokens, keys=keys, one=e)
        torch.testing.assert_close(alone, expected[e], rtol=1e-4, atol=1e-5)


def test_vectors_come_in_the_order_of_the_rows(scored: Callable[..., Any]) -> None:
    whole, _ = scored(10**6, features=True)
    parts, _ = scored(90, features=True)
    assert [tuple(one.shape) for one in whole] == [(32, 40), (32, 7)]
    for one, other in zip(whole, parts, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_no_rows_are_no_trouble(
    classroom: Any, tiny_corpus: Callable[..., Any], finetuning: Callable[..., Any]
) -> None:
    room = classroom(finetuning(), [tiny_corpus()], [0, 0], [1, 2])
    nothing = np.zeros(0, np.int64)
    found = room.learner._predict([0, 1], [nothing, np.arange(3)])
    assert [tuple(one.shape) for one in found] == [(3, 0), (3, 3)]
    assert room.learner._predict([0, 1], [nothing, nothing])[0].shape == (3, 0)
    assert not room.logits().any()  # before the first label nothing is scored
