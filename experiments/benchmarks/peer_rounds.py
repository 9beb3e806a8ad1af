"""The peers' side of the rounds benchmark; runs in an environment of its own and imports nothing of ours.

``python peer_rounds.py DATA.npz THREADS`` reads one JSON request a line from standard input
(``{"peer": "small-text", "c": 1.0, "seeds": [0, 1]}``) and answers each with one JSON line.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from importlib.metadata import version
from typing import Any

import numpy as np
import numpy.typing as npt
import sklearn
import small_text
import torch
from skactiveml.classifier import SklearnClassifier
from skactiveml.pool import UncertaintySampling
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

Array = npt.NDArray[Any]
Episode = Iterator[tuple[float, list[int]]]
"""Dev accuracy of the present model, and the pool positions bought for it."""


def small_text_episode(
    pool: Array, labels: Array, dev: Array, dev_labels: Array, initial: Array, c: float, plan: dict[str, int]
) -> Episode:
    """Play one episode with small-text: breaking ties, a fresh LogisticRegression each round."""
    classes = np.arange(plan["classes"])
    learner = small_text.PoolBasedActiveLearner(
        small_text.SklearnClassifierFactory(LogisticRegression(C=c), plan["classes"]),
        small_text.BreakingTies(),
        small_text.SklearnDataset(pool, labels, target_labels=classes),
    )
    unlabelled_dev = small_text.SklearnDataset(dev, dev_labels, target_labels=classes)
    learner.initialize_data(initial, labels[initial])
    yield float((learner.classifier.predict(unlabelled_dev) == dev_labels).mean()), initial.tolist()
    for _ in range(plan["rounds"]):
        asked = learner.query(num_samples=plan["batch"])
        learner.update(labels[asked])
        yield float((learner.classifier.predict(unlabelled_dev) == dev_labels).mean()), asked.tolist()


def skactiveml_episode(
    pool: Array, labels: Array, dev: Array, dev_labels: Array, initial: Array, c: float, plan: dict[str, int]
) -> Episode:
    """Play one episode with scikit-activeml: margin sampling, the classifier fitted once a round."""
    answers = np.full(len(pool), np.nan)
    answers[initial] = labels[initial]
    learner = SklearnClassifier(LogisticRegression(C=c), classes=np.arange(plan["classes"]), random_state=0)
    strategy = UncertaintySampling(method="margin_sampling", random_state=0)
    learner.fit(pool, answers)
    yield float((learner.predict(dev) == dev_labels).mean()), initial.tolist()
    for _ in range(plan["rounds"]):
        asked = strategy.query(pool, answers, learner, fit_clf=False, batch_size=plan["batch"])
        answers[asked] = labels[asked]
        learner.fit(pool, answers)
        yield float((learner.predict(dev) == dev_labels).mean()), asked.tolist()


EPISODES: dict[str, Callable[..., Episode]] = {
    "small-text": small_text_episode,
    "scikit-activeml": skactiveml_episode,
}


def play(request: dict[str, Any], data: dict[str, Array]) -> dict[str, Any]:
    """Play the asked episodes; seconds of the start (first fit) and of the rounds are kept apart."""
    plan = {key: int(data[key]) for key in ("classes", "rounds", "batch")}
    reply: dict[str, Any] = {"start_seconds": 0.0, "seconds": 0.0, "accuracy": [], "ids": []}
    for seed in request["seeds"]:
        pool_ids, dev_ids = data["pool"][seed], data["dev"][seed]
        pool, dev = data["embeddings"][pool_ids], data["embeddings"][dev_ids]
        labels, dev_labels = data["targets"][pool_ids], data["targets"][dev_ids]
        initial = np.searchsorted(pool_ids, data["initial"][seed])
        before = time.perf_counter()
        episode = EPISODES[request["peer"]](pool, labels, dev, dev_labels, initial, request["c"], plan)
        first, bought = next(episode)
        started = time.perf_counter()
        rounds = list(episode)
        ended = time.perf_counter()
        reply["start_seconds"] += started - before
        reply["seconds"] += ended - started
        reply["accuracy"].append([first, *(accuracy for accuracy, _ in rounds)])
        positions = [*bought, *(position for _, asked in rounds for position in asked)]
        reply["ids"].append(pool_ids[positions].tolist())
    return reply


def main() -> None:
    """Answer requests until standard input ends."""
    warnings.simplefilter("ignore")
    answers = sys.stdout
    sys.stdout = sys.stderr  # whatever a library prints must not mix with the answers
    threads = int(sys.argv[2])
    torch.set_num_threads(threads)
    with np.load(sys.argv[1], allow_pickle=False) as file:
        data = {key: file[key] for key in file.files}
    about = {
        "small-text": version("small-text"),
        "scikit-activeml": version("scikit-activeml"),
        "scikit-learn": sklearn.__version__,
        "numpy": np.__version__,
        "torch": torch.__version__,
        "python": sys.version.split()[0],
    }
    with threadpool_limits(threads):
        print(json.dumps(about), file=answers, flush=True)
        for line in sys.stdin:
            print(json.dumps(play(json.loads(line), data)), file=answers, flush=True)


if __name__ == "__main__":
    main()
