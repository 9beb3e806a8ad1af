"""Memory that runs out and losses that are not numbers, both by injection."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from react_rl.acquisition import make_strategy
from react_rl.errors import ReActError
from react_rl.experiments.run.episodes import play
from react_rl.learners.finetune import learner
from react_rl.learners.finetune.methods.network import Network, Texts
from react_rl.learners.finetune.training import fitting
from react_rl.learners.finetune.training import memory as memory_module
from react_rl.seeding import Streams
from react_rl.simulation import EncodedCorpus, EpisodeOptions, LabelingEngine

SMALL = EpisodeOptions(pool_size=24, dev_size=10, initial_size=4, budget=8, batch_size=4)


@pytest.fixture
def encoded(tiny_corpus: Callable[..., Any]) -> EncodedCorpus:
    corpus = tiny_corpus()
    vectors = np.random.default_rng(0).standard_normal((corpus.n_rows, 8)).astype(np.float32)
    return EncodedCorpus.build(corpus, vectors)


# Memory.


class Memory:
    """Lets ``Network.features`` fail on more tokens than a bound, and on more texts in training."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.texts, self.tokens = 10**9, 10**9
        self.refused, self.largest = 0, 0
        real = Network.features

        def features(network: Network, texts: Texts, *more: Any) -> Tensor:
            training = torch.is_grad_enabled()
            if texts.mask.numel() > self.tokens or (training and texts.mask.shape[0] > self.texts):
                self.refused += 1
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")
            if training:
                self.largest = max(self.largest, texts.mask.shape[0])
            return real(network, texts, *more)

        patch.setattr(Network, "features", features)


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Memory:
    return Memory(monkeypatch)


def school(classroom: Any, corpus: Any, settings: Any) -> Any:
    return classroom(settings, [corpus], [0, 0, 0, 0], [1, 2, 3, 4])


def rounds(room: Any) -> Tensor:
    everyone = [0, 1, 2, 3]
    room.teach(everyone, [[0, 1, 2, 3, 4], [4, 5, 6, 7, 8], [9, 8, 7, 6, 5], [1, 3, 5, 7, 9]])
    room.teach(everyone, [[20, 21, 22], [20, 22, 23], [11, 12, 13], [14, 15, 16]])
    scores: Tensor = room.logits()
    return scores


