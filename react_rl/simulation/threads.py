"""What a round is computed in: inference mode, and as many threads as pay off.

Small products lose by waiting for a second thread what it brings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import wraps
from typing import Final, ParamSpec, TypeVar

import torch

FEW_COLUMNS: Final = 5000
"""Columns of all episodes together below which one thread is fastest (measured with 1 to 64 episodes)."""


P = ParamSpec("P")
T = TypeVar("T")


def inferring(function: Callable[P, T]) -> Callable[P, T]:
    """Run a function in inference mode, entered where it is not on already: entering takes microseconds."""

    @wraps(function)
    def run(*arguments: P.args, **named: P.kwargs) -> T:
        if torch.is_inference_mode_enabled():
            return function(*arguments, **named)
        with torch.inference_mode():
            return function(*arguments, **named)

    return run


def threads_for(columns: int) -> AbstractContextManager[None]:
    """Compute with one thread where all episodes together have few columns; the setting is given back.

    Args:
        columns: Pool and dev rows of all episodes.
    """
    before = torch.get_num_threads()
    return nullcontext() if before == 1 or columns >= FEW_COLUMNS else _one_thread(before)


@contextmanager
def _one_thread(before: int) -> Iterator[None]:
    torch.set_num_threads(1)  # a fraction of a microsecond
    try:
        yield
    finally:
        torch.set_num_threads(before)
