"""Query strategies of this package for scikit-activeml, which is not installed with it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from skactiveml.base import SingleAnnotatorPoolQueryStrategy
from skactiveml.utils import MISSING_LABEL, is_labeled

from react_rl.acquisition.registry import make_strategy
from react_rl.agents.bridges.arrays import pool_of_arrays


class ScikitActiveMLStrategy(SingleAnnotatorPoolQueryStrategy):  # type: ignore[misc]
    """A strategy of this package that scikit-activeml can query.

    Rows are embeddings. A softmax regression is fitted to the labels in each query, so none is passed.

    Args:
        strategy: Name of the strategy.
        classes: Labels in order; None takes those that were given so far.
        budget: Labels that are still to be bought, for strategies that look ahead; None for all.
        missing_label: Stands for a label that is not there.
        random_state: Seed.
    """

    def __init__(
        self,
        strategy: str = "learned",
        classes: Any = None,
        budget: float | None = None,
        missing_label: Any = MISSING_LABEL,
        random_state: Any = None,
    ) -> None:
        super().__init__(missing_label=missing_label, random_state=random_state)
        self.strategy = strategy
        self.classes = classes
        self.budget = budget

    def query(
        self, X: Any, y: Any, candidates: Any = None, batch_size: int = 1, return_utilities: bool = False
    ) -> Any:
        """Choose rows to label.

        Args:
            X: ``(N, D)`` embeddings.
            y: ``(N,)`` labels, ``missing_label`` where there is none.
            candidates: Positions in ``X`` that may be chosen; None for all without a label.
            batch_size: Rows wanted.
            return_utilities: Whether to say how much each row was wanted, too.

        Returns:
            Positions ``(batch_size,)``, and ``(batch_size, N)`` scores of the round's start if asked for,
            NaN for rows that could not be chosen.
        """
        X, y, candidates, batch_size, return_utilities = self._validate_data(
            X, y, candidates, batch_size, return_utilities, reset=True
        )
        _, mapping = self._transform_candidates(candidates, X, y, enforce_mapping=True)
        known = is_labeled(y, self.missing_label)
        names = np.unique(y[known]) if self.classes is None else np.asarray(self.classes)
        order = np.argsort(names)
        labels = np.full(len(y), -1)
        labels[known] = order[np.searchsorted(names[order], y[known])]
        seed = int(self.random_state_.randint(2**31 - 1))

        def view() -> Any:
            return pool_of_arrays(
                X,
                labels,
                batch_size,
                n_classes=max(2, len(names)),
                candidates=mapping,
                budget=self.budget,
                seed=seed,
            )

        chooser = make_strategy(self.strategy)
        with torch.inference_mode():
            chosen = chooser.select(view(), batch_size)[0].numpy()
            if not return_utilities:
                return chosen
            scores = chooser.score(view())[0].double().numpy()
        utilities = np.full((batch_size, len(y)), np.nan)
        for pick in range(batch_size):
            left = np.setdiff1d(mapping, chosen[:pick])
            utilities[pick, left] = scores[left]
        return chosen, utilities