@pytest.mark.parametrize(
    ("texts", "at_once", "pieces", "restart"),
    [(16, 4, 1, "reset"), (8, 2, 1, "warm"), (4, 1, 1, "reset"), (3, 1, 2, "warm"), (1, 1, 4, "reset")],
)
def test_too_little_memory_for_training_changes_nothing_but_the_speed(
    texts: int, at_once: int, pieces: int, restart: str, memory: Memory, classroom: Any,
    tiny_corpus: Callable[..., Any], finetuning: Callable[..., Any], caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    settings = finetuning(dropout=0.2, restart=restart)
    expected = rounds(school(classroom, tiny_corpus(), settings))
    assert memory.largest == 16
    room = school(classroom, tiny_corpus(), settings)
    memory.texts, memory.largest = texts, 0
    with caplog.at_level(logging.WARNING):
        found = rounds(room)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert memory.largest <= texts
    assert (room.learner._at_once, room.learner._pieces) == (at_once, pieces)
    halvings = [record.message for record in caplog.records if "Out of memory" in record.message]
    assert len(halvings) == memory.refused == len(set(halvings))


@pytest.mark.parametrize("tokens", [100, 40])
def test_too_little_memory_for_predictions_leaves_the_training_side_by_side(
    tokens: int, memory: Memory, classroom: Any, tiny_corpus: Callable[..., Any],
    finetuning: Callable[..., Any], caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    settings = finetuning(dropout=0.2)
    expected = school(classroom, tiny_corpus(), settings)
    expected.teach([0, 1, 2, 3], [[0, 1], [2, 3], [4, 5], [6, 7]])
    room = school(classroom, tiny_corpus(), settings)
    room.teach([0, 1, 2, 3], [[0, 1], [2, 3], [4, 5], [6, 7]])
    memory.tokens = tokens
    with caplog.at_level(logging.WARNING):
        found = room.logits()
        samples = room.learner.dropout_logits(slice(0, 24), 2)
    memory.tokens = 10**9
    torch.testing.assert_close(found, expected.logits(), rtol=1e-4, atol=1e-4)
    wanted = expected.learner.dropout_logits(slice(0, 24), 2)
    torch.testing.assert_close(samples, wanted, rtol=1e-4, atol=1e-4)
    assert len(caplog.records) == memory.refused > 0
    if tokens >= 4 * 16:
        assert room.learner._at_once == 4
    assert room.learner._pieces == 1


def test_a_text_that_fits_nowhere_ends_in_one_sentence(
    memory: Memory, classroom: Any, tiny_corpus: Callable[..., Any], finetuning: Callable[..., Any]
) -> None:
    room = school(classroom, tiny_corpus(), finetuning())
    memory.texts = 0
    with pytest.raises(ReActError, match=r"does not fit into memory; lower learner.finetune.max_length"):
        room.teach([0, 1], [[0, 1], [2, 3]])
    memory.tokens = 0
    with pytest.raises(ReActError, match="A single text does not fit"):
        room.learner.logits_of_rows([np.arange(3)] * 4)


def test_other_errors_go_on_their_way(
    classroom: Any,
    tiny_corpus: Callable[..., Any],
    finetuning: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("sizes do not match")

    room = school(classroom, tiny_corpus(), finetuning())
    monkeypatch.setattr(Network, "features", broken)
    with pytest.raises(RuntimeError, match="sizes do not match"):
        room.teach([0, 1], [[0, 1], [2, 3]])
    assert room.learner._at_once == 4


# Losses that are not numbers.


class Poison:
    """Makes the scores of chosen (seed, try) pairs not a number, from the second step of a round on."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.bad: dict[int, int] = {}
        """Tries that go wrong, by seed of the episode, counted from the second round on."""
        self.rates: list[tuple[float, list[int]]] = []
        real = fitting.fit

        def fit(network: Any, weights: Any, lesson: Any, settings: Any, rate: float, pieces: int) -> Any:
            seeds = lesson.seeds.tolist()
            self.rates.append((rate, seeds))
            hit = [r for r, seed in enumerate(seeds) if self.bad.get(seed, 0) > 0]
            for r in hit:
                self.bad[seeds[r]] -= 1
            classify, steps = network.classify, [0]

            def poisoned(features: Tensor, class_mask: Tensor) -> Tensor:
                found: Tensor = classify(features, class_mask)
                steps[0] += 1
                if steps[0] > 1 and torch.is_grad_enabled():
                    found = found.clone()
                    found[hit] = found[hit] * torch.nan
                return found

            network.classify = poisoned
            try:
                return real(network, weights, lesson, settings, rate, pieces)
            finally:
                del network.classify

        patch.setattr(learner, "fit", fit)


@pytest.fixture
def poison(monkeypatch: pytest.MonkeyPatch) -> Poison:
    return Poison(monkeypatch)


def two_rounds(room: Any, poison: Poison | None = None, **bad: int) -> Tensor:
    room.teach([0, 1, 2], [[0, 1, 2, 3, 4, 5], [4, 5, 6, 7, 8, 9], [9, 8, 7, 6, 5, 4]])
    if poison is not None:
        poison.bad = {int(seed[1:]): tries for seed, tries in bad.items()}
    room.teach([0, 1, 2], [[10, 11], [12, 13], [14, 15]])
    scores: Tensor = room.logits()
    return scores


@pytest.mark.parametrize("method", ["lora", "full"])
@pytest.mark.parametrize("restart", ["reset", "warm"])
def test_a_round_that_goes_wrong_is_tried_again_at_a_tenth_of_the_rate(
    method: str, restart: str, poison: Poison, classroom: Any,
    tiny_corpus: Callable[..., Any], finetuning: Callable[..., Any],
) -> None:  # fmt: skip
    settings = finetuning(method=method, restart=restart)
    room = classroom(settings, [tiny_corpus()], [0, 0, 0], [1, 2, 3])
    good = two_rounds(classroom(settings, [tiny_corpus()], [0, 0, 0], [1, 2, 3]))
    poison.rates.clear()
    found = two_rounds(room, poison, s2=1)
    assert poison.rates == [(3e-3, [1, 2, 3]), (3e-3, [1, 2, 3]), (pytest.approx(3e-4), [2])]
    assert room.learner.failures == {}
    torch.testing.assert_close(found[[0, 2]], good[[0, 2]], rtol=1e-4, atol=1e-4)
    # The second try begins where the round began, not where it broke.
    alone = classroom(settings, [tiny_corpus()], [0], [2])
    alone.teach([0], [[4, 5, 6, 7, 8, 9]])
    alone.learner.settings = settings.model_copy(update={"learning_rate": 3e-4})
    alone.teach([0], [[12, 13]])
    torch.testing.assert_close(found[1], alone.logits()[0], rtol=1e-4, atol=1e-4)


def test_a_round_that_goes_wrong_twice_keeps_the_last_good_weights_and_names_the_reason(
    poison: Poison, classroom: Any, tiny_corpus: Callable[..., Any], finetuning: Callable[..., Any]
) -> None:
    for method in ("lora", "full"):
        settings = finetuning(method=method)
        good = two_rounds(classroom(settings, [tiny_corpus()], [0, 0, 0], [1, 2, 3]))
        before = classroom(settings, [tiny_corpus()], [0], [2])
        before.teach([0], [[4, 5, 6, 7, 8, 9]])
        room = classroom(settings, [tiny_corpus()], [0, 0, 0], [1, 2, 3])
        found = two_rounds(room, poison, s2=2)
        assert list(room.learner.failures) == [1]
        assert "loss of round 1 is not finite, also at a tenth of the rate" in room.learner.failures[1]
        torch.testing.assert_close(found[[0, 2]], good[[0, 2]], rtol=1e-4, atol=1e-4)
        kept = np.delete(np.arange(30), [12, 13])  # the rows just bought are not scored again
        torch.testing.assert_close(found[1][:, kept], before.logits()[0][:, kept], rtol=1e-4, atol=1e-4)
        room.begin(1, 0, 8)
        assert room.learner.failures == {}
        room.teach([1], [[0, 1, 2]])
        assert torch.isfinite(room.logits()).all()


def test_an_engine_ends_the_episode_that_cannot_go_on(
    poison: Poison, encoded: EncodedCorpus, finetuning: Callable[..., Any]
) -> None:
    engine = LabelingEngine([encoded], SMALL, 3, learner=finetuning())
    engine.reset([Streams(seed) for seed in range(3)])
    assert not engine.finished.any()
    strategy = make_strategy("random")
    poison.bad = {int(engine.learner._seeds[1]): 2}  # type: ignore[attr-defined]
    round_ = engine.step(strategy.select(engine.view, 4))
    assert round_.finished.tolist() == [False, True, False]
    assert not engine.view.available[1].any()
    round_ = engine.step(strategy.select(engine.view, 4))
    assert (round_.ids[1] == -1).all()
    assert engine.spent.tolist() == [8, 4, 8]
    engine.reset([Streams(9)], [1])
    assert not engine.finished[1]


@pytest.mark.parametrize("failing", [0, 1])
def test_the_run_file_says_why_an_episode_ended(
    failing: int, poison: Poison, encoded: EncodedCorpus, finetuning: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def played() -> Any:
        return play(encoded, make_strategy("margin"), [0, 1, 2], SMALL, ["accuracy"], learner=finetuning())

    good = played()
    second = poison.rates[0][1][1]  # the seed of the second episode
    update, rounds_taught = learner.FineTune.update, [0]

    def poisoned(self: Any, *given: Any) -> None:
        if rounds_taught[0] == failing:
            poison.bad = {second: 2}
        rounds_taught[0] += 1
        update(self, *given)

    monkeypatch.setattr(learner.FineTune, "update", poisoned)
    found = played()
    assert [e for e, record in enumerate(found.results) if "failed" in record] == [1]
    assert f"round {failing}" in found.results[1]["failed"]
    assert len(found.results[1]["cost"]) == 1 + failing
    for e in (0, 2):
        assert found.results[e]["batches"] == good.results[e]["batches"]
        assert found.results[e]["test"] == good.results[e]["test"]


@pytest.mark.skipif(sys.platform != "linux", reason="an option of glibc's allocator")
def test_freed_memory_stays_with_the_process_unless_the_user_says_otherwise() -> None:
    program = """
import resource, torch
from react_rl.learners.finetune.training.memory import keep_freed_memory
print(keep_freed_memory())
for _ in range(3):
    arrays = [torch.ones(300_000) for _ in range(20)]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    del arrays
    arrays = [torch.ones(300_000) for _ in range(20)]
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    del arrays
print(faults)
"""
    plain = {name: value for name, value in os.environ.items() if name not in memory_module._WORDS}
    said, faults = _output(program, plain)
    if said != "True":
        pytest.skip("another allocator")
    assert int(faults) < 600  # 24 MB are 5,860 pages
    for name in memory_module._WORDS:
        value = "glibc.malloc.trim_threshold=131072" if name == "GLIBC_TUNABLES" else "131072"
        assert _output(program, plain | {name: value})[0] == "False"


def _output(program: str, environment: dict[str, str]) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.split()
