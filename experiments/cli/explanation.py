"""A whole explanation: play and ask a policy, then write tables, figures and a page of words."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from react_rl.data.config import CorpusConfig
from react_rl.data.registry import is_named
from react_rl.errors import ReActError, suggestion
from react_rl.experiments.cli.screen import console, show_facts, working_on
from react_rl.experiments.config.frozen import check_config
from react_rl.experiments.config.models import CompareConfig, load_config
from react_rl.experiments.explain.explaining import explain
from react_rl.experiments.explain.folder import (
    EXPLANATIONS,
    Explanation,
    read_explanation,
    refuse_other_policy,
    write_explanation,
)
from react_rl.experiments.explain.formula import MOST_TERMS
from react_rl.experiments.explain.subjects import make_subject
from react_rl.experiments.figures.drawing import FORMATS, save_figures
from react_rl.experiments.figures.explanation import explanation_figures
from react_rl.experiments.figures.page import SCREEN, Page
from react_rl.experiments.report.explanation import explanation_markdown, said
from react_rl.experiments.run.planning import check_before_encoding, check_tasks, parts_of
from react_rl.experiments.run.results import slug
from react_rl.experiments.run.strategies import identity, resolve, surprised
from react_rl.files import make_folder, write_atomically
from react_rl.own_code import import_modules
from react_rl.pulse import pulse
from react_rl.simulation.corpora import OnFacts, prepare

PAGE: Final = "explanation.md"
CONFIG: Final = "explain"
"""Packaged config on whose corpora a policy is explained where none is named."""


@dataclass(frozen=True)
class Explained:
    """An explanation and where it is.

    Args:
        folder: The folder.
        explanation: What is in it.
    """

    folder: Path
    explanation: Explanation


def explain_policy(
    policy: str,
    config: CompareConfig | str = CONFIG,
    results: str | Path = "results",
    *,
    corpora: Sequence[str] = (),
    terms: int = MOST_TERMS,
    output: str | Path | None = None,
    overwrite: bool = False,
    page: Page = SCREEN,
    formats: Sequence[str] = FORMATS[:2],
    tell: Callable[[str], None] | None = None,
    on_facts: OnFacts | None = None,
) -> Explained:
    """Explain a policy, and write tables, figures and a page of Markdown.

    Args:
        policy: Folder of a policy, or the name of one that comes with the package.
        config: Corpora, episodes, learner, seeds and metrics: those of a comparison; its strategies do not
            matter.
        results: Folder that holds the folders of all comparisons.
        corpora: Names of corpora of the config, or further ones; none means all of the config.
        terms: Most terms of the formula.
        output: Folder of the explanation; None means ``results/NAME/explanations/POLICY``, where the report
            of the comparison NAME finds it.
        overwrite: Replace the explanation of another policy that is there.
        page: Where the figures will go.
        formats: File types of the figures.
        tell: Told what is being done.
        on_facts: Told what the corpora hold, before anything is encoded.

    Raises:
        ReActError: It is no trained policy, something in the config does not exist or does not fit, or the
            folder holds the explanation of another policy.
        WriteError: A file cannot be written.
    """
    config = load_config(CompareConfig, config) if isinstance(config, str) else config
    check_config(config, CompareConfig)
    if not 1 <= terms <= MOST_TERMS:
        raise ReActError(f"A formula of {terms} terms is out of range: 1 to {MOST_TERMS} are allowed.")
    config = config.model_copy(update={"strategies": (policy,), "corpora": chosen(config.corpora, corpora)})
    import_modules(config.modules)
    strategy = resolve(policy)
    make_subject(strategy)  # refuses what cannot be explained before anything is encoded
    check_tasks(config)
    folder = Path(output or Path(results) / config.name / EXPLANATIONS / slug(strategy.name))
    known_by = identity(policy)
    if not overwrite:
        refuse_other_policy(folder, strategy.name, known_by)
    make_folder(folder)  # what cannot be written is told before anything is played
    with pulse(__name__, f"Explaining {strategy.name}: preparing the corpora") as say:

        def both(line: str) -> None:
            say(f"Explaining {strategy.name}: {line}")
            if tell is not None:
                tell(line)

        asked = (config.episode_of, surprised([policy]), on_facts, partial(check_before_encoding, config))
        part, *others = parts_of(
            config, prepare(config.corpora, config.encoder, config.device, tell is not None, *asked)
        )
        if others:
            raise ReActError(
                f"A policy is explained on corpora of one task, and these are of {part.task} and "
                f"{' and '.join(one.task for one in others)}; name those of one with --corpora."
            )
        write_explanation(folder, explain(strategy, part.corpora, part.config, known_by, terms, both))
    explanation = read_explanation(folder)  # figures and words are about the numbers as they are written
    save_figures(folder, explanation_figures(explanation, page), page, formats)
    write_atomically(folder / PAGE, explanation_markdown(explanation))
    return Explained(folder, explanation)


def chosen(known: Sequence[CorpusConfig], names: Sequence[str]) -> tuple[CorpusConfig, ...]:
    """Corpora of a config by name, and further ones that are named like those of a config; all without names.

    Raises:
        ReActError: A name is neither in the config nor that of a corpus, a file or a folder.
    """
    if not names:
        return tuple(known)
    by_name = {one.name or one.corpus: one for one in known}
    found = []
    for name in names:
        if name not in by_name and not is_named(name) and ":" not in name and not Path(name).exists():
            raise ReActError(
                f"There is no corpus {name!r} in the config, in the package or on this disk."
                f"{suggestion(name, by_name)}"
            )
        found.append(by_name.get(name) or CorpusConfig(corpus=name))
    return tuple(found)


def run_explain(known: argparse.Namespace, overrides: Sequence[str]) -> int:
    """The command `react-rl explain`; returns its exit status.

    Args:
        known: Its arguments.
        overrides: Further ones, which override keys of the config.

    Raises:
        ReActError: As ``explain_policy``.
    """
    config = load_config(CompareConfig, known.config, overrides)
    with working_on(f"explaining {known.policy}") as tell:
        found = explain_policy(
            known.policy,
            config,
            known.results,
            corpora=known.corpora,
            terms=known.terms,
            output=known.output,
            overwrite=known.overwrite,
            page=Page(known.width),
            formats=known.format or FORMATS[:2],
            tell=tell,
            on_facts=show_facts,
        )
    console.print(said(found.explanation), highlight=False, markup=False)
    console.print(
        f"Explanation: {found.folder / PAGE}, figures and tables beside it", highlight=False, markup=False
    )
    return 0
