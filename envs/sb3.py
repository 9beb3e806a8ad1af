"""The Stable-Baselines3 VecEnv over the batched core: no worker processes, no per-environment Python."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvObs, VecEnvStepReturn
from torch import Tensor

from react_rl.envs.batched import EpisodeSource, Transition, row_of
from react_rl.envs.build import core_of
from react_rl.envs.interfaces import fresh, observation_of
from react_rl.envs.many_worlds import Labeling
from react_rl.envs.vector import episode_sources, spread_seeds, step_limit
from react_rl.errors import ReActError
from react_rl.seeding import Streams


class LabelingVecEnv(VecEnv):
    """E labelling episodes in lockstep, as Stable-Baselines3 wants them.

    Infos are those of ``LabelingEnv``, with ``TimeLimit.truncated``; a step that ends an episode adds
    ``episode`` (return, length) and ``terminal_observation``.

    Args:
        core: A batch of E; None builds it from ``settings`` (see ``build_environment``).
        n_episodes: E.
        max_episode_steps: Steps after which an episode that its budget did not end is truncated; None for no
            such limit.
        **settings: Corpus, action space, observation, reward, episode and so on.

    Raises:
        ReActError: A parameter is unknown or of no use.
    """

    def __init__(
        self,
        core: Labeling | None = None,
        n_episodes: int = 1,
        max_episode_steps: int | None = None,
        **settings: Any,
    ) -> None:
        self.core = core_of(LabelingVecEnv, core, n_episodes, "n_episodes", settings)
        self._limit = step_limit(max_episode_steps)
        self.render_mode: str | None = None
        n = self.core.n_episodes
        super().__init__(n, self.core.interface.observation_space, self.core.interface.action_space)
        self._sources: list[EpisodeSource] | None = None
        self._actions: npt.NDArray[Any] | None = None
        self._returns = np.zeros(n)
        self._lengths = np.zeros(n, dtype=np.int64)

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Give every environment, or group of them, a stream of its own (see ``spread_seeds``). Mutates."""
        self._seeds = list(spread_seeds(seed, self.num_envs, self.core.group_size))
        return self._seeds

    def set_options(self, options: list[dict[str, Any]] | dict[str, Any] | None = None) -> None:
        """Options of the next ``reset``, for all environments or one mapping for each. Mutates.

        Raises:
            ReActError: They are neither.
        """
        one_each = isinstance(options, list | tuple) and len(options) == self.num_envs
        if not (one_each or options is None or isinstance(options, dict)):
            raise ReActError(
                f"Reset options are {options!r:.80}; give a mapping, as in {{'corpus': 'bbc_news'}}, or a "
                f"list of {self.num_envs}, one for each environment."
            )
        super().set_options(options)

    def reset(self) -> VecEnvObs:
        """Draw E new episodes, with the options that ``set_options`` gave."""
        if self._sources is None or any(seed is not None for seed in self._seeds):
            given = self._seeds if all(seed is not None for seed in self._seeds) else None
            self._sources = episode_sources(given, self.num_envs, self.core.group_size)
        pairs = enumerate(zip(self._sources, self._options, strict=True))
        begun = [self.core.next_episode(source, options, place) for place, (source, options) in pairs]
        self._reset_seeds()
        self._reset_options()
        self._returns[:], self._lengths[:] = 0.0, 0
        observations = self.core.reset([streams for streams, _ in begun], corpora=[c for _, c in begun])
        self.reset_infos = [self.core.summary(i) for i in range(self.num_envs)]
        observed: VecEnvObs = fresh(observations)
        return observed

    def notes(self) -> dict[str, Any]:
        """What identifies the episodes under way, for JSON; see ``resume``."""
        return {"drawn": [source.drawn for source in self._sources or ()]}

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

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Put the episodes where ``state`` was taken; the engine is in place. Mutates."""
        self._returns, self._lengths = state["returns"].numpy().copy(), state["lengths"].numpy().copy()
        self.core.load_state(state)
        self.reset_infos = [self.core.summary(i) for i in range(self.num_envs)]

    def step_async(self, actions: npt.NDArray[Any]) -> None:
        """Take the next actions."""
        self._actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        """Play the actions; episodes that end are followed by the next at once.

        Raises:
            ReActError: ``reset`` or ``step_async`` was not called.
        """
        if self._sources is None or self._actions is None:
            raise ReActError("No episodes are under way; call reset before step.")
        transition = self.core.step(self._actions)
        self._actions = None
        observations = self.core.observe()
        self._returns += transition.rewards
        self._lengths += 1
        truncated = self._lengths >= self._limit
        ended = transition.ended | truncated
        infos = self._infos(transition, truncated & ~transition.ended)
        places = np.flatnonzero(ended)
        for place in places:
            infos[place]["episode"] = {"r": float(self._returns[place]), "l": int(self._lengths[place])}
            infos[place]["terminal_observation"] = observation_of(observations, int(place))
        if places.size:
            self._returns[places], self._lengths[places] = 0.0, 0
            observations = self.core.reset([self._sources[p].next() for p in places], places.tolist())
            now = self.core.standing()
            for place in places:
                self.reset_infos[place] = row_of(now, int(place))
        return fresh(observations), transition.rewards.astype(np.float32), ended.copy(), infos

    def _infos(self, transition: Transition, truncated: npt.NDArray[np.bool_]) -> list[dict[str, Any]]:
        """The infos of a step, one mapping for each environment."""
        standing = self.core.standing(transition)
        ids = standing.pop("ids")
        names = (*standing, "TimeLimit.truncated", "ids")
        columns = [values.tolist() for values in (*standing.values(), truncated)]
        return [dict(zip(names, row, strict=True)) for row in zip(*columns, ids, strict=True)]

    def close(self) -> None:
        """End the episodes; ``reset`` begins others. Mutates."""
        self._sources = None

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """Attribute of the core, once for each environment asked about."""
        value = getattr(self, attr_name) if attr_name == "render_mode" else getattr(self.core, attr_name)
        return [value] * len(self._wanted(indices))

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Set an attribute of the core, which all environments share.

        Raises:
            ReActError: Only some of them are asked for.
        """
        if len(set(self._wanted(indices))) < self.num_envs:
            raise ReActError(f"All environments share {attr_name!r}; set it without indices.")
        setattr(self.core, attr_name, value)

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any
    ) -> list[Any]:
        """Call a method of the core for each environment asked about.

        A method whose first parameter is ``episode``, such as ``summary``, is called with the number of each
        environment before the arguments.

        Raises:
            ReActError: Masks are asked for, and ``reset`` was not called.
        """
        if self._sources is None and method_name == "action_masks":
            raise ReActError("No episodes were begun; call reset before action_masks.")
        method, wanted = getattr(self.core, method_name), self._wanted(indices)
        if next(iter(inspect.signature(method).parameters), None) == "episode":
            return [method(place, *method_args, **method_kwargs) for place in wanted]
        return [method(*method_args, **method_kwargs) for _ in wanted]

    def env_is_wrapped(self, wrapper_class: type[Any], indices: VecEnvIndices = None) -> list[bool]:
        """No wrapper can be between this class and the core."""
        return [False] * len(self._wanted(indices))

    def _wanted(self, indices: VecEnvIndices) -> list[int]:
        if indices is None:
            return list(range(self.num_envs))
        return [indices] if isinstance(indices, int) else list(_as_iterable(indices))


def _as_iterable(indices: Iterable[int]) -> Iterable[int]:
    return indices
