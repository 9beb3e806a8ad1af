"""Sections of a report on the models at the end of the runs, where a config asked for their analysis."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from react_rl.experiments.analysis.final_models import (
    STAGES,
    FinalRun,
    calibration_table,
    class_table,
    read_final_runs,
    robustness_table,
)
from react_rl.experiments.figures.final_models import reliability_panel, robustness_panel
from react_rl.experiments.report.material import Material
from react_rl.experiments.report.page import (
    Column,
    Picture,
    Section,
    csv_link,
    figure_block,
    links_line,
    note,
    sortable_table,
)
from react_rl.experiments.run.altered import CLEAN
from react_rl.experiments.run.results import ResultFolder

_NAMES = {"robustness": "Robustness", "calibration": "Calibration", "per-class": "Classes and groups"}


def final_sections(material: Material) -> list[Section]:
    """A section for each analysis of the config; none where it asked for none."""
    asked = list(material.plan.get("analysis", ()))
    if not asked:
        return []
    runs = read_final_runs(ResultFolder(material.folder))
    build = {
        "robustness": _robustness_section,
        "calibration": _calibration_section,
        "per-class": _class_section,
    }
    found = []
    for name in (one for one in _NAMES if one in asked):
        own = [run for run in runs if name in run.kept]
        missing = Section(name, _NAMES[name], note("Left out: the run files are not in the results folder."))
        found.append(build[name](material, own) if own else missing)
    return found


def _corpora(material: Material, runs: Sequence[FinalRun]) -> list[str]:
    return [corpus for corpus in material.results.corpora if any(run.corpus == corpus for run in runs)]


def _heads(*columns: Column) -> list[Column]:
    return [Column("strategy", "Strategy", False), Column("corpus", "Corpus", False), *columns]


def _interval(key: str, heading: str) -> Column:
    return Column(key, heading, True, f"{key}_low", f"{key}_high", ".3f")


def _calibration_section(material: Material, runs: Sequence[FinalRun]) -> Section:
    table = calibration_table(runs)
    pictures = []
    for corpus in _corpora(material, runs):
        own = table[table["corpus"] == corpus]
        said = "; ".join(
            f"{row['strategy']}: error {row['before']:.3f} before and {row['after']:.3f} after"
            for row in own.to_dict("records")
        )
        figure = reliability_panel(runs, corpus, material.looks, material.shown)
        pictures.append(Picture(figure, f"Reliability on {corpus}", f"{said}."))
    caption = (
        "Accuracy of test rows by the confidence of the last model of each run, all seeds together, in 15 "
        "bins (those of fewer than ten rows are left out). Below the diagonal a model is too sure. Right: "
        "after its scores were divided by the temperature that is best on the dev rows."
    )
    columns = _heads(
        *(_interval(stage, f"Calibration error {stage}") for stage in STAGES),
        Column("temperature", "Temperature", form=".2f"),
    )
    body = figure_block(
        "calibration-figure", pictures, caption, [csv_link("calibration", table)], material.key
    )
    what = "Expected calibration error before and after temperature scaling, mean over seeds"
    return Section(
        "calibration", _NAMES["calibration"], body + sortable_table("calibration-table", what, table, columns)
    )


def _class_section(material: Material, runs: Sequence[FinalRun]) -> Section:
    table = class_table(runs)
    columns = _heads(
        Column("name", "Class or group", False),
        _interval("accuracy", "Accuracy"),
        _interval("precision", "Precision"),
    )
    what = (
        "Accuracy of each class (share of its test rows that are found) and of each group of texts, and "
        "precision of each class, after the last round; mean over seeds"
    )
    links = links_line([csv_link("classes", table)])
    return Section(
        "per-class", _NAMES["per-class"], sortable_table("class-table", what, table, columns) + links
    )


def _robustness_section(material: Material, runs: Sequence[FinalRun]) -> Section:
    table = robustness_table(runs)
    pictures = []
    for corpus in _corpora(material, runs):
        own = table[(table["corpus"] == corpus) & (table["group"] == "all") & (table["kind"] != CLEAN)]
        figure = robustness_panel(table, corpus, material.looks, material.shown)
        pictures.append(Picture(figure, f"Robustness on {corpus}", _losses(own)))
    settings = material.plan.get("robustness", {})
    caption = (
        f"Accuracy of the last models on at most {settings.get('rows', 500)} test texts minus that on the "
        "same texts with typing errors, without words or with other words (a share of "
        f"{settings.get('share', 0.15):g} of the words): mean over seeds with 95 % bootstrap intervals."
    )
    columns = _heads(
        Column("kind", "Texts", False),
        Column("group", "Group", False),
        _interval("accuracy", "Accuracy"),
        _interval("lost", "Lost"),
        Column("changed", "Predictions changed", form=".3f"),
    )
    body = figure_block("robustness-figure", pictures, caption, [csv_link("robustness", table)], material.key)
    what = "Accuracy on disturbed texts, by group of texts, mean over seeds"
    disturbed = table["kind"] != CLEAN  # clean texts lose nothing against themselves
    lost = {name: table[name].where(disturbed) for name in ("lost", "lost_low", "lost_high", "changed")}
    rows = table.assign(**lost)
    return Section(
        "robustness", _NAMES["robustness"], body + sortable_table("robustness-table", what, rows, columns)
    )


def _losses(own: pd.DataFrame) -> str:
    rows = own.to_dict("records")
    said = "; ".join(f"{row['strategy']} under {row['kind']} {row['lost']:+.3f}" for row in rows)
    return f"Accuracy lost: {said}."
