"""Figures say what they show: axes, legends, intervals; PNG and SVG; the same bytes again."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from react_rl.experiments import draw_all, read_results, run_comparison, summarise
from react_rl.experiments.figures import area_figure, policy_weights
from react_rl.experiments.figures_learning import family_curves, leaders, learning_curves
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


def curves_in(ax: Axes) -> dict[str, Line2D]:
    """Lines of contestants by name: levels have none."""
    return {str(line.get_label()): line for line in ax.lines if not str(line.get_label()).startswith("_")}


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
        lines = curves_in(ax)
        assert sorted(lines) == sorted(STRATEGIES)
        assert len(ax.collections) == len(STRATEGIES), "one band for each strategy"
    looks = {(line.get_color(), line.get_linestyle()) for line in curves_in(figure.axes[0]).values()}
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


@pytest.fixture
def many(results: Results) -> Results:
    """Twelve contestants: a policy, a reference that looks at labels, and ten strategies of five families."""
    names = [
        *("random", "margin", "entropy", "least-confidence", "egl", "k-center", "k-means"),
        *("typicality", "badge", "mixture", "greedy-oracle", "my policy"),
    ]
    base = results.curves[results.curves["strategy"] == "random"]
    frames = []
    for place, name in enumerate(names):
        own = base.copy()
        own["strategy"] = name
        own["test"] = own["test"] + 0.001 * place * own["round"]
        frames.append(own)
    curves = pd.concat(frames, ignore_index=True)
    return Results(curves, results.metric, results.budget, "random", tuple(names), 0)


def test_of_many_contestants_the_reference_policies_and_the_best_of_each_family_lead(many: Results) -> None:
    shown = leaders(summarise(many), many)
    assert shown == ["random", "egl", "k-means", "typicality", "mixture", "greedy-oracle", "my policy"]


def test_few_contestants_are_all_shown(results: Results) -> None:
    assert leaders(summarise(results), results) == STRATEGIES
    assert family_curves(results) is None


def test_of_many_contestants_leaders_are_named_beside_the_panel_and_others_are_grey(many: Results) -> None:
    shown = leaders(summarise(many), many)
    figure = learning_curves(many, shown)
    for ax in figure.axes:
        grey = [line for line in ax.lines if line.get_label() == "further strategies"]
        assert len(grey) == len(many.strategies) - len(shown)
        assert len({line.get_color() for line in grey}) == 1
        named = [text for text in ax.texts if text.get_text() != "all labels"]
        assert sorted(text.get_text() for text in named) == sorted(shown)
        ends = {name: float(np.asarray(line.get_ydata(), float)[-1]) for name, line in curves_in(ax).items()}
        heights = {text.get_text(): float(text.get_position()[1]) for text in named}
        assert sorted(shown, key=heights.__getitem__) == sorted(shown, key=ends.__getitem__)
        ordered = sorted(heights.values())
        assert min(np.diff(ordered)) > 0.05, "names do not cover each other"
        assert ordered[-1] <= 1.0 + 1e-9
        colours = {curves_in(ax)[name].get_color() for name in shown}
        assert len(colours) == len(shown) - 1, "only the two that are no strategies share black"
    assert legend_of(figure) == [*shown, "further strategies"]


def test_each_family_has_a_panel_of_its_gains_over_the_reference(many: Results) -> None:
    figure = family_curves(many)
    assert figure is not None
    titles = [ax.get_title() for ax in figure.axes]
    assert titles == ["uncertainty", "diversity", "representative", "hybrid", "look at labels", "learned"]
    for ax in figure.axes:
        assert "minus that of random" in ax.get_ylabel()
        assert len([line for line in ax.lines if len(np.asarray(line.get_xdata())) > 2]) == 11
    egl = curves_in(figure.axes[0])["egl"]
    place = many.strategies.index("egl")
    np.testing.assert_allclose(np.asarray(egl.get_ydata(), float), 0.001 * place * np.arange(4), atol=1e-12)


def test_the_family_figure_is_written_where_contestants_are_many(many: Results, tmp_path: Path) -> None:
    names = [path.name for path in draw_all(tmp_path, many, summarise(many))]
    assert names == ["learning_curves.png", "areas.png", "learning_curves_families.png"]
