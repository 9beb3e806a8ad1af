"""The linear head under recipes: each episode follows its own; those with the same one are computed together.

What the loop, strategies and reports read as predictions are the recipe's. The base head stays what it is
without any: its weights, its fitted scores and its regularisation are what committees, dropout and closed
forms build on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from react_rl.learners.linear.settings import SoftmaxSettings
from react_rl.learners.linear.softmax import SoftmaxRegression
from react_rl.learners.linear.weighting import row_weights
from react_rl.learners.protocol import INVALID_LOGIT, LabelledRows, Purchase, Rows, part_of
from react_rl.learners.recipes.mixup import mixing_of
from react_rl.learners.recipes.neighbours import PoolGraph
from react_rl.learners.recipes.phases import HeadPhases
from react_rl.learners.recipes.refitting import TrainingRows, l2_left_out, l2_on_dev, refit_each
from react_rl.learners.recipes.registry import check_recipe, make_recipe, packed_recipes, unpacked_recipes
from react_rl.learners.recipes.self_training import joined, take_over
from react_rl.learners.recipes.settings import PLAIN, Recipe, SelfTrainingSettings
from react_rl.learners.recipes.spreading import mix, spread


@dataclass(frozen=True)
class HeadFit:
    """Heads that a recipe has trained, in dual form.

    Args:
        dual: ``(R, C, n)`` weights of the labelled rows.
        columns: ``(R, m)`` pool columns of the rows that were taken over besides.
        extra: ``(R, C, m)`` their weights.
    """

    dual: Tensor
    columns: Tensor
    extra: Tensor

    def of(self, place: int) -> HeadFit:
        """One of them, without the episode axis."""
        return HeadFit(self.dual[place], self.columns[place], self.extra[place])


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
        self.graph = PoolGraph(corpora, n_episodes, width, self.device)
        self._plain = self._are_plain()
        self._scores: Tensor | None = None
        self._followed: list[Recipe] | None = None
        self._sources: dict[int, Tensor] = {}
        self._fits: dict[int, HeadFit] = {}
        self._moved: dict[int, Tensor] = {}
        self._phases = HeadPhases(labelled, self.graph, self.settings)
        self._dev = torch.full((n_episodes, width), -1, dtype=torch.int64, device=self.device)
        self._targets = self._dev.clone()  # those of rows that are yet to come as well

    def place(self, episode: int, corpus: int, rows: Tensor, dev_labels: Tensor) -> None:
        """Note the rows of an episode's columns ``(W,)`` and the class of its dev columns, -1 elsewhere."""
        self.graph.place(episode, corpus, rows, dev_labels)
        self._dev[episode] = self._targets[episode] = dev_labels

    def start(self, episodes: Tensor, n_classes: Tensor, seeds: Sequence[int] = ()) -> None:
        """Forget the given episodes and begin again, with the recipe of the settings. Mutates."""
        super().start(episodes, n_classes, seeds)
        for episode in episodes.tolist():
            self.recipes[episode] = self.settings.recipe
        self._phases.forget(episodes.tolist())
        self._plain = self._are_plain()
        self._forget()

    def enter_phase(self, episodes: Sequence[int], arrived: Tensor) -> None:
        """Keep what the heads of some episodes know, and the columns ``(R, W)`` that have come. Mutates."""
        ended = [e for e in episodes if self.labelled.used[e] > 0]
        if ended:
            weights, intercept = self._primal()
            self._phases.end(ended, weights[ended], intercept[ended], self._class_bias[ended])
        self.graph.narrow(episodes, arrived)
        for episode, come in zip(episodes, arrived, strict=True):
            self._dev[episode] = torch.where(come, self._targets[episode], -1)
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
        self._plain = self._are_plain()
        self._forget()

    def update(self, bought: Purchase) -> None:
        """Refit the base heads of the given episodes, in place; recipes follow when they are asked."""
        super().update(bought)
        self._forget()

    @property
    def followed(self) -> list[Recipe]:
        """The recipe that each episode follows in this round: its own, or the one that it chose on dev."""
        _ = self.logits
        return list(self.recipes) if self._followed is None else list(self._followed)

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
        asked = [torch.from_numpy(one).to(self.device) for one in rows]
        weights, intercept = self._primal()
        products = self.graph.products(weights, asked)
        scores = (products + intercept[:, :, None]).masked_fill_(self._class_bias < 0, INVALID_LOGIT)
        for recipe, members in () if self._plain else self._groups():
            if recipe.smoothing is not None:
                near = self.graph.of_rows(members, [asked[e] for e in members], recipe.smoothing.neighbours)
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
        scratch.graph = self.graph.repeated(times)
        scratch._dev = self._dev.repeat_interleave(times, 0)
        scratch._phases = self._phases.repeated(times, labelled, scratch.graph)
        scratch._forget()
        return scratch

    def state(self) -> dict[str, Tensor]:
        """See ``ColumnScores.state``; recipes that episodes have chosen are part of it."""
        phases = {f"phases/{name}": array for name, array in self._phases.state().items()}
        return super().state() | packed_recipes(self.recipes, self.settings.recipe) | phases

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """See ``ColumnScores.load_state``. Mutates."""
        super().load_state(state)
        self.recipes = unpacked_recipes(state) or self.recipes
        self._phases.load_state(part_of(state, "phases"))
        self._dev = torch.where(self.graph.arrived, self._targets, -1)
        self._plain = self._are_plain()
        self._forget()

    def _are_plain(self) -> bool:
        """Whether no episode has a recipe; noted, because comparing recipes takes a while."""
        return all(recipe == PLAIN for recipe in {id(one): one for one in self.recipes}.values())

    def _forget(self) -> None:
        self._scores, self._followed = None, None
        self._sources, self._fits, self._moved = {}, {}, {}

    def _groups(self) -> list[tuple[Recipe, list[int]]]:
        """Episodes by the recipe that they follow in this round, ascending. Mutates the first time."""
        if self._followed is None:
            self._followed = list(self.recipes)
            for recipe in dict.fromkeys(recipe for recipe in self.recipes if recipe.best_on_dev):
                members = [e for e, own in enumerate(self.recipes) if own == recipe]
                for episode, best in zip(members, self._best_on_dev(recipe, members), strict=True):
                    self._followed[episode] = best
        found: dict[Recipe, list[int]] = {}
        for episode, recipe in enumerate(self._followed):
            found.setdefault(recipe, []).append(episode)
        return list(found.items())

    def _best_on_dev(self, recipe: Recipe, members: list[int]) -> list[Recipe]:
        """The recipe of each of some episodes with the best dev accuracy; log-loss decides among equals."""
        offered = [make_recipe(name) for name in recipe.best_on_dev]
        labels, values = self._dev[members], []
        known = labels >= 0
        for one in offered:
            scores = self._under(one, members)
            right = ((scores.argmax(1) == labels) & known).sum(1).double()
            log = torch.log_softmax(scores, 1).gather(1, labels.clamp_min(0)[:, None])[:, 0]
            mean = (log * known).sum(1).double() / known.sum(1).clamp_min(1)
            values.append(right + 0.5 * torch.exp(mean))  # below one row, however small the loss
        return [offered[best] for best in torch.stack(values).argmax(0).tolist()]

    def _follow(self) -> Tensor:
        """Scores ``(E, C, W)`` by the recipes. Mutates what is noted of heads and of what travels."""
        if self._plain:
            return self._logits
        scores = self._logits.clone()
        for recipe, members in self._groups():
            scores[members] = self._under(recipe, members)
        return scores

    def _under(self, recipe: Recipe, members: list[int]) -> Tensor:
        """Scores ``(R, C, W)`` of some episodes under a recipe. Mutates what is noted of them."""
        for episode in members:
            for noted in (self._fits, self._sources, self._moved):
                noted.pop(episode, None)
        scores = self._logits[members]
        if recipe.refits:
            fit = self._fit(recipe, members)
            scores = self._scores_of(fit, members)
            self._fits |= {e: fit.of(place) for place, e in enumerate(members)}
        later = [
            p for p, e in enumerate(members) if recipe.continual.kind != "joint" and self._phases.first[e]
        ]
        if later:
            scores[later] = self._in_phase(recipe, [members[place] for place in later])
        if recipe.smoothing is not None:
            onehot, known = self._labels(members)
            said = torch.softmax(scores, 1).transpose(1, 2)
            near = self.graph.of_columns(members, recipe.smoothing.neighbours)
            mixed, source = spread(said, onehot, known, near, recipe.smoothing)
            scores = self._as_scores(mixed, members)
            self._sources |= dict(zip(members, source, strict=True))
        return scores

    def _primal(self) -> tuple[Tensor, Tensor]:
        """Weights ``(E, C, D)`` and intercepts ``(E, C)`` of the heads that the recipes have trained."""
        if any(recipe != PLAIN for recipe in self.recipes):
            _ = self.logits  # heads are trained, and what travels from the pool is noted
        n, everyone = self.labelled.slots, range(len(self.recipes))
        weights, intercept = self.primal(self.graph.embeddings(everyone, self.labelled.columns[:, :n]))
        for episode, fit in self._fits.items():
            whole = torch.cat([self.labelled.columns[episode, :n], fit.columns])
            dual = torch.cat([fit.dual, fit.extra], 1)  # (C, n + m)
            weights[episode] = dual @ self.graph.embeddings([episode], whole[None])[0]
            intercept[episode] = self.settings.bias**2 * dual.sum(1)
        for episode, moved in self._moved.items():
            weights[episode], intercept[episode] = moved[:, :-1], moved[:, -1] * self.settings.bias
        return weights, intercept

    def _in_phase(self, recipe: Recipe, members: list[int]) -> Tensor:
        """Scores ``(R, C, W)`` of heads past their first phase, trained as their recipe says. Mutates."""
        bias = self._class_bias[members]
        found, scores = self._phases.fit(members, recipe.continual, bias)
        self._moved |= dict(zip(members, found, strict=True))
        return scores.masked_fill_(bias < 0, INVALID_LOGIT)

    def _fit(self, recipe: Recipe, members: list[int]) -> HeadFit:
        """Train the heads of some episodes as their recipe says."""
        labelled, settings = self.labelled, self.settings
        n = labelled.slots
        rows, live = labelled.rows[members, :n], labelled.live[members, :n]
        onehot, slots = labelled.onehot[members, :, :n], labelled.columns[members, :n]
        kernel = rows.gather(2, slots[:, None].expand(-1, n, -1)) + settings.bias**2
        kernel = kernel * live[:, None, :] * live[:, :, None]
        weight = row_weights(settings, onehot, live)
        material = TrainingRows(kernel, onehot, weight, self._class_bias[members])
        start = self._dual[members, :, :n]
        if recipe.l2 == "leave-one-out":
            l2 = l2_left_out(material, start, settings)
        elif recipe.l2 == "dev":
            across = (rows + settings.bias**2) * live[:, :, None]
            l2 = l2_on_dev(material, start, settings, across, self._dev[members])
        else:
            l2 = torch.full((len(members),), recipe.l2 or settings.l2, device=self.device)
        material = material.smoothed(recipe.label_smoothing)
        if recipe.mixup.alpha > 0:
            mixing = mixing_of(slots, live, recipe.mixup)
            begin = torch.zeros(*start.shape[:2], mixing.shape[1], device=self.device)
            # A mixture weighs less than a row, and so does its part of the gradient.
            finer = replace(settings, tolerance=settings.tolerance / recipe.mixup.copies)
            dual = torch.bmm(refit_each(material.mixed(mixing), begin, l2, finer), mixing)
        else:
            dual = refit_each(material, start, l2, settings)
        none = torch.zeros(len(members), 0, dtype=torch.int64, device=self.device)
        fit = HeadFit(dual, none, dual[:, :, :0])
        if recipe.self_training is not None:
            return self._self_trained(fit, material, slots, l2, recipe.self_training, members)
        return fit

    def _self_trained(
        self,
        fit: HeadFit,
        material: TrainingRows,
        slots: Tensor,
        l2: Tensor,
        training: SelfTrainingSettings,
        members: list[int],
    ) -> HeadFit:
        """Train the heads of some episodes again, on pool rows that they are sure of as well."""
        dual, n = fit.dual, slots.shape[1]
        near = self.graph.of_columns(members, training.neighbours)
        labels, known = self._labels(members)
        free = self.graph.pool[members] & ~known
        for _ in range(training.rounds):
            said = torch.softmax(self._scores_of(fit, members), 1)
            hard = torch.nn.functional.one_hot(said.argmax(1), said.shape[1]).float()
            taken = take_over(said, free, near, torch.where(known[:, :, None], labels, hard), training)
            similarity = self.graph.similarity(members, taken.columns)
            both = joined(material, slots, taken, similarity, training.weight, self.settings.bias)
            start = torch.nn.functional.pad(dual, (0, taken.columns.shape[1]))
            found = refit_each(both, start, l2, self.settings)
            fit = HeadFit(found[:, :, :n], taken.columns, found[:, :, n:])
        return fit

    def _scores_of(self, fit: HeadFit, members: list[int]) -> Tensor:
        """Scores ``(R, C, W)`` of heads."""
        n = self.labelled.slots
        shift = self.settings.bias**2 * (fit.dual.sum(2) + fit.extra.sum(2))[:, :, None]
        scores = torch.baddbmm(shift + self._class_bias[members], fit.dual, self.labelled.rows[members, :n])
        if fit.columns.shape[1]:
            scores = torch.baddbmm(scores, fit.extra, self.graph.similarity(members, fit.columns))
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
