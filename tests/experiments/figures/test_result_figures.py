"""Figures say what they show: axes, legends, intervals; the same bytes again; nothing is cut at an edge."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text

from react_rl.acquisition.registry import STRATEGIES as STRATEGIES_LISTED
from react_rl.errors import ReActError
from react_rl.experiments import draw_all, read_results, run_comparison, summarise
from react_rl.experiments.analysis.summary import ALL_CORPORA, Results, areas
from react_rl.experiments.cli.plot import plot_for_paper
from react_rl.experiments.figures.drawing import FORMATS, area_figure, figures_of, policy_weights
from react_rl.experiments.figures.learning import family_curves, leaders, learning_curves
from react_rl.experiments.figures.looks import MOST_IN_COLOUR, line_look, looks_of
from react_rl.experiments.figures.page import Page, caption_of, shortened, width_of, wrapped

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
    figure = learning_curves([results])
    assert [ax.get_title() for ax in figure.axes] == ["a", "b"]
    assert legend_of(figure) == STRATEGIES
    for ax in figure.axes:
        assert ax.get_xlabel() == "labels bought"
        assert ax.get_ylabel() == "test accuracy"
        assert ax.get_xlim() == (0.0, 12.0)
        lines = curves_in(ax)
        assert sorted(lines) == sorted(STRATEGIES)
        assert len(ax.collections) == len(STRATEGIES), "one band for each strategy"
    looks = {(line.get_color(), line.get_marker()) for line in curves_in(figure.axes[0]).values()}
    assert len(looks) == len(STRATEGIES)
    title = figure.get_suptitle()
    assert "4" in title
    assert "95 %" in title


def test_the_axis_says_cost_units_where_a_label_costs_more_or_less_than_one(weighed: Results) -> None:
    curves = weighed.curves.copy()
    curves.loc[curves.index[-1], "cost"] += 0.5
    priced = replace(weighed, curves=curves)
    weights = policy_weights([priced])
    assert weights is not None
    for figure in (learning_curves([priced]), weights):
        assert {ax.get_xlabel() for ax in figure.axes} <= {"cost spent (cost units)", ""}
    assert learning_curves([priced]).axes[0].get_xlabel() == "cost spent (cost units)"


def test_the_drawn_curve_is_the_mean_over_seeds(results: Results) -> None:
    line = next(line for line in learning_curves([results]).axes[0].lines if line.get_label() == "margin")
    x, y = np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float)
    own = results.curves[(results.curves["corpus"] == "a") & (results.curves["strategy"] == "margin")]
    runs = [(run["cost"], run["test"]) for _, run in own.groupby("seed")]
    np.testing.assert_allclose(y, np.mean([np.interp(x, cost, test) for cost, test in runs], axis=0))
    assert x[0] == 0
    assert x[-1] == 12


def test_areas_show_every_strategy_best_on_top_with_its_interval(results: Results) -> None:
    table = summarise(results)
    figure = area_figure([(results, table)])
    assert [ax.get_title() for ax in figure.axes] == ["a", "b", ALL_CORPORA]
    for ax in figure.axes:
        rows = table[table["corpus"] == ax.get_title()].sort_values("area")
        assert [label.get_text() for label in ax.get_yticklabels()] == rows["strategy"].tolist()
        assert ax.get_xlabel() == "area under the test accuracy curve"
        points = [line for line in ax.lines if len(np.asarray(line.get_xdata())) == 1]
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
    assert policy_weights([results]) is None
    figure = policy_weights([weighed])
    assert figure is not None
    assert [ax.get_title() for ax in figure.axes] == ["mixture on a", "mixture on b"]
    assert legend_of(figure) == ["margin", "density"]
    for ax in figure.axes:
        assert ax.get_xlabel() == "labels bought"
        assert "weight" in ax.get_ylabel()
        margin = next(line for line in ax.lines if line.get_label() == "margin")
        np.testing.assert_allclose(np.asarray(margin.get_xdata(), float), [0.0, 4.0, 8.0])
        np.testing.assert_allclose(np.asarray(margin.get_ydata(), float), [0.5, 0.4, 0.3])


def test_every_figure_is_the_same_bytes_again_in_each_format(weighed: Results, tmp_path: Path) -> None:
    table = summarise(weighed)
    drawn = draw_all(tmp_path / "one", [(weighed, table)], formats=FORMATS)
    draw_all(tmp_path / "two", [(weighed, table)], formats=FORMATS)
    assert [path.name for path in drawn] == ["learning_curves.png", "areas.png", "policy_weights.png"]
    files = sorted((tmp_path / "one").iterdir())
    assert [file.name for file in files] == sorted(
        f"{name}.{kind}" for name in ("learning_curves", "areas", "policy_weights") for kind in FORMATS
    )
    for file in files:
        content = file.read_bytes()
        if file.suffix == ".svg":
            written = "".join(ElementTree.fromstring(content).itertext())
            assert "accuracy" in written or "weight" in written, "text stays text"
        else:
            assert content.startswith({".png": b"\x89PNG", ".pdf": b"%PDF"}[file.suffix])
        assert content == (tmp_path / "two" / file.name).read_bytes()


def test_a_metric_has_a_readable_name(results: Results) -> None:
    shown = Results(
        results.curves, "macro_f1", results.budget, results.reference, results.strategies, results.missing
    )
    assert learning_curves([shown]).axes[0].get_ylabel() == "test macro F1"


def test_one_seed_can_be_drawn(made_corpora: None, comparison: Build, tmp_path: Path) -> None:
    run_comparison(comparison(seeds=1), tmp_path)
    results = read_results(tmp_path / "small")
    table: pd.DataFrame = summarise(results)
    assert len(draw_all(tmp_path / "small", [(results, table)])) == 2


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
    policies = {"my policy": "results/mine/policy"}
    return Results(curves, results.metric, results.budget, "random", tuple(names), 0, policies)


def test_of_many_contestants_the_reference_policies_and_the_best_of_each_family_lead(many: Results) -> None:
    shown = leaders([(many, summarise(many))])
    assert shown == ["random", "egl", "k-means", "typicality", "mixture", "greedy-oracle", "my policy"]


def test_few_contestants_are_all_shown(results: Results) -> None:
    assert leaders([(results, summarise(results))]) == STRATEGIES
    assert family_curves(results) is None


def test_of_many_contestants_leaders_are_named_beside_the_panel_and_others_are_grey(many: Results) -> None:
    shown = leaders([(many, summarise(many))])
    figure = learning_curves([many], shown)
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
        drawn = [curves_in(ax)[name] for name in shown]
        assert len({(line.get_color(), line.get_marker()) for line in drawn}) == len(shown)
    assert legend_of(figure) == [*shown, "further strategies"]


def test_each_family_has_a_panel_of_its_gains_over_the_reference(many: Results) -> None:
    figure = family_curves(many)
    assert figure is not None
    titles = [ax.get_title() for ax in figure.axes]
    assert titles == ["uncertainty", "diversity", "representative", "hybrid", "look at labels", "learned"]
    for ax in figure.axes:
        assert "minus that of random" in " ".join(ax.get_ylabel().split())
        assert len([line for line in ax.lines if len(np.asarray(line.get_xdata())) > 2]) == 11
    egl = curves_in(figure.axes[0])["egl"]
    place = many.strategies.index("egl")
    np.testing.assert_allclose(np.asarray(egl.get_ydata(), float), 0.001 * place * np.arange(4), atol=1e-12)


def test_the_family_figure_is_written_where_contestants_are_many(many: Results, tmp_path: Path) -> None:
    names = [path.name for path in draw_all(tmp_path, [(many, summarise(many))], formats=("svg",))]
    assert names == ["learning_curves.svg", "areas.svg", "learning_curves_families.svg"]


LONG = "subjectivity of film reviews (Pang & Lee 2004), 700 rows"
TWELVE = (
    *("random", "margin", "entropy", "least-confidence", "k-means", "typiclust", "power-margin", "badge"),
    *(
        "information-density",
        "uncertainty-herding",
        "subsample:1000:maxherding",
        "a policy / of $many$ words",
    ),
)


def made_results(corpora: int, strategies: int) -> Results:
    """Curves of two seeds and three rounds, with a long name among the corpora and among the strategies."""
    names = [LONG, *(f"corpus-{i}" for i in range(1, corpora))]
    contestants = TWELVE[: strategies - 1] + TWELVE[-1:]
    rows = [
        (corpus, strategy, seed, r, 4.0 * r, 5 + 4 * r, 0.5 + 0.1 * r + 0.01 * s * r + 0.02 * seed, 0.9)
        for corpus in names
        for s, strategy in enumerate(contestants)
        for seed in range(2)
        for r in range(3)
    ]
    columns = ["corpus", "strategy", "seed", "round", "cost", "labels", "test", "full"]
    curves = pd.DataFrame(rows, columns=columns)
    return Results(curves.assign(dev=curves["test"]), "accuracy", 8.0, "random", contestants, 0)


def visible_texts(figure: Figure) -> list[Text]:
    """All texts but the labels of ticks beyond the ends of an axis, which are made and never drawn."""
    beyond = set()
    for ax in figure.axes:
        for axis in (ax.xaxis, ax.yaxis):
            low, high = sorted(axis.get_view_interval())
            beyond |= {tick.label1 for tick in axis.get_major_ticks() if not low <= tick.get_loc() <= high}
    texts = figure.findobj(Text)
    return [t for t in texts if t.get_visible() and t.get_text().strip() and t not in beyond]


@pytest.mark.parametrize(
    ("corpora", "strategies", "width"),
    [(1, 2, None), (2, 12, None), (5, 3, None), (1, 12, 3.3), (2, 3, 3.3), (5, 12, 3.3), (2, 4, 7.0)],
)
def test_nothing_is_cut_at_the_edge_of_a_figure(corpora: int, strategies: int, width: float | None) -> None:
    results = made_results(corpora, strategies)
    page = Page(width)
    for name, figure in figures_of([(results, summarise(results))], page).items():
        with matplotlib.rc_context(page.style):
            figure.canvas.draw()
        pixels = np.asarray(figure.canvas.buffer_rgba())[..., :3]  # type: ignore[attr-defined]
        for edge in (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]):
            assert (edge == 255).all(), f"something touches the edge of {name}"
        wide, high = figure.bbox.width, figure.bbox.height
        for text in visible_texts(figure):
            box = text.get_window_extent()
            inside = min(box.x0, box.y0, wide - box.x1, high - box.y1) >= 0
            assert inside, f"{text.get_text()!r} leaves {name}"
            assert float(text.get_fontsize()) >= 7.0
        if width is not None:
            assert figure.get_size_inches()[0] == pytest.approx(width)
            assert max(float(text.get_fontsize()) for text in visible_texts(figure)) <= 8.0
            assert figure.get_suptitle() == ""
        assert "95 %" in caption_of(figure)
        written = "".join(text.get_text().replace("\n", "") for text in visible_texts(figure))
        if name == "areas":
            assert all(
                strategy.replace(" ", "") in written.replace(" ", "") for strategy in results.strategies
            )


def test_policies_look_alike_whether_a_folder_or_a_listed_name_stands_for_them(results: Results) -> None:
    names = ["random", "learned", "imitated", "proxy:learned"]
    curves = results.curves[results.curves["strategy"] == "random"]
    runs = pd.concat([curves.assign(strategy=name) for name in names])
    found = replace(results, curves=runs, strategies=tuple(names), policies={"imitated": "imitated"})
    assert found.trained == ("learned", "imitated", "proxy:learned")
    for figure in (learning_curves([found]), area_figure([(found, summarise(found))])):
        black = {str(line.get_label()) for line in figure.axes[0].lines if line.get_color() == "#000000"}
        assert len(black) >= 3
    lines = curves_in(learning_curves([found]).axes[0])
    assert [lines[name].get_linewidth() for name in names] == [1.3, 2.2, 2.2, 2.2]


def test_no_two_lines_look_alike_in_grey_whatever_is_compared() -> None:
    policies = [f"policy {i}" for i in range(4)]
    looks = looks_of([*STRATEGIES_LISTED, *policies], policies)
    grey = {(str(look["linestyle"]), look["marker"], look["linewidth"]) for look in looks.values()}
    assert len(grey) == len(looks) > 60
    usual = [line_look(i) for i in range(45)]
    assert len({(str(look["linestyle"]), look["marker"]) for look in usual}) == 45


def test_as_many_lines_as_a_figure_has_in_colour_have_colours_of_their_own() -> None:
    colours = [line_look(place)["color"] for place in range(MOST_IN_COLOUR + 1)]
    assert len(set(colours)) == MOST_IN_COLOUR + 1


def test_a_strategy_looks_the_same_in_all_figures_of_a_comparison(many: Results) -> None:
    table = summarise(many)
    colours: dict[str, set[Any]] = {}
    for figure in figures_of([(many, table)]).values():
        for ax in figure.axes:
            for name, line in curves_in(ax).items():
                if name != "further strategies":
                    colours.setdefault(name, set()).add((line.get_color(), line.get_marker()))
    assert len(colours) > 6
    assert [name for name, looks in colours.items() if len(looks) > 1] == []


@pytest.mark.parametrize("text", [LONG, "x" * 60, "a-b", "", "two words", "a/b/c:d_e" * 6])
def test_broken_lines_are_no_wider_than_asked_and_lose_nothing(text: str) -> None:
    lines = wrapped(text, 60.0, 8.0).split("\n")
    assert max(width_of(line, 8.0) for line in lines) <= 60.0
    assert "".join("".join(lines).split()) == "".join(text.split())
    assert width_of(shortened(text, 60.0, 8.0), 8.0) <= 60.0


def test_figures_for_a_paper_leave_those_of_the_comparison_as_they_are(
    results: Results, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "small"
    before = sorted(path.name for path in folder.iterdir())
    drawn = plot_for_paper(folder, 3.3, ["pdf", "png"], ["margin", "mixture"], "accuracy")
    assert drawn == [folder / "figures" / "learning_curves.pdf", folder / "figures" / "areas.pdf"]
    assert (folder / "figures" / "areas.png").is_file()
    assert sorted(path.name for path in folder.iterdir()) == sorted([*before, "figures"])
    assert "Mean over 4 seeds" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"width": 1.0}, "A width of 1 inches is out of range: 2.5 to 40"),
        ({"width": float("nan")}, "out of range"),
        ({"strategies": ["margim"]}, "Did you mean 'margin'"),
        ({"strategies": ["margin", "margin"]}, "'margin' is named twice"),
        ({"metric": "f1"}, "Unknown metric of this comparison 'f1'"),
    ],
)
def test_an_option_that_does_not_fit_is_refused(
    results: Results, tmp_path: Path, options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ReActError, match=re.escape(sentence)):
        plot_for_paper(tmp_path / "small", **options)
    assert not (tmp_path / "small" / "figures").exists()
