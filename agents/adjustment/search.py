"""The search: pairs of opposite changes, played on one task and seed, say where the area rises.

Each pair tries a direction of its own, so a step learns from as many directions as there are pairs, and a
pair costs two episodes whatever the number of weights. Source: Salimans et al. 2017, Evolution Strategies as
a Scalable Alternative to Reinforcement Learning; Mania et al. 2018, Simple random search (antithetic pairs).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from react_rl.acquisition.contract import QueryStrategy
from react_rl.agents.adjustment.playing import areas, observed
from react_rl.agents.adjustment.settings import AdjustmentSettings
from react_rl.agents.adjustment.space import Adjusted, Space, merged, space_around
from react_rl.agents.adjustment.state import SearchState
from react_rl.agents.adjustment.tasks import Group, TaskBank, draw_group, generator
from react_rl.agents.imitation.dealing import dealt_again
from react_rl.agents.networks import ScorerEnsemble
from react_rl.agents.scorer import ScorerStrategy
from react_rl.learners.registry import LearnerSettings
from react_rl.simulation.encoded import EncodedCorpus
from react_rl.simulation.options import EpisodeOptions


@dataclass(frozen=True)
class SearchProgress:
    """Where a search stands, for those who show it.

    Args:
        step: Steps taken.
        total: Steps that there are going to be.
        gain: Validation area of the last point played, less that of the start; NaN before there is one.
        slope: Rise of the area with each sigma along the way that the search has gone, by the last steps; NaN
            at the beginning.
    """

    step: int
    total: int
    gain: float
    slope: float


class Search:
    """A search under way.

    Args:
        corpora: Training corpora, of any encoders with embeddings of one dimension.
        policy: Where it begins.
        episode: Size of the dev set, and the annotator.
        settings: Space, tasks and steps.
        learner: Settings of the linear learner; None is the softmax regression as it comes.

    Raises:
        ReActError: A direction or gate is unknown, or no task is large enough.
    """

    def __init__(
        self,
        corpora: Sequence[EncodedCorpus],
        policy: ScorerStrategy,
        episode: EpisodeOptions,
        settings: AdjustmentSettings,
        learner: LearnerSettings | None = None,
    ) -> None:
        self.policy, self.settings = policy, settings
        self._episode, self._learner = episode, learner
        base = policy.network
        assert isinstance(base, ScorerEnsemble), "row scorers are loaded as ensembles"
        self.base = base
        bases = [dealt_again(corpus, settings.seed) for corpus in corpora]
        self._bank, judges = TaskBank(bases, settings), TaskBank(bases, settings, "validation")
        rng = generator(settings.seed, "validation")
        self._judged = [
            draw_group(judges, episode, settings, batch, rng)
            for batch in self._batches(settings.validation_groups)
        ]
        seen = {group.options.batch_size: group for group in self._judged}
        contexts, scale = observed(policy, lambda shown: [self.play(one, shown) for one in seen.values()])
        self.space: Space = space_around(policy, settings.directions, settings.gates, contexts, scale)

    def _batches(self, many: int) -> list[int]:
        sizes = self.settings.batch_sizes
        return [sizes[number % len(sizes)] for number in range(many)]

    def play(self, group: Group, strategy: QueryStrategy, copies: int = 1) -> npt.NDArray[np.float64]:
        """Areas ``(N, copies)`` of a group's episodes."""
        return areas(group, strategy, copies, self._learner)

    def judge(self, strategy: QueryStrategy) -> npt.NDArray[np.float64]:
        """Areas of the validation episodes."""
        return np.concatenate([self.play(group, strategy)[:, 0] for group in self._judged])

    def at(self, point: Tensor, name: str | None = None) -> ScorerStrategy:
        """The policy at a point ``(D, B)``, called ``name`` or as the one that the search began from."""
        network = merged(self.base, self.space, point)
        return ScorerStrategy(name or self.policy.name, network, self.space.features, self.space.context)

    def run(
        self, path: Path, key: str, report: Callable[[SearchProgress], None] | None = None
    ) -> SearchState:
        """Search, or go on where ``path`` says under ``key``.

        Args:
            path: Where the state is kept.
            key: What decides the result.
            report: Called after each step.
        """
        settings = self.settings
        state = SearchState.load(path, key) or SearchState([torch.zeros(self.space.shape)])
        if not state.checks:
            self._check(state)
            state.save(path, key)
        checks = {round(settings.updates * (1 + k) / settings.checks) for k in range(settings.checks)}
        while state.steps < settings.updates:
            self._step(state)
            if state.steps in checks:
                self._check(state)
            state.save(path, key)
            if report is not None:
                gain = float((state.areas[-1] - state.areas[0]).mean()) if len(state.areas) > 1 else math.nan
                report(SearchProgress(state.steps, settings.updates, gain, self._slope(state)))
        return state

    def _step(self, state: SearchState) -> None:
        """Play one group of pairs with each batch size and move. Mutates."""
        settings, number = self.settings, state.steps
        rng = generator(settings.seed, "step", str(number))
        sums, pairs = torch.zeros(self.space.shape), 0
        for batch in settings.batch_sizes:
            group = draw_group(self._bank, self._episode, settings, batch, rng)
            tried = torch.from_numpy(rng.standard_normal((len(group.tasks), *self.space.shape))).float()
            both = torch.stack([tried, -tried], 1).flatten(0, 1)
            points = state.points[-1] + settings.sigma * both
            strategy = ScorerStrategy(
                self.policy.name, Adjusted(self.base, self.space, points), self.space.features,
                self.space.context,
            )  # fmt: skip
            found = self.play(group, strategy, 2)
            gaps = torch.from_numpy(found[:, 0] - found[:, 1]).float().clamp(-settings.cut, settings.cut)
            sums += (gaps[:, None, None] * tried).sum(0) / 2
            pairs += len(gaps)
        slope = sums / pairs
        rate = settings.rate * (1 - 0.75 * number / settings.updates)
        step = rate * slope
        step *= min(1.0, settings.longest / max(float(step.norm()), 1e-12))
        state.slopes.append(slope)
        state.points.append(state.points[-1] + settings.sigma * step)

    def _check(self, state: SearchState) -> None:
        """Play the average on the validation episodes. Mutates."""
        point = state.average(self.settings.averaged)
        state.areas.append(torch.from_numpy(self.judge(self.at(point))))
        state.averages.append(point)
        state.checks.append(state.steps)

    def _slope(self, state: SearchState, last: int = 10) -> float:
        """How the area rises along the way from the start, by steps that had no part in it."""
        begun = max(state.steps - last, 0)
        way = state.points[begun]
        if not way.any():
            return math.nan
        return float((torch.stack(state.slopes[begun:]).mean(0) * way).sum() / way.norm())
