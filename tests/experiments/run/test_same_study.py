"""Nothing is replaced unasked, changed code is played again, and only policies are called policies."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from react_rl.acquisition import STRATEGIES, Entropy, Margin
from react_rl.acquisition.batching.selection import take_top
from react_rl.acquisition.contract import StrategyEntry
from react_rl.errors import ReActError
from react_rl.experiments import CompareConfig, TrainConfig, run_comparison, run_training
from react_rl.experiments.analysis.about import about
from react_rl.experiments.analysis.summary import read_results
from react_rl.experiments.cli.plot import draw_results
from react_rl.experiments.config.models import load_config
from react_rl.experiments.figures.looks import looks_of
from react_rl.experiments.run.planning import check_same
from react_rl.experiments.run.sameness import differences
from react_rl.experiments.run.training_folder import refuse_other_training
from react_rl.simulation import PoolView

EPISODE = {"pool_size": 60, "dev_size": 30, "initial_size": 5, "budget": 12, "batch_size": 4}


def comparison(**more: Any) -> CompareConfig:
    values: dict[str, Any] = {
        "name": "study",
        "corpora": [{"corpus": "synthetic", "name": "s", "max_rows": 200}],
        "strategies": ["random", "margin"],
        "seeds": 2,
        "jobs": 1,
        "episode": EPISODE,
    }
    return CompareConfig.model_validate(values | more)


def training(**more: Any) -> TrainConfig:
    values: dict[str, Any] = {
        "name": "one",
        "corpora": [{"corpus": "synthetic", "max_rows": 200}],
        "episode": EPISODE,
        "agent": {"episodes": 8, "n_envs": 4, "evaluations": 1, "evaluation_episodes": 2},
    }
    return TrainConfig.model_validate(values | more)


def test_a_comparison_under_a_taken_name_is_refused_and_nothing_is_lost(tmp_path: Path) -> None:
    run_comparison(comparison(), tmp_path)
    before = {file: file.read_bytes() for file in sorted(tmp_path.rglob("*")) if file.is_file()}
    with pytest.raises(ReActError, match=r"holds another comparison: episode.budget was 12.0, is 8.0\. Cho"):
        run_comparison(comparison(episode=EPISODE | {"budget": 8}), tmp_path)
    with pytest.raises(ReActError, match=r"corpora\[s\].max_rows was 200, is 150"):
        run_comparison(comparison(corpora=[{"corpus": "synthetic", "name": "s", "max_rows": 150}]), tmp_path)
    assert before == {file: file.read_bytes() for file in sorted(tmp_path.rglob("*")) if file.is_file()}
    replaced = run_comparison(comparison(episode=EPISODE | {"budget": 8}), tmp_path, overwrite=True)
    assert (replaced.played, replaced.kept) == (4, 0)


def test_a_comparison_may_grow_and_says_what_it_kept_by_strategy(tmp_path: Path) -> None:
    run_comparison(comparison(), tmp_path)
    grown = run_comparison(comparison(strategies=["random", "margin", "entropy"], seeds=3), tmp_path)
    assert (grown.played, grown.kept) == (5, 4)
    assert grown.kept_of == {"random": 2, "margin": 2}


def test_changed_code_of_ones_own_strategy_is_played_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Worst(Margin):
        def select(self, view: PoolView, n: int) -> Any:
            return take_top(view, -self.score(view), n)

    config = comparison(strategies=["random", "mine"])
    played = []
    for make in (
        lambda: Margin("mine"),
        lambda: Worst("mine"),
        lambda: Worst("mine"),
        lambda: Entropy("mine"),
    ):
        monkeypatch.setitem(STRATEGIES, "mine", StrategyEntry(make, "uncertainty", "x", "y"))
        done = run_comparison(config, tmp_path)
        played.append((done.played, done.kept_of))
    both = {"random": 2, "mine": 2}
    assert played == [(4, {}), (2, {"random": 2}), (0, both), (2, {"random": 2})]


def test_a_strategy_of_this_process_alone_is_refused_for_several_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = StrategyEntry(lambda: Margin("mine"), "uncertainty", "x", "y")
    monkeypatch.setitem(STRATEGIES, "mine", entry)
    with pytest.raises(ReActError, match="'mine' is known in this process only, not in 2 workers"):
        run_comparison(comparison(strategies=["random", "mine"], jobs=2), tmp_path)
    assert run_comparison(comparison(strategies=["random", "mine"], jobs=None), tmp_path).failures == []


OWN = '''
"""A strategy of one's own."""
from react_rl.acquisition import Margin


class Mine(Margin):
    """Margin under another name."""

    def __init__(self):
        super().__init__("my-margin")


