"""The command `react-rl`: demo, train, compare, suggest, explain, plot, report, list, config and more."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from react_rl.errors import ReActError
from react_rl.experiments.cli.arguments import command_parser
from react_rl.experiments.cli.completion import completion
from react_rl.experiments.cli.output import verbosely
from react_rl.experiments.cli.status import status_of, with_outlets

_NAME: Final = "react-rl"
_STOPPED: Final = "What is finished is kept; the same command goes on where it stopped."

_CONFIGURED: Final = ("train", "imitate", "adjust", "tune", "compare", "suggest", "explain", "prompts")
"""Commands whose further arguments override keys of a config."""

_KEYWORD: Final = re.compile(r"\b([a-z]+)=(\.\.\.|tagging\b|question-answering\b)")
"""How sentences about data name a keyword of Python's."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status (2 for a mistake in the input, or a full disk)."""
    return with_outlets(_NAME, lambda: _main(arguments))


def _main(arguments: Sequence[str] | None) -> int:
    parser = command_parser()
    known, overrides = parser.parse_known_args(arguments)
    if overrides and known.command not in _CONFIGURED:
        parser.error(f"unrecognized arguments: {' '.join(overrides)}")
    with verbosely(known.verbose):
        return status_of(_NAME, lambda: _in_its_words(known, overrides), known.verbose, _STOPPED)


def _in_its_words(known: argparse.Namespace, overrides: list[str]) -> int:
    """Run a command; mistakes in data name what is typed here, as ``--text ...``, and not a keyword."""
    try:
        return _run(known, overrides)
    except ReActError as error:
        if known.command not in _CONFIGURED:
            raise
        from react_rl.data.config import CorpusConfig

        flags = known.command == "suggest"
        names, form = vars(known) if flags else CorpusConfig.model_fields, r"--\1 \2" if flags else r"\1: \2"
        said = _KEYWORD.sub(lambda found: found.expand(form) if found[1] in names else found[0], str(error))
        raise ReActError(said) from error


def _run(known: argparse.Namespace, overrides: list[str]) -> int:
    # Commands load what they need: `react-rl --help` must not wait for torch.
    if known.command == "demo":
        from react_rl.experiments.cli.demo import run_demo

        return run_demo(known.results, known.episodes, known.seeds, known.finetune)
    if known.command in ("train", "imitate", "adjust"):
        from react_rl.experiments.cli.training import run_kind

        return run_kind(known, overrides)
    if known.command == "tune":
        from react_rl.experiments.cli.tuning import run_tune

        return run_tune(known, overrides)
    if known.command == "compare":
        return _compare(known, overrides)
    if known.command == "suggest":
        from react_rl.experiments.cli.suggestion import run_suggest

        return run_suggest(known, overrides)
    if known.command == "explain":
        from react_rl.experiments.cli.explanation import run_explain

        return run_explain(known, overrides)
    if known.command == "prompts":
        from react_rl.experiments.cli.prompts import run_prompts

        return run_prompts(known, overrides)
    if known.command in ("plot", "report", "export"):
        from react_rl.own_code import import_modules

        # Which code runs is said here and not by the files that are read.
        import_modules(known.modules)
    if known.command == "plot":
        return _plot(known)
    if known.command == "report":
        return _report(known)
    if known.command == "export":
        from react_rl.experiments.cli.screen import console
        from react_rl.experiments.run.bought import export_bought

        console.print(f"Bought rows: {export_bought(known.folder)}", highlight=False, markup=False)
        return 0
    if known.command == "list":
        from react_rl.experiments.cli.listings import LISTINGS

        show: Callable[[Path], None] = LISTINGS[known.what]
        show(known.results)
        return 0
    if known.command == "config":
        from react_rl.experiments.cli.template import TEMPLATES, template

        print(template(TEMPLATES[known.what]), end="")
        return 0
    if known.command == "completion":
        print(completion(command_parser(), known.shell), end="")
        return 0
    from react_rl.experiments.cli.listings import show_cache

    show_cache(clear=known.clear)
    return 0


def _plot(known: argparse.Namespace) -> int:
    from react_rl.experiments.cli.plot import plot_for_paper, plot_results

    options = (known.width, known.format, known.strategies, known.metric, known.output)
    if all(option is None for option in options):
        plot_results(known.folder)
        return 0
    width, formats, strategies, metric, output = options
    plot_for_paper(known.folder, width, formats or (), strategies or (), metric, output)
    return 0


def _compare(known: argparse.Namespace, overrides: list[str]) -> int:
    from react_rl.experiments.cli.comparison import dry_run, run_comparison
    from react_rl.experiments.cli.plot import plot_results
    from react_rl.experiments.cli.screen import console, run_progress, show_facts
    from react_rl.experiments.config.models import CompareConfig, load_config
    from react_rl.experiments.report.text import counted
    from react_rl.experiments.run.bought import too_much

    config = load_config(CompareConfig, known.config, overrides)
    if known.dry_run:
        said = dry_run(config, known.results, known.overwrite, partial(show_facts, where=console))
        console.print(said, highlight=False)
        return 0
    with run_progress() as report:
        outcome = run_comparison(
            config,
            known.results,
            report,
            tell=report.tell,
            overwrite=known.overwrite,
            on_facts=show_facts,
            draw=False,
        )
    kept = ", ".join(f"{strategy} {count}" for strategy, count in outcome.kept_of.items())
    console.print(
        f"{counted(outcome.played, 'run')} played, {outcome.kept} kept from before"
        f"{f' ({kept})' if kept else ''}, {len(outcome.failures)} failed.",
        highlight=False,
    )
    for reason in dict.fromkeys(failure["reason"] for failure in outcome.failures):
        print(f"react-rl: failed runs: {reason}", file=sys.stderr)
    if len(outcome.failures) < len(outcome.runs):
        plot_results(outcome.folder.folder)
    bought = too_much(outcome.folder.folder) if outcome.bought is None else f"Bought:  {outcome.bought}"
    console.print(bought, highlight=False, markup=False)
    return 1 if outcome.failures else 0


def _report(known: argparse.Namespace) -> int:
    if known.latex or known.markdown:
        from react_rl.experiments.report.text import latex, markdown, report_tables

        # Plain print: the terminal's width must not break a line of a table.
        tables = report_tables(known.folder)
        print(latex(tables) if known.latex else markdown(tables), end="")
        return 0
    from react_rl.experiments.cli.screen import console
    from react_rl.experiments.report.writing import write_report

    path = write_report(known.folder, known.output)
    console.print(f"Report: {path}", highlight=False)
    return 0
