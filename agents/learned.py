"""The learned query strategy: a trained policy with its interface."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sb3_contrib.common.maskable.policies import MaskableActorCriticPolicy
from sb3_contrib.common.recurrent.policies import RecurrentActorCriticPolicy
from stable_baselines3.common.policies import BasePolicy
from torch import Tensor

from react_rl.agents.folder import IMITATION, load_policy, read_card
from react_rl.agents.memory import act_from_memory
from react_rl.agents.scorer import ScorerStrategy
from react_rl.agents.scorer_folder import load_scorer, pretrained_folder
from react_rl.envs.interfaces import Frame, Interface, WeighScores
from react_rl.learners.recipes import Recipe
from react_rl.simulation.view import PoolView


class LearnedStrategy:
    """A policy that selects like any other query strategy: always its most likely action.

    An episode that the policy stops gets no ids at all.

    Args:
        name: Name in tables and figures.
        policy: The policy.
        interface: What it sees and what its actions mean.
    """

    def __init__(self, name: str, policy: BasePolicy, interface: Interface) -> None:
        self.name = name
        self.policy = policy
        self.interface = interface

    @classmethod
    def from_pretrained(cls, name: str = "learned") -> ScorerStrategy:
        """The policy that comes with the package: a row scorer, ready for any corpus."""
        return load_scorer(pretrained_folder(name), name)

    @classmethod
    def load(cls, folder: Path | str, name: str | None = None) -> LearnedStrategy:
        """Load a policy folder; the strategy is called ``name``, or what the policy's card says."""
        policy, interface, card = load_policy(Path(folder))
        return cls(name or card.name, policy, interface)

    def act(self, frame: Frame) -> npt.NDArray[Any]:
        """Actions in a frame, with the episode axis first."""
        policy, seen = self.policy, frame.observation
        if isinstance(policy, RecurrentActorCriticPolicy):
            return act_from_memory(policy, frame, self.name)
        if isinstance(policy, MaskableActorCriticPolicy) and frame.mask is not None:
            # An episode that is over has nothing left to choose from.
            mask = frame.mask | ~frame.mask.any(1, keepdims=True)
            actions, _ = policy.predict(seen, deterministic=True, action_masks=mask)
        else:
            actions, _ = policy.predict(seen, deterministic=True)
        return np.asarray(actions)

    @property
    def features(self) -> tuple[str, ...]:
        """Features that a weigh-scores policy weighs; none for other action spaces."""
        return self.interface.features if isinstance(self.interface, WeighScores) else ()

    def weights(self, view: PoolView) -> npt.NDArray[np.float32] | None:
        """Feature weights ``(E, F)`` of a weigh-scores policy now; None for other action spaces."""
        if isinstance(self.interface, WeighScores):
            return self.interface.weights(self.act(self.interface.frame(view)))
        return None

    def score(self, view: PoolView) -> Tensor:
        """Scores of the first pick ``(E, P)``."""
        frame = self.interface.frame(view)
        return self.interface.score(frame, self.act(frame))

    def select(self, view: PoolView, n: int) -> Tensor:
        """Choose rows as the policy says ``(E, b)``; -1 throughout where it stops.

        They are ``n``, unless the policy decides on the size of its batches.
        """
        return self.choose(view, n)[0]

    def choose(self, view: PoolView, n: int) -> tuple[Tensor, Sequence[Recipe | None] | None]:
        """Choose rows as ``select`` does, and how each episode is trained; None changes nothing."""
        frame = replace(self.interface.frame(view), batch_size=n)
        decision = self.interface.decide(frame, self.act(frame))
        ids = without(decision.ids, decision.stop)
        if decision.batch_size is None:
            return ids, decision.recipe
        picks, over = [ids], np.zeros(view.n_episodes, dtype=np.bool_)
        asked = np.zeros(view.n_episodes, dtype=np.int64)
        while True:
            now = (ids >= 0).sum(1).cpu().numpy()
            asked += now
            view = view.after(view.columns_of(ids))
            free = view.n_available.cpu().numpy() > 0
            over |= decision.stop | (asked >= decision.batch_size) | (now == 0) | ~free
            if over.all():
                return torch.cat(picks, 1), decision.recipe
            frame = replace(self.interface.frame(view, frame), batch_size=n)
            decision = self.interface.decide(frame, self.act(frame))
            assert decision.batch_size is not None, "an interface picks row by row or batch by batch"
            ids = without(decision.ids, decision.stop | over)
            picks.append(ids)


def without(ids: Tensor, episodes: npt.NDArray[np.bool_]) -> Tensor:
    """Row ids ``(E, b)`` with -1 throughout in some episodes ``(E,)``."""
    if not episodes.any():
        return ids
    return torch.where(torch.from_numpy(episodes).to(ids.device)[:, None], -1, ids)


def load_strategy(folder: Path | str, name: str | None = None) -> LearnedStrategy | ScorerStrategy:
    """Load a policy folder of any kind as a query strategy, called ``name`` or what its card says.

    Raises:
        ReActError: The folder is no policy, or is damaged.
    """
    if read_card(Path(folder)).algorithm == IMITATION:
        return load_scorer(Path(folder), name)
    return LearnedStrategy.load(folder, name)
