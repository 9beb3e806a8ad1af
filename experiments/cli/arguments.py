"""The arguments of the command `react-rl`: what can be typed, and what its help says."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Final

from react_rl import __version__
from react_rl.experiments.cli.completion import SHELLS

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

RESULTS: Final = Path("results")

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


def command_parser() -> argparse.ArgumentParser:
    """The parser of the whole command, one subparser for each of its commands."""
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
    _add_demo(commands)
    _add_configured(commands)
    _add_suggest(commands)
    _add_explain(commands)
    _add_prompts(commands)
    _add_readers(commands)
    _add_lookups(commands)
    return parser


def _add_demo(commands: Commands) -> None:
    demo = commands.add_parser("demo", help="train a policy and compare it, on corpora that come from PyPI")
    demo.add_argument("--results", type=Path, default=RESULTS, help="folder for results (default: results)")
    demo.add_argument("--episodes", type=int, help="training episodes")
    demo.add_argument("--seeds", type=int, help="paired seeds of the comparison")
    demo.add_argument(
        "--finetune", action="store_true", help="compare by fine-tuning the transformer in every round"
    )


def _add_configured(commands: Commands) -> None:
    """Commands that run a config: train, imitate, adjust, tune and compare."""
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


def _add_suggest(commands: Commands) -> None:
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


def _add_explain(commands: Commands) -> None:
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


def _add_prompts(commands: Commands) -> None:
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


def _add_readers(commands: Commands) -> None:
    """Commands that read the folder of a comparison: plot, report and export."""
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


def _add_lookups(commands: Commands) -> None:
    """Commands that print what there is: list, config, completion and cache."""
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
