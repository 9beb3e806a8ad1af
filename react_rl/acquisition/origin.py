"""Where the code of a strategy comes from: this package, a running program, or a module outside."""

from __future__ import annotations

from react_rl.acquisition.catalogue import PACKAGED
from react_rl.acquisition.features import FEATURES, code_of_feature, is_packaged_feature
from react_rl.acquisition.registry import STRATEGIES, made_of_one, make_strategy
from react_rl.acquisition.strategies.weighted import FEATURE, WEIGHTS, parse_weights


def is_packaged(name: str) -> bool:
    """Whether a strategy comes with the package, and nobody has put another in its place.

    Raises:
        ReActError: The name of a subsampled strategy is not well formed.
    """
    base = base_of(name)
    features = _features(base)
    if features is not None:
        return all(is_packaged_feature(feature) for feature in features)
    return base in PACKAGED and STRATEGIES.get(base) is PACKAGED[base]


def parts_behind(name: str) -> list[object]:
    """What decides which rows the strategy ``name`` takes: functions of features, or the strategy itself.

    Raises:
        ReActError: There is no such strategy.
    """
    base = base_of(name)
    features = _features(base)
    return [make_strategy(base)] if features is None else [code_of_feature(feature) for feature in features]


def added_by(name: str) -> str | None:
    """Module that has put the strategy, or the feature it reads, into the lists; None where none has.

    Raises:
        ReActError: The name of a subsampled strategy is not well formed.
    """
    base = base_of(name)
    if is_packaged(name):
        return None
    if base in STRATEGIES:
        return str(getattr(STRATEGIES[base].make, "__module__", ""))
    for feature in _features(base) or ():
        if feature in FEATURES and not is_packaged_feature(feature):
            return str(getattr(FEATURES[feature].of, "__module__", ""))
    return None


def _features(base: str) -> list[str] | None:
    """Features that a strategy of features reads; None of any other."""
    if base in STRATEGIES or not base.startswith((FEATURE, WEIGHTS)):
        return None
    return [base.removeprefix(FEATURE)] if base.startswith(FEATURE) else list(parse_weights(base))


def base_of(name: str) -> str:
    """The strategy inside those that are made of another one.

    Raises:
        ReActError: The name is not well formed.
    """
    made = made_of_one(name)
    return name if made is None else base_of(made.base)
