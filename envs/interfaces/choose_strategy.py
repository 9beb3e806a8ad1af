"""The choose-strategy interface: an action names the query strategy that takes the batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import gymnasium
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from react_rl.acquisition.registry import entry_of, make_strategy
from react_rl.envs.interfaces.contract import Decision, Frame, Interface, each_once
from react_rl.envs.observations import Observation
from react_rl.errors import ReActError

CHOSEN_STRATEGIES: Final = ("random", "margin", "entropy", "k-center", "typicality", "mixture")
"""Strategies that the choose-strategy space offers unless told otherwise."""


class ChooseStrategy(Interface):
    """``Discrete(K [+ 1])``: which query strategy takes this round's batch, or (last action) stop.

    Args:
        strategies: Names of the strategies, K of them.
        stop: Add a last action that ends the episode.
        observation: What the policy sees; None is the context observation.
    """

    def __init__(
        self,
        strategies: Sequence[str] = CHOSEN_STRATEGIES,
        stop: bool = False,
        *,
        observation: Observation | None = None,
    ) -> None:
        super().__init__(observation=observation)
        self.names = each_once("Strategies", strategies)
        self.needs = {name: entry_of(name).needs for name in strategies}
        self.stop = stop
        self._strategies = [make_strategy(name) for name in strategies]
        self.action_space = gymnasium.spaces.Discrete(len(self.names) + stop)

    def decide(self, frame: Frame, actions: npt.NDArray[Any]) -> Decision:
        """Let each episode's strategy choose; no other episode's random stream moves."""
        view, actions = frame.view, np.asarray(actions).reshape(-1)
        most = len(self.names) + self.stop
        outside = (actions < 0) | (actions >= most)
        if outside.any():
            raise ReActError(
                f"Action {actions[outside][0]} is outside the action space; choose 0 to {most - 1}."
            )
        ids = torch.full((view.n_episodes, frame.batch_size), -1, dtype=torch.int64, device=view.device)
        for k in np.unique(actions[actions < len(self.names)]):
            chosen = actions == k
            focus = view if chosen.all() else view.only(chosen)
            picked = self._strategies[int(k)].select(focus, frame.batch_size)
            ids = torch.where(torch.from_numpy(chosen).to(view.device)[:, None], picked, ids)
        return Decision(ids, actions == len(self.names))

    def score(self, frame: Frame, actions: npt.NDArray[Any]) -> Tensor:
        """Scores of each episode's strategy ``(E, P)``; 0 where the episode stops."""
        view, actions = frame.view, np.asarray(actions).reshape(-1)
        scores = torch.zeros(view.ids.shape, device=view.device)
        for k in np.unique(actions[actions < len(self.names)]):
            chosen = actions == k
            own = self._strategies[int(k)].score(view if chosen.all() else view.only(chosen))
            scores = torch.where(torch.from_numpy(chosen).to(view.device)[:, None], own.float(), scores)
        return scores

    def describe(self) -> dict[str, Any]:
        """Name and settings from which ``make_interface`` builds the same."""
        return {"name": "choose-strategy", "strategies": list(self.names), "stop": self.stop}
