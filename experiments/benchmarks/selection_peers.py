"""The peers' side of the selection benchmark; runs in an environment of its own and imports nothing of ours.

``python selection_peers.py FOLDER PEER STRATEGY`` reads the pool in FOLDER, says ``loaded``, prepares the
query, says ``ready``, and then answers each line of standard input with one selection. One JSON a line.
"""

from __future__ import annotations

import ctypes
import gc
import json
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import sklearn
import small_text
import torch
from skactiveml import pool as skal
from skactiveml.classifier import SklearnClassifier
from sklearn.ensemble import BaggingClassifier
from sklearn.linear_model import LogisticRegression
from small_text.integrations.pytorch.query_strategies import BADGE, ExpectedGradientLength

Array = npt.NDArray[Any]
Query = Callable[[], Any]
"""Selects the batch; returns positions in the pool."""

C = 10.0
"""scikit-learn's inverse penalty that equals our ``l2 = 0.1``."""

MEMBERS = 10
"""Heads of a committee, as in ours."""

CANDIDATES = 4096
"""Rows that a subsampled strategy sees, as in ours."""

WARM_ROWS = 600
"""Rows of the small pool on which everything runs once before anything is measured."""


@dataclass
class Pool:
    """What a query is given: all rows of the pool, which of them are labelled, how many are wanted."""

    vectors: Array
    targets: Array
    initial: Array
    classes: int
    batch: int

    @property
    def answers(self) -> Array:
        """Labels, NaN where there is none."""
        answers = np.full(len(self.vectors), np.nan)
        answers[self.initial] = self.targets[self.initial]
        return answers

    def head(self) -> LogisticRegression:
        """Return the classifier that all use."""
        return LogisticRegression(C=C)

    def small(self) -> Pool:
        """The labelled rows and a few others."""
        others = np.setdiff1d(np.arange(min(len(self.vectors), WARM_ROWS)), self.initial)
        rows = np.concatenate([self.initial, others])
        return Pool(
            self.vectors[rows], self.targets[rows], np.arange(len(self.initial)), self.classes, batch=10
        )


class Embedder(small_text.SklearnClassifier):  # type: ignore[misc]
    """scikit-learn's classifier on ready embeddings: what small-text asks of a text classifier besides."""

    def embed(self, data_set: Any, return_proba: bool = False, pbar: Any = None) -> Any:
        """Return the embeddings themselves, and the probabilities if asked for."""
        return (data_set.x, self.predict_proba(data_set)) if return_proba else data_set.x

    def predict_proba(self, data_set: Any, dropout_sampling: int = 1) -> Any:
        """Return probabilities ``(N, C)``, or ``(N, M, C)`` with half of the dimensions dropped M times."""
        if dropout_sampling == 1:
            return super().predict_proba(data_set)
        rng = np.random.default_rng(0)
        kept = rng.random((dropout_sampling, data_set.x.shape[1])) >= 0.5
        weight, members = self.model.coef_, []
        for mask in kept:
            scores = data_set.x @ (weight * mask * 2).T.astype(data_set.x.dtype) + self.model.intercept_
            scores = np.exp(scores - scores.max(1, keepdims=True))
            members.append(scores / scores.sum(1, keepdims=True))
        return np.stack(members, 1)


class ListedRows(list[Any]):
    """Rows as small-text's gradient strategy wants them: a list that is its own data."""


class TorchHead:
    """The fitted head as the one torch layer that small-text's gradient strategy asks for."""

    def __init__(self, head: LogisticRegression) -> None:
        weight, bias = (torch.from_numpy(np.asarray(a, np.float32)) for a in (head.coef_, head.intercept_))
        self.model = torch.nn.Linear(weight.shape[1], weight.shape[0])
        self.model.load_state_dict({"weight": weight, "bias": bias})

    def _create_collate_fn(self) -> Callable[[Any], Any]:
        return lambda rows: (torch.from_numpy(np.stack(rows)),)


def small_text_query(pool: Pool, strategy: str) -> Query:
    """Prepare a query of small-text with a fitted classifier."""
    labels = np.where(np.isnan(pool.answers), 0, pool.answers).astype(np.int64)
    data = small_text.SklearnDataset(pool.vectors, labels, target_labels=np.arange(pool.classes))
    head = Embedder(pool.head(), pool.classes)
    head.fit(data[pool.initial])
    others = np.setdiff1d(np.arange(len(pool.vectors)), pool.initial)
    known = pool.targets[pool.initial]
    asked: Any = (head, data, others, pool.initial, known)
    if strategy == "egl":
        asked = (TorchHead(head.model), ListedRows(pool.vectors), others, pool.initial, known)
    discriminator = small_text.SklearnClassifierFactory(LogisticRegression(), 2)
    chosen = {
        "random": small_text.RandomSampling,
        "least-confidence": small_text.LeastConfidence,
        "margin": small_text.BreakingTies,
        "entropy": small_text.PredictionEntropy,
        "k-center": small_text.GreedyCoreset,
        "k-means": small_text.EmbeddingKMeans,
        "cal": lambda: small_text.ContrastiveActiveLearning(k=10, pbar=None),
        "dal": lambda: small_text.DiscriminativeActiveLearning(discriminator, 10, pbar=None),
        "bald-dropout": lambda: small_text.BALD(dropout_samples=MEMBERS),
        "badge": lambda: BADGE(pool.classes),
        "egl": lambda: ExpectedGradientLength(pool.classes, device="cpu", pbar=None),
    }[strategy]()
    return lambda: chosen.query(*asked, n=pool.batch)


