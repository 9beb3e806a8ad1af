"""The policy where it was not trained: embeddings of other encoders, and a budget of 1,000 labels.

Encoders are folders of checkpoints; three corpora, rounds of five as in the comparison ``transfer``. The
large budget is spent in 40 rounds of 25 from pools of 2,000 rows, on two corpora.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from react_rl.acquisition.registry import make_strategy
from react_rl.encoders.config import EncoderConfig
from react_rl.experiments.studies.command import paired_seeds, run_study, say, study_parser
from react_rl.experiments.studies.gaps import gap
from react_rl.experiments.studies.growing import GrowingTable
from react_rl.experiments.studies.played import TransferCorpora, score_table
from react_rl.experiments.studies.transfer import POLICY
from react_rl.files import write_atomically

STRATEGIES: Final = (POLICY, "mixture", "uncertainty-herding", "margin", "random")

CORPORA: Final = ("trec6", "cr", "cola")
"""Where other encoders are tried."""

LARGE: Final = ("trec6", "sst2")
"""Where much is bought."""

PREFIXES: Final = {"me5-small-enzh": "query: "}
"""What an encoder wants before each text, by the name of its folder."""

LARGE_SETTING: Final = "1,000 labels"

LARGE_ROWS: Final = 4000
"""Most rows of a corpus whose pools have 2,000."""

LARGE_EPISODE: Final = {"pool_size": 2000, "budget": 1000.0, "batch_size": 25}
"""What differs of its episodes."""


def markdown(areas: GrowingTable, seeds: dict[str, int]) -> str:
    """Differences of the policy to the others, by setting and corpus."""
    rivals = [name for name in STRATEGIES if name != POLICY]
    lines = [
        "# The policy where it was not trained, in numbers",
        "",
        f"Area under the test accuracy curve of `{POLICY}`, and of others minus it x 1,000, with 95 % "
        "t-intervals over paired seeds, * where they exclude 0.",
        "",
        f"| setting | corpus | seeds | {POLICY} | {' | '.join(rivals)} |",
        f"| --- | --- | ---: | ---: |{' --- |' * len(rivals)}",
    ]
    for setting, own in areas.frame.groupby("setting", sort=False):
        corpora = list(dict.fromkeys(own["corpus"]))
        table = score_table(own, corpora, seeds[str(setting)])
        for where, some in ({"all": corpora} | {corpus: [corpus] for corpus in corpora}).items():
            cells = [gap(table, name, POLICY, some).long for name in rivals]
            mean = table.mean(POLICY, some)
            lines.append(f"| {setting} | {where} | {len(table.seeds)} | {mean:.4f} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def encoder_in(folder: Path) -> EncoderConfig:
    """The encoder of a folder, with what it wants before each text."""
    return EncoderConfig(model=str(folder), max_length=128, prefix=PREFIXES.get(folder.name, ""))


def study(asked: argparse.Namespace) -> str:
    """Play what is missing, and write areas and page."""
    areas = GrowingTable(asked.out / "beyond.csv", ["setting", "corpus", "strategy"])
    seeds: dict[str, int] = {}
    for folder in asked.encoders:
        ground = TransferCorpora(asked.data, CORPORA, encoder=encoder_in(folder))
        _play(areas, folder.name, ground, asked.seeds)
        seeds[folder.name] = asked.seeds
    large = TransferCorpora(asked.data, LARGE, max_rows=LARGE_ROWS, episode=LARGE_EPISODE)
    _play(areas, LARGE_SETTING, large, asked.large_seeds)
    seeds[LARGE_SETTING] = asked.large_seeds
    text = markdown(areas, seeds)
    write_atomically(asked.out / "beyond.md", text)
    return text


def _play(areas: GrowingTable, setting: str, ground: TransferCorpora, seeds: int) -> None:
    for corpus in ground.corpora:
        for name in STRATEGIES:
            if not areas.holds(seeds, setting=setting, corpus=corpus.name, strategy=name):
                areas.add(ground.areas(corpus, make_strategy(name), name, seeds).assign(setting=setting))
                say(f"{setting}, {corpus.name}: {name}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit status."""
    parser = study_parser(__doc__, "beyond", "results/ablations", seeds=24, data=True)
    parser.add_argument("--encoders", type=Path, nargs="*", default=[], help="folders of checkpoints")
    parser.add_argument("--large-seeds", type=paired_seeds, default=8, help="paired episodes of 1,000 labels")
    return run_study(parser, arguments, study)


if __name__ == "__main__":
    sys.exit(main())
