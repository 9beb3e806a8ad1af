"""Figures say what they show: axes, legends, intervals; PNG and SVG; the same bytes again."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from react_rl.experiments import draw_all, read_results, run_comparison, summarise
from react_rl.experiments.figures import area_figure, learning_curves, policy_weights
from react_rl.experiments.summary import ALL_CORPORA, Results, areas

Build = Callable[..., Any]
STRATEGIES = ["random", "margin", "mixture"]


@pytest.fixture
def results(made_corpora: None, comparison: Build, tmp_path: Path) -> Results:
    two = [{"corpus": "synthetic", "name": "a"}, {"corpus": "synthetic", "name": "b"}]
    run_comparison(comparison(corpora=two, strategies=STRATEGIES, seeds=4), tmp_path)
    return read_results(tmp_path / "small")


@pytest.fixture
def weighed(results: Results) -> Results:
    """The same results, with feature weights of one strategy."""
    curves = results.curves.copy()
    own = (curves["strategy"] == "mixture") & (curves["round"] < 3)
    curves.loc[own, "weight:margin"] = 0.5 - 0.1 * curves.loc[own, "round"]
    curves.loc[own, "weight:density"] = 1.0
    return Results(curves, results.metric, results.budget, results.reference, results.strategies, 0)


def legend_of(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_learning_curves_show_every_strategy_on_every_corpus_over_the_whole_budget(results: Results) -> None:
    figure = learning_curves(results)
    assert [ax.get_title() for ax in figure.axes] == ["a", "b"]
    assert legend_of(figure) == STRATEGIES
    for ax in figure.axes:
        assert "cost units" in ax.get_xlabel()
        assert ax.get_ylabel() == "test accuracy"
        assert ax.get_xlim() == (0.0, 12.0)
        assert [line.get_label() for line in ax.lines] == STRATEGIES
        assert len(ax.collections) == len(STRATEGIES), "one band for each strategy"
    looks = {(line.get_color(), line.get_linestyle()) for line in figure.axes[0].lines}
    assert len(looks) == len(STRATEGIES)
    title = figure.get_suptitle()
    assert "4" in title
    assert "95 %" in title


def test_the_drawn_curve_is_the_mean_over_seeds(results: Results) -> None:
    line = next(line for line in learning_curves(results).axes[0].lines if line.get_label() == "margin")
    x, y = np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float)
    own = results.curves[(results.curves["corpus"] == "a") & (results.curves["strategy"] == "margin")]
    runs = [(run["cost"], run["test"]) for _, run in own.groupby("seed")]
    np.testing.assert_allclose(y, np.mean([np.interp(x, cost, test) for cost, test in runs], axis=0))
    assert x[0] == 0
    assert x[-1] == 12


def test_areas_show_every_strategy_best_on_top_with_its_interval(results: Results) -> None:
    table = summarise(results)
    figure = area_figure(results, table)
    assert [ax.get_title() for ax in figure.axes] == ["a", "b", ALL_CORPORA]
    for ax in figure.axes:
        rows = table[table["corpus"] == ax.get_title()].sort_values("area")
        assert [label.get_text() for label in ax.get_yticklabels()] == rows["strategy"].tolist()
        assert ax.get_xlabel() == "area under the test accuracy curve"
        points = [line for line in ax.lines if line.get_marker() == "o"]
        drawn = [float(np.asarray(line.get_xdata(), float)[0]) for line in points]
        np.testing.assert_allclose(drawn, rows["area"])
    scores = areas(results)
    assert (
        table[table["corpus"] == "a"]["area"].max()
        == scores[scores["corpus"] == "a"].groupby("strategy")["area"].mean().max()
    )


def test_weights_are_drawn_for_strategies_that_have_them_and_no_others(
    results: Results, weighed: Results
) -> None:
    assert policy_weights(results) is None
    figure = policy_weights(weighed)
    assert figure is not None
    assert [ax.get_title() for ax in figure.axes] == ["mixture on a", "mixture on b"]
    assert legend_of(figure) == ["margin", "density"]
    for ax in figure.axes:
        assert "cost units" in ax.get_xlabel()
        assert "weight" in ax.get_ylabel()
        margin = next(line for line in ax.lines if line.get_label() == "margin")
        np.testing.assert_allclose(np.asarray(margin.get_xdata(), float), [0.0, 4.0, 8.0])
        np.testing.assert_allclose(np.asarray(margin.get_ydata(), float), [0.5, 0.4, 0.3])


def test_every_figure_is_a_png_and_an_svg_and_the_same_bytes_again(weighed: Results, tmp_path: Path) -> None:
    table = summarise(weighed)
    drawn = draw_all(tmp_path / "one", weighed, table)
    draw_all(tmp_path / "two", weighed, table)
    assert [path.name for path in drawn] == ["learning_curves.png", "areas.png", "policy_weights.png"]
    files = sorted((tmp_path / "one").iterdir())
    assert [file.name for file in files] == sorted(
        f"{name}.{kind}" for name in ("learning_curves", "areas", "policy_weights") for kind in ("png", "svg")
    )
    for file in files:
        content = file.read_bytes()
        if file.suffix == ".png":
            assert content.startswith(b"\x89PNG")
        else:
            assert ElementTree.fromstring(content).tag.endswith("svg")
        assert content == (tmp_path / "two" / file.name).read_bytes()


def test_a_metric_has_a_readable_name(results: Results) -> None:
    shown = Results(
        results.curves, "macro_f1", results.budget, results.reference, results.strategies, results.missing
    )
    assert learning_curves(shown).axes[0].get_ylabel() == "test macro F1"


def test_one_seed_can_be_drawn(made_corpora: None, comparison: Build, tmp_path: Path) -> None:
    run_comparison(comparison(seeds=1), tmp_path)
    results = read_results(tmp_path / "small")
    table: pd.DataFrame = summarise(results)
    assert len(draw_all(tmp_path / "small", results, table)) == 2
