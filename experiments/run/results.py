"""What a comparison leaves on disk: a plan, one file for each run, one file of its circumstances.

A run file depends on the config and the seed alone, so a repeated run gives the same bytes. Versions,
machine and measured seconds live in the circumstances.
"""

from __future__ import annotations

import importlib.metadata
import platform
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

import torch

from react_rl.documents import read_json
from react_rl.encoders.processor import arithmetic, processor_name
from react_rl.errors import ReActError
from react_rl.experiments.run.schemas import CircumstancesFile, PlanFile, RunFile
from react_rl.files import canonical_json, write_atomically
from react_rl.metrics.registry import METRICS
from react_rl.validation import validated

SCHEMA: Final = 1
"""Version of the run files; part of every run's key."""

PLAN: Final = "plan.json"
FAILURES: Final = "failures.json"
CURVES: Final = "curves.csv"
"""The learning curves, from which tables and figures can be made where run files are gone."""


@dataclass(frozen=True)
class RunId:
    """Which run: a strategy on a corpus with a seed, and the key of everything that determines it."""

    corpus: str
    strategy: str
    seed: int
    key: str

    @property
    def file(self) -> str:
        """Name of the run's file."""
        return f"{slug(self.corpus)}--{slug(self.strategy)}--seed{self.seed:04d}--{self.key[:10]}.json"


@dataclass(frozen=True)
class PlannedTask:
    """What a plan says of the corpora of one task.

    Args:
        config: The comparison as if it had no other corpora.
        corpora: Their names.
    """

    config: Mapping[str, Any]
    corpora: Sequence[str]


def slug(name: str) -> str:
    """A name as part of a file name."""
    return re.sub(r"[^A-Za-z0-9._]+", "-", name).strip("-.") or "x"


