"""The study of recipes: pairing, means over corpora, and the command."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from react_rl.experiments.studies import recipes as study
from react_rl.simulation import EpisodeOptions, synthetic_encoded

SMALL = EpisodeOptions(pool_size=40, dev_size=20, initial_size=6, budget=8, batch_size=4)


def test_gains_are_paired_by_seed_and_means_have_the_interval_of_these_corpora() -> None:
    chance = np.random.default_rng(0)
    lines = []
    for corpus in ("a", "b"):
        plain = chance.random(9)
        gain = chance.normal(0.1, 0.01, 9)
        for name, values in (("plain", plain), ("other", plain + gain)):
            lines += [
                (corpus, name, "50", seed, v, 9.0 if name == "plain" else 18.0)
                for seed, v in enumerate(values)
            ]
    columns = ["corpus", "recipe", "at", "seed", "accuracy", "seconds"]
    found = study.gains(pd.DataFrame(lines, columns=columns))
    other = found[found["recipe"] == "other"]
    assert (other["error"] < 0.01).all(), "the spread of plain itself does not count"
    assert other["seconds"].tolist() == [1.0, 1.0]
    mean = study.means(found).set_index("recipe").loc["other"]
    assert mean["gain"] == pytest.approx(other["gain"].mean())
    half = 1.96 * np.sqrt((other["error"] ** 2).sum()) / 2
    assert mean["high"] - mean["gain"] == pytest.approx(half)
    assert (mean["better"], mean["worse"]) == (2, 0)


def test_the_command_measures_recipes_at_labels_and_in_the_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(study, "prepare", lambda *_, **__: [synthetic_encoded(200, 3)])
    monkeypatch.setattr(study, "EPISODE", SMALL)
    arguments = ["--corpora", "synthetic", "--recipes", "smooth", "--seeds", "2", "--out", str(tmp_path)]
    assert study.main(arguments) == 0
    found = pd.read_csv(tmp_path / "gains.csv")
    assert set(found["recipe"]) == {"plain", "smooth"}
    assert set(found["at"]) == {"50", "mixture"}, "the pool has no 200 rows to label"
    assert (tmp_path / "table.md").read_text() in capsys.readouterr().out
    assert study.main([*arguments, "--recipes", "smoth"]) == 2
    assert "is not measured here" in capsys.readouterr().err


def test_the_page_begins_with_means_over_all_corpora() -> None:
    lines = [
        (corpus, "50", "smooth", 0.5, gain, 0.01, 0.0) for corpus, gain in (("bbc_news", 0.02), ("cr", 0.04))
    ]
    columns = ["corpus", "at", "recipe", "plain", "gain", "error", "seconds"]
    written = study.page(pd.DataFrame(lines, columns=columns))
    every, chosen = (written.index(f"## {name}: ") for name in ("All corpora", "Corpora of choice"))
    assert every < written.index("| 50 | smooth | +0.0300 | +0.0161 to +0.0439 | 2 | 0 | 0.000 |") < chosen
