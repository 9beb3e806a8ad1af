"""The fine-tuning benchmark's protocol: the same rows for everyone, and files that say what they hold."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from react_rl.experiments.benchmarks.finetune import peers, protocol, runs
from react_rl.experiments.benchmarks.finetune.protocol import (
    Ids,
    PeerTraining,
    ProtocolError,
    Scene,
    SceneRows,
    Sizes,
    draw_scene,
)

SIZES = Sizes(pool=30, test=12, initial=5, rounds=3, batch=4)
LABELS = ("cold", "hot", "mild")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of corpora: every text tells its split and row, and the row's number its label."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "weather").mkdir()
    for split, size in (("train", 50), ("test", 20)):
        with gzip.open(folder / "weather" / f"{split}.jsonl.gz", "wt", encoding="utf-8") as file:
            for row in range(size):
                print(json.dumps({"text": f"{split} {row}", "label": LABELS[row % 3]}), file=file)
    return folder


@pytest.fixture(scope="module")
def scene(data: Path) -> Scene:
    return draw_scene(data, "weather", 7, SIZES, PeerTraining())


class Buyer:
    """Buys the lowest row ids that are left and predicts class 0."""

    name = "buyer"

    def __init__(self, scene: Scene) -> None:
        self.parts = {"thinking": 0.5}
        self.settings = {"padding": "none"}
        self.taught: dict[int, int] = {}
        self._scene = scene

    def update(self, ids: Ids, targets: Ids) -> None:
        self.taught |= dict(zip(ids.tolist(), targets.tolist(), strict=True))

    def query(self, n: int) -> Ids:
        left: Ids = np.setdiff1d(self._scene.pool.ids, [*self.taught])
        return left[:n]

    def predict_test(self) -> Ids:
        return np.zeros(len(self._scene.test.ids), dtype=np.int64)


def test_the_same_seed_draws_the_same_rows(data: Path, scene: Scene) -> None:
    assert draw_scene(data, "weather", 7, SIZES, PeerTraining()) == scene
    other = draw_scene(data, "weather", 8, SIZES, PeerTraining())
    assert other.pool.ids != scene.pool.ids
    assert other.test.ids != scene.test.ids


def test_the_recipe_does_not_change_the_rows(data: Path, scene: Scene) -> None:
    other = draw_scene(data, "weather", 7, SIZES, PeerTraining(epochs=2))
    assert replace(other, recipe=scene.recipe) == scene
    assert other.digest != scene.digest


def test_the_rows_are_as_many_as_asked_and_distinct(scene: Scene) -> None:
    for rows, size in ((scene.pool, SIZES.pool), (scene.test, SIZES.test)):
        assert rows.ids == sorted(set(rows.ids))
        assert len(rows.ids) == len(rows.texts) == len(rows.targets) == size
    assert scene.initial == sorted(set(scene.initial))
    assert len(scene.initial) == SIZES.initial
    assert set(scene.initial) <= set(scene.pool.ids)


def test_texts_and_labels_are_those_of_the_rows(scene: Scene) -> None:
    assert scene.classes == sorted(LABELS)
    for split, rows in (("train", scene.pool), ("test", scene.test)):
        assert rows.texts == [f"{split} {row}" for row in rows.ids]
        assert [scene.classes[target] for target in rows.targets] == [LABELS[row % 3] for row in rows.ids]


def test_positions_are_looked_up_by_row_id(scene: Scene) -> None:
    wanted = np.array(scene.pool.ids)[[4, 0, 29]]
    assert scene.pool.positions(wanted).tolist() == [4, 0, 29]


@pytest.mark.parametrize("row", [-5, 4, 100])
def test_a_row_outside_the_scene_has_no_position(row: int) -> None:
    rows = SceneRows([3, 5, 8], ["a", "b", "c"], [0, 0, 1])
    with pytest.raises(ProtocolError, match=f"Row {row} is not among the 3 rows"):
        rows.positions([3, row])


@pytest.mark.parametrize(
    ("labelled", "steps", "warm_up"), [(25, 10, 1), (50, 20, 2), (275, 90, 9), (16, 5, 1), (17, 10, 1)]
)
def test_the_recipe_counts_its_steps(labelled: int, steps: int, warm_up: int) -> None:
    recipe = PeerTraining(epochs=5, batch_size=16, warm_up=0.1)
    assert recipe.steps(labelled) == steps
    assert recipe.warm_up_steps(labelled) == warm_up


def test_a_scene_comes_back_from_its_file(scene: Scene, tmp_path: Path) -> None:
    scene.save(tmp_path / "below" / "scene.json")
    assert Scene.load(tmp_path / "below" / "scene.json") == scene
    assert [file.name for file in (tmp_path / "below").iterdir()] == ["scene.json"]


def test_a_changed_scene_is_noticed(scene: Scene, tmp_path: Path) -> None:
    path = tmp_path / "scene.json"
    scene.save(path)
    content = json.loads(path.read_text())
    content["pool"]["targets"][3] = (content["pool"]["targets"][3] + 1) % 3
    path.write_text(json.dumps(content))
    with pytest.raises(ProtocolError, match="was changed after it was drawn"):
        Scene.load(path)


def test_a_file_of_another_kind_is_refused(scene: Scene, tmp_path: Path) -> None:
    scene.save(tmp_path / "scene.json")
    with pytest.raises(ProtocolError, match="is no run of format 1"):
        runs.Run.load(tmp_path / "scene.json")
    (tmp_path / "half.json").write_text('{"format": 1,')
    with pytest.raises(ProtocolError, match="cannot be read"):
        Scene.load(tmp_path / "half.json")


@pytest.mark.parametrize(
    ("corpus", "sizes", "sentence"),
    [
        (
            "weather",
            Sizes(pool=16, test=12, initial=5, rounds=3, batch=4),
            "17 labels, but the pool has 16 rows",
        ),
        ("weather", replace(SIZES, pool=51), "has 50 rows, but 51 are to be drawn"),
        ("weather", replace(SIZES, test=21), "has 20 rows, but 21 are to be drawn"),
        ("wether", SIZES, "name the folder of the corpora as --data"),
    ],
)
def test_what_cannot_be_drawn_is_one_sentence(data: Path, corpus: str, sizes: Sizes, sentence: str) -> None:
    with pytest.raises(ProtocolError, match=sentence):
        draw_scene(data, corpus, 0, sizes, PeerTraining())


def test_the_command_writes_a_file_for_each_corpus_and_seed(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = [f"--{name}={value}" for name, value in asdict(SIZES).items()]
    command = ["--data", str(data), "--out", str(tmp_path), "--corpora", "weather", *sizes]
    assert protocol.main([*command, "--seeds", "2", "--epochs", "3", "--learning-rate", "0.002"]) == 0
    assert sorted(file.name for file in tmp_path.iterdir()) == ["weather-0.json", "weather-1.json"]
    recipe = PeerTraining(epochs=3, learning_rate=0.002)
    assert Scene.load(tmp_path / "weather-1.json") == draw_scene(data, "weather", 1, SIZES, recipe)
    assert protocol.main([*command, "--pool", "99"]) == 2
    assert "99 are to be drawn" in capsys.readouterr().err


def test_a_scene_is_played_round_by_round(scene: Scene) -> None:
    buyer = Buyer(scene)
    lines = list(runs.play(scene, buyer))
    assert [line.labelled for line in lines] == [5, 9, 13, 17]
    assert [line.steps for line in lines] == [scene.recipe.steps(line.labelled) for line in lines]
    assert lines[0].bought == scene.initial
    assert buyer.taught == {
        row: sorted(LABELS).index(LABELS[row % 3]) for line in lines for row in line.bought
    }
    share = np.mean(np.array(scene.test.targets) == 0)
    assert [line.accuracy for line in lines] == pytest.approx([share] * 4)
    assert all(seconds >= 0 for line in lines for key, seconds in asdict(line).items() if "seconds" in key)
    assert len(list(runs.play(scene, Buyer(scene), rounds=1))) == 2


def test_the_seconds_are_those_of_the_step_they_name(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([(0, 0), (1, 10), (5, 50), (7, 70), (10, 100)])
    monkeypatch.setattr(runs, "_now", lambda: next(clock))
    (line,) = runs.play(scene, Buyer(scene), rounds=0)
    assert (line.query_seconds, line.update_seconds, line.test_seconds) == (1, 2, 3)
    assert (line.query_processor_seconds, line.update_processor_seconds) == (10, 20)
    assert line.test_processor_seconds == 30


@pytest.mark.parametrize("bought", ["twice", "labelled", "few"])
def test_a_contestant_that_does_not_buy_new_rows_is_stopped(scene: Scene, bought: str) -> None:
    class Cheat(Buyer):
        def query(self, n: int) -> Ids:
            honest = super().query(n)
            chosen = {
                "twice": honest[[0, 0, 1, 2]],
                "labelled": np.array(scene.initial[:n]),
                "few": honest[1:],
            }
            return chosen[bought]

    with pytest.raises(ProtocolError, match="buyer was to buy 4 new rows in round 1"):
        list(runs.play(scene, Cheat(scene)))


def test_the_smallest_margins_are_found() -> None:
    probabilities = np.random.default_rng(0).dirichlet(np.ones(5), 200)
    ordered = np.sort(probabilities, axis=1)
    margins = ordered[:, -1] - ordered[:, -2]
    assert runs.lowest_margins(probabilities, 20).tolist() == np.argsort(margins)[:20].tolist()


def test_every_module_runs_where_only_numpy_is(scene: Scene) -> None:
    folder = str(Path(peers.__file__).parent)
    absent = ["react_rl", "torch", "transformers", "small_text", "gymnasium"]
    code = (
        f"import sys; sys.path.insert(0, {folder!r}); sys.modules.update(dict.fromkeys({absent}));"
        "import peers, protocol, runs; print(sorted(peers.CONTESTANTS), protocol.FORMAT)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "['small-text', 'trainer'] 1", done.stderr


@pytest.fixture
def played(scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Everything that a run of the peers' command needs, with a contestant that needs no model."""
    scene.save(tmp_path / "scene.json")
    (tmp_path / "config.json").write_text("{}")
    made: list[Buyer] = []

    def make(scene: Scene, _: Path) -> Buyer:
        made.append(Buyer(scene))
        return made[-1]

    monkeypatch.setitem(peers.CONTESTANTS, "buyer", make)
    monkeypatch.setattr(peers, "_prepare", lambda _: None)
    command = [str(tmp_path / "scene.json"), "--contestant=buyer", f"--model={tmp_path}", f"--out={tmp_path}"]
    return {"made": made, "command": command, "path": tmp_path / "weather-buyer-7.json"}


