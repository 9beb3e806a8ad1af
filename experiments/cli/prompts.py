"""`react-rl prompts`: templates and words that do best on some labelled rows, and what the model reads."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.markup import escape
from rich.table import Table

from react_rl.data.corpus import Corpus
from react_rl.errors import ReActError
from react_rl.escaping import for_terminal
from react_rl.experiments.cli.screen import console
from react_rl.experiments.config.models import CompareConfig, load_config
from react_rl.experiments.run.results import slug
from react_rl.files import canonical_json, write_atomically
from react_rl.learners.prompts.search import CANDIDATES, rank_templates, suggest_words
from react_rl.learners.prompts.settings import PromptSettings
from react_rl.learners.prompts.trace import trace
from react_rl.simulation.corpora import load

FOLDER: Final = "prompts"


def run_prompts(known: argparse.Namespace, overrides: list[str]) -> int:
    """Search a template and words for each corpus of a config; returns the exit status.

    Raises:
        ReActError: The learner is no prompt, or a corpus is not of classification or has too few rows.
    """
    config = load_config(CompareConfig, known.config, overrides)
    settings = config.learner.settings()
    if not isinstance(settings, PromptSettings):
        raise ReActError(
            f"learner.kind is {config.learner.kind}, which reads no template; set learner.kind to prompt."
        )
    if settings.answers != "gap":
        raise ReActError(
            f"learner.prompt.answers is {settings.answers}, and the search looks into gaps; set it to gap "
            "and name a masked language model."
        )
    for key in ("labels", "traces"):
        if getattr(known, key) < 1:
            raise ReActError(f"--{key} {getattr(known, key)} leaves nothing to look at; give 1 at least.")
    candidates = tuple(dict.fromkeys((*settings.templates, *known.templates, *CANDIDATES)))
    for one in config.corpora:
        corpus = load(one)
        found = search(settings, corpus, known.labels, known.traces, known.seed, candidates)
        path = known.results / config.name / FOLDER / f"{slug(corpus.name)}.json"
        write_atomically(path, canonical_json(found) + "\n")
        _show(corpus.name, found, path)
    return 0


def search(
    settings: PromptSettings, corpus: Corpus, labels: int, traces: int, seed: int, candidates: tuple[str, ...]
) -> dict[str, Any]:
    """What is found on so many labelled train rows, drawn evenly; nothing is trained, no test row is read.

    Args:
        settings: Model and words.
        corpus: A corpus of classification.
        labels: Rows whose labels are looked at.
        traces: Of these, how many are followed through all stages.
        seed: Draws the rows.
        candidates: Templates.

    Returns:
        Plain values: row ids; ranked templates; suggested words by class; traces with the best template.

    Raises:
        ReActError: The corpus is not of classification, or has too few rows.
    """
    if corpus.task != "classification":
        raise ReActError(f"Corpus {corpus.name!r} is of {corpus.task}; templates are for classification.")
    train = corpus.ids("train")
    if labels > train.size:
        raise ReActError(f"--labels {labels} is more than the {train.size} train rows of {corpus.name!r}.")
    rows = np.sort(np.random.default_rng(seed).choice(train, labels, replace=False))
    texts, classes = [corpus.texts[row] for row in rows], corpus.targets[rows]
    ranked = rank_templates(settings, texts, classes, corpus.label_names, candidates)
    best = settings.model_copy(update={"templates": (ranked[0].template,)})
    followed = trace(best, texts, corpus.label_names)[:traces]
    return {
        "corpus": corpus.name,
        "rows": rows.tolist(),
        "templates": [asdict(one) for one in ranked],
        "words": {
            name: list(own) for name, own in suggest_words(best, texts, classes, corpus.label_names).items()
        },
        "traces": [one.as_dict() for one in followed],
    }


def _show(corpus: str, found: dict[str, Any], path: Path) -> None:
    table = Table(box=None, pad_edge=False)
    for column in ("template", "right", "log-loss"):
        table.add_column(column, justify="left" if column == "template" else "right")
    for one in found["templates"]:
        name = escape(for_terminal(one["template"]))
        table.add_row(name, f"{one['accuracy']:.3f}", f"{one['log_loss']:.3f}")
    console.print(f"{for_terminal(corpus)}: {len(found['rows'])} labelled rows", markup=False)
    console.print(table)
    console.print("Words that the model expects in one class more than in the others:", highlight=False)
    for name, words in found["words"].items():
        console.print(f"  {for_terminal(name)}: {', '.join(words)}", highlight=False, markup=False)
    for one in found["traces"]:
        expected = ", ".join(f"{word} {p:.2f}" for word, p in one["expected"])
        said = ", ".join(f"{name} {score:+.2f}" for name, score in one["adjusted"].items())
        for line in (one["filled"][0], f"  expects {expected}", f"  says {said}: {one['prediction']}"):
            console.print(for_terminal(line), highlight=False, markup=False)
    console.print(f"Written: {path}", highlight=False, markup=False)
