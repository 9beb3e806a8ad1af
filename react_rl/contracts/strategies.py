"""What every query strategy must do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import torch

from react_rl.acquisition.contract import QueryStrategy
from react_rl.contracts.worlds import (
    OPTIONS,
    begun,
    corpora,
    equal_rows,
    one_class_bought,
    random_state,
    require,
    require_available,
    same_random_state,
)
from react_rl.errors import ReActError

Make = Callable[[], QueryStrategy]
"""Makes a strategy: its class, where that needs no arguments."""

_VIEW: Final = (
    *("ids", "available", "labelled", "cost", "density", "logits", "probabilities", "margin", "entropy"),
    *("confidence", "predicted", "nearest_labelled", "class_counts", "n_available", "fitted_logits"),
)


def picks_available_and_distinct(make: Make, seed: int = 0, rounds: int = 2) -> None:
    """Ids are int64, available, distinct, as many as there can be, and -1 beyond."""
    view = begun([seed, seed + 1, seed + 2], rounds=rounds).view
    for n in (1, 4, 50):
        ids = make().select(view, n)
        require(ids.shape == (3, n), f"select(view, {n}) gave the shape {tuple(ids.shape)}, not (3, {n}).")
        for episode, taken in enumerate(require_available(ids, view)):
            wanted = min(n, int(view.n_available[episode]))
            require(len(taken) == wanted, f"{len(taken)} rows were picked where {wanted} could be.")
            rest = ids[episode, len(taken) :].tolist()
            require(rest == [-1] * (n - len(taken)), "Places beyond the available rows must hold -1, last.")


def repeats_itself(make: Make) -> None:
    """The same seed gives the same ids."""
    first, second = (make().select(begun([3, 4], rounds=2).view, 6).tolist() for _ in range(2))
    require(first == second, f"The same seeds gave {first} and then {second}.")


def changes_nothing(make: Make) -> None:
    """``score`` and ``select`` leave the view as it was."""
    view = begun([0, 1, 2], rounds=1).view
    before = {part: getattr(view, part).clone() for part in _VIEW}
    strategy = make()
    strategy.score(view)
    strategy.select(view, 5)
    strategy.select(view, 100)
    for part in _VIEW:
        require(torch.equal(getattr(view, part), before[part]), f"The strategy changed view.{part}.")


def scores_every_row(make: Make) -> None:
    """Scores are finite floating numbers for all available rows, and the largest is the first pick."""
    scored, picked = begun(range(6), rounds=2).view, begun(range(6), rounds=2).view
    scores = make().score(scored)
    shape, wanted = tuple(scores.shape), tuple(scored.ids.shape)
    require(shape == wanted, f"score(view) gave the shape {shape}, not {wanted}.")
    require(scores.is_floating_point(), f"Scores are {scores.dtype}; they must be floating.")
    require(bool(torch.isfinite(scores[scored.available]).all()), "Scores of available rows are not finite.")
    first = make().select(picked, OPTIONS.batch_size)[:, 0]
    best = torch.where(scored.available, scores, -torch.inf).amax(1)
    for episode in range(6):
        place = int((picked.ids[episode] == first[episode]).nonzero()[0, 0])
        # A score computed again may differ in the last bit from the one that was maximised.
        best_first = bool(scores[episode, place] >= best[episode] - 1e-5)
        require(best_first, "The first pick is not the row with the largest score.")


def plays_through_one_class(make: Make) -> None:
    """A labelled set of one class is no obstacle; the budget is spent to its end."""
    engine = begun([0, 1], [one_class_bought()])
    for _ in range(100):
        if engine.finished.all():
            break
        engine.step(make().select(engine.view, OPTIONS.batch_size))
    spent = engine.spent.tolist()
    require(spent == [OPTIONS.budget] * 2, f"With labels of one class {spent} was spent of {OPTIONS.budget}.")


def takes_equal_rows_once(make: Make) -> None:
    """Rows that are all the same are taken once each."""
    engine = begun([0, 1], [equal_rows()])
    seen: list[set[int]] = [set(), set()]
    for _ in range(100):
        if engine.finished.all():
            break
        result = engine.step(make().select(engine.view, OPTIONS.batch_size))
        for episode in range(2):
            taken = set(result.ids[episode][result.ids[episode] >= 0].tolist())
            require(not taken & seen[episode], "A row was bought twice where all rows are the same.")
            seen[episode] |= taken
    sizes = [len(one) for one in seen]
    require(sizes == [int(OPTIONS.budget)] * 2, f"{sizes} equal rows were bought of {OPTIONS.budget:g}.")


def leaves_ended_episodes(make: Make) -> None:
    """Nothing is picked where nothing can be paid."""
    engine = begun([0, 1, 2])
    engine.stop(np.array([False, True, False]))
    ids = make().select(engine.view, 4)
    require(bool((ids[1] == -1).all()), "Rows were picked in an episode that is over.")
    require(bool((ids[[0, 2]] >= 0).all()), "No rows were picked beside an episode that is over.")


def draws_from_its_streams(make: Make) -> None:
    """The global random states of NumPy and torch stay where they are."""
    view, before = begun([0, 1], [equal_rows()]).view, random_state()
    make().select(view, 4)
    require(
        same_random_state(before), "The global random state moved; draw from view.generator(episode) only."
    )


def plays_alone_as_together(make: Make) -> None:
    """An episode's ids do not depend on its neighbours."""
    together = make().select(begun([5, 6, 7], corpora()[1:2], rounds=2).view, 4)
    for place, seed in enumerate((5, 6, 7)):
        alone = make().select(begun([seed], corpora()[1:2], rounds=2).view, 4)[0].tolist()
        beside = together[place].tolist()
        require(alone == beside, f"Alone an episode picks {alone}, beside others {beside}.")


STRATEGY_CHECKS: Final[dict[str, Callable[[Make], None]]] = {
    check.__name__: check
    for check in (
        picks_available_and_distinct,
        repeats_itself,
        changes_nothing,
        scores_every_row,
        plays_through_one_class,
        takes_equal_rows_once,
        leaves_ended_episodes,
        draws_from_its_streams,
        plays_alone_as_together,
    )
}
"""The checks by name."""


def check_strategy(make: Make) -> None:
    """Run all checks on a strategy that works with the softmax regression on classes.

    Args:
        make: Makes it, ready to play.

    Raises:
        ContractBroken: It does something that the engine does not expect; the first thing is named.
        ReActError: It is a strategy, and not what makes one.
    """
    if not callable(make):
        raise ReActError(
            f"check_strategy asks for what makes a strategy, and got a {type(make).__name__}; give its "
            "class, or a function without arguments that returns it."
        )
    for check in STRATEGY_CHECKS.values():
        check(make)
