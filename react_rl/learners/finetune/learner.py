"""The fine-tuning learner: E transformers trained side by side in every round, on the labels so far."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor

from react_rl.data.corpus import Corpus
from react_rl.learners.finetune.asking import check_network
from react_rl.learners.finetune.reading import ReadingTransformers
from react_rl.learners.finetune.settings import FineTuneSettings
from react_rl.learners.finetune.training.fitting import Fitted, fit
from react_rl.learners.finetune.training.holding import Held
from react_rl.learners.finetune.training.lesson import Lesson
from react_rl.learners.finetune.training.material import Materials, RoundMaterial
from react_rl.learners.finetune.training.prediction import stacked
from react_rl.learners.finetune.training.restarting import restarted
from react_rl.learners.protocol import LabelledRows, Purchase
from react_rl.learners.recipes.registry import check_recipe, packed_recipes, unpacked_recipes
from react_rl.learners.recipes.settings import PLAIN, Recipe

SLOWER: Final = 0.1
"""Factor on the learning rate when a round is tried again."""

_log = logging.getLogger(__name__)


class FineTune(ReadingTransformers):
    """E fine-tuned transformers.

    Args:
        corpora: The engine's corpora.
        labelled: The ledger, to be read only; the network computes on its device.
        settings: Model, method, training.
        folder: Where hidden states of frozen layers are kept; None is the cache.

    Attributes:
        recipes: What each episode's training has beyond the settings.
        steps: Optimiser steps since construction.

    Raises:
        ReActError: The model cannot be had or does not allow what the settings ask for.
    """

    def __init__(
        self,
        corpora: Sequence[Corpus],
        labelled: LabelledRows,
        settings: FineTuneSettings,
        folder: Path | None = None,
    ) -> None:
        super().__init__(corpora, labelled, settings, folder)
        self.steps = 0
        self.recipes: list[Recipe] = [PLAIN] * labelled.shape[0]
        self._teacher = self._task.head
        self._materials = Materials(corpora, self._columns, self.network, self._task.head.scored)
        self._material: dict[int, RoundMaterial] = {}
        self._check(settings)

    def start(self, episodes: Tensor, n_classes: Tensor, seeds: Sequence[int] = ()) -> None:
        """See ``ReadingTransformers.start``; episodes begin without a recipe. Mutates."""
        super().start(episodes, n_classes, seeds)
        for episode in episodes.tolist():
            self.recipes[episode] = PLAIN

    def state(self) -> dict[str, Tensor]:
        """See ``ReadingTransformers.state``; recipes that episodes have chosen are part of it."""
        return super().state() | packed_recipes(self.recipes, PLAIN)

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """See ``ReadingTransformers.load_state``. Mutates."""
        super().load_state(state)
        self.recipes = unpacked_recipes(state) or self.recipes

    def update(self, bought: Purchase) -> None:
        """Train the episodes that got a label, in place."""
        taught = bought.episodes[bought.live.any(1)].tolist()
        self._columns.note(bought)
        self._material = {
            e: self._materials.of(e, int(self._seeds[e]), self.settings.following(self.recipes[e]))
            for e in taught
            if e not in self.failures
        }
        sizes = {e: material.size for e, material in self._material.items()}
        with torch.inference_mode(False), torch.enable_grad():
            for size in sorted(set(sizes.values())):
                alike = [e for e, own in sizes.items() if own == size]
                for recipe in dict.fromkeys(self.recipes[e] for e in alike):
                    self._train([e for e in alike if self.recipes[e] == recipe])
        self._material.clear()

    def choose(self, recipes: Sequence[Recipe | None]) -> None:
        """Set the recipe of each episode's next rounds; None leaves it as it is. Mutates.

        Raises:
            ReActError: A recipe is not for fine-tuning, or does not go with the settings.
        """
        for recipe in {recipe for recipe in recipes if recipe is not None}:
            check_recipe(recipe, "finetune")
            self._check(self.settings.following(recipe))
        self.recipes = [then or now for now, then in zip(self.recipes, recipes, strict=True)]

    def _check(self, settings: FineTuneSettings) -> None:
        check_network(self.network, settings, self._task.head.scored)
        if settings.augmentation.kind != "none":
            self._materials.prepare(settings.augmentation)

    def _train(self, episodes: list[int]) -> None:
        """Train episodes with equally many labels, as many side by side as memory allows. Mutates."""
        start = 0
        while start < len(episodes):
            chunk = episodes[start : start + self._at_once]
            try:
                self._train_chunk(chunk)
            except RuntimeError as error:
                settings = self.settings.following(self.recipes[chunk[0]])
                self._make_do(error, len(chunk), settings.most_pieces)
                continue
            start += len(chunk)

    def _train_chunk(self, episodes: list[int]) -> None:
        if not episodes:
            return
        fitted = self._fit(episodes, self.settings.learning_rate)
        self._keep(episodes, fitted)
        again = [e for e, failed in zip(episodes, fitted.failed, strict=True) if failed]
        if again:
            _log.warning("The loss of %d episodes is not finite; trying at a lower rate.", len(again))
            fitted = self._fit(again, self.settings.learning_rate * SLOWER)
            self._keep(again, fitted)
            for e, failed in zip(again, fitted.failed, strict=True):
                if failed:
                    what = f"The loss of round {self._rounds[e]} is not finite"
                    self.failures[e] = f"{what}, also at a tenth of the rate."
        self._rounds[episodes] += 1
        self._known[episodes] = False

    def _keep(self, episodes: list[int], fitted: Fitted) -> None:
        """Store the weights of episodes whose training went well. Mutates."""
        self.steps += fitted.steps
        for r, e in enumerate(episodes):
            if not fitted.failed[r]:
                for name, array in fitted.weights.items():
                    if name != self.network.words:
                        self._weights[name][e] = array[r]
                self._words.keep(e, fitted.weights, r)

    def _held(
        self, episodes: list[int], materials: Sequence[RoundMaterial], settings: FineTuneSettings
    ) -> Held:
        """What holds episodes with one recipe in a round, beside their labels: nothing."""
        return Held()

    def _fit(self, episodes: list[int], rate: float) -> Fitted:
        """Train episodes that have equally many labels and one recipe."""
        columns, materials = self._columns, [self._material[e] for e in episodes]
        used = [material.vocabulary for material in materials] if self._words.trained else []
        settings, share = self.settings.following(self.recipes[episodes[0]]), self.settings.kept_share
        words, places = self._words.begin(episodes, used, share)
        held = self._held(episodes, materials, settings)
        weights = restarted(self._begin, self._weights, episodes, share) | words | held.begin
        lesson = Lesson(
            targets=stacked([material.targets for material in materials], -1),
            lengths=np.stack([material.lengths for material in materials]),
            class_mask=self._class_mask[episodes].clone(),
            seeds=self._seeds[episodes].clone(),
            rounds=self._rounds[episodes],
            rectangle=lambda chosen: self._materials.rectangle(episodes, materials, chosen),
            head=self._teacher,
            vocabulary=places,
            dev_loss=self._dev_loss(episodes) if self.settings.patience is not None else None,
            anchors=self.network.anchors(self._seeds[episodes]) | self._words.pretrained(episodes)
            if settings.is_anchored
            else None,
            held=held,
            unlabelled=[material.unlabelled for material in materials],
            rectangle_of=lambda rows: columns.rectangle(episodes, rows),
        )
        return fit(self.network, weights, lesson, settings, rate, self._pieces)

    def _dev_loss(self, episodes: list[int]) -> Callable[[dict[str, Tensor]], Tensor]:
        """What measures early stopping on the dev rows of each episode; see ``Columns.wanting``."""
        rows = self._columns.examples(episodes, [self._columns.dev[e][0] for e in episodes])

        def measure(weights: dict[str, Tensor]) -> Tensor:
            whole = dict(weights)
            if self.network.words is not None:
                whole |= self._words.tables(episodes, weights[self.network.words])
            scores = self._read(episodes, whole, rows, None, False)
            wanted = [self._columns.wanting(e, one, self._task, self._class_mask[e])
                      for e, one in zip(episodes, scores, strict=True)]  # fmt: skip
            return torch.stack(wanted).cpu()

        return measure
