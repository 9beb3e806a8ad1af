"""The files of the selection benchmark: results.json, results.csv and table.md."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import median
from typing import Any, Final

from react_rl.acquisition import suited
from react_rl.escaping import csv_row
from react_rl.experiments.benchmarks.machine import name_processor
from react_rl.experiments.benchmarks.selection_ours import PREDICTION
from react_rl.experiments.benchmarks.selection_pool import EXACT_DENSITY, PoolPlan
from react_rl.experiments.benchmarks.selection_process import Limits, ProcessOutcome
from react_rl.files import canonical_json, write_atomically

OURS: Final = "react-rl"

PREDICTING: Final = ("least-confidence", "margin", "entropy", "egl", "badge", "cal")
"""Strategies whose peers predict the pool within the query, which our engine does in the refit."""


@dataclass(frozen=True)
class SelectionLine:
    """One contestant with one strategy on one pool.

    Args:
        rows: Rows of the pool.
        contestant: ``OURS`` or a peer.
        strategy: Our name of the strategy, or ``PREDICTION``.
        status: done, time or memory.
        seconds: Median processor seconds of the selection; None unless done.
        wall: Median seconds by the clock.
        runs: Selections.
        megabytes: Most memory beyond the loaded data.
        whole: Most memory of the process.
        load_average: Load of the machine when it ended.
        picked: Ids of the batch, in the order of picking.
    """

    rows: int
    contestant: str
    strategy: str
    status: str
    seconds: float | None
    wall: float | None
    runs: int
    megabytes: float | None
    whole: float | None
    load_average: float
    picked: tuple[int, ...]

    @classmethod
    def of(
        cls, rows: int, contestant: str, strategy: str, outcome: ProcessOutcome, load: float
    ) -> SelectionLine:
        """The line of one outcome."""
        return cls(
            rows, contestant, strategy, outcome.status, outcome.seconds, outcome.wall, outcome.runs,
            outcome.megabytes, outcome.whole, load, tuple(outcome.ids),
        )  # fmt: skip


@dataclass(frozen=True)
class Ratio:
    """Seconds of the faster peer over ours.

    Args:
        value: The ratio; infinite where every peer ran out of memory.
        bound: Whether it is only known to be larger, because the peer was ended at the time limit.
    """

    value: float
    bound: bool = False

    def __str__(self) -> str:
        if self.value == float("inf"):
            return "no peer gets through"
        return ("> " if self.bound else "") + _number(self.value)


@dataclass(frozen=True)
class Pair:
    """Our line beside the peers' of one strategy.

    Args:
        strategy: Name.
        ours: Our line.
        peers: The peers' lines by name.
        seconds: Our seconds, the prediction included where the peers predict in their query.
        limit: Seconds after which a contestant is ended.
    """

    strategy: str
    ours: SelectionLine
    peers: dict[str, SelectionLine]
    seconds: float | None
    limit: float

    @property
    def ratio(self) -> Ratio | None:
        """To the faster peer, our prediction counted where theirs is; None without a peer."""
        return self._to(self.seconds)

    @property
    def alone(self) -> Ratio | None:
        """To the faster peer, as if the prediction of our refit cost nothing."""
        return self._to(self.ours.seconds)

    def _to(self, seconds: float | None) -> Ratio | None:
        if not self.peers or seconds is None:
            return None
        done = [line.seconds for line in self.peers.values() if line.seconds is not None]
        if done:
            return Ratio(min(done) / seconds)
        if any(line.status == "time" for line in self.peers.values()):
            return Ratio(self.limit / seconds, bound=True)
        return Ratio(float("inf"))


def pairs_of(lines: Sequence[SelectionLine], rows: int, limits: Limits) -> list[Pair]:
    """Our strategies on pools of one size, each with its peers: the registry's, then announced ones."""
    here = {(line.contestant, line.strategy): line for line in lines if line.rows == rows}
    predicted = here.get((OURS, PREDICTION))
    extra = predicted.seconds if predicted is not None and predicted.seconds is not None else 0.0
    pairs = []
    registered = suited()
    others = dict.fromkeys(line.strategy for line in lines if line.strategy not in (*registered, PREDICTION))
    for strategy in (*registered, *others):
        ours = here.get((OURS, strategy))
        if ours is None:
            continue
        peers = {c: line for (c, s), line in here.items() if s == strategy and c != OURS}
        seconds = ours.seconds
        if seconds is not None and strategy in PREDICTING:
            seconds += extra
        pairs.append(Pair(strategy, ours, peers, seconds, limits.seconds))
    return pairs


def write_report(
    out: Path, lines: Sequence[SelectionLine], machine: dict[str, Any], limits: Limits, pool: PoolPlan
) -> None:
    """Write all files of the benchmark into ``out``."""
    content = {
        "machine": machine,
        "limits": asdict(limits),
        "pool": {key: value for key, value in asdict(pool).items() if key != "rows"},
        "results": [{key: _rounded(value) for key, value in asdict(line).items()} for line in lines],
    }
    write_atomically(out / "results.json", canonical_json(content, indent=2) + "\n")
    write_atomically(out / "results.csv", _csv(lines))
    write_atomically(out / "table.md", table(lines, machine, limits, pool))


