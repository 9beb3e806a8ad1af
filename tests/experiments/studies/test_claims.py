"""Published claims: the rule, the numbers behind it, and the page, from runs whose truth is known."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from react_rl.errors import ReActError
from react_rl.experiments import run_comparison
from react_rl.experiments.config.models import CompareConfig, load_config
from react_rl.experiments.studies import claims, scores
from react_rl.experiments.studies.claims_page import describe
from react_rl.experiments.studies.judging import (
    FAILS,
    HOLDS,
    OPEN,
    Claim,
    Comparison,
    differences,
    judge,
    other_sign,
    verdict,
)
from react_rl.experiments.studies.scores import MEASURES, Measure, ScoreTable, collect, measured, read_scores

Build = Callable[..., Any]
RunsOf = Callable[[Path], list[dict[str, Any]]]


def table(levels: dict[str, float], seeds: int = 12, corpora: tuple[str, ...] = ("a", "b")) -> ScoreTable:
    """Scores at these levels, with a little noise of their own and much that all strategies share."""
    rng = np.random.default_rng(0)
    shared = rng.normal(scale=0.1, size=(seeds, len(corpora)))
    values = {
        name: level + shared + rng.normal(scale=0.002, size=shared.shape) for name, level in levels.items()
    }
    return ScoreTable(corpora, tuple(range(seeds)), values)


@pytest.mark.parametrize(
    ("says", "low", "high", "p", "expected"),
    [
        ("above", 0.01, 0.03, 0.001, HOLDS),
        ("above", 0.01, 0.03, 0.2, OPEN),
        ("above", -0.01, 0.03, 0.001, OPEN),
        ("above", -0.03, -0.01, 0.001, FAILS),
        ("above", -0.03, -0.01, 0.05, OPEN),
        ("at or below", 0.01, 0.03, 0.001, FAILS),
        ("at or below", 0.001, 0.003, 0.001, FAILS),
        ("at or below", -0.03, -0.01, 0.001, HOLDS),
        ("at or below", -0.03, 0.004, 0.6, HOLDS),
        ("at or below", -0.03, 0.006, 0.6, OPEN),
    ],
)
def test_the_rule_for_one_line(says: str, low: float, high: float, p: float, expected: str) -> None:
    assert verdict(says, low, high, p) == expected


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        ({"x": 0.8, "y": 0.7, "z": 0.6}, HOLDS),
        ({"x": 0.8, "y": 0.6, "z": 0.7}, FAILS),
        ({"x": 0.8, "y": 0.7, "z": 0.7}, OPEN),
    ],
)
def test_a_claim_is_what_its_lines_are(levels: dict[str, float], expected: str) -> None:
    claim = Claim("paper", "x > y > z", "made", (Comparison(("x",), "y", "t"), Comparison(("y",), "z", "t")))
    whole, findings = judge(claim, {"t": table(levels)})
    assert whole == expected
    assert findings[0].verdict == HOLDS
    assert findings[0].estimate == pytest.approx(levels["x"] - levels["y"], abs=0.003)
    assert findings[0].low < findings[0].estimate < findings[0].high
    assert (findings[0].above, findings[0].across, findings[0].below) == (2, 0, 0)


def test_details_neither_decide_nor_enter_the_correction() -> None:
    tables = {"t": table({"x": 0.8, "y": 0.7})}
    line = Comparison(("x",), "y", "t")
    alone, first = judge(Claim("paper", "x > y", "made", (line,)), tables)
    contrary = replace(line, left=("y",), right="x", detail=True)
    whole, both = judge(Claim("paper", "x > y", "made", (line, contrary)), tables)
    assert alone == whole == HOLDS
    assert both[1].verdict == FAILS
    assert both[0].p == first[0].p == pytest.approx(2 / 2**12)
    # Two deciding lines are corrected: the smaller p-value is doubled.
    twice = judge(Claim("paper", "x > y", "made", (line, replace(line, corpus="a"))), tables)[1]
    assert twice[0].p == pytest.approx(2 * first[0].p)


def test_several_strategies_are_averaged_and_a_control_is_taken_off() -> None:
    skewed, even = table({"x": 0.8, "y": 0.6, "r": 0.5}), table({"x": 0.75, "y": 0.6, "r": 0.55})
    line = Comparison(("x", "y"), "r", "skewed", control="even")
    found = differences(line, {"skewed": skewed, "even": even})
    expected = (skewed.values["x"] + skewed.values["y"]) / 2 - skewed.values["r"]
    expected -= (even.values["x"] + even.values["y"]) / 2 - even.values["r"]
    np.testing.assert_allclose(found, expected)
    assert found.mean() == pytest.approx(0.2 - 0.125, abs=0.003)
    one = differences(replace(line, corpus="b"), {"skewed": skewed, "even": even})
    np.testing.assert_allclose(one[:, 0], expected[:, 1])
    with pytest.raises(ReActError, match="skewed and even have other corpora or seeds"):
        differences(line, {"skewed": skewed, "even": table({"x": 0.7, "y": 0.6, "r": 0.5}, seeds=11)})
    assert describe(line) == "gain of mean of 2 strategies over r, skewed minus even"


def test_triples_with_the_other_sign_are_counted_over_all_triples() -> None:
    # Six of the ten triples hold the 10 and are positive, as the mean is; four are not.
    assert other_sign(np.array([10.0, -1.0, -1.0, -1.0, -1.0])) == pytest.approx(0.4)
    assert other_sign(np.full(5, 0.3)) == 0
    assert np.isnan(other_sign(np.array([1.0, -1.0, 1.0])))


@pytest.fixture
def compared(made_corpora: None, comparison: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Real run files: two corpora, two strategies, four seeds; 12 labels in rounds of 4."""
    two = [{"corpus": "synthetic", "name": "b"}, {"corpus": "synthetic", "name": "a"}]
    run_comparison(comparison(corpora=two, seeds=4), tmp_path / "results")
    small = {
        "areas": Measure("small"),
        "first": Measure("small", until=4),
        "ends": Measure("small", "final"),
        "absent": Measure("other"),
    }
    monkeypatch.setattr(scores, "MEASURES", small)
    return tmp_path / "results"


