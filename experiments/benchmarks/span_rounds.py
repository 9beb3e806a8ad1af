"""Milliseconds of a labelling round of the span scorer, for strategies that choose questions.

``python -m react_rl.experiments.benchmarks.span_rounds --corpus data/squad_v1/dev.jsonl.gz --rows 2500``
plays 8 episodes side by side on one thread, with the sizes of the preset ``qa``: choosing, answers, refit and
dev F1 are counted, drawing and the first fit are not. Seconds are those of the processor.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from functools import partial
from typing import Final

from react_rl.acquisition import make_strategy
from react_rl.data.config import CorpusConfig
from react_rl.data.corpus import Corpus
from react_rl.encoders.config import EncoderConfig
from react_rl.envs.batched import episode_streams
from react_rl.errors import ReActError
from react_rl.experiments.benchmarks.harness import benchmark_parser, in_turns, run_benchmark
from react_rl.experiments.benchmarks.machine import describe_machine, name_processor
from react_rl.learners.linear.span import SpanSettings
from react_rl.simulation import EncodedCorpus, EpisodeOptions, LabelingEngine
from react_rl.simulation.corpora import prepare
from react_rl.simulation.play import play

STRATEGIES: Final = ("random", "spread-over-contexts", "margin", "mixture", "span-margin", "span-entropy")


def milliseconds(
    corpus: EncodedCorpus, strategy: str, options: EpisodeOptions, episodes: int, turn: int = 0
) -> float:
    """Processor milliseconds of an episode and round; every turn plays the same."""
    engine = LabelingEngine([corpus], options, episodes, ["answer_f1"], SpanSettings())
    engine.reset([episode_streams(seed, corpus.name) for seed in range(episodes)], None, [0] * episodes)
    begun, rounds = time.process_time(), 0
    for one in play(engine, make_strategy(strategy)):
        rounds += int(one.running.sum())
    return 1000 * (time.process_time() - begun) / rounds


def _ask_for_questions(corpora: Sequence[Corpus]) -> None:
    """Raise a ReActError where a corpus holds none."""
    for corpus in corpora:
        if corpus.task != "question-answering":
            raise ReActError(f"{corpus.name!r} holds no questions; name a corpus that does as --corpus.")


def benchmark(asked: argparse.Namespace) -> str:
    """Time every strategy, in turns; a table."""
    options = EpisodeOptions(
        pool_size=asked.pool_size, dev_size=asked.dev_size, initial="random", initial_size=20,
        budget=asked.budget, batch_size=20,
    )  # fmt: skip
    for name in asked.strategies:
        make_strategy(name)
    config = CorpusConfig(corpus=asked.corpus, max_rows=asked.rows)
    (corpus,) = prepare([config], EncoderConfig(), "cpu", episode=options, check=_ask_for_questions)
    plays = {name: partial(milliseconds, corpus, name, options, asked.episodes) for name in asked.strategies}
    lines = ["| strategy | milliseconds of an episode and round |", "| --- | ---: |"]
    for name, found in in_turns(plays, asked.repeats).items():
        lines.append(f"| `{name}` | {', '.join(f'{one:.0f}' for one in sorted(found))} |")
    machine = describe_machine()
    return "\n".join([*lines, "", f"{name_processor(machine)}, load {machine['load_average']}"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit status."""
    parser = benchmark_parser(__doc__, "span_rounds", threads=False)
    parser.add_argument("--corpus", required=True, help="file of questions, or a built-in name")
    parser.add_argument("--strategies", nargs="+", default=list(STRATEGIES), help="names of strategies")
    parser.add_argument("--rows", type=int, help="most questions kept, by whole contexts; all without it")
    parser.add_argument("--episodes", type=int, default=8, help="episodes side by side")
    parser.add_argument("--pool-size", type=int, default=1000, help="questions of a pool")
    parser.add_argument(
        "--dev-size", type=int, default=200, help="dev questions that are answered in a round"
    )
    parser.add_argument("--budget", type=int, default=120, help="questions bought, 20 in a round")
    parser.add_argument(
        "--repeats", type=int, default=2, help="times that each is played, after one to warm up"
    )
    return run_benchmark(parser, arguments, benchmark)


if __name__ == "__main__":
    sys.exit(main())
