"""What a user of the wheel gets: the packages, their data files, and nothing else."""

import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Callable, Sequence
from email.parser import HeaderParser
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
LINKED = ("agents", "envs", "experiments")
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SETUPTOOLS: dict[str, Any] = PROJECT["tool"]["setuptools"]


def folder_of(package: str) -> Path:
    """Where the package-dir map puts a package, found through its longest listed parent."""
    parts = package.split(".")
    for length in range(len(parts), 0, -1):
        mapped = SETUPTOOLS["package-dir"].get(".".join(parts[:length]))
        if mapped is not None:
            return ROOT.joinpath(mapped, *parts[length:])
    raise AssertionError(f"{package} is in no mapped folder")


NOT_INSTALLED = ("react_rl.experiments.benchmarks", "react_rl.experiments.studies")
"""Packages that run from a clone alone."""


def packages_on_disk() -> set[str]:
    """Every folder whose modules are installed, below the four roots, without walking through the links."""
    found = set()
    for name, mapped in SETUPTOOLS["package-dir"].items():
        for folder, below, files in os.walk(ROOT / mapped):
            below[:] = [entry for entry in below if entry != "__pycache__"]
            if any(file.endswith(".py") for file in files):
                found.add(".".join([name, *Path(folder).relative_to(ROOT / mapped).parts]))
    return {name for name in found if not name.startswith(NOT_INSTALLED)}


def expected_files() -> set[str]:
    """The wheel's files, apart from its metadata: what the package folders hold but notes and scripts."""
    left_out = {".md", ".pyc", ".sh"}
    modules = {
        f"{package.replace('.', '/')}/{path.name}"
        for package in packages_on_disk()
        for path in folder_of(package).iterdir()
        if path.is_file() and path.suffix not in left_out
    }
    data = {
        f"{package.replace('.', '/')}/{path.relative_to(folder_of(package)).as_posix()}"
        for package, patterns in SETUPTOOLS["package-data"].items()
        for pattern in patterns
        for path in folder_of(package).glob(pattern)
    }
    return modules | data


def run(*command: str | Path, cwd: Path) -> str:
    """Standard output of a Python command; its whole output is the message where it fails."""
    # What the caller's own environment adds to the path would hide a file missing from the wheel.
    settings = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    done = subprocess.run(
        [sys.executable, *command], cwd=cwd, env=settings, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A source distribution, and the wheel built from it, of the files that git would commit."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    copy = tmp_path_factory.mktemp("sources")
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file() or (ROOT / name).is_symlink():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name, follow_symlinks=False)
    out = tmp_path_factory.mktemp("dist")
    run("-m", "build", "--no-isolation", "--outdir", out, copy, cwd=copy)
    (source,), (wheel,) = out.glob("*.tar.gz"), out.glob("*.whl")
    return source, wheel


