"""The section of a report on phases: what was kept of earlier ones, what helped later ones."""

from __future__ import annotations

import matplotlib
from matplotlib.figure import Figure

from react_rl.experiments.analysis.phases import mean_matrix, phase_frame
from react_rl.experiments.figures.looks import STYLE
from react_rl.experiments.figures.phases import Floats, draw_matrix, with_phases
from react_rl.experiments.report.material import Material
from react_rl.experiments.report.page import (
    Column,
    Picture,
    Section,
    csv_link,
    figure_block,
    paragraph,
    sortable_table,
)
from react_rl.metrics.continual import NUMBERS

_WORDS = {
    "average": "After the last phase",
    "learned": "Each when it ended",
    "forgetting": "Forgetting",
    "backward": "Backward transfer",
    "forward": "Forward transfer",
}


def phases_section(material: Material) -> list[Section]:
    """Numbers and accuracy matrices of corpora that come in phases; nothing where there is none."""
    results, table = material.results, material.table
    if not results.phases or "average" not in table:
        return []
    rows = table.dropna(subset=["average"])
    columns = [Column("strategy", "Strategy", False), Column("corpus", "Corpus", False)]
    columns += [
        Column(name, _WORDS[name], low=f"{name}_low", high=f"{name}_high", form=".3f") for name in NUMBERS
    ]
    caption = f"Test {material.metric}, means over seeds with 95 % bootstrap intervals"
    said = (
        "After the last phase: mean over the test rows of all phases. Forgetting: how far the last model is, "
        "on average over earlier phases, below the best one before it. Backward transfer: the last model "
        "minus the one with which a phase ended. Forward transfer: what a phase begins with, above chance; "
        "below 0 where its classes are new."
    )
    pictures = []
    for corpus, strategy in with_phases(results):
        found = mean_matrix(results.phases, corpus, strategy)
        assert found is not None
        names, values = found
        last = ", ".join(f"{name} {value:.2f}" for name, value in zip(names, values[-1], strict=True))
        title = f"{strategy} on {corpus}"
        pictures.append(Picture(_figure(values, names, title), title, f"After the last phase: {last}."))
    body = sortable_table("phases-table", caption, rows, columns) + paragraph(said, "quiet")
    words = "Test metric on the rows of each phase (column) when each phase had ended (row), mean over seeds."
    link = csv_link("phases", phase_frame(results.phases))
    return [Section("phases", "Phases", body + figure_block("phases", pictures, words, [link]))]


def _figure(values: Floats, names: tuple[str, ...], title: str) -> Figure:
    with matplotlib.rc_context(STYLE):
        size = 0.5 * len(names)
        figure = Figure(figsize=(size + 1.9, size + 1.2), layout="constrained")
        ax = figure.add_subplot()
        draw_matrix(ax, values, names, (0.0, max(1.0, float(values.max()))))
        ax.set_title(title)
        return figure
