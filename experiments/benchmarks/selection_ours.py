"""Our side of the selection benchmark: one strategy on one pool, in a process of its own.

``python -m react_rl.experiments.benchmarks.selection_ours FOLDER STRATEGY`` reads the pool in FOLDER, says
``loaded``, builds the engine, says ``ready``, and then answers each line of standard input with one
selection. One JSON a line.
"""

from __future__ import annotations

import ctypes
import gc
import json
import sys
import time
from pathlib import Path
from typing import Final

import numpy as np
import torch

from react_rl.acquisition import make_strategy
from react_rl.experiments.benchmarks.selection_pool import PoolPlan, read_corpus, read_plan
from react_rl.simulation.encoded import EncodedCorpus, synthetic_encoded
from react_rl.simulation.engine import LabelingEngine
from react_rl.simulation.options import EpisodeOptions

PART: Final = 1024
"""Rows predicted at a time."""

PREDICTION: Final = "prediction"
"""In place of a strategy: predict the whole pool again, which peers do in their query and we in the refit."""


def say(**message: object) -> None:
    """Print one message."""
    print(json.dumps(message), flush=True)


def warm_up(strategy: str) -> None:
    """Run everything once on a small pool, so that nobody's first allocation or import counts."""
    options = EpisodeOptions(pool_size=300, dev_size=50, initial_size=20, budget=20, batch_size=10)
    engine = LabelingEngine([synthetic_encoded(600, 5)], options)
    engine.reset([PoolPlan().streams])
    if strategy != PREDICTION:
        make_strategy(strategy).select(engine.view, 10)


def predict(pool: torch.Tensor, weights: torch.Tensor, intercept: torch.Tensor) -> torch.Tensor:
    """Class probabilities ``(C, P)`` of all rows, in parts that stay in the processor's cache."""
    probabilities = torch.empty(weights.shape[0], pool.shape[0])
    for start in range(0, pool.shape[0], PART):
        scores = torch.addmm(intercept[:, None], weights, pool[start : start + PART].T)
        probabilities[:, start : start + PART] = torch.softmax(scores, 0)
    return probabilities


def measure(plan: PoolPlan, corpus: EncodedCorpus, engine: LabelingEngine, strategy: str) -> None:
    """Draw the episode, select a batch from a view nobody looked at, and say what it took."""
    engine.reset([plan.streams], corpora=[0])
    chosen = None if strategy == PREDICTION else make_strategy(strategy)
    for _ in range(plan.round - 1):
        engine.step((chosen or make_strategy("random")).select(engine.view, plan.batch))
    view = engine.view
    # The weights are the model, which the peers have fitted too when their clock starts.
    weights, intercept = view.weights if chosen is None else (torch.empty(0), torch.empty(0))
    # An episode's stream is made once, before its first round, as the peers' state is before their query.
    view.generator(0)
    wall, processor = time.perf_counter(), time.process_time()
    if chosen is None:
        predict(corpus.embeddings[: plan.rows], weights[0], intercept[0])
        ids = np.empty(0, dtype=np.int64)
    else:
        ids = chosen.select(view, plan.batch).cpu().numpy()[0]
    processor, wall = time.process_time() - processor, time.perf_counter() - wall
    say(stage="done", seconds=processor, wall=wall, ids=ids.tolist())


def main() -> None:
    """Answer until standard input ends."""
    torch.set_num_threads(1)
    folder, strategy = Path(sys.argv[1]), sys.argv[2]
    with torch.inference_mode():
        warm_up(strategy)
        plan = read_plan(folder)
        corpus = read_corpus(plan, folder)
        gc.collect()
        if sys.platform == "linux":
            # What is free goes back, so that what is taken later is seen.
            ctypes.CDLL(None).malloc_trim(0)
        say(stage="loaded", versions={})
        try:
            engine = LabelingEngine([corpus], plan.options)
            engine.reset([plan.streams], corpora=[0])
            say(stage="ready")
            for _ in sys.stdin:
                measure(plan, corpus, engine, strategy)
        except (MemoryError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and "allocate memory" not in str(error):
                raise
            say(stage="memory", reason=str(error))


if __name__ == "__main__":
    main()
