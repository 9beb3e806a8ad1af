"""Sections of a report that hold figures. One that cannot be drawn says in a sentence why."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
from markupsafe import Markup

from react_rl.errors import ReActError
from react_rl.experiments.analysis.numbers import (
    aggregate,
    cost_performance,
    improvement_matrix,
    penalties,
    ranks,
)
from react_rl.experiments.analysis.summary import ALL_CORPORA, FULL, SHARES, column_of, titled
from react_rl.experiments.figures.curves import (
    curve_panel,
    improvement_panel,
    profile_panel,
)
from react_rl.experiments.figures.learning import cost_axis
from react_rl.experiments.figures.pairs import (
    critical_difference_figure,
    matrix_figure,
    pareto_figure,
)
from react_rl.experiments.report.material import NOTHING_SHARED, Material
from react_rl.experiments.report.page import (
    Column,
    Picture,
    Section,
    csv_link,
    figure_block,
    note,
    sortable_table,
)
from react_rl.experiments.report.text import counted


def _best_at_end(frame: pd.DataFrame, sign: float) -> str:
    """Say who leads at the end of the curves of one corpus."""
    last = frame[frame["cost"] == frame["cost"].max()]
    ordered = last.iloc[(-sign * last["mean"]).argsort()]
    values = ", ".join(f"{s} {m:.3f}" for s, m in zip(ordered["strategy"], ordered["mean"], strict=True))
    return f"At cost {last['cost'].iloc[0]:g}: {values}."


def curves_section(material: Material) -> Section:
    """Learning curves, one panel for each corpus, then their mean."""
    results, curves = material.results, material.curves
    pictures, links, lines = [], [], results.full
    spent = cost_axis(results.curves)
    corpora = [c for c in [*results.corpora, ALL_CORPORA] if (curves["corpus"] == c).any()]
    for i, corpus in enumerate(corpora, start=1):
        own = curves[curves["corpus"] == corpus]
        full = lines.get(corpus)
        said = f"Mean test {material.metric} against cost spent. {_best_at_end(own, material.sign)}"
        if full is not None:
            said += f" With all labels: {full:.3f}."
        figure = curve_panel(curves, corpus, material.looks, material.shown, results.metric, full, spent)
        called = titled(results.called(corpus))
        pictures.append(Picture(figure, f"Learning curves on {called}", said))
        links.append(csv_link("curves-mean" if corpus == ALL_CORPORA else f"curves-{i}", own, called))
    caption = (
        f"Test {material.metric} against cost spent after the initial labels: mean over seeds, bands are "
        "pointwise "
        "95 % bootstrap intervals of the mean."
    )
    if lines:
        caption += " Dashed: what the learner reaches with all labels of the pool, mean over seeds."
    if ALL_CORPORA in corpora:
        caption += " The last panel is the mean of the corpora: seed k on all of them is one replicate."
    if len(material.shown) < len(results.strategies):
        caption += " Grey: further strategies, whose numbers are in the CSV files."
    body = figure_block("curves-figure", pictures, caption, links, material.key, before_links="CSV:")
    return Section("curves", "Learning curves", body)


def aggregate_section(material: Material) -> Section:
    """Interquartile mean, probability of improvement, performance profiles."""
    heading = "Over all runs and corpora"
    try:
        if material.scores is None:
            raise ReActError(NOTHING_SHARED)
        found = aggregate(material.scores)
    except ReActError as error:
        return Section("aggregate", heading, note(str(error)))
    reference, looks = material.results.reference, material.looks
    corpora = counted(len(material.scores.corpora), "corpus", "corpora")
    size = f"{len(material.scores.seeds)} seeds on {corpora}"
    rows = found.table.sort_values("iqm", ascending=False)
    said = "; ".join(
        f"{r['strategy']}: interquartile mean {r['iqm']:.3f}"
        + ("" if pd.isna(r["improvement"]) else f", probability of improvement {r['improvement']:.2f}")
        for r in rows.to_dict("records")
    )
    forest = Picture(improvement_panel(found, looks, reference), f"Improvement over {reference}", said)
    above = {
        s: float(p.estimate[np.searchsorted(found.thresholds, 0.0) - 1]) for s, p in found.profiles.items()
    }
    said = "Share of runs at or above the reference's mean area: " + ", ".join(
        f"{s} {share:.2f}" for s, share in above.items()
    )
    profile = Picture(profile_panel(found, looks, material.shown), "Performance profiles", said)
    profiles = pd.concat(
        pd.DataFrame(
            {"strategy": s, "threshold": found.thresholds, "share": p.estimate, "low": p.low, "high": p.high}
        )
        for s, p in found.profiles.items()
    )
    scale = f"0 is the mean area of {reference} on the corpus, 1 would be a perfect area"
    columns = [
        Column("strategy", "Strategy", False),
        Column("iqm", "Interquartile mean", True, "iqm_low", "iqm_high", ".3f"),
        Column(
            "improvement", "Probability of improvement", True, "improvement_low", "improvement_high", ".3f"
        ),
    ]
    body = figure_block(
        "forest",
        [forest],
        f"Left: interquartile mean of the share of {reference}'s error that was removed ({scale}). "
        "Right: probability "
        f"that the area is larger than {reference}'s with the same seed. {size}, stratified 95 % "
        "bootstrap intervals.",
        [csv_link("aggregates", found.table)],
        broad=True,
    )
    body += sortable_table("aggregate-table", f"Against {reference}: {size}", rows, columns)
    body += figure_block(
        "profiles",
        [profile],
        f"Performance profiles: share of runs that removed more than a share of {reference}'s error "
        f"({scale}). A line "
        "above another one everywhere is better everywhere.",
        [csv_link("profiles", profiles)],
        material.key,
    )
    return Section("aggregate", heading, body)


def _matrix_frame(values: npt.NDArray[np.float64], names: tuple[str, ...]) -> pd.DataFrame:
    frame = pd.DataFrame(values, columns=list(names))
    frame.insert(0, "strategy", list(names))
    return frame


def _emptied(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The matrix without its diagonal, which says nothing."""
    return np.where(np.eye(values.shape[0], dtype=np.bool_), np.nan, values)


