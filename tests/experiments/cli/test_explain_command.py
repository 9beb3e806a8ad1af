"""`react-rl explain`: from a policy to tables, figures, a page, and a section of the report."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

import react_rl.experiments
from react_rl.acquisition import make_strategy
from react_rl.data.config import CorpusConfig
from react_rl.errors import ReActError
from react_rl.experiments.cli import main
from react_rl.experiments.cli.explanation import chosen
from react_rl.experiments.explain.folder import (
    Explanation,
    Facts,
    read_explanation,
    refuse_other_policy,
    write_explanation,
)
from react_rl.experiments.report.explanation import said

Build = Callable[..., Path]
TABLES = {"decisions", "drivers", "picks", "formulas", "fidelity", "areas"}


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Choices of four episodes are explained, no more."""
    monkeypatch.setattr("react_rl.experiments.explain.explaining.EXPLAINED", 4)


@pytest.mark.usefixtures("made_corpora", "few")
def test_a_policy_is_explained_beside_its_comparison_and_the_report_shows_it(
    config_file: Build, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = str(
        config_file(strategies=["random", "learned"], corpora=[{"corpus": "synthetic", "name": "one"}])
    )
    assert main(["compare", config, "--results", str(tmp_path)]) == 0
    arguments = ["explain", "learned", config, "--terms", "2", "--results", str(tmp_path), "--seeds", "3"]
    assert main(arguments) == 0
    folder = tmp_path / "small" / "explanations" / "learned"
    printed = capsys.readouterr().out
    assert "learned was played on one;" in printed
    assert str(folder / "explanation.md") in printed
    files = {file.name: file.read_bytes() for file in folder.iterdir()}
    figures = {f"{name}.{kind}" for name in ("decisions", "drivers", "formula") for kind in ("png", "svg")}
    assert files.keys() == {f"{name}.csv" for name in TABLES} | figures | {
        "explanation.json",
        "explanation.md",
    }
    found = read_explanation(folder)
    assert found.facts.seeds == 3
    assert len(found.formulas) == 2
    assert make_strategy(found.facts.formula).name == found.facts.formula
    page = files["explanation.md"].decode()
    assert page.startswith("# What learned does, and why\n")
    assert said(found) in page
    assert page.count("Typical picks") == 3

    assert main(arguments) == 0
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == files, "the same bytes again"

    assert main(["report", str(tmp_path / "small")]) == 0
    report = (tmp_path / "small" / "report.html").read_text()
    assert re.search('<section id="explained"', report)
    assert "Typical picks of each third of the budget" in report
    (folder / "picks.csv").unlink()
    assert main(["report", str(tmp_path / "small")]) == 0, "a damaged explanation is a note in the report"
    assert "picks.csv" in (tmp_path / "small" / "report.html").read_text()


@pytest.mark.usefixtures("no_encoder")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["margin"], "'margin' is no trained policy"),
        (["results/nowhere"], "is no policy folder"),
        (["learned", "--terms", "9"], "A formula of 9 terms is out of range: 1 to 5"),
        (["learned", "--corpora", "bbc_new"], "Did you mean 'bbc_news'"),
        (["learned", "--width", "1"], "width of 1 inches is out of range"),
        (["learned", "--episode.budgett", "3"], "budgett"),
    ],
)
def test_what_cannot_be_explained_is_said_in_a_sentence(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", *arguments]) == 2
    said_of = capsys.readouterr().err.strip().splitlines()
    assert len(said_of) == 1
    assert words in said_of[0]


@pytest.mark.usefixtures("no_encoder")
def test_the_explanation_of_another_policy_is_not_replaced_unasked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = Facts(
        policy="learned", identity="another", kind="scorer", corpora=("c",), seeds=2, first_seed=0,
        explained_seeds=2, situations=4, metric="accuracy", episode={}, linear_share=None, formula="f",
    )  # fmt: skip
    tables = (pd.DataFrame({"corpus": ["c"]}) for _ in TABLES)
    folder = tmp_path / "explain" / "explanations" / "learned"
    write_explanation(folder, Explanation(facts, *tables))
    assert main(["explain", "learned", "--results", str(tmp_path)]) == 2
    assert "holds the explanation of another policy that is called 'learned'" in capsys.readouterr().err
    assert read_explanation(folder).facts == facts
    refuse_other_policy(folder, "learned", "another")
    (folder / "picks.csv").unlink()
    refuse_other_policy(folder, "learned", "what cannot be read counts for nothing")


def test_corpora_are_named_from_the_config_or_as_in_one() -> None:
    known = [CorpusConfig(corpus="bbc_news", max_rows=70), CorpusConfig(corpus="data/x", name="x")]
    assert chosen(known, []) == tuple(known)
    assert chosen(known, ["x", "crowd_tweets"]) == (known[1], CorpusConfig(corpus="crowd_tweets"))
    with pytest.raises(ReActError, match="no corpus 'nowhere'"):
        chosen(known, ["nowhere"])


@pytest.mark.usefixtures("made_corpora", "few")
def test_the_example_of_the_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    page = Path(react_rl.experiments.__file__).with_name("explain") / "README.md"
    (example,) = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    exec(compile(example, str(page), "exec"), {})
    assert make_strategy(capsys.readouterr().out.splitlines()[-1]).name.startswith("weights:")
    assert Path("results/small/explanations/learned/explanation.md").is_file()
