"""What every interface between a policy and the episodes must do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from gymnasium import spaces

from react_rl.contracts.worlds import (
    begun,
    corpora,
    random_state,
    require,
    require_available,
    same_random_state,
)
from react_rl.envs.interfaces.contract import Interface, observation_of
from react_rl.envs.interfaces.registry import make_interface
from react_rl.simulation.view import PoolView

Make = Callable[[], Interface]
"""Makes an interface: its class, where that needs no arguments."""


def _view(seeds: tuple[int, ...] = (0, 1, 2)) -> PoolView:
    return begun(seeds, corpora()[1:2], rounds=2).view


def _actions(interface: Interface, view: PoolView, draw: int = 0) -> npt.NDArray[Any]:
    """A random allowed action for each episode."""
    space, mask = interface.action_space, interface.frame(view).mask
    space.seed(draw)
    actions = []
    for episode in range(view.n_episodes):
        if mask is not None and isinstance(space, spaces.Discrete):
            actions.append(space.sample(mask[episode].astype(np.int8)))
        else:
            actions.append(space.sample())
    return np.stack([np.asarray(action) for action in actions])


def observes_its_space(make: Make) -> None:
    """Observations lie in the observation space, in the first round and later."""
    interface = make()
    for rounds in (0, 2):
        view = begun([0, 1, 2], corpora()[1:2], rounds=rounds).view
        observation = interface.frame(view).observation
        for episode in range(view.n_episodes):
            seen = observation_of(observation, episode)
            inside = interface.observation_space.contains(seen)
            require(inside, f"An observation is not in {interface.observation_space}: {seen!r:.120}.")


def masks_fit_the_actions(make: Make) -> None:
    """Where there are masks they are of the action space, and something is allowed."""
    interface = make()
    mask = interface.frame(_view()).mask
    if mask is None:
        return
    wanted = (3, spaces.flatdim(interface.action_space))
    require(mask.shape == wanted, f"The mask has the shape {mask.shape}; the action space asks for {wanted}.")
    require(mask.dtype == np.bool_, f"The mask is {mask.dtype}; it must be bool.")
    require(bool(mask.any(1).all()), "An episode that goes on has no action that is allowed.")


def decides_on_available_rows(make: Make) -> None:
    """Decisions name available rows, each once; they stop or not for each episode."""
    interface = make()
    for draw in range(5):
        view = _view()
        decision = interface.decide(interface.frame(view), _actions(interface, view, draw))
        ids = decision.ids
        require(
            ids.ndim == 2 and ids.shape[0] == 3 and ids.dtype == torch.int64,
            f"Decision.ids is {ids.dtype} of shape {tuple(ids.shape)}; it must be int64 (E, b).",
        )
        stop = np.asarray(decision.stop)
        require(stop.shape == (3,) and stop.dtype == np.bool_, "Decision.stop must be bool of shape (E,).")
        require_available(
            ids, view, "A decision names rows twice", "A decision names rows that are not available"
        )
        size = decision.batch_size
        if size is not None:
            right = np.shape(size) == (3,) and bool((np.asarray(size) >= 1).all())
            require(right, f"Decision.batch_size is {size!r:.80}; it must be at least 1 for each episode.")


def decides_the_same_again(make: Make) -> None:
    """The same action in the same episode means the same rows, from a new object too."""
    decisions = []
    for _ in range(2):
        interface, view = make(), _view()
        decisions.append(interface.decide(interface.frame(view), _actions(interface, view)).ids.tolist())
    require(decisions[0] == decisions[1], f"The same actions gave {decisions[0]} and then {decisions[1]}.")


def decides_alone_as_together(make: Make) -> None:
    """What an action means does not depend on the neighbours of an episode."""
    interface, view = make(), _view()
    actions = _actions(interface, view)
    together = interface.decide(interface.frame(view), actions).ids
    for place in range(3):
        own = _view((place,))
        alone = make().decide(make().frame(own), actions[place : place + 1]).ids[0]
        width = min(alone.numel(), together.shape[1])
        same = alone[:width].tolist() == together[place, :width].tolist()
        require(same, "An action buys other rows alone than beside other episodes.")


def leaves_the_global_random_state(make: Make) -> None:
    """The global random states of NumPy and torch stay where they are."""
    interface, view = make(), _view()
    actions = _actions(interface, view)
    before = random_state()
    interface.decide(interface.frame(view), actions)
    require(same_random_state(before), "The global random state moved.")


def is_made_from_its_description(make: Make) -> None:
    """``describe`` gives name and settings from which ``make_interface`` makes the same."""
    said = make().describe()
    require("name" in said, f"describe() gives {said}; it must name the action space under 'name'.")
    if ":" not in str(said["name"]) or _can_be_imported(str(said["name"])):
        settings = {key: value for key, value in said.items() if key != "name"}
        again = make_interface(str(said["name"]), make().observation, **settings)
        require(again.describe() == said, f"Made from {said} it says {again.describe()}.")
        same = again.action_space == make().action_space
        require(same, "Made from its description it has another action space.")


def _can_be_imported(name: str) -> bool:
    try:
        make_interface(name)
    # Whatever is wrong with the import is for whoever names it in a config.
    except Exception:
        return False
    return True


INTERFACE_CHECKS: Final[dict[str, Callable[[Make], None]]] = {
    check.__name__: check
    for check in (
        observes_its_space,
        masks_fit_the_actions,
        decides_on_available_rows,
        decides_the_same_again,
        decides_alone_as_together,
        leaves_the_global_random_state,
        is_made_from_its_description,
    )
}
"""The checks by name."""


def check_interface(make: Make) -> None:
    """Run all checks on an interface.

    Args:
        make: Makes it.

    Raises:
        ContractBroken: It does something that environments do not expect; the first thing is named.
    """
    for check in INTERFACE_CHECKS.values():
        check(make)
