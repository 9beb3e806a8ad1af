"""A search tries settings of a training, keeps the best by validation area, and goes on where it stopped."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from react_rl.errors import ReActError
from react_rl.experiments import TrainConfig, TuneConfig, load_config, run_training, run_tuning
from react_rl.experiments.cli import main
from react_rl.experiments.run.tune import TuningProgress
from react_rl.validation import validated

TRAINING: dict[str, Any] = {
    "name": "small",
    "corpora": [{"corpus": "synthetic"}],
    "episode": {"pool_size": 40, "dev_size": 30, "initial_size": 5, "budget": 12, "batch_size": 4},
    "agent": {
        "episodes": 16,
        "n_envs": 4,
        "episodes_per_update": 1,
        "evaluations": 2,
        "evaluation_episodes": 4,
        "layers": [8],
    },
}
SEARCH: dict[str, Any] = {
    "agent.learning_rate": {"low": 1e-4, "high": 1e-1, "log": True},
    "agent.layers": [[4], [8, 8]],
    "agent.epochs": {"low": 1, "high": 3},
}


def config(**changes: Any) -> TuneConfig:
    values = {"name": "tuned", "training": TRAINING, "search": SEARCH, "trials": 3, "startup": 2}
    return validated(TuneConfig, values | changes, "Search")


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "trials.csv").open(newline="") as file:
        return list(csv.DictReader(file))


class Stop(Exception):
    """Stands for whatever ends a process."""


def stopping(trial: int, episodes: int) -> Callable[[TuningProgress], None]:
    def report(state: TuningProgress) -> None:
        if state.trial == trial and state.training is not None and state.training.episodes >= episodes:
            raise Stop

    return report


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search that nothing disturbed."""
    return run_tuning(config(), tmp_path_factory.mktemp("straight"), progress=False).folder


def test_the_best_config_makes_the_best_policy_again(straight: Path, tmp_path: Path) -> None:
    found = run_tuning(config(), straight.parent, progress=False)
    rows = table(straight)
    assert [row["trial"] for row in rows] == ["0000", "0001", "0002"]
    areas = [float(row["area"]) for row in rows if row["area"]]
    assert found.area == pytest.approx(max(areas), abs=1e-6)
    best = load_config(TrainConfig, str(straight / "best.yaml"))
    assert best.name == "tuned-best"
    assert best.agent.learning_rate == found.values["agent.learning_rate"]
    assert list(best.agent.layers) == found.values["agent.layers"]
    again = run_training(best, tmp_path, progress=False)
    weights = [folder / "policy.safetensors" for folder in (again.folder, found.policy)]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def test_a_search_that_was_stopped_in_a_training_finds_what_an_undisturbed_one_finds(
    straight: Path, tmp_path: Path
) -> None:
    for trial, episodes in ((1, 8), (2, 4)):
        with pytest.raises(Stop):
            run_tuning(config(), tmp_path, stopping(trial, episodes), progress=False)
    run_tuning(config(), tmp_path, progress=False)
    assert (tmp_path / "tuned" / "trials.csv").read_text() == (straight / "trials.csv").read_text()
    assert (tmp_path / "tuned" / "best.yaml").read_text() == (straight / "best.yaml").read_text()


def test_more_trials_go_on_and_another_search_is_refused(straight: Path) -> None:
    before = table(straight)
    more = run_tuning(config(trials=4), straight.parent, progress=False)
    assert table(straight)[:3] == before
    assert len(table(straight)) == 4
    assert len(more.areas) == sum(row["state"] == "complete" for row in table(straight))
    with pytest.raises(ReActError, match="holds another search: seed was 0, is 1"):
        run_tuning(config(seed=1), straight.parent, progress=False)


@pytest.mark.parametrize("journal", ['{"op_code": [}', "[1]", '{"op_code": 99, "worker_id": "x"}', "\xff"])
def test_a_damaged_journal_is_told_in_a_sentence(straight: Path, tmp_path: Path, journal: str) -> None:
    folder = tmp_path / "tuned"
    folder.mkdir()
    (folder / "tune.json").write_bytes((straight / "tune.json").read_bytes())
    (folder / "journal.log").write_text(f"{journal}\n", encoding="latin-1")
    with pytest.raises(ReActError, match=r"journal.log is damaged \(.*remove it and run the same command"):
        run_tuning(config(), tmp_path, progress=False)


def test_settings_that_an_algorithm_refuses_are_listed_and_the_search_goes_on(tmp_path: Path) -> None:
    space = {"agent.algorithm": ["DQN", "PPO"]}
    found = run_tuning(config(search=space, trials=3, startup=3), tmp_path, progress=False)
    rows = table(tmp_path / "tuned")
    assert {row["agent.algorithm"] for row in rows} == {'"DQN"', '"PPO"'}
    for row in rows:
        assert (row["state"] == "fail") == (row["agent.algorithm"] == '"DQN"')
        assert ("DQN cannot act in the space" in row["reason"]) == (row["state"] == "fail")
    assert found.values == {"agent.algorithm": "PPO"}
    with pytest.raises(ReActError, match="No trial of none could be finished; the first said: DQN cannot"):
        run_tuning(
            config(name="none", search={"agent.algorithm": ["DQN"]}, trials=1), tmp_path, progress=False
        )


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"search": {"agent.learning_rat": [1]}}, "Did you mean 'learning_rate'"),
        ({"search": {"agent.learning_rate": [2.0]}}, "less than or equal to 1"),
        ({"search": {"agent.gamma": {"low": 0.9, "high": 1.5}}}, "less than or equal to 1"),
        ({"search": {"agent.gamma": {"low": 0.9, "high": 0.5}}}, "low 0.9 must be below high 0.5"),
        ({"search": {"agent.epochs": {"low": 0, "high": 5, "log": True}}}, "must be above 0"),
        ({"search": {"agent.seed": [1, 2]}}, "cannot vary 'agent.seed'"),
        ({"search": {"episode.budget": [10, 20]}}, "cannot vary 'episode.budget'"),
        ({"search": {}}, "search is empty"),
        ({"training": "demo-trian"}, "Did you mean 'demo-train'"),
    ],
)
def test_a_search_that_makes_no_sense_is_refused_before_anything_is_loaded(
    changes: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ReActError, match=sentence):
        config(**changes)


def test_a_training_that_cannot_be_is_refused_before_a_trial(tmp_path: Path) -> None:
    wrong = TRAINING | {"corpora": [{"corpus": "synthetic_sentences"}]}
    with pytest.raises(ReActError, match="which is no metric of tagging; set it to 'task'"):
        run_tuning(config(training=wrong), tmp_path, progress=False)
    assert not (tmp_path / "tuned").exists()


def test_without_optuna_a_sentence_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ReActError, match=r"pip install 'react-rl\[tune\]'"):
        run_tuning(config(), tmp_path, progress=False)
    assert not (tmp_path / "tuned").exists()


def test_the_command_says_what_it_would_do_and_what_it_found(
    straight: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "search.yaml"
    path.write_text(yaml.safe_dump({"name": "tuned", "training": TRAINING, "search": SEARCH, "startup": 2}))
    assert main(["tune", str(path), "--trials", "2", "--dry-run", "--training.agent.episodes", "30"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "Would run 2 trials of 30 episodes each over agent.epochs, agent.layers, agent.lea" in said
    assert main(["tune", str(path), "--trials", "3", "--results", str(straight.parent)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "validation area" in said
    assert "best.yaml" in said
