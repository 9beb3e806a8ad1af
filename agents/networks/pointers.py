"""Policies of Stable-Baselines3 whose actions are the scores that a candidate network gives."""

from __future__ import annotations

from typing import Any

import torch
from gymnasium import spaces
from sb3_contrib.common.maskable.policies import MaskableMultiInputActorCriticPolicy
from stable_baselines3.common.policies import MultiInputActorCriticPolicy
from stable_baselines3.common.type_aliases import Schedule
from stable_baselines3.dqn.policies import MultiInputPolicy as MultiInputQPolicy
from stable_baselines3.dqn.policies import QNetwork
from torch import Tensor, nn


class _Split(nn.Module):
    """Scores go to the actor as they are; the state goes through an MLP to the critic.

    Args:
        actions: A.
        state: H.
        layers: Hidden units of the critic.
    """

    def __init__(self, actions: int, state: int, layers: list[int]) -> None:
        super().__init__()
        sizes = [state, *layers]
        parts = [
            part
            for before, after in zip(sizes, layers, strict=False)
            for part in (nn.Linear(before, after), nn.Tanh())
        ]
        self.value = nn.Sequential(*parts)
        self.latent_dim_pi, self.latent_dim_vf = actions, sizes[-1]

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        return self.forward_actor(features), self.forward_critic(features)

    def forward_actor(self, features: Tensor) -> Tensor:
        return features[:, : self.latent_dim_pi]

    def forward_critic(self, features: Tensor) -> Tensor:
        value: Tensor = self.value(features[:, self.latent_dim_pi :])
        return value


class _Pointing:
    """What both actor-critic policies share; the extractor's scores are the logits."""

    action_space: Any
    net_arch: Any
    features_dim: int
    mlp_extractor: Any
    action_net: nn.Module
    optimizer: torch.optim.Optimizer
    optimizer_class: type[torch.optim.Optimizer]
    optimizer_kwargs: dict[str, Any]

    def _build_mlp_extractor(self) -> None:
        actions = int(self.action_space.n)
        layers = self.net_arch if isinstance(self.net_arch, list) else [64, 64]
        self.mlp_extractor = _Split(actions, self.features_dim - actions, layers)

    def _build(self, lr_schedule: Schedule) -> None:
        super()._build(lr_schedule)  # type: ignore[misc]
        self.action_net = nn.Identity()
        # The optimiser was made with the layer that is gone.
        self.optimizer = self.optimizer_class(
            self.parameters(),  # type: ignore[attr-defined]
            lr=lr_schedule(1),  # type: ignore[call-arg]
            **self.optimizer_kwargs,
        )


class PointerPolicy(_Pointing, MultiInputActorCriticPolicy):
    """Actor-critic policy over candidates, for PPO, A2C and TRPO."""


class MaskablePointerPolicy(_Pointing, MaskableMultiInputActorCriticPolicy):
    """Actor-critic policy over candidates, for MaskablePPO."""


class PointerQPolicy(MultiInputQPolicy):
    """Values of candidates, for DQN and BoltzmannDQN: the extractor's scores are the values."""

    @property
    def n_actions(self) -> int:
        """A, as many scores as there are actions."""
        assert isinstance(self.action_space, spaces.Discrete)
        return int(self.action_space.n)

    def make_q_net(self) -> QNetwork:
        """A network whose last part takes the scores."""
        made = super().make_q_net()
        made.q_net = nn.Sequential(_First(self.n_actions))
        return made


class _First(nn.Module):
    """The first columns.

    Args:
        columns: How many.
    """

    def __init__(self, columns: int) -> None:
        super().__init__()
        self.columns = columns

    def forward(self, features: Tensor) -> Tensor:
        return features[:, : self.columns]
