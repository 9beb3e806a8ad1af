"""`react-rl imitate` trains from a config, goes on where it stopped, and its policy is compared."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from react_rl.experiments.cli import main
from react_rl.experiments.run.strategies import identity, label, resolve

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


def test_sentences_and_questions_are_not_imitated_on(
    config_file: Callable[..., Path], no_encoder: None, capsys: pytest.CaptureFixture[str]
) -> None:
    nothing: dict[str, Any] = {"strategies": None, "seeds": None, "jobs": None, "imitation": IMITATION}
    for corpus, task in (("synthetic_sentences", "tagging"), ("synthetic_questions", "question-answering")):
        assert main(["imitate", str(config_file(**nothing, corpora=[{"corpus": corpus}]))]) == 2
        said = capsys.readouterr().err
        assert f"Corpus '{corpus}' is of {task}, whose learners cannot be copied to try rows out" in said
        assert "imitation.features that need no classes" in said
