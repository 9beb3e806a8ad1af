"""A policy for tagging on corpora it has never seen, against fixed strategies, paid by the token.

``python -m react_rl.experiments.studies.tagging_policy --data DIR --chinese-encoder MODEL`` trains a row
scorer by imitation on two corpora and plays it on the others, and the same with the two pairs swapped.
Episodes are those of ``studies.tagging``, whose table holds the fixed strategies on the same seeds. Each
policy is trained twice: on gains for each token, and on whole gains.

What has been trained or played is kept in the folder and not done again.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from react_rl.agents.evaluation import Validation
from react_rl.agents.folder import is_policy
from react_rl.agents.imitation.settings import ImitationSettings
from react_rl.agents.imitation.training import imitate
from react_rl.agents.scorer import ScorerStrategy
from react_rl.agents.scorer_folder import load_scorer
from react_rl.data.config import CorpusConfig
from react_rl.encoders.config import EncoderConfig
from react_rl.errors import ReActError
from react_rl.experiments.run.episodes import play
from react_rl.experiments.studies import tagging
from react_rl.experiments.studies.command import run_study, say, study_parser
from react_rl.experiments.studies.growing import GrowingTable
from react_rl.files import write_atomically
from react_rl.learners.linear.tagger import TaggerSettings
from react_rl.metrics import paired_difference
from react_rl.simulation.corpora import prepare
from react_rl.simulation.encoded import EncodedCorpus
from react_rl.simulation.options import EpisodeOptions
from react_rl.simulation.world import World
from react_rl.tasks.registry import TASK_METRIC

FOLDS: Final[dict[str, tuple[str, str]]] = {
    "edited": ("conll2003", "bc5cdr"),
    "informal": ("wnut17", "mit_restaurant"),
}
"""Training corpora of each policy; it is played on all others."""

CHINESE: Final = ("resume_ner_zh", "weibo_ner_zh")

GAINS: Final = {"per-token": "per-cost", "whole": "whole"}
"""What of a candidate is learned, by the name of the policy."""

RIVALS: Final = ("random", "mnlp", "mixture", "uncertainty-herding")

SETTINGS: Final = ImitationSettings(
    states=400,
    dagger_states=400,
    candidates=12,
    generated=0.5,
    initial_sizes=(5, 10, 10, 20),
    batch_sizes=(5, 10),
    rounds=(8, 12),
)
EPISODE: Final = EpisodeOptions(pool_size=400, dev_size=200, initial_size=10, budget=1000, batch_size=10)

Floats = npt.NDArray[np.float64]


def unseen(fold: str, chinese: Sequence[str]) -> list[str]:
    """Corpora that the policies of a fold are played on: the training corpora of others, and Chinese ones."""
    return [*(one for other, pair in FOLDS.items() if other != fold for one in pair), *chinese]


def trained(corpora: Sequence[EncodedCorpus], gain: str, folder: Path) -> ScorerStrategy:
    """The policy in a folder, trained first where there is none.

    Args:
        corpora: Training corpora.
        gain: See ``ImitationSettings``.
        folder: Where it is kept.
    """
    if not is_policy(folder / "policy"):
        dev = min(EPISODE.dev_size, *(one.corpus.ids("dev").size for one in corpora))
        world = World(corpora, EPISODE.model_copy(update={"dev_size": dev}), TaggerSettings())
        validation = Validation([world], 2, metric=TASK_METRIC)
        chosen = SETTINGS.model_copy(update={"gain": gain})
        imitate(corpora, validation, EPISODE, chosen, folder, "policy", learner=TaggerSettings())
    return load_scorer(folder / "policy")


def curves(corpus: EncodedCorpus, strategy: ScorerStrategy, name: str, seeds: int) -> pd.DataFrame:
    """Play a policy: one row for each seed and round, as ``tagging.measure`` has it."""
    options, rows = tagging.options_for(corpus), []
    total = options.budget / tagging.SHARE
    played = play(corpus, strategy, range(seeds), options, [tagging.METRIC], learner=TaggerSettings()).results
    for seed, record in enumerate(played):
        both = zip(record["cost"], record["test"][tagging.METRIC], strict=True)
        for turn, (cost, f1) in enumerate(both):
            rows.append((corpus.name, name, seed, turn, cost, cost / total, f1))
    return pd.DataFrame(rows, columns=["corpus", "strategy", "seed", "round", "tokens", "share", "f1"])


def page(table: pd.DataFrame, seeds: int, chinese: Sequence[str], command: str) -> str:
    """Areas on corpora never seen, and paired differences to each rival.

    Args:
        table: Curves of policies (``FOLD, GAIN``) and of ``RIVALS``.
        seeds: Paired seeds.
        chinese: Chinese corpora that are played.
        command: What made it.
    """
    rng = np.random.default_rng(0)
    policies = [one for one in dict.fromkeys(table["strategy"]) if one not in RIVALS]
    corpora = list(dict.fromkeys(table["corpus"]))
    kept = table[table["seed"] < seeds]
    found: dict[tuple[str, str], Floats] = {}
    for corpus in corpora:
        own = kept[kept["corpus"] == corpus]
        for strategy in dict.fromkeys(own["strategy"]):
            found[corpus, strategy] = tagging.areas(kept, corpus, strategy)
    lines = [
        "# A policy for tagging, on corpora never seen",
        "",
        f"Linear tagger on frozen token states, {seeds} paired seeds, episodes as on [the page of tagging]"
        "(README.md): pool 500, budget 30% of its tokens, area under test F1 against tokens. A row scorer is "
        "trained by imitation on two corpora (half of its tasks with invented types) and played on the "
        "others. `per-token`: it learns what a sentence brings for each token that it costs; `whole`: what "
        "it brings. Differences with 95 % intervals over seeds.",
        "",
        f"    {command}",
    ]
    for policy in policies:
        fold = policy.split(", ")[0]
        own = [corpus for corpus in corpora if (corpus, policy) in found]
        lines += [
            "",
            f"## Trained on {' and '.join(FOLDS[fold])}, gains {policy.split(', ')[1]}",
            "",
            "| | " + " | ".join(own) + " | mean |",
            "| --- |" + " --- |" * (len(own) + 1),
        ]
        lines.append(_row("area", [found[one, policy] for one in own]))
        for rival in RIVALS:
            pairs = [(found[one, policy], found[one, rival]) for one in own]
            gaps = [paired_difference(mine, theirs, rng).signed(3) for mine, theirs in pairs]
            whole = [np.mean(side, axis=0) for side in zip(*pairs, strict=True)]
            gaps.append(paired_difference(whole[0], whole[1], rng).signed(3))
            lines.append(f"| minus `{rival}` | " + " | ".join(gaps) + " |")
    states = SETTINGS.states + SETTINGS.dagger_rounds * SETTINGS.dagger_states
    lines += [
        "",
        f"A policy has learned from {states} states, {SETTINGS.candidates} candidates each, a minute of one "
        "processor; `learned` from sixty times as many.",
    ]
    gone = [
        f"{fold}, {title}, on {corpus}"
        for title in GAINS
        for fold in FOLDS
        for corpus in unseen(fold, chinese)
        if (corpus, f"{fold}, {title}") not in found
    ]
    if gone:
        lines += ["", "Of what the study would play, the following is missing, so this is a first look: "]
        lines[-1] += "; ".join(gone) + "."
    return "\n".join([*lines, ""])


def _row(title: str, values: Sequence[Floats]) -> str:
    means = [float(own.mean()) for own in values]
    cells = " | ".join(f"{mean:.3f}" for mean in (*means, float(np.mean(means))))
    return f"| {title} | {cells} |"


def study(asked: argparse.Namespace) -> str:
    """Train and play what is missing, and write the page."""
    out: Path = asked.out
    fixed = out / "curves.csv"
    if not fixed.is_file():
        raise ReActError(f"There is no {fixed}; run the study of tagging first.")
    rivals = pd.read_csv(fixed)
    rivals = rivals[rivals["strategy"].isin(RIVALS)]
    settings = {"rows": asked.rows, **SETTINGS.model_dump(mode="json")}
    names = ("corpus", "strategy")
    table = GrowingTable(out / "policy.csv", names, ("seed", "round"), digits=4, settings=settings)
    ready: dict[str, EncodedCorpus] = {}

    def corpus_of(name: str) -> EncodedCorpus:
        if name not in ready:
            chinese = name in asked.chinese
            encoder = EncoderConfig(model=asked.chinese_encoder) if chinese else EncoderConfig()
            config = CorpusConfig(corpus=str(asked.data / name), max_rows=asked.rows)
            ready[name] = prepare([config], encoder, "cpu")[0]
        return ready[name]

    for title in asked.gains:
        gain = GAINS[title]
        for fold in asked.folds:
            name = f"{fold}, {title}"
            wanted = unseen(fold, asked.chinese)
            missing = [one for one in wanted if not table.holds(asked.seeds, corpus=one, strategy=name)]
            if not missing:
                continue
            say(f"training: {name}")
            policy = trained([corpus_of(one) for one in FOLDS[fold]], gain, asked.policies / f"{fold}-{gain}")
            for one in missing:
                say(f"playing: {name} on {one}")
                table.add(curves(corpus_of(one), policy, name, asked.seeds))
            write_page(table.frame, rivals, asked)
    return write_page(table.frame, rivals, asked)


def write_page(policies: pd.DataFrame, rivals: pd.DataFrame, asked: argparse.Namespace) -> str:
    """Write the page of what has been played, and give it."""
    command = (
        "python -m react_rl.experiments.studies.tagging_policy --data DATA --chinese-encoder "
        f"MODELS/{Path(asked.chinese_encoder).name} --chinese {' '.join(asked.chinese)} --rows {asked.rows} "
        f"--seeds {asked.seeds} --folds {' '.join(asked.folds)} --gains {' '.join(asked.gains)}"
    )
    both = pd.concat([policies, rivals[rivals["corpus"].isin(set(policies["corpus"]))]], ignore_index=True)
    text = page(both, asked.seeds, asked.chinese, command)
    write_atomically(asked.out / "policy.md", text)
    return text


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the study."""
    parser = study_parser(__doc__, "tagging_policy", "results/tagging", seeds=16, data=True)
    parser.add_argument("--chinese-encoder", default="", help="folder or hub name of an encoder")
    parser.add_argument("--chinese", nargs="*", default=[*CHINESE], help="Chinese corpora that are played")
    parser.add_argument("--folds", nargs="+", default=[*FOLDS], choices=[*FOLDS], help="policies by training")
    parser.add_argument("--gains", nargs="+", default=[*GAINS], choices=[*GAINS], help="what they learn")
    parser.add_argument("--rows", type=int, default=4000, help="sentences kept of each corpus")
    parser.add_argument("--policies", type=Path, default=Path("results/tagging-policies"), help="kept there")
    return run_study(parser, arguments, study)


if __name__ == "__main__":
    sys.exit(main())
