"""What a run file says of the phases of its corpus: test metrics on each phase when each one had ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from react_rl.simulation.engine import LabelingEngine
from react_rl.simulation.held_out import HeldOut


def phases_of(engine: LabelingEngine, episode: int, metrics: Sequence[str]) -> dict[str, Any]:
    """What the record of an episode begins with: nothing on a corpus without phases.

    ``phases`` holds their names, the number of classes, the round with which each one ended, and for each
    metric the matrix of the test values: a row for each phase that has ended, a column for each phase.
    """
    rows = engine.corpus_of(episode).corpus.phases
    if rows is None:
        return {}
    classes = int(engine.draw_of(episode).classes.size)
    matrices: dict[str, list[list[float]]] = {name: [] for name in metrics}
    return {"phases": {"names": list(rows.names), "classes": classes, "ended": [], "test": matrices}}


def note_phases(
    engine: LabelingEngine,
    tested: Sequence[npt.NDArray[np.int64]],
    records: Sequence[dict[str, Any]],
    digits: int,
) -> None:
    """Measure the models of episodes in which a phase has just ended. Mutates the records.

    Args:
        engine: The episodes, all on one corpus.
        tested: Test rows of each phase.
        records: What was noted of each episode; see ``phases_of``.
        digits: Digits that run files keep.
    """
    if engine.corpus_of(0).corpus.phases is None:
        return
    due = [(e, _ended(engine, e, len(tested)) - len(one["phases"]["ended"])) for e, one in enumerate(records)]
    if not any(missing > 0 for _, missing in due):
        return
    metrics = list(records[0]["phases"]["test"])
    found = [HeldOut(rows).measure(engine, metrics) for rows in tested]
    for episode, missing in due:
        own = records[episode]["phases"]
        for _ in range(missing):  # several, where a phase had nothing to buy
            own["ended"].append(int(engine.rounds[episode]))
            for name in metrics:
                own["test"][name].append([round(float(one[name][episode]), digits) for one in found])


def _ended(engine: LabelingEngine, episode: int, n_phases: int) -> int:
    """Phases of an episode that are over; where they are ignored, all end together."""
    over = bool(engine.finished[episode])
    if engine.phases.count[episode] == 1:
        return n_phases if over else 0
    return int(engine.phases.now[episode]) + over
