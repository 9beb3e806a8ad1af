"""What labelling the whole pool would reach: it makes gains on different corpora comparable."""

from __future__ import annotations

from typing import Final

import numpy as np

from react_rl.learners.registry import entry_of
from react_rl.seeding import Streams, entropy_of
from react_rl.simulation.draw import Draw
from react_rl.simulation.encoded import EncodedCorpus
from react_rl.simulation.engine import LabelingEngine
from react_rl.simulation.whole_pool import values_of_all_but_one

_DRAWS: Final = 4


class AttainableValue:
    """Dev metric of a model trained on all rows of a pool but one, averaged over a few fixed draws.

    It is computed once for each corpus and class subset, and only rewards see it.

    Args:
        engine: An engine with the corpora and options of the draws that are asked about.
        metric: Name of the dev metric.
    """

    def __init__(self, engine: LabelingEngine, metric: str) -> None:
        self._engine = engine
        self._metric = metric
        self._known: dict[tuple[int, bytes], float] = {}

    def of(self, draw: Draw) -> float:
        """Attainable dev metric on the corpus and classes of a draw."""
        key = (draw.corpus, draw.classes.tobytes())
        if key not in self._known:
            encoded = self._engine.corpora[draw.corpus]
            self._known[key] = self._measure(encoded, draw.classes)
        return self._known[key]

    def _measure(self, encoded: EncodedCorpus, classes: np.ndarray[tuple[int], np.dtype[np.int64]]) -> float:
        corpus, options = encoded.corpus, self._engine.options
        if classes.size < corpus.n_classes:
            corpus = corpus.restrict(np.isin(corpus.targets, classes))
            encoded = encoded.with_corpus(corpus)
        # Fine-tuning on a whole pool takes long, and its scale needs no great precision.
        draws = _DRAWS if entry_of(self._engine.learner_settings).cheap else 1
        streams = [Streams(entropy_of(k, "attainable", corpus.name)) for k in range(draws)]
        learner = self._engine.learner_settings
        return float(np.mean(values_of_all_but_one(encoded, options, streams, self._metric, learner)))
