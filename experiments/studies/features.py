"""What one row is worth that a feature likes best: true gains on corpora that no choice was made on.

In states of episodes that the mixture plays, every feature, as a scorer of its own, names the row it wants
most. The look-ahead expert tells how much soft accuracy on dev rows each of these rows would bring, and how
much rows drawn at random bring on average. Features that move are taken as they stand before the first pick.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import matplotlib
import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from matplotlib.figure import Figure

from react_rl.acquisition.features import FEATURES
from react_rl.acquisition.registry import make_strategy
from react_rl.acquisition.strategies.weighted import FEATURE
from react_rl.agents.imitation.expert import LookAhead
from react_rl.agents.learned import load_strategy
from react_rl.agents.scorer_folder import pretrained_folder
from react_rl.data.config import CorpusConfig
from react_rl.encoders.config import EncoderConfig
from react_rl.envs.batched import episode_streams
from react_rl.experiments.analysis.csv_files import csv_text
from react_rl.experiments.figures.drawing import save_figures
from react_rl.experiments.figures.looks import STYLE
from react_rl.experiments.studies.adjusted import BEGUN
from react_rl.experiments.studies.command import run_study, say, study_parser
from react_rl.experiments.studies.gaps import half_interval
from react_rl.files import write_atomically
from react_rl.simulation.corpora import prepare
from react_rl.simulation.encoded import EncodedCorpus
from react_rl.simulation.engine import LabelingEngine
from react_rl.simulation.options import EpisodeOptions

Floats = npt.NDArray[np.float64]

CORPORA: Final = (
    *("sst2", "mr", "cola", "davidson_hate", "yelp_sentences"),
    *("tweeteval_sentiment/test.jsonl.gz", "20newsgroups", "banking77"),
)
"""Corpora by which nothing that ships was chosen."""

STRATEGIES: Final = ("mixture", "uncertainty-herding", "badge", "typiclust", BEGUN)
"""Strategies that name a row each, beside the features; ``learned`` was adjusted on these corpora."""

EPISODE: Final = EpisodeOptions(pool_size=500, dev_size=160, initial_size=10, budget=80, batch_size=5)
LABELS: Final = (10, 25, 50, 85)
"""Labels of the states that are judged."""

DRAWN: Final = 24
"""Rows drawn at random in each state; their mean is 0, their best says what could be gained."""

BEST: Final = "best of the rows drawn"
_ROWS: Final = 2500


@dataclass(frozen=True)
class Worth:
    """Gain of one row over the mean of rows drawn at random, in soft accuracy.

    Args:
        name: Who names the row.
        mean: Over corpora, states and seeds.
        half: Half of the 95 % t-interval over seeds.
        better: Share of states in which the row is better than the mean of the rows drawn.
        at: Mean at each number of labels.
        corpora: Mean on each corpus.
    """

    name: str
    mean: float
    half: float
    better: float
    at: Mapping[int, float]
    corpora: Mapping[str, float]


def contestants() -> list[str]:
    """Names of strategies: one of each feature that reads no price or text, then ``STRATEGIES``."""
    of_content = [name for name, one in FEATURES.items() if not {"costs", "texts", "tokens"} & one.needs]
    return [*(f"{FEATURE}{name}" for name in of_content), *STRATEGIES]


def gains(
    corpus: EncodedCorpus,
    names: Sequence[str],
    seeds: int,
    episode: EpisodeOptions = EPISODE,
    labels: Sequence[int] = LABELS,
) -> Floats:
    """Gain of the row that each strategy names, and of the best row drawn ``(seeds, states, K + 1)``.

    Args:
        corpus: The corpus.
        names: Strategies, K of them.
        seeds: Episodes.
        episode: Their sizes.
        labels: Numbers of labels at which rows are judged, ascending.
    """
    engine = LabelingEngine([corpus], episode, seeds)
    engine.reset([episode_streams(seed, corpus.name) for seed in range(seeds)], None, [0] * seeds)
    strategies = [
        load_strategy(pretrained_folder(name), name) if name == BEGUN else make_strategy(name)
        for name in names
    ]
    expert = LookAhead(engine)
    player, random = make_strategy("mixture"), make_strategy("random")
    remembering = [one for name, one in FEATURES.items() if one.remembers and f"{FEATURE}{name}" in names]
    found = []
    while True:
        for feature in remembering:
            feature(engine.view)
        if int(engine.labels[0]) in labels:
            view = engine.view
            named = torch.cat([strategy.select(view, 1) for strategy in strategies], 1)
            rows = torch.cat([named, random.select(view, DRAWN)], 1)  # (E, K + DRAWN)
            values = expert.values(rows[:, :, None])
            drawn = values[:, len(names) :]
            mean = drawn.mean(1, keepdims=True)
            best = drawn.max(1, keepdims=True) - mean
            found.append(np.concatenate([values[:, : len(names)] - mean, best], 1))
        if len(found) == len(labels) or engine.finished.all():
            return np.stack(found, 1)
        engine.step(player.select(engine.view, episode.batch_size))


def worths(found: Mapping[str, Floats], names: Sequence[str], labels: Sequence[int] = LABELS) -> list[Worth]:
    """Means and intervals, best first.

    Args:
        found: What ``gains`` gave on each corpus.
        names: The strategies of ``gains``.
        labels: Its states.
    """
    whole = np.stack(list(found.values()))  # (corpora, seeds, states, K + 1)
    each = whole.mean((0, 2))  # (seeds, K + 1)
    half = half_interval(each)
    told = [
        Worth(
            name.removeprefix(FEATURE) if name.startswith(FEATURE) else name,
            float(each[:, k].mean()),
            float(half[k]),
            float((whole[..., k] > 0).mean()),
            {label: float(whole[:, :, s, k].mean()) for s, label in enumerate(labels)},
            {corpus: float(one[..., k].mean()) for corpus, one in found.items()},
        )
        for k, name in enumerate([*names, BEST])
    ]
    return sorted(told, key=lambda one: -one.mean)


def markdown(told: Sequence[Worth], seeds: int) -> str:
    """The same as a table, gains x 1,000."""
    first = told[0]
    lines = [
        f"Soft accuracy gained by one row x 1,000 over a row drawn at random; {len(first.corpora)} corpora, "
        f"{seeds} seeds each; 95 % t-intervals over seeds. Strategies are in bold.",
        "",
        f"| who names the row | gain | better than a random row | {' | '.join(f'at {n}' for n in first.at)} |"
        f" {' | '.join(first.corpora)} |",
        f"| --- | --- |{' ---: |' * (1 + len(first.at) + len(first.corpora))}",
    ]
    for one in told:
        name = f"**{one.name}**" if one.name in STRATEGIES else one.name
        numbers = [*one.at.values(), *one.corpora.values()]
        lines.append(
            f"| {name} | {1000 * one.mean:+.2f} [{1000 * (one.mean - one.half):+.2f}, "
            f"{1000 * (one.mean + one.half):+.2f}] | {one.better:.2f} | "
            f"{' | '.join(f'{1000 * number:+.1f}' for number in numbers)} |"
        )
    return "\n".join(lines) + "\n"


def draw(told: Sequence[Worth]) -> Figure:
    """One bar for each feature and strategy; the best row drawn is left out."""
    shown = [one for one in reversed(told) if one.name != BEST]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 0.22 * len(shown) + 0.9), layout="constrained")
        panel = figure.subplots()
        panel.barh(
            range(len(shown)),
            [1000 * one.mean for one in shown],
            xerr=[1000 * one.half for one in shown],
            color=["#E69F00" if one.name in STRATEGIES else "#0072B2" for one in shown],
            error_kw={"linewidth": 0.9},
        )
        panel.set_yticks(range(len(shown)), [one.name for one in shown])
        panel.set_ylim(-0.7, len(shown) - 0.3)
        panel.set_xlabel("soft accuracy x 1,000 gained over a random row (orange: strategies)")
        panel.axvline(0, color="0.3", linewidth=0.9)
        panel.grid(axis="y", visible=False)
    return figure


def measure(corpora: Sequence[EncodedCorpus], seeds: int, say: Callable[[str], None] = print) -> list[Worth]:
    """Judge every feature and strategy on all corpora."""
    names, found = contestants(), {}
    for corpus in corpora:
        found[corpus.name] = gains(corpus, names, seeds)
        say(f"{corpus.name} is done")
    return worths(found, names)


def study(asked: argparse.Namespace) -> str:
    """Judge every feature, and write numbers, table and figure."""
    configs = [
        CorpusConfig(corpus=str(asked.data / name), name=name.split("/")[0], max_rows=_ROWS)
        for name in asked.corpora
    ]
    corpora = prepare(configs, EncoderConfig(max_length=128), "cpu", episode=EPISODE)
    with torch.inference_mode():
        told = measure(corpora, asked.seeds, say)
    flat = [
        {"name": one.name, "gain": one.mean, "half_interval": one.half, "better": one.better}
        | {f"at_{label}": value for label, value in one.at.items()}
        | dict(one.corpora)
        for one in told
    ]
    write_atomically(asked.out / "features.csv", csv_text(pd.DataFrame(flat).round(6)))
    write_atomically(asked.out / "table.md", markdown(told, asked.seeds))
    save_figures(asked.out, {"features": draw(told)})
    return markdown(told, asked.seeds)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit status."""
    parser = study_parser(__doc__, "features", "results/features", seeds=48, data=True)
    parser.add_argument("--corpora", nargs="+", default=list(CORPORA), help="their files or folders there")
    return run_study(parser, arguments, study)


if __name__ == "__main__":
    sys.exit(main())
