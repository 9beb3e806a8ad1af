"""From a comparison's folder to its tables and figures, on disk and on the screen."""

from __future__ import annotations

from pathlib import Path

from react_rl.errors import ReActError
from react_rl.experiments.figures import draw_all
from react_rl.experiments.screen import show_results
from react_rl.experiments.summary import read_results, summarise, write_tables


def plot_results(folder: Path) -> None:
    """Summarise the runs in ``folder``, write tables and figures there, and show them.

    Raises:
        ReActError: The folder is no comparison, has no finished run, has no seed that all strategies have
            finished, or holds a damaged file.
        WriteError: A table or a figure cannot be written.
    """
    results = read_results(folder)
    table = summarise(results)
    if table.empty:
        raise ReActError(
            f"{folder} cannot be summarised: on no corpus is there a seed that all of "
            f"{', '.join(results.strategies)} have finished; run `react-rl compare` again."
        )
    write_tables(folder, results, table)
    show_results(table, results, draw_all(folder, results, table), folder)
