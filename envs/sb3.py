"""The Stable-Baselines3 VecEnv over the batched core: no worker processes, no per-environment Python."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvObs, VecEnvStepReturn
from torch import Tensor

from react_rl.acquisition.bandit import courses_of, restore_courses
from react_rl.envs.batched import BatchedLabeling, EpisodeSource
from react_rl.envs.build import build_environment
from react_rl.envs.vector import episode_sources
from react_rl.seeding import Streams


class LabelingVecEnv(VecEnv):
    """E labelling episodes in lockstep, as Stable-Baselines3 wants them.

    The info of a step that ends an episode holds ``episode`` (return, length), the summary of the
    episode, and ``terminal_observation``.

    Args:
        core: A batch of E; None builds it from ``settings`` (see ``build_environment``).
        **settings: ``n_episodes``, corpus, action space, observation, reward, episode and so on.
    """

    def __init__(self, core: BatchedLabeling | None = None, **settings: Any) -> None:
        self.core = core if core is not None else build_environment(**settings)
        self.render_mode: str | None = None
        n = self.core.n_episodes
        super().__init__(n, self.core.observation.space, self.core.action_space.space)
        self._sources: list[EpisodeSource] | None = None
        self._actions: npt.NDArray[Any] | None = None
        self._returns = np.zeros(n)
        self._lengths = np.zeros(n, dtype=np.int64)

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Give every environment a stream of its own, spread from ``seed`` (never seed + i). Mutates."""
        children = np.random.SeedSequence(seed).generate_state(self.num_envs, np.uint64)
        self._seeds = [int(child) for child in children]
        return self._seeds

    def reset(self) -> VecEnvObs:
        """Draw E new episodes."""
        if self._sources is None or any(seed is not None for seed in self._seeds):
            given = self._seeds if all(seed is not None for seed in self._seeds) else None
            self._sources = episode_sources(given, self.num_envs)
        self._reset_seeds()
        self._reset_options()
        self._returns[:], self._lengths[:] = 0.0, 0
        observations = self.core.reset([source.next() for source in self._sources])
        self.reset_infos = [self.core.summary(i) for i in range(self.num_envs)]
        return observations.copy()

    def notes(self) -> dict[str, Any]:
        """What identifies the episodes under way, for JSON; see ``resume``."""
        return {
            "drawn": [source.drawn for source in self._sources or ()],
            "bandits": [courses_of(streams) for streams in self.core.engine.streams],
        }

    def state(self) -> dict[str, Tensor]:
        """What steps have changed beside the engine, by name."""
        own = {"returns": torch.from_numpy(self._returns), "lengths": torch.from_numpy(self._lengths)}
        return own | self.core.state()

    def resume(self, notes: Mapping[str, Any]) -> list[Streams]:
        """Go back to the sequence of episodes that ``notes`` was taken from. Mutates.

        Call it after ``seed``; put the engine in place with the streams, then call ``load_state``.

        Returns:
            Fresh streams of the episodes that were under way.
        """
        self._sources = episode_sources([int(s) for s in self._seeds if s is not None], self.num_envs)
        for source, count in zip(self._sources, notes["drawn"], strict=True):
            source.skip(count - 1)
        self._reset_seeds()
        return [source.next() for source in self._sources]

    def load_state(self, notes: Mapping[str, Any], state: Mapping[str, Tensor]) -> None:
        """Put the episodes where ``notes`` and ``state`` were taken; the engine is in place. Mutates."""
        for streams, told in zip(self.core.engine.streams, notes["bandits"], strict=True):
            restore_courses(streams, told)
        self._returns, self._lengths = state["returns"].numpy().copy(), state["lengths"].numpy().copy()
        self.core.load_state(state)
        self.reset_infos = [self.core.summary(i) for i in range(self.num_envs)]

    def step_async(self, actions: npt.NDArray[Any]) -> None:
        """Take the actions of the next round."""
        self._actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        """Play the round; episodes that end start anew at once."""
        assert self._actions is not None, "call step_async before step_wait"
        assert self._sources is not None, "call reset before step"
        transition = self.core.step(self._actions)
        observations = self.core.observe()
        ended = transition.ended
        self._returns += transition.rewards
        self._lengths += 1
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        places = np.flatnonzero(ended)
        for place in places:
            summary = self.core.summary(int(place))
            infos[place] = summary | {
                "episode": {"r": float(self._returns[place]), "l": int(self._lengths[place])},
                "terminal_observation": observations[place].copy(),
                "TimeLimit.truncated": False,
            }
        if places.size:
            self._returns[places], self._lengths[places] = 0.0, 0
            observations = self.core.reset([self._sources[p].next() for p in places], places.tolist())
            for place in places:
                self.reset_infos[place] = self.core.summary(int(place))
        return observations.copy(), transition.rewards.astype(np.float32), ended.copy(), infos

    def close(self) -> None:
        """Nothing to release."""

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """Attribute of the core, once for each environment asked about."""
        value = getattr(self, attr_name) if attr_name == "render_mode" else getattr(self.core, attr_name)
        return [value] * len(self._wanted(indices))

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Set an attribute of the core, which all environments share."""
        setattr(self.core, attr_name, value)

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any
    ) -> list[Any]:
        """Call a method of the core once and repeat its answer."""
        answer = getattr(self.core, method_name)(*method_args, **method_kwargs)
        return [answer] * len(self._wanted(indices))

    def env_is_wrapped(self, wrapper_class: type[Any], indices: VecEnvIndices = None) -> list[bool]:
        """No wrapper can be between this class and the core."""
        return [False] * len(self._wanted(indices))

    def _wanted(self, indices: VecEnvIndices) -> list[int]:
        if indices is None:
            return list(range(self.num_envs))
        return [indices] if isinstance(indices, int) else list(_as_iterable(indices))


def _as_iterable(indices: Iterable[int]) -> Iterable[int]:
    return indices
