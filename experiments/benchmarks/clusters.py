"""How tight the k-means of wide pools is, beside iterations of all rows until they rest, and scikit-learn's.

python -m react_rl.experiments.benchmarks.clusters work/pool-100000

reads a pool that ``selection.py`` drew and writes ``results/benchmarks/selection/clusters.csv``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final
from unittest import mock

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from sklearn.cluster import MiniBatchKMeans

from react_rl.acquisition.clustering import k_means
from react_rl.errors import ReActError
from react_rl.experiments.analysis.csv_files import csv_text
from react_rl.experiments.benchmarks.harness import benchmark_parser, run_benchmark, timed
from react_rl.experiments.benchmarks.selection_pool import PoolPlan, read_corpus, read_plan
from react_rl.files import write_atomically
from react_rl.simulation.engine import LabelingEngine
from react_rl.simulation.view import PoolView

CLUSTERS: Final = (100, 250)
_BATCH: Final = 5_000
"""Rows of a mini-batch of scikit-learn's, as Hacohen et al. 2022 use it."""

Way = Callable[[PoolView, int, int], float]
"""From a pool, a number of clusters and a repetition to the mean squared distance to the centroids."""


@dataclass(frozen=True)
class _Clusterer:
    """Our k-means.

    Args:
        wide: Rows from which on a pool counts as wide.
    """

    wide: int

    def __call__(self, view: PoolView, clusters: int, repetition: int) -> float:
        """Cluster the unlabelled rows; repetitions differ, because the stream goes on."""
        with mock.patch.object(k_means, "WIDE", self.wide):
            found = k_means.k_means(view, view.available, torch.tensor([clusters]))
        return float(found.distance[view.available].mean())


def mini_batches(view: PoolView, clusters: int, repetition: int) -> float:
    """scikit-learn's mini-batch k-means."""
    rows: npt.NDArray[np.float32] = view.embeddings[view.available].numpy()
    fitted = MiniBatchKMeans(clusters, batch_size=_BATCH, n_init=1, random_state=repetition).fit(rows)
    return float(fitted.inertia_) / len(rows)


WAYS: Final[dict[str, Way]] = {
    "all rows until they rest": _Clusterer(sys.maxsize),
    "wide pools": _Clusterer(0),
    "scikit-learn MiniBatchKMeans": mini_batches,
}


def measure(view: PoolView, repetitions: int) -> pd.DataFrame:
    """Mean squared distance and processor seconds of every way, number of clusters and repetition."""
    rows: list[tuple[int, str, int, float, float]] = []
    for clusters in CLUSTERS:
        for way, cluster in WAYS.items():
            for repetition in range(repetitions):
                distance, seconds = timed(partial(cluster, view, clusters, repetition))
                print(f"{clusters} clusters, {way}: {distance:.4f} in {seconds.processor:.2f} s", flush=True)
                rows.append((clusters, way, repetition, round(distance, 5), round(seconds.processor, 3)))
    return pd.DataFrame(rows, columns=["clusters", "way", "repetition", "distance", "seconds"])


def benchmark(asked: argparse.Namespace) -> str:
    """Cluster the pool in every way."""
    try:
        plan: PoolPlan = read_plan(asked.pool)
    except (OSError, ReActError) as error:
        raise ReActError(f"{asked.pool} holds no pool ({error}); let selection.py draw one.") from None
    with torch.inference_mode():
        engine = LabelingEngine([read_corpus(plan, asked.pool)], plan.options)
        engine.reset([plan.streams], corpora=[0])
        table = measure(engine.view, asked.repetitions)
    write_atomically(asked.out / "clusters.csv", csv_text(table))
    means = table.groupby(["clusters", "way"])[["distance", "seconds"]].agg(["mean", "std"])
    return str(means.round(4))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; returns the exit status."""
    parser = benchmark_parser(__doc__, "clusters", "results/benchmarks/selection", threads=False)
    parser.add_argument("pool", type=Path, help="folder of a pool that selection.py drew")
    parser.add_argument("--repetitions", type=int, default=5, help="times of each way")
    return run_benchmark(parser, arguments, benchmark)


if __name__ == "__main__":
    raise SystemExit(main())
