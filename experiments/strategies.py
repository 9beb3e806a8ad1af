"""From names in a config to query strategies: registered ones, one's own, and folders of trained policies."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from react_rl.acquisition.contract import QueryStrategy
from react_rl.acquisition.references import REFERENCES
from react_rl.acquisition.registry import (
    STRATEGIES,
    is_packaged,
    is_strategy,
    make_strategy,
    needs_surprisal,
)
from react_rl.agents.folder import CARD, WEIGHTS, is_policy, read_card
from react_rl.agents.learned import LearnedStrategy
from react_rl.errors import ReActError, unknown
from react_rl.files import digest
from react_rl.own_code import is_own


def resolve(name: str) -> QueryStrategy:
    """Make the strategy or reference that a config names.

    Raises:
        ReActError: It is neither a registered strategy nor a policy folder, or the policy is damaged.
    """
    if is_strategy(name):
        return make_strategy(name)
    if name in REFERENCES:
        return REFERENCES[name]()
    folder = Path(name)
    if is_policy(folder):
        return LearnedStrategy.load(folder)
    if "/" in name or folder.exists():
        raise ReActError(f"{name} is no policy folder (no {CARD} in it); train one with `react-rl train`.")
    raise unknown("strategy", name, [*STRATEGIES, *REFERENCES])


def label(name: str) -> str:
    """Name of the strategy in tables and figures, without loading weights."""
    if is_own(name) and name not in STRATEGIES and not name.startswith("subsample:"):
        return make_strategy(name).name
    return name if _is_known(name) or not is_policy(Path(name)) else read_card(Path(name)).name


def policies_of(names: Iterable[str]) -> dict[str, str]:
    """Folder of each trained policy among the names of a config, by its name in tables."""
    return {label(name): name for name in names if not _is_known(name) and is_policy(Path(name))}


def identity(name: str) -> str:
    """What makes the strategy the one it is.

    Returns:
        Its name where it comes with this version of the package, the content of a policy's files, or a digest
        of the source of a strategy from elsewhere: changed code is another strategy.
    """
    if name in REFERENCES or (is_strategy(name) and is_packaged(name)):
        return name
    if is_strategy(name):
        return digest(name, *source_of(make_strategy(name)))
    folder = Path(name)
    return digest((folder / WEIGHTS).read_bytes(), read_card(folder).model_dump_json())


def source_of(strategy: object) -> tuple[str, ...]:
    """Texts that change when the code or the settings of an object do: its class, its module, its values."""
    kind = type(strategy)
    path = getattr(sys.modules.get(kind.__module__), "__file__", None)
    module = ""
    if path is not None and not kind.__module__.startswith("react_rl."):
        with suppress(OSError, UnicodeDecodeError):
            module = Path(path).read_text(encoding="utf-8")
    try:
        own = inspect.getsource(kind)
    except (OSError, TypeError):
        own = ""  # made at a prompt
    values = re.sub(r" at 0x[0-9a-f]+", "", repr(strategy))
    return (f"{kind.__module__}.{kind.__qualname__}", own, module, values)


def only_here(names: Iterable[str]) -> list[str]:
    """Strategies that this process alone knows, because a program registered them: workers do not."""
    return [name for name in names if name in STRATEGIES and not is_packaged(name)]


def surprised(names: Iterable[str]) -> bool:
    """Whether a strategy among these, or one that a policy among these may choose, reads surprisal vectors.

    Raises:
        ReActError: The card of a policy is damaged.
    """
    cards = [read_card(Path(name)) for name in names if not _is_known(name) and is_policy(Path(name))]
    chosen = [strategy for card in cards for strategy in card.action_space.get("strategies", ())]
    return needs_surprisal([*names, *chosen])


def _is_known(name: str) -> bool:
    return is_strategy(name) or name in REFERENCES
