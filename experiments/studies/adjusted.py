"""Whether adjusting the policy by the area of whole episodes helps where it was not adjusted.

Eighteen corpora in two folds, by number of classes and then by name, dealt out in turn. The policy is
adjusted on the corpora of one fold (``react-rl adjust results/transfer/adjusted-b.yaml``) and played on those
of the other; what the others made there is in tables of earlier studies, on the same seeds.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from react_rl.agents.learned import load_strategy
from react_rl.errors import ReActError
from react_rl.experiments.studies.beyond import LARGE_EPISODE, LARGE_ROWS, LARGE_SETTING, encoder_in
from react_rl.experiments.studies.command import paired_seeds_or_none, run_study, say, study_parser
from react_rl.experiments.studies.gaps import Gap, gap, mean_gap
from react_rl.experiments.studies.growing import GrowingTable
from react_rl.experiments.studies.oracle_gap import shares
from react_rl.experiments.studies.played import TransferCorpora, score_table
from react_rl.experiments.studies.recorded import NAMES as OF_CURVES
from react_rl.experiments.studies.recorded import ORACLE
from react_rl.experiments.studies.recorded import areas as areas_of_curves
from react_rl.experiments.studies.scores import ScoreTable, read_scores
from react_rl.experiments.studies.transfer import LABELS, MEASURES, POLICY
from react_rl.files import write_atomically

FOLDS: Final = {
    "a": (
        *("chnsenticorp", "cr", "mr", "sst2", "yelp_sentences", "fpb_allagree", "ag_news"),
        *("dbpedia14_few", "banking77"),
    ),
    "b": (
        *("cola", "imdb", "sms_spam", "subj", "davidson_hate", "tweeteval_sentiment", "trec6"),
        *("20newsgroups", "clinc150"),
    ),
}
"""Corpora of each fold."""

ADJUSTED: Final = "adjusted"
BEGUN: Final = "imitated"
"""What the adjusted policies began from; earlier tables call it ``learned``, as which it shipped then."""

RIVALS: Final = (BEGUN, "mixture", "uncertainty-herding", "variance-reduction", "margin", "random")
"""Other strategies; variance reduction was not played under other encoders and with 1,000 labels."""

EPISODES: Final[Mapping[str, Mapping[str, float]]] = {
    "batch-1": {"budget": 40.0, "batch_size": 1},
    "batch-5": {},
    "batch-25": {"budget": 200.0, "batch_size": 25},
}
"""What differs of the episodes of ``transfer``, by table."""

_TABLES: Final = ("transfer", "transfer/validation")
_NAMES: Final = ("setting", "corpus", "strategy")


_ENCODER_SEEDS: Final = 24

OTHER: Final = {"a": "b", "b": "a"}
"""The fold that a policy for a fold was adjusted on."""


def fold_of(corpus: str) -> str:
    """The fold that a corpus is in."""
    return next(fold for fold, corpora in FOLDS.items() if corpus in corpora)


def areas_of_rivals(results: Path, name: str, seeds: int) -> pd.DataFrame:
    """What earlier studies measured with these episodes: corpus, strategy, seed, area.

    Raises:
        ReActError: A table is not there.
    """
    parts = []
    for folder in _TABLES:
        table = read_scores(results / folder, name, MEASURES)
        for rival in RIVALS:
            for corpus in table.corpora:
                area = table.of(POLICY if rival == BEGUN else rival, corpus)[:seeds]
                parts.append(pd.DataFrame({"corpus": corpus, "strategy": rival, "area": area}).assign(
                    seed=list(table.seeds)[:seeds]
                ))  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def markdown(tables: Mapping[str, ScoreTable], made_on: Mapping[str, str] = OTHER) -> str:
    """Differences to the rivals over all corpora, by table and over the three together; then by corpus.

    Args:
        tables: Areas by setting.
        made_on: Fold that the policy played on a fold was adjusted on.
    """
    whose = "the other" if made_on == OTHER else "its own"
    lines = [
        f"# The adjusted policy on corpora of {whose} fold, in numbers",
        "",
        "Area of the adjusted policy minus that of others, with 95 % t-intervals over paired seeds.",
        "",
        "| setting | corpora, seeds | area | rival | minus rival | pairs won | ahead | surely ahead, behind "
        "|",
        "| --- | --- | ---: | --- | --- | ---: | ---: | --- |",
    ]
    rounds = [tables[name] for name in EPISODES if name in tables]
    if len(rounds) == len(EPISODES):
        area = float(np.mean([table.mean(ADJUSTED) for table in rounds]))
        lines += _whole(
            "mean of the three", rounds[0], area, {one: mean_gap(rounds, ADJUSTED, one) for one in RIVALS}
        )
    for name, table in tables.items():
        found = {one: gap(table, ADJUSTED, one) for one in RIVALS if one in table.values}
        lines += _whole(LABELS.get(name, name), table, table.mean(ADJUSTED), found)
    lines += ["", "## By corpus", "", "Differences x 1,000; * where the 95 % interval excludes 0."]
    for name, table in tables.items():
        shown = [rival for rival in RIVALS if rival in table.values]
        lines += [
            "",
            f"### {LABELS.get(name, name)}",
            "",
            f"| corpus | adjusted on fold | area | {' | '.join(f'minus {rival}' for rival in shown)} |",
            f"| --- | --- | ---: |{' ---: |' * len(shown)}",
        ]
        for corpus in table.corpora:
            cells = [gap(table, ADJUSTED, rival, [corpus]).short for rival in shown]
            area = table.mean(ADJUSTED, [corpus])
            lines.append(f"| {corpus} | {made_on[fold_of(corpus)]} | {area:.4f} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def _whole(setting: str, table: ScoreTable, area: float, found: Mapping[str, Gap]) -> list[str]:
    """Lines of the table over all corpora."""
    return [
        f"| {setting} | {len(table.corpora)}, {len(table.seeds)} | {area:.4f} | {rival} | {one.cells} |"
        for rival, one in found.items()
    ]


def oracle_shares(table: ScoreTable, results: Path) -> str:
    """Share of the gap between random and the greedy oracle that each strategy closes, over all corpora.

    Args:
        table: Areas in rounds of five.
        results: Folder of the earlier studies, where the curves of the oracle are.
    """
    curves = GrowingTable(results / "ablations" / "curves.csv", OF_CURVES).frame
    found = areas_of_curves(curves[curves["strategy"] == ORACLE])
    oracle = score_table(found, table.corpora, int(found["seed"].max()) + 1)
    return shares(table, oracle, [ADJUSTED, *(rival for rival in RIVALS if rival != "random")])


class HeldOutPlay:
    """What is played, and where it is written.

    Args:
        asked: Arguments of the command.
    """

    def __init__(self, asked: argparse.Namespace) -> None:
        self._asked = asked
        self._policies = policies_of(asked.policies)
        self.made_on = {fold: fold for fold in FOLDS} if asked.own_fold else OTHER
        played = {fold: repr(load_strategy(folder, ADJUSTED)) for fold, folder in self._policies.items()}
        self._areas = GrowingTable(asked.out / "adjusted.csv", _NAMES, settings=played)
        self.tables: dict[str, ScoreTable] = {}

    def play(self, setting: str, rivals: pd.DataFrame, seeds: int, **ground: Any) -> None:
        """Play what is missing of a setting, on the corpora that the rivals were played on. Mutates."""
        corpora = [one for one in (*FOLDS["a"], *FOLDS["b"]) if one in set(rivals["corpus"])]
        for corpus in corpora:
            if self._areas.holds(seeds, setting=setting, corpus=corpus):
                continue
            policy = load_strategy(self._policies[self.made_on[fold_of(corpus)]], ADJUSTED)
            played = TransferCorpora(self._asked.data, (corpus,), **ground)
            self._areas.add(played.areas(played.corpora[0], policy, ADJUSTED, seeds).assign(setting=setting))
            say(f"{setting}, {corpus}")
        rivals = rivals.replace({"strategy": {POLICY: BEGUN}})
        own = self._areas.frame
        own = own[own["setting"] == setting].drop(columns="setting")
        shown = rivals[rivals["strategy"].isin(RIVALS)][["corpus", "strategy", "seed", "area"]]
        self.tables[setting] = score_table(pd.concat([own, shown], ignore_index=True), corpora, seeds)


def policies_of(named: Sequence[str]) -> dict[str, Path]:
    """Folders of the policies by the fold that they were adjusted on, from FOLD=FOLDER.

    Raises:
        ReActError: A fold has none, or there is no such fold.
    """
    found = {fold: Path(folder) for fold, _, folder in (one.partition("=") for one in named)}
    if set(found) != set(FOLDS):
        raise ReActError(
            f"--policies {' '.join(named)} must name one for each fold, adjusted on it: a=FOLDER b=FOLDER."
        )
    return found


def study(asked: argparse.Namespace) -> str:
    """Play each adjusted policy on a fold, the one that it has not seen or its own; write areas and page."""
    here = HeldOutPlay(asked)
    for name, episode in EPISODES.items():
        here.play(name, areas_of_rivals(asked.results, name, asked.seeds), asked.seeds, episode=episode)
    beyond = GrowingTable(asked.results / "ablations" / "beyond.csv", _NAMES).frame
    for folder in asked.encoders:
        encoder = encoder_in(folder)
        here.play(folder.name, beyond[beyond["setting"] == folder.name], _ENCODER_SEEDS, encoder=encoder)
    if asked.large_seeds:
        own = beyond[beyond["setting"] == LARGE_SETTING]
        here.play(LARGE_SETTING, own, asked.large_seeds, max_rows=LARGE_ROWS, episode=LARGE_EPISODE)
    text = markdown(here.tables, here.made_on) + oracle_shares(here.tables["batch-5"], asked.results)
    write_atomically(asked.out / "adjusted.md", text)
    return text


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit status."""
    parser = study_parser(__doc__, "adjusted", "results/transfer", seeds=48, data=True)
    parser.add_argument(
        "--policies", nargs="+", metavar="FOLD=FOLDER",
        default=["a=results/adjusted-a/policy", "b=results/adjusted-b/policy"],
        help="policy that was adjusted on each fold",
    )  # fmt: skip
    parser.add_argument(
        "--own-fold", action="store_true", help="play each policy on the fold that it was adjusted on"
    )
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder of the earlier studies")
    parser.add_argument("--encoders", type=Path, nargs="*", default=[], help="folders of checkpoints")
    parser.add_argument(
        "--large-seeds", type=paired_seeds_or_none, default=8,
        help="paired episodes of 1,000 labels; 0 for none",
    )  # fmt: skip
    return run_study(parser, arguments, study)


if __name__ == "__main__":
    sys.exit(main())
