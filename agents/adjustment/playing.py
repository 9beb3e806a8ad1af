"""Playing groups of episodes: areas of a policy, and what it sees on the way."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from react_rl.acquisition.contract import QueryStrategy
from react_rl.agents.adjustment.tasks import Group
from react_rl.agents.scorer import KNOWN_CONTEXT, ScorerStrategy
from react_rl.learners.registry import LearnerSettings
from react_rl.metrics.classification import DEFAULT_METRIC
from react_rl.metrics.curves import areas_to_budget
from react_rl.seeding import Streams
from react_rl.simulation.engine import LabelingEngine
from react_rl.simulation.play import play


def areas(
    group: Group, strategy: QueryStrategy, copies: int = 1, learner: LearnerSettings | None = None
) -> npt.NDArray[np.float64]:
    """Areas under the dev accuracy curve ``(N, K)`` of N episodes, each played K times side by side.

    Args:
        group: The episodes.
        strategy: What is played; it sees the copies of an episode one after the other.
        copies: K; they have one pool, one dev set and the same initial labels.
        learner: Settings of the learner; None is the softmax regression as it comes.
    """
    places = [place for place in range(len(group.tasks)) for _ in range(copies)]
    distinct = list({id(task): task for task in group.tasks}.values())
    position = {id(task): place for place, task in enumerate(distinct)}
    engine = LabelingEngine(distinct, group.options, len(places), (DEFAULT_METRIC,), learner)
    streams = [Streams(group.seeds[place]) for place in places]
    engine.reset(streams, None, [position[id(group.tasks[place])] for place in places])
    values, costs = [engine.current[DEFAULT_METRIC].copy()], []
    for turn in play(engine, strategy):
        values.append(turn.round.metrics[DEFAULT_METRIC])
        costs.append(turn.round.cost)
    return areas_to_budget(costs, values, group.options.budget).reshape(-1, copies)


class Observer(nn.Module):
    """A scorer that keeps what it saw: contexts, and how far its scores differ over a pool.

    Args:
        base: The scorer.
        width: Numbers of the context that it sees; it is shown more.
    """

    def __init__(self, base: nn.Module, width: int) -> None:
        super().__init__()
        self.base, self.width = base, width
        self.contexts: list[Tensor] = []
        self.deviations: list[Tensor] = []

    def forward(self, rows: Tensor, context: Tensor) -> Tensor:
        """Scores of the base."""
        scores: Tensor = self.base(rows, context[:, : self.width])
        self.contexts.append(context.clone())
        self.deviations.append(scores.std(1))
        return scores


def observed(policy: ScorerStrategy, play_some: Callable[[ScorerStrategy], object]) -> tuple[Tensor, float]:
    """Contexts ``(N, K)`` in which a policy chooses, all of ``KNOWN_CONTEXT``, and its scores' deviation.

    Args:
        policy: The policy.
        play_some: Plays what it is given.
    """
    further = tuple(name for name in KNOWN_CONTEXT if name not in policy.context)
    observer = Observer(policy.network, len(policy.context))
    shown = (*policy.context, *further)
    play_some(ScorerStrategy(policy.name, observer, policy.features, shown))
    contexts = torch.cat(observer.contexts).cpu()[:, [shown.index(name) for name in KNOWN_CONTEXT]]
    return contexts, float(torch.cat(observer.deviations).mean())