BROKEN = 3
'''


def test_a_strategy_from_ones_own_module_runs_in_workers_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_for_workers.py").write_text(OWN, encoding="utf-8")
    (tmp_path / "study.yaml").write_text(
        "name: study\ncorpora: [{corpus: synthetic, name: s, max_rows: 200}]\n"
        "strategies: [random, 'own_for_workers:Mine', margin]\nseeds: 2\njobs: 2\n"
        f"episode: {EPISODE}\n",
        encoding="utf-8",
    )
    config = load_config(CompareConfig, str(tmp_path / "study.yaml"))
    done = run_comparison(config, tmp_path / "results")
    assert done.failures == []
    results = read_results(done.folder.folder)
    assert results.strategies == ("random", "my-margin", "margin")
    curves = results.curves.set_index("strategy")["test"]
    assert curves["my-margin"].tolist() == curves["margin"].tolist()
    assert results.policies == {}
    assert about("my-margin", results.policies).family == "own"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("no_such_module:Mine", "the module 'no_such_module' cannot be imported .*beside the config"),
        ("own_bad:Mime", "has no 'Mime'. Did you mean 'Mine'"),
        ("own_bad:BROKEN", "has no 'score'; it must be a class or an object with score, select, name"),
    ],
)
def test_a_name_that_leads_to_no_strategy_is_one_sentence(
    name: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_bad.py").write_text(OWN, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ReActError, match=said):
        run_comparison(comparison(strategies=["random", name]), tmp_path)


def test_a_comparison_of_which_nothing_was_kept_is_no_other_comparison(tmp_path: Path) -> None:
    folder = run_comparison(comparison(), tmp_path).folder
    other = comparison(episode=EPISODE | {"budget": 8})
    shutil.rmtree(folder.runs)
    curves = folder.folder / "curves.csv"
    curves.write_text("of runs that are elsewhere")
    with pytest.raises(ReActError, match="holds another comparison"):
        check_same(other, folder)
    curves.unlink()
    check_same(other, folder)


def test_another_training_under_a_taken_name_is_refused(tmp_path: Path) -> None:
    run_training(training(), tmp_path, progress=False)
    other = training(agent=training().agent.model_copy(update={"seed": 7}))
    weights = (tmp_path / "one" / "policy" / "policy.safetensors").read_bytes()
    with pytest.raises(ReActError, match=r"holds another training: agent.seed was 0, is 7\."):
        run_training(
            training(agent=training().agent.model_copy(update={"seed": 7})), tmp_path, progress=False
        )
    assert (tmp_path / "one" / "policy" / "policy.safetensors").read_bytes() == weights
    reports: list[object] = []
    with pytest.warns(UserWarning, match="nothing was trained"):
        run_training(training(), tmp_path, reports.append, progress=False)
    assert not reports
    run_training(training(), tmp_path, reports.append, progress=False, overwrite=True)
    assert reports
    assert (tmp_path / "one" / "policy" / "policy.safetensors").read_bytes() == weights
    run_training(other, tmp_path, progress=False, overwrite=True)
    assert (tmp_path / "one" / "policy" / "policy.safetensors").read_bytes() != weights


def test_a_training_that_was_killed_before_it_kept_anything_is_no_other_training(tmp_path: Path) -> None:
    folder = tmp_path / "one"
    (folder / "logs").mkdir(parents=True)
    for name in ("train-circumstances.json", "logs/progress.csv", ".lock", ".policy.safetensors.x.part"):
        (folder / name).write_text("begun")
    (folder / "train.json").write_text(training(agent={"seed": 7}).model_dump_json())
    refuse_other_training(training(), folder, overwrite=False)
    (folder / "states").mkdir()
    (folder / "states" / "0000000.safetensors").write_text("states that an expert has judged")
    with pytest.raises(ReActError, match="holds another training"):
        refuse_other_training(training(), folder, overwrite=False)


def test_policies_are_called_as_their_trainings_and_only_they_are_drawn_as_policies(tmp_path: Path) -> None:
    for name in ("a", "b"):
        run_training(training(name=name), tmp_path, progress=False)
    folders = [str(tmp_path / name / "policy") for name in ("a", "b")]
    done = run_comparison(comparison(strategies=["random", "greedy-oracle", *folders]), tmp_path)
    results = read_results(done.folder.folder)
    assert results.policies == {"a": folders[0], "b": folders[1]}
    looks = looks_of([*results.strategies, "subsample:1000:margin"], results.policies)
    assert [name for name, look in looks.items() if look["color"] == "#000000"] == ["a", "b"]
    assert [about(name, results.policies).summary for name in ("a", "b")] == ["trained policy"] * 2
    run_training(training(name="margin"), tmp_path, progress=False)
    with pytest.raises(ReActError, match="A policy is called 'margin', as a query strategy is"):
        run_comparison(comparison(strategies=["random", str(tmp_path / "margin" / "policy")]), tmp_path)


def test_differences_name_the_key_and_both_values() -> None:
    old = {"a": {"b": 1, "c": [1, 2]}, "gone": "x"}
    new = {"a": {"b": 2, "c": [1, 2]}, "fresh": None}
    assert differences(old, new) == [
        "a.b was 1, is 2",
        "fresh was not there, is null",
        'gone was "x", is not there',
    ]
    assert differences(old, old) == []


def test_a_comparison_from_python_writes_what_the_command_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("react_rl.experiments.cli.comparison.draw_results", draw_results)
    done = run_comparison(comparison(), str(tmp_path))
    written = {file.name for file in done.folder.folder.iterdir()}
    assert {"summary.csv", "curves.csv", "learning_curves.png", "areas.svg", "plan.json"} <= written