def _rounded(value: Any) -> Any:
    return float(f"{value:.4g}") if isinstance(value, float) else value


def _csv(lines: Sequence[SelectionLine]) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    names = [field.name for field in fields(SelectionLine) if field.name != "picked"]
    writer.writerow(names)
    for line in lines:
        values = [getattr(line, name) for name in names]
        writer.writerow(csv_row("" if value is None else _rounded(value) for value in values))
    return file.getvalue()


def table(lines: Sequence[SelectionLine], machine: dict[str, Any], limits: Limits, pool: PoolPlan) -> str:
    """Return the results as Markdown, one table for each pool size."""
    loads = [line.load_average for line in lines]
    head = (
        f"{name_processor(machine)}, {machine['cores']} cores, one thread each; torch "
        f"{machine['torch']}, python {machine['python']}; load average {min(loads):g} to {max(loads):g}, so "
        "seconds are processor seconds, which other programs stretch less than the clock's."
    )
    if machine.get("peers"):
        head += " Peers: " + ", ".join(f"{name} {number}" for name, number in machine["peers"].items()) + "."
    parts = [head]
    for rows in sorted({line.rows for line in lines}):
        pairs = pairs_of(lines, rows, limits)
        later = f", round {pool.round}" if pool.round > 1 else ""
        parts.append(
            f"## {rows:,} x {pool.dimensions}, {pool.classes} classes, {pool.labelled} labelled, batch "
            f"{pool.batch}{later}\n\n{_summary(pairs, lines, rows)}"
        )
        parts.append(_peer_table(pairs, limits) if any(pair.peers for pair in pairs) else _own_table(pairs))
    return "\n\n".join(parts) + "\n"


def _summary(pairs: Sequence[Pair], lines: Sequence[SelectionLine], rows: int) -> str:
    own = [line for line in lines if line.rows == rows and line.contestant == OURS]
    predicted = [line.seconds for line in own if line.strategy == PREDICTION and line.seconds is not None]
    text = ""
    if predicted:
        text += f"Predicting the whole pool takes us {_number(predicted[0])} s; the refit does it. "
    if rows > EXACT_DENSITY:
        text += "The neighbour density, made once for a corpus, is taken from a sample of 5,000 rows here. "
    memory = [line.megabytes for line in own if line.megabytes is not None]
    if memory:
        text += f"Most memory of ours over the data: {max(memory):,.0f} MB. "
    ratios = [pair.ratio.value for pair in pairs if pair.ratio is not None]
    if ratios:
        alone = [pair.alone.value for pair in pairs if pair.alone is not None]
        done = [p for p in pairs if any(line.status == "done" for line in p.peers.values())]
        through = [pair.ratio.value for pair in done if pair.ratio is not None]
        slower = [pair.strategy for pair in pairs if pair.ratio is not None and pair.ratio.value < 1]
        text += (
            f"{len(ratios)} strategies have a counterpart; no peer gets through with "
            f"{len(ratios) - len(through)} of them. Median ratio to the faster peer: "
            f"{_number(median(ratios))} (over those that get through: "
            f"{_number(median(through)) if through else '-'}; without our prediction, which peers make in "
            f"the query: {_number(median(alone))}). Slower than the faster peer: "
            f"{', '.join(slower) or 'none'}."
        )
    return text.strip()


def _peer_table(pairs: Sequence[Pair], limits: Limits) -> str:
    names = sorted({name for pair in pairs for name in pair.peers})
    titles = "".join(f" {name}, s | MB |" for name in names)
    text = f"| strategy | ours, s | MB | with prediction, s |{titles}"
    text += " times the faster peer | selection alone |\n"
    text += "| --- | ---: | ---: | ---: |" + " ---: | ---: |" * len(names) + " ---: | ---: |\n"
    rows = []
    for pair in pairs:
        cells = [f"`{pair.strategy}`", *_cells(pair.ours, limits)]
        counted = pair.seconds is not None and pair.seconds != pair.ours.seconds
        cells.append(_number(pair.seconds) if counted and pair.seconds is not None else "")
        for name in names:
            cells += _cells(pair.peers[name], limits) if name in pair.peers else ["", ""]
        cells.append(str(pair.ratio or ""))
        cells.append(str(pair.alone or "") if counted else "")
        rows.append("| " + " | ".join(cells) + " |")
    return text + "\n".join(rows)


def _own_table(pairs: Sequence[Pair]) -> str:
    rows = [f"| `{p.strategy}` | " + " | ".join(_cells(p.ours, Limits())) + " |" for p in pairs]
    return "| strategy | seconds | MB |\n| --- | ---: | ---: |\n" + "\n".join(rows)


def _cells(line: SelectionLine, limits: Limits) -> list[str]:
    if line.status == "time":
        return [f"> {limits.seconds:g}", ""]
    if line.status == "memory":
        return ["out of memory", f"> {limits.megabytes:,.0f}"]
    assert line.seconds is not None, "what is done took some time"
    return [_number(line.seconds), "" if line.megabytes is None else f"{line.megabytes:,.0f}"]


def _number(value: float) -> str:
    if value == float("inf"):
        return "infinite"
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.2g}" if value < 10 else f"{value:.1f}"
