"""The study of fine-tuning's recipes: what a run writes, with gains and cost over plain."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from react_rl.experiments.studies import finetune_recipes as study
from react_rl.simulation import synthetic_encoded


def test_the_table_holds_gains_with_intervals_and_cost_ratios() -> None:
    lines = [
        ("a", recipe, "50", seed, 0.5 + seed * 0.1 + gain, seconds)
        for recipe, gain, seconds in (("plain", 0.0, 2.0), ("eda", 0.02, 3.0))
        for seed in range(4)
    ]
    columns = ["corpus", "recipe", "at", "seed", "accuracy", "seconds"]
    found = study.table(pd.DataFrame(lines, columns=columns)).set_index("recipe").loc["eda"]
    assert (found["gain"], found["cost"]) == (pytest.approx(0.02), 1.5)
    assert found["high"] - found["low"] == pytest.approx(0.0, abs=1e-9), "the spread of plain does not count"


@pytest.mark.slow
def test_the_command_writes_a_table_for_recipes_that_fine_tuning_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(study, "prepare", lambda *_, **__: [synthetic_encoded(200, 3)])
    asked = ["--corpora", "synthetic", "--recipes", "ema", "--seeds", "2", "--labels", "6", "10"]
    short = ["--epochs", "1", "--max-length", "12", "--test-rows", "20", "--out", str(tmp_path)]
    assert study.main([*asked, *short]) == 0
    found = pd.read_csv(tmp_path / "finetune.csv")
    assert set(found["recipe"]) == {"plain", "ema"}
    assert set(found["at"]) == {6, 10}
    assert (tmp_path / "finetune.md").read_text() in capsys.readouterr().out
    assert study.main([*asked, *short, "--recipes", "smooth"]) == 2
    assert "not one of fine-tuning" in capsys.readouterr().err
