"""Comparisons in which every round fine-tunes a transformer: stopped, taken up again, told, dealt to GPUs."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from react_rl.acquisition import make_strategy
from react_rl.acquisition.stopping import StoppingSettings
from react_rl.data import synthetic_corpus
from react_rl.experiments import CompareConfig, run_comparison
from react_rl.experiments.cli import main
from react_rl.experiments.run.compare import Block
from react_rl.experiments.run.devices import devices_of, waves
from react_rl.experiments.run.episodes import play
from react_rl.simulation import EpisodeOptions, synthetic_encoded
from react_rl.simulation.checkpoint import Checkpoint

Build = Callable[..., Any]
RunFiles = Callable[[Path], dict[str, bytes]]


class Stop(BaseException):
    """Ends a comparison as Ctrl-C does."""


class StopAfter:
    """Counts the rounds that it is told of and ends the comparison after some."""

    def __init__(self, rounds: float = float("inf")) -> None:
        self.lines: list[Any] = []
        self._rounds = rounds

    def __call__(self, line: Any) -> None:
        self.lines.append(line)
        if len(self.lines) == self._rounds:
            raise Stop


@pytest.fixture(scope="module")
def learner(
    tmp_path_factory: pytest.TempPathFactory, save_bert: Callable[[Path, Sequence[str]], Path]
) -> dict[str, Any]:
    """A learner that fine-tunes a tiny transformer which knows the words of the first made corpus."""
    words = {word for text in synthetic_corpus(200, 3, seed=1).texts for word in text.split()}
    folder = save_bert(tmp_path_factory.mktemp("bert") / "tiny", sorted(words))
    settings = {"model": str(folder), "precision": "fp32", "epochs": 1, "max_length": 12}
    return {"kind": "finetune", "finetune": settings}


@pytest.fixture
def finetuned(comparison: Build, learner: dict[str, Any]) -> Callable[..., CompareConfig]:
    """A small comparison of two strategies with three rounds each; keyword arguments change keys."""

    def build(**changes: Any) -> CompareConfig:
        values: dict[str, Any] = {"learner": learner, "seeds": 2} | changes
        config: CompareConfig = comparison(**values)
        return config

    return build


@pytest.mark.usefixtures("made_corpora")
@pytest.mark.parametrize("rounds", [1, 3, 5])
def test_a_stopped_comparison_goes_on_from_its_last_round_to_the_same_files(
    finetuned: Build, tmp_path: Path, run_files: RunFiles, rounds: int
) -> None:
    straight = StopAfter()
    run_comparison(finetuned(), tmp_path / "straight", tell=straight)
    assert len(straight.lines) == 6, "three rounds of two strategies"
    stopped = tmp_path / "stopped"
    with pytest.raises(Stop):
        run_comparison(finetuned(), stopped, tell=StopAfter(rounds))
    assert len(list((stopped / "small" / "progress").iterdir())) == 1
    assert len(run_files(stopped / "small")) == (2 if rounds > 3 else 0)
    rest = StopAfter()
    run_comparison(finetuned(), stopped, tell=rest)
    assert rest.lines == straight.lines[rounds:], "no round is played twice"
    assert run_files(stopped / "small") == run_files(tmp_path / "straight" / "small")
    assert not (stopped / "small" / "progress").exists()


@pytest.mark.usefixtures("made_corpora")
def test_rounds_of_another_config_are_not_taken_up(
    finetuned: Build, learner: dict[str, Any], tmp_path: Path, run_files: RunFiles
) -> None:
    faster = learner | {"finetune": learner["finetune"] | {"learning_rate": 5e-3}}
    with pytest.raises(Stop):
        run_comparison(finetuned(strategies=["random"]), tmp_path / "changed", tell=StopAfter(2))
    for results in ("changed", "fresh"):
        told = StopAfter()
        run_comparison(
            finetuned(strategies=["random"], learner=faster), tmp_path / results, tell=told, overwrite=True
        )
        assert len(told.lines) == 3
    assert run_files(tmp_path / "changed" / "small") == run_files(tmp_path / "fresh" / "small")
    # What was kept of the first config is still there for it.
    told = StopAfter()
    run_comparison(finetuned(strategies=["random"]), tmp_path / "changed", tell=told, overwrite=True)
    assert len(told.lines) == 1


@pytest.mark.usefixtures("made_corpora")
def test_a_failed_round_is_told_and_tried_again_from_there(
    finetuned: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_files: RunFiles
) -> None:
    rounds: list[int] = []
    real = Checkpoint.save

    def full_disk(self: Checkpoint, *arguments: Any) -> None:
        rounds.append(1)
        if len(rounds) == 3:
            raise OSError("no space left")
        real(self, *arguments)

    config = finetuned(strategies=["random"])
    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "save", full_disk)
        outcome = run_comparison(config, tmp_path / "failed")
    (reason,) = {failure["reason"] for failure in outcome.failures}
    assert reason.startswith("OSError: no space left (test_finetune_comparison.py, line ")
    rest = StopAfter()
    assert not run_comparison(config, tmp_path / "failed", tell=rest).failures
    assert len(rest.lines) == 2
    run_comparison(config, tmp_path / "straight")
    assert run_files(tmp_path / "failed" / "small") == run_files(tmp_path / "straight" / "small")


@pytest.mark.usefixtures("made_corpora")
def test_cheap_comparisons_keep_no_rounds_and_tell_of_none(
    comparison: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kept(*_: Any) -> None:
        raise AssertionError("a checkpoint was written")

    monkeypatch.setattr(Checkpoint, "save", kept)
    told = StopAfter()
    assert not run_comparison(comparison(), tmp_path, tell=told).failures
    assert told.lines == []


STOPPING = {
    "none": StoppingSettings(),
    "kappa": StoppingSettings(rule="kappa", threshold=0.75, window=2),
    "classification-change": StoppingSettings(rule="classification-change", threshold=0.06),
    "predicted-gain": StoppingSettings(rule="predicted-gain", threshold=0.0, window=2),
}


@pytest.mark.parametrize(
    ("strategy", "rule"),
    [("albl", "none"), *(("margin", rule) for rule in STOPPING if rule != "none")],
)
def test_what_strategies_and_stopping_rules_remember_is_taken_up(
    tmp_path: Path, strategy: str, rule: str
) -> None:
    corpus = synthetic_encoded(300, 3, seed=1)
    options = EpisodeOptions(pool_size=60, dev_size=40, initial_size=6, budget=32, batch_size=4)
    checkpoint = Checkpoint(tmp_path / "kept", "key")

    def results(**keeping: Any) -> list[dict[str, Any]]:
        played = play(
            corpus,
            make_strategy(strategy),
            range(6),
            options,
            ["accuracy"],
            stopping=STOPPING[rule],
            **keeping,
        )
        return played.results

    straight = results()
    lengths = {len(result["batches"]) for result in straight}
    assert lengths == {8} if rule == "none" else len(lengths) > 1, "rules end episodes at different rounds"
    for rounds in range(1, max(lengths), 2):
        with pytest.raises(Stop):
            results(checkpoint=checkpoint, report=StopAfter(rounds))
        assert results(checkpoint=checkpoint) == straight
        checkpoint.remove()


@pytest.mark.usefixtures("made_corpora")
def test_a_policy_of_the_frozen_encoder_is_compared_and_trained_further_by_flags(
    train_file: Callable[..., Path],
    config_file: Callable[..., Path],
    tmp_path: Path,
    learner: dict[str, Any],
    runs_of: Callable[[Path], list[dict[str, Any]]],
) -> None:
    flags = ["--learner.kind", "finetune"]
    flags += [
        part
        for key, value in learner["finetune"].items()
        for part in (f"--learner.finetune.{key.replace('_', '-')}", str(value))
    ]
    assert main(["train", str(train_file(name="cheap", strategy="cheap"))]) == 0
    policy = tmp_path / "results" / "cheap" / "policy"
    further = train_file(name="further", strategy="further")
    assert main(["train", str(further), "--agent.start", str(policy), "--agent.episodes", "4", *flags]) == 0
    card = json.loads((tmp_path / "results" / "further" / "policy" / "card.json").read_text())
    assert card["settings"]["start"] == str(policy)
    kept = json.loads((tmp_path / "results" / "further" / "train.json").read_text())
    assert kept["learner"]["kind"] == "finetune"
    other = policy.parents[1] / "further" / "policy"
    config = config_file(strategies=["random", str(policy), str(other)])
    assert main(["compare", str(config), *flags]) == 0
    runs = runs_of(tmp_path / "results" / "small")
    assert {run["strategy"] for run in runs} == {"random", "cheap", "further"}
    assert all(run["cost"][-1] == 12 for run in runs)
    weighed = [run for run in runs if run["strategy"] != "random"]
    assert all(len(run["weights"]) == 3 for run in weighed)


def blocks(count: int) -> list[Block]:
    return [Block("corpus", f"strategy-{i}", ()) for i in range(count)]


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Pretends that the machine has so many GPUs."""

    def pretend(count: int) -> None:
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "pretended")
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))

    return pretend


