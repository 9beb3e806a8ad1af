"""The environment itself, for E episodes at once: engine, interface, reward.

The single Gymnasium environment is the batch of one; the Gymnasium vector environment and the
Stable-Baselines3 VecEnv are faces of this class.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from gymnasium import spaces
from torch import Tensor

from react_rl.envs.actions import fitting_actions
from react_rl.envs.checks import check_tasks
from react_rl.envs.interfaces import Decision, Frame, Interface, Observed
from react_rl.envs.paired import check_equal_prices, check_pairing, pairing
from react_rl.envs.rewards import Reward, RewardSettings
from react_rl.errors import ReActError, unknown
from react_rl.learners.registry import LearnerSettings
from react_rl.seeding import Streams, entropy_of
from react_rl.simulation.encoded import EncodedCorpus
from react_rl.simulation.engine import LabelingEngine
from react_rl.simulation.options import EpisodeOptions
from react_rl.simulation.purchases import Mask
from react_rl.tasks.registry import named_metric, task_of


def episode_streams(seed: int, corpus: str) -> Streams:
    """Streams of comparison episode ``seed`` on ``corpus``: the same draw for every strategy and policy."""
    return Streams(entropy_of(seed, corpus))


@dataclass(frozen=True)
class Transition:
    """What one step brought; arrays of length E.

    Args:
        rewards: float64; 0 where the round goes on.
        ended: Episodes that are over.
        stopped: Episodes that the action itself ended.
        learned: Episodes whose learner was refitted: their round is over.
        cost: Cost units charged.
        ids: ``(E, b)`` row ids bought, -1 elsewhere.
    """

    rewards: npt.NDArray[np.float64]
    ended: npt.NDArray[np.bool_]
    stopped: npt.NDArray[np.bool_]
    learned: npt.NDArray[np.bool_]
    cost: npt.NDArray[np.float64]
    ids: npt.NDArray[np.int64]


class EpisodeSource:
    """An endless sequence of independent episodes from one seed.

    Args:
        seed: The seed; None draws one from the system.
    """

    def __init__(self, seed: int | None) -> None:
        self._sequence = np.random.SeedSequence(seed)

    @property
    def drawn(self) -> int:
        """Episodes drawn so far."""
        return self._sequence.n_children_spawned

    def skip(self, episodes: int) -> None:
        """Go on after the first ``episodes`` episodes of the seed. Mutates."""
        self._sequence = np.random.SeedSequence(self._sequence.entropy, n_children_spawned=episodes)

    def next(self) -> Streams:
        """Streams of the next episode. Mutates."""
        return Streams(self._sequence.spawn(1)[0])


def check_names(corpora: Sequence[EncodedCorpus]) -> None:
    """Check that corpora can be told by their names.

    Raises:
        ReActError: Two share one.
    """
    names = [corpus.name for corpus in corpora]
    if len(set(names)) < len(names):
        raise ReActError(f"Corpora of one environment need different names, got {', '.join(names)}.")


def row_of(standing: Mapping[str, npt.NDArray[Any]], episode: int) -> dict[str, Any]:
    """What arrays over episodes say of one, as plain values."""
    return {key: values[episode : episode + 1].tolist()[0] for key, values in standing.items()}


RESET_OPTIONS: Final = ("corpus", "episode")
"""What ``reset`` of a face takes as options: the name of the corpus, and a comparison's episode."""


