"""Tuning the mixture again, with every feature: random search by successive halving on corpora for choices.

A candidate is a handful of features with weights. Its worth is the area under the dev accuracy curve, minus
that of the mixture on the same pools and seeds. The best survive into rounds with more seeds, and the winner
is played once more on seeds that chose nothing. No test row is looked at.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from react_rl.acquisition.features import FEATURES
from react_rl.acquisition.strategies.weighted import MIXTURE, WeightedFeatures
from react_rl.agents.evaluation import Validation
from react_rl.data.config import CorpusConfig
from react_rl.encoders.config import EncoderConfig
from react_rl.experiments.analysis.csv_files import csv_text
from react_rl.experiments.studies.command import run_study, say, study_parser
from react_rl.experiments.studies.gaps import Gap
from react_rl.experiments.studies.transfer import CHOICES
from react_rl.files import write_atomically
from react_rl.simulation.corpora import prepare
from react_rl.simulation.encoded import EncodedCorpus
from react_rl.simulation.options import EpisodeOptions
from react_rl.simulation.world import World

Floats = npt.NDArray[np.float64]

GENERATED: Final = ("generated:bbc_news?seed=0-2", "generated:crowd_tweets?seed=0-2")
"""Tasks under invented labels, beside the corpora for choices."""

EPISODE: Final = EpisodeOptions(pool_size=500, dev_size=300, initial_size=10, budget=80, batch_size=5)

LATER: Final = ("expected_change", "cluster_gap", "bald", "flips")
"""Features that were built after the search."""

OF_CONTENT: Final = tuple(
    name
    for name, feature in FEATURES.items()
    if not {"costs", "texts", "tokens"} & feature.needs and name not in LATER
)
"""Features that may get a weight: all of the others that do not look at prices or at the length of texts."""

HALVINGS: Final = ((64, 2), (20, 6), (6, 20))
"""Candidates and seeds of each round of the search."""

_ROWS: Final = 2500
_GENERATED_ROWS: Final = 4000
_AT_ONCE: Final = 112
"""Episodes that are played side by side."""

_FIRST_SEED: Final = 2_000_000


@dataclass(frozen=True)
class Tried:
    """A candidate and what it brought.

    Args:
        weights: By feature.
        stage: Round of the search, from 1; one more for the final play on fresh seeds.
        seeds: Paired seeds on each corpus.
        gain: Area minus that of the mixture, mean over corpora and seeds.
        half: Half of the 95 % t-interval over seeds.
        ahead: Corpora where the mean is above the mixture's.
    """

    weights: Mapping[str, float]
    stage: int
    seeds: int
    gain: float
    half: float
    ahead: int


def drawn(rng: np.random.Generator) -> dict[str, float]:
    """A candidate: two to six features, or the mixture shaken with up to three further ones.

    Weights are log-normal around those of the mixture, or around .7.
    """
    shaken = bool(rng.random() < 0.5)
    base = dict(MIXTURE) if shaken else {}
    others = [name for name in OF_CONTENT if name not in base]
    count = int(rng.integers(0, 4)) if shaken else int(rng.integers(2, 7))
    chosen = sorted(rng.choice(len(others), count, replace=False).tolist())
    base |= {others[i]: 0.7 for i in chosen}
    return {name: round(float(weight * np.exp(rng.normal(0.0, 0.6))), 2) for name, weight in base.items()}


class Court:
    """Plays candidates and the mixture on the same episodes.

    Args:
        corpora: Where.
        options: Episodes.
        first_seed: Seed of the first episode of every corpus.
    """

    def __init__(self, corpora: Sequence[EncodedCorpus], options: EpisodeOptions, first_seed: int) -> None:
        self._corpora, self._options, self._first = list(corpora), options, first_seed
        self._parts: dict[int, list[Validation]] = {}
        self._mixture: dict[int, Floats] = {}

    def gains(self, weights: Mapping[str, float], seeds: int) -> Floats:
        """Areas minus those of the mixture ``(seeds, corpora)``."""
        if seeds not in self._mixture:
            self._parts = {seeds: self._episodes(seeds)}
            self._mixture[seeds] = self._areas(MIXTURE, seeds)
        return self._areas(weights, seeds) - self._mixture[seeds]

    def _episodes(self, seeds: int) -> list[Validation]:
        together = max(1, _AT_ONCE // len(self._corpora))
        return [
            Validation(
                [World(self._corpora, self._options)],
                min(together, seeds - start) * len(self._corpora),
                self._first + start,
            )
            for start in range(0, seeds, together)
        ]

    def _areas(self, weights: Mapping[str, float], seeds: int) -> Floats:
        strategy = WeightedFeatures("candidate", weights)
        found = [part.areas(strategy) for part in self._parts[seeds]]
        return np.concatenate(found).reshape(seeds, len(self._corpora))


def search(
    corpora: Sequence[EncodedCorpus],
    options: EpisodeOptions = EPISODE,
    halvings: Sequence[tuple[int, int]] = HALVINGS,
    seed: int = 0,
    say: Callable[[str], None] = print,
) -> list[Tried]:
    """Search; the last entry is the winner on seeds that chose nothing.

    Args:
        corpora: Where candidates are judged.
        options: Episodes.
        halvings: Candidates and seeds of each round.
        seed: Of the candidates.
        say: Told about each round.
    """
    rng = np.random.default_rng(seed)
    candidates: list[Mapping[str, float]] = [drawn(rng) for _ in range(halvings[0][0])]
    tried: list[Tried] = []
    court = Court(corpora, options, _FIRST_SEED)
    for stage, (count, seeds) in enumerate(halvings, 1):
        judged = [_judged(court, weights, stage, seeds) for weights in candidates[:count]]
        judged.sort(key=lambda one: -one.gain)
        tried += judged
        candidates = [one.weights for one in judged]
        say(f"round {stage}: the best of {len(judged)} is {judged[0].gain:+.4f} {dict(judged[0].weights)}")
    last = halvings[-1][1]
    fresh = Court(corpora, options, _FIRST_SEED + 1000)
    tried.append(_judged(fresh, candidates[0], len(halvings) + 1, last))
    say(f"on fresh seeds: {tried[-1].gain:+.4f} +- {tried[-1].half:.4f}")
    return tried


def _judged(court: Court, weights: Mapping[str, float], stage: int, seeds: int) -> Tried:
    found = Gap.of(court.gains(weights, seeds))
    return Tried(weights, stage, seeds, found.mean, found.half, found.ahead)


def table(tried: Sequence[Tried]) -> str:
    """What was tried as CSV: a column for each feature."""
    lines = [
        {
            "stage": one.stage,
            "seeds": one.seeds,
            "gain": round(one.gain, 5),
            "half_interval": round(one.half, 5),
            "corpora_ahead": one.ahead,
        }
        | {name: one.weights.get(name, 0.0) for name in OF_CONTENT}
        for one in tried
    ]
    return csv_text(pd.DataFrame(lines))


def prepared(data: Path, encoder: EncoderConfig) -> list[EncodedCorpus]:
    """The corpora for choices in folder ``data``, and the generated tasks, encoded."""
    real = [CorpusConfig(corpus=str(data / name), name=name, max_rows=_ROWS) for name in CHOICES]
    invented = [CorpusConfig(corpus=name, max_rows=_GENERATED_ROWS) for name in GENERATED]
    return prepare([*real, *invented], encoder, "cpu", episode=EPISODE)


def study(asked: argparse.Namespace) -> str:
    """Search, and write what was tried."""
    corpora = prepared(asked.data, EncoderConfig(max_length=128))
    with torch.inference_mode():
        tried = search(corpora, seed=asked.seed, say=say)
    write_atomically(asked.out / "tuned_mixture.csv", table(tried))
    return f"The best on fresh seeds: {tried[-1].gain:+.4f} {dict(tried[-1].weights)}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit status."""
    parser = study_parser(__doc__, "tuned_mixture", "results/rivals")
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder of the corpora for choices")
    parser.add_argument("--seed", type=int, default=0, help="of the candidates")
    return run_study(parser, arguments, study)


if __name__ == "__main__":
    sys.exit(main())
