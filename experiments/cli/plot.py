"""From a comparison's folder to its tables and figures, on disk and on the screen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from react_rl.errors import ReActError, unknown
from react_rl.experiments.analysis.summary import (
    Results,
    Summarised,
    read_tasks,
    summarise,
    write_tables,
)
from react_rl.experiments.cli.screen import console, show_results
from react_rl.experiments.figures.drawing import FORMATS, draw_all
from react_rl.experiments.figures.page import Page

PAPER: Final = "figures"
"""Folder in a comparison's for figures that were asked for with options."""


def plot_results(folder: Path) -> None:
    """Write tables and figures of the runs in ``folder``, as ``draw_results`` does, and show them."""
    found, drawn = draw_results(folder)
    show_results(found, drawn, folder)


def draw_results(folder: Path) -> tuple[list[Summarised], list[Path]]:
    """Summarise the runs in ``folder`` and write tables and figures there.

    Returns:
        The results of each task with their summary, and the first file of each figure.

    Raises:
        ReActError: The folder is no comparison, has no finished run, has no seed that all strategies have
            finished, or holds a damaged file.
        WriteError: A table or a figure cannot be written.
    """
    found = _summarised(folder, read_tasks(folder))
    write_tables(folder, found)
    return found, list(draw_all(folder, found))


def plot_for_paper(
    folder: Path,
    width: float | None = None,
    formats: Sequence[str] = (),
    strategies: Sequence[str] = (),
    metric: str | None = None,
    output: Path | None = None,
) -> list[Path]:
    """Draw figures as they are wanted somewhere else, and say what their captions must; tables stay.

    Args:
        folder: The comparison.
        width: Inches; None draws for the screen.
        formats: Some of ``FORMATS``; none means PNG and SVG.
        strategies: Names, in the order of the legend; none means all.
        metric: One of the comparison's; None means the first of each task.
        output: Where the figures go; None means ``figures`` in the comparison's folder.

    Returns:
        The first file of each figure.

    Raises:
        ReActError: As ``draw_results``, or an option does not fit the comparison.
    """
    page = Page(width)
    every = read_tasks(folder, metric)
    if strategies:
        every = [_only(results, strategies) for results in every]
    drawn = draw_all(output or folder / PAPER, _summarised(folder, every), page, formats or FORMATS[:2])
    for path, caption in drawn.items():
        console.print(f"{path}: {caption}.", highlight=False, markup=False)
    return list(drawn)


def _summarised(folder: Path, every: Sequence[Results]) -> list[Summarised]:
    """The results of each task of which all strategies have finished a seed, with their summaries."""
    found = [(results, summarise(results)) for results in every]
    kept = [(results, table) for results, table in found if not table.empty]
    if not kept:
        raise ReActError(
            f"{folder} cannot be summarised: on no corpus is there a seed that all of "
            f"{', '.join(every[0].strategies)} have finished; run `react-rl compare` again."
        )
    return kept


def _only(results: Results, strategies: Sequence[str]) -> Results:
    for name in strategies:
        if name not in results.strategies:
            raise unknown("strategy of this comparison", name, results.strategies)
        if strategies.count(name) > 1:
            raise ReActError(f"Strategy {name!r} is named twice; name it once.")
    kept = results.curves[results.curves["strategy"].isin(strategies)]
    reference = results.reference if results.reference in strategies else strategies[0]
    return replace(results, curves=kept, strategies=tuple(strategies), reference=reference)
