"""Query strategies of this package for small-text, which is not installed with it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from small_text import QueryStrategy as SmallTextBase

from react_rl.agents.bridges.arrays import select_rows


class SmallTextStrategy(SmallTextBase):  # type: ignore[misc]
    """A strategy of this package that small-text can query.

    A softmax regression on the embeddings is fitted to the labels in each query; the classifier of the active
    learner only embeds the rows, where no embeddings are given.

    Args:
        strategy: Name of the strategy.
        embeddings: ``(N, D)`` embeddings of the whole dataset; None asks ``clf.embed(dataset)``.
        n_classes: Number of classes; None takes the largest label so far plus 1.
        budget: Labels that are still to be bought, for strategies that look ahead; None for all.
        seed: Of everything random; with the number of labels it decides each batch.
    """

    def __init__(
        self,
        strategy: str = "learned",
        embeddings: npt.ArrayLike | None = None,
        n_classes: int | None = None,
        budget: float | None = None,
        seed: int = 0,
    ) -> None:
        self.strategy = strategy
        self.embeddings = embeddings
        self.n_classes = n_classes
        self.budget = budget
        self.seed = seed

    def query(
        self,
        clf: Any,
        dataset: Any,
        indices_unlabeled: npt.NDArray[np.int64],
        indices_labeled: npt.NDArray[np.int64],
        y: npt.NDArray[np.int64],
        n: int = 10,
    ) -> npt.NDArray[np.int64]:
        """Choose rows to label.

        Args:
            clf: The classifier; asked for embeddings where none are given.
            dataset: The dataset.
            indices_unlabeled: Positions in the dataset that may be chosen.
            indices_labeled: Positions that have a label.
            y: Their labels.
            n: Rows wanted.

        Returns:
            ``(n,)`` positions in the dataset.
        """
        self._validate_query_input(indices_unlabeled, n)
        vectors = np.asarray(clf.embed(dataset) if self.embeddings is None else self.embeddings)
        labels = np.full(len(vectors), -1)
        labels[indices_labeled] = y
        return select_rows(
            self.strategy,
            vectors,
            labels,
            n,
            n_classes=self.n_classes,
            candidates=indices_unlabeled,
            budget=self.budget,
            seed=self.seed + len(indices_labeled),
        )

    def __str__(self) -> str:
        """Return its name, with that of the strategy."""
        return f"SmallTextStrategy({self.strategy})"
