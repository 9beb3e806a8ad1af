"""Query strategies on named entities, paid by the token, and what papers claim about them.

``python -m react_rl.experiments.studies.tagging --english DIR ... --chinese DIR ...`` plays a
linear tagger on frozen token states: pool 500, 200 dev sentences, 10 sentences to begin with, rounds of 10
sentences, a budget of three tenths of the pool's tokens. Every strategy meets the same seeds. A corpus
that has been played is kept in the table and not played again.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import matplotlib
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure

from react_rl.acquisition import make_strategy
from react_rl.data.config import CorpusConfig
from react_rl.encoders.config import EncoderConfig
from react_rl.errors import ReActError
from react_rl.experiments.benchmarks.machine import describe_machine, name_processor
from react_rl.experiments.figures.drawing import save_figures
from react_rl.experiments.figures.looks import STYLE, looks_of
from react_rl.experiments.run.episodes import play
from react_rl.experiments.run.full_data import ALL_LABELS
from react_rl.experiments.studies.command import run_study, say, study_parser
from react_rl.experiments.studies.growing import GrowingTable
from react_rl.files import write_atomically
from react_rl.learners.linear.tagger import TaggerSettings
from react_rl.metrics import area_to_budget, paired_difference
from react_rl.simulation.corpora import prepare
from react_rl.simulation.encoded import EncodedCorpus
from react_rl.simulation.options import EpisodeOptions

STRATEGIES: Final = (
    *("random", "mnlp", "token-entropy", "total-token-entropy", "sequence-confidence", "tag-count"),
    *("fluctuation", "distinct:mnlp", "margin", "mixture", "uncertainty-herding"),
)
METRIC: Final = "entity_f1"
SHARE: Final = 0.3
"""Share of the pool's tokens that a budget pays for."""
POOL: Final = 500


_LIMITS: Final = (
    "Where F1 stays low even with all labels, the differences say little about strategies. On the Chinese",
    "corpora it does. Token states of multilingual-e5 are nearly parallel (mean cosine .87 on Resume), so",
    "all states are taken less their mean over the train split. Fine-tuning is far ahead of frozen states",
    "([two seeds on CoNLL-2003](finetuned.md)).",
    "",
    "Not played: `token-bald`, as the frozen tagger has no dropout; `learned`, whose features are class",
    "probabilities. Policies for tagging are trained by `react-rl imitate`",
    "([on sentences](../../agents/README.md#on-sentences-and-questions)); what one that learned on two "
    "corpora makes on the others is on [a page of its own](policy.md), and it comes with the package "
    "([model card](../../agents/pretrained/README.md#model-card-learned-tagging)).",
)


def options_for(corpus: EncodedCorpus, share: float = SHARE) -> EpisodeOptions:
    """Sizes of an episode, the budget in tokens."""
    dev = min(200, corpus.corpus.ids("dev").size)
    mean = float(corpus.corpus.cost[corpus.corpus.ids("train")].mean())
    budget = round(share * POOL * mean)
    return EpisodeOptions(pool_size=POOL, dev_size=dev, initial_size=10, budget=budget, batch_size=10)


def measure(corpus: EncodedCorpus, strategies: Sequence[str], seeds: int) -> pd.DataFrame:
    """Play strategies on a corpus.

    Returns:
        One row for each strategy, seed and round: tokens paid, share of the pool's tokens, test F1.
    """
    options, rows = options_for(corpus), []
    total = options.budget / SHARE
    for name in strategies:
        played = play(
            corpus, make_strategy(name), range(seeds), options, [METRIC], learner=TaggerSettings()
        ).results
        say(f"{corpus.name}: {name}")
        for seed, record in enumerate(played):
            for cost, f1 in zip(record["cost"], record["test"][METRIC], strict=True):
                rows.append((corpus.name, name, seed, cost, cost / total, f1))
    # All labels, in rounds of 50, so that the model has steps enough to learn from them.
    price = float(np.sort(corpus.corpus.cost[corpus.corpus.ids("train")])[::-1][: POOL - 10].sum())
    whole = options.model_copy(update={"budget": price, "batch_size": 49})
    for seed, record in enumerate(
        play(
            corpus, make_strategy("random"), range(min(seeds, 8)), whole, [METRIC], learner=TaggerSettings()
        ).results
    ):
        rows.append((corpus.name, ALL_LABELS, seed, record["cost"][-1], 1.0, record["test"][METRIC][-1]))
    return pd.DataFrame(rows, columns=["corpus", "strategy", "seed", "tokens", "share", "f1"])


