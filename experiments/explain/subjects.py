"""Policies as functions that can be asked again: what they saw goes in, changed or not, an answer comes out.

Each kind of policy is one ``Subject``. Nothing here plays; ``situations`` collects what policies meet.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from sb3_contrib.common.maskable.policies import MaskableActorCriticPolicy
from sb3_contrib.common.recurrent.policies import RecurrentActorCriticPolicy
from sb3_contrib.qrdqn.policies import QRDQNPolicy
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from stable_baselines3.dqn.policies import DQNPolicy
from torch import Tensor

from react_rl.acquisition.batching.row_features import ROW_FEATURES, RowFeatures
from react_rl.acquisition.batching.selection import standardise
from react_rl.acquisition.contract import QueryStrategy
from react_rl.acquisition.features import feature_named
from react_rl.agents.learned import LearnedStrategy
from react_rl.agents.memory import cells_before
from react_rl.agents.networks.beside import within_pool
from react_rl.agents.networks.candidates import FORBIDDEN, SharedScorer
from react_rl.agents.networks.scorer import RowScorer, ScorerEnsemble
from react_rl.agents.scorer import ScorerStrategy, row_context
from react_rl.envs.interfaces import (
    ChooseStrategy,
    DecisionUnits,
    Frame,
    Interface,
    PickCandidate,
    WeighScores,
)
from react_rl.envs.observations import CONTEXT
from react_rl.errors import ReActError
from react_rl.simulation.view import PoolView

Floats = npt.NDArray[np.float32]

PICKED: Final = "share of the batch that is picked"
"""The last number that a pick-candidate policy sees."""

_AT_ONCE: Final = 64
"""Situations that a network is asked about together."""


@dataclass(frozen=True)
class Seen:
    """What a policy looks at in S situations, as arrays on the CPU.

    Args:
        rows: ``(S, R, F)`` features of the rows to choose from, standardised over the pool.
        free: ``(S, R)`` bool, rows that can be chosen.
        numbers: ``(S, G)`` what the policy sees of episode and pool.
        ids: ``(S, R)`` row ids of the corpus.
        memory: ``(S, ...)`` what a recurrent policy remembers; nothing of any other.
    """

    rows: Floats
    free: npt.NDArray[np.bool_]
    numbers: Floats
    ids: npt.NDArray[np.int64]
    memory: Floats | None = None

    def of(self, which: slice | npt.NDArray[Any]) -> Seen:
        """Some of the situations."""
        memory = None if self.memory is None else self.memory[which]
        return Seen(self.rows[which], self.free[which], self.numbers[which], self.ids[which], memory)


@dataclass(frozen=True)
class Unit:
    """Something that a policy decides.

    Args:
        name: What it is: a feature that is weighed, or the strategy, batch size, recipe or stop.
        options: Names of what can be chosen; none where it is a weight.
    """

    name: str
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Answer:
    """What a policy says of S situations.

    Args:
        scores: ``(S, R)`` float64 how much each row is wanted; None where it does not score rows.
        decision: ``(S, U)`` float64 weights, or places of the chosen options; one column for each unit.
    """

    scores: npt.NDArray[np.float64] | None
    decision: npt.NDArray[np.float64]


class Subject(ABC):
    """A policy that is explained.

    Attributes:
        strategy: The same as a query strategy.
        features: Features of a row, F of them: those that it sees, or those by which it is described.
        numbers: What it sees of episode and pool, G of them.
        units: What it decides.
        sees_rows: Whether its scores depend on the features.
    """

    strategy: QueryStrategy
    features: tuple[str, ...]
    numbers: tuple[str, ...]
    units: tuple[Unit, ...]
    sees_rows: bool = True

    @property
    def name(self) -> str:
        """Name in tables and figures."""
        return self.strategy.name

    @abstractmethod
    def look(self, view: PoolView) -> Seen:
        """What it looks at in the E episodes of a view, at a round's start."""

    @abstractmethod
    def _answer(self, seen: Seen) -> Answer:
        """What it says of a few situations."""

    @torch.inference_mode()
    def answer(self, seen: Seen) -> Answer:
        """What it says of situations, however many."""
        starts = range(0, len(seen.rows), _AT_ONCE)
        parts = [self._answer(seen.of(slice(start, start + _AT_ONCE))) for start in starts]
        scores = [part.scores for part in parts if part.scores is not None]
        together = np.concatenate(scores) if scores else None
        return Answer(together, np.concatenate([part.decision for part in parts]))


