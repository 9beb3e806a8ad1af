"""The decision-units interface: strategy or weights, batch size, recipe, stopping, each by its own unit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import gymnasium
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from react_rl.acquisition.batching.selection import take_weighted, weighted_score
from react_rl.acquisition.features import feature_named
from react_rl.acquisition.registry import entry_of, make_strategy
from react_rl.envs.interfaces.choose_strategy import CHOSEN_STRATEGIES
from react_rl.envs.interfaces.contract import Decision, Frame, Interface, each_once, needs_of_features
from react_rl.envs.observations import Observation
from react_rl.errors import ReActError
from react_rl.learners.recipes import make_recipe
from react_rl.simulation.view import PoolView

LEVELS: Final = (0.0, 0.5, 1.0)
"""Weights that a feature can be given unless told otherwise."""


class DecisionUnits(Interface):
    """``MultiDiscrete``: each unit of a decision is a choice of its own.

    The units, in this order, as far as they are given: the query strategy, or for each feature its weight;
    the batch size; the recipe by which the learner is trained from then on; to go on (0) or stop (1).

    Args:
        strategies: Strategies to choose from; None takes ``CHOSEN_STRATEGIES`` where there are no features.
        features: Features to weigh instead of choosing a strategy.
        levels: Weights that a feature can be given.
        batch_sizes: Rows of a batch to choose from; None leaves the episode's batch size.
        recipes: Recipes to choose from, by name; None leaves the learner's.
        stop: Add a last unit that ends the episode.
        observation: What the policy sees of episode and pool; None is the context observation.

    Raises:
        ReActError: Something named does not exist or comes twice, or a unit has nothing to choose.
    """

    def __init__(
        self,
        strategies: Sequence[str] | None = None,
        features: Sequence[str] | None = None,
        levels: Sequence[float] | None = None,
        batch_sizes: Sequence[int] | None = None,
        recipes: Sequence[str] | None = None,
        stop: bool = False,
        *,
        observation: Observation | None = None,
    ) -> None:
        super().__init__(observation=observation)
        if strategies is not None and features is not None:
            raise ReActError("decision-units chooses strategies or weighs features; give one of the two.")
        if levels is not None and features is None:
            raise ReActError("levels are weights of features; give features, too, or leave levels out.")
        self.features = None if features is None else tuple(features)
        self.strategies = None if features is not None else tuple(strategies or CHOSEN_STRATEGIES)
        self.levels = tuple(levels or LEVELS)
        self.batch_sizes = None if batch_sizes is None else tuple(batch_sizes)
        self.recipes = None if recipes is None else tuple(recipes)
        self.stop = stop
        for what, options, least in (
            ("strategies", self.strategies, 1),
            ("features", self.features, 1),
            ("levels", self.levels, 2),
            ("batch_sizes", self.batch_sizes, 2),
            ("recipes", self.recipes, 2),
        ):
            if options is not None:
                each_once(what, options, least)
        if self.batch_sizes is not None and min(self.batch_sizes) < 1:
            raise ReActError(f"batch_sizes {list(self.batch_sizes)} must be whole numbers of at least 1.")
        for feature in self.features or ():
            feature_named(feature)
        self._strategies = [make_strategy(name) for name in self.strategies or ()]
        self._recipes = [make_recipe(name) for name in self.recipes or ()]
        self.needs = {name: entry_of(name).needs for name in self.strategies or ()}
        self.needs |= needs_of_features(self.features or ())
        if self.recipes is not None:
            self.needs["decision-units with recipes"] = frozenset({"recipes"})
        units = [len(self._strategies)] if self.features is None else [len(self.levels)] * len(self.features)
        self._first = len(units)
        units += [len(options) for options in (self.batch_sizes, self.recipes) if options is not None]
        self._options = np.array(units + [2] * stop)
        self.action_space = gymnasium.spaces.MultiDiscrete(self._options)

    def expected_actions(self, rows: float, batch_size: int) -> float:
        """Actions that buy ``rows`` rows when batch sizes are chosen evenly."""
        return rows / (batch_size if self.batch_sizes is None else float(np.mean(self.batch_sizes)))

    def decide(self, frame: Frame, actions: npt.NDArray[Any]) -> Decision:
        """Let each episode's units decide; no other episode's random stream moves."""
        actions = np.asarray(actions)
        outside = (actions < 0) | (actions >= self._options)
        if outside.any():
            e, unit = (int(i) for i in np.argwhere(outside)[0])
            raise ReActError(
                f"Action {actions[e, unit]} of unit {unit} is outside the action space; "
                f"choose 0 to {self._options[unit] - 1}."
            )
        place = self._first
        sizes = np.full(len(actions), frame.batch_size)
        if self.batch_sizes is not None:
            sizes = np.array(self.batch_sizes)[actions[:, place]]
            place += 1
        recipe = None
        if self.recipes is not None:
            recipe = [self._recipes[k] for k in actions[:, place]]
        stop = actions[:, -1] == 1 if self.stop else np.zeros(len(actions), dtype=np.bool_)
        view = frame.view
        widest = max(self.batch_sizes or (frame.batch_size,))
        ids = torch.full((view.n_episodes, widest), -1, dtype=torch.int64, device=view.device)
        for group, size in self._groups(actions, sizes, stop):
            focus = view if group.all() else view.only(group)
            picked = torch.nn.functional.pad(
                self._take(focus, actions, group, size), (0, widest - size), value=-1
            )
            ids = torch.where(torch.from_numpy(group).to(view.device)[:, None], picked, ids)
        return Decision(ids, stop, recipe=recipe)

    def score(self, frame: Frame, actions: npt.NDArray[Any]) -> Tensor:
        """Scores of each episode's strategy or weights ``(E, P)``."""
        actions, view = np.asarray(actions), frame.view
        if self.features is not None:
            return weighted_score(view, self.features, self._weights(view, actions))
        scores = torch.zeros(view.ids.shape, device=view.device)
        for k in np.unique(actions[:, 0]):
            group = actions[:, 0] == k
            own = self._strategies[int(k)].score(view if group.all() else view.only(group))
            scores = torch.where(torch.from_numpy(group).to(view.device)[:, None], own.float(), scores)
        return scores

    def describe(self) -> dict[str, Any]:
        """Name and settings from which ``make_interface`` builds the same; what is not given is left out."""
        said: dict[str, Any] = {"name": "decision-units", "stop": self.stop}
        if self.features is not None:
            said |= {"features": list(self.features), "levels": list(self.levels)}
        for what in ("strategies", "batch_sizes", "recipes"):
            options = getattr(self, what)
            if options is not None:
                said[what] = list(options)
        return said

    def _groups(
        self, actions: npt.NDArray[Any], sizes: npt.NDArray[np.int64], stop: npt.NDArray[np.bool_]
    ) -> list[tuple[npt.NDArray[np.bool_], int]]:
        """Episodes ``(E,)`` that decide alike on strategy and batch size, and the size."""
        # Weights are each episode's own, whatever the others weigh.
        chosen = np.zeros(len(actions), dtype=np.int64) if self.features is not None else actions[:, 0]
        pairs = sorted(set(zip(chosen[~stop].tolist(), sizes[~stop].tolist(), strict=True)))
        return [((chosen == k) & (sizes == size) & ~stop, size) for k, size in pairs]

    def _take(
        self, view: PoolView, actions: npt.NDArray[Any], group: npt.NDArray[np.bool_], size: int
    ) -> Tensor:
        if self.features is not None:
            return take_weighted(view, self.features, self._weights(view, actions), size)
        return self._strategies[int(actions[group][0, 0])].select(view, size)

    def _weights(self, view: PoolView, actions: npt.NDArray[Any]) -> Tensor:
        levels = np.array(self.levels, dtype=np.float32)
        return torch.from_numpy(levels[actions[:, : self._first]]).to(view.device)
