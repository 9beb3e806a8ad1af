"""One round of training: schedule, loss, batches, early stopping, and what a round begins from."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from react_rl.learners.finetune.methods.network import Network
from react_rl.learners.finetune.settings import FineTuneSettings
from react_rl.learners.finetune.training.fitting import (
    _batches,
    _Best,
    _gradients,
    _importance,
    _schedule,
    fit,
)
from react_rl.learners.finetune.training.lesson import Lesson
from react_rl.learners.finetune.training.restarting import restarted
from react_rl.learners.finetune.training.store import TextStore
from react_rl.tasks.heads import ClassHead, cross_entropy


def lesson_of(targets: list[list[int]], n_classes: int = 3, **more: Any) -> Lesson:
    episodes, n = np.shape(targets)
    given: dict[str, Any] = {
        "targets": torch.tensor(targets)[:, :, None],
        "lengths": np.random.default_rng(0).integers(1, 9, (episodes, n)),
        "class_mask": torch.ones(episodes, n_classes, dtype=torch.bool),
        "seeds": torch.arange(episodes) + 7,
        "rounds": np.zeros(episodes, np.int64),
        "rectangle": lambda chosen: None,
        "head": ClassHead("texts"),
    }
    return Lesson(**{**given, **more})


# The schedule.


def test_the_rate_rises_and_falls_in_lines() -> None:
    found = [_schedule(step, 10, 0.3) for step in range(10)]
    expected = [0, 1 / 3, 2 / 3, 1, 6 / 7, 5 / 7, 4 / 7, 3 / 7, 2 / 7, 1 / 7]
    assert found == pytest.approx(expected)
    assert [_schedule(step, 4, 0.0) for step in range(4)] == [1, 0.75, 0.5, 0.25]
    assert _schedule(0, 1, 0.9) == 1  # the only step is a step


@pytest.mark.parametrize(("total", "warmup"), [(7, 0.1), (20, 0.1), (20, 0.5), (33, 0.99)])
def test_the_schedule_is_that_of_transformers(total: int, warmup: float) -> None:
    from transformers import get_linear_schedule_with_warmup

    adam = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    theirs = get_linear_schedule_with_warmup(adam, int(warmup * total), total)
    for step in range(total):
        assert _schedule(step, total, warmup) == pytest.approx(theirs.get_last_lr()[0])
        adam.step()
        theirs.step()


# Loss.


def scores(seed: int = 0) -> Tensor:
    """Scores (2, 5, 4); the first episode has 3 classes."""
    drawn = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(seed)) * 2
    drawn[0, :, 3] = -1e30
    return drawn


MASK = torch.tensor([[True, True, True, False], [True, True, True, True]])
TARGETS = torch.tensor([[0, 1, 2, 2, 1], [3, 3, 0, 1, 2]])


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.7])
def test_label_smoothing_spreads_over_an_episodes_own_classes(smoothing: float) -> None:
    found = cross_entropy(scores(), TARGETS, MASK, smoothing)
    for e, n in ((0, 3), (1, 4)):
        expected = torch.nn.functional.cross_entropy(
            scores()[e, :, :n], TARGETS[e], reduction="none", label_smoothing=smoothing
        )
        torch.testing.assert_close(found[e], expected)


def test_balanced_classes_weigh_the_same() -> None:
    lesson = lesson_of([[0, 0, 0, 1], [2, 2, 1, 1]])
    importance = _importance(lesson, FineTuneSettings(class_weights="balanced"))
    torch.testing.assert_close(importance, torch.tensor([[4 / 6, 2.0, 0.0], [0.0, 1.0, 1.0]]))
    for targets, own in zip(lesson.targets[:, :, 0], importance, strict=True):
        totals = torch.zeros(3).index_add_(0, targets, own[targets])
        assert len(set(totals[totals > 0].tolist())) == 1
    assert torch.equal(_importance(lesson, FineTuneSettings()), torch.ones(2, 3))


@pytest.fixture
def ready(
    finetuning: Callable[..., Any], tiny_corpus: Callable[..., Any], tmp_path: Any
) -> Callable[..., Any]:
    """From settings to (network, store, weights of two episodes, lesson)."""

    def of(
        n: int = 11, **changes: Any
    ) -> tuple[Network, TextStore, dict[str, Tensor], Lesson, FineTuneSettings]:
        settings = finetuning(**{"method": "lora", "dropout": 0.0, **changes})
        corpus, network = tiny_corpus(), Network(settings, 3)
        store = TextStore(corpus.texts, network, tmp_path)
        rng = np.random.default_rng(0)
        rows = np.stack([rng.choice(corpus.n_rows, n, replace=False) for _ in range(2)])

        def rectangle(chosen: Any) -> Any:
            return store.rectangle(torch.from_numpy(np.take_along_axis(rows, chosen, 1).reshape(-1)))

        lesson = lesson_of(
            corpus.targets[rows].tolist(),
            lengths=store.lengths[torch.from_numpy(rows)].numpy(),
            rectangle=rectangle,
        )
        return network, store, network.begin(torch.tensor([1, 2])), lesson, settings

    return of


def gradients(ready: Any, pieces: int, **changes: Any) -> tuple[dict[str, Tensor], Tensor]:
    network, _, weights, lesson, settings = ready(**changes)
    for array in weights.values():
        array.requires_grad_()
    chosen = np.stack([np.arange(7), np.arange(7)[::-1]])
    importance = _importance(lesson, settings)
    loss = _gradients(network, weights, lesson, importance, chosen, 5, settings, pieces)
    return {name: array.grad for name, array in weights.items() if array.grad is not None}, loss


@pytest.mark.parametrize("pieces", [2, 3, 7])
def test_pieces_of_a_batch_give_the_gradient_of_the_batch(pieces: int, ready: Any) -> None:
    for changes in (
        {}, {"dropout": 0.3}, {"class_weights": "balanced", "label_smoothing": 0.1},
        {"dropout": 0.3, "r_drop": 2.0},
    ):  # fmt: skip
        whole, loss = gradients(ready, 1, **changes)
        parts, same = gradients(ready, pieces, **changes)
        torch.testing.assert_close(same, loss)
        assert whole.keys() == parts.keys()
        for name, array in whole.items():
            torch.testing.assert_close(parts[name], array, rtol=1e-4, atol=1e-6)
        assert max(float(array.abs().max()) for array in whole.values()) > 1e-2


def test_the_loss_of_a_batch_is_the_weighted_mean_over_its_rows(ready: Any) -> None:
    network, _, weights, lesson, _ = ready(class_weights="balanced")
    _, loss = gradients(ready, 1, class_weights="balanced")
    with torch.no_grad(), network.mount(weights):
        chosen = np.stack([np.arange(7), np.arange(7)[::-1]])
        found = network.classify(network.features(lesson.rectangle(chosen)), lesson.class_mask)
    for e in range(2):
        own = lesson.targets[e, :, 0][torch.from_numpy(chosen[e].copy())]
        counts = torch.bincount(lesson.targets[e, :, 0], minlength=3)
        weight = 11 / ((counts > 0).sum() * counts.clamp_min(1))
        expected = torch.nn.functional.cross_entropy(found[e], own, weight=weight)
        assert float(loss[e]) == pytest.approx(float(expected), rel=1e-4)


# Batches.


def test_an_epoch_visits_every_row_once_in_an_order_of_its_own() -> None:
    lesson = lesson_of([[0] * 37] * 3)
    seen = []
    for epoch in range(2):
        cuts = _batches(lesson, 4, epoch)
        assert sorted(cut.shape[1] for cut in cuts) == [1] + [4] * 9
        order = np.concatenate(cuts, 1)
        assert (np.sort(order, 1) == np.arange(37)).all()
        seen += [tuple(row) for row in order]
    later = replace(lesson, rounds=np.ones(3, np.int64))
    seen += [tuple(row) for row in np.concatenate(_batches(later, 4, 0), 1)]
    assert len(set(seen)) == 9


def test_the_order_of_an_episode_does_not_depend_on_its_company() -> None:
    lesson = lesson_of([[0] * 21] * 3)
    alone = replace(lesson, lengths=lesson.lengths[1:2], seeds=lesson.seeds[1:2], rounds=lesson.rounds[1:2])
    for together, single in zip(_batches(lesson, 4, 3), _batches(alone, 4, 3), strict=True):
        assert (together[1] == single[0]).all()


def test_neighbours_in_a_batch_have_similar_lengths() -> None:
    lengths = np.random.default_rng(1).integers(1, 60, (1, 64))
    lesson = replace(lesson_of([[0] * 64]), lengths=lengths)

    def padded(cuts: list[Any]) -> int:
        return sum(int(lengths[0, cut[0]].max()) * cut.shape[1] for cut in cuts)

    cuts = _batches(lesson, 8, 0)
    unsorted = [np.arange(start, start + 8)[None] for start in range(0, 64, 8)]
    assert padded(cuts) < 0.8 * padded(unsorted)


@pytest.mark.parametrize(("changes", "steps"), [({"epochs": 3}, 9), ({"steps": 5}, 5), ({"steps": 1}, 1)])
def test_as_many_steps_are_taken_as_asked_for(changes: dict[str, int], steps: int, ready: Any) -> None:
    network, _, weights, lesson, settings = ready(**changes)
    assert fit(network, weights, lesson, settings, 1e-3, 1).steps == steps


# Early stopping.


def epoch_of(*values: float) -> dict[str, Tensor]:
    return {"w": torch.tensor(values)[:, None], "m": torch.tensor(values)[:, None, None].expand(-1, 2, 2)}


def test_the_epoch_with_the_lowest_dev_loss_is_kept_until_patience_ends() -> None:
    best = _Best(epoch_of(0, 0, 0), 2)
    measured = [[3.0, 1.0, math.nan], [2.0, 2.0, 4.0], [2.5, 1.5, 3.0], [1.0, 0.5, 3.0], [0.9, 0.1, 3.0]]
    ends = [best.update(torch.tensor(row), epoch_of(*[float(n)] * 3)) for n, row in enumerate(measured, 1)]
    # The second episode waited through epochs 2 and 3, so its epochs 4 and 5 come too late.
    assert best.weights["w"][:, 0].tolist() == [5, 1, 3]
    assert best.weights["m"][:, 1, 1].tolist() == [5, 1, 3]
    assert ends == [False] * 5
    closing = _Best(epoch_of(0, 0), 1)
    curve = ([1.0, 1.0], [2.0, 0.5], [3.0, 0.6])
    assert [closing.update(torch.tensor(row), epoch_of(1, 1)) for row in curve] == [False, False, True]
    endless = _Best(epoch_of(0), None)
    assert not any(endless.update(torch.tensor([float(n)]), epoch_of(n)) for n in range(5))
    assert endless.weights["w"].tolist() == [[0.0]]


def test_training_keeps_the_best_epoch_and_stops_when_all_are_out_of_patience(ready: Any) -> None:
    network, _, weights, lesson, settings = ready(epochs=10, patience=2)
    curves = torch.tensor([[5.0, 4.0, 4.5, 4.6, 0.1, 0.1], [5.0, 6.0, 7.0, 8.0, 9.0, 0.1]])
    seen: list[dict[str, Tensor]] = []

    def dev_loss(working: dict[str, Tensor]) -> Tensor:
        seen.append({name: array.detach().clone() for name, array in working.items()})
        return curves[:, len(seen) - 1]

    fitted = fit(network, weights, replace(lesson, dev_loss=dev_loss), settings, 1e-3, 1)
    assert len(seen) == 4
    assert fitted.steps == 4 * 3
    for name, array in fitted.weights.items():
        assert torch.equal(array[0], seen[1][name][0])
        assert torch.equal(array[1], seen[0][name][1])
    assert not torch.equal(seen[0]["head.out.weight"], seen[1]["head.out.weight"])


def test_dev_loss_is_the_log_loss_of_the_dev_rows(
    classroom: Any, tiny_corpus: Callable[..., Any], finetuning: Callable[..., Any]
) -> None:
    for method in ("lora", "full"):
        room = classroom(finetuning(method=method, patience=3), [tiny_corpus()], [0, 0], [1, 2])
        room.teach([0, 1], [[0, 1, 2, 3], [4, 5, 6, 7]])
        learner = room.learner
        weights = {name: array.clone() for name, array in learner._weights.items()}
        if learner.network.words is not None:
            rows = [changed.rows for changed in learner._words._changed]
            weights[learner.network.words] = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
        with torch.inference_mode():
            found = learner._dev_loss([0, 1])(weights)
        scored = room.logits()[:, :, 24:]
        truth = torch.from_numpy(room.corpora[0].targets[room.rows[:, 24:]])
        expected = torch.nn.functional.cross_entropy(scored, truth, reduction="none").mean(1)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
        assert abs(found[0] - found[1]) > 1e-3


# What a round begins from.


def taught(classroom: Any, corpus: Any, settings: Any) -> Any:
    room = classroom(settings, [corpus], [0, 0], [1, 2])
    room.teach([0, 1], [[0, 1, 2, 3], [4, 5, 6, 7]])
    return room


def scramble(room: Any, by: float = 0.3) -> None:
    generator = torch.Generator().manual_seed(0)
    for array in room.learner._weights.values():
        array += by * torch.randn(array.shape, generator=generator)
    for changed in room.learner._words._changed:
        if changed is not None:
            changed.rows.add_(by)


@pytest.mark.parametrize("method", ["lora", "full"])
@pytest.mark.parametrize("restart", ["reset", "warm", "shrink"])
def test_only_a_reset_forgets_what_was_learned_before(
    method: str, restart: str, classroom: Any, tiny_corpus: Callable[..., Any], finetuning: Callable[..., Any]
) -> None:
    found = []
    for history in (False, True):
        room = taught(classroom, tiny_corpus(), finetuning(method=method, restart=restart))
        if history:
            scramble(room)
        room.teach([0, 1], [[8, 9], [10, 11]])
        found.append(room.logits())
    assert torch.equal(*found) == (restart == "reset")


@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_round_begins_from_the_mix_that_the_settings_name(
    method: str, classroom: Any, tiny_corpus: Callable[..., Any], finetuning: Callable[..., Any]
) -> None:
    for restart, share in (("reset", 0.0), ("shrink", 0.3), ("warm", 1.0)):
        room = taught(classroom, tiny_corpus(), finetuning(method=method, restart=restart, shrink=0.3))
        learner = room.learner
        fresh = learner.network.begin(torch.tensor([1, 2]))
        begins = restarted(learner._begin, learner._weights, [0, 1], learner.settings.kept_share)
        assert begins.keys() == fresh.keys()
        for name, array in begins.items():
            expected = share * learner._weights[name] + (1 - share) * fresh[name]
            torch.testing.assert_close(array, expected)
        if method == "full":
            base, words = learner.network.pretrained(learner.network.words), learner.network.words
            tables = learner._words.tables([0, 1])[words]
            used = [changed.tokens.numpy() for changed in learner._words._changed]
            rows = learner._words.begin([0, 1], used, share)[0][words]
            for e in (0, 1):
                mixed = share * tables[e] + (1 - share) * base
                torch.testing.assert_close(rows[e, : len(used[e])], mixed[used[e]])


def test_a_warm_start_goes_on_and_a_new_round_has_new_batches(
    classroom: Any, tiny_corpus: Callable[..., Any], finetuning: Callable[..., Any]
) -> None:
    room = taught(classroom, tiny_corpus(), finetuning(restart="warm", learning_rate=1e-9))
    kept = {name: array.clone() for name, array in room.learner._weights.items()}
    scramble(room)
    room.teach([0], [[8, 9]])
    for name, array in room.learner._weights.items():
        assert (array[0] - kept[name][0]).abs().max() > 0.1  # stays where it was put
    assert room.learner._rounds.tolist() == [2, 1]


def test_layers_further_from_the_head_learn_more_slowly(ready: Any) -> None:
    network, _, weights, lesson, settings = ready(
        layer_decay=0.1, steps=1, warmup=0.0, weight_decay=0.0, method="bitfit"
    )
    fitted = fit(network, {name: array.clone() for name, array in weights.items()}, lesson, settings, 1e-2, 1)
    # The first step of Adam moves every weight by the rate.
    moved = {name: float((array - weights[name]).abs().max()) for name, array in fitted.weights.items()}
    assert moved["head.out.bias"] == pytest.approx(1e-2, rel=1e-2)
    for layer, expected in ((2, 1e-3), (1, 1e-4), (0, 1e-5)):
        assert moved[f"encoder.layer.{layer}.output.dense.bias"] == pytest.approx(expected, rel=0.02)
    assert moved["embeddings.LayerNorm.bias"] == pytest.approx(1e-6, rel=0.2)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"accumulate": 9, "batch_size": 8}, "accumulate 9 cuts a batch of 8 into nothing"),
        ({"method": "peft", "layers": 2}, "leave layers out, or use method lora"),
        ({"method": "loar"}, "Input should be 'full', 'head'"),
        ({"rang": 3}, "Extra inputs"),
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        FineTuneSettings.model_validate(wrong)