def pairs_section(material: Material) -> Section:
    """Probability of improvement and BADGE's penalty of each pair."""
    heading = "Pair by pair"
    if material.scores is None:
        return Section("pairs", heading, note(NOTHING_SHARED))
    order = np.argsort(-material.scores.area.mean(axis=(1, 2)), kind="stable")
    names = tuple(material.scores.strategies[a] for a in order)
    if len(names) < 2:
        return Section("pairs", heading, note("Left out: there is only one strategy."))
    better = improvement_matrix(material.scores)[np.ix_(order, order)]
    means = np.nanmean(_emptied(better), axis=1)
    said = "Mean probability of a larger area than another strategy: " + ", ".join(
        f"{names[a]} {means[a]:.2f}" for a in np.argsort(-means)
    )
    figure = matrix_figure(_emptied(better), names, (0.0, 1.0), True, "P(row better than column)")
    body = figure_block(
        "improvement",
        [Picture(figure, "Probability of improvement", said)],
        "Probability that the row has a larger area than the column: same corpus, same seed, ties count "
        "half. "
        "Purple: the row is ahead; orange: the column is. Strategies in the order of their mean area.",
        [csv_link("probability-of-improvement", _matrix_frame(better, names))],
    )
    try:
        beaten = penalties(material.results, material.scores)[np.ix_(order, order)]
    except ReActError as error:
        return Section("pairs", heading, body + note(f"The penalty matrix is left out. {error}"))
    means = np.nanmean(_emptied(beaten), axis=0)
    said = "Mean share of checkpoints at which a strategy is significantly beaten: " + ", ".join(
        f"{names[a]} {means[a]:.2f}" for a in np.argsort(means)
    )
    limits = (0.0, max(float(beaten.max()), 0.05))
    figure = matrix_figure(_emptied(beaten), names, limits, False, "row beats column")
    body += figure_block(
        "penalty",
        [Picture(figure, "Pairwise penalty matrix", said)],
        "Penalty matrix of Ash et al. 2020 (BADGE), divided by the number of corpora: share of "
        "checkpoints along the "
        "curve at which the row is significantly above the column (paired t-test, .05, not corrected). A "
        "pale column "
        "is rarely beaten.",
        [csv_link("penalties", _matrix_frame(beaten, names))],
    )
    return Section("pairs", heading, body)


