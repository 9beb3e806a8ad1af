"""Query strategies by name: those of the catalogue, of features, on subsamples, and from outside."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Final

from react_rl.acquisition.catalogue import PACKAGED
from react_rl.acquisition.contract import WITHOUT_MODEL, QueryStrategy, StrategyEntry
from react_rl.acquisition.features import feature_named
from react_rl.acquisition.strategies.cost import PER_COST, ReturnOnInvestment, parse_per_cost
from react_rl.acquisition.strategies.weighted import FEATURE, WEIGHTS, WeightedFeatures, parse_weights
from react_rl.acquisition.wide.distinct import DISTINCT, Distinct, parse_distinct
from react_rl.acquisition.wide.proxy import PROXY, ByProxy, needs_by_proxy, parse_proxy
from react_rl.acquisition.wide.subsampling import SUBSAMPLE, Subsampled, parse_subsample
from react_rl.errors import ReActError, unknown
from react_rl.learners.capabilities import Capability, missing
from react_rl.learners.registry import LearnerSettings, offers_of
from react_rl.own_code import STRATEGY, announced, is_outside, load_outside, make_outside

_CLASSES: Final[frozenset[Capability]] = frozenset({"classes"})

STRATEGIES: Final[dict[str, StrategyEntry]] = dict(PACKAGED)
"""All query strategies by name: those of the package, and what a program adds."""


def is_strategy(name: str) -> bool:
    """Whether ``name`` is listed, begins as those made of others or of features do, or is from outside."""
    return name in STRATEGIES or name.startswith((*_OF_ONE, *_FORMS)) or is_outside(name, STRATEGY)


def entry_of(name: str) -> StrategyEntry:
    """What the list says of ``name``.

    ``subsample:NAME``, ``subsample:SIZE:NAME``, ``distinct:NAME``, ``distinct:SIMILARITY:NAME``,
    ``proxy:NAME``, ``per-cost:NAME`` and ``per-cost:DEVIATIONS:NAME`` follow from the strategy NAME;
    ``feature:NAME`` takes the rows where one feature of rows is largest; ``weights:NAME=NUMBER,...`` weighs
    several; ``module:Name`` and what a package announces is imported.

    Raises:
        ReActError: There is no such strategy; the nearest name is given.
    """
    made = made_of_one(name)
    if name in STRATEGIES:
        entry = STRATEGIES[name]
        return entry if entry is PACKAGED.get(name) else _with_needs(entry)
    if made is not None:
        entry = entry_of(made.base)
        return replace(made.entry(entry), make=lambda: made.make(name, entry.make()))
    for beginning, of_features in _FORMS.items():
        if name.startswith(beginning):
            return of_features(name)
    if not is_outside(name, STRATEGY):
        raise unknown("strategy", name, [*STRATEGIES, *announced(STRATEGY.group)], "strategies")
    return _entry_from_outside(name)


@dataclass(frozen=True)
class MadeOfOne:
    """A strategy that is made of another one, as its name says.

    Args:
        base: Name of the other one.
        make: Makes it, under a name, of the other one.
        entry: What the list says of it, but for the way of making it, by what it says of the other one.
    """

    base: str
    make: Callable[[str, QueryStrategy], QueryStrategy]
    entry: Callable[[StrategyEntry], StrategyEntry]


def made_of_one(name: str) -> MadeOfOne | None:
    """What ``name`` is made of, where it is made of one other strategy and not listed.

    Raises:
        ReActError: The name is not well formed.
    """
    if not isinstance(name, str):
        raise ReActError(f"A strategy is named by text, such as 'margin', and not by {type(name).__name__}.")
    if name in STRATEGIES:
        return None
    found = next((made for beginning, made in _OF_ONE.items() if name.startswith(beginning)), None)
    return None if found is None else found(name)


def _subsampled(name: str) -> MadeOfOne:
    base, size = parse_subsample(name)
    return MadeOfOne(
        base,
        lambda name, strategy: Subsampled(name, strategy, size),
        lambda entry: replace(
            entry, summary=f"{base} on {size:,} random rows", cost=f"{entry.cost} at P = {size:,}", draws=True
        ),
    )


def _distinct(name: str) -> MadeOfOne:
    base, similarity = parse_distinct(name)
    return MadeOfOne(
        base,
        lambda name, strategy: Distinct(name, strategy, similarity),
        lambda entry: replace(
            entry,
            summary=f"{base} without rows of cosine similarity {similarity:g} to one in the batch or "
            "labelled",
            cost=f"{entry.cost} + O(P n D)",
        ),
    )


def _by_proxy(name: str) -> MadeOfOne:
    base = parse_proxy(name)
    return MadeOfOne(
        base,
        ByProxy,
        lambda entry: replace(
            entry,
            summary=f"{base} by a cheap frozen learner in place of the learner",
            cost=f"{entry.cost} + a fit to all labels",
            needs=needs_by_proxy(base, entry.needs),
        ),
    )


def _per_cost(name: str) -> MadeOfOne:
    base, deviations = parse_per_cost(name)
    return MadeOfOne(
        base,
        lambda name, strategy: ReturnOnInvestment(name, strategy, deviations),
        lambda entry: replace(
            entry, family="cost-aware", summary=f"what {base} expects for each unit that a row costs",
            cost=f"n times that of {base}",
        ),
    )  # fmt: skip


_OF_ONE: Final[Mapping[str, Callable[[str], MadeOfOne]]] = {
    SUBSAMPLE: _subsampled,
    DISTINCT: _distinct,
    PROXY: _by_proxy,
    PER_COST: _per_cost,
}
"""Strategies made of another one, by how their names begin."""


def _entry_from_outside(name: str) -> StrategyEntry:
    """A strategy of a user's own module or of an installed package: an entry, a class or an object."""
    found = load_outside(name, STRATEGY)
    if isinstance(found, StrategyEntry):
        return _with_needs(found)
    own: QueryStrategy = make_outside(name, STRATEGY, ("score", "select"), ("name",))
    summary = (type(own).__doc__ or type(own).__name__).strip().splitlines()[0].rstrip(".")
    return StrategyEntry(lambda: own, "own", summary, "-", cost="-", needs=needs_of(own))


