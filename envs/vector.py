"""The Gymnasium vector environment over the batched core; episodes restart in the step that ends them.

Infos are those of Gymnasium's ``SyncVectorEnv`` with ``AutoresetMode.SAME_STEP``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from react_rl.envs.batched import EpisodeSource
from react_rl.envs.build import core_of
from react_rl.envs.interfaces import Observed, fresh, observation_of
from react_rl.envs.many_worlds import Labeling
from react_rl.errors import ReActError


def spread_seeds(seed: int | np.integer[Any] | None, n: int, group_size: int = 1) -> list[int]:
    """A seed for each of ``n`` environments, the same for neighbours in groups of ``group_size``.

    They are spread by a seed sequence, not by adding 0, 1, 2, ...: runs with seeds 0 and 1 share no episode.
    """
    children = np.random.SeedSequence(seed).generate_state(n // group_size, np.uint64)
    return [int(child) for child in children.repeat(group_size)]


def episode_sources(
    seed: int | np.integer[Any] | Sequence[int | None] | None, n: int, group_size: int = 1
) -> list[EpisodeSource]:
    """One source of episodes for each of ``n`` environments.

    An integer is spread (see ``spread_seeds``). A sequence gives environment i the episodes of a single
    environment with seed i.

    Raises:
        ReActError: There are more or fewer seeds than environments.
    """
    if seed is None or isinstance(seed, int | np.integer):
        seed = spread_seeds(seed, n, group_size)
    if len(seed) != n:
        raise ReActError(f"{len(seed)} seeds do not fit {n} environments; give one for each, or an integer.")
    return [EpisodeSource(one) for one in seed]


def step_limit(steps: int | None) -> float:
    """Steps after which an episode is truncated; infinity where there is no limit.

    Raises:
        ReActError: It is no number above 0.
    """
    if steps is None:
        return math.inf
    if isinstance(steps, bool) or not isinstance(steps, int | np.integer) or steps < 1:
        raise ReActError(f"max_episode_steps is {steps!r}; it must be a whole number of at least 1, or None.")
    return int(steps)


def masked(columns: Mapping[str, npt.NDArray[Any]], mask: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """Infos as Gymnasium's vector environments give them: arrays, each with a mask of who has the entry.

    Args:
        columns: Arrays with the episode axis first.
        mask: Episodes that have these entries ``(E,)``; others get zeros (None among objects).
    """
    infos: dict[str, Any] = {}
    if mask.any():
        for key, values in columns.items():
            infos[key] = np.full(values.shape, None if values.dtype == object else 0, values.dtype)
            infos[key][mask] = values[mask]
            infos[f"_{key}"] = mask.copy()
    return infos


class LabelingVectorEnv(VectorEnv[Observed, npt.NDArray[Any], npt.NDArray[Any]]):
    """E labelling episodes in lockstep.

    Args:
        num_envs: E.
        core: A batch of E; None builds it from ``settings`` (see ``build_environment``).
        max_episode_steps: Steps after which an episode that its budget did not end is truncated; None for no
            such limit.
        **settings: Corpus, action space, observation, reward, episode and so on.

    Raises:
        ReActError: A parameter is unknown or of no use.
    """

    metadata: dict[str, Any] = {"render_modes": [], "autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012 (the base class declares it so)

    def __init__(
        self,
        num_envs: int = 1,
        core: Labeling | None = None,
        max_episode_steps: int | None = None,
        **settings: Any,
    ) -> None:
        self.core = core_of(LabelingVectorEnv, core, num_envs, "num_envs", settings)
        self.num_envs = self.core.n_episodes
        self.single_observation_space = self.core.interface.observation_space
        self.single_action_space = self.core.interface.action_space
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._limit = step_limit(max_episode_steps)
        self._lengths = np.zeros(self.num_envs, dtype=np.int64)
        self._sources: list[EpisodeSource] | None = None

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Observed, dict[str, Any]]:
        """Draw E new episodes and return their first observations; options are for all of them."""
        if seed is not None or self._sources is None:
            self._sources = episode_sources(seed, self.num_envs, self.core.group_size)
        begun = [self.core.next_episode(source, options, place) for place, source in enumerate(self._sources)]
        observations = self.core.reset([streams for streams, _ in begun], corpora=[c for _, c in begun])
        self._lengths[:] = 0
        return fresh(observations), masked(self.core.standing(), np.ones(self.num_envs, dtype=np.bool_))

    def close_extras(self, **kwargs: Any) -> None:
        """End the episodes; ``reset`` begins others. Mutates."""
        self._sources = None

    def step(
        self, actions: npt.NDArray[Any]
    ) -> tuple[
        Observed,
        npt.NDArray[Any],
        npt.NDArray[Any],
        npt.NDArray[Any],
        dict[str, Any],
    ]:
        """Play one action of every episode; those that end are followed by the next at once.

        Raises:
            ReActError: ``reset`` was not called, or not since ``close``.
        """
        if self._sources is None:
            raise ReActError("No episodes are under way; call reset before step.")
        transition = self.core.step(np.asarray(actions))
        observations = self.core.observe()
        self._lengths += 1
        truncated = self._lengths >= self._limit
        over = transition.ended | truncated
        standing = self.core.standing(transition)
        infos = masked(standing, ~over)
        if over.any():
            final = np.full(self.num_envs, None, dtype=object)
            places = np.flatnonzero(over)
            for place in places:
                final[place] = observation_of(observations, int(place))
            infos |= {"final_obs": final, "_final_obs": over.copy()}
            infos |= {"final_info": masked(standing, over), "_final_info": over.copy()}
            streams = [self._sources[place].next() for place in places]
            observations = self.core.reset(streams, places.tolist())
            self._lengths[places] = 0
            infos |= masked(self.core.standing(), np.ones(self.num_envs, dtype=np.bool_))
        return fresh(observations), transition.rewards.copy(), transition.ended.copy(), truncated, infos
