"""Which method of fine-tuning is best with how many labels: accuracy against labels, method by method.

``python -m react_rl.experiments.benchmarks.finetune.labels tune --corpora data/subj ...`` picks a learning
rate for each method, ``... measure --corpora data/trec6 ...`` draws labels at random from other corpora and
fine-tunes once for each method, number of labels and seed. All seeds of a cell are trained side by side.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from react_rl.data.corpus import Corpus
from react_rl.data.registry import load_corpus
from react_rl.documents import read_json
from react_rl.encoders.transformer import EncoderSettings, TextEncoder
from react_rl.experiments.benchmarks.finetune.tables import Rates
from react_rl.experiments.benchmarks.harness import benchmark_parser, run_benchmark
from react_rl.experiments.benchmarks.measured import read_rows
from react_rl.files import canonical_json, write_atomically
from react_rl.learners.finetune import FineTune, FineTuneSettings
from react_rl.learners.linear.softmax import SoftmaxRegression
from react_rl.simulation.ledger import Ledger
from react_rl.validation import validated

METHODS: Final[dict[str, dict[str, Any]]] = {
    "full": {"method": "full"},
    "top 3 layers": {"method": "full", "layers": 3},
    "top layer": {"method": "full", "layers": 1},
    "lora": {"method": "lora", "targets": "all"},
    "lora, top 3 layers": {"method": "lora", "targets": "all", "layers": 3},
    "bitfit": {"method": "bitfit"},
    "head": {"method": "head"},
}
"""Methods by name; ``frozen`` (softmax regression on frozen embeddings) is measured beside them."""

RATES: Final[dict[str, tuple[float, ...]]] = {
    "full": (1e-4, 3e-4),
    "top 3 layers": (3e-4, 1e-3),
    "top layer": (1e-3, 3e-3),
    "lora": (1e-3, 3e-3, 1e-2),
    "lora, top 3 layers": (1e-3, 3e-3, 1e-2),
    "bitfit": (3e-3, 1e-2),
    "head": (3e-2, 1e-1),
}
"""Learning rates that are tried, by method."""

_TUNED_ON: Final = 100
_TEST_ROWS: Final = 500
_MAX_LENGTH: Final = 64


def accuracy(
    corpus: Corpus, method: str, rate: float, labels: int, seeds: Sequence[int], split: str
) -> tuple[list[float], float]:
    """Accuracy of each seed, and the seconds of processor that training took, all seeds together.

    Args:
        corpus: The corpus.
        method: Name in ``METHODS``, or ``frozen``.
        rate: Learning rate; the frozen head has none.
        labels: Labelled rows, drawn from the train split.
        seeds: One training each, side by side.
        split: Where accuracy is measured: rows of ``test``, or of ``train`` that were not labelled.
    """
    rows = np.stack([_rows(corpus, labels, seed, split) for seed in seeds])
    width, n = rows.shape[1], len(seeds)
    everyone = torch.arange(n)
    ledger, similarity = Ledger(n, corpus.n_classes, width, labels), None
    if method == "frozen":
        encoder = TextEncoder(EncoderSettings(max_length=_MAX_LENGTH))
        vectors = torch.from_numpy(
            np.stack([encoder.encode([corpus.texts[i] for i in one], progress=False) for one in rows])
        )
        similarity = vectors[:, :labels] @ vectors.transpose(1, 2)
        learner: FineTune | SoftmaxRegression = SoftmaxRegression(ledger)
    else:
        settings = FineTuneSettings(
            **METHODS[method], learning_rate=rate, max_length=_MAX_LENGTH, pooling="mean"
        )
        learner = FineTune([corpus], ledger, settings)
        for e in range(n):
            learner.place(e, 0, torch.from_numpy(rows[e]), torch.full((width,), -1))
    learner.start(everyone, torch.full((n,), corpus.n_classes), list(seeds))
    started = time.process_time()
    columns = torch.arange(labels).expand(n, labels)
    answers = torch.from_numpy(corpus.targets[rows[:, :labels]])
    learner.update(ledger.append(everyone, columns, answers, similarity))
    seconds = time.process_time() - started
    predicted = learner.logits_of(slice(labels, None)).argmax(1).numpy()
    right = predicted == corpus.targets[rows[:, labels:]]
    return [float(value) for value in right.mean(1)], seconds


def _rows(corpus: Corpus, labels: int, seed: int, split: str) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Labelled rows, then the rows measured on."""
    generator = np.random.default_rng(seed)
    train = generator.permutation(corpus.ids("train"))
    others = train[labels:] if split == "train" else np.random.default_rng(0).permutation(corpus.ids("test"))
    return np.concatenate([train[:labels], others[:_TEST_ROWS]])


def benchmark(asked: argparse.Namespace) -> str:
    """Tune or measure."""
    corpora = [load_corpus(name, max_rows=4000) for name in asked.corpora]
    seeds = range(asked.seeds)
    if asked.what == "tune":
        _tune(corpora, seeds, asked.out)
    else:
        _measure(corpora, seeds, asked.labels, asked.out)
    return ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Tune or measure; returns the exit status."""
    parser = benchmark_parser(__doc__, "labels", files="folder for rates.json and cells.jsonl")
    parser.add_argument("what", choices=("tune", "measure"), help="learning rates, or accuracy")
    parser.add_argument("--corpora", nargs="+", required=True, help="names or folders")
    parser.add_argument("--seeds", type=int, default=5, help="draws of labels")
    parser.add_argument("--labels", type=int, nargs="+", default=[50, 200, 500], help="numbers of labels")
    return run_benchmark(parser, arguments, benchmark)


def _tune(corpora: Sequence[Corpus], seeds: Sequence[int], out: Path) -> None:
    best, table = {}, {}
    for method, rates in RATES.items():
        means = []
        for rate in rates:
            found = [np.mean(accuracy(c, method, rate, _TUNED_ON, seeds, "train")[0]) for c in corpora]
            means.append(round(float(np.mean(found)), 4))
            print(f"{method}, rate {rate}: {means[-1]:.3f}", flush=True)
        best[method] = rates[int(np.argmax(means))]
        table[method] = dict(zip(map(str, rates), means, strict=True))
    content = {"rates": best, "accuracy": table, "labels": _TUNED_ON, "corpora": [c.name for c in corpora]}
    write_atomically(out / "rates.json", canonical_json(content, indent=1) + "\n")


def _measure(corpora: Sequence[Corpus], seeds: Sequence[int], labels: Sequence[int], out: Path) -> None:
    tuned = out / "rates.json"
    rates = validated(Rates, read_json(tuned, "run `labels tune` first"), str(tuned)).rates
    path = out / "cells.jsonl"
    kept = read_rows(path, ("corpus", "method"), ("labels",), ("accuracy",))
    lines = [canonical_json(one) for one in kept]
    known = {(one["corpus"], one["method"], one["labels"]) for one in kept}
    for corpus in corpora:
        for n in labels:
            for method in ("frozen", *METHODS):
                if (corpus.name, method, n) in known:
                    continue
                values, seconds = accuracy(corpus, method, rates.get(method, 0.0), n, seeds, "test")
                cell = {
                    "corpus": corpus.name, "method": method, "labels": n,
                    "rate": rates.get(method), "accuracy": [round(v, 4) for v in values],
                    "processor_seconds": round(seconds, 2),
                }  # fmt: skip
                lines.append(canonical_json(cell))
                write_atomically(path, "\n".join(lines) + "\n")
                print(lines[-1], flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
