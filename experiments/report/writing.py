"""`react-rl report`: one self-contained HTML file about a comparison."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pandas as pd
import yaml
from markupsafe import Markup
from pydantic import ValidationError

from react_rl.errors import ReActError
from react_rl.experiments.analysis.about import REFERENCE, about
from react_rl.experiments.analysis.diagnostics import RunFiles, read_run_files
from react_rl.experiments.analysis.numbers import aligned_scores, mean_curves, sign_of
from react_rl.experiments.analysis.summary import ALL_CORPORA, areas, read_results, summarise
from react_rl.experiments.config.learners import LEARNER_CONFIGS
from react_rl.experiments.config.models import CompareConfig
from react_rl.experiments.figures.curves import highlighted
from react_rl.experiments.figures.fonts import glyphs_checked_later
from react_rl.experiments.figures.looks import METRIC_NAMES
from react_rl.experiments.report.explanation import explanation_section
from react_rl.experiments.report.final_models import final_sections
from react_rl.experiments.report.material import Material, PlanShape
from react_rl.experiments.report.page import (
    Column,
    Section,
    code,
    csv_link,
    facts,
    file_link,
    links_line,
    page,
    paragraph,
    sortable_table,
)
from react_rl.experiments.report.phases import phases_section
from react_rl.experiments.report.policy import policy_section
from react_rl.experiments.report.sections import (
    aggregate_section,
    cost_section,
    curves_section,
    pairs_section,
    ranks_section,
)
from react_rl.experiments.report.selection import selection_section
from react_rl.experiments.report.text import counted
from react_rl.experiments.run.results import PLAN, ResultFolder
from react_rl.files import write_atomically
from react_rl.validation import validated

REPORT: Final = "report.html"
_ALPHA: Final = 0.05


def write_report(folder: Path, output: Path | None = None) -> Path:
    """Write the report of a comparison.

    Args:
        folder: ``results/NAME``.
        output: The file; the default is ``report.html`` in the folder.

    Returns:
        The file.

    Raises:
        ReActError: The folder is no comparison, has no finished run, or holds a damaged file.
    """
    target = folder / REPORT if output is None else output
    if target.is_dir():
        raise ReActError(f"The report {target} is a folder; name a file, say {target / REPORT}.")
    with glyphs_checked_later():  # drawings hold their texts as texts, and browsers find the letters
        page = build_report(folder)
    write_atomically(target, page)
    return target


def gather(folder: Path) -> Material:
    """Read a comparison and compute what several sections share.

    Raises:
        ReActError: As in ``write_report``.
    """
    results = read_results(folder)
    store = ResultFolder(folder)
    plan, _ = store.read_plan()
    table, runs = summarise(results), areas(results)
    sign = sign_of(results.metric)
    try:
        config = CompareConfig.model_validate(plan)
    except ValidationError:
        # Written by another version: the numbers stand, only the corpora cannot be loaded from it.
        config = None
        validated(PlanShape, plan, f"{folder / PLAN} is damaged; run the comparison again")
    return Material(
        folder=folder,
        plan=plan,
        config=config,
        results=results,
        table=table,
        runs=runs,
        curves=mean_curves(results),
        scores=aligned_scores(results, runs),
        files=read_run_files(store),
        shown=highlighted(table, results),
        sign=sign,
    )


def build_report(folder: Path) -> str:
    """The report as HTML; the same results give the same text.

    Raises:
        ReActError: As in ``write_report``.
    """
    material = gather(folder)
    sections = [
        _setup_section(material),
        _short_section(material),
        curves_section(material),
        phases_section(material),
        aggregate_section(material),
        pairs_section(material),
        ranks_section(material),
        cost_section(material),
        selection_section(material),
        *final_sections(material),
        policy_section(material),
        explanation_section(material),
        _numbers_section(material),
        _machine_section(material.files),
        _reproduce_section(material),
    ]
    there = [section for section in sections if section is not None]
    name = str(material.plan["name"])
    return page(f"Comparison {name}", paragraph(_headline(material), "lead"), there)


def main_group(table: pd.DataFrame) -> str:
    """The rows of the summary that stand for the whole comparison: mean of corpora, or the only corpus."""
    return ALL_CORPORA if (table["corpus"] == ALL_CORPORA).any() else str(table["corpus"].iloc[0])


def _headline(material: Material) -> str:
    results, table = material.results, material.table
    if table.empty:
        return "No seed is finished by all strategies yet, so there is nothing to compare."
    group = main_group(table)
    rows = table[table["corpus"] == group]
    fair = [about(strategy).family != REFERENCE for strategy in rows["strategy"]]
    if set(fair) == {True, False}:
        rows = rows[fair]
    row = rows.iloc[int((material.sign * rows["area"]).to_numpy().argmax())]
    metric = METRIC_NAMES.get(results.metric, results.metric)
    where = f"the mean of {len(results.corpora)} corpora" if group == ALL_CORPORA else group
    text = (
        f"On {where}, {row['strategy']} has the best area under the test {metric} curve: {row['area']:.4f} "
        f"[{row['area_low']:.4f}, {row['area_high']:.4f}] over {row['seeds']} paired seeds"
        f"{', excluding oracle references' if len(rows) < len(fair) else ''}"
    )
    if row["strategy"] == results.reference:
        return f"{text}. It is the reference; no strategy is ahead of it."
    if "difference" not in row or pd.isna(row["difference"]):
        return f"{text}."
    verdict = "significant" if row["p_holm"] <= _ALPHA else "not significant"
    return (
        f"{text}, {row['difference']:+.4f} [{row['difference_low']:+.4f}, {row['difference_high']:+.4f}] "
        "against "
        f"{results.reference} (p = {row['p_holm']:.2g} after Holm's correction: {verdict} at .05)."
    )


def _setup_section(material: Material) -> Section:
    results, plan = material.results, material.plan
    episode: dict[str, Any] = plan["episode"]
    metric = METRIC_NAMES.get(results.metric, results.metric)
    question = (
        f"Which query strategy gives the best test {metric} for the labels it pays for? "
        "Every strategy starts from the same pool, dev set and initial labels (seed k is the same draw "
        "for all), "
        "buys batches until the budget is spent, and the learner is refitted after each batch. The test "
        "split is "
        "measured for this report only: no strategy and no policy has seen it."
    )
    rows = [
        ("Corpora", ", ".join(results.corpora)),
        ("Strategies", ", ".join(results.strategies)),
        ("Reference", results.reference),
        ("Seeds", f"{plan['seeds']}, from {plan['first_seed']}"),
        ("Metric", f"test {metric}; the score of a run is the area under its curve over the budget"),
        ("Budget", f"{results.budget:g} cost units after {episode['initial_size']} free initial labels"),
        ("Batch size", str(episode["batch_size"])),
        ("Other settings of an episode", _listed(episode, {"budget", "batch_size", "initial_size"})),
        ("Encoder", _listed(plan["encoder"])),
        ("Learner", _learner(plan["learner"])),
    ]
    body = paragraph(question) + facts("setup-facts", rows)
    if results.missing:
        body += paragraph(
            f"Not finished of the plan: {counted(results.missing, 'run')}; tables use the seeds that all "
            "strategies have.",
            "note",
        )
    said = [(s, about(s, results.policies)) for s in results.strategies]
    described = pd.DataFrame(
        [(s, words.family, words.summary, words.source) for s, words in said],
        columns=["strategy", "family", "summary", "source"],
    )
    columns = [
        Column(key, key.capitalize().replace("Summary", "What it takes"), False) for key in described.columns
    ]
    return Section(
        "setup", "Question and set-up", body + sortable_table("about", "Strategies", described, columns)
    )


def _listed(values: dict[str, Any], without: Sequence[str] | set[str] = ()) -> str:
    kept = {k: v for k, v in values.items() if k not in without and v is not None and v != ""}
    return ", ".join(f"{k.replace('_', ' ')} {v}" for k, v in kept.items())


def _learner(settings: dict[str, Any]) -> str:
    """The settings of the learner that was used, without those of the kinds that were not."""
    kind = settings.get("kind", "softmax")
    # Plans of earlier versions hold the settings of all kinds.
    own = settings.get(kind, settings)
    own = own if isinstance(own, dict) else {}
    return f"{kind}: {_listed(own, {'kind', *LEARNER_CONFIGS})}"


def _columns(material: Material, corpus: bool) -> list[Column]:
    reference = material.results.reference
    columns = [
        Column("strategy", "Strategy", False),
        Column("area", "Area", low="area_low", high="area_high"),
        Column("final", "Final", low="final_low", high="final_high"),
    ]
    if "difference" in material.table:
        columns += [
            Column("difference", f"Area - {reference}", True, "difference_low", "difference_high", "+.4f"),
            Column("p_holm", "p (Holm)", form=".2g"),
            Column("wins", "Wins", form=".0f"),
            Column("ties", "Ties", form=".0f"),
            Column("losses", "Losses", form=".0f"),
        ]
    if corpus:
        columns.insert(1, Column("corpus", "Corpus", False))
        columns += [Column("labels", "Labels", form=".0f"), Column("cost", "Cost", form=".4g")]
    return columns


def with_best(table: pd.DataFrame, sign: float) -> pd.DataFrame:
    """Mark the best area and final metric of each corpus in ``best:area`` and ``best:final``."""
    marked = table.copy()
    for name in ("area", "final"):
        # As many digits as are shown: of two equal numbers both are bold.
        signed = (sign * marked[name]).round(4)
        marked[f"best:{name}"] = signed == signed.groupby(marked["corpus"]).transform("max")
    return marked


def _short_section(material: Material) -> Section:
    if material.table.empty:
        return Section("result", "Result", paragraph("No seed is finished by all strategies yet.", "note"))
    group = main_group(material.table)
    rows = with_best(material.table, material.sign)
    rows = rows[rows["corpus"] == group].sort_values("area", ascending=material.sign < 0)
    caption = (
        f"{group.strip('()').capitalize() if group == ALL_CORPORA else group}: "
        f"{int(rows['seeds'].min())} paired "
        "seeds, 95 % bootstrap intervals in brackets, the best in bold"
    )
    note = (
        "p: Wilcoxon signed-rank test of the areas against the reference over the seeds, corrected by "
        "Holm over "
        "the strategies. Wins, ties and losses count seeds. The buttons in the headings sort."
    )
    seeds = int(rows["seeds"].min())
    if 2.0 ** (1 - seeds) > _ALPHA:
        note += (
            f" {counted(seeds, 'seed')} cannot give a p below {2.0 ** (1 - seeds):.3g}, so nothing here "
            "can be significant."
        )
    best = ("best:area", "best:final")
    table = sortable_table("short-table", caption, rows, _columns(material, False), best)
    return Section("result", "Result", table + paragraph(note, "quiet"))


def _numbers_section(material: Material) -> Section:
    if material.table.empty:
        return Section(
            "numbers", "All numbers", paragraph("No seed is finished by all strategies yet.", "note")
        )
    caption = "Every corpus and strategy, with 95 % bootstrap intervals; the best of each corpus in bold"
    best = ("best:area", "best:final")
    rows = with_best(material.table, material.sign)
    table = sortable_table("all-table", caption, rows, _columns(material, True), best)
    runs = material.runs
    links = [csv_link("summary", material.table, "This table")]
    links += [
        csv_link(f"runs-{i}", runs[runs["corpus"] == corpus], f"Runs on {corpus}")
        for i, corpus in enumerate(material.results.corpora, start=1)
    ]
    note = "The curves of single runs are in curves.csv beside this report, and can be drawn from it again."
    return Section("numbers", "All numbers", table + links_line(links) + paragraph(note, "quiet"))


def _machine_section(files: RunFiles) -> Section:
    heading = "Versions and hardware"
    if not files.circumstances:
        note = "Left out: the circumstances of the runs are not in the results folder."
        return Section("machine", heading, paragraph(note, "note"))
    body = Markup()
    total = sum(count for _, count in files.circumstances)
    for i, (around, count) in enumerate(files.circumstances):
        versions = ", ".join(f"{name} {version}" for name, version in around.get("versions", {}).items())
        dirty = {True: ", with changes that were not committed", False: "", None: ""}[around.get("git_dirty")]
        known = [
            ("Runs", f"{count} of {total}"),
            ("Versions", versions),
            ("Processor", around.get("processor")),
            ("Arithmetic", around.get("arithmetic")),
            ("GPU", around.get("gpu") or "none used"),
            ("Device", around.get("device")),
            ("System", around.get("platform")),
            (
                "Code",
                f"commit {around['git_commit']}{dirty}" if around.get("git_commit") else "no repository",
            ),
        ]
        body += facts(f"machine-{i}", [(name, str(value)) for name, value in known if value])
    rows = [
        {"runs": count} | {k: v for k, v in around.items() if k != "versions"} | around.get("versions", {})
        for around, count in files.circumstances
    ]
    return Section("machine", heading, body + links_line([csv_link("circumstances", pd.DataFrame(rows))]))


def _reproduce_section(material: Material) -> Section:
    name = str(material.plan["name"])
    config = yaml.safe_dump(material.plan, sort_keys=False, allow_unicode=True, width=100)
    parent, folder = material.folder.parent, material.folder
    commands = f"react-rl compare {name}.yaml --results {parent}\nreact-rl report {folder}\n"
    trained = set(material.results.policies.values())
    policies = [name for name in material.plan["strategies"] if name in trained]
    body = paragraph(f"Save the config below as {name}.yaml, then:") + code(commands)
    if policies:
        body += paragraph(
            "The comparison uses trained policies, which must be where the config says: "
            f"{', '.join(policies)}. "
            "`react-rl train` trains a policy (`react-rl demo` the one of the demo)."
        )
    body += code(config) + links_line([file_link(f"{name}.yaml", config, "Save the config")])
    body += paragraph("The same config, version and kind of machine give the same run files, byte for byte.")
    return Section("reproduce", "Reproduce it", body)
