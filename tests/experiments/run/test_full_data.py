"""The metric with all labels of a pool: the optimum of the learner's loss, the same for every strategy."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from react_rl.envs.batched import episode_streams
from react_rl.errors import ReActError
from react_rl.experiments import read_results, run_comparison, summarise
from react_rl.experiments.analysis.summary import ALL_CORPORA, write_tables
from react_rl.experiments.figures.learning import learning_curves
from react_rl.experiments.report.writing import build_report
from react_rl.experiments.run.full_data import ALL_LABELS, measure_full
from react_rl.learners import SoftmaxSettings
from react_rl.learners.linear.primal import fit_primal
from react_rl.learners.registry import LEARNERS
from react_rl.metrics.curves import labels_to_target
from react_rl.simulation import EpisodeOptions, synthetic_encoded
from react_rl.simulation.draw import draw_episode

Build = Callable[..., Any]
RunFiles = Callable[[Path], dict[str, bytes]]
RunsOf = Callable[[Path], list[dict[str, Any]]]
Floats = npt.NDArray[np.float64]
OPTIONS = EpisodeOptions(pool_size=60, dev_size=20, initial_size=5, budget=12, batch_size=4)


def brute_force(
    rows: Floats, labels: npt.NDArray[np.int64], n_classes: int, l2: float, bias: float
) -> Floats:
    """Weights ``(C, D + 1)`` at the optimum, by plain gradient descent in double precision."""
    x = np.hstack([rows, np.full((len(rows), 1), bias)])
    y = np.eye(n_classes)[labels].T
    weights = np.zeros((n_classes, x.shape[1]))
    rate = 1.0 / (np.linalg.eigvalsh(x.T @ x).max() / 2 + l2)
    for _ in range(20_000):
        scores = weights @ x.T
        chance = np.exp(scores - scores.max(axis=0))
        gradient = (chance / chance.sum(axis=0) - y) @ x + l2 * weights
        weights -= rate * gradient
        if np.abs(gradient).max() < 1e-7:
            break
    return weights


def accuracy(weights: Floats, rows: Floats, labels: npt.NDArray[np.int64], bias: float) -> float:
    x = np.hstack([rows, np.full((len(rows), 1), bias)])
    return float(((weights @ x.T).argmax(axis=0) == labels).mean())


@pytest.mark.parametrize("settings", [SoftmaxSettings(), SoftmaxSettings(l2=2.0, bias=1.0)])
def test_the_value_is_that_of_a_brute_force_refit_on_every_row_of_the_pool(settings: SoftmaxSettings) -> None:
    data = synthetic_encoded(400, 4, seed=3)
    vectors, targets = data.embeddings.numpy().astype(np.float64), data.corpus.targets
    test = data.corpus.ids("test")
    found = measure_full(data, range(6), OPTIONS, ["accuracy"], None, settings)
    expected = []
    for seed in range(6):
        pool = draw_episode([data], OPTIONS, episode_streams(seed, data.name), 0).pool
        best = brute_force(vectors[pool], targets[pool], 4, settings.l2, settings.bias)
        expected.append(accuracy(best, vectors[test], targets[test], settings.bias))
    assert [one["accuracy"] for one in found] == pytest.approx(expected, abs=1.5 / test.size)
    assert np.mean([one["accuracy"] for one in found]) == pytest.approx(
        np.mean(expected), abs=0.5 / test.size
    )


def test_the_fit_ends_near_the_optimum() -> None:
    data = synthetic_encoded(300, 3, seed=1)
    rows, targets = data.embeddings[:200], torch.tensor(data.corpus.targets[:200])
    found = fit_primal(rows, targets, 3, SoftmaxSettings()).numpy()
    best = brute_force(rows.numpy().astype(np.float64), targets.numpy(), 3, 0.1, 0.1)
    assert np.abs(found - best).max() < 0.02 * np.abs(best).max()


def test_another_way_to_the_same_learner_gives_the_same_value(monkeypatch: pytest.MonkeyPatch) -> None:
    data = synthetic_encoded(400, 4, seed=3)
    options = OPTIONS.model_copy(update={"label_noise": 0.2, "abstention": 0.2})
    quick = measure_full(data, range(8), options, ["accuracy", "log_loss"])
    other_way = replace(LEARNERS["softmax"], fit_all=lambda _: None)
    monkeypatch.setitem(LEARNERS, "softmax", other_way)
    slow = measure_full(
        data, range(8), options, ["accuracy", "log_loss"], None, SoftmaxSettings(tolerance=1e-4)
    )
    for name, near in (("accuracy", 0.02), ("log_loss", 0.01)):
        assert [one[name] for one in quick] == pytest.approx([one[name] for one in slow], abs=near)


def test_class_weights_are_those_of_the_learner() -> None:
    data = synthetic_encoded(400, 4, seed=3)
    rare = np.flatnonzero(data.corpus.targets == 0)[15:]
    targets = data.corpus.targets.copy()
    targets[rare] = 1
    uneven = data.with_corpus(replace(data.corpus, targets=targets))
    options = OPTIONS.model_copy(update={"pool_size": 150})
    plain = measure_full(uneven, range(4), options, ["macro_f1"])
    balanced = SoftmaxSettings(class_weights="balanced")
    weighted = measure_full(uneven, range(4), options, ["macro_f1"], None, balanced)
    assert [one["macro_f1"] for one in plain] != [one["macro_f1"] for one in weighted]


def test_episodes_with_some_of_the_classes_are_measured_on_the_rows_of_those() -> None:
    data = synthetic_encoded(600, 5, seed=3)
    options = OPTIONS.model_copy(update={"classes": (2, 3)})
    found = measure_full(data, range(4), options, ["accuracy"])
    vectors, targets = data.embeddings.numpy().astype(np.float64), data.corpus.targets
    for seed, one in enumerate(found):
        draw = draw_episode([data], options, episode_streams(seed, data.name), 0)
        test = np.array([row for row in data.corpus.ids("test") if targets[row] in draw.classes])
        place = np.searchsorted(draw.classes, targets)
        best = brute_force(vectors[draw.pool], place[draw.pool], draw.classes.size, 0.1, 0.1)
        assert one["accuracy"] == pytest.approx(
            accuracy(best, vectors[test], place[test], 0.1), abs=1.5 / test.size
        )


@pytest.fixture
def folder(made_corpora: None, comparison: Build, tmp_path: Path) -> Path:
    two = [{"corpus": "synthetic", "name": "a"}, {"corpus": "synthetic", "name": "b"}]
    run_comparison(comparison(corpora=two, seeds=4), tmp_path)
    return tmp_path / "small"


def test_it_is_the_same_for_every_strategy_of_a_corpus_and_seed(folder: Path, runs_of: RunsOf) -> None:
    runs = runs_of(folder)
    assert all(set(run["full"]) == {"accuracy", "macro_f1"} for run in runs)
    values = {(run["corpus"], run["seed"]): run["full"] for run in runs}
    assert len(values) == 8
    assert all(run["full"] == values[run["corpus"], run["seed"]] for run in runs)
    assert len({value["accuracy"] for value in values.values()}) > 1


@pytest.mark.usefixtures("made_corpora")
def test_it_is_measured_once_for_all_strategies(
    comparison: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[int]] = []

    def count(corpus: Any, seeds: Any, *rest: Any) -> list[dict[str, float]]:
        asked.append(list(seeds))
        return measure_full(corpus, seeds, *rest)

    monkeypatch.setattr("react_rl.experiments.run.full_data.measure_full", count)
    run_comparison(comparison(strategies=["random", "margin", "entropy"]), tmp_path)
    assert asked == [[0, 1, 2]]
    run_comparison(comparison(strategies=["random", "margin", "entropy", "k-center"]), tmp_path)
    assert len(asked) == 1, "finished runs know it"


def test_runs_of_older_versions_get_it_and_are_byte_for_byte_new_ones(
    comparison: Build, tmp_path: Path, folder: Path, run_files: RunFiles
) -> None:
    new = run_files(folder)
    for file in (folder / "runs").iterdir():
        old = json.loads(file.read_text())
        del old["full"]
        file.write_text(json.dumps(old))
    (folder / "runs" / sorted(new)[0]).unlink()
    plan = json.loads((folder / "plan.json").read_text())
    del plan["config"]["full"]
    (folder / "plan.json").write_text(json.dumps(plan))
    results = read_results(folder)
    assert results.full == {}
    assert "cost_to_90" not in summarise(results)
    assert "all labels" not in build_report(folder)
    two = [{"corpus": "synthetic", "name": "a"}, {"corpus": "synthetic", "name": "b"}]
    outcome = run_comparison(comparison(corpora=two, seeds=4), tmp_path)
    assert (outcome.played, outcome.kept) == (1, 15)
    assert run_files(folder) == new


@pytest.mark.usefixtures("made_corpora")
def test_it_can_be_left_out_without_changing_which_runs_are_finished(
    comparison: Build, tmp_path: Path, runs_of: RunsOf
) -> None:
    run_comparison(comparison(full="never"), tmp_path)
    assert not any("full" in run for run in runs_of(tmp_path / "small"))
    assert run_comparison(comparison(full="always"), tmp_path).played == 0
    assert all("full" in run for run in runs_of(tmp_path / "small"))


@pytest.mark.usefixtures("made_corpora")
def test_a_line_that_cannot_be_measured_is_listed_and_the_runs_are_played(
    comparison: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runs_of: RunsOf
) -> None:
    def fail(*_: Any) -> Any:
        raise ReActError("no memory for that")

    monkeypatch.setattr("react_rl.experiments.run.full_data.measure_full", fail)
    outcome = run_comparison(comparison(seeds=2), tmp_path)
    assert outcome.played == 4
    assert [(f["strategy"], f["seed"]) for f in outcome.failures] == [(ALL_LABELS, "0"), (ALL_LABELS, "1")]
    assert not any("full" in run for run in runs_of(tmp_path / "small"))


def test_the_line_is_the_mean_over_seeds_in_figures_and_report(folder: Path, runs_of: RunsOf) -> None:
    runs = [run for run in runs_of(folder) if run["strategy"] == "random"]
    means = [np.mean([run["full"]["accuracy"] for run in runs if run["corpus"] == c]) for c in "ab"]
    results = read_results(folder)
    assert results.full == pytest.approx({"a": means[0], "b": means[1], ALL_CORPORA: np.mean(means)})
    for ax, mean in zip(learning_curves([results]).axes, means, strict=True):
        level = [line for line in ax.lines if line.get_label() not in ("random", "margin")]
        assert [float(np.asarray(line.get_ydata(), float)[0]) for line in level] == pytest.approx([mean])
        assert [text.get_text() for text in ax.texts] == ["all labels"]
    page = build_report(folder)
    assert page.count("With all labels:") == 3
    assert "Cost to 90%" in page


def test_curves_that_were_kept_know_it_too(folder: Path) -> None:
    results = read_results(folder)
    write_tables(folder, [(results, summarise(results))])
    for file in (folder / "runs").iterdir():
        file.unlink()
    assert read_results(folder).full == pytest.approx(results.full)


def test_costs_to_shares_of_it_are_read_off_the_mean_curve(folder: Path, runs_of: RunsOf) -> None:
    table = {
        (row["corpus"], row["strategy"]): dict(row) for _, row in summarise(read_results(folder)).iterrows()
    }
    runs = [run for run in runs_of(folder) if (run["corpus"], run["strategy"]) == ("a", "margin")]
    mean = np.mean([run["test"]["accuracy"] for run in runs], axis=0)
    full = np.mean([run["full"]["accuracy"] for run in runs])
    row = table["a", "margin"]
    assert row["full"] == pytest.approx(full)
    for share in (90, 95, 99):
        expected = labels_to_target(runs[0]["cost"], mean, full * share / 100)
        assert row[f"cost_to_{share}"] == pytest.approx(expected, nan_ok=True)
    both = [run for run in runs_of(folder) if run["strategy"] == "margin"]
    pooled = np.mean([run["test"]["accuracy"] for run in both], axis=0)
    target = 0.9 * np.mean([run["full"]["accuracy"] for run in both])
    expected = labels_to_target(runs[0]["cost"], pooled, target)
    assert table[ALL_CORPORA, "margin"]["cost_to_90"] == pytest.approx(expected, nan_ok=True)
