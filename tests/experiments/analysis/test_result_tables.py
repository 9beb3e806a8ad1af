"""The numbers of the tables, computed a second time from the run files by hand."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from react_rl.acquisition import make_strategy
from react_rl.errors import ReActError
from react_rl.experiments import read_results, run_comparison, summarise
from react_rl.experiments.analysis.numbers import aggregate, aligned_scores, improvement_matrix
from react_rl.experiments.analysis.summary import ALL_CORPORA, Results, areas, write_tables
from react_rl.experiments.cli import main
from react_rl.metrics import wilcoxon_signed_rank
from react_rl.simulation.view import PoolView

Build = Callable[..., Any]
RunsOf = Callable[[Path], list[dict[str, Any]]]
STRATEGIES = ["random", "margin", "mixture"]


class Stopping:
    """Random sampling that stops after its first batch."""

    name = "margin"

    def score(self, view: PoolView) -> Tensor:
        return view.random()

    def select(self, view: PoolView, n: int) -> Tensor:
        ids = make_strategy("random").select(view, n)
        return torch.where(torch.from_numpy(view.progress.rounds >= 1)[:, None], -1, ids)


@pytest.fixture
def compared(made_corpora: None, comparison: Build, tmp_path: Path) -> Path:
    """Two corpora, three strategies, six seeds."""
    two = [{"corpus": "synthetic", "name": "a"}, {"corpus": "synthetic", "name": "b"}]
    run_comparison(comparison(corpora=two, strategies=STRATEGIES, seeds=6), tmp_path)
    return tmp_path / "small"


@pytest.fixture
def stopping_margin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "react_rl.experiments.run.compare.resolve",
        lambda n: Stopping() if n == "margin" else make_strategy(n),
    )


def by_strategy(table: pd.DataFrame) -> dict[tuple[str, str], dict[str, Any]]:
    return {(row["corpus"], row["strategy"]): dict(row) for _, row in table.iterrows()}


def area_by_hand(run: dict[str, Any], budget: float) -> float:
    costs, values = [*run["cost"], budget], [*run["test"]["accuracy"], run["test"]["accuracy"][-1]]
    total = 0.0
    for i in range(1, len(costs)):
        total += (costs[i] - costs[i - 1]) * (values[i] + values[i - 1]) / 2
    return total / budget


def test_areas_and_finals_are_means_over_the_run_files(compared: Path, runs_of: RunsOf) -> None:
    table = by_strategy(summarise(read_results(compared)))
    runs = runs_of(compared)
    for corpus in ("a", "b"):
        for strategy in STRATEGIES:
            own = [r for r in runs if (r["corpus"], r["strategy"]) == (corpus, strategy)]
            row = table[corpus, strategy]
            assert row["seeds"] == len(own) == 6
            assert row["area"] == pytest.approx(np.mean([area_by_hand(r, 12.0) for r in own]), abs=1e-12)
            assert row["final"] == pytest.approx(np.mean([r["test"]["accuracy"][-1] for r in own]))
            assert row["labels"] == 17
            assert row["cost"] == 12
            assert row["area_low"] <= row["area"] <= row["area_high"]
            assert row["final_low"] <= row["final"] <= row["final_high"]


def test_differences_are_paired_by_seed(compared: Path, runs_of: RunsOf) -> None:
    table = by_strategy(summarise(read_results(compared)))
    area = {(r["corpus"], r["strategy"], r["seed"]): area_by_hand(r, 12.0) for r in runs_of(compared)}
    for corpus in ("a", "b"):
        p_values = {}
        for strategy in STRATEGIES[1:]:
            own = np.array([area[corpus, strategy, k] for k in range(6)])
            other = np.array([area[corpus, "random", k] for k in range(6)])
            row = table[corpus, strategy]
            assert row["difference"] == pytest.approx((own - other).mean(), abs=1e-12)
            assert row["wins"] == (own - other > 1e-6).sum()
            assert row["losses"] == (own - other < -1e-6).sum()
            assert row["wins"] + row["ties"] + row["losses"] == 6
            p_values[strategy] = wilcoxon_signed_rank(own, other).p_value
        # Holm by hand: the smaller of two counts twice, the larger once and never less than the smaller.
        first, second = sorted(p_values, key=lambda s: p_values[s])
        smaller = min(2 * p_values[first], 1.0)
        assert table[corpus, first]["p_holm"] == pytest.approx(smaller)
        assert table[corpus, second]["p_holm"] == pytest.approx(max(smaller, p_values[second]))
        assert np.isnan(table[corpus, "random"]["difference"])


def test_areas_that_six_decimals_alone_set_apart_are_a_tie() -> None:
    right = {"random": (7, 9, 11), "margin": (7, 8.5, 12)}  # of 12 rows: the same area by two ways
    rows = [
        {"corpus": "a", "strategy": strategy, "seed": seed, "round": k, "cost": float(k), "labels": 5}
        | dict.fromkeys(("dev", "test"), round(count / 12, 6))
        for strategy, counts in right.items()
        for seed in range(2)
        for k, count in enumerate(counts)
    ]
    results = Results(pd.DataFrame(rows), "accuracy", 2.0, "random", tuple(right), 0)
    row = by_strategy(summarise(results))["a", "margin"]
    assert areas(results).groupby("strategy")["area"].first().nunique() == 2
    assert (row["wins"], row["ties"], row["losses"], row["p_holm"]) == (0, 2, 0, 1.0)
    assert [row[key] for key in ("difference", "difference_low", "difference_high")] == [0.0, 0.0, 0.0]
    scores = aligned_scores(results, areas(results))
    assert scores is not None
    assert improvement_matrix(scores).tolist() == [[0.5, 0.5], [0.5, 0.5]]
    assert aggregate(scores).table.set_index("strategy")["improvement"]["margin"] == 0.5


def test_the_mean_of_corpora_takes_a_seed_as_one_replicate(compared: Path, runs_of: RunsOf) -> None:
    table = by_strategy(summarise(read_results(compared)))
    area = {(r["corpus"], r["strategy"], r["seed"]): area_by_hand(r, 12.0) for r in runs_of(compared)}
    means = {s: np.array([(area["a", s, k] + area["b", s, k]) / 2 for k in range(6)]) for s in STRATEGIES}
    for strategy in STRATEGIES:
        row = table[ALL_CORPORA, strategy]
        assert row["seeds"] == 6
        assert row["area"] == pytest.approx(means[strategy].mean())
    row = table[ALL_CORPORA, "mixture"]
    assert row["difference"] == pytest.approx((means["mixture"] - means["random"]).mean())


def test_curves_hold_one_row_for_each_run_and_checkpoint(compared: Path, runs_of: RunsOf) -> None:
    curves = read_results(compared).curves
    assert len(curves) == 2 * 3 * 6 * 4
    for run in runs_of(compared):
        own = curves[
            (curves["corpus"] == run["corpus"])
            & (curves["strategy"] == run["strategy"])
            & (curves["seed"] == run["seed"])
        ]
        assert own["round"].tolist() == [0, 1, 2, 3]
        assert own["cost"].tolist() == run["cost"]
        assert own["labels"].tolist() == run["labels"]
        assert own["dev"].tolist() == run["dev"]["accuracy"]
        assert own["test"].tolist() == run["test"]["accuracy"]


@pytest.mark.usefixtures("made_corpora", "stopping_margin")
def test_a_strategy_that_stops_early_keeps_its_last_value_to_the_budget(
    comparison: Build, tmp_path: Path, runs_of: RunsOf
) -> None:
    run_comparison(comparison(), tmp_path)
    stopped = [run for run in runs_of(tmp_path / "small") if run["strategy"] == "margin"]
    assert [run["batches"][1:] for run in stopped] == [[[]]] * 3, "one batch, then the decision to stop"
    assert {run["cost"][-1] for run in stopped} == {4.0}
    scores = areas(read_results(tmp_path / "small"))
    for run in stopped:
        found = scores[(scores["strategy"] == "margin") & (scores["seed"] == run["seed"])]
        test = run["test"]["accuracy"]
        expected = (4 * (test[0] + test[1]) / 2 + 8 * test[-1]) / 12
        assert found["area"].item() == pytest.approx(expected)
        assert found["labels"].item() == 9
    full = [run for run in runs_of(tmp_path / "small") if run["strategy"] == "random"]
    assert {run["cost"][-1] for run in full} == {12.0}, "the others go on to the end"


def test_only_seeds_that_every_strategy_has_are_compared(compared: Path) -> None:
    lost = next((compared / "runs").glob("a--margin--seed0002--*.json"))
    lost.unlink()
    results = read_results(compared)
    assert results.missing == 1
    table = by_strategy(summarise(results))
    for corpus, seeds in (("a", 5), ("b", 6), (ALL_CORPORA, 5)):
        assert [table[corpus, strategy]["seeds"] for strategy in STRATEGIES] == [seeds] * 3


def test_a_single_seed_has_a_table_too(made_corpora: None, comparison: Build, tmp_path: Path) -> None:
    run_comparison(comparison(seeds=1), tmp_path)
    table = summarise(read_results(tmp_path / "small"))
    assert table["seeds"].tolist() == [1, 1]
    assert table["area"].notna().all()


@pytest.mark.usefixtures("made_corpora")
def test_with_a_log_loss_the_smaller_area_wins(comparison: Build, tmp_path: Path) -> None:
    run_comparison(comparison(metrics=["log_loss", "accuracy"], strategies=STRATEGIES, seeds=5), tmp_path)
    results = read_results(tmp_path / "small")
    scores = areas(results).pivot(index="seed", columns="strategy", values="area")
    table = by_strategy(summarise(results))
    for strategy in STRATEGIES[1:]:
        assert table["made-0", strategy]["wins"] == (scores[strategy] < scores["random"]).sum()


def test_writing_twice_gives_the_same_bytes(compared: Path) -> None:
    written = []
    for _ in range(2):
        results = read_results(compared)
        write_tables(compared, [(results, summarise(results))])
        written.append([(compared / name).read_bytes() for name in ("summary.csv", "curves.csv")])
    assert written[0] == written[1]
    summary = pd.read_csv(compared / "summary.csv")
    assert len(summary) == 9
    assert {"corpus", "strategy", "seeds", "area", "area_low", "area_high", "final", "p_holm"} <= set(summary)


def test_tables_and_figures_can_be_made_again_from_the_curves_alone(
    compared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plot", str(compared)]) == 0
    first = capsys.readouterr().out
    kept = {name: (compared / name).read_bytes() for name in ("summary.csv", "curves.csv", "areas.svg")}
    shutil.rmtree(compared / "runs")
    shutil.rmtree(compared / "circumstances")
    (compared / "summary.csv").unlink()
    assert main(["plot", str(compared)]) == 0
    assert capsys.readouterr().out == first
    assert {name: (compared / name).read_bytes() for name in kept} == kept


def test_names_that_look_like_numbers_or_nothing_survive_the_curves_file(
    made_corpora: None, comparison: Build, tmp_path: Path
) -> None:
    two = [{"corpus": "synthetic", "name": "2024"}, {"corpus": "synthetic", "name": "NA"}]
    run_comparison(comparison(corpora=two), tmp_path)
    folder = tmp_path / "small"
    results = read_results(folder)
    write_tables(folder, [(results, summarise(results))])
    shutil.rmtree(folder / "runs")
    assert read_results(folder).corpora == ["2024", "NA"]


def test_a_damaged_run_file_is_named(compared: Path) -> None:
    damaged = sorted((compared / "runs").iterdir())[3]
    damaged.write_bytes(damaged.read_bytes()[:50])
    with pytest.raises(ReActError, match=rf"Run file .*{damaged.name} is no valid JSON .*; delete it"):
        read_results(compared)


def test_a_run_file_of_another_run_is_refused(compared: Path) -> None:
    one, other = sorted((compared / "runs").iterdir())[:2]
    one.write_bytes(other.read_bytes())
    with pytest.raises(ReActError, match=r"is damaged; .* it holds another run"):
        read_results(compared)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"config": {}, "runs": [{}]}', "\u0000"])
def test_a_damaged_plan_is_refused(compared: Path, text: str) -> None:
    (compared / "plan.json").write_text(text)
    with pytest.raises(ReActError, match=r"plan\.json is (damaged|no valid JSON)"):
        read_results(compared)


def test_a_comparison_without_finished_runs_says_so(compared: Path) -> None:
    shutil.rmtree(compared / "runs")
    with pytest.raises(ReActError, match="holds no finished run; run `react-rl compare` first"):
        read_results(compared)


def test_runs_that_left_the_plan_are_not_counted(
    made_corpora: None, comparison: Build, tmp_path: Path
) -> None:
    run_comparison(comparison(strategies=STRATEGIES, seeds=4), tmp_path)
    run_comparison(comparison(seeds=2), tmp_path)
    results: Results = read_results(tmp_path / "small")
    assert results.strategies == ("random", "margin")
    assert sorted(results.curves["seed"].unique()) == [0, 1]
    assert json.loads((tmp_path / "small/plan.json").read_text())["config"]["seeds"] == 2


@pytest.mark.parametrize("text", ["", "corpus,strategy\na,random\n", 'corpus,strategy\n"a,random\n'])
def test_damaged_curves_are_refused(compared: Path, text: str) -> None:
    shutil.rmtree(compared / "runs")
    (compared / "curves.csv").write_text(text)
    with pytest.raises(ReActError, match=r"curves\.csv is damaged \(.*\); run the comparison again"):
        read_results(compared)
