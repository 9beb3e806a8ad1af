"""DCoM against balls, coverage and densities that are counted row by row."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from react_rl.acquisition.strategies.competence import Dcom, pure_balls
from react_rl.errors import ReActError
from react_rl.simulation import LabelingEngine


def test_balls_are_as_large_as_their_purity_allows(mixed: LabelingEngine) -> None:
    view = mixed.view
    radii, covered = pure_balls(view)
    for e in range(6):
        size = mixed.draw_of(e).pool.size
        rows = view.embeddings[e, :size].double().numpy()
        predicted = view.predicted[e, :size].numpy()
        columns, live = (part[e].numpy() for part in view.labelled_columns)
        labels = view.labelled_geometry[1][e].argmax(0).numpy()
        slots = np.flatnonzero(live > 0)
        distance = np.linalg.norm(rows[:, None] - rows[columns[slots]], axis=2)  # (P, n)
        coverage = 0.0
        for _ in range(2):
            found = []
            for k, slot in enumerate(slots):
                low, high = 0.0, 2.0
                for _ in range(6):
                    middle = (low + high) / 2
                    inside = distance[:, k] <= middle
                    needed = (0.4 + 0.2 * coverage) * inside.sum() - 1e-3
                    pure = (predicted[inside] == labels[slot]).sum() >= needed
                    low, high = (middle, high) if pure else (low, middle)
                found.append(low)
            mine = (distance <= np.array(found) + 1e-6).any(1)
            coverage = mine.mean()
        np.testing.assert_allclose(radii[e, slots].numpy(), found)
        assert covered[e, :size].tolist() == mine.tolist()


@pytest.mark.parametrize("strategy", [Dcom(), Dcom(steepness=4.0, centre=0.5)], ids=["published", "soft"])
def test_a_batch_mixes_margin_and_new_coverage(mixed: LabelingEngine, strategy: Dcom) -> None:
    view = mixed.view
    radii, covered = pure_balls(view)
    scores, ids = strategy.score(view), strategy.select(view, 4)
    for e in range(6):
        size = mixed.draw_of(e).pool.size
        rows = view.embeddings[e, :size].double().numpy()
        distance = np.linalg.norm(rows[:, None] - rows[None], axis=2)
        balls = distance <= float(radii[e][view.labelled_columns[1][e] > 0].mean()) + 1e-7
        mine = covered[e, :size].numpy().copy()
        free = view.available[e, :size].numpy().copy()
        unsure = 1 - view.margin[e, :size].double().numpy()
        for k in range(4):
            density = (balls & ~mine).sum(1)
            top = 1 + np.exp(-strategy.steepness * (1 - strategy.centre))
            trust = top / (1 + np.exp(-strategy.steepness * (mine.mean() - strategy.centre)))
            wanted = np.zeros(size)
            for share, values in ((trust, unsure), (1 - trust, density)):
                least, most = values[free].min(), values[free].max()
                wanted += share * (values - least) / (most - least) if most > least else 0.0
            if k == 0:
                np.testing.assert_allclose(scores[e, :size][free], wanted[free], atol=1e-4)
            column = int(torch.searchsorted(view.ids[e], ids[e, k]))
            assert wanted[column] >= wanted[free].max() - 1e-4
            free[column] = False
            mine |= balls[column]


def test_competence_rises_from_none_to_all() -> None:
    trust = Dcom().competence(torch.tensor([0.0, 0.8, 1.0]))
    np.testing.assert_allclose(trust.numpy(), [0.0, 0.5, 1.0], atol=1e-4)


def test_settings_that_make_no_rising_competence_are_refused() -> None:
    with pytest.raises(ReActError, match=r"steepness 0\.0"):
        Dcom(steepness=0.0)
    with pytest.raises(ReActError, match=r"centre 1\.5"):
        Dcom(centre=1.5)