def test_tables_hold_what_the_run_files_say(compared: Path, tmp_path: Path, runs_of: RunsOf) -> None:
    assert collect(compared, tmp_path) == ["areas", "first", "ends"]
    tables = {name: read_scores(tmp_path, name) for name in ("areas", "first", "ends")}
    assert tables["areas"].corpora == ("b", "a")
    assert tables["areas"].seeds == (0, 1, 2, 3)
    for run in runs_of(compared / "small"):
        value = run["test"]["accuracy"]
        assert run["cost"] == [0, 4, 8, 12]

        def read(name: str, run: dict[str, Any] = run) -> float:
            return float(tables[name].of(run["strategy"], run["corpus"])[run["seed"]])

        area = (value[0] / 2 + value[1] + value[2] + value[3] / 2) / 3
        assert read("areas") == pytest.approx(area, abs=1e-6)
        assert read("first") == pytest.approx((value[0] + value[1]) / 2, abs=1e-6)
        assert read("ends") == pytest.approx(value[3], abs=1e-6)
    mean = (tables["ends"].of("margin", "a") + tables["ends"].of("margin", "b")) / 2
    np.testing.assert_allclose(tables["ends"].of("margin"), mean)


def test_seeds_that_a_strategy_lacks_are_left_out(compared: Path, tmp_path: Path) -> None:
    next((compared / "small" / "runs").glob("a--margin--seed0002*")).unlink()
    collect(compared, tmp_path)
    assert read_scores(tmp_path, "areas").seeds == (0, 1, 3)
    assert measured(compared, Measure("small"))["margin"].isna().sum() == 1


