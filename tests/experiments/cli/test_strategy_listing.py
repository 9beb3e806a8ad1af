"""`react-rl list strategies` in a narrow terminal, and what lists and reports say about references."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from react_rl.acquisition.features.registry import FEATURES
from react_rl.acquisition.references import REFERENCES
from react_rl.acquisition.registry import STRATEGIES
from react_rl.experiments.analysis.about import REFERENCE, about
from react_rl.experiments.cli import listings, main
from react_rl.own_code import STRATEGY, announced

WIDTH = 80


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The list as a terminal of 80 columns shows it."""
    shown = io.StringIO()
    monkeypatch.setattr(listings, "console", Console(file=shown, width=WIDTH, soft_wrap=True))
    listings.show_strategies(Path())
    return shown.getvalue().splitlines()


def test_every_line_fits_80_columns_and_nothing_is_cut(lines: list[str]) -> None:
    assert max(map(len, lines)) <= WIDTH
    assert not any("…" in line for line in lines)


def test_every_strategy_stands_under_its_family_with_its_cost_and_source(lines: list[str]) -> None:
    family = ""
    found: dict[str, str] = {}
    for line in lines[1:]:
        if line and not line.startswith(" "):
            family = line.split("  ")[0].strip()
        elif line.startswith("  ") and line[2] != " ":
            found[line.split()[0]] = family
    assert found == {
        name: about(name).family.split(",")[0]
        for name in (*STRATEGIES, *announced(STRATEGY.group), *REFERENCES)
    }
    # The columns are read apart and joined again, because words are broken into lines.
    starts = [lines[0].index(head) for head in ("cost of", "what it takes")]
    costs = " ".join(line[starts[0] : starts[1]].strip() for line in lines)
    sources = " ".join(line[starts[1] :].strip() for line in lines)
    for name in (*STRATEGIES, *announced(STRATEGY.group), *REFERENCES):
        assert about(name).cost in " ".join(costs.split()), name
        assert about(name).source in " ".join(sources.split()), name


def test_references_say_that_they_look_at_labels(lines: list[str]) -> None:
    (heading,) = [line for line in lines if line.startswith("reference ")]
    assert "looks at labels nobody bought" in heading
    for name, make in REFERENCES.items():
        said = about(name)
        assert said.family == REFERENCE
        assert str(make().candidates) in said.cost
        assert "true labels" in said.summary
    assert about("greedy-oracle").source == "Werner et al. 2024"


def test_only_what_a_plan_lists_as_a_policy_is_described_as_one() -> None:
    assert about("mine", ["mine"]).family == "learned"
    assert about("mine", ["other"]).family == about("no_such_module:Mine").family == "own"
    assert about("margin").source == "Scheffer et al. 2001"


def test_every_feature_is_listed_with_what_it_looks_at(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "features"]) == 0
    shown = capsys.readouterr().out
    for name, feature in FEATURES.items():
        assert name in shown
        assert all(word in shown for word in feature.needs)
