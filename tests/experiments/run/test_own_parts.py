"""The page on one's own code runs as it stands, in workers too, and changed code is played again."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import yaml

import react_rl.experiments
from react_rl.acquisition import STRATEGIES
from react_rl.agents import load_policy
from react_rl.errors import ReActError
from react_rl.experiments import CompareConfig, run_comparison
from react_rl.experiments.cli import main
from react_rl.experiments.config.models import load_config

PAGE = Path(react_rl.experiments.__file__).with_name("own_code.md").read_text(encoding="utf-8")
MODULE, PROGRAM = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
TRAINING, COMPARISON = re.findall(r"```yaml\n(.*?)```", PAGE, flags=re.DOTALL)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files of the page, in the current folder."""
    (tmp_path / "my_parts.py").write_text(MODULE, encoding="utf-8")
    (tmp_path / "train-mine.yaml").write_text(TRAINING, encoding="utf-8")
    (tmp_path / "compare-mine.yaml").write_text(COMPARISON, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def forget() -> None:
    """As if a new process began."""
    for module in ("my_parts", "registering", "mine"):
        sys.modules.pop(module, None)


def test_the_page_on_ones_own_code_runs_as_it_stands(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    commands = re.findall(r"^react-rl (.*)$", PAGE, flags=re.MULTILINE)
    assert [main(command.split()) for command in commands] == [0, 0]
    assert "16 runs played, 0 kept from before, 0 failed" in capsys.readouterr().out
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
