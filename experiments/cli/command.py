"""The command `react-rl`: demo, train, compare, suggest, explain, plot, report, list, config and more."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from react_rl import __version__
from react_rl.errors import ReActError
from react_rl.experiments.cli.completion import SHELLS, completion
from react_rl.experiments.cli.output import verbosely
from react_rl.experiments.cli.status import status_of, with_outlets

RESULTS: Final = Path("results")

_NAME: Final = "react-rl"
_STOPPED: Final = "What is finished is kept; the same command goes on where it stopped."

_CONFIGURED: Final = ("train", "imitate", "adjust", "tune", "compare", "suggest", "explain", "prompts")
"""Commands whose further arguments override keys of a config."""

_KEYWORD: Final = re.compile(r"\b([a-z]+)=(\.\.\.|tagging\b|question-answering\b)")
"""How sentences about data name a keyword of Python's."""

_EPILOG: Final = """\
examples:
  react-rl demo                                     train on half of the rows, compare on the other half
  react-rl compare my.yaml --seeds 8                any key of the config can be overridden
  react-rl train demo-train --agent.episodes 2000   a packaged config by name
  react-rl suggest my.csv --text question --label kind   which rows to label next
  react-rl plot results/demo                        draw tables and figures again
  react-rl plot results/demo --width 3.3 --format pdf   figures for a column of a paper
  react-rl report results/demo                      write results/demo/report.html
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="react-rl",
        description="Learned acquisition: train and compare policies that choose what to label.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"react-rl {__version__}")
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="log what happens, and show where errors come from"
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    demo = commands.add_parser("demo", help="train a policy and compare it, on corpora that come from PyPI")
    demo.add_argument("--results", type=Path, default=RESULTS, help="folder for results (default: results)")
    demo.add_argument("--episodes", type=int, help="training episodes")
    demo.add_argument("--seeds", type=int, help="paired seeds of the comparison")
    demo.add_argument(
        "--finetune", action="store_true", help="compare by fine-tuning the transformer in every round"
    )

    for name, about in (
        ("train", "train a policy"),
        ("imitate", "train a policy that scores rows, by imitating an expert that looks ahead"),
        ("adjust", "adjust a policy that scores rows by the area of whole episodes; run it again to go on"),
        ("tune", "search settings of a training by the validation area; run it again to go on"),
        ("compare", "compare query strategies and policies; run it again to go on where it stopped"),
    ):
        command = commands.add_parser(
            name,
            help=about,
            allow_abbrev=False,
            description=f"{about.capitalize()}. Further arguments override the config: --section.key value.",
        )
        command.add_argument("config", help="a YAML file, or the name of a packaged config")
        command.add_argument("--results", type=Path, default=RESULTS, help="folder for results")
        command.add_argument("--dry-run", action="store_true", help="say what would run, and stop")
        command.add_argument(
            "--overwrite", action="store_true", help="replace another study that has the same name"
        )

    suggest = commands.add_parser(
        "suggest",
        help="say which rows of your file to label next",
        allow_abbrev=False,
        description="Fit a model to the rows of a file that have a label, choose among those whose label is "
        "empty, and print them, most wanted first (text classification). Further arguments change the "
        "encoder: --encoder.model NAME.",
    )
    suggest.add_argument("file", type=Path, help="CSV, TSV, JSONL or Parquet")
    suggest.add_argument("--text", default="text", metavar="COLUMN", help="texts (default: text)")
    suggest.add_argument("--label", metavar="COLUMN", help="labels (default: label, if there is one)")
    suggest.add_argument("--id", metavar="COLUMN", help="ids of the rows (default: id, if there is one)")
    suggest.add_argument("--n", type=int, default=20, help="rows wanted (default: 20)")
    suggest.add_argument("--strategy", metavar="NAME", help="who chooses (default: learned)")
    suggest.add_argument("--budget", type=float, help="labels still to buy, these included (default: 10 n)")
    suggest.add_argument("--seed", type=int, default=0, help="of everything random (default: 0)")
    suggest.add_argument(
        "--out", type=Path, metavar="CSV", help="write them, with whole texts and a column for labels"
    )
    suggest.add_argument(
        "--labels", type=Path, metavar="CSV", help="first put the labels of such a file into FILE"
    )
    suggest.add_argument("--device", default="auto", help="auto, cpu or cuda")
    suggest.add_argument("--encoding", default="utf-8", help="of text files (default: utf-8)")
    suggest.add_argument("--separator", help="of the columns of a CSV file (default: found out)")

    explained = commands.add_parser(
        "explain",
        help="say what a trained policy does and why",
        allow_abbrev=False,
        description="Play a policy and write what it weighs, what drives it, what it typically picks, and a "
        "formula of a few terms that comes near it. Further arguments override the config: --section.key "
        "value.",
    )
    explained.add_argument("policy", help="folder of a policy, or learned")
    explained.add_argument(
        "config", nargs="?", default="explain", help="a comparison's config (default: %(default)s)"
    )
    explained.add_argument("--corpora", nargs="+", default=(), metavar="NAME", help="these alone, or others")
    explained.add_argument("--terms", type=int, default=5, help="most terms of the formula, up to 5")
    explained.add_argument("--width", type=float, help="width of the figures in inches, for a paper")
    explained.add_argument("--format", nargs="+", choices=("png", "svg", "pdf"), help="default: png svg")
    explained.add_argument("--results", type=Path, default=RESULTS, help="folder for results")
    explained.add_argument(
        "--output", type=Path, help="folder (default: results/NAME/explanations/POLICY, for the report)"
    )
    explained.add_argument(
        "--overwrite", action="store_true", help="replace the explanation of another policy of that name"
    )

    prompts = commands.add_parser(
        "prompts",
        help="find a template and words for a learner of kind prompt",
        allow_abbrev=False,
        description="Rank templates by labelled rows, suggest words for the classes, and show what the model "
        "makes of single texts. Further arguments override the config: --section.key value.",
    )
    prompts.add_argument("config", help="a YAML file, or the name of a packaged config")
    prompts.add_argument("--labels", type=int, default=32, help="train rows whose labels are looked at")
    prompts.add_argument("--traces", type=int, default=3, help="of these, texts that are shown")
    prompts.add_argument("--templates", nargs="+", default=(), help="to rank beside the usual ones")
    prompts.add_argument("--seed", type=int, default=0, help="draws the rows")
    prompts.add_argument("--results", type=Path, default=RESULTS, help="folder for results")

    plot = commands.add_parser(
        "plot",
        help="draw tables and figures of a comparison",
        description="Draw tables and figures of a comparison again. With options, figures alone, into "
        "results/NAME/figures: tables and figures of the whole comparison stay as they are.",
    )
    plot.add_argument("folder", type=Path, help="results/NAME")
    plot.add_argument("--width", type=float, help="width in inches, as 3.3 for one column of a paper")
    plot.add_argument("--format", nargs="+", choices=("png", "svg", "pdf"), help="default: png svg")
    plot.add_argument("--strategies", nargs="+", metavar="NAME", help="these alone, in this order")
    plot.add_argument("--metric", help="a metric of the comparison (default: its first)")
    plot.add_argument("--output", type=Path, help="folder for the figures (default: results/NAME/figures)")

    report = commands.add_parser(
        "report",
        help="write one HTML file about a comparison, or print its tables",
        description="Write one HTML file about a comparison (opens offline), or print its tables.",
    )
    report.add_argument("folder", type=Path, help="results/NAME")
    form = report.add_mutually_exclusive_group()
    form.add_argument("--output", type=Path, help="the HTML file (default: report.html in the folder)")
    form.add_argument("--latex", action="store_true", help="print tables in LaTeX instead")
    form.add_argument("--markdown", action="store_true", help="print tables in Markdown instead")

    export = commands.add_parser(
        "export",
        help="list every row that a comparison bought",
        description="Write bought.csv into the folder of a comparison: every row that was bought, with its "
        "file, row, id, text and label. `compare` does so by itself up to 100,000 rows.",
    )
    export.add_argument("folder", type=Path, help="results/NAME")

    for reader in (plot, report, export):
        reader.add_argument(
            "--modules", nargs="+", default=(), metavar="NAME", help="modules of your own to import first"
        )

    listing = commands.add_parser("list", help="list what there is")
    kinds = (
        "corpora", "strategies", "features", "learners", "recipes", "envs", "algorithms", "policies",
        "configs",
    )  # fmt: skip
    listing.add_argument("what", choices=kinds, metavar="KIND", help=f"one of {', '.join(kinds)}")
    listing.add_argument("--results", type=Path, default=RESULTS, help="where to look for policies")

    config = commands.add_parser(
        "config", help="print a config with every key, its default and what it means"
    )
    config.add_argument(
        "what", choices=("train", "imitate", "adjust", "compare"), help="command that reads it"
    )

    complete = commands.add_parser("completion", help="print a script that completes this command in a shell")
    complete.add_argument("shell", choices=SHELLS, help="which shell")

    cache = commands.add_parser("cache", help="show or clear the cache of embeddings")
    cache.add_argument("--clear", action="store_true", help="remove every entry")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status (2 for a mistake in the input, or a full disk)."""
    return with_outlets(_NAME, lambda: _main(arguments))


def _main(arguments: Sequence[str] | None) -> int:
    parser = _parser()
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
        print(completion(_parser(), known.shell), end="")
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