def skactiveml_query(pool: Pool, strategy: str) -> Query:
    """Prepare a query of scikit-activeml with a fitted classifier; committees are fitted in the query."""
    vectors, answers = pool.vectors, pool.answers
    classes = np.arange(pool.classes)
    head = SklearnClassifier(pool.head(), classes=classes, random_state=0).fit(vectors, answers)
    members = BaggingClassifier(pool.head(), n_estimators=MEMBERS, random_state=0)
    committee = SklearnClassifier(members, classes=classes, random_state=0)
    discriminator = SklearnClassifier(LogisticRegression(), random_state=0)
    fitted: dict[str, Any] = {"clf": head, "fit_clf": False}
    ensemble: dict[str, Any] = {"ensemble": committee}
    nearest = {"n_neighbors": 10}
    choices: dict[str, Callable[[], tuple[Any, dict[str, Any]]]] = {
        "random": lambda: (skal.RandomSampling(random_state=0), {}),
        "least-confidence": lambda: (skal.UncertaintySampling("least_confident", random_state=0), fitted),
        "margin": lambda: (skal.UncertaintySampling("margin_sampling", random_state=0), fitted),
        "entropy": lambda: (skal.UncertaintySampling("entropy", random_state=0), fitted),
        "k-center": lambda: (skal.CoreSet(random_state=0), {}),
        "typiclust": lambda: (skal.TypiClust(random_state=0), {}),
        "probcover": lambda: (skal.ProbCover(n_classes=pool.classes, random_state=0), {}),
        "maxherding": lambda: (skal.MaxHerding(metric_dict={"gamma": 1.0}, random_state=0), {}),
        "subsample:maxherding": lambda: (
            skal.SubSamplingWrapper(
                skal.MaxHerding(metric_dict={"gamma": 1.0}, random_state=0),
                max_candidates=CANDIDATES,
                exclude_non_subsample=True,
                random_state=0,
            ),
            {},
        ),
        "dal": lambda: (skal.DiscriminativeAL(random_state=0), {"discriminator": discriminator}),
        "bald": lambda: (skal.GreedyBALD(random_state=0), ensemble),
        "batch-bald": lambda: (skal.BatchBALD(random_state=0), ensemble),
        "qbc-kl": lambda: (skal.QueryByCommittee("KL_divergence", random_state=0), ensemble),
        "vote-entropy": lambda: (skal.QueryByCommittee("vote_entropy", random_state=0), ensemble),
        "variation-ratio": lambda: (skal.QueryByCommittee("variation_ratios", random_state=0), ensemble),
        "badge": lambda: (skal.Badge(random_state=0), fitted),
        "cal": lambda: (skal.ContrastiveAL(nearest, random_state=0), fitted),
    }
    chosen, given = choices[strategy]()
    return lambda: chosen.query(vectors, answers, batch_size=pool.batch, **given)


QUERIES: dict[str, Callable[[Pool, str], Query]] = {
    "small-text": small_text_query,
    "scikit-activeml": skactiveml_query,
}


def read_pool(folder: Path) -> Pool:
    """Read the rows of the pool; the file holds others behind them."""
    plan = json.loads((folder / "plan.json").read_text())
    vectors, targets, initial = (np.load(folder / f"{n}.npy") for n in ("vectors", "targets", "initial"))
    rows = plan["rows"]
    return Pool(vectors[:rows], targets[:rows], initial, plan["classes"], plan["batch"])


def main() -> None:
    """Answer until standard input ends."""
    warnings.simplefilter("ignore")
    answers = sys.stdout
    sys.stdout = sys.stderr  # whatever a library prints must not mix with the answers
    torch.set_num_threads(1)

    def say(**message: object) -> None:
        print(json.dumps(message), file=answers, flush=True)

    folder, peer, strategy = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    names = ("small-text", "scikit-activeml", "scikit-learn")
    versions = {name: version(name) for name in names} | {"python": sys.version.split()[0]}
    assert versions["scikit-learn"] == sklearn.__version__
    pool = read_pool(folder)
    np.random.seed(0)  # noqa: NPY002 - small-text draws from numpy's global state
    QUERIES[peer](pool.small(), strategy)()
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    say(stage="loaded", versions=versions)
    try:
        query = QUERIES[peer](pool, strategy)
        say(stage="ready")
        for _ in sys.stdin:
            wall, processor = time.perf_counter(), time.process_time()
            picked = query()
            processor, wall = time.process_time() - processor, time.perf_counter() - wall
            say(stage="done", seconds=processor, wall=wall, ids=[int(i) for i in picked])
    except MemoryError as error:
        say(stage="memory", reason=str(error))


if __name__ == "__main__":
    main()
