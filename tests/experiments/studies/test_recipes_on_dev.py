"""Choosing a recipe on dev: what is counted as fooled, and the command."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from react_rl.experiments.studies import recipes_on_dev as study
from react_rl.simulation import EpisodeOptions, synthetic_encoded

SMALL = EpisodeOptions(pool_size=40, dev_size=20, initial_size=6, budget=8, batch_size=4)


def test_dev_is_fooled_where_its_choice_is_worse_on_test_than_the_fixed_recipe() -> None:
    columns = ["corpus", "seed", "labels", "recipe", "dev", "test"]
    lines = []
    for seed, labels, (plain_dev, plain), (smooth_dev, smooth) in (
        (0, 10, (0.5, 0.5), (0.6, 0.7)),
        (0, 20, (0.8, 0.6), (0.6, 0.7)),
        (1, 10, (0.5, 0.8), (0.5, 0.7)),
        (1, 20, (0.4, 0.9), (0.5, 0.9)),
    ):
        lines.append(("a", seed, labels, "plain", plain_dev, plain))
        lines.append(("a", seed, labels, "smooth", smooth_dev, smooth))
    (found,) = study.judged(pd.DataFrame(lines, columns=columns), "smooth").to_dict("records")
    assert found["fooled"] == 0.25, "in the second round of the first seed alone"
    assert found["loss"] == pytest.approx(0.1)
    assert found["fixed"] == pytest.approx((0.7 + 0.7 + 0.7 + 0.9) / 4 - 0.7)
    assert found["dev"] == pytest.approx((0.7 + 0.6 + 0.8 + 0.9) / 4 - 0.7)
    assert found["best"] == pytest.approx((0.7 + 0.7 + 0.8 + 0.9) / 4 - 0.7)


def test_the_command_compares_a_fixed_recipe_with_the_best_on_dev(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(study, "prepare", lambda *_, **__: [synthetic_encoded(200, 3)])
    monkeypatch.setattr(study, "EPISODE", SMALL)
    arguments = ["--corpora", "synthetic", "--recipes", "l2-loo", "--seeds", "2", "--out", str(tmp_path)]
    assert study.main(arguments) == 0
    found = pd.read_csv(tmp_path / "on_dev.csv")
    assert (found["best"] >= found[["fixed", "dev"]].max(axis=1)).all()
    assert (tmp_path / "on_dev.md").read_text() in capsys.readouterr().out
    assert study.main([*arguments, "--fixed", "smoth"]) == 2
    assert "Did you mean 'smooth'" in capsys.readouterr().err
