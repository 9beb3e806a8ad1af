"""Choices at common costs, against choices written down by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd

from react_rl.experiments.analysis.in_force import MOST_COSTS, in_force
from react_rl.experiments.figures.drawing import weights_by_cost


def chosen(**costs: list[float]) -> pd.DataFrame:
    """Runs ``s0``, ``s1``, ... that choose at these costs the numbers 10 x seed + place."""
    return pd.DataFrame(
        [
            {"seed": int(name[1:]), "cost": cost, "weight": 10.0 * int(name[1:]) + place}
            for name, own in costs.items()
            for place, cost in enumerate(own)
        ]
    )


def test_choices_at_the_same_costs_stay_as_they_are() -> None:
    same = chosen(s0=[0, 5, 10], s1=[0, 5, 10])
    pd.testing.assert_frame_equal(in_force(same, set()), same, check_dtype=False)


def test_a_choice_holds_until_the_next_one_and_not_beyond_a_stop() -> None:
    found = in_force(chosen(s0=[0, 4], s1=[0, 3, 9]), set())
    assert found.groupby("cost")["weight"].agg(list).to_dict() == {
        0.0: [0.0, 10.0], 3.0: [0.0, 11.0], 4.0: [1.0, 11.0], 9.0: [1.0, 12.0]
    }  # fmt: skip
    found = in_force(chosen(s0=[0, 4], s1=[0, 3, 9]), {0})
    assert found[found["cost"] == 9.0]["weight"].tolist() == [12.0]


def test_many_runs_are_read_on_an_even_grid() -> None:
    rng = np.random.default_rng(0)
    runs = chosen(**{f"s{seed}": [0.0, *sorted(rng.uniform(1, 100, 9))] for seed in range(20)})
    found = in_force(runs, set())
    assert found.groupby("cost").size().eq(20).all()
    assert found["cost"].nunique() == MOST_COSTS
    for row in found.sample(50, random_state=0).itertuples():
        own = runs[(runs["seed"] == row.seed) & (runs["cost"] <= row.cost)]
        assert row.weight == own["weight"].iloc[-1]


def test_weights_of_a_run_that_stopped_end_with_its_last_choice() -> None:
    curves = pd.DataFrame(
        {
            "seed": [0, 0, 0, 1, 1],
            "cost": [0.0, 7.0, 12.0, 0.0, 6.0],
            "weight:margin": [1.0, 2.0, np.nan, 3.0, 4.0],  # run 0 used its budget up, run 1 stopped
        }
    )
    table = weights_by_cost(curves)
    assert table.groupby("cost")["weight:margin"].agg(list).to_dict() == {
        0.0: [1.0, 3.0], 6.0: [1.0, 4.0], 7.0: [2.0]
    }  # fmt: skip
