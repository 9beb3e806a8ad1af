"""Query strategies by name: those of the catalogue, of features, on subsamples, and from outside."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Final

from react_rl.acquisition.catalogue import PACKAGED
from react_rl.acquisition.contract import QueryStrategy, StrategyEntry
from react_rl.acquisition.features import feature_named
from react_rl.acquisition.strategies.weighted import FEATURE, WEIGHTS, WeightedFeatures, parse_weights
from react_rl.acquisition.wide.distinct import DISTINCT, Distinct, parse_distinct
from react_rl.acquisition.wide.proxy import PROXY, ByProxy, parse_proxy
from react_rl.acquisition.wide.subsampling import SUBSAMPLE, Subsampled, parse_subsample
from react_rl.errors import unknown
from react_rl.learners.capabilities import Capability, missing
from react_rl.learners.registry import LearnerSettings, offers_of
from react_rl.own_code import STRATEGY, announced, is_outside, load_outside, make_outside

_CLASSES: Final[frozenset[Capability]] = frozenset({"classes"})

STRATEGIES: Final[dict[str, StrategyEntry]] = dict(PACKAGED)
"""All query strategies by name: those of the package, and what a program adds."""


def is_strategy(name: str) -> bool:
    """Whether ``name`` is listed, begins as those made of others or of features do, or is from outside."""
    return name in STRATEGIES or name.startswith(tuple(_FORMS)) or is_outside(name, STRATEGY)


def entry_of(name: str) -> StrategyEntry:
    """What the list says of ``name``.

    ``subsample:NAME``, ``subsample:SIZE:NAME``, ``distinct:NAME``, ``distinct:SIMILARITY:NAME`` and
    ``proxy:NAME`` follow from the strategy NAME; ``feature:NAME`` takes the rows where one feature of rows is
    largest; ``weights:NAME=NUMBER,...`` weighs several; ``module:Name`` and what a package announces is
    imported.

    Raises:
        ReActError: There is no such strategy; the nearest name is given.
    """
    if name in STRATEGIES:
        entry = STRATEGIES[name]
        return entry if entry is PACKAGED.get(name) else _with_needs(entry)
    for beginning, made in _FORMS.items():
        if name.startswith(beginning):
            return made(name)
    if not is_outside(name, STRATEGY):
        raise unknown("strategy", name, [*STRATEGIES, *announced(STRATEGY.group)])
    return _entry_from_outside(name)


def _entry_of_subsample(name: str) -> StrategyEntry:
    """Another strategy on a part of each pool."""
    base, size = parse_subsample(name)
    entry = entry_of(base)
    return replace(
        entry,
        make=lambda: Subsampled(name, entry.make(), size),
        summary=f"{base} on {size:,} random rows",
        cost=f"{entry.cost} at P = {size:,}",
        draws=True,
    )


def _entry_of_distinct(name: str) -> StrategyEntry:
    """Another strategy without near-copies."""
    base, similarity = parse_distinct(name)
    entry = entry_of(base)
    return replace(
        entry,
        make=lambda: Distinct(name, entry.make(), similarity),
        summary=f"{base} without rows of cosine similarity {similarity:g} to one in the batch or labelled",
        cost=f"{entry.cost} + O(P n D)",
    )


def _entry_of_proxy(name: str) -> StrategyEntry:
    """Another strategy by a softmax regression in place of the learner."""
    base = parse_proxy(name)
    entry = entry_of(base)
    return replace(
        entry,
        make=lambda: ByProxy(name, entry.make()),
        summary=f"{base} by a softmax regression on the frozen embeddings in place of the learner",
        cost=f"{entry.cost} + O(L^2 C) a step",
        needs=_CLASSES | (entry.needs - offers_of(None)),
    )


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
    SUBSAMPLE: _entry_of_subsample,
    DISTINCT: _entry_of_distinct,
    PROXY: _entry_of_proxy,
    FEATURE: _entry_of_feature,
    WEIGHTS: _entry_of_weights,
}
"""What follows from a name that is not listed, by how the name begins."""


def make_strategy(name: str) -> QueryStrategy:
    """Make the strategy called ``name``; see ``entry_of``.

    Raises:
        ReActError: There is no such strategy; the nearest name is given.
    """
    return entry_of(name).make()


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
