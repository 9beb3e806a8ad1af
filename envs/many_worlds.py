"""Episodes of several tasks or sizes side by side: one batch for each of them, behind the same faces.

Every batch has an engine and learners of its own; what a policy sees and what its actions mean is one thing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from torch import Tensor

from react_rl.envs.actions import fitting_actions
from react_rl.envs.batched import (
    BatchedLabeling,
    EpisodeSource,
    Transition,
    check_names,
    reset_options,
    row_of,
)
from react_rl.envs.checks import check_tasks, dealt_slots
from react_rl.envs.interfaces import Interface, Observed
from react_rl.envs.rewards import RewardSettings
from react_rl.errors import ReActError, unknown
from react_rl.learners.protocol import part_of
from react_rl.seeding import Streams
from react_rl.simulation.drawn_options import DrawSettings
from react_rl.simulation.world import World

VALUE: Final = "value"
"""The reward's dev metric in infos where each task has its own; ``metric`` names it."""


class ManyWorldsLabeling:
    """E labelling episodes of several worlds; each slot keeps its world from episode to episode.

    Args:
        worlds: Corpora, sizes and learner of each; several may be of one task and share corpora.
        interface: What the policy sees and what its actions mean, the same for all.
        reward: What it is paid for; the metric ``task`` is each task's own first one.
        n_episodes: E, shared evenly among the worlds in whole groups of slots that share a draw, the first
            ones taking what is left.

    Raises:
        ReActError: There are fewer episodes than worlds, two corpora share a name, or the reward's metric is
            not one of every task.
    """

    def __init__(
        self, worlds: Sequence[World], interface: Interface, reward: RewardSettings, n_episodes: int
    ) -> None:
        tasks = list(dict.fromkeys(world.task.name for world in worlds))
        slots = dealt_slots(n_episodes, len(worlds), tasks, reward.group_size)
        corpora = {id(corpus): corpus for world in worlds for corpus in world.corpora}
        check_names(list(corpora.values()))
        learners = {world.task.name: world.learner for world in worlds}
        rows = [corpus.corpus for corpus in corpora.values()]
        check_tasks(rows, interface, reward.metric, learners.__getitem__)
        self.parts = tuple(
            BatchedLabeling(world.corpora, world.options, interface, reward, own, world.learner)
            for world, own in zip(worlds, slots, strict=True)
        )
        self._several = len(tasks) > 1
        self.interface = interface
        self.n_episodes = n_episodes
        self._slices: list[slice] = []
        start = 0
        for part in self.parts:
            self._slices.append(slice(start, start + part.n_episodes))
            start += part.n_episodes

    def __repr__(self) -> str:
        """One line: the engines."""
        return f"ManyWorldsLabeling({', '.join(repr(part.engine) for part in self.parts)})"

    @property
    def group_size(self) -> int:
        """Neighbouring slots that are to play the same draws."""
        return self.parts[0].group_size

    def _place(self, episode: int) -> tuple[BatchedLabeling, int]:
        """The batch that holds an episode, and where in it."""
        for part, own in zip(self.parts, self._slices, strict=True):
            if own.start <= episode < own.stop:
                return part, episode - own.start
        raise ReActError(f"There is no episode {episode}; there are {self.n_episodes}.")

    def next_episode(
        self, source: EpisodeSource, options: Mapping[str, Any] | None = None, place: int = 0
    ) -> tuple[Streams, int | None]:
        """Streams and corpus (None: drawn) of the episode that comes next in a slot. Mutates the source.

        Raises:
            ReActError: An option is unknown or of no use, or the corpus is of another slot's task.
        """
        part, _ = self._place(place)
        name = reset_options(options).get("corpus")
        every = [corpus.name for one in self.parts for corpus in one.engine.corpora]
        own = [corpus.name for corpus in part.engine.corpora]
        if name is not None and name not in every:
            raise unknown("corpus of this environment", name, every)
        if name is not None and name not in own:
            raise ReActError(
                f"Slot {place} plays {part.engine.task.name}, and corpus {name!r} is of another task; give "
                "each slot its own options, or build the environment with corpora of one task."
            )
        return part.next_episode(source, options)

    def reset(
        self,
        streams: Sequence[Streams],
        episodes: Sequence[int] | None = None,
        corpora: Sequence[int | None] | None = None,
    ) -> Observed:
        """Begin new episodes (all, or those given) and return the observations of all E."""
        chosen = range(self.n_episodes) if episodes is None else episodes
        picked = [None] * len(chosen) if corpora is None else corpora
        for part, own in zip(self.parts, self._slices, strict=True):
            mine = [i for i, episode in enumerate(chosen) if own.start <= episode < own.stop]
            if mine:
                part.reset(
                    [streams[i] for i in mine],
                    [chosen[i] - own.start for i in mine],
                    [picked[i] for i in mine],
                )
        return self.observe()

    def observe(self) -> Observed:
        """Observations of all E episodes as they stand."""
        return _joined([part.observe() for part in self.parts])

    def action_masks(self, episode: int) -> npt.NDArray[np.bool_]:
        """Actions of an episode that are allowed now ``(A,)``, as sb3-contrib asks for them."""
        part, place = self._place(episode)
        return part.action_masks(place)

    def step(self, actions: npt.NDArray[Any]) -> Transition:
        """Play one action of every episode that is not over: a round, or a pick of one.

        Raises:
            ReActError: The actions are of another shape or type than the action space.
        """
        actions = fitting_actions(actions, self.interface.action_space, self.n_episodes)
        played = [part.step(actions[own]) for part, own in zip(self.parts, self._slices, strict=True)]
        width = max(one.ids.shape[1] for one in played)

        def joined(name: str) -> npt.NDArray[Any]:
            return np.concatenate([getattr(one, name) for one in played])

        return Transition(
            rewards=joined("rewards"),
            ended=joined("ended"),
            stopped=joined("stopped"),
            learned=joined("learned"),
            cost=joined("cost"),
            ids=np.concatenate([_widened(one.ids, width) for one in played]),
        )

    def state(self) -> dict[str, Tensor]:
        """What steps have changed beside the engines, by name."""
        return {
            f"{place}/{name}": array
            for place, part in enumerate(self.parts)
            for name, array in part.state().items()
        }

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Put the episodes where ``state`` was taken; the engines are in place already. Mutates."""
        for place, part in enumerate(self.parts):
            part.load_state(part_of(state, str(place)))

    def standing(self, transition: Transition | None = None) -> dict[str, npt.NDArray[Any]]:
        """How all episodes stand, as one batch says it; fresh arrays of length E.

        Where tasks have metrics of their own, ``value`` is the reward's and ``metric`` its name.
        """
        found = []
        for part in self.parts:
            own = part.standing()
            if self._several:
                own["task"] = np.full(part.n_episodes, part.engine.task.name, dtype=object)
            if len({one.metric for one in self.parts}) > 1:
                own[VALUE] = own.pop(part.metric)
                own["metric"] = np.full(part.n_episodes, part.metric, dtype=object)
            found.append(own)
        whole = {key: np.concatenate([own[key] for own in found]) for key in found[0]}
        if transition is not None:
            whole |= {"ids": transition.ids.copy(), "stopped": transition.stopped.copy()}
        return whole

    def summary(self, episode: int) -> dict[str, Any]:
        """How an episode stands, as ``standing`` says it."""
        return row_of(self.standing(), episode)


Labeling = BatchedLabeling | ManyWorldsLabeling
"""A batch of episodes, of one world or of several, as the faces take it."""


def labeling(
    worlds: Sequence[World],
    interface: Interface,
    reward: RewardSettings,
    n_episodes: int = 1,
    draws: DrawSettings | None = None,
) -> Labeling:
    """A batch of episodes on these worlds; one world needs nothing around it.

    Args:
        worlds: Corpora, sizes and learner of each.
        interface: What the policy sees and what its actions mean.
        reward: What it is paid for.
        n_episodes: E.
        draws: Sizes that are drawn for groups of slots of each world; None for none.

    Raises:
        ReActError: Episodes, corpora, learner and reward do not fit each other.
    """
    if draws is not None and draws.some:
        groups = draws.groups_among(n_episodes // len(worlds), reward.group_size)
        worlds = [one for world in worlds for one in world.drawn(draws, groups)]
    if len(worlds) == 1:
        (world,) = worlds
        return BatchedLabeling(world.corpora, world.options, interface, reward, n_episodes, world.learner)
    return ManyWorldsLabeling(worlds, interface, reward, n_episodes)


def _joined(observed: Sequence[Observed]) -> Observed:
    """Observations of several batches as those of one."""
    if isinstance(observed[0], dict):
        return {key: np.concatenate([one[key] for one in observed]) for key in observed[0]}
    return np.concatenate(list(observed))


def _widened(ids: npt.NDArray[np.int64], width: int) -> npt.NDArray[np.int64]:
    return np.pad(ids, ((0, 0), (0, width - ids.shape[1])), constant_values=-1)
