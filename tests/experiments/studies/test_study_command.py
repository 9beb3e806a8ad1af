"""What studies have in common: their command, and tables that grow."""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd
import pytest
import torch

from react_rl.errors import ReActError
from react_rl.experiments.studies.command import (
    paired_seeds,
    paired_seeds_or_none,
    run_study,
    study_parser,
)
from react_rl.experiments.studies.growing import GrowingTable


def test_a_study_runs_on_one_thread_and_prints_what_it_found(capsys: pytest.CaptureFixture[str]) -> None:
    def study(asked: argparse.Namespace) -> str:
        return f"{asked.seeds} seeds, {torch.get_num_threads()} thread, {asked.out}"

    parser = study_parser("About.\n\nMore.", "some", "results/some", seeds=5)
    assert run_study(parser, ["--seeds", "3"], study) == 0
    assert capsys.readouterr().out.strip() == "3 seeds, 1 thread, results/some"
    assert "About." in parser.format_help()
    assert "More." not in parser.format_help()


@pytest.mark.parametrize(
    ("arguments", "said"), [(["--seeds", "1"], "give at least 2"), ([], "no such corpus")]
)
def test_bad_input_is_one_sentence(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def study(_: argparse.Namespace) -> str:
        raise ReActError("There is no such corpus.")

    assert run_study(study_parser("About.", "some", "out", seeds=2), arguments, study) == 2
    found = capsys.readouterr()
    assert said in found.err
    assert len(found.err.strip().splitlines()) == 1
    assert not found.out


@pytest.mark.parametrize(("said", "seeds"), [("2", 2), ("48", 48), ("0", 0)])
def test_a_part_of_a_study_may_have_no_seeds_or_at_least_two(said: str, seeds: int) -> None:
    assert paired_seeds_or_none(said) == seeds


@pytest.mark.parametrize("said", ["1", "-3"])
def test_seeds_that_give_no_interval_are_refused_whatever_the_option(said: str) -> None:
    for read in (paired_seeds, paired_seeds_or_none):
        with pytest.raises(ReActError, match=f"{said} paired seeds gives no interval; give at least 2"):
            read(said)
    with pytest.raises(ReActError, match="0 paired seeds"):
        paired_seeds("0")


def test_a_table_goes_on_where_it_stopped(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    first = GrowingTable(path, ["corpus"], digits=3)
    assert not first.holds(corpus="a")
    first.add(pd.DataFrame({"corpus": "a", "seed": range(2), "area": [0.12345, 0.2]}))
    again = GrowingTable(path, ["corpus"], digits=3)
    assert again.holds(2, corpus="a")
    assert not again.holds(3, corpus="a")
    assert again.holds(range(1, 2), corpus="a")
    assert not again.holds(range(1, 3), corpus="a")
    assert not again.holds(corpus="b")
    again.add(pd.DataFrame({"corpus": ["a", "b"], "seed": [1, 0], "area": [0.3, 0.4]}))
    assert pd.read_csv(path)["area"].tolist() == [0.123, 0.3, 0.4]


def test_a_page_is_the_same_from_the_values_measured_and_from_those_read(tmp_path: Path) -> None:
    measured = GrowingTable(tmp_path / "a.csv", ["corpus"], digits=2)
    measured.add(pd.DataFrame({"corpus": "1", "seed": range(3), "area": [1 / 3, 0.125, 0.5]}))
    pd.testing.assert_frame_equal(
        GrowingTable(tmp_path / "a.csv", ["corpus"], digits=2).frame, measured.frame
    )


@pytest.mark.parametrize("beside", ["{}", '{"rows": 5}', "[]", "{", None])
def test_a_table_of_other_settings_is_not_gone_on_with(tmp_path: Path, beside: str | None) -> None:
    path, settings = tmp_path / "a.csv", {"rows": 4}
    GrowingTable(path, ["corpus"], settings=settings).add(pd.DataFrame({"corpus": ["a"], "seed": [0]}))
    assert GrowingTable(path, ["corpus"], settings=settings).holds(1, corpus="a")
    file = tmp_path / "a.settings.json"
    if beside is None:
        file.unlink()
    else:
        file.write_text(beside)
    with pytest.raises(ReActError, match="name another --out"):
        GrowingTable(path, ["corpus"], settings=settings)
