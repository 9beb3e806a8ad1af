"""How often the prediction of a row changed from round to round."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from react_rl.simulation.notebook import recalled
from react_rl.simulation.view import PoolView

PAGE: Final = "feature flips"
"""Title of the pages that this is written on."""

_NOTHING: Final[dict[str, Any]] = {"round": -1, "ids": [], "classes": [], "flips": []}
"""Entry of the time before anybody asked."""


def flips(view: PoolView) -> Tensor:
    """Changes of the most probable class of each row so far ``(E, P)`` float32.

    Counted from one round in which somebody asks to the next, on a page of the episode's notebook; asked
    again in the same round it is the same. Rows of which nothing was known before have none.

    Source: after Bengar et al. 2021, When deep learners change their mind: learning dynamics for active
    learning, who look at how the predictions of a row are spread over the steps of training.
    """
    counts = np.zeros(view.ids.shape, np.float32)
    predicted, row_ids = view.predicted.cpu().numpy(), view.ids.cpu().numpy()
    inside = view.in_pool.cpu().numpy()
    for episode in range(view.n_episodes):
        rows = inside[episode]
        ids, classes = row_ids[episode][rows], predicted[episode][rows]
        page, now = view.notebook(episode).page(PAGE), int(view.progress.rounds[episode])
        entries = [_NOTHING, *page.get("entries", [])]
        former = [entry for entry in entries if entry["round"] < now][-1]
        before = recalled(former, "classes", ids, -1)
        changes = recalled(former, "flips", ids, 0) + ((before >= 0) & (before != classes))
        counts[episode, rows] = changes
        # A view of few rows may have asked in this round, or may ask beside one of all.
        present = entries[-1] if entries[-1]["round"] == now else _NOTHING
        every = np.union1d(ids, np.array(present["ids"], np.int64))
        written: dict[str, Any] = {"round": now, "ids": every.tolist()}
        for name, values in (("classes", classes), ("flips", changes)):
            known = recalled(present, name, every, 0)
            known[np.searchsorted(every, ids)] = values
            written[name] = known.tolist()
        page["entries"] = [former, written]
    return torch.from_numpy(counts).to(view.device)