def make_subject(strategy: QueryStrategy, classes: bool = True) -> Subject:
    """The subject that fits a policy.

    Args:
        strategy: The policy.
        classes: Whether rows have classes, which some features look at.

    Raises:
        ReActError: Nobody trained it, or it sees what cannot be changed number by number.
    """
    if isinstance(strategy, ScorerStrategy):
        return _Scorer(strategy)
    if not isinstance(strategy, LearnedStrategy):
        raise ReActError(
            f"{strategy.name!r} is no trained policy, so there is nothing to explain; name the folder of a "
            "policy, or 'learned'."
        )
    interface = strategy.interface
    if isinstance(interface, PickCandidate):
        return _Candidates(strategy, interface)
    if isinstance(interface, WeighScores) or (
        isinstance(interface, DecisionUnits) and interface.features is not None
    ):
        return _Weights(strategy, interface)
    return _Choice(strategy, interface, classes)


def linear_weights(network: ScorerEnsemble, numbers: Tensor) -> Tensor:
    """Weights of the linear part with its gate ``(S, F)`` in contexts ``(S, G)``, mean over the members."""
    members = [member for member in network.members if isinstance(member, RowScorer)]
    weights: Tensor = torch.stack([one.weights + one.gate(numbers) for one in members]).mean(0)
    return weights


class _Scorer(Subject):
    """A row scorer; its weights are those of the linear part."""

    def __init__(self, strategy: ScorerStrategy) -> None:
        self.strategy = self._scorer = strategy
        self.features, self.numbers = strategy.features, strategy.context
        self.units = tuple(Unit(name) for name in self.features)

    def look(self, view: PoolView) -> Seen:
        rows = RowFeatures(view, self.features).values
        return _seen(rows, view.available, row_context(view, self.numbers), view.ids)

    def _answer(self, seen: Seen) -> Answer:
        rows, numbers = torch.from_numpy(seen.rows), torch.from_numpy(seen.numbers)
        network = self._scorer.on(rows.device)
        scores = within_pool(network, rows, torch.from_numpy(seen.free))(rows, numbers).double().numpy()
        if isinstance(network, ScorerEnsemble):
            return Answer(scores, linear_weights(network, numbers).double().numpy())
        return Answer(scores, np.zeros((len(rows), len(self.features))))


class _Candidates(Subject):
    """A pick-candidate policy; weights are known where its network is the scorer."""

    def __init__(self, strategy: LearnedStrategy, interface: PickCandidate) -> None:
        self.strategy = strategy
        self._policy, self._interface = strategy.policy, interface
        self.features, self.numbers = interface.features, (*_numbers_of(interface), PICKED)
        network = getattr(strategy.policy, "q_net", strategy.policy)
        extractor = getattr(network, "features_extractor", None)
        self._scorer = extractor.scorer if isinstance(extractor, SharedScorer) else None
        self.units = tuple(Unit(name) for name in self.features) if self._scorer is not None else ()
        if _logits(self._policy, interface.observation_space.sample()) is None:
            raise ReActError(
                f"Policy {self.name!r} of kind {type(self._policy).__name__} does not say how it ranks "
                "candidates; explain one of PPO, A2C, TRPO, MaskablePPO, DQN, BoltzmannDQN or QRDQN."
            )

    def look(self, view: PoolView) -> Seen:
        frame = self._interface.frame(view)
        observed = frame.observation
        assert frame.candidates is not None
        rows, numbers = torch.from_numpy(observed["candidates"]), torch.from_numpy(observed["context"])
        return _seen(rows, torch.from_numpy(observed["mask"] > 0), numbers, frame.candidates)

    def _answer(self, seen: Seen) -> Answer:
        observed = {"context": seen.numbers, "candidates": seen.rows, "mask": seen.free.astype(np.int8)}
        logits = _logits(self._policy, observed)
        assert logits is not None
        scores = np.where(seen.free, logits[:, : seen.free.shape[1]], FORBIDDEN)
        if self._scorer is None:
            return Answer(scores, np.zeros((len(scores), 0)))
        weights = linear_weights(self._scorer, torch.from_numpy(seen.numbers))
        return Answer(scores, weights.double().numpy())


class _Acting(Subject):
    """What policies have in common whose action follows from the numbers alone."""

    def __init__(self, strategy: LearnedStrategy, interface: Interface) -> None:
        self.strategy = strategy
        self._policy, self._interface = strategy.policy, interface
        self.numbers = _numbers_of(interface)

    def _looked(self, view: PoolView, rows: Tensor) -> Seen:
        frame = self._interface.frame(view)
        numbers, memory = torch.from_numpy(np.asarray(frame.observation)), self._memory(frame)
        return _seen(rows, view.available, numbers, view.ids, memory)

    def _memory(self, frame: Frame) -> Floats | None:
        if not isinstance(self._policy, RecurrentActorCriticPolicy):
            return None
        return np.moveaxis(cells_before(self._policy, frame, self.name), 2, 0)  # (E, 2, layers, units)

    def _actions(self, seen: Seen) -> npt.NDArray[Any]:
        state = None
        if seen.memory is not None:
            cells = np.moveaxis(seen.memory, 0, 2)  # (2, layers, S, units)
            state = (cells[0], cells[1])
        actions, _ = self._policy.predict(seen.numbers, state, deterministic=True)
        return np.asarray(actions)


