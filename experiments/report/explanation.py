"""Explanations of policies as a section of the report, and as a page of Markdown tables."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pandas as pd
from markupsafe import Markup

from react_rl.errors import ReActError
from react_rl.experiments.analysis.summary import titled
from react_rl.experiments.explain.drivers import EFFECTS, METHODS
from react_rl.experiments.explain.folder import Explanation, explanations_in, read_explanation
from react_rl.experiments.explain.situations import PHASES
from react_rl.experiments.figures.explanation import (
    decision_label,
    decision_looks,
    explanation_figures,
    strongest,
)
from react_rl.experiments.figures.looks import metric_name
from react_rl.experiments.figures.page import SCREEN
from react_rl.experiments.report.page import (
    Column,
    Picture,
    Section,
    csv_link,
    figure_block,
    note,
    paragraph,
    parts,
    sortable_table,
)
from react_rl.experiments.report.text import Cell, TextTable, markdown

_SCORING: Final = ("scorer", "candidates")
"""Kinds of policies that are networks over rows."""


def explanation_section(folder: Path) -> Section | None:
    """What policies do and why, from the explanations beside a comparison; None where there is none.

    Args:
        folder: The comparison.
    """
    folders = explanations_in(folder)
    if not folders:
        return None
    shown: dict[str, Markup] = {}
    for number, own in enumerate(folders, start=1):
        try:
            explanation = read_explanation(own)
        except ReActError as error:
            shown[own.name] = note(str(error))
            continue
        shown[explanation.facts.policy] = _explained(explanation, f"explained-{number}")
    return Section("explained", "What policies do, and why", parts(shown))


def _explained(explanation: Explanation, anchor: str) -> Markup:
    facts = explanation.facts
    body = paragraph(said(explanation))
    links = [
        csv_link(f"{anchor}-{name}", getattr(explanation, name), name)
        for name in ("decisions", "drivers", "fidelity", "areas")
    ]
    figures = explanation_figures(explanation, SCREEN)
    pictures = [Picture(figure, *_WORDS[name]) for name, figure in figures.items()]
    for place, picture in enumerate(pictures):
        last = place == len(pictures) - 1
        body += figure_block(
            f"{anchor}-{place}", [picture], _caption(picture), links if last else (), broad=True,
            before_links="CSV:" if last else "",
        )  # fmt: skip
    columns = [
        Column("terms", "Terms", form=".0f"),
        Column("strategy", "Formula", False),
        Column("rank_correlation", "Rank correlation", form=".2f"),
        Column("same_pick", "Same first pick", form=".2f"),
        Column("in_batch", "In the batch", form=".2f"),
        Column("difference", "Area - policy", True, "low", "high", "+.4f"),
        Column("kept", "Gain kept", form=".2f"),
    ]
    order = [columns[1], columns[0], *columns[2:]]
    body += sortable_table(f"{anchor}-formulas", "Formulas that come near it", explanation.formulas, order)
    heads = (("text", "Text"), ("phase", "Phase"), ("corpus", "Corpus"), ("label", "Label"))
    columns = [Column(key, head, False) for key, head in heads]
    columns += [Column("times", "Bought", form=".0f"), Column("leading", "Leading features", False)]
    caption = f"Typical picks of each third of the budget, over {facts.explained_seeds} seeds"
    return body + sortable_table(f"{anchor}-picks", caption, explanation.picks, columns)


_WORDS: Final = {
    "decisions": (
        "Decisions over the budget",
        "What the policy decides, by cost spent: weights of features, or shares of choices.",
    ),
    "drivers": (
        "Drivers",
        "How often the first pick (or the decision) changes when one number is set to its mean.",
    ),
    "formula": (
        "Formulas",
        "Left: how near formulas of one to five features come. Right: what they lose when they play.",
    ),
}


def _caption(picture: Picture) -> str:
    return f"{picture.description} {picture.figure.get_label()}."


def said(explanation: Explanation) -> str:
    """An explanation in a few sentences."""
    facts, last = explanation.facts, explanation.formulas.iloc[-1]
    names = strongest(explanation)
    sentences = [
        f"{facts.policy} was played on {', '.join(facts.corpora)}; {facts.situations:,} of its choices are "
        f"explained. Most depends on {', '.join(names[:3])}."
    ]
    if facts.linear_share is not None and facts.kind in _SCORING:
        sentences.append(
            f"The linear part with its gate explains {facts.linear_share:.0%} of the variance of its scores "
            "within a pool."
        )
    metric = metric_name(facts.metric)
    near = [] if pd.isna(last["rank_correlation"]) else [f"rank correlation {last['rank_correlation']:.2f}"]
    near.append(f"its first row is in the policy's batch in {last['in_batch']:.0%} of the choices")
    sentences.append(
        f"A formula of {last['terms']:.0f} terms, played as `{facts.formula}`, comes near it "
        f"({', '.join(near)}) and differs by {last['difference']:+.4f} "
        f"[{last['low']:+.4f}, {last['high']:+.4f}] in area under the test {metric} curve over {facts.seeds} "
        "paired seeds."
    )
    return " ".join(sentences)


def explanation_markdown(explanation: Explanation) -> str:
    """An explanation as a page of Markdown: a few sentences and the tables."""
    title = f"# What {explanation.facts.policy} does, and why\n"
    decided = [] if explanation.decisions.empty else [_decision_table(explanation)]
    found = [_driver_table(explanation), _formula_table(explanation), _area_table(explanation)]
    tables = markdown([*decided, *found])
    picks = markdown([_pick_table(explanation, phase) for phase in PHASES])
    return "\n".join([title, said(explanation) + "\n", tables, picks])


def _decision_table(explanation: Explanation) -> TextTable:
    """What is decided in each third of the budget, mean over corpora, the largest first."""
    table, budget = explanation.decisions, float(explanation.facts.episode["budget"])
    third = (table["spent"] / budget * len(PHASES) + 1e-9).astype(int).clip(upper=len(PHASES) - 1)
    means = table.assign(phase=[PHASES[place] for place in third]).groupby(["what", "phase"])["mean"].mean()
    looks = decision_looks(explanation)
    rows = [[Cell(name), *(_number(means.get((name, phase))) for phase in PHASES)] for name in looks]
    caption = f"What it decides by third of the budget ({decision_label(explanation)}), mean over corpora."
    return TextTable(caption, ["", *PHASES], rows)


def _driver_table(explanation: Explanation) -> TextTable:
    """Effects of the strongest inputs by phase, mean over corpora, with those of permutation."""
    table = explanation.drivers
    means = table.groupby(["input", "method", "phase"], sort=False)[list(EFFECTS)].mean()
    shown = [one for one in EFFECTS if table[one].notna().any()]
    if explanation.facts.kind in _SCORING:
        shown = shown[:2]  # their weights are a part of their scores
    words = {"pick_changed": "picks changed", "rank_lost": "rank lost", "decision_changed": "decisions moved"}
    head = ["without", *(f"{words[shown[0]]}, {phase}" for phase in PHASES)]
    head += [words[one] for one in shown[1:]] + [f"{words[shown[0]]}, permuted"]
    rows = []
    for name in strongest(explanation):
        own = means.loc[name]
        ablated = own.loc[METHODS[0]]
        cells = [_number(ablated[shown[0]].get(phase)) for phase in PHASES]
        cells += [_number(ablated[one].mean()) for one in shown[1:]]
        rows.append([Cell(name), *cells, _number(own.loc[METHODS[1]][shown[0]].mean())])
    caption = (
        "What changes when one number is set to its mean (features over the pool, numbers of the context "
        "over all choices): share of choices with another first pick, and by how much the rank correlation "
        "of the scores falls short of 1; mean over corpora."
    )
    return TextTable(caption, head, rows)


def _formula_table(explanation: Explanation) -> TextTable:
    rows = []
    for row in explanation.formulas.to_dict("records"):
        rows.append(
            [
                Cell(str(row["strategy"])),
                _number(row["rank_correlation"]),
                _number(row["same_pick"]),
                _number(row["in_batch"]),
                Cell(f"{row['difference']:+.4f}", (row["low"], row["high"]), form="+.4f"),
                _number(row["kept"]),
            ]
        )
    head = ["formula", "rank correlation", "same first pick", "first pick in the batch"]
    caption = (
        "Formulas by forward selection, measured on choices that they were not fitted to, and their area "
        f"minus the policy's over {explanation.facts.seeds} paired seeds [95 % interval]; the gain kept is "
        "the share of the policy's gain over random."
    )
    return TextTable(caption, [*head, "area - policy", "gain kept"], rows)


def _area_table(explanation: Explanation) -> TextTable:
    groups = list(dict.fromkeys(explanation.areas["corpus"]))
    wide = explanation.areas.set_index(["strategy", "corpus"])
    rows = []
    for strategy in dict.fromkeys(explanation.areas["strategy"]):
        cells = [Cell(strategy)]
        for corpus in groups:
            row = wide.loc[(strategy, corpus)]
            interval = None if strategy == explanation.facts.policy else (row["low"], row["high"])
            shown = row["area"] if interval is None else row["difference"]
            cells.append(Cell(f"{shown:{'.4f' if interval is None else '+.4f'}}", interval, form="+.4f"))
        rows.append(cells)
    caption = "Area of the policy, and the differences of the others to it, by corpus."
    return TextTable(caption, ["strategy", *(titled(name) for name in groups)], rows)


def _pick_table(explanation: Explanation, phase: str) -> TextTable:
    own = explanation.picks[explanation.picks["phase"] == phase]
    keys = ("corpus", "text", "label", "leading")
    rows = [[Cell(str(row[key])) for key in keys] for row in own.to_dict("records")]
    return TextTable(f"Typical picks, {phase}", ["corpus", "text", "label", "leading features"], rows)


def _number(value: float | None) -> Cell:
    return Cell("" if value is None or pd.isna(value) else f"{value:.2f}")
