"""The table of leave-one-out against test accuracy: its columns, its command, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from react_rl.experiments.studies.leave_one_out import main, measure, table
from react_rl.simulation import EpisodeOptions, synthetic_encoded

EPISODE = EpisodeOptions(pool_size=120, dev_size=40, initial_size=10, budget=20, batch_size=5)


def test_evenly_drawn_rows_have_little_bias_and_the_error_is_never_below_it() -> None:
    found = measure(synthetic_encoded(600, 3), ("random", "margin"), 16, EPISODE, (10, 30))
    assert found[["strategy", "labels"]].to_numpy().tolist() == [
        ["random", 10], ["random", 30], ["margin", 10], ["margin", 30],
    ]  # fmt: skip
    numbers = found[["test", "bias", "error", "dev_error"]].to_numpy()
    assert numbers[0].tolist() == numbers[2].tolist(), "nobody has chosen yet"
    assert (found["error"] >= found["bias"].abs()).all()
    assert abs(found["bias"][1]) < 0.05
    assert table(found).count("\n") == 6


def test_the_command_writes_both_tables(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "react_rl.experiments.studies.leave_one_out.prepare", lambda *_, **__: [synthetic_encoded(900, 3)]
    )
    monkeypatch.setattr("react_rl.experiments.studies.leave_one_out.EPISODE", EPISODE)
    monkeypatch.setattr(measure, "__defaults__", (("random",), 2, EPISODE, (10,)))
    assert main(["--corpora", "synthetic", "--seeds", "2", "--out", str(tmp_path)]) == 0
    assert (tmp_path / "table.md").read_text() == capsys.readouterr().out.removesuffix("\n")
    assert pd.read_csv(tmp_path / "table.csv")["labels"].tolist() == [10]


@pytest.mark.parametrize("arguments", [["--seeds", "0"], ["--corpora", "synthetc"]])
def test_what_cannot_be_measured_is_one_sentence(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "--out", str(tmp_path)]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
