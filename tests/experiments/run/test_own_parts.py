"""The page on one's own code runs as it stands, in workers too, and changed code is played again."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import yaml

import react_rl.experiments
from react_rl.acquisition import STRATEGIES
from react_rl.agents import load_policy
from react_rl.contracts import check_learner, check_task
from react_rl.encoders import EncoderSettings, make_encoder
from react_rl.errors import ReActError
from react_rl.experiments import CompareConfig, TrainConfig, run_comparison, run_training
from react_rl.experiments.cli import main
from react_rl.experiments.config.interface import ObservationConfig
from react_rl.experiments.config.learners import OwnLearner, learner_config
from react_rl.experiments.config.models import load_config
from react_rl.learners import SoftmaxSettings
from react_rl.learners.registry import LEARNERS
from react_rl.learners.registry import check_task as check_learner_learns
from react_rl.metrics.registry import METRICS
from react_rl.own_code import import_modules
from react_rl.simulation import encode
from react_rl.tasks import TASKS

PAGE = Path(react_rl.experiments.__file__).with_name("own_code.md").read_text(encoding="utf-8")
MODULE, PROGRAM, TASK = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
TRAINING, COMPARISON, LABELS = re.findall(r"```yaml\n(.*?)```", PAGE, flags=re.DOTALL)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The files of the page, in the current folder."""
    (tmp_path / "my_parts.py").write_text(MODULE, encoding="utf-8")
    (tmp_path / "train-mine.yaml").write_text(TRAINING, encoding="utf-8")
    (tmp_path / "compare-mine.yaml").write_text(COMPARISON, encoding="utf-8")
    (tmp_path / "my_task.py").write_text(TASK, encoding="utf-8")
    (tmp_path / "compare-task.yaml").write_text(LABELS, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with patch.dict(TASKS), patch.dict(METRICS), patch.dict(LEARNERS):
        yield tmp_path


def forget() -> None:
    """As if a new process began."""
    for module in ("my_parts", "my_task", "letters", "registering", "mine"):
        sys.modules.pop(module, None)


def test_the_page_on_ones_own_code_runs_as_it_stands(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    commands = re.findall(r"^react-rl (.*)$", PAGE, flags=re.MULTILINE)
    assert [main(command.split()) for command in commands] == [0, 0, 0]
    said = capsys.readouterr().out
    assert "16 runs played, 0 kept from before, 0 failed" in said
    assert "12 runs played, 0 kept from before, 0 failed" in said
    exec(compile(PROGRAM, "own_code.md", "exec"), {})
    assert re.match(r"\[[\d.\s]+\] -?[\d.]+", capsys.readouterr().out)

    # Code that nobody asked for stays out, and changed code is played again.
    forget()
    policy = folder / "results" / "mine" / "policy"
    with pytest.raises(ReActError, match=r"uses 'my_parts:Plain', code of your own .* 'my_parts' under 'mod"):
        load_policy(policy)
    assert "my_parts" not in sys.modules
    config = load_config(CompareConfig, "compare-mine.yaml", ["--jobs", "1"])
    assert run_comparison(config, folder / "results").kept == 16
    forget()
    (folder / "my_parts.py").write_text(MODULE.replace("view.entropy *", "view.entropy +"), encoding="utf-8")
    again = run_comparison(config, folder / "results")
    assert again.failures == []
    assert again.played == 16  # the encoder is in the same module


def test_what_a_listed_module_registers_is_known_in_workers(folder: Path) -> None:
    (folder / "registering.py").write_text(
        "from react_rl.acquisition import STRATEGIES, Margin\n"
        "from react_rl.acquisition.contract import StrategyEntry\n"
        "def make(): return Margin('mine')\n"
        "STRATEGIES['mine'] = StrategyEntry(make, 'own', 'margin', '-')\n",
        encoding="utf-8",
    )
    values = yaml.safe_load(COMPARISON) | {
        "strategies": ["random", "mine", "subsample:30:mine"],
        "seeds": 1,
    }
    try:
        with pytest.raises(ReActError, match="Unknown strategy 'mine'"):
            run_comparison(CompareConfig.model_validate(values), folder / "results")
        values["modules"] = ["registering"]
        done = run_comparison(CompareConfig.model_validate(values), folder / "results")
        assert (done.played, done.failures) == (3, [])
        values["modules"] = []
        with pytest.raises(ReActError, match="'mine' is known in this process only"):
            run_comparison(CompareConfig.model_validate(values), folder / "results")
    finally:
        STRATEGIES.pop("mine", None)


def test_a_module_that_cannot_be_imported_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "compare-mine.yaml", "--modules", "nowhere_at_all"]) == 2
    assert (
        "Module 'nowhere_at_all': the module 'nowhere_at_all' cannot be imported" in capsys.readouterr().err
    )


def test_the_task_and_the_learner_of_the_page_keep_their_contracts() -> None:
    config = learner_config({"kind": "my_task:RIDGE", "own": {"l2": 2.0}})
    settings, parts = config.settings(), sys.modules["my_task"]
    corpus = encode(parts.topics(), make_encoder(EncoderSettings("my_task:which_words")))
    check_task(TASKS["multi-label"], corpus, settings)
    check_learner(settings, corpus)


