"""`react-rl imitate` trains from a config, goes on where it stopped, and its policy is compared."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from react_rl.experiments.cli import main
from react_rl.experiments.run.strategies import identity, label, resolve

README = Path(__file__).parents[3] / "agents" / "README.md"
IMITATION = {
    **{
        "states": 12,
        "dagger_states": 12,
        "n_envs": 4,
        "candidates": 6,
        "networks": 1,
        "hidden": 8,
        "epochs": 1,
    },
    **{"initial_sizes": [5], "batch_sizes": [4], "rounds": [3]},
}


@pytest.fixture
def imitate_file(config_file: Callable[..., Path], made_corpora: None) -> Callable[..., Path]:
    """Writes a config of a small imitation."""

    def write(**changes: Any) -> Path:
        nothing: dict[str, Any] = {"strategies": None, "seeds": None, "jobs": None, "evaluation_episodes": 2}
        return config_file(**(nothing | {"imitation": IMITATION} | changes))

    return write


def test_a_policy_is_trained_and_compared(
    imitate_file: Callable[..., Path], config_file: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["imitate", str(imitate_file(name="row-scorer"))]) == 0
    assert "Policy: results/row-scorer/policy" in capsys.readouterr().out
    folder = "results/row-scorer/policy"
    assert label(folder) == "row-scorer"
    assert resolve(folder).name == "row-scorer"
    assert identity(folder) == identity(folder)
    assert main(["compare", str(config_file(strategies=["random", folder]))]) == 0
    assert "row-scorer" in capsys.readouterr().out


def test_a_dry_run_says_what_it_would_do(
    imitate_file: Callable[..., Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["imitate", str(imitate_file()), "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert "6 candidates at each of 24 states on tasks from synthetic" in shown
    assert "corpus" in shown.splitlines()[0]
    assert "two labels" in shown.splitlines()[0]
    assert not (tmp_path / "results").exists()
    twice = [{"corpus": "synthetic"}, {"corpus": "synthetic"}]
    assert main(["imitate", str(imitate_file(corpora=twice)), "--dry-run"]) == 2
    assert "Two corpora are called" in capsys.readouterr().err


def test_another_training_of_the_same_name_is_refused(
    imitate_file: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["imitate", str(imitate_file())]) == 0
    assert main(["imitate", str(imitate_file()), "--imitation.seed", "1"]) == 2
    assert "holds another training" in capsys.readouterr().err
    assert main(["imitate", str(imitate_file()), "--imitation.seed", "1", "--overwrite"]) == 0


def test_a_wrong_key_is_refused_with_the_nearest(
    imitate_file: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["imitate", str(imitate_file(imitation={"stats": 3}))]) == 2
    assert "'states'" in capsys.readouterr().err
    assert main(["imitate", str(imitate_file(imitation={"features": ["margn"]}))]) == 2
    assert "'margin'" in capsys.readouterr().err


@pytest.mark.slow
def test_the_policy_for_sentences_of_the_readme_is_trained_and_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    section = README.read_text(encoding="utf-8").split("### On sentences and questions\n")[1]
    blocks = re.findall(r"^```yaml\n# (\S+)\n(.*?)^```$", section, flags=re.DOTALL | re.MULTILINE)
    assert [name for name, _ in blocks] == ["tagging-policy.yaml", "on-sentences.yaml"]
    for name, text in blocks:
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert main(["imitate", "tagging-policy.yaml"]) == 0
    assert "mnlp" in capsys.readouterr().out  # among the fixed strategies of its card
    assert main(["compare", "on-sentences.yaml"]) == 0
    assert "tagging-policy" in capsys.readouterr().out


def test_what_cannot_be_imitated_on_is_refused_before_anything_is_encoded(
    config_file: Callable[..., Path], no_encoder: None, capsys: pytest.CaptureFixture[str]
) -> None:
    nothing: dict[str, Any] = {"strategies": None, "seeds": None, "jobs": None, "imitation": IMITATION}
    for corpus, changes, message in (
        ("synthetic_sentences", {"imitation": {"features": ["gini"]}}, "'imitation.features: gini' needs"),
        ("synthetic_sentences", {"learner": {"kind": "finetune"}}, "set learner.kind to softmax, tagger"),
        ("synthetic_questions", {}, "set imitation.generated to 0"),
    ):
        given = nothing | changes | {"corpora": [{"corpus": corpus}]}
        assert main(["imitate", str(config_file(**given))]) == 2
        assert message in capsys.readouterr().err.replace("\n", " ")
