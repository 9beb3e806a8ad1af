"""What benchmarks share: their command, turns of contestants, seconds, corpora, and files that grow.

The peers' side (``peer_rounds``, ``selection_peers``, ``finetune/peers``) runs in an environment without the
project and imports nothing of this.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch

from react_rl.data.registry import load_corpus
from react_rl.encoders.cache import ArrayCache
from react_rl.encoders.transformer import EncoderSettings, TextEncoder, resolve_device
from react_rl.errors import ReActError
from react_rl.experiments.benchmarks.machine import describe_device
from react_rl.experiments.cli.status import program
from react_rl.files import canonical_json, write_atomically
from react_rl.simulation.encoded import EncodedCorpus, encode, synthetic_encoded

K = TypeVar("K")
T = TypeVar("T")


def benchmark_parser(
    about: str | None, name: str, out: str | None = None, files: str = "", threads: bool = True
) -> argparse.ArgumentParser:
    """A parser with ``--out`` and ``--threads``; a benchmark adds its own arguments.

    Args:
        about: Docstring of the benchmark; its first paragraph is what ``--help`` says.
        name: Name of the benchmark.
        out: Folder that is written where the user names none.
        files: What is written into the folder, where the user has to name one.
        threads: Whether the number of threads can be chosen; it is 1 otherwise.
    """
    parser = argparse.ArgumentParser(prog=name, description=(about or "").split("\n\n")[0])
    if out is not None:
        parser.add_argument("--out", type=Path, default=Path(out), help="folder to write")
    elif files:
        parser.add_argument("--out", type=Path, required=True, help=files)
    if threads:
        parser.add_argument("--threads", type=int, default=1, help="threads of torch")
    return parser


def run_benchmark(
    parser: argparse.ArgumentParser,
    arguments: Sequence[str] | None,
    benchmark: Callable[[argparse.Namespace], str],
) -> int:
    """Parse, measure with the number of threads asked for, and print what comes of it.

    Args:
        parser: The arguments, see ``benchmark_parser``.
        arguments: What was asked for; None takes it from the command line.
        benchmark: Measures and writes; returns what is printed at the end.

    Returns:
        The exit status: 2 with one sentence for bad input, as all programs here.
    """

    @program(parser.prog)
    def main(arguments: Sequence[str] | None = None) -> int:
        asked = parser.parse_args(arguments)
        for option, value in vars(asked).items():
            for one in value if isinstance(value, list) else [value]:
                if isinstance(one, int) and not isinstance(one, bool) and one < 1:
                    raise ReActError(f"--{option.replace('_', '-')} is {one}; give at least 1.")
        before = torch.get_num_threads()
        threads = getattr(asked, "threads", 1)
        torch.set_num_threads(threads if isinstance(threads, int) else 1)
        try:
            text = benchmark(asked)
        finally:
            torch.set_num_threads(before)
        if text:
            print(text)
        return 0

    return main(arguments)


class Seconds(NamedTuple):
    """Seconds by the clock and of the processor; on a busy machine the latter are what can be compared."""

    wall: float
    processor: float

    @classmethod
    def now(cls) -> Seconds:
        """Both clocks."""
        return cls(time.perf_counter(), time.process_time())

    def until(self, end: Seconds) -> Seconds:
        """The seconds between two looks at the clocks."""
        return Seconds(end.wall - self.wall, end.processor - self.processor)


def timed(call: Callable[[], T]) -> tuple[T, Seconds]:
    """What a call returns, and its seconds."""
    start = Seconds.now()
    found = call()
    return found, start.until(Seconds.now())


def in_turns(contestants: Mapping[K, Callable[[int], T]], turns: int) -> dict[K, list[T]]:
    """Let contestants take turns, so that whatever else the machine does meets them all alike.

    Each is called with the number of the turn. Turn 0 warms up and does not count: nobody's first allocation
    or import is measured. Who begins moves on by one with every turn.

    Returns:
        What each call of turns 1 to ``turns`` returned.
    """
    names = list(contestants)
    found: dict[K, list[T]] = {name: [] for name in names}
    for turn in range(turns + 1):
        for step in range(len(names)):
            name = names[(turn + step) % len(names)]
            returned = contestants[name](turn)
            if turn:
                found[name].append(returned)
    return found


def add_encoder(parser: argparse.ArgumentParser, corpus: str | None) -> None:
    """Add ``--corpus``, ``--model``, ``--max-length`` and ``--device``, which ``encoded_corpus`` reads.

    Args:
        parser: Of a benchmark. Mutates it.
        corpus: Where the user names none; None has the user name one.
    """
    parser.add_argument("--corpus", default=corpus, required=corpus is None, help="name, path or synthetic")
    parser.add_argument("--model", default="minilm", help="encoder: minilm, a folder, or a hub name")
    parser.add_argument("--max-length", type=int, default=64, help="tokens kept of a text")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")


def encoded_corpus(asked: argparse.Namespace, max_rows: int) -> EncodedCorpus:
    """The corpus that was asked for, with its embeddings on the device."""
    device = resolve_device(asked.device)
    if asked.corpus == "synthetic":
        return synthetic_encoded(device=device)
    return embedded(asked.corpus, max_rows, asked.max_length, asked.model, device)


def embedded(
    name: str,
    max_rows: int,
    max_length: int = 64,
    model: str = "minilm",
    device: str | torch.device = "cpu",
) -> EncodedCorpus:
    """A corpus by its name or path, with its embeddings."""
    settings = EncoderSettings(model=model, max_length=max_length, device=str(device))
    return encode(load_corpus(name, max_rows=max_rows), TextEncoder(settings), ArrayCache(), device)


class MeasuredLines:
    """Lines in a JSON file that is written again after each: a run that is cut off leaves what it has.

    Args:
        path: The file.
        about: What stands beside the lines; None writes a bare list.
    """

    def __init__(self, path: Path, about: Mapping[str, Any] | None = None) -> None:
        self._path, self._about = path, about
        self.lines: list[dict[str, Any]] = []

    def add(self, line: Mapping[str, Any]) -> None:
        """Add a line, print it and write the file. Mutates."""
        self.lines.append(dict(line))
        print(self.lines[-1], flush=True)
        content = self.lines if self._about is None else {**self._about, "lines": self.lines}
        write_atomically(self._path, canonical_json(content, indent=1) + "\n")


def machine_lines(path: Path, device: torch.device) -> MeasuredLines:
    """Lines beside a description of the machine."""
    return MeasuredLines(path, {"machine": describe_device(device)})


def rounded(values: Mapping[str, float], digits: int) -> dict[str, float]:
    """Numbers as they are written."""
    return {name: round(value, digits) for name, value in values.items()}
