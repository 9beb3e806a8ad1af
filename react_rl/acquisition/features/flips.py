"""How often the prediction of a row changed from round to round."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from react_rl.simulation.view import PoolView

PAGE: Final = "feature flips"
"""Title of the pages that this is written on."""

Integers = npt.NDArray[np.int64]


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
        before, changes = _looked_up(_former(page, now), ids)
        changes = changes + ((before >= 0) & (before != classes))
        counts[episode, rows] = changes
        _write(page, now, ids, classes, changes)
    return torch.from_numpy(counts).to(view.device)


def _former(page: dict[str, Any], now: int) -> dict[str, Any]:
    """What was written in the last round before ``now``; empty if there was none."""
    entries = [entry for entry in page.get("entries", []) if entry["round"] < now]
    return entries[-1] if entries else {"ids": [], "classes": [], "flips": []}


def _looked_up(entry: dict[str, Any], ids: Integers) -> tuple[Integers, Integers]:
    """Classes and changes of rows in an entry; -1 and 0 where it has none."""
    known = np.array(entry["ids"], np.int64)
    if not known.size:
        return np.full(ids.shape, -1), np.zeros(ids.shape, np.int64)
    place = np.searchsorted(known, ids).clip(max=known.size - 1)
    same = known[place] == ids
    classes, changes = np.array(entry["classes"], np.int64), np.array(entry["flips"], np.int64)
    return np.where(same, classes[place], -1), np.where(same, changes[place], 0)


def _write(page: dict[str, Any], now: int, ids: Integers, classes: Integers, changes: Integers) -> None:
    """Write what is known of this round beside the last one. Mutates."""
    kept = [entry for entry in page.get("entries", []) if entry["round"] < now][-1:]
    for entry in page.get("entries", []):
        if entry["round"] == now:  # a view of few rows asks beside one of all
            others = ~np.isin(np.array(entry["ids"], np.int64), ids)
            ids = np.concatenate([ids, np.array(entry["ids"], np.int64)[others]])
            classes = np.concatenate([classes, np.array(entry["classes"], np.int64)[others]])
            changes = np.concatenate([changes, np.array(entry["flips"], np.int64)[others]])
    order = np.argsort(ids)
    written = {"ids": ids[order], "classes": classes[order], "flips": changes[order]}
    page["entries"] = [*kept, {"round": now, **{name: part.tolist() for name, part in written.items()}}]