class _Weights(_Acting):
    """A policy that weighs features: weigh-scores, and decision-units with features."""

    def __init__(self, strategy: LearnedStrategy, interface: WeighScores | DecisionUnits) -> None:
        super().__init__(strategy, interface)
        self.features = tuple(interface.features or ())
        self._space = interface
        self.units = (*(Unit(name) for name in self.features), *_further_units(interface))

    def look(self, view: PoolView) -> Seen:
        columns = [standardise(view, feature_named(name)(view)) for name in self.features]
        return self._looked(view, torch.stack(columns, 2))

    def _answer(self, seen: Seen) -> Answer:
        actions, count = self._actions(seen), len(self.features)
        if isinstance(self._space, WeighScores):
            weights = self._space.weights(actions).astype(np.float64)
            further = (actions[:, count:] > 0.5).astype(np.float64)
        else:
            weights = np.array(self._space.levels)[actions[:, :count]]
            further = actions[:, count:].astype(np.float64)
        scores = np.einsum("srf,sf->sr", seen.rows, weights)
        return Answer(scores, np.concatenate([weights, further], 1))


class _Choice(_Acting):
    """A policy that chooses among strategies or in a space of one's own; features describe what it picks."""

    sees_rows = False

    def __init__(self, strategy: LearnedStrategy, interface: Interface, classes: bool) -> None:
        super().__init__(strategy, interface)
        self.features = tuple(f for f in ROW_FEATURES if classes or "classes" not in feature_named(f).needs)
        if isinstance(interface, ChooseStrategy):
            stop = ("stop",) if interface.stop else ()
            self.units: tuple[Unit, ...] = (Unit("strategy", (*interface.names, *stop)),)
        elif isinstance(interface, DecisionUnits):
            first = Unit("strategy", tuple(interface.strategies or ()))
            self.units = (first, *_further_units(interface))
        else:
            size = int(np.asarray(interface.action_space.sample()).size)
            self.units = tuple(Unit(f"action {number}") for number in range(1, size + 1))

    def look(self, view: PoolView) -> Seen:
        return self._looked(view, RowFeatures(view, self.features).values)

    def _answer(self, seen: Seen) -> Answer:
        actions = self._actions(seen)
        return Answer(None, actions.reshape(len(actions), -1).astype(np.float64))


def _seen(rows: Tensor, free: Tensor, numbers: Tensor, ids: Tensor, memory: Floats | None = None) -> Seen:
    kept = rows.masked_fill(~free[:, :, None], 0.0).float().cpu().numpy()
    return Seen(kept, free.cpu().numpy(), numbers.float().cpu().numpy(), ids.cpu().numpy(), memory)


def _numbers_of(interface: Interface) -> tuple[str, ...]:
    """Names of the numbers that a policy sees."""
    space = interface.observation.space
    if space.shape is None or len(space.shape) != 1:
        raise ReActError(
            f"The policy sees {space}; only observations of G numbers can be changed one by one."
        )
    if interface.observation.describe().get("name") == "context":
        return CONTEXT
    return tuple(f"number {place}" for place in range(1, space.shape[0] + 1))


def _further_units(interface: WeighScores | DecisionUnits) -> list[Unit]:
    """Units behind strategy or weights."""
    units = []
    if isinstance(interface, DecisionUnits):
        if interface.batch_sizes is not None:
            units.append(Unit("batch size", tuple(str(size) for size in interface.batch_sizes)))
        if interface.recipes is not None:
            units.append(Unit("recipe", interface.recipes))
    return [*units, Unit("stop", ("go on", "stop"))] if interface.stop else units


def _logits(policy: BasePolicy, observed: Any) -> npt.NDArray[np.float64] | None:
    """How a policy ranks its actions ``(S, A)``; None where it does not say."""
    if isinstance(policy, RecurrentActorCriticPolicy):
        return None
    given, _ = policy.obs_to_tensor(observed)
    if isinstance(policy, ActorCriticPolicy | MaskableActorCriticPolicy):
        inner: Any = policy.get_distribution(given).distribution
        return np.asarray(inner.logits.double().detach().cpu()) if hasattr(inner, "logits") else None
    if isinstance(policy, QRDQNPolicy):
        return np.asarray(policy.quantile_net(given).mean(1).double().detach().cpu())
    if isinstance(policy, DQNPolicy):
        return np.asarray(policy.q_net(given).double().detach().cpu())
    return None
