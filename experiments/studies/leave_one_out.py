"""How far the leave-one-out accuracy of the labelled rows is from the accuracy on the test split.

Bias and error for evenly drawn rows and for rows that strategies chose, beside a dev set of as many rows.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd
import torch

from react_rl.acquisition.registry import make_strategy
from react_rl.data.config import CorpusConfig
from react_rl.encoders.config import EncoderConfig
from react_rl.envs.batched import episode_streams
from react_rl.experiments.analysis.csv_files import csv_text
from react_rl.experiments.run.episodes import TestSplit
from react_rl.experiments.studies.command import run_study, study_parser
from react_rl.files import write_atomically
from react_rl.learners.linear.calibration import leave_one_out_accuracy
from react_rl.simulation.corpora import prepare
from react_rl.simulation.encoded import EncodedCorpus
from react_rl.simulation.engine import LabelingEngine
from react_rl.simulation.options import EpisodeOptions

CORPORA: Final = ("bbc_news", "crowd_tweets")
STRATEGIES: Final = ("random", "margin", "mixture")
EPISODE: Final = EpisodeOptions(pool_size=500, dev_size=200, initial_size=10, budget=80, batch_size=5)
CHECKPOINTS: Final = (10, 30, 50, 90)
_TEST_ROWS: Final = 2000
_DIGITS: Final = 4


def measure(
    corpus: EncodedCorpus,
    strategies: Sequence[str] = STRATEGIES,
    seeds: int = 48,
    episode: EpisodeOptions = EPISODE,
    checkpoints: Sequence[int] = CHECKPOINTS,
) -> pd.DataFrame:
    """Compare the leave-one-out accuracy with the test accuracy of the same models.

    Args:
        corpus: The corpus.
        strategies: Who chooses the rows.
        seeds: Paired episodes of each strategy.
        episode: Sizes of an episode.
        checkpoints: Numbers of labels at which to compare.

    Returns:
        One row for each strategy and checkpoint: test accuracy, mean of leave-one-out minus test (bias), root
        mean square of the same (error), and ``dev_error``, the standard error of a dev set that has as many
        rows as are labelled, all means over the seeds.
    """
    lines = []
    for name in strategies:
        engine, strategy = LabelingEngine([corpus], episode, seeds), make_strategy(name)
        engine.reset([episode_streams(seed, corpus.name) for seed in range(seeds)], None, [0] * seeds)
        test = TestSplit(corpus, _TEST_ROWS)
        while True:
            labels = int(engine.labels[0])
            if labels in checkpoints:
                truth = test.measure(engine, ["accuracy"])["accuracy"]
                off = leave_one_out_accuracy(engine.view).double().cpu().numpy() - truth
                dev = np.sqrt((truth * (1.0 - truth) / labels).mean())
                error = np.sqrt((off**2).mean())
                lines.append((corpus.name, name, labels, truth.mean(), off.mean(), error, dev))
            if engine.finished.all():
                break
            with torch.inference_mode():
                engine.step(strategy.select(engine.view, episode.batch_size))
    columns = ["corpus", "strategy", "labels", "test", "bias", "error", "dev_error"]
    return pd.DataFrame(lines, columns=columns)


def table(found: pd.DataFrame) -> str:
    """The same as a Markdown table."""
    lines = [
        "| corpus | rows chosen by | labels | test accuracy | bias | error | error of as many dev rows |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {row['corpus']} | {row['strategy']} | {row['labels']} | {row['test']:.3f} | {row['bias']:+.3f} "
        f"| {row['error']:.3f} | {row['dev_error']:.3f} |"
        for row in found.to_dict("records")
    ]
    return "\n".join(lines) + "\n"


def study(asked: argparse.Namespace) -> str:
    """Measure, and write the table."""
    configs = [CorpusConfig(corpus=name, max_rows=4000) for name in asked.corpora]
    corpora = prepare(configs, EncoderConfig(max_length=128), "auto", episode=EPISODE)
    found = pd.concat([measure(corpus, seeds=asked.seeds) for corpus in corpora], ignore_index=True)
    write_atomically(asked.out / "table.csv", csv_text(found.round(_DIGITS)))
    write_atomically(asked.out / "table.md", table(found))
    return table(found)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit status."""
    parser = study_parser(__doc__, "leave_one_out", "results/benchmarks/leave_one_out", seeds=48)
    parser.add_argument("--corpora", nargs="+", default=list(CORPORA), help="built-in names or paths")
    return run_study(parser, arguments, study)


if __name__ == "__main__":
    sys.exit(main())
