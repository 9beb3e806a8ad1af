"""The ground rules of the house: who may import whom, no cycles, short modules, one class for one name."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CORE = ("metrics", "data", "tasks", "encoders", "learners", "simulation", "acquisition")
TOP = ("envs", "contracts", "agents", "experiments")
ORDERS = {
    "react_rl": (*CORE, *TOP),
    "react_rl.acquisition": ("wide", "clustering", "features", "batching", "strategies"),
    "react_rl.learners.finetune": ("backbone", "methods", "training"),
    "react_rl.experiments": ("config", "run", "analysis", "explain", "figures", "report", "cli"),
}
"""Each package imports only those before it."""

APART = ("benchmarks", "studies")
"""Folders of experiments that nothing else imports: they are not installed."""

GROUND = (
    "documents.py",
    "errors.py",
    "escaping.py",
    "files.py",
    "own_code.py",
    "seeding.py",
    "validation.py",
)
LONGEST = 400


@cache
def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name, each file once although links lead to some twice."""
    found = {}
    for top in ("react_rl", "envs", "agents", "experiments"):
        for path in sorted((ROOT / top).rglob("*.py")):
            if any(folder.is_symlink() for folder in path.parents if folder.is_relative_to(ROOT)):
                continue
            parts = path.relative_to(ROOT).with_suffix("").parts
            parts = parts if top == "react_rl" else ("react_rl", *parts)
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(parsed: ast.AST) -> set[str]:
    """Full names of everything a module imports, wherever in the module it does so."""
    names = set()
    for node in ast.walk(parsed):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def at_once(parsed: ast.AST) -> set[str]:
    """Modules that a module imports before any of its functions is called, also for type checking."""
    names = set()
    for node in ast.iter_child_nodes(parsed):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            within = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= within & modules().keys() or {node.module}
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names |= at_once(node)
    return names & modules().keys()


def below(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def breaches(parsed: ast.AST, forbidden: tuple[str, ...]) -> list[str]:
    return sorted(name for name in imported(parsed) if any(below(name, taboo) for taboo in forbidden))


def against(order: Mapping[str, tuple[str, ...]], names: Mapping[str, ast.AST]) -> dict[str, list[str]]:
    """Imports of modules from packages that come after their own."""
    found: dict[str, list[str]] = {}
    for house, floors in order.items():
        for number, floor in enumerate(floors):
            above = tuple(f"{house}.{later}" for later in floors[number + 1 :])
            for name, parsed in names.items():
                if below(name, f"{house}.{floor}") and (bad := breaches(parsed, above)):
                    found[name] = bad
    return found


def cycle_of(graph: Mapping[str, set[str]]) -> list[str]:
    """A circle of modules that import each other, the first one named again at the end; empty if none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return [str(name) for name in error.args[1]]
    return []


def classes() -> Iterator[tuple[str, str]]:
    """Every public class of the package with the module that defines it."""
    for module, path in modules().items():
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                yield node.name, module


def test_every_package_imports_only_those_before_it() -> None:
    assert not against(ORDERS, {name: tree(path) for name, path in modules().items()})


def test_the_core_knows_neither_gymnasium_nor_stable_baselines() -> None:
    core = {name: path for name, path in modules().items() if any(below(name, f"react_rl.{c}") for c in CORE)}
    taboo = ("gymnasium", "stable_baselines3")
    assert not {name: bad for name, path in core.items() if (bad := breaches(tree(path), taboo))}


@pytest.mark.parametrize("module", GROUND)
def test_the_ground_imports_no_package_at_all(module: str) -> None:
    packages = tuple(f"react_rl.{floor}" for floor in CORE + TOP)
    assert not breaches(tree(ROOT / "react_rl" / module), packages)


def test_nothing_that_is_installed_needs_what_is_not() -> None:
    apart = tuple(f"react_rl.experiments.{name}" for name in APART)
    installed = {n: path for n, path in modules().items() if not any(below(n, folder) for folder in apart)}
    assert not {name: bad for name, path in installed.items() if (bad := breaches(tree(path), apart))}


def test_every_folder_of_a_house_with_an_order_has_its_place_in_it() -> None:
    spare = {"react_rl.experiments": {*APART, "presets"}}
    for house, floors in ORDERS.items():
        inside = {name.removeprefix(f"{house}.").split(".")[0] for name in modules() if below(name, house)}
        packages = {name for name in inside if modules().get(f"{house}.{name}", ROOT).name == "__init__.py"}
        assert packages - spare.get(house, set()) <= set(floors), house


def test_no_modules_import_each_other() -> None:
    assert cycle_of({name: at_once(tree(path)) for name, path in modules().items()}) == []


def test_no_module_is_longer_than_a_reader_can_hold() -> None:
    long = {
        name: lines
        for name, path in modules().items()
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > LONGEST
    }
    assert not long


def test_tensors_are_written_by_us_and_not_by_a_library() -> None:
    # Safetensors writes a file of its own beside the one it is given, which after a kill nobody would remove.
    writes = re.compile(r"\bsave_(file|model)\(")
    assert not [name for name, path in modules().items() if writes.search(path.read_text(encoding="utf-8"))]


def test_no_class_is_called_like_another() -> None:
    homes = defaultdict(list)
    for name, module in classes():
        homes[name].append(module)
    assert not {name: found for name, found in homes.items() if len(found) > 1}


@pytest.mark.parametrize(
    ("source", "caught"),
    [
        ("import gymnasium.spaces", True),
        ("from gymnasium import spaces", True),
        ("def f():\n    from react_rl.envs.single import LabelingEnv", True),
        ("if TYPE_CHECKING:\n    from react_rl.envs.single import LabelingEnv", True),
        ("from react_rl import envs", True),
        ("import gymnasium_robotics", False),
        ("from react_rl.data import Corpus", False),
    ],
)
def test_the_scan_sees_every_way_to_import(source: str, caught: bool) -> None:
    assert bool(breaches(ast.parse(source), ("gymnasium", "react_rl.envs"))) == caught


def test_an_import_from_a_later_package_is_found() -> None:
    upward = ast.parse("from react_rl.simulation.view import PoolView")
    names = {"react_rl.learners.linear.calibration": upward, "react_rl.acquisition.contract": upward}
    assert list(against(ORDERS, names)) == ["react_rl.learners.linear.calibration"]


def test_a_circle_of_modules_is_found() -> None:
    assert cycle_of({"a": {"b"}, "b": {"c"}, "c": set()}) == []
    assert set(cycle_of({"a": {"b"}, "b": {"c"}, "c": {"a"}})) == {"a", "b", "c"}
