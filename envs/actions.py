"""Actions as callers give them, checked against the action space before anything is bought."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from react_rl.errors import ReActError


def fitting_actions(actions: Any, space: spaces.Space[Any], n_episodes: int) -> npt.NDArray[Any]:
    """One action of ``space`` for each episode, as an array ``(E, *space.shape)``.

    Arrays with as many numbers for each episode are reshaped, and whole numbers are int64 where the space is
    discrete. Whether values are within the space is left to who acts on them.

    Args:
        actions: What a caller gave: numbers, the first axis being the episodes.
        space: The action space of one episode; one without a shape takes anything.
        n_episodes: E.

    Raises:
        ReActError: They are no numbers, of another shape, or not whole numbers in a discrete space.
    """
    found = np.asarray(actions)
    if space.shape is None:
        return found
    wanted = (n_episodes, *space.shape)
    if found.dtype.kind not in "biuf":
        raise ReActError(
            f"Actions of type {found.dtype} are no numbers; give an array of shape {wanted} for {space}."
        )
    if found.shape[:1] != wanted[:1] or found.size != np.prod(wanted):
        raise ReActError(
            f"Actions of shape {found.shape} do not fit; give an array of shape {wanted}, the episodes "
            f"first, for {space}."
        )
    found = found.reshape(wanted)
    if not isinstance(space, spaces.Discrete | spaces.MultiDiscrete) or found.dtype.kind in "iu":
        return found
    with np.errstate(invalid="ignore"):  # NaN has no whole number; the comparison finds it
        whole = found.astype(np.int64)
    if (whole != found).any():
        value = found[whole != found][0]
        raise ReActError(f"Action {value} is no whole number, which {space} takes.")
    return whole