@pytest.fixture(scope="module")
def installed(built: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which pip has unpacked the wheel."""
    target = tmp_path_factory.mktemp("installed")
    pip = ("-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-compile")
    run(*pip, "--target", target, built[1], cwd=target)
    return target


@pytest.fixture(scope="module")
def ask_installed(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Runs Python statements against the installed wheel, far from the repository."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")

    def ask(statements: str) -> str:
        # -I leaves out the current folder, so that only the wheel can answer.
        code = f"import sys; sys.path.insert(0, {str(installed)!r}); {statements}"
        return run("-I", "-c", code, cwd=elsewhere).strip()

    return ask


@pytest.mark.parametrize("name", LINKED)
def test_the_link_that_static_tools_follow_leads_to_the_top_level_folder(name: str) -> None:
    link = ROOT / "react_rl" / name
    assert link.is_symlink()
    assert os.readlink(link) == f"../{name}"
    assert (link / "__init__.py").samefile(ROOT / name / "__init__.py")


@pytest.mark.parametrize("name", LINKED)
def test_git_stores_the_link_as_a_link(name: str) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "--stage", f"react_rl/{name}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert listed.stdout.startswith("120000 ")


def test_the_package_list_names_exactly_the_folders_with_modules_that_are_installed() -> None:
    assert sorted(SETUPTOOLS["packages"]) == sorted(packages_on_disk())


def test_every_listed_package_has_an_init_module() -> None:
    assert [name for name in SETUPTOOLS["packages"] if not (folder_of(name) / "__init__.py").is_file()] == []


def test_every_data_pattern_matches_a_file() -> None:
    unmatched = [
        f"{package}: {pattern}"
        for package, patterns in SETUPTOOLS["package-data"].items()
        for pattern in patterns
        if not any(folder_of(package).glob(pattern))
    ]
    assert unmatched == []


def test_every_lower_bound_admits_the_version_that_make_installs() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    pinned = {canonicalize_name(name): version for name, version in pinned.items()}
    extras = PROJECT["project"]["optional-dependencies"]
    declared = [*PROJECT["project"]["dependencies"], *(line for group in extras.values() for line in group)]
    for line in declared:
        requirement = Requirement(line)
        name = canonicalize_name(requirement.name)
        if name != PROJECT["project"]["name"]:
            assert name in pinned, f"constraints.txt does not pin {name}"
            assert requirement.specifier.contains(pinned[name]), f"{line} refuses {pinned[name]}"


def test_the_citation_names_the_version_and_the_licence_of_the_package() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert cited["version"] == PROJECT["project"]["version"]
    assert cited["license"] == PROJECT["project"]["license"]
    assert f"## {cited['version']}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_wheel_holds_the_packages_with_their_data_and_nothing_else(built: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(built[1]) as wheel:
        names = {name for name in wheel.namelist() if not name.endswith("/")}
    about = {name for name in names if PurePosixPath(name).parts[0].endswith(".dist-info")}
    assert any(name.endswith("licenses/LICENSE") for name in about)
    assert names - about == expected_files()
    assert "react_rl/py.typed" in names


@pytest.mark.slow
def test_the_source_distribution_holds_each_module_once_and_no_tests_or_results(
    built: tuple[Path, Path],
) -> None:
    with tarfile.open(built[0]) as source:
        names = [PurePosixPath(*PurePosixPath(name).parts[1:]) for name in source.getnames()]
    assert {name.parts[0] for name in names if name.parts}.isdisjoint({"tests", "results", "tools"})
    modules = {name for name in names if name.suffix == ".py"}
    expected = {
        (folder_of(package) / path.name).relative_to(ROOT)
        for package in SETUPTOOLS["packages"]
        for path in folder_of(package).glob("*.py")
    }
    assert modules == {PurePosixPath(path) for path in expected}


@pytest.mark.slow
def test_the_wheel_says_which_pythons_it_supports_and_brings_the_command(built: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(built[1]) as wheel:
        (metadata,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
        headers = HeaderParser().parsestr(wheel.read(metadata).decode("utf-8"))
        commands = wheel.read(metadata.replace("METADATA", "entry_points.txt")).decode("utf-8")
    assert set(headers["Requires-Python"].split(",")) == {">=3.11", "<3.14"}
    assert set(headers.get_all("Provides-Extra") or ()) >= {"samples", "hub", "tensorboard", "dev"}
    assert headers["License-Expression"] == "Apache-2.0"
    assert "react-rl = react_rl.experiments.cli:main" in commands


@pytest.mark.slow
def test_every_package_of_an_installed_wheel_imports_from_the_wheel(
    installed: Path, ask_installed: Callable[[str], str]
) -> None:
    modules = SETUPTOOLS["packages"]
    answer = ask_installed(
        "import importlib; "
        f"[print(importlib.import_module(name).__file__) for name in {modules!r}]; "
        "print(callable(sys.modules['react_rl.experiments.cli'].main))"
    )
    *files, callable_command = answer.splitlines()
    assert [file for file in files if not Path(file).is_relative_to(installed)] == []
    assert len(files) == len(modules)
    assert callable_command == "True"


@pytest.mark.slow
def test_an_installed_wheel_knows_the_policy_that_it_brings(ask_installed: Callable[[str], str]) -> None:
    asked = "from react_rl.acquisition import make_strategy; print(repr(make_strategy('learned')))"
    assert ask_installed(asked).startswith("ScorerStrategy('learned'")


@pytest.mark.slow
def test_an_installed_wheel_knows_its_version(ask_installed: Callable[[str], str]) -> None:
    assert ask_installed("import react_rl; print(react_rl.__version__)") == PROJECT["project"]["version"]


@pytest.fixture(scope="module")
def declared_only(
    built: tuple[Path, Path], installed: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The installed wheel, and links to the packages that it requires without extras: nothing else."""
    site = tmp_path_factory.mktemp("declared")
    for entry in installed.iterdir():
        (site / entry.name).symlink_to(entry)
    for name in required_without_extras():
        for file in metadata.distribution(name).files or ():
            top = file.parts[0]
            if top not in ("..", "__pycache__") and not (site / top).exists():
                (site / top).symlink_to(Path(str(metadata.distribution(name).locate_file(top))))
    return site


def required_without_extras() -> set[str]:
    """Names of the installed packages that a plain installation of ours would bring."""
    waiting = [Requirement(line) for line in PROJECT["project"]["dependencies"]]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        requirement = waiting.pop()
        name, extras = canonicalize_name(requirement.name), frozenset(requirement.extras)
        if (name, extras) in seen:
            continue
        try:
            lines = metadata.requires(name) or []
        except metadata.PackageNotFoundError:  # of another platform
            continue
        seen.add((name, extras))
        for line in lines:
            further = Requirement(line)
            if further.marker is None or any(further.marker.evaluate({"extra": e}) for e in {"", *extras}):
                waiting.append(further)
    return {name for name, _ in seen}


@pytest.mark.slow
def test_a_plain_installation_compares_and_plots(
    declared_only: Path, save_bert: Callable[[Path, Sequence[str]], Path], tmp_path: Path
) -> None:
    assert not (declared_only / "sklearn").exists()
    save_bert(tmp_path / "encoder", ["good", "bad", "film", "plot"])
    rows = [f"{'good' if i % 2 else 'bad'} {'film' if i % 3 else 'plot'} {i},{i % 2}" for i in range(120)]
    (tmp_path / "films.csv").write_text("\n".join(["text,label", *rows]), encoding="utf-8")
    (tmp_path / "films.yaml").write_text(
        "{name: films, corpora: [{corpus: films.csv}], strategies: [random, margin], seeds: 2, jobs: 1, "
        "encoder: {model: encoder, max_length: 24}, device: cpu, "
        "episode: {pool_size: 40, dev_size: 20, initial_size: 5, budget: 8, batch_size: 4}}",
        encoding="utf-8",
    )
    # -S leaves out the environment's own packages.
    start = (
        f"import os, sys; sys.path.insert(0, {str(declared_only)!r}); "
        f"os.environ['REACT_RL_CACHE'] = {str(tmp_path / 'cache')!r}; "
        "from react_rl.experiments.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    run("-I", "-S", "-c", start, "compare", "films.yaml", cwd=tmp_path)
    (tmp_path / "results" / "films" / "areas.png").unlink()
    run("-I", "-S", "-c", start, "plot", "results/films", cwd=tmp_path)
    assert (tmp_path / "results" / "films" / "areas.png").is_file()
    run("-I", "-S", "-c", start, "report", "results/films", cwd=tmp_path)