def areas(table: pd.DataFrame, corpus: str, strategy: str) -> npt.NDArray[np.float64]:
    """Area under the curve of each seed, over the span of tokens that all seeds of the corpus paid for."""
    own = table[(table["corpus"] == corpus) & (table["strategy"] == strategy)]
    ends = table[(table["corpus"] == corpus) & (table["strategy"] != ALL_LABELS)].groupby(
        ["strategy", "seed"]
    )
    end = float(ends["tokens"].max().min())
    return np.array(
        [
            area_to_budget(one["tokens"].to_numpy(float), one["f1"].to_numpy(float), end)
            for _, one in own.groupby("seed")
        ]
    )


def share_to_reach(table: pd.DataFrame, corpus: str, strategy: str, goal: float) -> float:
    """Share of the pool's tokens at which the mean curve first reaches ``goal``; NaN where it never does."""
    own = table[(table["corpus"] == corpus) & (table["strategy"] == strategy)]
    grid = np.linspace(0.0, SHARE, 61)
    curves = [
        np.interp(grid, one["share"].to_numpy(float), one["f1"].to_numpy(float))
        for _, one in own.groupby("seed")
    ]
    reached = np.flatnonzero(np.mean(curves, axis=0) >= goal)
    return float(grid[reached[0]]) if reached.size else float("nan")


def page(table: pd.DataFrame, command: str) -> str:
    """The page of the study: areas, differences to random, claims."""
    rng = np.random.default_rng(0)
    corpora = list(dict.fromkeys(table["corpus"]))
    strategies = [one for one in dict.fromkeys(table["strategy"]) if one != ALL_LABELS]
    found = {(c, s): areas(table, c, s) for c in corpora for s in strategies}
    seeds = min(len(values) for values in found.values())
    machine = describe_machine()
    lines = [
        "# Named entities, paid by the token",
        "",
        f"Linear tagger on frozen token states, {seeds} paired seeds, test F1 of whole entities (seqeval), "
        f"pool {POOL} sentences, budget {SHARE:.0%} of the pool's tokens ({name_processor(machine)}). Area "
        "under the curve of F1 against tokens, divided by its span.",
        "",
        f"    {command}",
        "",
        "![Mean curves of F1 against the share of tokens paid](curves.png)",
        "",
        "| area | " + " | ".join(corpora) + " | mean |",
        "| --- |" + " --- |" * (len(corpora) + 1),
    ]
    for strategy in strategies:
        values = [float(found[corpus, strategy].mean()) for corpus in corpora]
        cells = [f"{value:.3f}" for value in (*values, float(np.mean(values)))]
        lines.append(f"| `{strategy}` | " + " | ".join(cells) + " |")
    full = [
        float(table[(table["corpus"] == c) & (table["strategy"] == ALL_LABELS)]["f1"].mean()) for c in corpora
    ]
    lines.append("| F1 with all labels | " + " | ".join(f"{v:.3f}" for v in (*full, np.mean(full))) + " |")
    lines += ["", *_LIMITS]
    lines += ["", "| area minus random | " + " | ".join(corpora) + " |", "| --- |" + " --- |" * len(corpora)]
    for strategy in strategies:
        if strategy == "random":
            continue
        gaps = [paired_difference(found[c, strategy], found[c, "random"], rng) for c in corpora]
        lines.append(f"| `{strategy}` | " + " | ".join(gap.signed(3) for gap in gaps) + " |")
    lines += ["", "## What papers claim", ""]
    lines += [f"- {line}" for line in _claims(table, found, corpora, full, rng)]
    return "\n".join([*lines, ""])


def _claims(
    table: pd.DataFrame,
    found: dict[tuple[str, str], npt.NDArray[np.float64]],
    corpora: Sequence[str],
    full: Sequence[float],
    rng: np.random.Generator,
) -> list[str]:
    def verdict(better: str, worse: str) -> str:
        gaps = [paired_difference(found[c, better], found[c, worse], rng) for c in corpora]
        above = sum(gap.low > 0 for gap in gaps)
        below = sum(gap.high < 0 for gap in gaps)
        return f"significantly above on {above} of {len(corpora)} corpora, below on {below}"

    reached = [share_to_reach(table, c, "mnlp", 0.99 * whole) for c, whole in zip(corpora, full, strict=True)]
    at_end = [
        float(
            table[(table["corpus"] == c) & (table["strategy"] == "mnlp")].groupby("seed")["f1"].last().mean()
        )
        / whole
        for c, whole in zip(corpora, full, strict=True)
    ]
    shares = ", ".join(
        f"{c} {share:.0%}" if np.isfinite(share) else f"{c} not within {SHARE:.0%} ({end:.0%} there)"
        for c, share, end in zip(corpora, reached, at_end, strict=True)
    )
    return [
        "Entropy of the whole sentence picks long sentences and loses to length-normalised confidence where "
        f"tokens are paid (after Settles & Craven 2008): `mnlp` against `total-token-entropy` is "
        f"{verdict('mnlp', 'total-token-entropy')}.",
        "MNLP reaches 99 % of what all labels give with about a quarter of the tokens (Shen et al. 2017, "
        f"with a network trained on all of CoNLL): {shares}.",
        f"Tag count is ahead of random (Kohl et al. 2024): {verdict('tag-count', 'random')}. To `mnlp`: "
        f"{verdict('tag-count', 'mnlp')}.",
        f"So is fluctuation (Kohl et al. 2024): {verdict('fluctuation', 'random')}. To `mnlp`, which it adds "
        f"to: {verdict('fluctuation', 'mnlp')}.",
        "Passing over near-copies helps: `distinct:mnlp` against `mnlp` is "
        f"{verdict('distinct:mnlp', 'mnlp')}.",
        f"`mixture` (no dev labels, no classes: margin, density, novelty) against `mnlp`: "
        f"{verdict('mixture', 'mnlp')}.",
    ]


