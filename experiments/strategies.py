"""From names in a config to query strategies: registered ones, and folders of trained policies."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from react_rl.acquisition.contract import QueryStrategy
from react_rl.acquisition.references import REFERENCES
from react_rl.acquisition.registry import STRATEGIES, is_strategy, make_strategy, needs_surprisal
from react_rl.agents.folder import CARD, WEIGHTS, is_policy, read_card
from react_rl.agents.learned import LearnedStrategy
from react_rl.errors import ReActError, unknown
from react_rl.files import digest


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
    return name if _is_known(name) or not is_policy(Path(name)) else read_card(Path(name)).name


def identity(name: str) -> str:
    """What makes the strategy the one it is: its name, or the content of the policy's files."""
    if _is_known(name):
        return name
    folder = Path(name)
    return digest((folder / WEIGHTS).read_bytes(), read_card(folder).model_dump_json())


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
