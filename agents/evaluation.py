"""One way to measure any query strategy: comparison episodes in lockstep, area under the dev curve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from react_rl.acquisition.contract import QueryStrategy
from react_rl.envs.batched import episode_streams
from react_rl.envs.rewards import Reward, RewardSettings
from react_rl.metrics.classification import DEFAULT_METRIC
from react_rl.metrics.curves import areas_to_budget
from react_rl.metrics.registry import METRICS
from react_rl.simulation.engine import LabelingEngine
from react_rl.simulation.play import play
from react_rl.simulation.world import World
from react_rl.tasks.registry import named_metric


class Validation:
    """Fixed validation episodes, shared evenly among the corpora.

    Args:
        worlds: Corpora that the policy is not trained on, or other rows of the same, with episodes like those
            of training; one world for each task.
        n_episodes: How many; at least one for each corpus.
        first_seed: Seed of the first episode.
        metric: Dev metric whose curve is judged: the reward's; ``task`` is each task's own first one.
        observed: Dev metrics that strategies look at besides.
        priced: A reward that charges for labels, by whose return episodes are judged in place of the area: a
            policy that stops in time is better than one that buys a little more accuracy; None for no such.

    Raises:
        ReActError: A metric is unknown.
    """

    def __init__(
        self,
        worlds: Sequence[World],
        n_episodes: int,
        first_seed: int = 1_000_000,
        metric: str = DEFAULT_METRIC,
        observed: Sequence[str] = (),
        priced: RewardSettings | None = None,
    ) -> None:
        self.corpora = [corpus for world in worlds for corpus in world.corpora]
        whole = len(self.corpora)
        slots = range(max(n_episodes, whole))
        self._grounds = []
        start = 0
        for world in worlds:
            own = [i for i in slots if start <= i % whole < start + len(world.corpora)]
            corpora, seeds = [i % whole - start for i in own], [first_seed + i // whole for i in own]
            engine = LabelingEngine(
                world.corpora, world.options, len(own), (metric, *observed), world.learner
            )
            measured = named_metric(engine.task, metric)
            reward = None
            if priced is not None:
                reward = Reward(engine, priced.model_copy(update={"metric": measured}))
            self._grounds.append(_Ground(engine, measured, corpora, seeds, reward))
            start += len(world.corpora)

    def areas(self, strategy: QueryStrategy) -> npt.NDArray[np.float64]:
        """Area under the curve of the dev metric of each episode, over the whole budget; task after task.

        Metrics whose low values are good count negatively, as in rewards: a larger area is always better.
        Where labels have a price, it is the return of each episode, undiscounted and not paired.
        """
        return np.concatenate([ground.areas(strategy) for ground in self._grounds])


@dataclass(frozen=True)
class _Ground:
    """Validation episodes of one task."""

    engine: LabelingEngine
    metric: str
    corpora: Sequence[int]
    seeds: Sequence[int]
    reward: Reward | None

    def areas(self, strategy: QueryStrategy) -> npt.NDArray[np.float64]:
        engine, budget = self.engine, self.engine.options.budget
        names = [engine.corpora[corpus].name for corpus in self.corpora]
        streams = [episode_streams(seed, name) for seed, name in zip(self.seeds, names, strict=True)]
        engine.reset(streams, None, self.corpora)
        if self.reward is not None:
            return _returns(engine, strategy, self.reward)
        values, costs = [engine.current[self.metric]], []
        for turn in play(engine, strategy):
            values.append(turn.round.metrics[self.metric])
            costs.append(turn.round.cost)
        area = areas_to_budget(costs, values, budget)
        return METRICS[self.metric].sign * area


def _returns(engine: LabelingEngine, strategy: QueryStrategy, reward: Reward) -> npt.NDArray[np.float64]:
    """Undiscounted return ``(E,)`` of episodes that were just reset."""
    reward.start(np.arange(engine.n_episodes))
    total = np.zeros(engine.n_episodes)
    for turn in play(engine, strategy):
        ended = (engine.finished | reward.reached()) & turn.running
        total += np.where(turn.running, reward.of_round(turn.round.cost, ended), 0.0)
        engine.stop(ended)
    return total
