"""The report is one page that loads nothing, can be read without seeing it, and says what was found."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest
from markupsafe import Markup

from react_rl.experiments import CompareConfig, read_results, run_comparison, summarise
from react_rl.experiments.analysis.numbers import mean_curves
from react_rl.experiments.analysis.summary import ALL_CORPORA, areas, write_tables
from react_rl.experiments.cli import main
from react_rl.experiments.config.learners import learner_config
from react_rl.experiments.figures.pairs import round_colours
from react_rl.experiments.report.page import Column, Section, choice, sortable_table
from react_rl.experiments.report.policy import policy_section
from react_rl.experiments.report.sections import curves_section, ranks_section
from react_rl.experiments.report.selection import selection_section
from react_rl.experiments.report.setup import _learner
from react_rl.experiments.report.writing import build_report, gather, write_report

Build = Callable[..., CompareConfig]
VOID = {"meta", "br", "img", "input", "link", "hr"}
SECTIONS = [
    "setup", "result", "curves", "aggregate", "pairs", "ranks", "cost", "selection", "numbers", "machine",
    "reproduce",
]  # fmt: skip
EPISODE = {"pool_size": 40, "dev_size": 20, "initial_size": 5, "budget": 12, "batch_size": 4}


@dataclass
class Element:
    tag: str
    attributes: dict[str, str | None]
    inside: list[Element | str] = field(default_factory=list)

    def walk(self) -> Iterator[Element]:
        yield self
        for one in self.inside:
            if isinstance(one, Element):
                yield from one.walk()

    def all(self, tag: str) -> list[Element]:
        return [one for one in self.walk() if one.tag == tag]

    @property
    def text(self) -> str:
        return "".join(one if isinstance(one, str) else one.text for one in self.inside)


class Page(HTMLParser):
    """Builds the tree, and refuses elements that are not closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.root = Element("document", {})
        self._open = [self.root]
        self.feed(text)
        self.close()
        assert self._open == [self.root], f"not closed: {[one.tag for one in self._open[1:]]}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"an attribute twice in <{tag}>: {names}"
        element = Element(tag, dict(attrs))
        self._open[-1].inside.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._open[-1].inside.append(Element(tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open[-1].tag == tag, f"</{tag}> closes <{self._open[-1].tag}>"
        self._open.pop()

    def handle_data(self, data: str) -> None:
        self._open[-1].inside.append(data)


def csv_of(root: Element, name: str) -> pd.DataFrame:
    links = {
        a.attributes["download"]: a.attributes["href"] or ""
        for a in root.all("a")
        if "download" in a.attributes
    }
    head, data = links[f"{name}.csv"].split(",", 1)
    assert head == "data:text/csv;charset=utf-8;base64"
    return pd.read_csv(io.BytesIO(base64.b64decode(data)))


def section(root: Element, anchor: str) -> Element:
    (found,) = [one for one in root.all("section") if one.attributes.get("id") == anchor]
    return found


def parsed(one: Section) -> Element:
    return Page(one.body).root


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> Iterator[Path]:
    """A real comparison on two corpora, its embeddings in the cache."""
    config = CompareConfig.model_validate(
        {
            "name": "small",
            "corpora": [{"corpus": "synthetic", "name": name, "max_rows": 200} for name in ("one", "two")],
            "strategies": ["random", "margin", "typicality"],
            "seeds": 5,
            "jobs": 1,
            "device": "cpu",
            "episode": EPISODE,
        }
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REACT_RL_CACHE", str(shared_cache))
        results = tmp_path_factory.mktemp("results")
        run_comparison(config, results, progress=False)
        yield results / "small"


@pytest.fixture(scope="module")
def text(folder: Path, shared_cache: Path) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REACT_RL_CACHE", str(shared_cache))
        return build_report(folder)


@pytest.fixture(scope="module")
def root(text: str) -> Element:
    return Page(text).root


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    """The comparison, to be changed."""
    return Path(shutil.copytree(folder, tmp_path / "small"))


def test_every_section_is_there_and_the_contents_lead_to_it(root: Element) -> None:
    assert [one.attributes["id"] for one in root.all("section")] == SECTIONS
    (contents,) = root.all("nav")
    assert [one.attributes["href"] for one in contents.all("a")] == [f"#{anchor}" for anchor in SECTIONS]


def test_ids_are_unique_and_every_reference_inside_the_page_has_its_target(root: Element) -> None:
    ids = [one.attributes["id"] for one in root.walk() if "id" in one.attributes]
    assert len(ids) == len(set(ids))
    wanted: set[str | None] = set()
    for one in root.walk():
        for name, value in one.attributes.items():
            if name in ("href", "xlink:href") and value and value.startswith("#"):
                wanted.add(value[1:])
            elif name.startswith("aria-") and name.endswith("by"):
                wanted |= set((value or "").split())
            wanted |= set(re.findall(r"url\(#([^)]*)\)", value or ""))
    assert len(wanted) > 50
    assert wanted <= set(ids)


def test_the_page_loads_nothing(root: Element) -> None:
    for one in root.walk():
        assert one.tag not in ("link", "iframe", "object", "embed", "img", "image", "video", "audio")
        assert not {"src", "srcset", "action"} & set(one.attributes)
        for name, value in one.attributes.items():
            assert "://" not in (value or ""), f"{name}={value}"
        target = one.attributes.get("href") or one.attributes.get("xlink:href")
        assert target is None or target.startswith(("#", "data:"))
    for style in root.all("style"):
        assert "@import" not in style.text
        assert "url(" not in style.text
    policy = [one.attributes["content"] or "" for one in root.all("meta") if "http-equiv" in one.attributes]
    assert policy[0].startswith("default-src 'none'")


def test_every_figure_has_a_caption_and_every_drawing_its_words(root: Element) -> None:
    figures = root.all("figure")
    assert len(figures) >= 9
    for figure in figures:
        assert len(figure.all("figcaption")) == 1
        assert len(figure.all("figcaption")[0].text) > 40
    drawings = [one for one in root.all("svg") if one.attributes.get("aria-hidden") != "true"]
    assert len(drawings) >= 15
    for drawing in drawings:
        assert drawing.attributes["role"] == "img"
        title, words = drawing.all("title")[0], drawing.all("desc")[0]
        assert drawing.attributes["aria-labelledby"] == f"{title.attributes['id']} {words.attributes['id']}"
        assert len(title.text) > 5
        assert re.search(r"\d", words.text), f"{title.text}: the text alternative names no number"


def test_tables_sort_by_buttons_in_their_headings(root: Element) -> None:
    for table in root.all("table"):
        for head in table.all("thead")[0].all("th"):
            assert head.attributes["aria-sort"] == "none"
            assert head.attributes["scope"] == "col"
            (button,) = head.all("button")
            assert button.attributes["type"] == "button"
            assert button.text
        for row in table.all("tbody")[0].all("tr"):
            assert row.all("th")[0].attributes["scope"] == "row"


def test_the_tables_show_the_summary(folder: Path, root: Element) -> None:
    table = summarise(read_results(folder))
    (shown,) = [one for one in root.all("table") if one.attributes["id"] == "all-table"]
    rows = [row.all("th") + row.all("td") for row in shown.all("tbody")[0].all("tr")]
    assert len(rows) == len(table) == 9
    for cells, row in zip(rows, table.to_dict("records"), strict=True):
        assert [cells[0].text, cells[1].text] == [row["strategy"], row["corpus"]]
        assert float(cells[2].attributes["data-value"] or "") == pytest.approx(row["area"], abs=1e-9)
        assert cells[2].text == f"{row['area']:.4f} [{row['area_low']:.4f}, {row['area_high']:.4f}]"
        difference = "" if pd.isna(row["difference"]) else f"{row['difference']:+.4f}"
        assert cells[4].text.split(" ")[0] == difference
    for corpus, own in table.groupby("corpus"):
        best = own["area"].round(4) == own["area"].round(4).max()
        bold = [bool(cells[2].all("strong")) for cells in rows if cells[1].text == corpus]
        assert bold == best.tolist()


def test_the_csv_links_hold_the_numbers(folder: Path, root: Element) -> None:
    results = read_results(folder)
    table, curves, runs = summarise(results), mean_curves(results), areas(results)
    pd.testing.assert_frame_equal(
        csv_of(root, "summary"), table.round(6).reset_index(drop=True), check_dtype=False
    )
    for name, corpus in (("curves-1", "one"), ("curves-2", "two"), ("curves-mean", ALL_CORPORA)):
        own = curves[curves["corpus"] == corpus].reset_index(drop=True).round(6)
        pd.testing.assert_frame_equal(csv_of(root, name), own, check_dtype=False)
    both = pd.concat([csv_of(root, "runs-1"), csv_of(root, "runs-2")], ignore_index=True)
    assert both["area"].tolist() == pytest.approx(runs["area"].tolist(), abs=1e-6)
    matrix = csv_of(root, "probability-of-improvement").set_index("strategy")
    wide = runs.pivot(index=["corpus", "seed"], columns="strategy", values="area")
    expected = ((wide["margin"] > wide["random"]) + 0.5 * (wide["margin"] == wide["random"])).mean()
    assert matrix.loc["margin", "random"] == pytest.approx(expected, abs=1e-6)


def test_the_map_has_every_row_of_the_pool_and_the_round_of_every_purchase(
    folder: Path, root: Element
) -> None:
    for i, corpus in enumerate(("one", "two"), start=1):
        frame = csv_of(root, f"pool-map-{i}").set_index("row")
        assert len(frame) == EPISODE["pool_size"]
        for strategy in ("random", "margin", "typicality"):
            (file,) = (folder / "runs").glob(f"{corpus}--{strategy}--seed0000--*.json")
            run = json.loads(file.read_text())
            rounds = frame[f"round:{strategy}"].dropna().astype(int).to_dict()
            bought = {row: r for r, batch in enumerate(run["batches"], start=1) for row in batch}
            assert rounds == dict.fromkeys(run["initial"], 0) | bought


def test_the_map_of_every_corpus_can_be_chosen_in_a_list_with_a_name(root: Element) -> None:
    (box,) = [one for one in root.walk() if "data-choice" in one.attributes]
    (label,), (chooser,) = box.all("label"), box.all("select")
    assert label.attributes["for"] == chooser.attributes["id"]
    assert [one.text for one in chooser.all("option")] == ["one", "two"]
    parts = [one for one in box.walk() if "data-part" in one.attributes]
    assert [one.all("title")[0].text for one in parts] == ["Picks of random on one", "Picks of random on two"]
    # Without script nothing is hidden but the list, which would do nothing.
    assert [one.tag for one in box.walk() if "hidden" in one.attributes] == ["p"]


def test_a_map_draws_every_row_once_and_every_purchase_in_the_colour_of_its_round(
    folder: Path, root: Element
) -> None:
    (figure,) = [one for one in root.all("figure") if one.attributes.get("id") == "map-1"]
    (drawing,) = [
        one for one in figure.all("svg") if one.all("title") and "margin" in one.all("title")[0].text
    ]
    paths = [one.attributes.get("d") or "" for one in drawing.all("path")]
    assert max(path.count("M") for path in paths) == EPISODE["pool_size"]
    (file,) = (folder / "runs").glob("one--margin--seed0000--*.json")
    batches = json.loads(file.read_text())["batches"]
    colours = round_colours(len(batches))
    fills = [re.search(r"fill: (#\w+)", one.attributes.get("style") or "") for one in drawing.all("use")]
    drawn = [found.group(1) for found in fills if found is not None and found.group(1) in colours]
    assert drawn == [colour for colour, batch in zip(colours, batches, strict=True) for _ in batch]


def test_one_corpus_needs_no_choice(made_corpora: None) -> None:
    assert choice("map", "Corpus", [("one", Markup("<p>map</p>"))]) == "<p>map</p>"


def test_the_same_results_give_the_same_page(folder: Path, text: str, tmp_path: Path) -> None:
    assert write_report(folder, tmp_path / "again.html") == tmp_path / "again.html"
    assert (tmp_path / "again.html").read_text(encoding="utf-8") == text


def test_a_full_data_metric_in_the_run_files_becomes_a_line(copy: Path, root: Element) -> None:
    words = [one.text for one in section(root, "curves").all("desc")]
    assert all("With all labels: " in text for text in words)
    for file in (copy / "runs").glob("*.json"):
        run = json.loads(file.read_text())
        del run["full"]
        known = {"full": {"accuracy": 0.8765}} if run["corpus"] == "one" else {}
        file.write_text(json.dumps(run | known))
    curves = parsed(curves_section(gather(copy).tasks[0]))
    words = [one.text for one in curves.all("desc")]
    assert ["With all labels: 0.876" in text for text in words] == [True, False, False]
    assert curves.text.count("all labels") == 3, "in the words, beside the line, and in the caption"


def test_what_all_labels_bring_gets_a_table_of_the_cost_of_its_shares(copy: Path, root: Element) -> None:
    def table_of(page: Element) -> list[Element]:
        return [one for one in page.all("table") if one.attributes.get("id") == "reached-table"]

    assert not table_of(root), "an empty table is left out"
    assert "No mean curve reaches 90% of what all labels" in section(root, "cost").text
    for file in (copy / "runs").glob("*.json"):
        file.write_text(json.dumps(json.loads(file.read_text()) | {"full": {"accuracy": 0.4}}))
    (reached,) = table_of(Page(build_report(copy)).root)
    assert "Cost to 90%" in reached.text
    table = summarise(read_results(copy))
    rows = table[table["corpus"] == ALL_CORPORA].set_index("strategy")["cost_to_90"]
    assert rows.notna().any()
    for row in reached.all("tr")[1:]:
        name, said = row.all("th")[0].text if row.all("th") else row.all("td")[0].text, row.text
        assert pd.isna(rows[name]) or f"{rows[name]:.1f}" in said


def test_numbers_that_round_to_zero_have_no_minus() -> None:
    frame = pd.DataFrame({"a": [-0.00001], "low": [-0.00002], "high": [0.5]})
    page = str(sortable_table("t", "T", frame, [Column("a", "A", True, "low", "high", "+.3f")]))
    assert "+0.000" in page
    assert "[+0.000, +0.500]" in page
    assert "-0.000" not in page


def test_without_run_files_the_report_stands_and_says_what_it_cannot_show(copy: Path) -> None:
    results = read_results(copy)
    write_tables(copy, [(results, summarise(results))])
    shutil.rmtree(copy / "runs")
    page = Page(build_report(copy)).root
    assert section(page, "selection").text.count("Left out: the run files") == 3
    assert not section(page, "selection").all("figure")
    assert len(section(page, "curves").all("svg")) > 3


def test_a_policy_that_weighs_features_gets_a_section_with_its_weights(copy: Path, root: Element) -> None:
    assert not [one for one in root.all("section") if one.attributes.get("id") == "policy"]
    assert policy_section(gather(copy).tasks[0]) == []
    for file in (copy / "runs").glob("*--margin--*.json"):
        run = json.loads(file.read_text())
        rounds = len(run["batches"])
        weights = [[round(0.1 * r + run["seed"], 3), -0.5] for r in range(rounds)]
        file.write_text(json.dumps(run | {"features": ["density", "novelty"], "weights": weights}))
    (found,) = policy_section(gather(copy).tasks[0])
    page = parsed(found)
    titles = ["Feature weights of margin on one", "Feature weights of margin on two"]
    assert [one.text for one in page.all("title")] == titles
    frame = csv_of(page, "weights-1")
    # The mean over five seeds numbered from 0.
    assert frame["weight:density"].tolist() == pytest.approx([2.0 + 0.1 * r for r in range(len(frame))])
    assert set(frame["weight:novelty"]) == {-0.5}
    assert "density 2.00 and 2.20, novelty -0.50 and -0.50" in page.all("desc")[0].text


def test_references_are_described_as_such_and_not_as_policies(
    made_corpora: None, comparison: Build, tmp_path: Path
) -> None:
    run_comparison(comparison(strategies=["random", "greedy-oracle"], seeds=2), tmp_path)
    page = Page(build_report(tmp_path / "small")).root
    assert "reference, looks at labels nobody bought" in section(page, "setup").text
    assert "trained polic" not in page.text
    lead = page.all("header")[0].text
    assert "random has the best area" in lead
    assert "excluding oracle references" in lead
    run_comparison(
        comparison(strategies=["greedy-oracle"], reference="greedy-oracle", seeds=1), tmp_path / "sole"
    )
    lead = Page(build_report(tmp_path / "sole" / "small")).root.all("header")[0].text
    assert "greedy-oracle has the best area" in lead
    assert "leaving aside" not in lead


@pytest.mark.parametrize(
    ("kind", "there", "absent"),
    [
        ("softmax", {"l2", "bias"}, {"hidden", "epochs"}),
        ("mlp", {"hidden", "members"}, {"l2", "epochs"}),
        ("finetune", {"epochs", "method"}, {"l2", "hidden"}),
    ],
)
def test_only_settings_of_the_learner_that_was_used_are_listed(
    kind: Literal["softmax", "mlp", "finetune"], there: set[str], absent: set[str]
) -> None:
    words = _learner(learner_config({"kind": kind}).model_dump(mode="json"))
    assert words.startswith(f"{kind}: ")
    named = {word for item in words.split(": ", 1)[1].split(", ") for word in item.split(" ")}
    assert there <= named
    assert not absent & named
    assert "l2 0.1" in _learner({"bias": 0.1, "l2": 0.1})


def test_without_cached_embeddings_only_the_map_is_left_out(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REACT_RL_CACHE", str(tmp_path / "empty"))
    selection = parsed(selection_section(gather(copy).tasks[0]))
    assert "its embeddings are not in the cache" in selection.text
    assert [one.attributes["id"] for one in selection.all("figure")] == [
        "overlap",
        "overlap-rounds",
        "balance",
    ]


def test_a_corpus_that_has_changed_is_not_described(copy: Path) -> None:
    plan = json.loads((copy / "plan.json").read_text())
    plan["config"]["corpora"][0]["max_rows"] = 300
    (copy / "plan.json").write_text(json.dumps(plan))
    selection = parsed(selection_section(gather(copy).tasks[0]))
    assert "corpus 'one' is not the one that was played on" in selection.text
    (balance,) = [one for one in selection.all("figure") if one.attributes["id"] == "balance"]
    assert [one.text for one in balance.all("title")] == ["Class balance on two"]


def test_changed_labels_are_not_described_though_the_draws_are_the_same(copy: Path) -> None:
    plan = json.loads((copy / "plan.json").read_text())
    plan["corpora"]["two"] = "0" * 64
    (copy / "plan.json").write_text(json.dumps(plan))
    selection = parsed(selection_section(gather(copy).tasks[0]))
    assert selection.text.count("corpus 'two' is not the one that was played on") == 1
    (balance,) = [one for one in selection.all("figure") if one.attributes["id"] == "balance"]
    assert [one.text for one in balance.all("title")] == ["Class balance on one"]


def test_names_are_text_and_never_markup(made_corpora: None, comparison: Build, tmp_path: Path) -> None:
    name = '<script>alert("1")</script> & <b>'
    run_comparison(comparison(corpora=[{"corpus": "synthetic", "name": name}]), tmp_path)
    page = Page(build_report(tmp_path / "small")).root
    assert len(page.all("script")) == 1
    assert not page.all("b")
    assert name in section(page, "setup").text


def test_ranks_are_compared_on_enough_corpora_only(
    root: Element, made_corpora: None, comparison: Build, tmp_path: Path
) -> None:
    assert "needs at least 5 complete ones; there are 2" in section(root, "ranks").text
    assert not section(root, "ranks").all("figure")
    five = [{"corpus": "synthetic", "name": f"corpus {i}"} for i in range(5)]
    run_comparison(comparison(corpora=five, strategies=["random", "margin", "entropy"]), tmp_path)
    ranks = parsed(ranks_section(gather(tmp_path / "small").tasks[0]))
    assert len(ranks.all("figure")) == 1
    frame = csv_of(ranks, "ranks")
    assert frame["mean_rank"].sum() == pytest.approx(6.0)
    assert frame["mean_rank"].is_monotonic_increasing


def test_a_loss_is_better_when_it_is_smaller(made_corpora: None, comparison: Build, tmp_path: Path) -> None:
    run_comparison(comparison(metrics=["log_loss"], strategies=["random", "margin", "k-center"]), tmp_path)
    folder = tmp_path / "small"
    table = summarise(read_results(folder))
    page = Page(build_report(folder)).root
    best = str(table["strategy"].iloc[int(table["area"].to_numpy().argmin())])
    assert f", {best} has the best area" in page.all("header")[0].text
    frame = csv_of(page, "aggregates").set_index("strategy")
    means = table.set_index("strategy")["area"]
    assert np.sign(frame["iqm"]["k-center"]) == np.sign(means["random"] - means["k-center"])
    assert "The penalty matrix is left out" in section(page, "pairs").text


def test_one_run_is_enough_for_a_report(made_corpora: None, comparison: Build, tmp_path: Path) -> None:
    run_comparison(comparison(strategies=["random"], seeds=1), tmp_path)
    page = Page(build_report(tmp_path / "small")).root
    assert "nan" not in page.text.lower().split()
    assert "there is only one strategy" in section(page, "pairs").text


def test_a_comparison_that_is_not_finished_is_reported_as_far_as_it_is(copy: Path) -> None:
    for file in (copy / "runs").glob("two--margin--seed0004--*.json"):
        file.unlink()
    page = Page(build_report(copy)).root
    assert "Not finished of the plan: 1 run;" in section(page, "setup").text
    assert "4 paired seeds" in section(page, "result").text


def test_the_command_writes_the_report_into_the_folder_and_says_so(
    made_corpora: None, comparison: Build, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_comparison(comparison(), tmp_path)
    copy = tmp_path / "small"
    assert main(["report", str(copy)]) == 0
    assert capsys.readouterr().out.split() == ["Report:", str(copy / "report.html")]
    assert (copy / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_a_folder_without_a_comparison_is_one_clear_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for form in ([], ["--latex"], ["--markdown"]):
        assert main(["report", str(tmp_path), *form]) == 2
        assert "holds no comparison" in capsys.readouterr().err


def test_the_saved_config_plays_the_same_runs(root: Element, folder: Path, tmp_path: Path) -> None:
    (link,) = [one for one in root.all("a") if one.attributes.get("download") == "small.yaml"]
    text = base64.b64decode((link.attributes["href"] or "").split(",", 1)[1]).decode()
    (tmp_path / "small.yaml").write_text(text)
    code = main(["compare", str(tmp_path / "small.yaml"), "--results", str(tmp_path)])
    assert code == 0
    again: dict[str, Any] = {file.name: file.read_bytes() for file in (tmp_path / "small" / "runs").iterdir()}
    assert again == {file.name: file.read_bytes() for file in (folder / "runs").iterdir()}
