"""Paired rewards: what a fixed strategy, or a group of slots, earns on the same episode is taken off.

Pool, dev set, initial labels and seed are the same, so most of what makes one episode luckier than another
cancels, and what a policy is paid for is what its own choices bring.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from react_rl.acquisition.registry import entry_of, make_strategy
from react_rl.data.corpus import Corpus
from react_rl.envs.interfaces import Interface
from react_rl.envs.rewards import Array, Reward, RewardSettings, reward_form
from react_rl.errors import ReActError
from react_rl.learners.registry import LearnerSettings, check_needs
from react_rl.seeding import Streams
from react_rl.simulation.draw import Draw
from react_rl.simulation.engine import LabelingEngine
from react_rl.simulation.play import play
from react_rl.simulation.purchases import Mask

GROUP: Final = "group"
"""The value of ``reward.against`` that stands for the mean of the slots with the same draw."""

_STRATEGY: Final = "use the name of a strategy there, such as mixture"


def check_pairing(
    settings: RewardSettings, interface: Interface, n_episodes: int, learner: LearnerSettings | None
) -> None:
    """Check that rewards can be paired as the settings say, before anything is loaded.

    Args:
        settings: The reward.
        interface: What actions mean.
        n_episodes: Slots side by side.
        learner: Settings of the learner; None is the softmax regression as it comes.

    Raises:
        ReActError: They cannot; the message says why and what to set.
    """
    size, against = settings.group_size, settings.against
    if n_episodes % size:
        raise ReActError(
            f"reward.group_size {size} does not divide the {n_episodes} episodes side by side of a task; "
            "give a number of them that it divides (agent.n_envs in a training)."
        )
    if against is None:
        return
    if against != GROUP:
        check_needs(f"reward.against {against}", entry_of(against).needs, learner)
        return
    if size < 2:
        raise ReActError(
            "reward.against group takes off the mean of slots with the same draw; set reward.group_size "
            "to 2 or more, such as 8 (it is 1)."
        )
    said = interface.describe()
    reason = next((why for key, why in _UNEVEN.items() if said.get(key)), None)
    if reward_form(settings.kind).ends_at_target:
        reason = f"reward.kind {settings.kind}, which ends them at its target"
    if reason is not None:
        raise ReActError(
            f"reward.against group needs episodes of equal length, and they differ by {reason}; {_STRATEGY}."
        )


_UNEVEN: Final = {"stop": "the stop action", "batch_sizes": "the choice of batch sizes"}
"""What an action space says of itself where its episodes may end at different steps, and in words."""


def check_equal_prices(settings: RewardSettings, corpora: Iterable[Corpus]) -> None:
    """Check that rows of a corpus cost the same where slots are compared step by step.

    Raises:
        ReActError: They do not.
    """
    if settings.against != GROUP:
        return
    for corpus in corpora:
        if np.ptp(corpus.cost) > 0:
            raise ReActError(
                f"reward.against group needs episodes of equal length, and rows of corpus {corpus.name!r} "
                f"have different prices; {_STRATEGY}."
            )


class Pairing(Protocol):
    """Takes off each round's reward what was earned elsewhere on the same episode."""

    def start(self, episodes: npt.NDArray[np.int64]) -> None:
        """Newly reset episodes begin. Mutates."""
        ...

    def paired(self, earned: Array, played: Mask, ended: Mask) -> Array:
        """Rewards ``(E,)`` of a round less what they are paired with. Mutates.

        Args:
            earned: Rewards of the round, 0 where none was played.
            played: Episodes ``(E,)`` whose round ended.
            ended: Episodes ``(E,)`` that are over with it.
        """
        ...

    def state(self) -> dict[str, Tensor]:
        """What steps have changed, by name."""
        ...

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Go back to where ``state`` was taken. Mutates."""
        ...


class GroupPairing:
    """Takes off the mean reward of the slots that play the same draw, at the same step.

    Source: Shao et al. 2024, DeepSeekMath, section 4.1 (group-relative advantages), step by step.

    Args:
        engine: The episodes; ``size`` neighbours share a draw.
        size: Slots of a group.
    """

    def __init__(self, engine: LabelingEngine, size: int) -> None:
        self._engine, self._size = engine, size

    def start(self, episodes: npt.NDArray[np.int64]) -> None:
        """Check that the groups that begin have one draw each.

        Raises:
            ReActError: One has several.
        """
        for first in np.unique(episodes // self._size) * self._size:
            draw, *others = (self._engine.draw_of(e) for e in range(first, first + self._size))
            if not all(_same(draw, other) for other in others):
                raise ReActError(
                    f"Slots {first} to {first + self._size - 1} play different episodes, so their mean says "
                    f"nothing of reward.against group; seed them by one number, or {_STRATEGY}."
                )

    def paired(self, earned: Array, played: Mask, ended: Mask) -> Array:
        """Rewards less the mean of each group."""
        groups = earned.reshape(-1, self._size)
        less: Array = (groups - groups.mean(1, keepdims=True)).ravel()
        return np.where(played, less, 0.0)

    def state(self) -> dict[str, Tensor]:
        """Nothing: groups are known by their places."""
        return {}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Nothing to do."""