def test_a_missing_table_strategy_or_corpus_is_named(compared: Path, tmp_path: Path) -> None:
    collect(compared, tmp_path)
    with pytest.raises(ReActError, match="run `react-rl compare other`"):
        read_scores(tmp_path, "absent")
    found = read_scores(tmp_path, "areas")
    with pytest.raises(ReActError, match="Strategy 'badge' was not compared; the table has random, margin"):
        found.of("badge")
    with pytest.raises(ReActError, match="Corpus 'c' was not compared; the table has b, a"):
        found.of("margin", "c")


def write_comparison(results: Path, name: str, corpora: list[str], strategies: list[str], seeds: int) -> None:
    """Curves of a comparison in which later strategies are better by .01 each, everywhere."""
    rng = np.random.default_rng(1)
    rows = []
    for corpus in corpora:
        noise = rng.normal(scale=0.002, size=(len(strategies), seeds))
        for s, strategy in enumerate(strategies):
            for seed in range(seeds):
                level = 0.5 + 0.01 * s + noise[s, seed]
                for r, cost in enumerate((0, 10, 20)):
                    rows.append((corpus, strategy, seed, r, cost, 10 + cost, level, level + 0.01 * r))
    columns = ["corpus", "strategy", "seed", "round", "cost", "labels", "dev", "test"]
    folder = results / name
    folder.mkdir(parents=True)
    pd.DataFrame(rows, columns=columns).to_csv(folder / "curves.csv", index=False)
    runs = [
        {"corpus": c, "strategy": s, "seed": k, "key": f"{c}{s}{k}".rjust(10, "0")}
        for c in corpora for s in strategies for k in range(seeds)
    ]  # fmt: skip
    config = {"metrics": ["accuracy"], "episode": {"budget": 20}, "reference": "random"}
    (folder / "plan.json").write_text(json.dumps({"schema": 1, "config": config, "runs": runs}))
    (folder / "summary.csv").write_text("corpus,strategy\n")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All files of the command, from curves of every comparison that the claims name."""
    root = tmp_path_factory.mktemp("claims")
    lines = [line for claim in claims.CLAIMS for line in claim.lines]
    for name in {measure.comparison for measure in MEASURES.values()}:
        used = {s for x in lines for s in (*x.left, x.right) if MEASURES[x.measure].comparison == name}
        used |= {s for x in lines if x.control and MEASURES[x.control].comparison == name for s in x.left}
        if name == "baselines-seeds":
            used |= {"margin", "badge"}
        rest = sorted(used - {"random", "margin", "greedy-oracle", "typiclust"})
        order = ["random", *rest, "margin", "typiclust", "greedy-oracle"]
        seeds = 30 if name == "baselines-seeds" else 8
        write_comparison(root, name, ["trec6", "subj", "ag_news", "mr", "cr"], order, seeds)
    assert claims.main(["--results", str(root), "--out", str(root / "out")]) == 0
    return root


def test_the_command_writes_every_file(written: Path) -> None:
    names = {
        str(path.relative_to(written / "out")) for path in (written / "out").rglob("*") if path.is_file()
    }
    expected = {"claims.md", "claims.csv", "few_seeds.csv", "gains.md"}
    expected |= {f"{figure}.{kind}" for figure in ("few_seeds", "batch_sizes") for kind in ("png", "svg")}
    expected |= {f"scores/{name}.csv" for name in MEASURES}
    expected |= {f"summaries/{measure.comparison}.csv" for measure in MEASURES.values()}
    assert names == expected


def test_the_page_says_yes_and_no_where_the_numbers_do(written: Path) -> None:
    found = pd.read_csv(written / "out" / "claims.csv").drop_duplicates("claim").set_index("claim")
    verdicts = found["claim_verdict"]
    assert verdicts["Margin is above random on TREC-6, Subj and AG News."] == HOLDS
    assert verdicts["BADGE edges ahead of margin at large batches."] == FAILS
    assert verdicts["Representativeness wins at the smallest budgets."] == HOLDS
    assert verdicts["At larger budgets uncertainty is ahead of representativeness."] == FAILS
    # The same gain with and without imbalance.
    assert verdicts["Imbalance widens the gain over random."] == OPEN
    page = (written / "out" / "claims.md").read_text()
    for claim, said in verdicts.items():
        assert any(str(claim) in line and f"**{said}**" in line for line in page.splitlines())


def test_the_table_of_gains_holds_what_the_scores_say(written: Path) -> None:
    page = (written / "out" / "gains.md").read_text()
    rows = [line.strip("| ").split(" | ") for line in page.splitlines()]
    gains = {row[0]: row[1:] for row in rows if len(row) == 5 and row[0] != "---"}
    assert gains.pop("strategy") == ["50 rounds of 1", "20 rounds of 5", "10 rounds of 20", "6 rounds of 50"]
    for column, name in enumerate(("batch-1", "batch-5", "batch-20", "batch-50")):
        table = read_scores(written / "out", name)
        mean = {s: np.mean([table.of(s, c) for c in table.corpora], axis=0) for s in table.values}
        for strategy, cells in gains.items():
            if strategy not in mean:
                assert cells[column] == "not played"
                continue
            value, low, high = (float(part.strip("[],")) for part in cells[column].split())
            assert value == pytest.approx(np.mean(mean[strategy] - mean["random"]), abs=6e-5)
            assert low <= value <= high
    assert "not played" in str(gains)
    played = [[cell for cell in cells if cell != "not played"] for cells in gains.values()]
    means = [np.mean([float(cell.split()[0]) for cell in cells]) for cells in played]
    assert means == sorted(means, reverse=True)


def test_kept_tables_give_the_same_page_and_figures(written: Path, tmp_path: Path) -> None:
    (tmp_path / "scores").mkdir()
    for file in (written / "out" / "scores").iterdir():
        (tmp_path / "scores" / file.name).write_bytes(file.read_bytes())
    assert claims.main(["--results", str(tmp_path / "nothing"), "--out", str(tmp_path)]) == 0
    for name in ("claims.md", "claims.csv", "few_seeds.csv", "few_seeds.png", "batch_sizes.svg", "gains.md"):
        assert (tmp_path / name).read_bytes() == (written / "out" / name).read_bytes()


def test_without_runs_and_tables_one_sentence_says_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert claims.main(["--results", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert said.startswith("claims: ")
    assert "run `react-rl compare baselines-" in said


def test_every_comparison_has_a_packaged_config_with_the_strategies_of_its_claims() -> None:
    for claim in claims.CLAIMS:
        for line in claim.lines:
            for name in filter(None, (line.measure, line.control)):
                config = load_config(CompareConfig, MEASURES[name].comparison)
                assert config.name == MEASURES[name].comparison
                assert {*line.left, line.right} <= set(config.strategies)
                assert config.seeds >= 30
                until = MEASURES[name].until
                assert until is None or until <= config.episode.budget
                if line.corpus is not None:
                    assert line.corpus in [corpus.name for corpus in config.corpora]


def test_an_unfinished_comparison_leaves_the_table_that_was_kept(tmp_path: Path) -> None:
    write_comparison(tmp_path, "baselines-batch20", ["trec6"], ["random", "margin"], 2)
    assert collect(tmp_path, tmp_path / "out") == ["batch-20", "batch-20-final"]
    kept = (tmp_path / "out" / "scores" / "batch-20.csv").read_bytes()
    path = tmp_path / "baselines-batch20" / "curves.csv"
    curves = pd.read_csv(path)
    curves[(curves["strategy"] == "random") == (curves["seed"] == 0)].to_csv(path, index=False)
    with pytest.raises(ReActError, match="baselines-batch20 has no seed that every strategy finished"):
        collect(tmp_path, tmp_path / "out")
    assert (tmp_path / "out" / "scores" / "batch-20.csv").read_bytes() == kept
