"""Where the code of a strategy comes from: this package, a running program, or a module outside."""

from __future__ import annotations

from react_rl.acquisition.catalogue import PACKAGED
from react_rl.acquisition.features import FEATURES, code_of_feature, is_packaged_feature
from react_rl.acquisition.registry import STRATEGIES, make_strategy
from react_rl.acquisition.strategies.weighted import FEATURE
from react_rl.acquisition.wide.subsampling import SUBSAMPLE, parse_subsample


def is_packaged(name: str) -> bool:
    """Whether a strategy comes with the package, and nobody has put another in its place.

    Raises:
        ReActError: The name of a subsampled strategy is not well formed.
    """
    base = _base(name)
    if base.startswith(FEATURE):
        return is_packaged_feature(base.removeprefix(FEATURE))
    return base in PACKAGED and STRATEGIES.get(base) is PACKAGED[base]


def part_behind(name: str) -> object:
    """What decides which rows the strategy ``name`` takes: the function of a feature, or the strategy itself.

    Raises:
        ReActError: There is no such strategy.
    """
    base = _base(name)
    if base.startswith(FEATURE):
        return code_of_feature(base.removeprefix(FEATURE))
    return make_strategy(base)


def added_by(name: str) -> str | None:
    """Module that has put the strategy, or the feature it reads, into the lists; None where none has.

    Raises:
        ReActError: The name of a subsampled strategy is not well formed.
    """
    base = _base(name)
    if is_packaged(name):
        return None
    added: object
    if base in STRATEGIES:
        added = STRATEGIES[base].make
    elif base.removeprefix(FEATURE) in FEATURES:
        added = FEATURES[base.removeprefix(FEATURE)].of
    else:
        return None
    return str(getattr(added, "__module__", ""))


def _base(name: str) -> str:
    return parse_subsample(name)[0] if name.startswith(SUBSAMPLE) and name not in STRATEGIES else name
