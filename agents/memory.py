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
    view = frame.view
    picks = (view.picks >= 0).sum(1).tolist()
    moments = [[int(r), int(p)] for r, p in zip(view.progress.rounds, picks, strict=True)]
    pages = [view.notebook(episode).page(f"recurrent policy {name}") for episode in range(view.n_episodes)]
    before = np.stack([_before(policy, *both) for both in zip(pages, moments, strict=True)], 2)
    # (2, layers, E, units)
    actions, state = policy.predict(frame.observation, (before[0], before[1]), deterministic=True)
    assert state is not None
    after = np.stack(state)
    for e, (page, moment) in enumerate(zip(pages, moments, strict=True)):
        page |= {"moment": moment, "before": before[:, :, e].tolist(), "after": after[:, :, e].tolist()}
    return np.asarray(actions)


def _before(policy: RecurrentActorCriticPolicy, page: dict[str, Any], moment: list[int]) -> _Cells:
    """Hidden state and cells ``(2, layers, units)`` that lead to the action of a moment (round, pick)."""
    if not page or moment == [0, 0]:
        layers, _, units = policy.lstm_hidden_state_shape
        return np.zeros((2, layers, units), dtype=np.float32)
    return np.array(page["before" if page["moment"] == moment else "after"], dtype=np.float32)
