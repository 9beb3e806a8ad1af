"""Policies on corpora that nobody had looked at when they were made: texts that come inside Python packages.

``packaged_corpora`` writes the corpora. Episodes are those of ``transfer``, in rounds of 1, 5 and 25.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from react_rl.acquisition.contract import QueryStrategy
from react_rl.acquisition.references import REFERENCES
from react_rl.acquisition.registry import make_strategy
from react_rl.agents.learned import load_strategy
from react_rl.agents.scorer_folder import pretrained_folder
from react_rl.encoders.config import EncoderConfig
from react_rl.errors import ReActError
from react_rl.experiments.figures.drawing import save_figures
from react_rl.experiments.studies.adjusted import BEGUN, EPISODES
from react_rl.experiments.studies.beyond import LARGE_EPISODE, LARGE_ROWS, LARGE_SETTING, encoder_in
from react_rl.experiments.studies.command import (
    paired_seeds,
    paired_seeds_or_none,
    run_study,
    say,
    study_parser,
)
from react_rl.experiments.studies.gaps import gap, gap_to_best, mean_gap
from react_rl.experiments.studies.growing import GrowingTable
from react_rl.experiments.studies.oracle_gap import shares
from react_rl.experiments.studies.packaged_corpora import CORPORA, MAX_ROWS, add_data_option, packaged_configs
from react_rl.experiments.studies.played import TransferCorpora, score_table
from react_rl.experiments.studies.recorded import DEV, ORACLE
from react_rl.experiments.studies.scores import ScoreTable
from react_rl.experiments.studies.transfer import LABELS, POLICY, draw, gaps_of
from react_rl.files import write_atomically

FIXED: Final = (
    *("random", "margin", "badge", "typiclust", "bait", "uncertainty-herding", "variance-reduction"),
    "mixture",
)
"""Fixed strategies."""

FURTHER: Final = (
    *("tuned-mixture", "bait", "dropquery", "maxherding", "probcover", "tailor", "refine", "dcom", "alfamix"),
    *("albl", "noise-stability", "expected-error", "falcun"),
)
"""Further fixed strategies: the rivals of ``rivals``, and two that cover the pool."""

RIVALS: Final = (*FIXED, BEGUN)
"""These, and the policy that the adjusted one began from."""

LARGE: Final = ("reuters", "election_tweets", "friends", "health_tweets", "rated_tweets", "editorials")
"""Corpora that are large enough to buy 1,000 labels."""


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
        together = list(tables.values())
        lines += [f"| mean of all | {one} | {mean_gap(together, policy, one).cells} |" for one in rivals]
        for name, table in tables.items():
            setting = LABELS.get(name, name)
            lines += [f"| {setting} | {one} | {gap(table, policy, one).cells} |" for one in rivals]
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


def against_further(tables: Mapping[str, ScoreTable], policies: Sequence[str]) -> str:
    """Differences of each policy to the further strategies, over all corpora, best strategy first."""
    together = list(tables.values())
    seeds = len(together[0].seeds)
    order = sorted(FURTHER, key=lambda one: sum(table.mean(one) for table in together), reverse=True)
    settings = [LABELS.get(name, name) for name in tables]
    lines = [
        "",
        "## Further strategies",
        "",
        f"Area of a policy minus that of others, all corpora, {seeds} paired seeds; share of pairs won; on "
        "how many corpora the policy is surely ahead and behind.",
    ]
    for policy in policies:
        lines += [
            "",
            f"| {policy} minus | mean of all | {' | '.join(settings)} |",
            f"| --- | --- |{' --- |' * len(settings)}",
        ]
        for rival in order:
            cells = [mean_gap(together, policy, rival).brief]
            cells += [gap(table, policy, rival).brief for table in together]
            lines.append(f"| {rival} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def in_hindsight(tables: Mapping[str, ScoreTable], policies: Sequence[str]) -> str:
    """Differences of each policy to the fixed strategy that is best on each corpus."""
    rivals = list(dict.fromkeys((*FIXED, *FURTHER)))
    lines = [
        "",
        "## Beside the best fixed strategy of each corpus, in hindsight",
        "",
        f"Of {len(rivals)} fixed strategies the best on each corpus, chosen by half of the seeds and judged "
        "on the other: area of a policy minus that of this one; share of pairs won; on how many corpora the "
        "policy is surely ahead and behind.",
        "",
        f"| policy | {' | '.join(LABELS.get(name, name) for name in tables)} |",
        f"| --- |{' --- |' * len(tables)}",
    ]
    for policy in policies:
        found = [gap_to_best(table, policy, rivals) for table in tables.values()]
        lines.append(f"| {policy} | {' | '.join(one.brief for one in found)} |")
    return "\n".join([*lines, ""])


def by_corpus(setting: str, what: str, table: ScoreTable, policies: Sequence[str]) -> str:
    """Differences of each policy to the others in a further setting."""
    lines = [
        "",
        f"## {setting}",
        "",
        f"{what}, {len(table.seeds)} paired seeds: area of a policy minus that of others, over all corpora "
        "and by corpus, x 1,000; * where the interval excludes 0.",
    ]
    for policy in policies:
        rivals = [one for one in table.values if one != policy]
        lines += [
            "",
            f"| {policy} | area | {' | '.join(f'minus {rival}' for rival in rivals)} |",
            f"| --- | ---: |{' ---: |' * len(rivals)}",
        ]
        for where, some in {"all": list(table.corpora), **{one: [one] for one in table.corpora}}.items():
            found = [gap(table, policy, rival, some) for rival in rivals]
            cells = [one.long if where == "all" else one.short for one in found]
            lines.append(f"| {where} | {table.mean(policy, some):.4f} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


class PackagedPlay:
    """What is played on these corpora, and where it is written.

    Args:
        asked: Arguments of the command.
        played: Strategies by name.
        policies: Those among them whose weights decide what is measured.
    """

    def __init__(
        self,
        asked: argparse.Namespace,
        played: Mapping[str, QueryStrategy],
        policies: Mapping[str, QueryStrategy],
    ) -> None:
        self._asked, self._played = asked, played
        versions = {name: repr(one) for name, one in policies.items()}
        self._areas = GrowingTable(
            asked.out / "areas.csv", ("setting", "corpus", "strategy"), settings=versions
        )

    def table(
        self, setting: str, corpora: Sequence[str], strategies: Sequence[str], rows: int, seeds: int,
        episode: Mapping[str, float], encoder: EncoderConfig | None = None, dev_size: int | None = None,
    ) -> ScoreTable:  # fmt: skip
        """Play what is missing of a setting; returns what the strategies made."""
        configs = packaged_configs(self._asked.data, corpora, rows)
        ground = TransferCorpora(self._asked.data, encoder=encoder, episode=episode, others=configs)
        for corpus in ground.corpora:
            for name in strategies:
                if not self._areas.holds(seeds, setting=setting, corpus=corpus.name, strategy=name):
                    part = ground.areas(corpus, self._played[name], name, seeds, dev_size=dev_size)
                    self._areas.add(part.assign(setting=setting))
            say(f"{setting}, {corpus.name}")
        frame = self._areas.frame
        found = frame[(frame["setting"] == setting) & frame["strategy"].isin(strategies)]
        return score_table(found.drop(columns="setting"), corpora, seeds)


def study(asked: argparse.Namespace) -> str:
    """Play what is missing, and write areas, tables and figure."""
    further = named_policies(asked.policies)
    shipped = {name: load_strategy(pretrained_folder(name), name) for name in (BEGUN, POLICY)}
    policies: dict[str, QueryStrategy] = {**shipped, **further}
    played = {name: make_strategy(name) for name in FIXED} | policies
    others = {ORACLE: REFERENCES[ORACLE]()} | {name: make_strategy(name) for name in FURTHER}
    here = PackagedPlay(asked, played | others, policies)
    tables = {
        setting: here.table(setting, list(CORPORA), list(played), MAX_ROWS, asked.seeds, episode)
        for setting, episode in EPISODES.items()
    }
    text = markdown(tables, [POLICY, *further])
    if asked.further_seeds:
        more = {
            setting: here.table(
                setting,
                list(CORPORA),
                list(dict.fromkeys((*played, *FURTHER))),
                MAX_ROWS,
                asked.further_seeds,
                episode,
            )
            for setting, episode in EPISODES.items()
        }
        text += against_further(more, [POLICY, *further]) + in_hindsight(more, [POLICY, *further])
    if asked.large_seeds:
        large = here.table(LARGE_SETTING, LARGE, list(played), LARGE_ROWS, asked.large_seeds, LARGE_EPISODE)
        text += by_corpus(LARGE_SETTING, "Pools of 2,000, rounds of 25", large, [POLICY, *further])
    if asked.oracle_seeds:
        oracle = here.table(
            "oracle", list(CORPORA), [ORACLE], MAX_ROWS, asked.oracle_seeds, EPISODES["batch-5"], dev_size=DEV
        )
        text += shares(tables["batch-5"], oracle, [one for one in (*policies, *FIXED) if one != "random"])
    for folder in asked.encoders:
        encoder = encoder_in(folder)
        table = here.table(
            folder.name,
            list(CORPORA),
            list(played),
            MAX_ROWS,
            asked.encoder_seeds,
            EPISODES["batch-5"],
            encoder,
        )
        text += by_corpus(f"Embeddings of {folder.name}", "16 rounds of 5", table, [POLICY, *further])
    write_atomically(asked.out / "tables.md", text)
    save_figures(asked.out, {"packaged": draw(tables, gaps_of(tables))})
    return text


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit status."""
    parser = study_parser(__doc__, "packaged", "results/transfer/packaged", seeds=48)
    add_data_option(parser)
    parser.add_argument(
        "--further-seeds",
        type=paired_seeds_or_none,
        default=48,
        help="paired episodes of further strategies; 0 for none",
    )
    parser.add_argument(
        "--large-seeds",
        type=paired_seeds_or_none,
        default=8,
        help="paired episodes of 1,000 labels; 0 for none",
    )
    parser.add_argument(
        "--oracle-seeds",
        type=paired_seeds_or_none,
        default=16,
        help="paired episodes of the greedy oracle; 0 for none",
    )
    parser.add_argument(
        "--encoders", nargs="*", type=Path, default=[], metavar="FOLDER", help="checkpoints of other encoders"
    )
    parser.add_argument(
        "--encoder-seeds", type=paired_seeds, default=24, help="paired episodes with each of them"
    )
    parser.add_argument(
        "--policies", nargs="*", default=[], metavar="NAME=FOLDER", help="further policies that are played"
    )
    return run_study(parser, arguments, study)


if __name__ == "__main__":
    sys.exit(main())