def _with_needs(entry: StrategyEntry) -> StrategyEntry:
    """An entry from outside, with what its strategy and the strategies inside it need."""
    return replace(entry, needs=entry.needs | needs_of(entry.make()))


def needs_of(strategy: object) -> frozenset[Capability]:
    """What a strategy asks of a learner: what it says itself as ``needs``, and what those inside it ask.

    Strategies inside are those in the fields of a dataclass, alone or in a tuple, as in ``PerCost`` and
    ``RoundRobin``. One with the name of a strategy of the package needs what that one needs.
    """
    needs: frozenset[Capability] = frozenset(getattr(strategy, "needs", ()))
    listed = PACKAGED.get(str(getattr(strategy, "name", "")))
    if listed is not None:
        needs |= listed.needs
    if is_dataclass(strategy):
        for field in fields(strategy):
            value = getattr(strategy, field.name)
            for part in value if isinstance(value, tuple) else (value,):
                if hasattr(part, "select") and hasattr(part, "score"):
                    needs |= needs_of(part)
    return needs


def _entry_of_feature(name: str) -> StrategyEntry:
    """A strategy of one acquisition feature."""
    feature = name.removeprefix(FEATURE)
    column = feature_named(feature)
    return StrategyEntry(
        lambda: WeightedFeatures(name, {feature: 1.0}),
        "single feature",
        f"{column.summary}, rows greedily",
        column.source,
        cost=column.cost,
        needs=_CLASSES if "classes" in column.needs else frozenset(),
    )


def _entry_of_weights(name: str) -> StrategyEntry:
    """A strategy of fixed weights over several acquisition features."""
    weights = parse_weights(name)
    needs = {need for feature in weights for need in feature_named(feature).needs}
    return StrategyEntry(
        lambda: WeightedFeatures(name, weights),
        "hybrid",
        "weighted features, rows greedily",
        "-",
        cost="that of its features",
        needs=_CLASSES if "classes" in needs else frozenset(),
    )


_FORMS: Final[Mapping[str, Callable[[str], StrategyEntry]]] = {
    FEATURE: _entry_of_feature,
    WEIGHTS: _entry_of_weights,
}
"""Strategies of features, by how their names begin."""


def make_strategy(name: str) -> QueryStrategy:
    """Make the strategy called ``name``; see ``entry_of``.

    Raises:
        ReActError: There is no such strategy; the nearest name is given.
    """
    return entry_of(name).make()


def reads_model(name: str) -> bool:
    """Whether a strategy reads what a model says of rows; one that is not listed may."""
    return not is_strategy(name) or entry_of(name).family not in WITHOUT_MODEL


def suited(learner: LearnerSettings | None = None, task: str | None = None) -> list[str]:
    """Names of the listed strategies that a learner serves.

    Args:
        learner: Its settings; None is the softmax regression as it comes.
        task: Name of the task; None takes any that the learner can learn.
    """
    offered = offers_of(learner, task)
    return [name for name, entry in STRATEGIES.items() if not missing(entry.needs, offered)]


def needs_surprisal(names: Iterable[str]) -> bool:
    """Whether a strategy among these reads surprisal vectors; names of other contestants do not count."""
    return any(is_strategy(name) and entry_of(name).surprisal for name in names)