class ResultFolder:
    """The folder of one comparison.

    Args:
        folder: ``results/NAME``.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runs = folder / "runs"
        self.circumstances = folder / "circumstances"
        self.progress = folder / "progress"

    def kept_anything(self) -> bool:
        """Whether a run, part of one or the curves of runs are there: what a new plan could lose."""
        kept = (*self.runs.glob("*.json"), *self.progress.glob("*"), *self.folder.glob(CURVES))
        return len(kept) > 0

    def finished(self, run: RunId) -> bool:
        """Whether the run's file is there; files are written whole or not at all."""
        return (self.runs / run.file).is_file()

    def write_run(self, run: RunId, result: Mapping[str, Any], circumstances: Mapping[str, Any]) -> None:
        """Write a finished run: its circumstances first, so that a run file is never without them."""
        write_atomically(self.circumstances / run.file, canonical_json(circumstances, indent=1) + "\n")
        write_atomically(self.runs / run.file, canonical_json(result) + "\n")

    def extend_run(self, run: RunId, more: Mapping[str, Any]) -> None:
        """Add to the file of a finished run; its circumstances stay as they are."""
        write_atomically(self.runs / run.file, canonical_json(self.read_run(run) | dict(more)) + "\n")

    def write_plan(
        self,
        config: Mapping[str, Any],
        runs: list[RunId],
        policies: Mapping[str, str] | None = None,
        tasks: Mapping[str, PlannedTask] | None = None,
        corpora: Mapping[str, str] | None = None,
    ) -> None:
        """Write a plan.

        Args:
            config: The resolved config.
            runs: Its runs.
            policies: Folders of its policies by name.
            tasks: Its tasks by name, where there are several.
            corpora: Digests of the content of its corpora by name.
        """
        listed = [asdict(run) for run in runs]
        plan = {"schema": SCHEMA, "config": config, "runs": listed, "policies": dict(policies or {})}
        plan |= {"tasks": {name: asdict(one) for name, one in tasks.items()}} if tasks else {}
        plan |= {"corpora": dict(corpora)} if corpora else {}
        write_atomically(self.folder / PLAN, canonical_json(plan, indent=1) + "\n")

    def read_plan(self) -> tuple[dict[str, Any], list[RunId]]:
        """Read the plan: the config and the runs.

        Raises:
            ReActError: There is none, or it is damaged.
        """
        plan, _ = self._plan()
        names = [field.name for field in fields(RunId)]
        return plan["config"], [RunId(**{name: run[name] for name in names}) for run in plan["runs"]]

    def read_tasks(self) -> dict[str, tuple[dict[str, Any], list[RunId]]]:
        """Read the plan by tasks: the config and the runs of each; one without a name where there is but one.

        Raises:
            ReActError: There is no plan, or it is damaged.
        """
        config, runs = self.read_plan()
        tasks = self._plan()[0].get("tasks")
        if not tasks:
            return {"": (config, runs)}
        return {
            name: (one["config"], [run for run in runs if run.corpus in one["corpora"]])
            for name, one in tasks.items()
        }

    def policies(self) -> dict[str, str]:
        """Folder of each trained policy of the plan by its name.

        Raises:
            ReActError: There is no plan, or it is damaged.
        """
        return self._plan()[1].policies

    def corpora(self) -> dict[str, str]:
        """Digest of the content of each corpus of the plan by its name; older versions wrote none.

        Raises:
            ReActError: There is no plan, or it is damaged.
        """
        return self._plan()[1].corpora

    def _plan(self) -> tuple[dict[str, Any], PlanFile]:
        path = self.folder / PLAN
        if not path.is_file():
            raise ReActError(
                f"{self.folder} holds no comparison (no {PLAN}); name a folder that `react-rl compare` wrote."
            )
        advice = "run the comparison again"
        plan = read_json(path, advice)
        read = validated(PlanFile, plan, f"{path} is damaged; {advice}")
        for config in (read.config, *(task.config for task in read.tasks.values())):
            for metric in config.metrics:
                if metric not in METRICS:
                    raise ReActError(
                        f"The metric {metric!r} in {path} is not registered; import the module of the task "
                        "that has it first (--modules NAME)."
                    )
        return plan, read

    def read_run(self, run: RunId, metric: str | None = None) -> dict[str, Any]:
        """Read one run.

        Args:
            run: Which.
            metric: A metric that it must have measured.

        Raises:
            ReActError: The file is damaged.
        """
        path = self.runs / run.file
        what, advice = f"Run file {path}", "delete it and run the comparison again"
        result = read_json(path, advice, what)
        read = validated(RunFile, result, f"{what} is damaged; {advice}")
        if (read.corpus, read.strategy, read.seed, read.key) != (run.corpus, run.strategy, run.seed, run.key):
            raise ReActError(f"{what} is damaged; {advice}: it holds another run.")
        if metric is not None and not (metric in read.dev and metric in read.test):
            raise ReActError(f"{what} is damaged; {advice}: it does not hold the metric {metric!r}.")
        return dict(result)

    def read_circumstances(self, run: RunId) -> dict[str, Any] | None:
        """Read the circumstances of a run; None where they are missing or damaged.

        Nothing in tables and figures depends on them.
        """
        path = self.circumstances / run.file
        try:
            found = read_json(path, "")
            validated(CircumstancesFile, found, str(path))
        except ReActError:
            return None
        return dict(found)

    def write_failures(self, failures: list[dict[str, str]]) -> None:
        """List failed runs with their reasons; remove the list when there are none."""
        path = self.folder / FAILURES
        if failures:
            write_atomically(path, canonical_json(failures, indent=1) + "\n")
        else:
            path.unlink(missing_ok=True)


def circumstances(device: str) -> dict[str, Any]:
    """Versions, machine and code state of this process."""
    packages = ("react-rl", "torch", "transformers", "gymnasium", "stable-baselines3", "numpy", "pandas")
    commit, dirty = _git_state()
    gpu = torch.cuda.get_device_name() if device.startswith("cuda") else None
    return {
        "versions": {"python": platform.python_version()}
        | {package: importlib.metadata.version(package) for package in packages},
        "platform": platform.platform(),
        "processor": processor_name(),
        "arithmetic": arithmetic() if device == "cpu" else None,
        "device": device,
        "gpu": gpu,
        "git_commit": commit,
        "git_dirty": dirty,
    }


def _git_state() -> tuple[str | None, bool | None]:
    # The state of the code, not of the folder that the user happens to stand in.
    here = Path(__file__).resolve().parent
    # Without the lock that refreshing the index would take, over which a commit made meanwhile would fail.
    git = ["git", "--no-optional-locks", "-C", str(here)]
    try:
        commit = subprocess.run(
            [*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True
        ).stdout.strip()
        status = subprocess.run(
            [*git, "status", "--porcelain", "--untracked-files=no"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return None, None
    return commit, bool(status.strip())
