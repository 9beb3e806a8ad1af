"""Numbers that a page repeats are those of the committed tables."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from react_rl.experiments.studies.gaps import Gap, gap, mean_gap
from react_rl.experiments.studies.played import score_table

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results"
RECIPES = ROOT / "react_rl" / "learners" / "recipes" / "README.md"

CARD = ("imitated", "bait", "mixture", "uncertainty-herding", "variance-reduction", "margin", "random")
"""Strategies that the model card sets the policy against."""


def rows(page: Path) -> list[list[str]]:
    """Cells of every line of a table on a page, without marks of bold type and code."""
    lines = page.read_text(encoding="utf-8").replace("**", "").replace("`", "").splitlines()
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith("|")]


def quoted(found: Gap) -> str:
    """A difference as pages write it: no zero before the point."""
    return found.plain.replace("+0.", "+.").replace("-0.", "-.")


def test_differences_on_packaged_corpora_are_those_of_their_areas() -> None:
    areas = pd.read_csv(RESULTS / "transfer" / "packaged" / "areas.csv")
    corpora = [str(name) for name in areas["corpus"].unique()]
    tables = [
        score_table(areas[areas["setting"] == name].drop(columns="setting"), corpora, 48)
        for name in ("batch-1", "batch-5", "batch-25")
    ]
    page, card = rows(RESULTS / "transfer" / "README.md"), rows(ROOT / "agents" / "pretrained" / "README.md")
    for rival in set(tables[0].values) - {"learned"}:
        each = [gap(table, "learned", rival) for table in tables]
        whole = [mean_gap(tables, "learned", rival), *each]
        assert [rival, *(f"{quoted(one)}, {one.won:.2f}".replace(" 0.", " .") for one in whole)] in page
        if rival in CARD:
            assert [rival, *(quoted(one) for one in each)] in card


@pytest.mark.parametrize(
    ("page", "table"),
    [
        (RESULTS / "continual" / "README.md", RESULTS / "continual" / "softmax.md"),
        (RESULTS / "continual" / "README.md", RESULTS / "continual" / "finetune.md"),
        (RECIPES, RESULTS / "recipes" / "on_dev.md"),
    ],
)
def test_a_page_repeats_its_table_line_by_line(page: Path, table: Path) -> None:
    said = rows(page)
    assert [row for row in rows(table) if row not in said] == []


@pytest.mark.parametrize(("folder", "first"), [(".", 1), ("chinese", 4)])
def test_the_page_of_recipes_repeats_what_is_worth_what_in_fine_tuning(folder: str, first: int) -> None:
    said = {row[0]: row for row in rows(RECIPES) if row[-1].startswith("x ")}
    head, _, *summary = rows(RESULTS / "recipes" / "finetuning" / folder / "finetune.md")
    numbers = len(head) - 2
    for row in summary[: [len(other) == len(head) for other in summary].index(False)]:
        expected = [cell.replace(" (1)", "") for cell in row[1 : 1 + numbers]]
        assert said[row[0]][first : first + numbers] == expected, row[0]
