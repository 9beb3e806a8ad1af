"""Each floor of the house imports only what lies below it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CORE = ("data", "encoders", "learners", "acquisition", "simulation", "metrics")
TOP = ("envs", "agents", "experiments")
FORBIDDEN = {
    **{
        f"react_rl/{floor}": ("gymnasium", "stable_baselines3", *(f"react_rl.{t}" for t in TOP))
        for floor in CORE
    },
    "envs": ("react_rl.agents", "react_rl.experiments"),
    "agents": ("react_rl.experiments",),
}


def imported(source: str) -> set[str]:
    """Full names of everything a module imports, wherever in the module it does so."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def breaches(source: str, forbidden: tuple[str, ...]) -> set[str]:
    return {
        name
        for name in imported(source)
        for taboo in forbidden
        if name == taboo or name.startswith(f"{taboo}.")
    }


@pytest.mark.parametrize("folder", sorted(FORBIDDEN))
def test_no_module_imports_a_floor_above_it(folder: str) -> None:
    modules = sorted((ROOT / folder).rglob("*.py"))
    assert modules, f"{folder} holds modules"
    found = {
        str(path.relative_to(ROOT)): sorted(bad)
        for path in modules
        if (bad := breaches(path.read_text(encoding="utf-8"), FORBIDDEN[folder]))
    }
    assert not found


@pytest.mark.parametrize(
    "module", ["documents.py", "errors.py", "escaping.py", "files.py", "own_code.py", "seeding.py"]
)
def test_the_ground_imports_no_floor_at_all(module: str) -> None:
    floors = tuple(f"react_rl.{floor}" for floor in CORE + TOP)
    assert not breaches((ROOT / "react_rl" / module).read_text(encoding="utf-8"), floors)


def test_every_folder_of_the_package_is_a_floor_with_a_rule() -> None:
    folders = {path.name for path in (ROOT / "react_rl").iterdir() if (path / "__init__.py").exists()}
    assert folders == {*CORE, *TOP}


@pytest.mark.parametrize(
    ("source", "caught"),
    [
        ("import gymnasium.spaces", True),
        ("from gymnasium import spaces", True),
        ("def f():\n    from react_rl.envs.single import LabelingEnv", True),
        ("from react_rl import envs", True),
        ("import gymnasium_robotics", False),
        ("from react_rl.data import Corpus", False),
    ],
)
def test_the_scan_sees_every_way_to_import(source: str, caught: bool) -> None:
    assert bool(breaches(source, ("gymnasium", "react_rl.envs"))) == caught
