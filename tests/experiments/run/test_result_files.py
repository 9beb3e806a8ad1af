"""Run files and plans of wrong content: one sentence that names the file, whatever JSON they hold."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from react_rl.errors import ReActError
from react_rl.experiments import read_results, run_comparison
from react_rl.experiments.cli import main
from react_rl.experiments.run.results import RunId

pytestmark = pytest.mark.usefixtures("made_corpora")

Build = Callable[..., Any]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
RUN_KEYS = ("cost", "labels", "dev", "test", "corpus", "strategy", "seed", "initial", "batches", "full")
WRONG_RUNS: list[tuple[dict[str, Any], str]] = [
    ({"cost": None}, "cost is None"),
    ({"cost": []}, "cost is []"),
    ({"cost": [0.0, "a", 8.0, 12.0]}, "cost.1 is 'a'"),
    ({"cost": [0.0, 8.0, 4.0, 12.0]}, "its cost falls"),
    ({"labels": [1]}, "labels has 1 values where cost has 4"),
    ({"dev": {}}, "does not hold the metric 'accuracy'"),
    ({"test": {"accuracy": [0.5]}}, "test.accuracy has 1 values where cost has 4"),
    ({"seed": 7}, "it holds another run"),
    ({"key": "0123456789"}, "it holds another run"),
    ({"strategy": ["random"]}, "strategy is ['random']"),
    ({"batches": [[1], None]}, "batches.1 is None"),
    ({"batches": [[1], [-5]]}, "batches.1.0 is -5"),
    ({"features": ["margin"], "weights": [[0.1, 0.2]]}, "weights does not have 1 values"),
]
WRONG_PLANS: list[tuple[dict[str, Any], str]] = [
    ({"config": {}}, "key 'config.metrics' is missing"),
    ({"runs": []}, "runs is []"),
    ({"runs": [{"corpus": 1, "strategy": "a", "seed": 0, "key": "0123456789"}]}, "runs.0.corpus is 1"),
]


@pytest.fixture
def folder(comparison: Build, tmp_path: Path) -> Path:
    """Two strategies with two seeds."""
    run_comparison(comparison(seeds=2), tmp_path)
    return tmp_path / "small"


def change(file: Path, changes: dict[str, Any]) -> str:
    before = file.read_text()
    file.write_text(json.dumps(json.loads(before) | changes))
    return before


def test_a_run_file_of_wrong_content_is_named(folder: Path) -> None:
    file = min((folder / "runs").iterdir())
    for changes, reason in WRONG_RUNS:
        before = change(file, changes)
        with pytest.raises(ReActError) as caught:
            read_results(folder)
        assert str(file) in str(caught.value)
        assert reason in str(caught.value)
        file.write_text(before)
    for text, reason in (("[]", "found list"), ("null", "found nothing"), ("{", "is no valid JSON")):
        file.write_text(text)
        with pytest.raises(ReActError, match=reason):
            read_results(folder)


def test_a_plan_of_wrong_content_is_named(folder: Path) -> None:
    plan = folder / "plan.json"
    config = json.loads(plan.read_text())["config"]
    more = [
        ({"config": config | {"metrics": ["beauty"]}}, "The metric 'beauty' in "),
        ({"config": config | {"episode": {"budget": 0}}}, "config.episode.budget is 0"),
        ({"config": config | {"reference": 3}}, "config.reference is 3"),
    ]
    for changes, reason in WRONG_PLANS + more:
        before = change(plan, changes)
        with pytest.raises(ReActError) as caught:
            read_results(folder)
        assert str(plan) in str(caught.value)
        assert reason in str(caught.value)
        plan.write_text(before)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(key=st.sampled_from(RUN_KEYS), value=JSON)
def test_nothing_but_a_sentence_comes_of_any_value_in_a_run_file(folder: Path, key: str, value: Any) -> None:
    file = min((folder / "runs").iterdir())
    before = change(file, {key: value})
    sentence = str(file)
    try:
        read_results(folder)
    except ReActError as error:
        sentence = str(error)
    finally:
        file.write_text(before)
    assert str(file) in sentence


def test_curves_with_words_for_numbers_are_damaged(folder: Path) -> None:
    assert main(["plot", str(folder)]) == 0
    for file in (folder / "runs").iterdir():
        file.unlink()
    curves = folder / "curves.csv"
    text = curves.read_text()
    for word in ("many", "inf", ""):
        lines = text.splitlines()
        cells = lines[1].split(",")
        cells[lines[0].split(",").index("cost")] = word
        lines[1] = ",".join(cells)
        curves.write_text("\n".join(lines) + "\n")
        with pytest.raises(ReActError, match=r"curves\.csv is damaged"):
            read_results(folder)


def test_strategies_without_a_common_seed_are_one_sentence(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for run in json.loads((folder / "plan.json").read_text())["runs"]:
        if (run["strategy"] == "random") == (run["seed"] == 0):
            (folder / "runs" / RunId(**run).file).unlink()
    assert main(["plot", str(folder)]) == 2
    shown = capsys.readouterr().err
    assert f"{folder} cannot be summarised" in shown
    assert "seed that all of random, margin have finished" in shown
