"""Rounds of one version of the code, in a process of its own; imports nothing of the version that asks.

``versions`` starts it with a source tree and a file of embeddings. It uses what every version has had: an
engine, a strategy, ``select`` and ``step``; and the loop that plays them, in versions that have one.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from typing import Any

import numpy as np
import torch


class Version:
    """The code of one tree, with a corpus.

    Args:
        tree: Folder that holds the package ``react_rl``.
        data: What ``versions`` wrote: embeddings, and how corpus and episodes look.
    """

    def __init__(self, tree: str, data: str) -> None:
        sys.path.insert(0, tree)
        from react_rl.data.registry import load_corpus
        from react_rl.simulation.encoded import EncodedCorpus, synthetic_encoded
        from react_rl.simulation.options import EpisodeOptions

        with np.load(data, allow_pickle=False) as file:
            about, embeddings = json.loads(str(file["about"])), file["embeddings"]
        if about["corpus"] == "synthetic":
            self._corpus = synthetic_encoded(n_rows=len(embeddings))
        else:
            corpus = load_corpus(about["corpus"], shares=tuple(about["shares"]), max_rows=about["max_rows"])
            self._corpus = EncodedCorpus.build(corpus, embeddings)
        self._options = EpisodeOptions(**about["options"])
        self._strategy_name = about["strategy"]
        self._engines: dict[int, Any] = {}

    def play(self, episodes: int, seeds: list[int], least_seconds: float) -> dict[str, Any]:
        """Play the episodes of some seeds, again and again until their rounds took ``least_seconds``.

        Returns:
            Rounds of all episodes, processor seconds, and a digest of what was bought and measured.
        """
        from react_rl.acquisition.registry import make_strategy
        from react_rl.simulation.engine import LabelingEngine

        if episodes not in self._engines:
            self._engines[episodes] = LabelingEngine([self._corpus], self._options, episodes)
        engine, strategy = self._engines[episodes], make_strategy(self._strategy_name)
        rounds, seconds, digest = 0, 0.0, ""
        while not rounds or seconds < least_seconds:
            noted = hashlib.sha256()
            for first in range(0, len(seeds), episodes):
                engine.reset(_streams(seeds[first : first + episodes]))
                with engine.threads():
                    began = time.process_time()
                    played = _rounds(engine, strategy)
                    seconds += time.process_time() - began
                rounds += len(played) * episodes
                for one in played:
                    noted.update(one.ids.tobytes() + one.metrics["accuracy"].tobytes())
            digest = noted.hexdigest()
        return {"rounds": rounds, "seconds": seconds, "digest": digest}


def _streams(seeds: list[int]) -> list[Any]:
    from react_rl.seeding import Streams, entropy_of

    return [Streams(entropy_of(seed, "rounds benchmark")) for seed in seeds]


def _rounds(engine: Any, strategy: Any) -> list[Any]:
    try:
        from react_rl.simulation.play import play
    except ImportError:  # before there was one loop, each caller wrote its own
        played = []
        while not engine.finished.all():
            with torch.inference_mode():
                ids = strategy.select(engine.view, engine.options.batch_size)
            played.append(engine.step(ids))
        return played
    return [turn.round for turn in play(engine, strategy)]


def main() -> None:
    """Answer requests until standard input ends."""
    answers = sys.stdout
    sys.stdout = sys.stderr  # whatever a library prints must not mix with the answers
    torch.set_num_threads(1)
    version = Version(sys.argv[1], sys.argv[2])
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(version.play(**json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    main()
