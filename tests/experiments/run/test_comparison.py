"""Comparisons: one file for each run, the same bytes again, common random numbers, failures by name."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from react_rl.acquisition import make_strategy, suited
from react_rl.errors import ReActError
from react_rl.experiments import run_comparison
from react_rl.experiments.cli import main
from react_rl.experiments.run.compare import BLOCK
from react_rl.experiments.run.results import RunId
from react_rl.simulation import synthetic_encoded
from react_rl.simulation.view import PoolView

pytestmark = pytest.mark.usefixtures("made_corpora")

Build = Callable[..., Any]
RunFiles = Callable[[Path], dict[str, bytes]]
RunsOf = Callable[[Path], list[dict[str, Any]]]


def test_every_run_has_one_file_and_one_of_its_circumstances(
    comparison: Build, tmp_path: Path, runs_of: RunsOf
) -> None:
    config = comparison(corpora=[{"corpus": "synthetic"}, {"corpus": "synthetic", "name": "other one"}])
    told: list[tuple[int, int]] = []
    outcome = run_comparison(config, tmp_path, lambda done, total: told.append((done, total)))
    folder = tmp_path / "small"
    assert (outcome.played, outcome.kept, outcome.failures) == (12, 0, [])
    assert told[0] == (0, 12)
    assert told[-1] == (12, 12)
    runs = runs_of(folder)
    assert len(runs) == 12
    assert {(r["corpus"], r["strategy"], r["seed"]) for r in runs} == {
        (c, s, k) for c in ("made-0", "other one") for s in ("random", "margin") for k in range(3)
    }
    names = {file.name for file in (folder / "runs").iterdir()}
    assert names == {file.name for file in (folder / "circumstances").iterdir()}
    around = json.loads((folder / "circumstances" / sorted(names)[0]).read_text())
    assert {"versions", "git_commit", "git_dirty", "device", "selection_seconds", "training_seconds"} <= set(
        around
    )
    assert "products" in around["arithmetic"]
    assert not list(folder.rglob("*.part"))
    assert {path.name for path in folder.iterdir()} == {"runs", "circumstances", "plan.json", "bought.csv"}


def test_no_seconds_versions_or_machine_stand_in_a_run_file(
    comparison: Build, tmp_path: Path, runs_of: RunsOf
) -> None:
    run_comparison(comparison(), tmp_path)
    assert set(runs_of(tmp_path / "small")[0]) == {
        *(
            "schema",
            "corpus",
            "strategy",
            "seed",
            "key",
            "cost",
            "labels",
            "dev",
            "test",
            "initial",
            "batches",
            "full",
        )
    }


def test_a_run_file_tells_what_was_bought_and_measured_after_each_round(
    comparison: Build, tmp_path: Path, runs_of: RunsOf
) -> None:
    run_comparison(comparison(), tmp_path)
    for run in runs_of(tmp_path / "small"):
        assert run["cost"] == [0.0, 4.0, 8.0, 12.0]
        assert run["labels"] == [5, 9, 13, 17]
        assert [len(batch) for batch in run["batches"]] == [4, 4, 4]
        for split in ("dev", "test"):
            assert {len(values) for values in run[split].values()} == {4}
            assert set(run[split]) == {"accuracy", "macro_f1"}


def test_rows_are_bought_once_and_only_from_the_train_split(
    comparison: Build, tmp_path: Path, runs_of: RunsOf
) -> None:
    run_comparison(comparison(strategies=sorted(suited()), seeds=4), tmp_path)
    train = set(synthetic_encoded(200, 3, seed=1).corpus.ids("train").tolist())
    for run in runs_of(tmp_path / "small"):
        bought = [*run["initial"], *(row for batch in run["batches"] for row in batch)]
        assert len(set(bought)) == len(bought) == 17
        assert set(bought) <= train


def test_a_seed_gives_every_strategy_the_same_start_and_other_seeds_other_ones(
    comparison: Build, tmp_path: Path, runs_of: RunsOf
) -> None:
    run_comparison(comparison(strategies=["random", "margin", "k-center"], seeds=5), tmp_path)
    runs = runs_of(tmp_path / "small")
    starts = {
        seed: {
            (*run["initial"], run["dev"]["accuracy"][0], run["test"]["accuracy"][0])
            for run in runs
            if run["seed"] == seed
        }
        for seed in range(5)
    }
    assert all(len(start) == 1 for start in starts.values())
    assert len(set.union(*starts.values())) == 5


def test_the_same_command_gives_the_same_bytes(
    comparison: Build, tmp_path: Path, run_files: RunFiles
) -> None:
    config = comparison(strategies=["random", "margin", "mixture"])
    run_comparison(config, tmp_path / "a")
    torch.rand(3)  # the global stream must not matter
    run_comparison(config, tmp_path / "b")
    assert run_files(tmp_path / "a" / "small") == run_files(tmp_path / "b" / "small")
    assert (tmp_path / "a/small/plan.json").read_bytes() == (tmp_path / "b/small/plan.json").read_bytes()


def test_a_second_start_plays_only_what_is_missing(
    comparison: Build, tmp_path: Path, run_files: RunFiles
) -> None:
    config = comparison()
    run_comparison(config, tmp_path)
    folder = tmp_path / "small"
    before = run_files(folder)
    lost = sorted(before)[1::2]
    for name in lost:
        (folder / "runs" / name).unlink()
    stamps = {file: file.stat().st_mtime_ns for file in (folder / "runs").iterdir()}
    outcome = run_comparison(config, tmp_path)
    assert (outcome.played, outcome.kept) == (len(lost), len(before) - len(lost))
    assert run_files(folder) == before
    assert all(file.stat().st_mtime_ns == stamp for file, stamp in stamps.items())
    again = run_comparison(config, tmp_path)
    assert (again.played, again.kept) == (0, len(before))


def test_more_seeds_leave_the_files_of_the_first_ones_alone(
    comparison: Build, tmp_path: Path, run_files: RunFiles
) -> None:
    run_comparison(comparison(seeds=2), tmp_path)
    folder = tmp_path / "small"
    stamps = {file: file.stat().st_mtime_ns for file in (folder / "runs").iterdir()}
    old = run_files(folder)
    outcome = run_comparison(comparison(seeds=5), tmp_path)
    assert (outcome.played, outcome.kept) == (6, 4)
    assert run_files(folder).items() >= old.items()
    assert all(file.stat().st_mtime_ns == stamp for file, stamp in stamps.items())


def test_a_run_does_not_depend_on_the_seeds_and_strategies_beside_it(
    comparison: Build, tmp_path: Path, run_files: RunFiles
) -> None:
    run_comparison(
        comparison(seeds=6, strategies=["random", "margin", "typicality", "mixture"]), tmp_path / "all"
    )
    every = run_files(tmp_path / "all" / "small")
    run_comparison(
        comparison(seeds=1, first_seed=4, strategies=["margin", "mixture"], reference="margin"),
        tmp_path / "one",
    )
    one = run_files(tmp_path / "one" / "small")
    assert len(one) == 2
    assert all(every[name] == content for name, content in one.items())


def test_seeds_beyond_one_block_are_the_same_as_in_a_comparison_of_their_own(
    comparison: Build, tmp_path: Path, run_files: RunFiles
) -> None:
    run_comparison(comparison(seeds=BLOCK + 2), tmp_path / "all")
    run_comparison(comparison(seeds=2, first_seed=BLOCK), tmp_path / "last")
    every, last = (run_files(tmp_path / name / "small") for name in ("all", "last"))
    assert len(every) == 2 * (BLOCK + 2)
    assert len(last) == 4
    assert last.items() <= every.items()


@pytest.mark.parametrize(
    "change",
    [
        {"episode": {"budget": 8}},
        {"episode": {"label_noise": 0.1}},
        {"learner": {"l2": 0.5}},
        {"metrics": ["accuracy"]},
        {"test_size": 10},
    ],
)
def test_what_changes_a_result_changes_the_name_of_its_file(
    comparison: Build, tmp_path: Path, run_files: RunFiles, change: dict[str, Any]
) -> None:
    run_comparison(comparison(), tmp_path)
    old = run_files(tmp_path / "small")
    outcome = run_comparison(comparison(**change), tmp_path, overwrite=True)
    assert outcome.played == len(old)
    assert len(run_files(tmp_path / "small")) == 2 * len(old)
    assert run_files(tmp_path / "small").items() >= old.items()


@pytest.mark.parametrize("change", [{"jobs": 2}, {"reference": "margin"}, {"seeds": 2}])
def test_what_changes_no_result_keeps_the_files(
    comparison: Build, tmp_path: Path, change: dict[str, Any]
) -> None:
    run_comparison(comparison(), tmp_path)
    assert run_comparison(comparison(**change), tmp_path).played == 0


def test_the_content_of_the_corpus_is_part_of_the_key(
    comparison: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_comparison(comparison(), tmp_path)
    other = synthetic_encoded(200, 3, seed=7)
    monkeypatch.setattr(
        "react_rl.experiments.run.compare.prepare", lambda *_, **__: [renamed(other, "made-0")]
    )
    assert run_comparison(comparison(), tmp_path).played == 6


def renamed(encoded: Any, name: str) -> Any:
    from dataclasses import replace

    return encoded.with_corpus(replace(encoded.corpus, name=name))


@pytest.mark.slow
def test_workers_give_the_same_bytes_as_one_process(
    comparison: Build, tmp_path: Path, run_files: RunFiles
) -> None:
    for jobs in (1, 2):
        run_comparison(
            comparison(jobs=jobs, strategies=["random", "margin", "mixture"]), tmp_path / str(jobs)
        )
    assert run_files(tmp_path / "1" / "small") == run_files(tmp_path / "2" / "small")
    pids = {
        json.loads(file.read_text())["process"] for file in (tmp_path / "2/small/circumstances").iterdir()
    }
    assert len(pids) >= 1
    assert pids.isdisjoint(
        json.loads(file.read_text())["process"] for file in (tmp_path / "1/small/circumstances").iterdir()
    )


class Faulty:
    name = "margin"

    def score(self, view: PoolView) -> Tensor:
        return view.margin

    def select(self, view: PoolView, n: int) -> Tensor:
        if int(view.progress.rounds.max()) == 2:
            raise RuntimeError("the third round went wrong")
        return make_strategy("margin").select(view, n)


@pytest.fixture
def faulty_margin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def resolve(name: str) -> Any:
        return Faulty() if name == "margin" else make_strategy(name)

    with monkeypatch.context() as patch:
        patch.setattr("react_rl.experiments.run.compare.resolve", resolve)
        yield


def test_a_strategy_that_raises_is_listed_with_its_reason_and_the_others_finish(
    comparison: Build, tmp_path: Path, runs_of: RunsOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = comparison(strategies=["margin", "random", "mixture"])
    with monkeypatch.context() as patch:
        patch.setattr(
            "react_rl.experiments.run.compare.resolve",
            lambda n: Faulty() if n == "margin" else make_strategy(n),
        )
        outcome = run_comparison(config, tmp_path)
    folder = tmp_path / "small"
    assert {run["strategy"] for run in runs_of(folder)} == {"random", "mixture"}
    listed = json.loads((folder / "failures.json").read_text())
    assert listed == outcome.failures
    assert {(f["strategy"], f["seed"]) for f in listed} == {("margin", str(k)) for k in range(3)}
    (reason,) = {f["reason"] for f in listed}
    assert re.fullmatch(r"RuntimeError: the third round went wrong \(test_comparison\.py, line \d+\)", reason)
    repaired = run_comparison(config, tmp_path)
    assert (repaired.played, repaired.kept, repaired.failures) == (3, 6, [])
    assert not (folder / "failures.json").exists(), "the list goes when nothing fails any more"


@pytest.mark.usefixtures("faulty_margin")
def test_finished_runs_are_not_listed_as_failed(
    comparison: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("react_rl.experiments.run.compare.resolve", make_strategy)
        run_comparison(comparison(seeds=2), tmp_path)
    outcome = run_comparison(comparison(seeds=3), tmp_path)
    assert [(f["strategy"], f["seed"]) for f in outcome.failures] == [("margin", "2")]


@pytest.mark.usefixtures("faulty_margin")
def test_the_command_ends_with_status_1_and_the_table_of_what_finished(
    config_file: Build, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", str(config_file())]) == 1
    shown = capsys.readouterr()
    assert "2 runs played, 0 kept from before, 2 failed." in shown.out
    assert "random" in shown.out
    assert "failed runs: RuntimeError: the third round went wrong" in shown.err
    assert "Traceback" not in shown.err


@pytest.mark.usefixtures("faulty_margin")
def test_a_command_of_which_nothing_finishes_ends_with_status_1_too(
    config_file: Build, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", str(config_file(strategies=["margin"], reference="margin"))]) == 1
    assert "Traceback" not in capsys.readouterr().err


def test_two_policies_of_one_name_are_refused(comparison: Build, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("react_rl.experiments.run.planning.label", lambda _: "same")
    with pytest.raises(ReActError, match="Two strategies are called 'same'"):
        run_comparison(comparison(reference="same"), tmp_path)
    assert not (tmp_path / "small").exists()


def test_the_name_of_a_run_file_is_safe_and_tells_runs_apart() -> None:
    names = {
        RunId(corpus, strategy, seed, key).file
        for corpus in ("a/b", "../x")
        for strategy in ("my policy", "margin")
        for seed in (0, 12345)
        for key in ("0" * 64, "1" * 64)
    }
    assert len(names) == 16
    assert all("/" not in name and " " not in name and not name.startswith(".") for name in names), names
