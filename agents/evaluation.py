"""One way to measure any query strategy: comparison episodes in lockstep, area under the dev curve."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from react_rl.acquisition.contract import QueryStrategy
from react_rl.envs.batched import episode_streams
from react_rl.learners.registry import LearnerSettings
from react_rl.metrics.classification import DEFAULT_METRIC
from react_rl.metrics.curves import areas_to_budget
from react_rl.metrics.registry import METRICS
from react_rl.simulation.encoded import EncodedCorpus
from react_rl.simulation.engine import LabelingEngine
from react_rl.simulation.options import EpisodeOptions
from react_rl.simulation.play import play


class Validation:
    """Fixed validation episodes, shared evenly among the corpora.

    Args:
        corpora: Encoded corpora that the policy is not trained on, or other rows of the same.
        options: Episodes like those of training.
        n_episodes: How many; at least one for each corpus.
        first_seed: Seed of the first episode.
        learner: Settings of the learner; None is the softmax regression as it comes.
        metric: Dev metric whose curve is judged: the reward's.
        observed: Dev metrics that strategies look at besides.

    Raises:
        ReActError: A metric is unknown.
    """

    def __init__(
        self,
        corpora: Sequence[EncodedCorpus],
        options: EpisodeOptions,
        n_episodes: int,
        first_seed: int = 1_000_000,
        learner: LearnerSettings | None = None,
        metric: str = DEFAULT_METRIC,
        observed: Sequence[str] = (),
    ) -> None:
        self.metric = metric
        self.corpora = list(corpora)
        self._corpus = [i % len(corpora) for i in range(max(n_episodes, len(corpora)))]
        self._seeds = [first_seed + i // len(corpora) for i in range(len(self._corpus))]
        self._engine = LabelingEngine(
            corpora, options, len(self._corpus), tuple(dict.fromkeys((metric, *observed))), learner
        )

    def areas(self, strategy: QueryStrategy) -> npt.NDArray[np.float64]:
        """Area under the curve of the dev metric of each episode, over the whole budget.

        Metrics whose low values are good count negatively, as in rewards: a larger area is always better.
        """
        engine, budget = self._engine, self._engine.options.budget
        names = [self.corpora[c].name for c in self._corpus]
        engine.reset(
            [episode_streams(s, n) for s, n in zip(self._seeds, names, strict=True)], None, self._corpus
        )
        values, costs = [engine.current[self.metric]], []
        for turn in play(engine, strategy):
            values.append(turn.round.metrics[self.metric])
            costs.append(turn.round.cost)
        area = areas_to_budget(costs, values, budget)
        return METRICS[self.metric].sign * area
