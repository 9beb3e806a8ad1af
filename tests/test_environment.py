"""The environment that make builds: when it counts as finished, and what is refused before building."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module whose commands must not run."""
    spec = importlib.util.spec_from_file_location("environment", ROOT / ".ci" / "environment.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def refuse(command: list[str], lock: int) -> None:
        raise module.EnvironmentFailure("started " + command[1])

    monkeypatch.setattr(module, "run", refuse)
    return module


@pytest.fixture
def inputs(environment: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A constraints file that tests may change; the only input of the environment."""
    path = tmp_path / "constraints.txt"
    path.write_text("numpy==2.0\n", encoding="utf-8")
    monkeypatch.setattr(environment, "CONSTRAINTS", str(path))
    monkeypatch.setattr(environment, "INPUTS", (str(path),))
    return path


def finished(environment: ModuleType, folder: Path) -> Path:
    """A folder that looks like an environment built from the present inputs."""
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").touch()
    (folder / "built-from").write_text("\n".join(environment.wanted_state()) + "\n", encoding="utf-8")
    return folder


def make(environment: ModuleType, folder: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """Exit status of the script for a folder."""
    monkeypatch.setattr(sys, "argv", ["environment.py", str(folder)])
    status = environment.main()
    assert isinstance(status, int)
    return status


def test_a_finished_environment_is_left_alone(
    environment: ModuleType, inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert make(environment, finished(environment, tmp_path / "env"), monkeypatch) == 0


def test_newer_files_with_the_same_content_do_not_make_it_stale(
    environment: ModuleType, inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = finished(environment, tmp_path / "env")
    inputs.write_text(inputs.read_text(encoding="utf-8"), encoding="utf-8")
    assert make(environment, folder, monkeypatch) == 0


def test_changed_constraints_are_installed_into_the_same_environment(
    environment: ModuleType,
    inputs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = finished(environment, tmp_path / "env")
    inputs.write_text("numpy==2.1\n", encoding="utf-8")
    assert make(environment, folder, monkeypatch) == 2
    assert (folder / "bin" / "python").exists()
    assert environment.built_state(str(folder)) == ("", ""), "an interrupted installation is not finished"
    assert "started -m" in capsys.readouterr().err


@pytest.mark.parametrize("damage", ["another python", "interrupted", "python uninstalled"])
def test_an_environment_that_cannot_be_kept_is_built_anew(
    environment: ModuleType, inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    folder = finished(environment, tmp_path / "env")
    (folder / "leftover").touch()
    if damage == "another python":
        (folder / "built-from").write_text(
            f"python 3.10\n{environment.wanted_state()[1]}\n", encoding="utf-8"
        )
    elif damage == "interrupted":
        (folder / "built-from").write_text("", encoding="utf-8")
    else:
        (folder / "bin" / "python").unlink()
        (folder / "bin" / "python").symlink_to(tmp_path / "gone")
    assert make(environment, folder, monkeypatch) == 2
    assert [path.name for path in folder.iterdir()] == ["built-from"]


def test_a_folder_with_other_things_is_refused_and_kept(
    environment: ModuleType,
    inputs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").touch()
    assert make(environment, tmp_path / "thesis", monkeypatch) == 2
    assert "is not a virtual environment" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "thesis").iterdir()] == ["chapter.txt"]


@pytest.mark.parametrize("version", [(3, 10, 13), (3, 14, 0)])
def test_an_unsupported_python_is_named_in_one_sentence(
    environment: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    version: tuple[int, int, int],
) -> None:
    monkeypatch.setattr(sys, "version_info", version)
    assert make(environment, tmp_path / "env", monkeypatch) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"is Python {version[0]}.{version[1]}, and ReAct-RL needs 3.11 to 3.13" in line
    assert not (tmp_path / "env").exists()


def test_a_python_without_its_venv_module_is_told_what_to_install(
    environment: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "ensurepip", None)
    assert make(environment, tmp_path / "env", monkeypatch) == 2
    assert "install its venv module" in capsys.readouterr().err
