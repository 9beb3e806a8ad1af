"""The rounds benchmark on the synthetic corpus: structure of its files, never its speed."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest

from react_rl.errors import ReActError
from react_rl.experiments.benchmarks import profile_rounds, rounds
from react_rl.experiments.benchmarks.contestants import OurEngine, Peer, RoundsContestant, RoundsScene
from react_rl.experiments.benchmarks.rounds_report import RoundsLine, table

ARGUMENTS = ["--quick", "--corpus", "synthetic", "--out"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("benchmark") / "rounds"
    assert rounds.main([*ARGUMENTS, str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def scene() -> RoundsScene:
    return rounds.make_scene("synthetic", 500, 1200, rounds.QUICK)


def test_all_files_are_written(folder: Path) -> None:
    names = {file.name for file in folder.iterdir()}
    assert names == {"results.json", "results.csv", "table.md", "rounds.png", "rounds.svg"}
    assert (folder / "rounds.png").read_bytes().startswith(b"\x89PNG")
    assert "mathdefault" not in (folder / "rounds.svg").read_text(), "no formula is left unread"
    assert "<svg" in (folder / "rounds.svg").read_text()


def test_the_json_holds_machine_and_results(folder: Path) -> None:
    content = json.loads((folder / "results.json").read_text())
    assert content["machine"]["cores"] >= 1
    assert content["machine"]["torch"]
    assert "fp32" in content["machine"]["processor_class"]
    assert content["machine"]["processor_class"] in (folder / "table.md").read_text()
    assert [line["episodes"] for line in content["results"]] == list(rounds.QUICK.episodes)
    for line in content["results"]:
        assert line["contestant"] == "react-rl"
        assert 0 < line["slowest_turn"] <= line["rounds_per_second"] <= line["fastest_turn"]
        assert 0 < line["with_start"] <= line["fastest_turn"]
        assert 1 / 3 < line["area"] <= 1
        assert line["ratio_to_faster_peer"] is None


def test_the_csv_has_a_row_for_each_result(folder: Path) -> None:
    with (folder / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    results = json.loads((folder / "results.json").read_text())["results"]
    assert [float(row["area"]) for row in rows] == [line["area"] for line in results]


def test_episodes_side_by_side_have_the_area_of_episodes_alone(folder: Path) -> None:
    areas = [line["area"] for line in json.loads((folder / "results.json").read_text())["results"]]
    assert len(areas) == 2
    assert math.isclose(areas[0], areas[1], abs_tol=1e-4)


def test_without_the_peers_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert rounds.main([*ARGUMENTS, str(tmp_path), "--repeats", "1"]) == 0
    assert "The peers are left out, because --peer-python is not given" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--corpus", "sintetic"], "Did you mean 'synthetic'?"),
        (["--corpus", "synthetic", "--repeats", "0"], "--repeats is 0; give at least 1"),
        (["--corpus", "synthetic", "--threads", "1", "0"], "--threads is 0; give at least 1"),
        (["--corpus", "synthetic", "--peer-python", "/nowhere/python"], "cannot be started"),
    ],
)
def test_a_mistake_is_one_sentence_and_status_2(
    arguments: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rounds.main(["--quick", "--out", str(tmp_path / "none"), *arguments]) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert "Traceback" not in error
    assert not (tmp_path / "none").exists()


def test_a_short_last_batch_is_filled_up(scene: RoundsScene) -> None:
    played = OurEngine(scene, 4).play([0, 1])
    assert played.rounds == 4 * scene.rounds
    assert sorted(played.accuracy) == [0, 1, 2, 3]


def test_the_file_for_the_peers_holds_the_draws_that_we_play(scene: RoundsScene, tmp_path: Path) -> None:
    scene.save(tmp_path / "scene.npz")
    played = OurEngine(scene, 1).play(range(scene.seeds))
    with np.load(tmp_path / "scene.npz", allow_pickle=False) as data:
        for seed in range(scene.seeds):
            ids = played.ids[seed]
            size = scene.options.initial_size
            assert sorted(ids[:size]) == data["initial"][seed].tolist()
            assert set(ids) <= set(data["pool"][seed].tolist())
            assert len(set(ids)) == size + scene.options.budget


def test_unequal_starts_are_noticed(scene: RoundsScene) -> None:
    tallies = [rounds.Tally(), rounds.Tally()]
    for tally in tallies:
        tally.add(OurEngine(scene, 4).play(range(4)))
    rounds.check_draws(scene, tallies)
    tallies[1].played.ids[2][0] += 1
    with pytest.raises(ReActError, match="did not play the same episode for seed 2"):
        rounds.check_draws(scene, tallies)


def test_the_ratio_is_to_the_faster_peer_and_the_area_to_the_better(scene: RoundsScene) -> None:
    class Told:
        """A worker that answers what it is told to."""

        def __init__(self, seconds: float, accuracy: float) -> None:
            self.seconds, self.accuracy = seconds, accuracy

        def played(self, peer: str, c: float, seeds: list[int]) -> dict[str, object]:
            curve = [self.accuracy + 0.01 * seed for seed in seeds]
            return {
                "seconds": self.seconds * len(seeds), "start_seconds": 0.0, "ids": [[1]] * len(seeds),
                "accuracy": [[value] * (scene.rounds + 1) for value in curve],
            }  # fmt: skip

    slow_good, fast_poor = Told(1.0, 0.8), Told(0.1, 0.6)
    contestants: list[RoundsContestant] = [
        OurEngine(scene, 4),
        Peer(slow_good, scene, "small-text", 1.0),  # type: ignore[arg-type]
        Peer(fast_poor, scene, "scikit-activeml", 1.0),  # type: ignore[arg-type]
    ]
    tallies = rounds.measure(scene, contestants, rounds.QUICK, 1, progress=False)
    ours, good, poor = rounds.lines_of(scene, 1, contestants, tallies)
    assert poor.ratio_to_faster_peer == pytest.approx(1.0)
    assert good.ratio_to_faster_peer == pytest.approx(0.1)
    assert poor.rounds_per_second == pytest.approx(scene.rounds / 0.1)
    assert ours.ratio_to_faster_peer == pytest.approx(ours.rounds_per_second / poor.rounds_per_second)
    assert poor.area_minus_best_peer == pytest.approx(-0.2)
    assert good.area == pytest.approx(0.8 + 0.01 * 1.5)


def test_the_table_has_a_line_for_each_contestant() -> None:
    line = RoundsLine(
        corpus="bbc_news", dimensions=384, classes=5, pool_size=500, threads=2, contestant="react-rl",
        episodes=64, rounds_per_second=4321.0, slowest_turn=4000.0, fastest_turn=5000.0, with_start=4100.0,
        ratio_to_faster_peer=30.5, area=0.9, area_error=0.002, area_minus_best_peer=0.01,
        area_minus_best_peer_error=0.003,
    )  # fmt: skip
    machine = {"processor": "P", "cores": 2, "torch": "2", "python": "3", "load_average": 0.1}
    text = table([line], machine, repeats=8, seeds=32)
    assert "## Pool 500, 2 threads" in text
    assert "| react-rl, 64 episodes | 4,321 | 4,000 to 5,000 | 4,100 | 30.50 |" in text
    assert "0.9000 ± 0.0020 | +0.0100 ± 0.0030 |" in text


def test_the_profile_names_every_stage(tmp_path: Path) -> None:
    assert profile_rounds.main(["--quick", "--corpus", "synthetic", "--out", str(tmp_path)]) == 0
    text = (tmp_path / "profile.md").read_text()
    for label, _ in profile_rounds.STAGES:
        assert label.strip() in text
    assert "nan" not in text