def test_the_run_file_tells_what_was_played(scene: Scene, played: dict[str, Any]) -> None:
    assert peers.main(played["command"]) == 0
    content = json.loads(played["path"].read_text())
    assert (content["format"], content["kind"], content["contestant"]) == (1, "run", "buyer")
    assert (content["corpus"], content["seed"], content["scene"]) == ("weather", 7, scene.digest)
    assert (content["threads"], content["timing"]) == (1, False)
    assert (content["parts"], content["settings"]) == ({"thinking": 0.5}, {"padding": "none"})
    assert content["versions"]["numpy"] == np.__version__
    assert [line["labelled"] for line in content["rounds"]] == [5, 9, 13, 17]
    run = runs.Run.load(played["path"])
    assert asdict(run) == {key: value for key, value in content.items() if key not in {"format", "kind"}}


def test_a_finished_run_is_not_played_again(played: dict[str, Any]) -> None:
    assert peers.main(played["command"]) == peers.main(played["command"]) == 0
    assert len(played["made"]) == 1


def test_a_timing_is_played_each_time_and_kept_apart(played: dict[str, Any]) -> None:
    for _ in range(2):
        assert peers.main([*played["command"], "--timing", "--rounds", "1"]) == 0
    assert len(played["made"]) == 2
    assert not played["path"].exists()
    run = runs.Run.load(played["path"].with_name("weather-buyer-7-timing.json"))
    assert run.timing
    assert len(run.rounds) == 2


def test_a_run_of_other_rows_is_not_taken_for_this_one(
    scene: Scene, played: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert peers.main(played["command"]) == 0
    replace(scene, recipe=PeerTraining(epochs=1)).save(Path(played["command"][0]))
    assert peers.main(played["command"]) == 2
    assert "holds a run of another scene" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--rounds", "2"], "give --timing with it"),
        (["--model", "/nowhere"], "holds no config.json"),
        (["--contestant", "tainer"], "invalid choice: 'tainer'"),
    ],
)
def test_a_mistake_in_the_command_is_said_before_anything_is_played(
    arguments: list[str], sentence: str, played: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        peers.main([*played["command"], *arguments])
    assert sentence in capsys.readouterr().err
    assert not played["made"]
