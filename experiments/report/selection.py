"""The section of a report on what the strategies bought: overlap, class balance, a map of one pool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import pandas as pd
from markupsafe import Markup

from react_rl.data.corpus import Corpus
from react_rl.errors import ReActError
from react_rl.experiments.analysis.diagnostics import (
    PoolMap,
    Purchases,
    changed_since,
    class_balance,
    load_corpora,
    overlaps,
    pool_map,
    redraw,
)
from react_rl.experiments.figures.curves import balance_panel, overlap_panel
from react_rl.experiments.figures.pairs import MOST_DOTS, map_figure, matrix_figure, round_colours
from react_rl.experiments.report.material import Material
from react_rl.experiments.report.page import (
    Picture,
    Section,
    choice,
    csv_link,
    figure_block,
    note,
    notes,
    parts,
    tone_scale,
)
from react_rl.experiments.run.results import ResultFolder
from react_rl.simulation.draw import Draw

_NO_RUNS: Final = (
    "Left out: the run files are no longer in the results folder, and only they say what was bought."
)
_MOST_MAPS: Final = 8


def _overlap_part(material: Material) -> Markup:
    """Overlap of purchases between strategies."""
    if not material.files.purchases:
        return note(_NO_RUNS)
    names, results = list(material.results.strategies), material.results
    frame = overlaps(material.files.purchases, names)
    if frame.empty:
        return note("Left out: no two strategies have finished the same seed.")
    pooled = frame.groupby(["round", "strategy", "other"], as_index=False)["jaccard"].mean()
    end = pooled[pooled["round"] == pooled["round"].max()]
    matrix = end.pivot(index="strategy", columns="other", values="jaccard").reindex(
        index=names, columns=names
    )
    values = matrix.to_numpy(float)
    top = end[end["strategy"] < end["other"]].nlargest(3, "jaccard")
    said = "Largest overlaps: " + ", ".join(
        f"{r['strategy']} and {r['other']} {r['jaccard']:.2f}" for r in top.to_dict("records")
    )
    figure = matrix_figure(values, names, (0.0, 1.0), False, "Jaccard index of bought rows")
    body = figure_block(
        "overlap",
        [Picture(figure, "Overlap at the end of the budget", said)],
        "Rows that both strategies bought over rows that either bought, until the end of the budget; "
        "same seed, mean "
        "over seeds and corpora. The initial labels do not count.",
        [csv_link("overlap-by-round", pooled[pooled["strategy"] < pooled["other"]], "All pairs by round")],
    )
    reference = results.reference
    if reference in names:
        pictures, links = [], []
        for i, corpus in enumerate(results.corpora, start=1):
            own = frame[(frame["corpus"] == corpus) & (frame["other"] == reference)]
            if own.empty:
                continue
            last = own[own["round"] == own["round"].max()]
            said = f"At the end: {_listed(last, 'jaccard')}."
            figure = overlap_panel(frame, corpus, material.looks, material.shown, reference)
            pictures.append(Picture(figure, f"Overlap with {reference} on {corpus}", said))
            links.append(csv_link(f"overlap-{i}", own, corpus))
        caption = f"The same with {reference}, by round: everything bought so far."
        body += figure_block("overlap-rounds", pictures, caption, links, material.key, before_links="CSV:")
    return body


@dataclass(frozen=True)
class PlayedPool:
    """A corpus of the plan as it can be had now, with its runs.

    Args:
        corpus: The corpus, the same that was played on.
        draw: The first run's episode, drawn again.
        runs: The runs on it.
    """

    corpus: Corpus
    draw: Draw
    runs: list[Purchases]


def selection_section(material: Material) -> Section:
    """Overlap, class balance and map, or a sentence for each that says why it is left out."""
    played, reasons = _played(material)
    found = {
        "Overlap between strategies": _overlap_part(material),
        "Class balance": _balance_part(material, played, reasons),
        "Map of one pool": _map_part(material, played),
    }
    return Section("selection", "What the strategies bought", parts(found))


def _played(material: Material) -> tuple[list[PlayedPool], list[str]]:
    """The corpora that can be had and fit their runs, and why others cannot."""
    runs: dict[str, list[Purchases]] = {}
    for run in material.files.purchases:
        runs.setdefault(run.corpus, []).append(run)
    if not runs:
        return [], []
    if material.config is None:
        return [], ["this version cannot read the config, and so not load the corpora"]
    corpora, reasons = load_corpora(material.config, ResultFolder(material.folder).corpora())
    played = []
    for name, own in runs.items():
        if name not in corpora:
            continue
        draw = redraw(corpora[name], material.config, own[0])
        if draw is None:
            reasons.append(changed_since(name))
        else:
            played.append(PlayedPool(corpora[name], draw, own))
    return played, reasons


def _balance_part(material: Material, played: Sequence[PlayedPool], reasons: Sequence[str]) -> Markup:
    if not material.files.purchases:
        return note(_NO_RUNS)
    pictures, links = [], []
    for i, one in enumerate(played, start=1):
        name, balance = one.corpus.name, class_balance(one.corpus, one.runs)
        train = replace(one.runs[0], initial=one.corpus.ids("train").tolist(), batches=[])
        even = float(class_balance(one.corpus, [train])["evenness"].iloc[0])
        last = balance.loc[balance.groupby("strategy", sort=False)["labels"].idxmax()]
        said = f"Train rows: {even:.3f}. At the end: {_listed(last, 'evenness')}."
        figure = balance_panel(balance, name, material.looks, material.shown, even)
        pictures.append(Picture(figure, f"Class balance on {name}", said))
        links.append(csv_link(f"class-balance-{i}", balance, name))
    body = Markup()
    if pictures:
        caption = (
            "Evenness of the classes in the labelled set: entropy of the class shares over its largest "
            "value; "
            "1 is even. Mean over seeds. Dashed: the train rows of the corpus."
        )
        before = "CSV, with the share of each class:"
        body = figure_block("balance", pictures, caption, links, material.key, before_links=before)
    return body + notes(f"Left out where labels cannot be had now: {one.rstrip('.')}." for one in reasons)


def _map_part(material: Material, played: Sequence[PlayedPool]) -> Markup:
    """A map for each corpus, of which the reader chooses one."""
    if not material.files.purchases:
        return note(_NO_RUNS)
    maps: list[tuple[str, Markup]] = []
    reasons: dict[str, list[str]] = {}
    for i, one in enumerate(played, start=1):
        assert material.config is not None
        try:
            pool = pool_map(one.corpus, material.config, one.draw, one.runs[0].seed)
        except (ReActError, OSError) as error:
            reasons.setdefault(str(error).rstrip("."), []).append(one.corpus.name)
        else:
            maps.append((one.corpus.name, _map_of(material, pool, one.runs, f"map-{i}")))
    if not played:
        return note("Left out: no corpus of the plan can be loaded now.")
    left_out = notes(f"Left out for {', '.join(names)}: {why}." for why, names in reasons.items())
    return (choice("map", "Corpus", maps) if maps else Markup()) + left_out


def _map_of(material: Material, pool: PoolMap, runs: Sequence[Purchases], anchor: str) -> Markup:
    """The map of one pool with the picks of the strategies that are in colour elsewhere."""
    own = {run.strategy: run for run in runs if run.seed == pool.seed}
    shown = [s for s in material.shown if s in own][:_MOST_MAPS]
    colours = round_colours(max((len(run.batches) for run in own.values()), default=1) or 1)
    pictures = [
        Picture(map_figure(pool, own[s], colours), f"Picks of {s} on {pool.corpus}", _spread(pool, own[s]))
        for s in shown
    ]
    caption = (
        f"The pool of {pool.corpus} with seed {pool.seed}, on the two principal components of its embeddings "
        f"({pool.explained:.0%} of the variance). Grey: pool. Crosses: initial labels. Dots: bought rows, "
        "darker in later rounds."
    )
    if pool.ids.size > MOST_DOTS:
        caption = caption.replace("Grey: pool.", "Grey: a part of the pool.")
    if len(own) > len(shown):
        caption += " Further strategies are in the CSV file."
    return figure_block(
        anchor,
        pictures,
        caption,
        [csv_link(f"pool-{anchor}", _map_frame(pool, own))],
        tone_scale(colours, "round 1", f"round {len(colours)}"),
    )


def _spread(pool: PoolMap, run: Purchases) -> str:
    """Say in words how far the picks reach."""
    bought = {row for batch in run.batches for row in batch}
    picked = np.isin(pool.ids, sorted(bought))
    if not picked.any():
        return "Nothing was bought."
    centre = pool.position.mean(axis=0)
    far = np.linalg.norm(pool.position - centre, axis=1)
    return (
        f"{int(picked.sum())} of {pool.ids.size} rows bought; their mean distance from the pool's centre is "
        f"{far[picked].mean() / far.mean():.2f} times that of the pool."
    )


def _map_frame(pool: PoolMap, runs: Mapping[str, Purchases]) -> pd.DataFrame:
    """Row id, class and place of each pool row, and in which round each strategy bought it (0: initial)."""
    frame = pd.DataFrame(
        {"row": pool.ids, "class": pool.targets, "x": pool.position[:, 0], "y": pool.position[:, 1]}
    )
    for strategy, run in runs.items():
        rounds = {row: 0 for row in run.initial}
        rounds |= {row: r for r, batch in enumerate(run.batches, start=1) for row in batch}
        frame[f"round:{strategy}"] = frame["row"].map(rounds).astype("Int64")
    return frame


def _listed(frame: pd.DataFrame, column: str) -> str:
    return ", ".join(f"{s} {v:.2f}" for s, v in zip(frame["strategy"], frame[column], strict=True))
