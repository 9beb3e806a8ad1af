"""The files of the rounds benchmark: results.json, results.csv, table.md, rounds.png and rounds.svg."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from react_rl.escaping import csv_row
from react_rl.experiments.benchmarks.machine import name_processor
from react_rl.experiments.figures.drawing import save_figures
from react_rl.files import canonical_json, write_atomically

OURS: Final = "#0072B2"
PEERS: Final = "#D55E00"
"""Blue and vermillion of the Okabe-Ito palette, which colour-blind readers can distinguish."""

MARKERS: Final = {1: "o", 2: "s"}


@dataclass(frozen=True)
class RoundsLine:
    """One contestant in one scene with one number of threads.

    Args:
        corpus: Name of the corpus.
        dimensions: Length of an embedding.
        classes: Classes of the corpus.
        pool_size: Rows of the pool.
        threads: Threads that each contestant was given.
        contestant: Name, with the peer's penalty.
        episodes: Episodes played at once.
        rounds_per_second: Median over the turns.
        slowest_turn: Rounds per second of the slowest turn.
        fastest_turn: Rounds per second of the fastest turn.
        with_start: Median rounds per second with draw, set-up and first fit counted too.
        ratio_to_faster_peer: Median over the median of the fastest peer of the same run.
        area: Mean area under the accuracy curve over the paired seeds.
        area_error: Standard error of that mean.
        area_minus_best_peer: Mean paired difference to the peer with the largest area.
        area_minus_best_peer_error: Standard error of that difference.
    """

    corpus: str
    dimensions: int
    classes: int
    pool_size: int
    threads: int
    contestant: str
    episodes: int
    rounds_per_second: float
    slowest_turn: float
    fastest_turn: float
    with_start: float
    ratio_to_faster_peer: float | None
    area: float
    area_error: float
    area_minus_best_peer: float | None
    area_minus_best_peer_error: float | None

    @property
    def label(self) -> str:
        """Name in the table and the figure."""
        if self.contestant != "react-rl":
            return self.contestant
        return f"react-rl, {self.episodes} episode{'s' if self.episodes > 1 else ''}"


def write_report(
    out: Path, lines: Sequence[RoundsLine], machine: dict[str, Any], repeats: int, seeds: int
) -> None:
    """Write all files of the benchmark into ``out``."""
    ordered = sorted(
        lines,
        key=lambda x: (
            x.pool_size,
            x.threads,
            x.contestant != "react-rl",
            x.contestant.split(",")[0],
            x.episodes,
        ),
    )
    content = {
        "machine": machine,
        "repeats": repeats,
        "seeds": seeds,
        "results": [{key: _rounded(value) for key, value in asdict(line).items()} for line in ordered],
    }
    write_atomically(out / "results.json", canonical_json(content, indent=2) + "\n")
    write_atomically(out / "results.csv", _csv(ordered))
    write_atomically(out / "table.md", table(ordered, machine, repeats, seeds))
    save_figures(out, {"rounds": draw(ordered)})


def _rounded(value: Any) -> Any:
    return float(f"{value:.5g}") if isinstance(value, float) else value


def _csv(lines: Sequence[RoundsLine]) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([field.name for field in fields(RoundsLine)])
    for line in lines:
        writer.writerow(csv_row("" if v is None else _rounded(v) for v in asdict(line).values()))
    return file.getvalue()


def table(lines: Sequence[RoundsLine], machine: dict[str, Any], repeats: int, seeds: int) -> str:
    """Return the results as Markdown, one table for each pool size and number of threads."""
    parts = [
        f"{name_processor(machine)}, {machine['cores']} cores; torch {machine['torch']}, "
        f"python {machine['python']}; load average at the start {machine['load_average']}."
    ]
    if "peers" in machine:
        names = ("small-text", "scikit-activeml", "scikit-learn", "python")
        parts[0] += " Peers: " + ", ".join(f"{n} {machine['peers'][n]}" for n in names) + "."
    parts.append(
        f"Median (slowest to fastest) of {repeats} turns taken in rotation; areas over {seeds} paired seeds, "
        "with the standard error; the difference is to the peer with the largest area, paired."
    )
    for pool, threads in sorted({(line.pool_size, line.threads) for line in lines}):
        some = [line for line in lines if (line.pool_size, line.threads) == (pool, threads)]
        first = some[0]
        parts.append(
            f"## Pool {pool:,}, {threads} thread{'s' if threads > 1 else ''}\n\n"
            f"{first.corpus}, {first.dimensions} dimensions, {first.classes} classes\n\n"
            "| contestant | rounds/s | range | with the start | times the faster peer | area | difference |\n"
            "| --- | ---: | ---: | ---: | ---: | ---: | ---: |\n" + "\n".join(_row(line) for line in some)
        )
    return "\n\n".join(parts) + "\n"


def _row(line: RoundsLine) -> str:
    ratio = "" if line.ratio_to_faster_peer is None else f"{line.ratio_to_faster_peer:.2f}"
    gap = ""
    if line.area_minus_best_peer is not None:
        gap = f"{line.area_minus_best_peer:+.4f} ± {line.area_minus_best_peer_error:.4f}"
    return (
        f"| {line.label} | {line.rounds_per_second:,.0f} "
        f"| {line.slowest_turn:,.0f} to {line.fastest_turn:,.0f} "
        f"| {line.with_start:,.0f} | {ratio} | {line.area:.4f} ± {line.area_error:.4f} | {gap} |"
    )


def draw(lines: Sequence[RoundsLine]) -> Figure:
    """Draw rounds per second on a logarithmic scale, one panel for each pool size."""
    pools = sorted({line.pool_size for line in lines})
    labels = list(dict.fromkeys(line.label for line in lines))
    figure = Figure(figsize=(5.2 * len(pools) + 1.6, 0.42 * len(labels) + 1.9), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(pools), sharey=True, squeeze=False)[0]
    for panel, pool in zip(panels, pools, strict=True):
        _draw_panel(panel, [line for line in lines if line.pool_size == pool], labels)
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=len(handles), frameon=False)
    return figure


def _draw_panel(panel: Axes, lines: Sequence[RoundsLine], labels: Sequence[str]) -> None:
    threads = sorted({line.threads for line in lines})
    for count in threads:
        some = [line for line in lines if line.threads == count]
        offset = 0.18 * (2 * threads.index(count) - len(threads) + 1)
        for line in some:
            colour = OURS if line.contestant == "react-rl" else PEERS
            y = labels.index(line.label) + offset
            panel.plot([line.slowest_turn, line.fastest_turn], [y, y], color=colour, linewidth=2, alpha=0.5)
            panel.plot(line.rounds_per_second, y, MARKERS.get(count, "D"), color=colour, markersize=6)
            panel.annotate(
                f"{line.rounds_per_second:,.0f}",
                (line.fastest_turn, y),
                xytext=(6, 0), textcoords="offset points", va="center", fontsize=7,
            )  # fmt: skip
        name = f"{count} thread{'s' if count > 1 else ''}"
        panel.plot([], [], MARKERS.get(count, "D"), color="0.35", linestyle="none", label=name)
    first = lines[0]
    panel.set_title(f"pool {first.pool_size:,} ({first.corpus}, {first.dimensions} dimensions)", fontsize=10)
    panel.set_xscale("log")
    panel.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    panel.xaxis.set_minor_locator(NullLocator())
    panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    panel.set_xlim(right=max(line.fastest_turn for line in lines) * 2.2)
    panel.set_xlabel("labelling rounds per second (median and range, log scale)")
    panel.set_yticks(range(len(labels)), labels)
    if not panel.yaxis_inverted():
        panel.invert_yaxis()
    panel.grid(axis="x", which="major", color="0.85")
    panel.set_axisbelow(True)
