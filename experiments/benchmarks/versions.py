"""Labelling rounds at several revisions of the code, in turn in one run: is anything slower than it was?

``python -m react_rl.experiments.benchmarks.versions --revisions 24ae102 .`` writes ``versions.md`` and
``versions.json`` into results/benchmarks/rounds. Every revision is taken out of git into a folder of its own
and played in a process of its own; ``.`` is the code as it stands. Seconds are those of the processor.
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from react_rl.errors import ReActError
from react_rl.experiments.benchmarks.contestant_process import ContestantProcess
from react_rl.experiments.benchmarks.harness import benchmark_parser, in_turns, run_benchmark
from react_rl.experiments.benchmarks.machine import describe_machine, name_processor
from react_rl.experiments.benchmarks.rounds import SHARES, RoundsPlan, make_scene
from react_rl.files import canonical_json, write_atomically

ROOT: Final = Path(__file__).resolve().parents[2]
WORKER: Final = Path(__file__).with_name("version_rounds.py")
NOW: Final = "."
"""In place of a revision: the code as it stands in this clone."""

_FOLDERS: Final = ("react_rl", "agents", "envs", "experiments")
_ROWS: Final = 4000
_OPTIONS: Final = {"initial_size": 10, "budget": 80, "batch_size": 5}


def _git(*arguments: str) -> bytes:
    try:
        return subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, check=True).stdout
    except FileNotFoundError as error:
        raise ReActError("Revisions are read with git, which is not installed.") from error
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise ReActError(
            f"git {' '.join(arguments[:2])} failed ({' '.join(said)}); run this in a clone with its history."
        ) from error


def commit_of(revision: str) -> str:
    """Short name of a revision's commit; that of ``.`` ends in ``+`` where the clone has changes.

    Raises:
        ReActError: This is no clone, or it does not know the revision.
    """
    if revision == NOW:
        changed = _git("status", "--porcelain", "--untracked-files=no", "--", *_FOLDERS).strip()
        return commit_of("HEAD") + ("+" if changed else "")
    try:
        return (
            _git("rev-parse", "--short=7", "--verify", "--quiet", f"{revision}^{{commit}}").decode().strip()
        )
    except ReActError as error:
        raise ReActError(
            f"The revision {revision!r} is not known here; give a commit, branch or tag of this clone, "
            f"or {NOW!r} for the code as it stands."
        ) from error


def take_out(revision: str, folder: Path) -> Path:
    """Write the packages of a revision into an empty folder; ``.`` stays where it is."""
    if revision == NOW:
        return ROOT
    with tarfile.open(fileobj=io.BytesIO(_git("archive", revision, "--", *_FOLDERS))) as archive:
        archive.extractall(folder, filter="data")
    return folder


class VersionProcess(ContestantProcess):
    """The worker with one revision's code; use as a context manager.

    Args:
        tree: Folder of ``take_out``.
        data: File of ``save``.
        name: What messages call it.

    Raises:
        ReActError: The code of the revision cannot be played.
    """

    def __init__(self, tree: Path, data: Path, name: str) -> None:
        # -P: modules beside the worker must not be found in place of others of the same name.
        super().__init__([sys.executable, "-P", str(WORKER), str(tree), str(data)])
        self._name = name
        self.hear()

    def __enter__(self) -> VersionProcess:
        return self

    def ended(self) -> ReActError:
        """The sentence about a version that cannot be played."""
        return ReActError(
            f"The code of {self._name} ended with status {self.process.wait()}; its message is above. "
            "Does it run with the packages installed here?"
        )

    def played(self, episodes: int, seeds: Sequence[int], least_seconds: float) -> dict[str, Any]:
        """Have the version play; see ``version_rounds``."""
        self.ask({"episodes": episodes, "seeds": list(seeds), "least_seconds": least_seconds})
        return self.hear()


def save(corpus: str, asked: argparse.Namespace, path: Path) -> None:
    """Write what every version is given: embeddings, and how corpus and episodes look."""
    plan = RoundsPlan(pool_size=asked.pool_size, dev_size=asked.dev_size)
    scene = make_scene(corpus, asked.pool_size, _ROWS, plan)
    options = _OPTIONS | {"pool_size": asked.pool_size, "dev_size": asked.dev_size}
    about = {"corpus": corpus, "shares": SHARES, "max_rows": _ROWS, "options": options}
    named = json.dumps(about | {"strategy": asked.strategy})
    np.savez(path, embeddings=scene.encoded.embeddings.numpy(), about=np.array(named))


def measure(corpus: str, trees: Mapping[str, Path], asked: argparse.Namespace) -> list[dict[str, Any]]:
    """Let the versions play a corpus in turn; a line for each number of episodes and version.

    Args:
        corpus: Its name.
        trees: Folder of each version, by commit.
        asked: What was asked for.
    """
    lines = []
    with ExitStack() as stack:
        data = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "corpus.npz"
        save(corpus, asked, data)
        processes = {
            name: stack.enter_context(VersionProcess(tree, data, name)) for name, tree in trees.items()
        }

        def turn_of(name: str, episodes: int, turn: int) -> dict[str, Any]:
            # Seeds change from turn to turn, the same for all versions.
            seeds = [turn * episodes + e for e in range(episodes)]
            return processes[name].played(episodes, seeds, asked.least_seconds)

        for episodes in asked.episodes:
            turns = in_turns({name: partial(turn_of, name, episodes) for name in trees}, asked.repeats)
            lines += [
                {
                    "corpus": corpus, "episodes": episodes, "version": name,
                    "microseconds": [1e6 * one["seconds"] / one["rounds"] for one in played],
                    "digests": [one["digest"] for one in played],
                }
                for name, played in turns.items()
            ]  # fmt: skip
    return lines


def table(lines: Sequence[Mapping[str, Any]], machine: Mapping[str, Any], command: str) -> str:
    """The page: microseconds of a round, and ratios to the first version, turn by turn."""
    names = list(dict.fromkeys(line["version"] for line in lines))
    first, others = names[0], names[1:]
    by_place = {(line["corpus"], line["episodes"], line["version"]): line for line in lines}
    turns = len(lines[0]["microseconds"])
    same = all(
        by_place[corpus, episodes, name]["digests"] == by_place[corpus, episodes, first]["digests"]
        for corpus, episodes, name in by_place
    )
    page = [
        "# Labelling rounds at several revisions",
        "",
        f"Processor microseconds of an episode and round, one thread; median of {turns} turns taken in "
        f"rotation. Times are taken turn by turn to {first}: median (smallest to largest).",
        f"Rows bought and accuracies {'are the same to the bit' if same else 'DIFFER between versions'}.",
        f"{name_processor(machine)}, {machine['cores']} cores, torch {machine['torch']}; load average at the "
        f"start {machine['load_average']}. A commit with + had changes.",
        "",
        f"    {command}",
        "",
        "| | " + " | ".join(names) + " | " + " | ".join(f"{name}, times {first}" for name in others) + " |",
        "| --- |" + " ---: |" * (len(names) + len(others)),
    ]
    for corpus, episodes in dict.fromkeys((line["corpus"], line["episodes"]) for line in lines):
        found = [np.array(by_place[corpus, episodes, name]["microseconds"]) for name in names]
        cells = [f"{np.median(one):,.0f}" for one in found]
        for one in found[1:]:
            ratio = one / found[0]
            cells.append(f"{np.median(ratio):.2f} ({ratio.min():.2f} to {ratio.max():.2f})")
        page.append(f"| {corpus}, {episodes} episode{'s' * (episodes > 1)} | " + " | ".join(cells) + " |")
    return "\n".join(page) + "\n"


def command_of(asked: argparse.Namespace, commits: Sequence[str]) -> str:
    """The command that measures the same again."""
    episodes = " ".join(map(str, asked.episodes))
    return (
        f"python -m react_rl.experiments.benchmarks.versions --revisions {' '.join(commits)} --corpora "
        f"{' '.join(asked.corpora)} --episodes {episodes} --strategy {asked.strategy} --pool-size "
        f"{asked.pool_size} --dev-size {asked.dev_size} --repeats {asked.repeats} --least-seconds "
        f"{asked.least_seconds:g}"
    )


def benchmark(asked: argparse.Namespace) -> str:
    """Measure what was asked for, and write the files."""
    machine, lines = describe_machine(), []
    with tempfile.TemporaryDirectory() as folder:
        trees: dict[str, Path] = {}
        for revision in asked.revisions:
            commit = commit_of(revision)
            trees[commit] = take_out(revision, Path(folder) / commit)
        if len(trees) < 2:
            raise ReActError("Versions are compared with one another; give at least two as --revisions.")
        for corpus in asked.corpora:
            lines += measure(corpus, trees, asked)
    page = table(lines, machine, command_of(asked, list(trees)))
    write_atomically(
        asked.out / "versions.json", canonical_json({"machine": machine, "lines": lines}, 1) + "\n"
    )
    write_atomically(asked.out / "versions.md", page)
    return page


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit status."""
    parser = benchmark_parser(__doc__, "versions", "results/benchmarks/rounds", threads=False)
    parser.add_argument(
        "--revisions",
        nargs="+",
        required=True,
        help=f"commits, the oldest first; {NOW} is the code as it stands",
    )
    parser.add_argument(
        "--corpora", nargs="+", default=["bbc_news", "crowd_tweets"], help="names or synthetic"
    )
    parser.add_argument("--episodes", type=int, nargs="+", default=[1, 16, 64], help="episodes side by side")
    parser.add_argument("--strategy", default="margin", help="what chooses")
    parser.add_argument("--pool-size", type=int, default=500, help="rows of a pool")
    parser.add_argument("--dev-size", type=int, default=500, help="dev rows")
    parser.add_argument("--repeats", type=int, default=8, help="turns of each version")
    parser.add_argument(
        "--least-seconds",
        type=float,
        default=0.3,
        help="processor seconds that a turn's rounds take at least",
    )
    return run_benchmark(parser, arguments, benchmark)


if __name__ == "__main__":
    sys.exit(main())