@pytest.mark.parametrize(
    ("count", "name", "expected"),
    [
        (0, "auto", ["cpu"]),
        (1, "auto", ["cuda"]),
        (1, "cuda", ["cuda"]),
        (3, "auto", ["cuda:0", "cuda:1", "cuda:2"]),
        (3, "cuda", ["cuda:0", "cuda:1", "cuda:2"]),
        (3, "cuda:1", ["cuda:1"]),
        (3, "cpu", ["cpu"]),
    ],
)
def test_all_gpus_share_a_comparison_unless_one_is_named(
    gpus: Callable[[int], None], count: int, name: str, expected: list[str]
) -> None:
    gpus(count)
    assert devices_of(name) == expected


@pytest.mark.parametrize(("count", "todo"), [(2, 5), (3, 3), (4, 9), (8, 2)])
def test_blocks_go_to_the_gpus_in_turn_and_none_is_shared(count: int, todo: int) -> None:
    names = [f"cuda:{i}" for i in range(count)]
    dealt = waves(blocks(todo), names, min(count, todo))
    assert [block for wave in dealt for block, _ in wave] == blocks(todo)
    assert [device for wave in dealt for _, device in wave] == [names[i % count] for i in range(todo)]
    assert all(len({device for _, device in wave}) == len(wave) for wave in dealt)
    assert len(dealt) == -(-todo // count)


def test_more_workers_than_gpus_share_them_evenly() -> None:
    (first, second) = waves(blocks(6), ["cuda:0", "cuda:1"], 4)
    assert [device for _, device in first] == ["cuda:0", "cuda:1"] * 2
    assert [device for _, device in second] == ["cuda:0", "cuda:1"]


def test_one_device_has_one_wave() -> None:
    assert [len(wave) for wave in waves(blocks(5), ["cpu"], 2)] == [5]


@pytest.mark.usefixtures("made_corpora")
def test_each_gpu_gets_a_worker_process(
    comparison: Build, tmp_path: Path, gpus: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    gpus(2)
    asked: list[int] = []
    played: list[tuple[str, str]] = []

    class Recorded:
        def __init__(self, function: Any, shared: Any, jobs: int, modules: Any) -> None:
            asked.append(jobs)

        def __enter__(self) -> Recorded:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def run(self, tasks: Any) -> Any:
            for task in tasks:
                played.append((task.block.strategy, task.device))
                yield task, (0, None)

    monkeypatch.setattr("react_rl.experiments.run.compare.Workers", Recorded)
    run_comparison(comparison(strategies=["random", "margin", "entropy"], jobs=None, device="auto"), tmp_path)
    assert asked == [2]
    assert played == [("random", "cuda:0"), ("margin", "cuda:1"), ("entropy", "cuda:0")]


@pytest.mark.slow
@pytest.mark.usefixtures("made_corpora")
def test_worker_processes_give_the_same_files(finetuned: Build, tmp_path: Path, run_files: RunFiles) -> None:
    run_comparison(finetuned(), tmp_path / "one")
    run_comparison(finetuned(jobs=2), tmp_path / "two")
    assert run_files(tmp_path / "one" / "small") == run_files(tmp_path / "two" / "small")
    assert not (tmp_path / "two" / "small" / "progress").exists()


@pytest.mark.usefixtures("made_corpora")
def test_what_all_labels_bring_is_measured_by_fine_tuning_only_where_it_is_asked_for(
    finetuned: Build, tmp_path: Path, run_files: RunFiles
) -> None:
    run_comparison(finetuned(strategies=["random"]), tmp_path)
    assert not any("full" in json.loads(data) for data in run_files(tmp_path / "small").values())
    told = StopAfter()
    asked = finetuned(strategies=["random", "margin"], full="always")
    assert run_comparison(asked, tmp_path, tell=told).played == 2
    assert told.lines[0] == "all labels of made-0"
    runs = [json.loads(data) for data in run_files(tmp_path / "small").values()]
    assert len(runs) == 4
    for seed in (0, 1):
        (one, other) = (run["full"] for run in runs if run["seed"] == seed)
        assert one == other
        assert set(one) == {"accuracy", "macro_f1"}
