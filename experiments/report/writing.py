"""`react-rl report`: one self-contained HTML file about a comparison."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import pandas as pd
import yaml
from markupsafe import Markup
from pydantic import ValidationError

from react_rl.errors import ReActError
from react_rl.experiments.analysis.about import REFERENCE, about
from react_rl.experiments.analysis.diagnostics import RunFiles, read_run_files
from react_rl.experiments.analysis.numbers import aligned_scores, mean_curves, sign_of
from react_rl.experiments.analysis.summary import (
    ALL_CORPORA,
    areas,
    read_tasks,
    summarise,
    summary_of,
)
from react_rl.experiments.config.models import CompareConfig
from react_rl.experiments.figures.fonts import glyphs_checked_later
from react_rl.experiments.figures.learning import leaders
from react_rl.experiments.report.explanation import explanation_section
from react_rl.experiments.report.final_models import final_sections
from react_rl.experiments.report.material import Material, PlanShape, ReportMaterial
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
from react_rl.experiments.report.setup import setup_section
from react_rl.experiments.report.text import counted
from react_rl.experiments.run.results import PLAN, ResultFolder
from react_rl.files import write_atomically
from react_rl.validation import validated

REPORT: Final = "report.html"
_ALPHA: Final = 0.05

Builder = Callable[[Material], Sequence[Section]]
"""What makes sections on the corpora of one task; none where there is nothing to say."""


def write_report(folder: str | Path, output: str | Path | None = None) -> Path:
    """Write the report of a comparison.

    Args:
        folder: ``results/NAME``.
        output: The file; the default is ``report.html`` in the folder.

    Returns:
        The file.

    Raises:
        ReActError: The folder is no comparison, has no finished run, or holds a damaged file.
    """
    target = Path(folder) / REPORT if output is None else Path(output)
    if target.is_dir():
        raise ReActError(f"The report {target} is a folder; name a file, say {target / REPORT}.")
    with glyphs_checked_later():  # drawings hold their texts as texts, and browsers find the letters
        page = build_report(Path(folder))
    write_atomically(target, page)
    return target


def gather(folder: Path) -> ReportMaterial:
    """Read a comparison and compute what several sections share.

    Raises:
        ReActError: As in ``write_report``.
    """
    store = ResultFolder(folder)
    plans = {task: config for task, (config, _) in store.read_tasks().items()}
    every = read_tasks(folder)
    tables = [summarise(results) for results in every]
    shown = leaders(list(zip(every, tables, strict=True)), families=False)
    tasks = []
    for results, table in zip(every, tables, strict=True):
        plan, runs = plans[results.task], areas(results)
        try:
            config = CompareConfig.model_validate(plan)
        except ValidationError:
            # Written by another version: the numbers stand, only the corpora cannot be loaded from it.
            config = None
            validated(PlanShape, plan, f"{folder / PLAN} is damaged; run the comparison again")
        tasks.append(
            Material(
                folder=folder,
                plan=plan,
                config=config,
                results=results,
                table=table,
                runs=runs,
                curves=mean_curves(results),
                scores=aligned_scores(results, runs),
                files=read_run_files(store, results.corpora),
                shown=[one for one in shown if one in results.strategies],
                sign=sign_of(results.metric),
            )
        )
    return ReportMaterial(folder, store.read_plan()[0], tasks, read_run_files(store))


def build_report(folder: Path) -> str:
    """The report as HTML; the same results give the same text.

    Raises:
        ReActError: As in ``write_report``.
    """
    whole = gather(folder)
    sections = [
        setup_section(whole),
        *_of_each_task(whole, (_short_section,)),
        *_of_each_task(whole, _SECTIONS),
        explanation_section(whole.folder),
        *_of_each_task(whole, (_numbers_section,)),
        _machine_section(whole.files),
        _reproduce_section(whole),
    ]
    there = [section for section in sections if section is not None]
    lead = Markup().join(paragraph(_headline(material), "lead") for material in whole.tasks)
    return page(f"Comparison {whole.plan['name']}", lead, there)


def _of_each_task(whole: ReportMaterial, builders: Sequence[Builder]) -> list[Section]:
    """Sections on the corpora of each task; where there are several, their headings name it."""
    found = []
    for material in whole.tasks:
        built = [section for build in builders for section in build(material)]
        task = material.results.task
        found += [section.of_task(task) for section in built] if task else built
    return found


def _headline(material: Material) -> str:
    results, table = material.results, material.table
    if table.empty:
        return "No seed is finished by all strategies yet, so there is nothing to compare."
    group = material.group
    rows = table[table["corpus"] == group]
    fair = [about(strategy).family != REFERENCE for strategy in rows["strategy"]]
    if set(fair) == {True, False}:
        rows = rows[fair]
    row = rows.iloc[int((material.sign * rows["area"]).to_numpy().argmax())]
    kind = f"{results.task} corpora" if results.task else "corpora"
    where = f"the mean of {len(results.corpora)} {kind}" if group == ALL_CORPORA else group
    text = (
        f"On {where}, {row['strategy']} has the best area under the test {material.metric} curve: "
        f"{row['area']:.4f} [{row['area_low']:.4f}, {row['area_high']:.4f}] over {row['seeds']} paired seeds"
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


def _short_section(material: Material) -> list[Section]:
    if material.table.empty:
        none = paragraph("No seed is finished by all strategies yet.", "note")
        return [Section("result", "Result", none)]
    group = material.group
    rows = with_best(material.table, material.sign)
    rows = rows[rows["corpus"] == group].sort_values("area", ascending=material.sign < 0)
    caption = (
        f"{_written(material, group)}: "
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
    return [Section("result", "Result", table + paragraph(note, "quiet"))]


def _written(material: Material, group: str) -> str:
    called = material.results.called(group)
    return called.strip("()").capitalize() if group == ALL_CORPORA else called


def _numbers_section(material: Material) -> list[Section]:
    if material.table.empty:
        none = paragraph("No seed is finished by all strategies yet.", "note")
        return [Section("numbers", "All numbers", none)]
    caption = "Every corpus and strategy, with 95 % bootstrap intervals; the best of each corpus in bold"
    best = ("best:area", "best:final")
    rows = with_best(summary_of(material.results, material.table), material.sign)
    table = sortable_table("all-table", caption, rows, _columns(material, True), best)
    runs = material.runs
    links = [csv_link("summary", summary_of(material.results, material.table), "This table")]
    links += [
        csv_link(f"runs-{i}", runs[runs["corpus"] == corpus], f"Runs on {corpus}")
        for i, corpus in enumerate(material.results.corpora, start=1)
    ]
    note = "The curves of single runs are in curves.csv beside this report, and can be drawn from it again."
    return [Section("numbers", "All numbers", table + links_line(links) + paragraph(note, "quiet"))]


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


def _reproduce_section(whole: ReportMaterial) -> Section:
    name = str(whole.plan["name"])
    config = yaml.safe_dump(whole.plan, sort_keys=False, allow_unicode=True, width=100)
    parent, folder = whole.folder.parent, whole.folder
    commands = f"react-rl compare {name}.yaml --results {parent}\nreact-rl report {folder}\n"
    trained = set(whole.policies.values())
    policies = [name for name in whole.plan["strategies"] if name in trained]
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


_SECTIONS: Final[tuple[Builder, ...]] = (
    lambda material: [curves_section(material)],
    phases_section,
    lambda material: [aggregate_section(material)],
    lambda material: [pairs_section(material)],
    lambda material: [ranks_section(material)],
    lambda material: [cost_section(material)],
    lambda material: [selection_section(material)],
    final_sections,
    policy_section,
)
"""What is said of the corpora of one task, in this order."""
