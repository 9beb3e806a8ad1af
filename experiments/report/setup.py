"""The section of a report that says what was asked, and how the corpora of each task are played."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from react_rl.experiments.analysis.about import about
from react_rl.experiments.config.learners import LEARNER_CONFIGS
from react_rl.experiments.figures.learning import contestants_of
from react_rl.experiments.report.material import Material, ReportMaterial
from react_rl.experiments.report.page import Column, Section, facts, paragraph, sortable_table
from react_rl.experiments.report.text import counted


def setup_section(whole: ReportMaterial) -> Section:
    """The question, the settings of each task, and the strategies."""
    tasks, plan = whole.tasks, whole.plan
    metrics = " and the best test ".join(dict.fromkeys(material.metric for material in tasks))
    question = (
        f"Which query strategy gives the best test {metrics} for the labels it pays for? "
        "Every strategy starts from the same pool, dev set and initial labels (seed k is the same draw "
        "for all), "
        "buys batches until the budget is spent, and the learner is refitted after each batch. The test "
        "split is "
        "measured for this report only: no strategy and no policy has seen it."
    )
    strategies = contestants_of([material.results for material in tasks])
    corpora = [", ".join(material.results.corpora) for material in tasks]
    rows = [
        *zip(_heads(tasks, "Corpora"), corpora, strict=True),
        ("Strategies", ", ".join(strategies)),
        ("Reference", tasks[0].results.reference),
        ("Seeds", f"{plan['seeds']}, from {plan['first_seed']}"),
        *[row for own in zip(*map(_played, tasks), strict=True) for row in _once(tasks, own)],
    ]
    body = paragraph(question) + facts("setup-facts", rows)
    if len(tasks) > 1:
        body += paragraph(
            "Metrics of different tasks have no common scale. So means over corpora, differences, tests and "
            "ranks are of the corpora of one task: paired differences are pooled over those of "
            f"{', of '.join(material.results.task for material in tasks)}, never over all."
        )
    missing = sum(material.results.missing for material in tasks)
    if missing:
        body += paragraph(
            f"Not finished of the plan: {counted(missing, 'run')}; tables use the seeds that all "
            "strategies have.",
            "note",
        )
    said = [(s, about(s, whole.policies)) for s in strategies]
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


def _played(material: Material) -> list[tuple[str, str]]:
    """How the corpora of one task are played."""
    results, plan = material.results, material.plan
    episode: dict[str, Any] = plan["episode"]
    metric = f"test {material.metric}; the score of a run is the area under its curve over the budget"
    return [
        ("Metric", metric),
        ("Budget", f"{results.budget:g} cost units after {episode['initial_size']} free initial labels"),
        ("Batch size", str(episode["batch_size"])),
        ("Other settings of an episode", _listed(episode, {"budget", "batch_size", "initial_size"})),
        ("Encoder", _listed(plan["encoder"])),
        ("Learner", _learner(plan["learner"])),
    ]


def _once(tasks: Sequence[Material], rows: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """What is alike for all tasks in one row, and otherwise a row for each."""
    if len({value for _, value in rows}) == 1:
        return [rows[0]]
    return [(head, value) for head, (_, value) in zip(_heads(tasks, rows[0][0]), rows, strict=True)]


def _heads(tasks: Sequence[Material], name: str) -> list[str]:
    return [f"{name} ({one.results.task})" if one.results.task else name for one in tasks]


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
