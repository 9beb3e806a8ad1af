"""Episodes that go on from a file end, to the last bit, where undisturbed ones end."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import torch

from react_rl.acquisition import make_strategy
from react_rl.learners.finetune import FineTuneSettings
from react_rl.learners.registry import LearnerSettings
from react_rl.seeding import Streams
from react_rl.simulation import EncodedCorpus, EpisodeOptions, LabelingEngine, synthetic_encoded
from react_rl.simulation.checkpoint import Checkpoint, Notes

ROUNDS = 4
BATCH = 3
OPTIONS = EpisodeOptions(pool_size=40, dev_size=20, initial_size=4, budget=15, batch_size=BATCH)
FINE_TUNED: dict[str, dict[str, Any]] = {
    "low-rank updates, begun again each round": {"method": "lora"},
    "all weights, words included, carried on": {"method": "full", "restart": "warm"},
    "top layer, mixed with the pretrained one": {"method": "full", "layers": 1, "restart": "shrink"},
    "two episodes at a time, some rows scored": {
        "method": "bitfit",
        "episodes_at_once": 2,
        "candidates": 12,
    },
}


@cache
def encoded(n_classes: int = 3, priced: bool = False, device: str = "cpu") -> EncodedCorpus:
    """Short texts; rows cost one, or between .1 and 2."""
    made = synthetic_encoded(160, n_classes, seed=n_classes, device=device)
    texts = tuple(" ".join(text.split()[:5]) for text in made.corpus.texts)
    cost = np.random.default_rng(n_classes).uniform(0.1, 2.0, 160) if priced else np.ones(160)
    return made.with_corpus(replace(made.corpus, name=f"classes-{n_classes}", texts=texts, cost=cost))


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory, save_bert: Callable[[Path, Sequence[str]], Path]) -> Path:
    words = sorted({word for text in encoded().corpus.texts for word in text.split()})
    return save_bert(tmp_path_factory.mktemp("bert") / "tiny", words)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REACT_RL_CACHE", str(tmp_path / "cache"))


def fine_tuned(bert: Path, how: str) -> FineTuneSettings:
    settings = {"model": str(bert), "precision": "fp32", "epochs": 2, "batch_size": 4, "max_length": 12}
    return FineTuneSettings.model_validate(settings | FINE_TUNED[how])


class World:
    """Everything that determines some episodes, so that they can be begun any number of times."""

    def __init__(
        self,
        strategy: str = "margin",
        learner: LearnerSettings | None = None,
        corpora: Sequence[EncodedCorpus] = (),
        **options: Any,
    ) -> None:
        self._strategy = make_strategy(strategy)
        self._learner = learner
        self._corpora = corpora or [encoded()]
        self._options = OPTIONS.model_copy(update=options)
        self.seeds = (5, 6, 7)

    def engine(self) -> LabelingEngine:
        return LabelingEngine(
            self._corpora, self._options, len(self.seeds), ("accuracy", "log_loss"), self._learner
        )

    def streams(self) -> list[Streams]:
        return [Streams(seed) for seed in self.seeds]

    def begun(self) -> LabelingEngine:
        engine = self.engine()
        engine.reset(self.streams())
        return engine

    @torch.inference_mode()
    def play(self, engine: LabelingEngine, rounds: int) -> list[Any]:
        """What each round brought: ids, dev metrics, scores of the pool."""
        told = []
        for _ in range(rounds):
            ids = self._strategy.select(engine.view, self._options.batch_size)
            scores = engine.view.logits.clone()
            round_ = engine.step(ids)
            told.append(
                [round_.ids, round_.cost, *round_.metrics.values(), round_.finished, scores.cpu().numpy()]
            )
        return told


def same(one: list[Any], other: list[Any]) -> bool:
    pairs = zip(one, other, strict=True)
    return all(np.array_equal(a, b) for first, second in pairs for a, b in zip(first, second, strict=True))


def assert_equal(one: LabelingEngine, other: LabelingEngine) -> None:
    assert [streams.state() for streams in one.draws.streams] == [
        streams.state() for streams in other.draws.streams
    ]
    ours, theirs = one.state(), other.state()
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []


def resumed(world: World, path: Path, after: int) -> LabelingEngine:
    """Play some rounds, keep them, throw all away and take them up again."""
    engine = world.begun()
    world.play(engine, after)
    Checkpoint(path, "key").save([engine], Notes())
    other = world.engine()
    assert Checkpoint(path, "key").restore([other], world.streams()) is not None
    assert_equal(other, engine)
    return other


@pytest.mark.parametrize("after", range(ROUNDS + 1))
def test_softmax_regressions_go_on_as_if_nothing_had_happened(tmp_path: Path, after: int) -> None:
    world = World()
    straight = world.begun()
    told = world.play(straight, ROUNDS)
    engine = resumed(world, tmp_path / "kept", after)
    assert same(world.play(engine, ROUNDS - after), told[after:])
    assert_equal(engine, straight)


@pytest.mark.parametrize("how", FINE_TUNED)
def test_fine_tuned_transformers_go_on_as_if_nothing_had_happened(
    tmp_path: Path, bert: Path, how: str
) -> None:
    world = World(learner=fine_tuned(bert, how))
    straight = world.begun()
    told = world.play(straight, ROUNDS)
    assert len({scores.tobytes() for *_, scores in told}) == ROUNDS, "the models learn"
    engine = resumed(world, tmp_path / "kept", 2)
    assert same(world.play(engine, ROUNDS - 2), told[2:])
    assert_equal(engine, straight)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("how", [None, *FINE_TUNED])
def test_on_a_gpu_all_that_is_kept_comes_back(tmp_path: Path, bert: Path, how: str | None) -> None:
    learner = None if how is None else fine_tuned(bert, how)
    world = World(learner=learner, corpora=[encoded(device="cuda")])
    engine = resumed(world, tmp_path / "kept", 2)
    world.play(engine, ROUNDS - 2)
    assert engine.finished.tolist() == [False] * 3
    assert engine.learner.logits_of(slice(None)).device.type == "cuda"


@pytest.mark.parametrize("strategy", ["random", "badge", "mixture"])
def test_streams_go_on_where_a_strategy_left_them(tmp_path: Path, strategy: str) -> None:
    world = World(strategy)
    told = world.play(world.begun(), ROUNDS)
    assert same(world.play(resumed(world, tmp_path / "kept", 2), ROUNDS - 2), told[2:])


@pytest.mark.parametrize(
    "options",
    [
        {"label_noise": 0.3, "abstention": 0.3},
        {"classes": (2, 3)},
        {"budget": 7.0, "batch_size": 6},
    ],
    ids=["wrong and missing answers", "drawn classes", "a budget that ends in between"],
)
def test_annotators_classes_and_budgets_are_kept(tmp_path: Path, options: dict[str, Any]) -> None:
    world = World(corpora=[encoded(3), encoded(4)], **options)
    straight = world.begun()
    told = world.play(straight, ROUNDS)
    engine = resumed(world, tmp_path / "kept", 1)
    assert same(world.play(engine, ROUNDS - 1), told[1:])
    assert_equal(engine, straight)


def test_room_for_more_labels_than_expected_is_kept(tmp_path: Path) -> None:
    world = World(corpora=[encoded(priced=True)], budget=6, batch_size=2)
    straight = world.begun()

    def buy_cheapest(engine: LabelingEngine, rounds: int) -> None:
        for _ in range(rounds):
            price = torch.where(engine.view.available, engine.view.cost, torch.inf)
            engine.step(engine.view.ids.gather(1, price.argsort(1)[:, :2]))

    room = straight.state()["ledger/rows"].shape[1]
    buy_cheapest(straight, 9)
    assert straight.state()["ledger/rows"].shape[1] > room, "it grew"
    engine = world.begun()
    buy_cheapest(engine, 8)
    Checkpoint(tmp_path / "kept", "key").save([engine], Notes())
    other = world.engine()
    Checkpoint(tmp_path / "kept", "key").restore([other], world.streams())
    buy_cheapest(other, 1)
    assert_equal(other, straight)


def test_failed_episodes_stay_failed(tmp_path: Path) -> None:
    world = World()
    engine = world.begun()
    engine.learner.failures[1] = "it broke"
    world.play(engine, 1)
    Checkpoint(tmp_path / "kept", "key").save([engine], Notes())
    other = world.engine()
    Checkpoint(tmp_path / "kept", "key").restore([other], world.streams())
    assert other.learner.failures == {1: "it broke"}
    assert other.finished.tolist() == [False, True, False]


def test_notes_come_back_as_they_were(tmp_path: Path) -> None:
    world = World()
    checkpoint = Checkpoint(tmp_path / "kept", "key")
    values = {"list": [1, 0.1, None, "ö"], "mapping": {"a": [[]]}}
    arrays = {"memory": torch.arange(6).view(2, 3).T, "empty": torch.zeros(0, 3, dtype=torch.float64)}
    checkpoint.save([world.begun()], Notes(values, arrays))
    notes = checkpoint.restore([world.engine()], world.streams())
    assert notes is not None
    assert notes.values == values
    assert all(torch.equal(notes.arrays[name], array) for name, array in arrays.items())
    assert notes.arrays["empty"].dtype == torch.float64


def test_a_file_of_other_episodes_or_a_damaged_one_is_as_good_as_none(tmp_path: Path) -> None:
    world = World()
    checkpoint = Checkpoint(tmp_path / "kept", "key")
    checkpoint.save([world.begun()], Notes())
    content = checkpoint.path.read_bytes()
    engine = world.engine()
    assert Checkpoint(checkpoint.path, "another").restore([engine], world.streams()) is None
    assert Checkpoint(tmp_path / "nowhere", "key").restore([engine], world.streams()) is None
    for damaged in (content[: len(content) // 2], b"", b"{}", content[8:]):
        checkpoint.path.write_bytes(damaged)
        assert checkpoint.restore([engine], world.streams()) is None
    assert engine.draws.of == [None] * 3, "the engine was not touched"
    checkpoint.path.write_bytes(content)
    assert checkpoint.restore([engine], world.streams()) is not None


def test_a_file_of_another_version_is_as_good_as_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World()
    checkpoint = Checkpoint(tmp_path / "kept", "key")
    checkpoint.save([world.begun()], Notes())
    for name in ("react_rl.simulation.checkpoint.__version__", "torch.__version__"):
        with monkeypatch.context() as patch:
            patch.setattr(name, "0.0.0")
            assert checkpoint.restore([world.engine()], world.streams()) is None
    assert checkpoint.restore([world.engine()], world.streams()) is not None


def test_a_stop_while_writing_leaves_the_round_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World()
    checkpoint = Checkpoint(tmp_path / "kept", "key")
    engine = world.begun()
    world.play(engine, 1)
    checkpoint.save([engine], Notes({"round": 1}))
    world.play(engine, 1)

    def stopped(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", stopped)
        with pytest.raises(KeyboardInterrupt):
            checkpoint.save([engine], Notes({"round": 2}))
    notes = checkpoint.restore([world.engine()], world.streams())
    assert notes == Notes({"round": 1})
    assert [file.name for file in tmp_path.iterdir() if file.is_file()] == ["kept"]


def test_the_file_is_safetensors_with_a_header_of_json(tmp_path: Path) -> None:
    world = World()
    Checkpoint(tmp_path / "kept", "key").save([world.begun()], Notes())
    with safetensors.safe_open(tmp_path / "kept", "pt") as file:
        assert set(file.metadata()) == {"checksum", "state"}
        assert "engine 0/ledger/rows" in file.keys()  # noqa: SIM118


def test_removing_takes_what_a_killed_process_left_too(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "kept", "key")
    checkpoint.save([World().begun()], Notes())
    (tmp_path / ".kept.abc.part").write_bytes(b"half")
    (tmp_path / "other").write_bytes(b"somebody else's")
    checkpoint.remove()
    checkpoint.remove()
    assert sorted(file.name for file in tmp_path.iterdir() if file.is_file()) == ["other"]
