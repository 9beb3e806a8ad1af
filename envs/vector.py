"""The Gymnasium vector environment over the batched core; episodes restart in the step that ends them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from react_rl.envs.batched import BatchedLabeling, EpisodeSource
from react_rl.envs.build import build_environment


def episode_sources(seed: int | Sequence[int | None] | None, n: int) -> list[EpisodeSource]:
    """One source of episodes for each of ``n`` environments.

    An integer is spread by a seed sequence, not by adding 0, 1, 2, ...: runs with seeds 0 and 1 share
    no episode. A sequence gives environment i the episodes of a single environment with seed i.
    """
    if seed is None or isinstance(seed, int):
        children = np.random.SeedSequence(seed).generate_state(n, np.uint64)
        seed = [int(child) for child in children]
    return [EpisodeSource(one) for one in seed]


class LabelingVectorEnv(VectorEnv[npt.NDArray[np.float32], npt.NDArray[Any], npt.NDArray[Any]]):
    """E labelling episodes in lockstep.

    Args:
        num_envs: E.
        core: A batch of E; None builds it from ``settings`` (see ``build_environment``).
        max_episode_steps: Not needed: the budget ends episodes. Accepted because ``make_vec`` passes it.
        **settings: Corpus, action space, observation, reward, episode and so on.
    """

    metadata: dict[str, Any] = {"render_modes": [], "autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012 (the base class declares it so)

    def __init__(
        self,
        num_envs: int = 1,
        core: BatchedLabeling | None = None,
        max_episode_steps: int | None = None,
        **settings: Any,
    ) -> None:
        self.core = core if core is not None else build_environment(n_episodes=num_envs, **settings)
        self.num_envs = self.core.n_episodes
        self.single_observation_space = self.core.observation.space
        self.single_action_space = self.core.action_space.space
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._sources: list[EpisodeSource] | None = None

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[npt.NDArray[np.float32], dict[str, Any]]:
        """Draw E new episodes and return their first observations."""
        if seed is not None or self._sources is None:
            self._sources = episode_sources(seed, self.num_envs)
        name = (options or {}).get("corpus")
        corpus = None if name is None else self.core.corpus_index(name)
        streams = [source.next() for source in self._sources]
        observations = self.core.reset(streams, corpora=[corpus] * self.num_envs)
        return observations.copy(), self._collect([self.core.summary(i) for i in range(self.num_envs)])

    def step(
        self, actions: npt.NDArray[Any]
    ) -> tuple[
        npt.NDArray[np.float32],
        npt.NDArray[Any],
        npt.NDArray[Any],
        npt.NDArray[Any],
        dict[str, Any],
    ]:
        """Play one round of every episode; those that end start anew at once."""
        assert self._sources is not None, "call reset before step"
        transition = self.core.step(np.asarray(actions))
        observations = self.core.observe()
        ended = transition.ended
        infos = self._collect([self.core.summary(i) for i in range(self.num_envs)])
        if ended.any():
            final = np.empty(self.num_envs, dtype=object)
            places = np.flatnonzero(ended)
            for place in places:
                final[place] = observations[place].copy()
            infos = {
                "final_obs": final,
                "_final_obs": ended.copy(),
                "final_info": {k: v for k, v in infos.items() if not k.startswith("_")},
                "_final_info": ended.copy(),
            }
            streams = [self._sources[place].next() for place in places]
            observations = self.core.reset(streams, places.tolist())
            infos |= self._collect([self.core.summary(i) for i in range(self.num_envs)])
        truncated = np.zeros(self.num_envs, dtype=np.bool_)
        return observations.copy(), transition.rewards.copy(), ended.copy(), truncated, infos

    def _collect(self, summaries: list[dict[str, Any]]) -> dict[str, Any]:
        infos: dict[str, Any] = {}
        for key in summaries[0]:
            infos[key] = np.array([summary[key] for summary in summaries])
            infos[f"_{key}"] = np.ones(self.num_envs, dtype=np.bool_)
        return infos