class StrategyPairing:
    """Takes off what a fixed strategy earns on the same episode, from its start to its end.

    The strategy plays each draw once, when it begins. A round that brings the policy from s to s' cost units
    is paired with what the strategy earned between s and s' (pro rata inside its rounds); the last round,
    also an early stop, with all that is left of it. So the rewards of an episode sum to the difference of
    the two, and what is taken off does not depend on what the policy does.

    Args:
        engine: The episodes.
        reward: How rounds are paid; paired rewards use the same form and scale.
        strategy: Name of the strategy.
    """

    def __init__(self, engine: LabelingEngine, reward: Reward, strategy: str) -> None:
        check_needs(
            f"reward.against {strategy}", entry_of(strategy).needs, engine.learner_settings, engine.task.name
        )
        self._engine, self._reward = engine, reward
        self._strategy = make_strategy(strategy)
        self._others: dict[int, tuple[LabelingEngine, Reward]] = {}
        self._at = np.zeros(engine.n_episodes)
        self._spent = np.zeros((engine.n_episodes, 1))
        self._total = np.zeros((engine.n_episodes, 1))

    def start(self, episodes: npt.NDArray[np.int64]) -> None:
        """Let the strategy play the episodes that begin, each draw once. Mutates."""
        streams = [self._engine.draws.streams[e].sequence for e in episodes]
        keys = [
            (str(one.entropy), one.spawn_key, self._engine.draw_of(e).corpus)
            for e, one in zip(episodes, streams, strict=True)
        ]
        firsts = {key: place for place, key in reversed(list(enumerate(keys)))}
        order = {key: place for place, key in enumerate(firsts)}
        chosen = [int(episodes[place]) for place in firsts.values()]
        spent, total = self._play(chosen)
        back = [order[key] for key in keys]
        wide = max(self._spent.shape[1], spent.shape[1])
        self._spent, self._total = _widened(self._spent, wide), _widened(self._total, wide)
        self._spent[episodes] = _widened(spent, wide)[back]
        self._total[episodes] = _widened(total, wide)[back]
        self._at[episodes] = 0.0

    def paired(self, earned: Array, played: Mask, ended: Mask) -> Array:
        """Rewards less what the strategy earned for the same cost units. Mutates."""
        spent = self._engine.spent
        until = np.where(ended, self._total[:, -1], self._earned(spent))
        less = np.where(played, earned - (until - self._earned(self._at)), 0.0)
        self._at = np.where(played, spent, self._at)
        return less

    def state(self) -> dict[str, Tensor]:
        """The strategy's earnings by cost units, and where the episodes stand in them."""
        return {
            "paired_at": torch.from_numpy(self._at),
            "paired_spent": torch.from_numpy(self._spent),
            "paired_total": torch.from_numpy(self._total),
        }

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Go back to where ``state`` was taken. Mutates."""
        self._at = state["paired_at"].numpy().copy()
        self._spent = state["paired_spent"].numpy().copy()
        self._total = state["paired_total"].numpy().copy()

    def _earned(self, spent: Array) -> Array:
        """What the strategy had earned when it had spent so much ``(E,)``."""
        last = self._spent.shape[1] - 1
        place = (self._spent <= spent[:, None]).sum(1) - 1
        rows, after = np.arange(len(spent)), np.minimum(place + 1, last)
        low, high = self._spent[rows, place], self._spent[rows, after]
        share = np.divide(spent - low, high - low, out=np.zeros_like(low), where=high > low)
        total: Array = (1 - share) * self._total[rows, place] + share * self._total[rows, after]
        return total

    def _play(self, episodes: list[int]) -> tuple[Array, Array]:
        """Cost units spent, and reward earned, before and after each round ``(k, T + 1)``."""
        count = len(episodes)
        # Episodes that end at different times begin a few at once: few sizes serve all of them.
        size = min(1 << (count - 1).bit_length(), self._engine.n_episodes)
        engine, reward = self._other(size)
        filled = [*episodes, *[episodes[-1]] * (size - count)]
        streams = [Streams(self._engine.draws.streams[e].sequence) for e in filled]
        engine.reset(streams, None, None, [self._engine.draw_of(e) for e in filled])
        reward.start(np.arange(size))
        engine.stop(np.arange(size) >= count)
        spent, total = [np.zeros(size)], [np.zeros(size)]
        for turn in play(engine, self._strategy):
            ended = (engine.finished | reward.reached()) & turn.running
            earned = reward.of_round(turn.round.cost, ended)
            total.append(total[-1] + np.where(turn.running, earned, 0.0))
            spent.append(engine.spent.copy())
            engine.stop(ended)
        return np.stack(spent, 1)[:count], np.stack(total, 1)[:count]

    def _other(self, size: int) -> tuple[LabelingEngine, Reward]:
        """Where the strategy plays so many episodes, and how it is paid."""
        if size not in self._others:
            own = self._engine
            engine = LabelingEngine(own.corpora, own.options, size, own.metrics, own.learner_settings)
            self._others[size] = engine, self._reward.beside(engine)
        return self._others[size]


def pairing(engine: LabelingEngine, reward: Reward) -> Pairing | None:
    """What rewards are paired with; None where they stand alone."""
    settings = reward.settings
    if settings.against is None:
        return None
    if settings.against == GROUP:
        return GroupPairing(engine, settings.group_size)
    return StrategyPairing(engine, reward, settings.against)


def _same(one: Draw, other: Draw) -> bool:
    return one.corpus == other.corpus and all(
        np.array_equal(getattr(one, part), getattr(other, part)) for part in ("pool", "dev", "initial")
    )


def _widened(values: Array, wide: int) -> Array:
    """The last column repeated until there are so many."""
    return np.pad(values, ((0, 0), (0, wide - values.shape[1])), mode="edge")
