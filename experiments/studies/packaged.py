"""Policies on corpora that nobody had looked at when they were made: texts that come inside Python packages.

``packaged_corpora`` writes the corpora. Episodes are those of ``transfer``, in rounds of 1, 5 and 25.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from react_rl.acquisition.contract import QueryStrategy
from react_rl.acquisition.registry import make_strategy
from react_rl.agents.learned import load_strategy
from react_rl.agents.scorer_folder import pretrained_folder
from react_rl.data.config import CorpusConfig
from react_rl.errors import ReActError
from react_rl.experiments.figures.drawing import save_figures
from react_rl.experiments.studies.adjusted import BEGUN, EPISODES
from react_rl.experiments.studies.command import run_study, say, study_parser
from react_rl.experiments.studies.gaps import Gap, gap
from react_rl.experiments.studies.growing import GrowingTable
from react_rl.experiments.studies.packaged_corpora import CORPORA
from react_rl.experiments.studies.played import TransferCorpora, score_table
from react_rl.experiments.studies.scores import ScoreTable
from react_rl.experiments.studies.transfer import LABELS, POLICY, draw, gaps_of
from react_rl.files import write_atomically

FIXED: Final = (
    *("random", "margin", "badge", "typiclust", "uncertainty-herding", "variance-reduction", "mixture"),
)
"""Fixed strategies."""

RIVALS: Final = (*FIXED, BEGUN)
"""These, and the policy that the adjusted one began from."""

MAX_ROWS: Final = 2500
"""Rows of each corpus."""


def named_policies(named: Sequence[str]) -> dict[str, QueryStrategy]:
    """Policies by name, from NAME=FOLDER.

    Raises:
        ReActError: One is not written so, or is no policy.
    """
    found: dict[str, QueryStrategy] = {}
    for one in named:
        name, between, folder = one.partition("=")
        if not between:
            raise ReActError(f"--policies {one} must be written NAME=FOLDER.")
        found[name] = load_strategy(Path(folder), name)
    return found


def markdown(tables: Mapping[str, ScoreTable], policies: Sequence[str]) -> str:
    """Differences of each policy to every rival, over all corpora and by corpus."""
    lines = ["# Policies on corpora that nobody had looked at, in numbers"]
    for policy in policies:
        rivals = [one for one in (*RIVALS, *policies) if one != policy]
        lines += [
            "",
            f"## {policy}",
            "",
            "Area minus that of others, with 95 % t-intervals over paired seeds.",
            "",
            "| setting | rival | minus rival | pairs won | corpora ahead | surely ahead, behind |",
            "| --- | --- | --- | ---: | ---: | --- |",
        ]
        for rival in rivals:
            together = [table.values[policy] - table.values[rival] for table in tables.values()]
            lines.append(_line("mean of all", rival, Gap.of(np.mean(together, axis=0))))
        for name, table in tables.items():
            lines += [_line(LABELS.get(name, name), rival, gap(table, policy, rival)) for rival in rivals]
        for name, table in tables.items():
            lines += [
                "",
                f"{LABELS.get(name, name)}, by corpus: differences x 1,000; * where the interval excludes 0.",
                "",
                f"| corpus | area | {' | '.join(f'minus {rival}' for rival in rivals)} |",
                f"| --- | ---: |{' ---: |' * len(rivals)}",
            ]
            for corpus in table.corpora:
                cells = [gap(table, policy, rival, [corpus]).short for rival in rivals]
                lines.append(f"| {corpus} | {table.mean(policy, [corpus]):.4f} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def _line(setting: str, rival: str, found: Gap) -> str:
    return (
        f"| {setting} | {rival} | {found.plain} | {found.won:.3f} | {found.ahead} of {found.corpora} "
        f"| {found.surely_ahead}, {found.surely_behind} |"
    )


def study(asked: argparse.Namespace) -> str:
    """Play what is missing, and write areas, tables and figure."""
    further = named_policies(asked.policies)
    shipped = {name: load_strategy(pretrained_folder(name), name) for name in (BEGUN, POLICY)}
    policies: dict[str, QueryStrategy] = {**shipped, **further}
    played = {name: make_strategy(name) for name in FIXED} | policies
    versions = {name: repr(one) for name, one in policies.items()}
    areas = GrowingTable(asked.out / "areas.csv", ("setting", "corpus", "strategy"), settings=versions)
    configs = [
        CorpusConfig(corpus=str(asked.data / f"{name}.csv"), name=name, max_rows=MAX_ROWS) for name in CORPORA
    ]
    tables = {}
    for setting, episode in EPISODES.items():
        ground = TransferCorpora(asked.data, episode=episode, others=configs)
        for corpus in ground.corpora:
            for name, own in played.items():
                if not areas.holds(asked.seeds, setting=setting, corpus=corpus.name, strategy=name):
                    areas.add(ground.areas(corpus, own, name, asked.seeds).assign(setting=setting))
            say(f"{setting}, {corpus.name}")
        found = areas.frame[areas.frame["setting"] == setting].drop(columns="setting")
        tables[setting] = score_table(found, list(CORPORA), asked.seeds)
    text = markdown(tables, [POLICY, *further])
    write_atomically(asked.out / "tables.md", text)
    save_figures(asked.out, {"packaged": draw(tables, gaps_of(tables))})
    return text


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit status."""
    parser = study_parser(__doc__, "packaged", "results/transfer/packaged", seeds=48)
    parser.add_argument(
        "--data", type=Path, default=Path("data/packaged"), help="folder that packaged_corpora wrote"
    )
    parser.add_argument(
        "--policies", nargs="*", default=[], metavar="NAME=FOLDER", help="further policies that are played"
    )
    return run_study(parser, arguments, study)


if __name__ == "__main__":
    sys.exit(main())
