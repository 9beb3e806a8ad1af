"""The selection benchmark: what it makes of messages, and ours on 500 rows; never its speed."""

from __future__ import annotations

import csv
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from react_rl.acquisition import make_strategy, suited
from react_rl.experiments.benchmarks import clusters, selection
from react_rl.experiments.benchmarks.selection_ours import PREDICTION
from react_rl.experiments.benchmarks.selection_pool import PoolPlan, make_vectors, read_corpus, write_pool
from react_rl.experiments.benchmarks.selection_process import Limits, ProcessOutcome, run_contestant
from react_rl.experiments.benchmarks.selection_report import OURS, Ratio, SelectionLine, pairs_of, table
from react_rl.simulation import LabelingEngine

STRATEGY_NAMES = ["margin"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("selection")
    arguments = ["--quick", "--out", str(folder / "out"), "--work", str(folder / "work")]
    assert selection.main([*arguments, "--strategies", *STRATEGY_NAMES]) == 0
    return folder


def test_ours_selects_distinct_unlabelled_rows(folder: Path) -> None:
    initial = set(np.load(folder / "work" / "pool-500" / "initial.npy").tolist())
    results = json.loads((folder / "out" / "results.json").read_text())["results"]
    assert [line["strategy"] for line in results] == [PREDICTION, *STRATEGY_NAMES]
    for line in results[1:]:
        assert line["status"] == "done"
        assert line["seconds"] > 0
        assert len(set(line["picked"])) == 100
        assert not initial & set(line["picked"])


def test_the_csv_has_a_row_for_each_measurement(folder: Path) -> None:
    with (folder / "out" / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["strategy"] for row in rows] == [PREDICTION, *STRATEGY_NAMES]
    assert {row["rows"] for row in rows} == {"500"}


def test_a_later_round_selects_what_those_before_have_left(folder: Path, tmp_path: Path) -> None:
    arguments = ["--quick", "--strategies", *STRATEGY_NAMES, "--work", str(folder / "work")]
    assert selection.main([*arguments, "--out", str(tmp_path), "--round", "3"]) == 0
    assert "500 x 32, 10 classes, 40 labelled, batch 100, round 3" in (tmp_path / "table.md").read_text()
    (_, line) = json.loads((tmp_path / "results.json").read_text())["results"]
    plan = replace(selection.QUICK.pool, rows=500, round=3)
    engine = LabelingEngine([read_corpus(plan, folder / "work" / "pool-500-round-3")], plan.options)
    engine.reset([plan.streams], corpora=[0])
    for _ in range(2):
        engine.step(make_strategy("margin").select(engine.view, 100))
    assert line["picked"] == make_strategy("margin").select(engine.view, 100)[0].tolist()


def test_what_is_measured_is_not_measured_again(folder: Path, tmp_path: Path) -> None:
    plan = replace(selection.QUICK, strategies=("margin",))
    file = folder / "work" / "pool-500" / "outcomes" / "react-rl-margin.json"
    before = file.stat().st_mtime_ns
    lines = selection.run(plan, tmp_path, folder / "work", None, progress=False)
    assert file.stat().st_mtime_ns == before
    assert [line.strategy for line in lines] == [PREDICTION, "margin"]


def test_the_ways_to_cluster_a_pool_are_as_tight_as_their_centroids(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clusters, "CLUSTERS", (2, 3))
    arguments = ["--out", str(tmp_path), "--repetitions", "2"]
    assert clusters.main([str(folder / "work" / "pool-500"), *arguments]) == 0
    found = pd.read_csv(tmp_path / "clusters.csv").groupby(["clusters", "way"])["distance"].mean().unstack()
    assert list(found) == sorted(clusters.WAYS)
    assert (found["all rows until they rest"] < found["wide pools"] * 1.001).all()
    assert found.to_numpy().max() < found.to_numpy().min() * 1.1
    assert (found.loc[3] < found.loc[2]).all()
    assert clusters.main([str(tmp_path), *arguments]) == 2


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--strategies", "margn"], "Did you mean 'margin'?"),
        (["--contestants", "smalltext"], "Did you mean 'small-text'?"),
        (["--rows", "50"], "--rows 50 leaves nothing to choose"),
        (["--rows", "1000", "--round", "10"], "leaves nothing to choose; give more than 1040"),
        (["--round", "0"], "--round is 0; give at least 1"),
        (["--round", "2", "--contestants", "small-text"], "Peers select from the first round alone"),
        (["--seconds", "0"], "--seconds 0 is no time"),
        (["--strategies", "margin", "--peer-python", "/nowhere/python"], "cannot be started"),
    ],
)
def test_a_mistake_is_one_sentence_and_status_2(
    arguments: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    peers = ["--contestants", *selection.PEERS] if "--peer-python" in arguments else []
    out = ["--out", str(tmp_path / "none")]
    assert selection.main(["--quick", *out, *arguments, *peers]) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_the_vectors_are_unit_and_come_from_the_seed() -> None:
    plan = PoolPlan(dimensions=16)
    vectors, targets = make_vectors(plan, 400)
    again, _ = make_vectors(plan, 400)
    other, _ = make_vectors(replace(plan, seed=1), 400)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert np.array_equal(vectors, again)
    assert not np.array_equal(vectors, other)
    assert set(targets.tolist()) == set(range(plan.classes))
    similarity = vectors @ vectors.T
    same = targets[:, None] == targets
    assert similarity[same].mean() > similarity[~same].mean()


def test_the_written_pool_reads_back_with_the_dev_rows_behind_it(tmp_path: Path) -> None:
    plan = PoolPlan(rows=300, dimensions=8, labelled=20)
    write_pool(plan, tmp_path)
    corpus = read_corpus(plan, tmp_path)
    assert corpus.corpus.ids("train").tolist() == list(range(300))
    assert corpus.corpus.ids("dev").tolist() == list(range(300, 800))
    assert (corpus.density[:300] > 0).all()
    assert len(set(np.load(tmp_path / "initial.npy").tolist())) == 20


def _script(*lines: str) -> list[str]:
    start = "import json, sys, time\nsay = lambda **m: print(json.dumps(m), flush=True)\n"
    return [sys.executable, "-c", start + "\n".join(lines)]


LOADED = "say(stage='loaded', versions={'peer': '1'})"
READY = "say(stage='ready')"


def test_the_median_of_the_selections_is_reported() -> None:
    told = (
        "for k, _ in enumerate(sys.stdin): say(stage='done', seconds=[3.0, 1.0, 2.0][k], wall=9.0, ids=[k])"
    )
    found = run_contestant(_script(LOADED, READY, told), Limits(repeats=3, enough=100.0))
    assert (found.status, found.seconds, found.runs) == ("done", 2.0, 3)
    assert (found.wall, found.ids, found.versions) == (9.0, [2], {"peer": "1"})


def test_slow_selections_are_not_repeated() -> None:
    told = "for _ in sys.stdin: say(stage='done', seconds=7.0, wall=7.0, ids=[])"
    assert run_contestant(_script(LOADED, READY, told), Limits(enough=5.0)).runs == 1


def test_a_contestant_that_takes_too_long_is_ended() -> None:
    busy = "for _ in sys.stdin:\n    while True: pass"
    assert run_contestant(_script(LOADED, READY, busy), Limits(seconds=0.3)).status == "time"


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not tell memory")
def test_memory_is_counted_beyond_the_data_and_limited() -> None:
    data = "data = bytearray(50_000_000); data[::4096] = b'1' * len(data[::4096])"
    use = (
        "for _ in sys.stdin:\n    more = b'1' * 100_000_000; say(stage='done', seconds=1.0, wall=1.0, ids=[])"
    )
    found = run_contestant(_script(data, LOADED, READY, use), Limits(repeats=1))
    assert found.megabytes == pytest.approx(100, abs=10)
    assert found.whole is not None
    assert found.whole > 150
    hungry = "for _ in sys.stdin:\n    more = b'1' * 300_000_000\n    time.sleep(60)"
    assert run_contestant(_script(LOADED, READY, hungry), Limits(megabytes=200)).status == "memory"
    told = "for _ in sys.stdin: say(stage='memory', reason='Unable to allocate')"
    assert run_contestant(_script(LOADED, READY, told), Limits()).status == "memory"


def _line(contestant: str, strategy: str, seconds: float | None, status: str = "done") -> SelectionLine:
    outcome = ProcessOutcome(status, seconds, seconds, 1, 100.0, 500.0)  # type: ignore[arg-type]
    return SelectionLine.of(1000, contestant, strategy, outcome, 0.5)


def test_the_ratio_is_to_the_faster_peer_with_our_prediction_counted() -> None:
    lines = [
        _line(OURS, PREDICTION, 0.5), _line(OURS, "margin", 0.5), _line(OURS, "k-center", 0.5),
        _line("small-text", "margin", 8.0), _line("scikit-activeml", "margin", 4.0),
        _line("small-text", "k-center", None, "time"), _line("scikit-activeml", "k-center", 5.0),
        _line(OURS, "maxherding", 2.0), _line("scikit-activeml", "maxherding", None, "memory"),
        _line(OURS, "mixture", 1.0), _line(OURS, "random", 2.0), _line("small-text", "random", 1.0),
        _line(OURS, "egl", 1.5), _line("small-text", "egl", None, "time"),
    ]  # fmt: skip
    pairs = pairs_of(lines, 1000, Limits())
    assert {pair.strategy: pair.ratio for pair in pairs} == {
        "margin": Ratio(4.0), "k-center": Ratio(10.0), "maxherding": Ratio(float("inf")), "mixture": None,
        "random": Ratio(0.5), "egl": Ratio(300.0, bound=True),
    }  # fmt: skip
    alone = {pair.strategy: pair.alone for pair in pairs}
    assert (alone["margin"], alone["egl"]) == (Ratio(8.0), Ratio(400.0, bound=True))
    machine = {"processor": "P", "cores": 2, "torch": "2", "python": "3", "peers": {"small-text": "1"}}
    text = table(lines, machine, Limits(), PoolPlan())
    assert "5 strategies have a counterpart; no peer gets through with 2 of them." in text
    assert "Median ratio to the faster peer: 10.0 (over those that get through: 4; " in text
    assert "in the query: 10.0)." in text
    assert "Slower than the faster peer: random." in text
    assert "| `maxherding` | 2 | 100 |  | out of memory | > 12,000 |  |  | no peer gets through |  |" in text
    assert "| `k-center` | 0.5 | 100 |  | 5 | 100 | > 600 |  | 10.0 |  |" in text
    assert "| `margin` | 0.5 | 100 | 1 | 4 | 100 | 8 | 100 | 4 | 8 |" in text
    assert "| `egl` | 1.5 | 100 | 2 |  |  | > 600 |  | > 300 | > 400 |" in text


def test_strategies_that_compare_all_pairs_stay_out_of_the_largest_pool() -> None:
    plan = selection.SelectionPlan(sizes=(1000, 9000))
    first, second = (set(selection.contests(plan, size)) for size in plan.sizes)
    assert {(OURS, name) for name in suited() if name not in selection.ABSENT} <= first
    assert {s for _, s in first} - {s for _, s in second} == {
        "bait",
        "dcom",
        "probcover",
        "maxherding",
        "refine",
        "tuned-mixture",
        "uncertainty-herding",
        "variance-reduction",
    }
    assert {contestant for contestant, _ in second} == {OURS}
    assert {s for c, s in first if c != OURS} == set(selection.COUNTERPARTS)
