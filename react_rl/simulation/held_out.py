"""Rows that episodes never see, such as a test split, on which their present models are measured."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from react_rl.data.corpus import Corpus
from react_rl.simulation.engine import LabelingEngine


class HeldOut:
    """Rows for reports. Rewards and views see pool and dev rows only, never these.

    Args:
        rows: ``(T,)`` row ids.
    """

    def __init__(self, rows: npt.NDArray[np.int64]) -> None:
        self.rows = rows
        self._known: tuple[Corpus, list[bytes], Tensor] | None = None

    @torch.inference_mode()
    def measure(self, engine: LabelingEngine, metrics: Sequence[str]) -> dict[str, npt.NDArray[np.float64]]:
        """Metrics of the present models of episodes that are all on one corpus; arrays of length E, by name.

        Args:
            engine: The episodes.
            metrics: Names of metrics of their task.
        """
        scores, truth = engine.scores(self.rows), self._truth(engine)
        found = engine.task.judge(metrics, scores, truth, engine.pools.class_mask)
        return {name: values.to(torch.float64).cpu().numpy() for name, values in found.items()}

    def _truth(self, engine: LabelingEngine) -> Tensor:
        """Targets ``(E, T, ...)``, or ``(1, T, ...)`` where all episodes have the same classes; kept."""
        corpus = engine.corpus_of(0).corpus
        classes = [engine.draw_of(e).classes for e in range(engine.n_episodes)]
        if all(np.array_equal(own, classes[0]) for own in classes):
            classes = classes[:1]
        names = [own.tobytes() for own in classes]
        if self._known is None or self._known[0] is not corpus or self._known[1] != names:
            shape = engine.pools.target_shape
            truth = np.stack([engine.task.targets(corpus, self.rows, own, shape) for own in classes])
            self._known = corpus, names, torch.from_numpy(truth).to(engine.device)
        return self._known[2]
