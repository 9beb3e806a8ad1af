"""The Gymnasium environment: the batch of one."""

from __future__ import annotations

from typing import Any, Final

import gymnasium
import numpy as np
import numpy.typing as npt

from react_rl.envs.batched import EpisodeSource
from react_rl.envs.build import core_of
from react_rl.envs.interfaces import Observed, observation_of
from react_rl.envs.many_worlds import Labeling
from react_rl.envs.vector import step_limit
from react_rl.errors import ReActError

_NO_FRAMES: Final = "labelling draws no frames; the info of reset and step says how an episode stands"


class LabelingEnv(gymnasium.Env[Observed, Any]):
    """One labelling episode: each action says what to label next, the reward is the dev metric's gain.

    ``reset`` takes ``options={"corpus": name, "episode": k}`` to play episode k of a comparison.

    >>> import gymnasium
    >>> env = gymnasium.make("react_rl:ReActRL/Labeling-v0")
    >>> observation, info = env.reset(seed=0)
    >>> observation, reward, terminated, truncated, info = env.step(env.action_space.sample())
    >>> info["labels"]
    10

    Args:
        core: A batch of one; None builds it from ``settings`` (see ``build_environment``).
        render_mode: Only None is supported: an episode draws no frames.
        max_episode_steps: Steps after which an episode that its budget did not end is truncated; None for no
            such limit. `gymnasium.make` keeps this name for its own wrapper, which cuts without telling the
            environment.
        **settings: Corpus, action space, observation, reward, episode and so on.

    Raises:
        ReActError: A parameter is unknown or of no use.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 (the base class declares it so)

    def __init__(
        self,
        core: Labeling | None = None,
        render_mode: None = None,
        max_episode_steps: int | None = None,
        **settings: Any,
    ) -> None:
        if render_mode is not None:
            raise ReActError(f"render_mode is {render_mode!r}; {_NO_FRAMES}.")
        self.core = core_of(LabelingEnv, core, 1, None, settings)
        self.render_mode = render_mode
        self.observation_space = self.core.interface.observation_space
        self.action_space = self.core.interface.action_space
        self._source: EpisodeSource | None = None
        self._limit = step_limit(max_episode_steps)
        self._length = 0
        self._over = True

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observed, dict[str, Any]]:
        """Draw a new episode and return its first observation."""
        super().reset(seed=seed)
        if seed is not None or self._source is None:
            self._source = EpisodeSource(seed if seed is not None else int(self.np_random.integers(2**62)))
        streams, corpus = self.core.next_episode(self._source, options)
        observation = self.core.reset([streams], corpora=[corpus])
        self._over, self._length = False, 0
        return observation_of(observation, 0), self.core.summary(0)

    def step(self, action: Any) -> tuple[Observed, float, bool, bool, dict[str, Any]]:
        """Buy what the action says; once the round's batch is whole, refit and measure.

        Raises:
            ReActError: The episode is over, none was begun, or the environment was closed.
        """
        if self._over:
            raise ReActError("The episode is over, or none was begun; call reset before step.")
        transition = self.core.step(np.asarray(action)[None])
        self._length += 1
        terminated, truncated = bool(transition.ended[0]), self._length >= self._limit
        self._over = terminated or truncated
        info = self.core.summary(0) | {
            "ids": transition.ids[0].copy(),
            "stopped": bool(transition.stopped[0]),
        }
        observation = observation_of(self.core.observe(), 0)
        # A used-up budget belongs to the task and is observed: the episode terminates, nothing is truncated.
        return observation, float(transition.rewards[0]), terminated, truncated, info

    def render(self) -> None:
        """There is nothing to see.

        Raises:
            NotImplementedError: Always, as Gymnasium has it for what cannot be drawn.
        """
        raise NotImplementedError(f"{_NO_FRAMES[0].upper()}{_NO_FRAMES[1:]}.")

    def close(self) -> None:
        """End the episode; ``reset`` begins another one. Mutates."""
        self._over = True

    def action_masks(self) -> npt.NDArray[np.bool_]:
        """Actions that are allowed now, as sb3-contrib asks for them.

        Raises:
            ReActError: The action space is not discrete, or no episode was begun.
        """
        if self._source is None:
            raise ReActError("No episode was begun; call reset before action_masks.")
        return self.core.action_masks(0)
