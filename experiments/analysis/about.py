"""What lists and reports say about a contestant: a query strategy, a reference or a trained policy."""

from __future__ import annotations

import inspect
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from react_rl.acquisition.contract import LEARNED
from react_rl.acquisition.origin import base_of, is_packaged
from react_rl.acquisition.references import REFERENCES
from react_rl.acquisition.registry import STRATEGIES, entry_of, is_strategy
from react_rl.own_code import STRATEGY, announced

REFERENCE: Final = "reference, looks at labels nobody bought"
"""Family of the contestants that see labels which nobody bought."""

_CITED: Final = re.compile(r"Source:.*?([A-Z]\w+(?: et al\.| & [A-Z]\w+)? (?:19|20)\d\d)", re.DOTALL)


@dataclass(frozen=True)
class About:
    """A contestant in words.

    Args:
        family: Its family, ``REFERENCE``, or learned.
        cost: Work of one batch.
        summary: What it takes, without a full stop.
        source: The paper.
    """

    family: str
    cost: str
    summary: str
    source: str


def about(name: str, policies: Collection[str] = ()) -> About:
    """Describe a contestant.

    Args:
        name: Its name in tables.
        policies: Names of the trained policies among the contestants.
    """
    if name in policies:
        return About(LEARNED, "-", "trained policy", "-")
    base = base_of(name)
    if base != name and not is_strategy(base):
        return About(LEARNED, "-", f"trained policy, by {name.removesuffix(base)}", "-")
    if name in STRATEGIES or base in announced(STRATEGY.group) or (is_strategy(name) and is_packaged(name)):
        entry = entry_of(name)
        return About(entry.family, entry.cost, entry.summary, entry.source)
    if name in REFERENCES:
        reference = REFERENCES[name]()
        words = inspect.getdoc(type(reference)) or ""
        cited = _CITED.search(words)
        summary = re.sub("^The ", "the ", words.split("\n")[0].rstrip("."))
        return About(
            REFERENCE,
            f"{reference.candidates} batches tried by refits",
            summary,
            cited.group(1) if cited else "-",
        )
    return About("own", "-", "strategy from outside the package", "-")
