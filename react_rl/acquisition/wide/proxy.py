"""Selection via a proxy: any strategy, with a cheap learner on frozen states in place of an expensive one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from torch import Tensor

from react_rl.acquisition.contract import QueryStrategy
from react_rl.acquisition.naming import named_base
from react_rl.errors import ReActError
from react_rl.learners.capabilities import CAPABILITIES, SAID_OF_ROWS, Capability, missing
from react_rl.learners.registry import offers_of, proxy_for
from react_rl.simulation.view import PoolView

PROXY: Final = "proxy:"
"""How the name of such a strategy begins: ``proxy:margin``."""


@dataclass(frozen=True)
class ByProxy:
    """Another strategy that sees a cheap learner on frozen states in place of the episode's own.

    In classification that is the softmax regression, in tagging the linear tagger, in question answering the
    scorer of spans. It is fitted to all bought labels in each round. Where the learner itself is fine-tuned,
    the strategy so reads the steady probabilities of a regularised model, and a policy that was trained on
    such models sees what it was trained on.

    Source: Coleman et al. 2020, Selection via proxy: efficient data selection for deep learning.

    Args:
        name: Name in tables and configs.
        base: Strategy that chooses.
    """

    name: str
    base: QueryStrategy

    def score(self, view: PoolView) -> Tensor:
        """Scores of the base ``(E, P)`` by what the proxy says."""
        return self.base.score(_by_proxy(view))

    def select(self, view: PoolView, n: int) -> Tensor:
        """Choose up to ``n`` rows of each pool as the base does by what the proxy says."""
        return self.base.select(_by_proxy(view), n)


def _by_proxy(view: PoolView) -> PoolView:
    return view.through(proxy_for(view.task.name))


def needs_by_proxy(base: str, needs: Iterable[Capability]) -> frozenset[Capability]:
    """What is left of a strategy's needs where it sees a proxy: the task whose proxy meets them.

    Args:
        base: Name of the strategy, for the message.
        needs: What it asks of the learner that it sees.

    Raises:
        ReActError: It needs what no proxy can do.
    """
    needs = frozenset(needs)
    lacking = {task: missing(needs, offers_of(proxy_for(task), task)) for task in SAID_OF_ROWS}
    served = [task for task, own in lacking.items() if not own]
    if not served:
        # That rows are of another kind elsewhere does not matter, unless nothing else is missing.
        kinds = SAID_OF_ROWS.values()
        missed = min((one for own in lacking.values() for one in own), key=lambda one: one in kinds)
        raise ReActError(
            f"Strategy {base!r} needs {CAPABILITIES[missed].partition(';')[0]}, which no proxy has; name it "
            f"without {PROXY!r}."
        )
    if len(served) == len(SAID_OF_ROWS):
        return frozenset()
    return frozenset(SAID_OF_ROWS[task] for task in served) if len(served) == 1 else needs


def parse_proxy(name: str) -> str:
    """Base of a name that begins with ``PROXY``.

    Raises:
        ReActError: There is no name of a strategy in it.
    """
    return named_base(name, PROXY, f"{PROXY}margin")