SHOWN: Final = ("random", "mnlp", "total-token-entropy", "tag-count", "mixture", "uncertainty-herding")


def figure(table: pd.DataFrame) -> Figure:
    """Mean curves of some strategies, a panel for each corpus."""
    corpora = list(dict.fromkeys(table["corpus"]))
    looks = looks_of(SHOWN, ())
    with matplotlib.rc_context(STYLE):
        rows = -(-len(corpora) // 3)
        drawn = Figure(figsize=(10.0, 2.9 * rows), dpi=110, layout="constrained")
        axes = drawn.subplots(rows, min(len(corpora), 3), squeeze=False).flatten()
        grid = np.linspace(0.0, SHARE, 61)
        for ax, corpus in zip(axes, corpora, strict=False):
            own = table[table["corpus"] == corpus]
            for strategy in SHOWN:
                curves = [
                    np.interp(grid, one["share"].to_numpy(float), one["f1"].to_numpy(float))
                    for _, one in own[own["strategy"] == strategy].groupby("seed")
                ]
                look = {key: value for key, value in looks[strategy].items() if key != "marker"}
                ax.plot(100 * grid, np.mean(curves, axis=0), label=strategy, **look)
            whole = own[own["strategy"] == ALL_LABELS]["f1"].mean()
            ax.axhline(whole, color="0.5", ls="--", lw=1, label="all labels")
            ax.set_title(corpus, fontsize=10)
            ax.set_xlabel("share of the pool's tokens paid (%)")
            ax.set_ylabel("test F1 of entities")
        for ax in axes[len(corpora) :]:
            ax.set_axis_off()
        drawn.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return drawn


def study(asked: argparse.Namespace) -> str:
    """Play what is not in the table yet, and write table, figure and page."""
    table = GrowingTable(asked.out / "curves.csv", ("corpus", "strategy"), ("seed", "tokens"))
    wanted = [(one, EncoderConfig()) for one in asked.english]
    wanted += [(one, EncoderConfig(model=asked.chinese_encoder)) for one in asked.chinese]
    for source, encoder in wanted:
        name = Path(source).name
        if all(table.holds(asked.seeds, corpus=name, strategy=one) for one in STRATEGIES):
            continue
        corpus = prepare([CorpusConfig(corpus=source, name=name, max_rows=asked.rows)], encoder, "cpu")[0]
        table.add(measure(corpus, STRATEGIES, asked.seeds))
    if table.frame.empty:
        raise ReActError("There is nothing to play; name corpora with --english or --chinese.")
    english, chinese = (
        " ".join(f"DATA/{Path(one).name}" for one in some) for some in (asked.english, asked.chinese)
    )
    command = (
        f"python -m react_rl.experiments.studies.tagging --english {english} --chinese {chinese} "
        f"--chinese-encoder MODELS/{Path(asked.chinese_encoder).name} "
        f"--rows {asked.rows} --seeds {asked.seeds}"
    )
    text = page(table.frame, command)
    save_figures(asked.out, {"curves": figure(table.frame)}, formats=("png",))
    write_atomically(asked.out / "README.md", text)
    return text


def add_corpora(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say which corpora of sentences are played, under which encoders."""
    parser.add_argument("--english", nargs="*", default=[], help="corpora for the default encoder")
    parser.add_argument("--chinese", nargs="*", default=[], help="corpora for --chinese-encoder")
    parser.add_argument("--chinese-encoder", default="", help="folder or hub name of an encoder")
    parser.add_argument("--rows", type=int, default=4000, help="sentences kept of each corpus")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit status."""
    parser = study_parser(__doc__, "tagging", "results/tagging", seeds=32)
    add_corpora(parser)
    return run_study(parser, arguments, study)


if __name__ == "__main__":
    sys.exit(main())
