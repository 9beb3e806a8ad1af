"""The linear head under recipes: each episode follows its own; those with the same one are computed together.

What the loop, strategies and reports read as predictions are the recipe's. The base head stays what it is
without any: its weights, its fitted scores and its regularisation are what committees, dropout and closed
forms build on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from react_rl.learners.linear.settings import SoftmaxSettings
from react_rl.learners.linear.softmax import SoftmaxRegression
from react_rl.learners.protocol import INVALID_LOGIT, LabelledRows, Purchase, Rows
from react_rl.learners.recipes.neighbours import PoolGraph
from react_rl.learners.recipes.registry import check_recipe
from react_rl.learners.recipes.settings import PLAIN, Recipe
from react_rl.learners.recipes.spreading import mix, spread

_LEAST: Final = 1e-12
"""Smallest probability whose logarithm is taken."""


class RecipeHead(SoftmaxRegression):
    """E softmax regressions, each trained and read as its recipe says.

    Args:
        corpora: The engine's corpora, with their embeddings.
        labelled: The ledger, to be read only.
        settings: Regularisation, convergence, and the recipe that episodes begin with.

    Attributes:
        recipes: Recipe of each episode.
    """

    def __init__(
        self, corpora: Sequence[Rows], labelled: LabelledRows, settings: SoftmaxSettings | None = None
    ) -> None:
        super().__init__(labelled, settings)
        n_episodes, _, width = labelled.shape
        self.recipes: list[Recipe] = [self.settings.recipe] * n_episodes
        self._graph = PoolGraph(corpora, n_episodes, width, self.device)
        self._scores: Tensor | None = None
        self._sources: dict[int, Tensor] = {}

    def place(self, episode: int, corpus: int, rows: Tensor, dev_labels: Tensor) -> None:
        """Note the rows of an episode's columns ``(W,)`` and the class of its dev columns, -1 elsewhere."""
        self._graph.place(episode, corpus, rows, dev_labels)

    def start(self, episodes: Tensor, n_classes: Tensor, seeds: Sequence[int] = ()) -> None:
        """Forget the given episodes and begin again, with the recipe of the settings. Mutates."""
        super().start(episodes, n_classes, seeds)
        for episode in episodes.tolist():
            self.recipes[episode] = self.settings.recipe
        self._forget()

    def choose(self, recipes: Sequence[Recipe | None]) -> None:
        """Set the recipe of each episode from now on; None leaves it as it is. Mutates.

        Raises:
            ReActError: A recipe is not for the linear head.
        """
        for recipe in {recipe for recipe in recipes if recipe is not None}:
            check_recipe(recipe, "softmax")
        self.recipes = [
            now if then is None else then for now, then in zip(self.recipes, recipes, strict=True)
        ]
        self._forget()

    def update(self, bought: Purchase) -> None:
        """Refit the base heads of the given episodes, in place; recipes follow when they are asked."""
        super().update(bought)
        self._forget()

    @property
    def logits(self) -> Tensor:
        """Scores ``(E, C, W)`` by the recipes."""
        if self._scores is None:
            self._scores = self._follow()
        return self._scores

    def logits_of(self, columns: slice, wanted: Tensor | None = None) -> Tensor:
        """Scores ``(E, C, .)`` of a range of columns by the recipes."""
        return self.logits[:, :, columns]

    @torch.inference_mode()
    def logits_of_rows(self, rows: Sequence[npt.NDArray[np.int64]]) -> Tensor:
        """Scores ``(E, C, T)`` of other rows by the recipes, T for each episode, e.g. of a test split."""
        everyone = range(len(self.recipes))
        asked = [torch.from_numpy(one).to(self.device) for one in rows]
        n = self.labelled.slots
        weights, intercept = self.primal(self._graph.embeddings(everyone, self.labelled.columns[:, :n]))
        products = self._graph.products(weights, asked)
        scores = (products + intercept[:, :, None]).masked_fill_(self._class_bias < 0, INVALID_LOGIT)
        if any(recipe != PLAIN for recipe in self.recipes):
            _ = self.logits  # what travels from the pool
        for recipe, members in self._groups():
            if recipe.smoothing is not None:
                near = self._graph.of_rows(members, [asked[e] for e in members], recipe.smoothing.neighbours)
                source = torch.stack([self._sources[e] for e in members])
                said = torch.softmax(scores[members], 1).transpose(1, 2)
                weight = near.weights(recipe.smoothing.temperature)
                mixed = mix(said, source, near, weight, recipe.smoothing.share)
                scores[members] = self._as_scores(mixed, members)
        return scores

    def replicate(self, labelled: LabelledRows, times: int) -> RecipeHead:
        """Copy every episode ``times`` times, side by side, its recipe included."""
        scratch = super().replicate(labelled, times)
        assert isinstance(scratch, RecipeHead)
        scratch.recipes = [recipe for recipe in self.recipes for _ in range(times)]
        scratch._graph = self._graph.repeated(times)
        scratch._forget()
        return scratch

    def state(self) -> dict[str, Tensor]:
        """See ``ColumnScores.state``; recipes that episodes have chosen are part of it."""
        if all(recipe == self.settings.recipe for recipe in self.recipes):
            return super().state()
        said = json.dumps([recipe.model_dump(mode="json") for recipe in self.recipes])
        return super().state() | {"recipes": torch.tensor(list(said.encode()), dtype=torch.uint8)}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """See ``ColumnScores.load_state``. Mutates."""
        super().load_state(state)
        if "recipes" in state:
            said = json.loads(bytes(state["recipes"].tolist()))
            self.recipes = [Recipe.model_validate(one) for one in said]
        self._forget()

    def _forget(self) -> None:
        self._scores = None
        self._sources = {}

    def _groups(self) -> list[tuple[Recipe, list[int]]]:
        """Episodes by recipe, in ascending order."""
        found: dict[Recipe, list[int]] = {}
        for episode, recipe in enumerate(self.recipes):
            found.setdefault(recipe, []).append(episode)
        return list(found.items())

    def _follow(self) -> Tensor:
        """Scores ``(E, C, W)`` by the recipes. Mutates what travels from the pool."""
        groups = self._groups()
        if all(recipe == PLAIN for recipe, _ in groups):
            return self._logits
        scores = self._logits.clone()
        for recipe, members in groups:
            if recipe.smoothing is not None:
                onehot, known = self._labels(members)
                said = torch.softmax(scores[members], 1).transpose(1, 2)
                near = self._graph.of_columns(members, recipe.smoothing.neighbours)
                mixed, source = spread(said, onehot, known, near, recipe.smoothing)
                scores[members] = self._as_scores(mixed, members)
                self._sources |= dict(zip(members, source, strict=True))
        return scores

    def _labels(self, members: list[int]) -> tuple[Tensor, Tensor]:
        """Labels of the columns of some episodes ``(R, W, C)`` float32, and which have one ``(R, W)``."""
        labelled = self.labelled
        n = labelled.slots
        columns, live = labelled.columns[members, :n], labelled.live[members, :n]
        onehot = labelled.onehot[members, :, :n].transpose(1, 2)  # (R, n, C)
        shape = (len(members), labelled.shape[2])
        # Slots without a label carry any column and add nothing to it.
        known = torch.zeros(shape, device=self.device).scatter_add_(1, columns, live)
        labels = torch.zeros(*shape, onehot.shape[2], device=self.device)
        labels.scatter_add_(1, columns[:, :, None].expand_as(onehot), onehot)
        return labels, known > 0

    def _as_scores(self, probabilities: Tensor, members: list[int]) -> Tensor:
        """Scores ``(R, C, N)`` with these probabilities ``(R, N, C)``."""
        scores = probabilities.clamp_min(_LEAST).log_().transpose(1, 2)
        return scores.masked_fill(self._class_bias[members] < 0, INVALID_LOGIT)
