"""The study of prompts: paired gains, and the command."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from react_rl.experiments.studies import prompts as study
from react_rl.learners.linear.settings import SoftmaxSettings
from react_rl.learners.mlp.training import MlpSettings
from react_rl.simulation import synthetic_encoded


def test_gains_are_paired_by_seed_also_where_a_learner_has_fewer() -> None:
    fresh = [("c", study.FRESH, 8, seed, accuracy, 1.0) for seed, accuracy in enumerate((0.1, 0.5, 0.9))]
    other = [("c", "setfit", 8, seed, accuracy, 1.0) for seed, accuracy in enumerate((0.2, 0.6))]
    columns = ["corpus", "learner", "labels", "seed", "accuracy", "seconds"]
    found = study.table(pd.DataFrame(fresh + other, columns=columns)).set_index("learner")
    assert found.loc["setfit", "gain"] == pytest.approx(0.1)
    assert found.loc["setfit", "gain_error"] == pytest.approx(0)
    # 95 % of three seeds: t(2) = 4.303, standard deviation 0.4.
    assert found.loc[study.FRESH, "error"] == pytest.approx(4.303 * 0.4 / 3**0.5, rel=1e-3)


def test_the_command_measures_at_labels_and_adds_to_what_was_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(study, "prepare", lambda *_, **__: [synthetic_encoded(200, 3)])
    monkeypatch.setattr(study, "LABELS", (0, 4, 12))
    monkeypatch.setattr(study, "_POOL", 60)
    compared = {study.FRESH: SoftmaxSettings(), "mlp": MlpSettings(members=1, steps=2)}
    monkeypatch.setattr(study, "learners", lambda *_: compared)
    arguments = ["--corpora", "synthetic", "--seeds", "2", "--test-rows", "20", "--out", str(tmp_path)]
    assert study.main([*arguments, "--learners", study.FRESH]) == 0
    assert study.main([*arguments, "--learners", "mlp"]) == 0
    found = pd.read_csv(tmp_path / "scores.csv")
    measured = found.groupby("learner")["labels"].unique().map(list)
    assert measured.to_dict() == {study.FRESH: [0, 4, 12], "mlp": [0, 4, 12]}
    assert (tmp_path / "table.md").read_text() in capsys.readouterr().out
    assert study.main([*arguments, "--learners", "mpl"]) == 2
    assert "Unknown learner 'mpl'. Did you mean 'mlp'?" in capsys.readouterr().err
