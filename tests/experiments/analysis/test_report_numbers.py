"""Numbers behind the report's figures: aligned seeds, mean curves, matrices, Pareto fronts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from react_rl.errors import ReActError
from react_rl.experiments.analysis.numbers import (
    Scores,
    aggregate,
    cost_grid,
    cost_performance,
    improvement_matrix,
    mean_curves,
    pareto_front,
    penalties,
    ranks,
)
from react_rl.experiments.analysis.numbers import (
    aligned_scores as aligned_to,
)
from react_rl.experiments.analysis.summary import ALL_CORPORA, Results, areas, summarise
from react_rl.experiments.figures.curves import key_of
from react_rl.experiments.figures.learning import leaders
from react_rl.experiments.figures.looks import MOST_IN_COLOUR, looks_of

COSTS = (0.0, 5.0, 10.0)


def aligned_scores(results: Results) -> Scores | None:
    return aligned_to(results, areas(results))


def results_of(values: dict[tuple[str, str, int], tuple[float, ...]], metric: str = "accuracy") -> Results:
    """Results with the given test curves at ``COSTS``, by corpus, strategy and seed."""
    rows = [
        {
            "corpus": c,
            "strategy": s,
            "seed": seed,
            "round": r,
            "cost": COSTS[r],
            "labels": 5 + 5 * r,
            "test": y,
        }
        for (c, s, seed), curve in values.items()
        for r, y in enumerate(curve)
    ]
    strategies = tuple(dict.fromkeys(s for _, s, _ in values))
    return Results(pd.DataFrame(rows), metric, 10.0, "random", strategies, 0)


@pytest.fixture
def two() -> Results:
    """Margin is .1 above random everywhere, and every seed and corpus has its own level."""
    return results_of(
        {
            (c, s, seed): tuple(
                0.3 + 0.1 * i + 0.02 * seed + 0.1 * r + 0.1 * (s == "margin") * (r > 0) for r in range(3)
            )
            for i, c in enumerate(("a", "b"))
            for s in ("random", "margin")
            for seed in range(4)
        }
    )


def test_mean_curves_average_seeds_and_then_corpora(two: Results) -> None:
    curves = mean_curves(two)
    by = {(row["corpus"], row["strategy"], row["cost"]): row for row in curves.to_dict("records")}
    assert by["a", "random", 0.0]["mean"] == pytest.approx(0.33)
    assert by["b", "margin", 10.0]["mean"] == pytest.approx(0.3 + 0.1 + 0.03 + 0.2 + 0.1)
    both = [by[ALL_CORPORA, "margin", cost] for cost in COSTS]
    assert [row["mean"] for row in both] == pytest.approx([0.38, 0.58, 0.68])
    assert all(row["low"] < row["mean"] < row["high"] for row in both)
    assert (curves["seeds"] == 4).all()


def test_a_strategy_that_was_not_played_everywhere_has_no_mean_over_corpora(two: Results) -> None:
    kept = two.curves[~((two.curves["corpus"] == "b") & (two.curves["strategy"] == "margin"))]
    curves = mean_curves(Results(kept, two.metric, two.budget, two.reference, two.strategies, 4))
    assert set(curves[curves["corpus"] == ALL_CORPORA]["strategy"]) == {"random"}


def test_costs_are_the_measured_ones_where_they_are_few_and_an_even_grid_where_not(two: Results) -> None:
    assert cost_grid(two).tolist() == list(COSTS)
    many = two.curves.assign(cost=np.linspace(0, 10, len(two.curves) * 4)[: len(two.curves)])
    many = pd.concat([many.assign(cost=many["cost"] + 0.001 * i) for i in range(4)])
    grid = cost_grid(Results(many, two.metric, 10.0, "random", two.strategies, 0))
    assert grid.size == 65
    assert (grid[0], grid[-1]) == (0.0, 10.0)


def test_scores_are_aligned_on_the_seeds_that_all_have_finished(two: Results) -> None:
    lost = (two.curves["corpus"] == "b") & (two.curves["strategy"] == "margin") & (two.curves["seed"] == 2)
    scores = aligned_scores(Results(two.curves[~lost], two.metric, 10.0, "random", two.strategies, 1))
    assert scores is not None
    assert (scores.corpora, scores.seeds, scores.reference) == (("a", "b"), (0, 1, 3), 0)
    assert scores.area.shape == scores.final.shape == (2, 3, 2)
    # Strategy margin, seed 3, corpus b: .46, .66, .76 at 0, 5, 10.
    assert scores.area[1, 2, 1] == pytest.approx((0.46 + 2 * 0.66 + 0.76) / 4)
    assert scores.final[1, 2, 1] == pytest.approx(0.76)


def test_nothing_in_common_gives_no_scores(two: Results) -> None:
    apart = two.curves[(two.curves["seed"] < 2) == (two.curves["strategy"] == "margin")]
    assert aligned_scores(Results(apart, two.metric, 10.0, "random", two.strategies, 8)) is None


def test_a_loss_changes_its_sign_so_that_higher_is_better(two: Results) -> None:
    plain, turned = (
        aligned_scores(two),
        aligned_scores(Results(two.curves, "log_loss", 10.0, "random", two.strategies, 0)),
    )
    assert plain is not None
    assert turned is not None
    assert turned.area == pytest.approx(-plain.area)
    assert (plain.perfect, turned.perfect) == (1.0, 0.0)


def test_the_interquartile_mean_is_on_the_scale_of_the_references_error(two: Results) -> None:
    scores = aligned_scores(two)
    assert scores is not None
    table = aggregate(scores).table.set_index("strategy")
    error = 1.0 - scores.area[0].mean(axis=0)  # of random, by corpus
    removed = (scores.area[1] - scores.area[0].mean(axis=0)) / error
    assert table["iqm"]["margin"] == pytest.approx(np.sort(removed.ravel())[2:6].mean())
    assert table["improvement"]["margin"] == 1.0
    assert np.isnan(table["improvement"]["random"])


def test_shares_of_an_error_that_nobody_makes_are_left_out_with_the_corpus_named() -> None:
    area = np.full((2, 4, 2), 0.5)
    area[:, :, 1] = 1.0
    with pytest.raises(ReActError, match="'random', which makes none on corpus 'easy'"):
        aggregate(Scores(("random", "margin"), ("hard", "easy"), (0, 1, 2, 3), area, area, 0, 1.0))


def test_probabilities_of_improvement_of_a_pair_sum_to_one() -> None:
    rng = np.random.default_rng(0)
    area = rng.integers(0, 4, size=(3, 6, 2)) / 4.0  # with ties
    matrix = improvement_matrix(Scores(("a", "b", "c"), ("x", "y"), tuple(range(6)), area, area, 0, 1.0))
    assert matrix + matrix.T == pytest.approx(np.ones((3, 3)))
    wins = ((area[0] > area[2]) + 0.5 * (area[0] == area[2])).mean()
    assert matrix[0, 2] == pytest.approx(wins)


def test_a_strategy_that_is_always_ahead_beats_at_every_checkpoint_but_the_start(two: Results) -> None:
    scores = aligned_scores(two)
    assert scores is not None
    beaten = penalties(two, scores)
    # Checkpoints are 0 and 1; random reaches .99 of its end only at position 2, and all start level.
    assert beaten == pytest.approx(np.array([[0.0, 0.0], [0.5, 0.0]]))


def test_ranks_ask_for_corpora_and_strategies_in_one_sentence() -> None:
    area = np.arange(24, dtype=float).reshape(3, 2, 4)
    scores = Scores(("a", "b", "c"), tuple("wxyz"), (0, 1), area, area, 0, 1.0)
    with pytest.raises(ReActError, match="at least 5 complete ones; there are 4"):
        ranks(scores)
    five = np.concatenate([area, area[:, :, :1]], axis=2)
    result, p_value = ranks(Scores(("a", "b", "c"), tuple("vwxyz"), (0, 1), five, five, 0, 1.0))
    assert result.mean_ranks.tolist() == [3.0, 2.0, 1.0]
    assert p_value < 0.05


def test_the_cost_to_the_references_level_is_read_off_the_mean_curve(two: Results) -> None:
    scores = aligned_scores(two)
    assert scores is not None
    table = cost_performance(two, areas(two), mean_curves(two), scores, None).set_index("strategy")
    # Margin passes random's last value, 2 steps of .1 up, with its first jump of .2.
    assert table["cost_to_reference"].to_dict() == pytest.approx({"random": 10.0, "margin": 5.0})
    assert table["not_reached"].tolist() == [0, 0]
    flat = two.curves.assign(test=two.curves["test"].where(two.curves["strategy"] == "random", 0.1))
    results = Results(flat, two.metric, 10.0, "random", two.strategies, 0)
    scores = aligned_scores(results)
    assert scores is not None
    table = cost_performance(results, areas(results), mean_curves(results), scores, None).set_index(
        "strategy"
    )
    assert (table["cost_to_reference"]["margin"], table["not_reached"]["margin"]) == (10.0, 2)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12))
def test_the_pareto_front_is_what_nothing_beats(points: list[tuple[int, int]]) -> None:
    cost, value = np.array(points, dtype=float).T
    front = pareto_front(cost, value)
    for i in range(len(points)):
        beaten = any(
            c <= cost[i] and v >= value[i] and (c < cost[i] or v > value[i])
            for c, v in zip(cost, value, strict=True)
        )
        same = any(cost[j] == cost[i] and value[j] == value[i] for j in front)
        assert same == (not beaten)
    assert sorted(front, key=lambda i: cost[i]) == front


def test_only_some_of_many_strategies_are_in_colour_the_reference_and_policies_among_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fixed = ["random", *(f"s{i:02d}" for i in range(20))]
    monkeypatch.setattr("react_rl.experiments.figures.looks.STRATEGIES", dict.fromkeys(fixed))
    names = [*fixed[:1], "my-policy", *fixed[1:]]
    level = {name: 0.9 - 0.01 * i for i, name in enumerate(reversed(names))}
    results = results_of({("a", s, k): (level[s],) * 3 for s in names for k in range(2)})
    results = replace(results, policies={"my-policy": "results/my-policy/policy"})
    table = summarise(results)
    shown = leaders([(results, table)], families=False)
    assert len(shown) == MOST_IN_COLOUR
    assert set(shown) == {"random", "my-policy", *(f"s{i:02d}" for i in range(12, 20))}
    key = key_of(looks_of(results.strategies, results.trained), shown)
    assert [entry.name for entry in key] == [*shown, "further strategies"]
    assert leaders([(replace(results, strategies=results.strategies[:4]), table)], families=False) == list(
        results.strategies[:4]
    )
