"""Rounds per second of the frozen tagger against loops of scikit-learn on the same token states.

``python -m react_rl.experiments.benchmarks.tagger_rounds --corpus PATH --out DIR`` plays MNLP: pool 500, 200
dev sentences, 10 sentences to begin with and rounds of 10 up to a budget of tokens. The peer fits
``LogisticRegression`` (or ``SGDClassifier``) on the tokens bought so far, predicts pool and dev, and picks by
the same rule. Seconds are those of the processor, one thread.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, SGDClassifier

from react_rl.acquisition import make_strategy
from react_rl.data.config import CorpusConfig
from react_rl.encoders.config import EncoderConfig
from react_rl.envs.batched import episode_streams
from react_rl.errors import ReActError
from react_rl.experiments.benchmarks.harness import MeasuredLines, benchmark_parser, run_benchmark
from react_rl.experiments.benchmarks.machine import describe_machine, name_processor
from react_rl.files import write_atomically
from react_rl.learners.linear.tagger import TaggerSettings
from react_rl.learners.linear.token_store import rounded_states
from react_rl.metrics.entities import entity_score
from react_rl.simulation import EncodedCorpus, EpisodeOptions, LabelingEngine
from react_rl.simulation.corpora import prepare
from react_rl.simulation.play import play

EPISODES: Final = (1, 8, 64)
OPTIONS: Final = EpisodeOptions(pool_size=500, dev_size=200, initial_size=10, budget=1200, batch_size=10)
PEERS: Final[dict[str, Callable[[], Any]]] = {
    "LogisticRegression": lambda: LogisticRegression(C=1 / TaggerSettings().l2),
    "SGDClassifier": lambda: SGDClassifier(loss="log_loss", random_state=0),
}


_NOTES: Final = (
    "The aim of 20 times with 64 episodes is not reached. A profile of 16 episodes gives about a third of a",
    "round to scoring 10,000 tokens (3.8 MB of states an episode, read once a round), a third to the refit;",
    "the rest are signals, metrics and bookkeeping. With six steps of every refit, and products widened one",
    "by one, 64 episodes played 10.9 times as many rounds as LogisticRegression, in an earlier run.",
    "",
    "F1 is what it was when every refit took six steps (tolerance 0.02): mean test F1 over the rounds, 32",
    "paired seeds, 3,000 sentences of each corpus, 300 test sentences, difference with its standard error.",
    "States of 256 instead of 384 axes would save a third of both, but cost .003 to .004; weights of one",
    "byte instead of two in scoring saved 4 to 8% and moved probabilities by up to .009. Neither was kept.",
    "",
    "A third of a round is products of bytes, and most of such a product is putting the states in order:",
    "64 rows of weights take 1.7 times as long as the 18 of nine tags. Pieces of 256 to 4,096 tokens, or the",
    "states as the left factor, were not quicker, and torch's prepared int8 weights far slower.",
    "",
    "| | random, six steps | now | difference | mnlp, six steps | now | difference |",
    "| --- | --- | --- | --- | --- | --- | --- |",
    "| conll2003 | .321 | .324 | +.0023 (.0006) | .354 | .353 | -.0012 (.0018) |",
    "| mit_restaurant | .364 | .364 | -.0002 (.0003) | .357 | .359 | +.0018 (.0017) |",
    "| wnut17 | .032 | .032 | -.0002 (.0004) | .091 | .091 | -.0005 (.0024) |",
)


def ours(corpus: EncodedCorpus, episodes: int, options: EpisodeOptions) -> dict[str, float]:
    """Play episodes in lockstep; rounds per second and final dev F1."""
    engine = LabelingEngine([corpus], options, episodes, ["entity_f1"], TaggerSettings())
    engine.reset([episode_streams(seed, corpus.name) for seed in range(episodes)], None, [0] * episodes)
    begun, rounds = time.process_time(), 0
    for turn in play(engine, make_strategy("mnlp")):
        rounds += int(turn.running.sum())
    seconds = time.process_time() - begun
    return {"rounds_per_second": rounds / seconds, "dev_f1": float(engine.current["entity_f1"].mean())}


def peer(
    corpus: EncodedCorpus, make: Callable[[], Any], seed: int, options: EpisodeOptions
) -> dict[str, float]:
    """Play one episode with a classifier of scikit-learn."""
    assert corpus.tokens is not None
    engine = LabelingEngine([corpus], options, 1, ["entity_f1"], TaggerSettings())
    engine.reset([episode_streams(seed, corpus.name)], None, [0])
    draw = engine.draw_of(0)
    whole, starts = rounded_states(corpus.corpus, corpus.tokens).whole(), corpus.tokens.starts
    states = {int(row): whole[starts[row] : starts[row + 1]] for row in (*draw.pool, *draw.dev)}
    tags = corpus.corpus.targets
    cost = corpus.corpus.cost
    bought = draw.initial.tolist()
    open_rows = [row for row in draw.pool.tolist() if row not in set(bought)]
    left, rounds, f1, begun = options.budget, 0, 0.0, time.process_time()
    while True:
        x, y = np.concatenate([states[row] for row in bought]), np.concatenate([tags[row] for row in bought])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model = make().fit(x, y)
        f1 = _dev_f1(model, states, draw.dev, tags, corpus.corpus.n_classes)
        if min((cost[row] for row in open_rows), default=np.inf) > left:
            break
        lengths = np.array([len(states[row]) for row in open_rows])
        best = np.log(model.predict_proba(np.concatenate([states[row] for row in open_rows])).max(1) + 1e-12)
        ends = lengths.cumsum()
        sums = np.add.reduceat(best, ends - lengths) / lengths
        taken: list[int] = []
        for place in np.argsort(sums, kind="stable"):
            if len(taken) < options.batch_size and cost[open_rows[place]] <= left:
                taken.append(open_rows[place])
                left -= cost[open_rows[place]]
        bought += taken
        open_rows = [row for row in open_rows if row not in set(taken)]
        rounds += 1
    return {"rounds_per_second": rounds / (time.process_time() - begun), "dev_f1": f1}


def _dev_f1(
    model: Any,
    states: dict[int, npt.NDArray[np.float32]],
    dev: npt.NDArray[np.int64],
    tags: npt.NDArray[Any],
    n_tags: int,
) -> float:
    predicted = model.predict(np.concatenate([states[int(row)] for row in dev]))
    truth = np.concatenate([tags[row] for row in dev])
    first = np.concatenate([np.arange(len(tags[row])) == 0 for row in dev])
    guessed, right = (torch.from_numpy(a.astype(np.int64))[None] for a in (predicted, truth))
    return float(entity_score(guessed, right, torch.from_numpy(first), (n_tags - 1) // 2))


def table(lines: Sequence[Mapping[str, Any]], machine: Mapping[str, Any], corpus: str) -> str:
    """The page of the measurement."""
    base = {line["name"]: line["rounds_per_second"] for line in lines if line["peer"]}
    head = [
        "# Rounds per second of the frozen tagger",
        "",
        f"{corpus}, pool 500, 200 dev sentences, rounds of 10, {OPTIONS.budget:g} tokens, MNLP, one thread, "
        f"seconds of the processor ({name_processor(machine)}, load {machine['load_average']}).",
        "",
        f"    python -m react_rl.experiments.benchmarks.tagger_rounds --corpus DATA/{corpus}",
        "",
        "| | rounds/s | " + " | ".join(f"times {name}" for name in base) + " | dev F1 at the end |",
        "| --- | --- |" + " --- |" * (len(base) + 1),
    ]
    rows = [
        f"| {line['name']} | {line['rounds_per_second']:.1f} | "
        + " | ".join(f"{line['rounds_per_second'] / value:.1f}" for value in base.values())
        + f" | {line['dev_f1']:.3f} |"
        for line in lines
    ]
    return "\n".join([*head, *rows, "", *_NOTES, ""])


def benchmark(asked: argparse.Namespace) -> str:
    """Play the peers, then ours; writes ``tagger.json`` and ``tagger.md``."""
    corpus = prepare([CorpusConfig(corpus=asked.corpus, max_rows=asked.rows)], EncoderConfig(), "cpu")[0]
    if corpus.corpus.task != "tagging":
        raise ReActError(f"{asked.corpus} holds no tagged sentences; name a corpus that does as --corpus.")
    machine = describe_machine()
    found = MeasuredLines(asked.out / "tagger.json", {"machine": machine, "corpus": corpus.name})
    for name, make in PEERS.items():
        played = [peer(corpus, make, seed, OPTIONS) for seed in range(asked.seeds)]
        mean = {key: float(np.mean([one[key] for one in played])) for key in played[0]}
        found.add({"name": name, "peer": True} | mean)
    for episodes in EPISODES:
        found.add({"name": f"ours, {episodes} episodes", "peer": False} | ours(corpus, episodes, OPTIONS))
    page = table(found.lines, machine, corpus.name)
    write_atomically(asked.out / "tagger.md", page)
    return page


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit status."""
    parser = benchmark_parser(__doc__, "tagger_rounds", "results/benchmarks/tagger", threads=False)
    parser.add_argument("--corpus", required=True, help="folder or file of tagged sentences")
    parser.add_argument("--rows", type=int, default=3000, help="sentences kept")
    parser.add_argument("--seeds", type=int, default=4, help="episodes of a peer")
    return run_benchmark(parser, arguments, benchmark)


if __name__ == "__main__":
    sys.exit(main())
