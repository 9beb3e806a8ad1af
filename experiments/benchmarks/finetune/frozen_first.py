"""Is it enough to choose on frozen embeddings and to fine-tune once at the end?

``python -m react_rl.experiments.benchmarks.finetune.frozen_first SCENE... --out DIR`` buys a scene's rows
with the margins of a linear head on frozen embeddings, and at random, and fine-tunes by the scene's recipe
when half and when all of the labels are bought. The counterpart that fine-tunes in every round, and chooses
by the fine-tuned model's margins, is the contestant ``ours-same`` of ``ours``.

Source of the question: Vysogorets & Gopal 2024, arXiv 2402.15613.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from react_rl.errors import ReActError
from react_rl.experiments.benchmarks.finetune.ours import Chooser, Ours, at_random, frozen_margins, same
from react_rl.experiments.benchmarks.finetune.protocol import ProtocolError, Scene
from react_rl.experiments.benchmarks.harness import benchmark_parser, run_benchmark
from react_rl.files import canonical_json, write_atomically

CHOOSERS: Final[dict[str, Chooser]] = {"frozen margins": frozen_margins, "random": at_random}


def chosen_then_trained(scene: Scene, choose: Chooser) -> dict[str, Any]:
    """Buy all rows without fine-tuning, then fine-tune on half and on all of them.

    Returns:
        Numbers of labels, and the accuracy on the test rows that fine-tuning on them brings.
    """
    targets, answers = np.array(scene.pool.targets), np.array(scene.test.targets)
    buyer = Ours("buyer", scene, same(scene.recipe), choose, train=False)
    bought = list(scene.initial)
    buyer.update(np.array(bought), targets[scene.pool.positions(bought)])
    for _ in range(scene.sizes.rounds):
        ids = buyer.query(scene.sizes.batch)
        buyer.update(ids, targets[scene.pool.positions(ids)])
        bought += ids.tolist()
    found: dict[str, Any] = {"labels": [], "accuracy": []}
    for n in (scene.sizes.initial + scene.sizes.rounds // 2 * scene.sizes.batch, len(bought)):
        trained = Ours("trained", scene, same(scene.recipe), at_random)
        trained.update(np.array(bought[:n]), targets[scene.pool.positions(bought[:n])])
        found["labels"].append(n)
        found["accuracy"].append(float((trained.predict_test() == answers).mean()))
    return found


def benchmark(asked: argparse.Namespace) -> str:
    """Play the scenes that were not played yet."""
    for path in asked.scenes:
        try:
            scene = Scene.load(path)
        except ProtocolError as error:
            raise ReActError(str(error)) from None
        target = asked.out / f"{scene.corpus}-frozen-first-{scene.seed}.json"
        if target.exists():
            continue
        found = {name: chosen_then_trained(scene, choose) for name, choose in CHOOSERS.items()}
        content = {"corpus": scene.corpus, "seed": scene.seed, "scene": scene.digest, "found": found}
        write_atomically(target, canonical_json(content, indent=1) + "\n")
        print(scene.corpus, scene.seed, found, flush=True)
    return ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Play scenes; returns the exit status."""
    parser = benchmark_parser(__doc__, "frozen_first", files="folder for one file each")
    parser.add_argument("scenes", type=Path, nargs="+", help="files that protocol.py drew")
    return run_benchmark(parser, arguments, benchmark)


if __name__ == "__main__":
    raise SystemExit(main())