def reset_options(given: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """The options that ``reset`` was given.

    Raises:
        ReActError: They are no mapping, or one is unknown or of no use.
    """
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise ReActError(f"Reset options are {given!r:.80}; give a mapping, as in {{'corpus': 'bbc_news'}}.")
    for key in given:
        if key not in RESET_OPTIONS:
            raise unknown("reset option", key, RESET_OPTIONS)
    corpus, episode = given.get("corpus"), given.get("episode")
    if corpus is not None and not isinstance(corpus, str):
        raise ReActError(f"Reset option 'corpus' is {corpus!r:.80}; it must be a name.")
    if episode is not None and (
        isinstance(episode, bool) or not isinstance(episode, int | np.integer) or episode < 0
    ):
        raise ReActError(f"Reset option 'episode' is {episode!r}; it must be a whole number, at least 0.")
    return given


class BatchedLabeling:
    """E labelling episodes with observations, actions and rewards.

    Args:
        corpora: Encoded corpora; each episode draws one unless told.
        options: Sizes, budget and annotator of an episode.
        interface: What the policy sees and what its actions mean.
        reward: What it is paid for.
        n_episodes: E.
        learner: Settings of the learner; None is the softmax regression as it comes.

    Raises:
        ReActError: Corpora, learner or metrics do not fit each other, or rewards cannot be paired as asked.
    """

    def __init__(
        self,
        corpora: Sequence[EncodedCorpus],
        options: EpisodeOptions,
        interface: Interface,
        reward: RewardSettings,
        n_episodes: int = 1,
        learner: LearnerSettings | None = None,
    ) -> None:
        check_names(corpora)
        rows = [corpus.corpus for corpus in corpora]
        task = task_of(rows)
        check_tasks(rows, interface, reward.metric, lambda _: learner)
        check_pairing(reward, interface, n_episodes, learner)
        check_equal_prices(reward, rows)
        self.metric = named_metric(task, reward.metric)
        """The dev metric that the reward is made of."""
        reward = reward.model_copy(update={"metric": self.metric})
        metrics = (self.metric, *interface.metrics)
        self.engine = LabelingEngine(corpora, options, n_episodes, metrics, learner)
        self.interface = interface
        self.reward = Reward(self.engine, reward)
        self._pairing = pairing(self.engine, self.reward)
        self.n_episodes = n_episodes
        self._corpus_index = {corpus.name: i for i, corpus in enumerate(corpora)}
        self._area = np.zeros(n_episodes)
        self._asked = np.zeros(n_episodes, dtype=np.int64)
        self._frame: Frame | None = None

    @property
    def group_size(self) -> int:
        """Neighbouring slots that are to play the same draws."""
        return self.reward.settings.group_size

    @property
    def parts(self) -> tuple[BatchedLabeling, ...]:
        """The batches of one task each that this consists of: itself."""
        return (self,)

    def corpus_index(self, name: str) -> int:
        """Position of the corpus called ``name``.

        Raises:
            ReActError: The environment has no such corpus.
        """
        if name not in self._corpus_index:
            raise unknown("corpus of this environment", name, self._corpus_index)
        return self._corpus_index[name]

    def next_episode(
        self, source: EpisodeSource, options: Mapping[str, Any] | None = None, place: int = 0
    ) -> tuple[Streams, int | None]:
        """Streams and corpus (None: drawn) of the episode that comes next. Mutates the source.

        Args:
            source: Where episodes come from, unless the options name one.
            options: ``corpus``, a name, and ``episode``, the number of a comparison's episode.
            place: The episode's slot; slots of one task do not differ.

        Raises:
            ReActError: An option is unknown or of no use.
        """
        options = reset_options(options)
        name, episode = options.get("corpus"), options.get("episode")
        corpus = None if name is None else self.corpus_index(name)
        if episode is None:
            return source.next(), corpus
        return episode_streams(int(episode), self.engine.corpora[corpus or 0].name), corpus or 0

    def reset(
        self,
        streams: Sequence[Streams],
        episodes: Sequence[int] | None = None,
        corpora: Sequence[int | None] | None = None,
    ) -> Observed:
        """Begin new episodes (all, or those given) and return the observations of all E."""
        with self.engine.threads():
            return self._reset(streams, episodes, corpora)

    def _reset(
        self,
        streams: Sequence[Streams],
        episodes: Sequence[int] | None,
        corpora: Sequence[int | None] | None,
    ) -> Observed:
        self.engine.reset(streams, episodes, corpora)
        chosen = np.arange(self.n_episodes) if episodes is None else np.asarray(episodes)
        self.reward.start(chosen)
        if self._pairing is not None:
            self._pairing.start(chosen)
        self._area[chosen], self._asked[chosen] = 0.0, 0
        return self.frame.observation

    @property
    def frame(self) -> Frame:
        """All E episodes as the policy meets them now."""
        view = self.engine.view
        if self._frame is None or self._frame.view is not view:
            with torch.inference_mode():
                self._frame = self.interface.frame(view, self._frame)
        return self._frame

    def observe(self) -> Observed:
        """Observations of all E episodes as they stand."""
        return self.frame.observation

    def action_masks(self, episode: int) -> npt.NDArray[np.bool_]:
        """Actions of an episode that are allowed now ``(A,)``, as sb3-contrib asks for them.

        Raises:
            ReActError: The action space is not discrete.
        """
        mask, space = self.frame.mask, self.interface.action_space
        if mask is not None:
            own: npt.NDArray[np.bool_] = mask[episode].copy()
            return own
        if not isinstance(space, spaces.Discrete | spaces.MultiDiscrete):
            raise ReActError(f"Actions of the space {space} are not discrete, so none can be masked.")
        return np.ones(spaces.flatdim(space), dtype=np.bool_)

    def step(self, actions: npt.NDArray[Any]) -> Transition:
        """Play one action of every episode that is not over: a round, or a pick of one.

        Raises:
            ReActError: The actions are of another shape or type than the action space.
        """
        actions = fitting_actions(actions, self.interface.action_space, self.n_episodes)
        with self.engine.threads():
            return self._step(actions)

    def _step(self, actions: npt.NDArray[Any]) -> Transition:
        engine = self.engine
        idle = engine.finished
        before = engine.current[self.metric]
        with torch.inference_mode():
            decision = self.interface.decide(self.frame, actions)
            ids, stop = decision.ids, decision.stop
            if stop.any():
                ids = ids.clone()
                ids[torch.from_numpy(stop).to(ids.device)] = -1
        bought = engine.buy(ids)
        stopped = stop & ~idle & (self._asked == 0)
        learned = self._due(decision, ids)
        self._asked[learned] = 0
        cost = np.zeros(self.n_episodes)
        if learned.any():
            cost = engine.learn(learned, decision.recipe).cost
        # Trapezoid under the curve of the reward's metric, in shares of the budget.
        self._area += (before + engine.reached[self.metric]) / 2 * cost / engine.options.budget
        ended = engine.finished | stopped | self.reward.reached()
        played = learned & ~idle
        rewards = np.where(played, self.reward.of_round(cost, ended & ~idle), 0.0)
        if self._pairing is not None:
            rewards = self._pairing.paired(rewards, played, ended & ~idle)
        if ended.any():
            engine.stop(ended)
        return Transition(rewards, ended, stopped, played, bought.cost, bought.ids)

    def _due(self, decision: Decision, ids: Tensor) -> Mask:
        """Episodes ``(E,)`` whose round ends with this decision. Mutates what was asked for."""
        if decision.batch_size is None:
            return np.ones(self.n_episodes, dtype=np.bool_)
        asked = (ids >= 0).sum(1).cpu().numpy()
        self._asked += asked
        full = self._asked >= decision.batch_size
        due: Mask = full | decision.stop | (asked == 0) | self.engine.exhausted
        return due

    def state(self) -> dict[str, Tensor]:
        """What steps have changed beside the engine, by name."""
        own = {"area": torch.from_numpy(self._area), "asked": torch.from_numpy(self._asked)}
        paired = {} if self._pairing is None else self._pairing.state()
        return own | self.reward.state() | paired

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Put the episodes where ``state`` was taken; the engine is in place already. Mutates."""
        self._area, self._asked = state["area"].numpy().copy(), state["asked"].numpy().copy()
        self._frame = None
        self.reward.load_state(state)
        if self._pairing is not None:
            self._pairing.load_state(state)

    def standing(self, transition: Transition | None = None) -> dict[str, npt.NDArray[Any]]:
        """How all episodes stand; fresh arrays of length E.

        They are the corpus, the reward's dev metric by its name, the area under it, labels and cost; with the
        transition that led there, also the row ids ``(E, b)`` that were bought (-1 for none), and whether the
        action stopped the episode.
        """
        engine = self.engine
        value = engine.current[self.metric]
        budget = engine.options.budget
        names = [engine.corpus_of(episode).name for episode in range(self.n_episodes)]
        found: dict[str, npt.NDArray[Any]] = {
            "corpus": np.array(names, dtype=object),
            self.metric: value.copy(),
            "area": self._area + value * (np.maximum(budget - engine.spent, 0.0) / budget),
            "labels": engine.labels.copy(),
            "cost": engine.spent.copy(),
        }
        if transition is not None:
            found |= {"ids": transition.ids.copy(), "stopped": transition.stopped.copy()}
        return found

    def summary(self, episode: int) -> dict[str, Any]:
        """How an episode stands: corpus, the reward's dev metric by name, area under it, labels, cost."""
        return row_of(self.standing(), episode)