def test_a_task_of_ones_own_is_reported_once_its_module_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", "compare-task.yaml", "--jobs", "1", "--seeds", "2"]) == 0
    results = str(folder / "results" / "several-labels")
    del METRICS["micro_f1"], TASKS["multi-label"]
    forget()
    assert main(["report", results, "--markdown"]) == 2
    said = capsys.readouterr().err
    assert "is damaged" not in said
    assert "The metric 'micro_f1' in " in said
    assert "is not registered; import the module of the task that has it first (--modules NAME)" in said
    assert main(["export", results]) == 2
    assert "my_task" not in sys.modules
    assert main(["report", results, "--markdown", "--modules", "my_task"]) == 0
    assert "micro\\_f1" in capsys.readouterr().out
    assert main(["export", results, "--modules", "my_task"]) == 0
    assert "sport, politics" in (folder / "results" / "several-labels" / "bought.csv").read_text()


def test_a_changed_task_or_learner_is_played_again(folder: Path) -> None:
    of_others = {"corpora": [{"corpus": "letters:made"}], "encoder": {"model": "letters:count"}}
    values = yaml.safe_load(LABELS) | {"strategies": ["random"], "seeds": 1, "jobs": 1} | of_others
    config = CompareConfig.model_validate(values)
    (folder / "letters.py").write_text(
        "def count(texts):\n    return [[len(text), 1] for text in texts]\n"
        "def made():\n    import my_task\n    return my_task.topics()\n"
    )
    assert run_comparison(config, folder / "results").played == 1
    assert run_comparison(config, folder / "results").kept == 1
    plan = folder / "results" / "several-labels" / "plan.json"
    written = plan.read_text(encoding="utf-8")
    plan.write_text(written.replace("my_task:RIDGE", "nowhere_at_all:RIDGE"), encoding="utf-8")
    with pytest.raises(ReActError, match=r'another comparison: learner\.kind was "nowhere'):
        run_comparison(config, folder / "results")  # and does not import what a file names
    plan.write_text(written, encoding="utf-8")
    forget()
    (folder / "my_task.py").write_text(TASK.replace("torch.eye", "2 * torch.eye"), encoding="utf-8")
    assert run_comparison(config, folder / "results").played == 1


def test_a_policy_is_trained_on_a_task_of_ones_own_by_the_name_of_its_metric(folder: Path) -> None:
    values = yaml.safe_load(LABELS)
    small = {"episodes": 8, "n_envs": 4, "evaluations": 1, "evaluation_episodes": 2}
    config = TrainConfig.model_validate(
        {key: values[key] for key in ("corpora", "encoder", "learner", "episode")}
        | {"name": "of-labels", "modules": ["my_task"], "agent": small}
        | {"reward": {"metric": "micro_f1"}, "action_space": {"features": ["margin", "novelty"]}}
        | {"observation": {"metric": "micro_f1"}}
    )
    card = run_training(config, folder / "results").card
    assert (list(card.trained_on), card.observation["metric"]) == (["topics"], "micro_f1")
    wrong = config.model_copy(update={"observation": ObservationConfig(metric="micro_f2")})
    with pytest.raises(ReActError, match=r"Unknown metric 'micro_f2'\. Did you mean 'micro_f1'"):
        run_training(wrong, folder / "results")


def test_a_task_that_no_known_learner_learns_is_said_so() -> None:
    import_modules(["my_task"])
    LEARNERS.pop("my_task:RIDGE", None)
    with pytest.raises(ReActError, match=r"set learner\.kind to one of your own, module:Name"):
        check_learner_learns(SoftmaxSettings(), TASKS["multi-label"], "topics")


@pytest.mark.parametrize(
    ("learner", "sentence"),
    [
        ({"kind": "my_task:RIDG"}, "has no 'RIDG'. Did you mean 'RIDGE'"),
        ({"kind": "my_task:Ridge"}, "must be a react_rl.learners.LearnerEntry"),
        ({"kind": "my_task:RIDGE", "own": {"l3": 1}}, "unknown key 'l3'. Did you mean 'l2'"),
    ],
)
def test_a_learner_that_is_none_is_refused_when_its_settings_are_asked_for(
    learner: dict[str, Any], sentence: str
) -> None:
    config = learner_config(learner)  # reading a config imports nothing
    assert "my_task" not in sys.modules
    with pytest.raises(ReActError, match=re.escape(sentence)):
        config.settings()


def test_a_learner_of_ones_own_is_written_as_it_was_read_and_overridden_on_the_command_line() -> None:
    config = load_config(CompareConfig, "compare-task.yaml", ["--learner.own", "{l2: 3.0}"])
    assert isinstance(config.learner, OwnLearner)
    assert config.learner.own == {"l2": 3.0}
    assert CompareConfig.model_validate(config.model_dump(mode="json")).learner == config.learner
    with pytest.raises(ReActError, match=r"'smoothing' is for learner\.kind softmax.*outside this package"):
        load_config(CompareConfig, "compare-task.yaml", ["--learner.recipe", "smooth"])
    with pytest.raises(ReActError, match=r"unknown key 'learner\.onw'. Did you mean 'own'"):
        load_config(CompareConfig, "compare-task.yaml", ["--learner.onw", "{}"])
