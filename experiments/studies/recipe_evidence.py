"""What can be seen of each recipe of a menu in a round, and a linear choice among them that is fitted to it.

Evidence never looks at test rows: dev rows, rows whose labels have just come, and predictions on the pool.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from react_rl.learners.capabilities import choose_recipes
from react_rl.learners.recipes import RECIPES, Recipe, SelfTrainingSettings, SmoothingSettings
from react_rl.learners.recipes.head import RecipeHead
from react_rl.simulation.engine import LabelingEngine

Array = npt.NDArray[np.float64]

_AGREED: Final = SelfTrainingSettings(threshold=0.5, agreement=0.5, rows=200)
MENU: Final[dict[str, Recipe]] = {
    "plain": RECIPES["plain"].settings,
    "smooth .3": Recipe(smoothing=SmoothingSettings(share=0.3)),
    "smooth": RECIPES["smooth"].settings,
    "l2 1": Recipe(l2=1.0),
    "l2-loo": RECIPES["l2-loo"].settings,
    "strong": RECIPES["strong"].settings,
    "hast": RECIPES["hast"].settings,
    "hast + smooth .3": Recipe(self_training=_AGREED, smoothing=SmoothingSettings(share=0.3)),
}
"""Recipes to choose from, the plain one first."""

SIGNALS: Final = (
    "dev accuracy",
    "dev probability",
    "dev log-loss",
    "dev accuracy so far",
    "dev probability so far",
    "bought rows, before their labels",
    "pool rows said otherwise",
    "confidence",
    "evenness of classes",
)
"""What is seen of a recipe, each less what is seen of the plain one."""

CONTEXT: Final = ("labels", "classes", "agreement of neighbours", "confidence", "dev accuracy")
"""What is seen of the episode, the same for all recipes."""

_KEPT: Final = 0.7
"""Share of what was seen so far that is kept in a round."""


@dataclass(frozen=True)
class Evidence:
    """What was seen in one round.

    Args:
        signals: ``(E, R, S)``, see ``SIGNALS``.
        context: ``(E, K)``, see ``CONTEXT``.
        dev: ``(E, R)`` dev accuracy, log-loss deciding among equals.
    """

    signals: Array
    context: Array
    dev: Array

    def design(self) -> Array:
        """Columns ``(E, R, F)`` of a linear model: signals and recipes, each alone and times context."""
        episodes, recipes, _ = self.signals.shape
        context = np.concatenate([np.ones((episodes, 1)), self.context], 1)
        crossed = self.signals[:, :, :, None] * context[:, None, None, :]
        own = np.eye(recipes)[None, :, :, None] * context[:, None, None, :]
        return np.concatenate([crossed.reshape(episodes, recipes, -1), own.reshape(episodes, recipes, -1)], 2)


class Watch:
    """Watches the recipes of a menu over the rounds of E episodes on one corpus.

    Args:
        engine: The episodes, on the linear head.
        menu: The recipes, the plain one first.
    """

    def __init__(self, engine: LabelingEngine, menu: Sequence[Recipe]) -> None:
        assert isinstance(engine.learner, RecipeHead), "the menu is of the linear head"
        self._engine, self._learner, self._menu = engine, engine.learner, list(menu)
        draws = [engine.draw_of(e) for e in range(engine.n_episodes)]
        corpus = engine.corpus_of(0).corpus
        self._pool = draws[0].pool.size
        shape = engine.pools.target_shape
        known = [engine.task.targets(corpus, draw.dev, draw.classes, shape) for draw in draws]
        self._dev = torch.from_numpy(np.stack(known)).reshape(len(draws), -1)
        self._n_classes = corpus.n_classes
        self._hits = np.zeros((engine.n_episodes, len(menu)))
        self._said: Tensor | None = None
        self._past: Array | None = None
        self._labelled = torch.zeros(engine.n_episodes, self._pool, dtype=torch.bool)

    @torch.inference_mode()
    def look(self) -> Evidence:
        """See every recipe in the round as it stands; the recipes of the episodes stay. Mutates."""
        engine, learner = self._engine, self._learner
        before = list(learner.recipes)
        scores = []
        for recipe in self._menu:
            choose_recipes(learner, [recipe] * engine.n_episodes)
            scores.append(torch.softmax(learner.logits[:, :, : self._pool + self._dev.shape[1]], 1))
        choose_recipes(learner, before)
        found = torch.stack(scores, 1)  # (E, R, C, P + V)
        pool, dev = found[..., : self._pool], found[..., self._pool :]
        self._count_hits(pool.argmax(2))
        labels = self._dev[:, None, None, :].expand(-1, len(self._menu), 1, -1)
        right = dev.gather(2, labels)[:, :, 0]
        accuracy = (dev.argmax(2) == self._dev[:, None]).double().mean(2).numpy()
        probability, loss = right.double().mean(2).numpy(), right.clamp_min(1e-3).log().double().mean(2)
        sure = pool.amax(2).double().mean(2).numpy()
        share = pool.mean(3).double()
        even = -(share * share.clamp_min(1e-9).log()).sum(2).numpy() / np.log(max(self._n_classes, 2))
        other = (pool.argmax(2) != pool.argmax(2)[:, :1]).double().mean(2).numpy()
        n = engine.labels.astype(np.float64)
        now = np.stack([accuracy, probability], 2)
        self._past = now if self._past is None else _KEPT * self._past + (1 - _KEPT) * now
        hits = self._hits / np.maximum(n, 1)[:, None]
        every = [
            accuracy, probability, loss.numpy(), self._past[:, :, 0], self._past[:, :, 1], hits, other, sure,
            even,
        ]  # fmt: skip
        signals = np.stack(every, 2)
        agreement = self._agreement(pool[:, 0].argmax(1))
        context = [np.log(n / 40), np.log(self._n_classes / 4) * np.ones_like(n), agreement, sure[:, 0] - 0.5]
        context.append(accuracy[:, 0] - 0.5)
        dev_choice = accuracy + 1e-3 * np.exp(loss.numpy())
        return Evidence(signals - signals[:, :1], np.stack(context, 1), dev_choice)

    def _count_hits(self, said: Tensor) -> None:
        """Count whose predictions were right on the rows that have been labelled since. Mutates."""
        view = self._engine.view
        labelled = view.labelled[:, : self._pool].cpu()
        if self._said is not None:
            new = labelled & ~self._labelled
            truth = self._truth()
            self._hits += ((self._said == truth[:, None]) & new[:, None]).sum(2).double().numpy()
        self._said, self._labelled = said, labelled.clone()

    def _truth(self) -> Tensor:
        """Classes ``(E, P)`` of labelled pool rows as they were answered, -1 elsewhere."""
        ledger, answers = self._engine.ledger, torch.full((self._engine.n_episodes, self._pool), -1)
        n = ledger.slots
        columns, classes = ledger.columns[:, :n], ledger.onehot[:, :, :n].argmax(1)
        live = ledger.live[:, :n] > 0
        for e in range(self._engine.n_episodes):
            answers[e, columns[e][live[e]]] = classes[e][live[e]]
        return answers

    def _agreement(self, said: Tensor) -> Array:
        """Share ``(E,)`` of the 15 nearest pool rows that are predicted alike, beyond chance."""
        members = range(self._engine.n_episodes)
        near = self._learner.graph.of_columns(list(members), 15).columns[:, : self._pool]
        alike = said.gather(1, near.flatten(1)).view_as(near) == said[:, :, None]
        onehot = torch.nn.functional.one_hot(said, self._n_classes).double().mean(1)
        chance = onehot.square().sum(1).numpy()
        found: Array = (alike.double().mean((1, 2)).numpy() - chance) / np.maximum(1 - chance, 0.05)
        return found


@dataclass(frozen=True)
class WatchedRounds:
    """Rounds on one corpus from which a choice is learned.

    Args:
        corpus: Its name.
        design: ``(N, R, F)``.
        accuracy: ``(N, R)`` test accuracy.
        dev: ``(N, R)`` as ``Evidence.dev``.
    """

    corpus: str
    design: Array
    accuracy: Array
    dev: Array

    @property
    def gain(self) -> Array:
        """Test accuracy ``(N, R)`` less its mean over the recipes."""
        found: Array = self.accuracy - self.accuracy.mean(1, keepdims=True)
        return found

    def taking(self, choice: npt.NDArray[np.int64]) -> Array:
        """Test accuracy ``(N,)`` of the recipes at positions ``(N,)``."""
        found: Array = self.accuracy[np.arange(len(choice)), choice]
        return found


@dataclass(frozen=True)
class LinearChoice:
    """Chooses the recipe of which a linear model expects most.

    Args:
        weights: ``(F,)``.
        scale: ``(F,)`` by which columns are divided first.
    """

    weights: Array
    scale: Array

    def expected(self, design: Array) -> Array:
        """Expected gain ``(N, R)``."""
        found: Array = (design / self.scale) @ self.weights
        return found

    def __call__(self, seen: Evidence) -> npt.NDArray[np.int64]:
        """Position of the recipe of each episode ``(E,)``."""
        found: npt.NDArray[np.int64] = self.expected(seen.design()).argmax(1)
        return found


def fit_choice(seen: Sequence[WatchedRounds], ridge: float) -> LinearChoice:
    """Fit by least squares, every corpus with the same weight; ``ridge`` is relative to it."""
    squares: Array = np.mean([(one.design**2).mean((0, 1)) for one in seen], axis=0, dtype=np.float64)
    scale: Array = np.sqrt(np.where(squares > 1e-18, squares, 1.0)).astype(np.float64)
    n_columns = seen[0].design.shape[2]
    gram, product = ridge * np.eye(n_columns), np.zeros(n_columns)
    for one in seen:
        design = one.design / scale
        design = (design - design.mean(1, keepdims=True)).reshape(-1, n_columns)
        share = 1.0 / (len(seen) * len(design))
        gram += share * design.T @ design
        product += share * design.T @ one.gain.reshape(-1)
    weights: Array = np.linalg.solve(gram, product).astype(np.float64)
    return LinearChoice(weights, scale)


def worth(choice: LinearChoice, seen: Sequence[WatchedRounds]) -> float:
    """Mean gain over the menu's mean of what is chosen in rounds that have been seen, corpora equally."""
    means = [one.gain[np.arange(len(one.gain)), choice.expected(one.design).argmax(1)].mean() for one in seen]
    return float(np.mean(means))
