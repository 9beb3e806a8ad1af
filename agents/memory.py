"""What recurrent policies remember of running episodes: it is in the episode's notebook and ends with it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from sb3_contrib.common.recurrent.policies import RecurrentActorCriticPolicy

from react_rl.envs.interfaces import Frame

_Cells = npt.NDArray[np.float32]


def act_from_memory(policy: RecurrentActorCriticPolicy, frame: Frame, name: str) -> npt.NDArray[Any]:
    """Best actions ``(E, ...)`` of a policy that remembers; asked again at the same moment, the same.

    Hidden states and cells before and after the last action are noted in the notebooks. Mutates these.

    Args:
        policy: The policy.
        frame: What it meets.
        name: What its page in the notebooks is called.
    """
    moments, pages = _moments(frame), _pages(frame, name)
    before = cells_before(policy, frame, name)
    actions, state = policy.predict(frame.observation, (before[0], before[1]), deterministic=True)
    assert state is not None
    after = np.stack(state)
    for e, (page, moment) in enumerate(zip(pages, moments, strict=True)):
        page |= {"moment": moment, "before": before[:, :, e].tolist(), "after": after[:, :, e].tolist()}
    return np.asarray(actions)


def cells_before(policy: RecurrentActorCriticPolicy, frame: Frame, name: str) -> _Cells:
    """Hidden states and cells ``(2, layers, E, units)`` that lead to the action in a frame.

    Args:
        policy: The policy.
        frame: What it meets.
        name: What its page in the notebooks is called.
    """
    both = zip(_pages(frame, name), _moments(frame), strict=True)
    return np.stack([_before(policy, page, moment) for page, moment in both], 2)


def _moments(frame: Frame) -> list[list[int]]:
    """Round and pick of each episode."""
    view = frame.view
    picks = (view.picks >= 0).sum(1).tolist()
    return [[int(r), int(p)] for r, p in zip(view.progress.rounds, picks, strict=True)]


def _pages(frame: Frame, name: str) -> list[dict[str, Any]]:
    """The policy's page in the notebook of each episode."""
    view = frame.view
    return [view.notebook(episode).page(f"recurrent policy {name}") for episode in range(view.n_episodes)]


def _before(policy: RecurrentActorCriticPolicy, page: dict[str, Any], moment: list[int]) -> _Cells:
    """Hidden state and cells ``(2, layers, units)`` that lead to the action of a moment (round, pick)."""
    if not page or moment == [0, 0]:
        layers, _, units = policy.lstm_hidden_state_shape
        return np.zeros((2, layers, units), dtype=np.float32)
    return np.array(page["before" if page["moment"] == moment else "after"], dtype=np.float32)