def ranks_section(material: Material) -> Section:
    """Critical-difference diagram."""
    heading = "Ranks over corpora"
    if material.scores is None:
        return Section("ranks", heading, note(NOTHING_SHARED))
    try:
        result, p_value = ranks(material.scores)
    except ReActError as error:
        return Section("ranks", heading, note(f"The critical-difference diagram is left out: {error}."))
    names = material.scores.strategies
    order = np.argsort(result.mean_ranks, kind="stable")
    said = "Mean ranks: " + ", ".join(f"{names[a]} {result.mean_ranks[a]:.2f}" for a in order)
    frame = pd.DataFrame({"strategy": [names[a] for a in order], "mean_rank": result.mean_ranks[order]})
    frame["critical_difference"], frame["friedman_p"] = result.critical_difference, p_value
    caption = (
        f"Mean ranks of the mean areas on {len(material.scores.corpora)} corpora; 1 is best. Bars join "
        "strategies "
        "whose ranks do not differ significantly at .05 (Nemenyi). Friedman's test that all rank alike: p = "
        f"{p_value:.2g}."
    )
    picture = Picture(critical_difference_figure(result, names), "Critical-difference diagram", said)
    body = figure_block("critical", [picture], caption, [csv_link("ranks", frame)], broad=True)
    return Section("ranks", heading, body)


def cost_section(material: Material) -> Section:
    """Cost against performance."""
    heading = "Cost and performance"
    if material.scores is None:
        return Section("cost", heading, note(NOTHING_SHARED))
    results, sign = material.results, material.sign
    table = cost_performance(results, material.runs, material.curves, material.scores, material.files.seconds)
    final = f"final test {material.metric}"
    views = []
    if material.scores.reference is not None:
        axis = (f"cost until {results.reference}'s final level", final)
        views.append(("cost_to_reference", "final", axis, False, "Labelling cost to a level"))
    if table["cost"].max() > 1.01 * table["cost"].min():
        views.append(("cost", "final", ("cost spent", final), False, "Cost spent"))
    if "selection_seconds" in table and table["selection_seconds"].gt(0).any():
        axis = ("seconds for choosing rows, per run", f"area, test {material.metric}")
        views.append(("selection_seconds", "area", axis, True, "Computing time"))
    pictures = []
    for cost, value, axis, logarithmic, title in views:
        said = f"{axis[0]}, {axis[1]}: " + "; ".join(
            f"{r['strategy']} {r[cost]:.3g}, {r[value]:.3f}" for r in table.to_dict("records")
        )
        pictures.append(
            Picture(pareto_figure(table, material.looks, cost, value, sign, axis, logarithmic), title, said)
        )
    columns = [
        Column("strategy", "Strategy", False),
        Column("area", "Area"),
        Column("final", "Final"),
        Column("cost_to_reference", f"Cost to {results.reference}'s level", form=".1f"),
        Column("not_reached", "Not reached", form=".0f"),
        Column("cost", "Cost spent", form=".4g"),
    ]
    if "selection_seconds" in table:
        columns += [
            Column("selection_seconds", "Seconds choosing", form=".2g"),
            Column("training_seconds", "Seconds training", form=".2g"),
        ]
    caption = (
        "Means over corpora and seeds. The line joins the strategies that none beats in both cost and "
        "performance (diamonds). Cost to a level: where the mean curve first reaches what "
        f"{results.reference} reaches at the end, and the whole budget on corpora where it does not (counted "
        "as not reached). Seconds are of one run, measured with many runs in lockstep."
    )
    body = (
        figure_block("pareto", pictures, caption, [csv_link("cost-performance", table)])
        if pictures
        else Markup()
    )
    body += sortable_table("cost-table", "Cost and performance", table, columns)
    return Section("cost", heading, body + _reached_table(material))


def _reached_table(material: Material) -> Markup:
    """Cost at which mean curves reach shares of what all labels bring; nothing where that is not known."""
    table, results = material.table, material.results
    names = {share: column_of(share) for share in SHARES}
    if table.empty or names[SHARES[0]] not in table:
        return Markup()
    group = material.group
    rows = table[table["corpus"] == group]
    if rows[FULL].isna().all():
        return note("Cost to shares of the full-data metric: left out, not every corpus knows that metric.")
    if rows[list(names.values())].isna().all(axis=None):
        return note(
            f"No mean curve reaches {SHARES[0]:.0%} of what all labels of the pool bring "
            f"(test {material.metric} {rows[FULL].iloc[0]:.3f}) within the budget."
        )
    columns = [Column("strategy", "Strategy", False)]
    columns += [Column(name, f"Cost to {share:.0%}", form=".1f") for share, name in names.items()]
    caption = (
        f"Cost at which the mean test {material.metric} ({results.called(group).strip('()')}) reaches a "
        f"share of {rows[FULL].iloc[0]:.3f}, which all labels of the pool bring; empty where the budget ends "
        "before"
    )
    return sortable_table("reached-table", caption, rows, columns)
