"""The study of learning rates: means and paired gains of each method, and what a run writes."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from react_rl.experiments.studies import finetune_methods as study
from react_rl.simulation import synthetic_encoded


def runs_of(gains: dict[float, tuple[float, ...]]) -> pd.DataFrame:
    """Runs of one method on two corpora and two numbers of labels; what each seed has at a rate."""
    lines = [
        (corpus, "lora", at, rate, seed, base + value)
        for rate, values in gains.items()
        for (corpus, at), base in {
            ("a", 20): 0.1,
            ("b", 20): 0.2,
            ("a", 100): 0.3,
            ("b", 100): 0.4,
        }.items()
        for seed, value in enumerate(values)
    ]
    return pd.DataFrame(lines, columns=["corpus", "way", "at", "rate", "seed", "accuracy"])


def test_gains_are_paired_by_seed_and_means_are_of_all_corpora_and_labels() -> None:
    """Gains of .1 and .3: mean .2, deviation .1414, half an interval 12.706 x .1414 / sqrt 2 = 1.2706."""
    low, high = study.table(runs_of({0.001: (0.0, 0.2), 0.01: (0.1, 0.5)})).to_dict("records")
    assert low["accuracy"] == pytest.approx(0.35)
    assert low["gain"] == 0.0
    assert (high["at 20"], high["at 100"]) == pytest.approx((0.45, 0.65))
    assert high["gain"] == pytest.approx(0.2)
    assert high["half"] == pytest.approx(1.2706, abs=1e-4)


def test_what_lacks_a_rate_does_not_count() -> None:
    runs = runs_of({0.001: (0.0, 0.2, 0.9), 0.01: (0.1, 0.5)})
    assert set(study.table(runs)["seeds"]) == {2}


def test_a_method_that_is_played_in_several_ways_has_their_mean_too() -> None:
    """Gains of .1 and .3 in one way and of .3 and .5 in the other; .1 was played in one way alone."""
    top = runs_of({0.001: (0.0, 0.2), 0.01: (0.3, 0.7), 0.1: (0.9, 0.9)}).assign(way="lora, top 2")
    other = runs_of({0.001: (0.0, 0.2)}).assign(way="full")
    runs = pd.concat([runs_of({0.001: (0.0, 0.2), 0.01: (0.1, 0.5)}), top, other])
    found = study.table(runs).set_index("way")
    assert set(found.index) == {"lora", "lora, top 2", "full", "lora, mean"}
    both = found.loc["lora, mean"]
    assert both["rate"].tolist() == [0.001, 0.01]
    assert both["gain"].tolist() == pytest.approx([0.0, 0.3])
    assert both["accuracy"].tolist() == pytest.approx([0.35, 0.65])


def test_the_page_marks_the_best_rate() -> None:
    written = study.page(study.table(runs_of({0.001: (0.0, 0.2), 0.01: (0.1, 0.5)})), "said")
    assert "| lora | 0.001 | 0.250 | 0.450 | 0.350 | - |" in written
    assert "| lora | 0.01 | 0.450 | 0.650 | **0.550** | +0.200 ± 1.271 |" in written


@pytest.mark.slow
def test_the_command_tries_rates_and_keeps_what_was_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(study, "corpora_of", lambda _: [synthetic_encoded(200, 3)])
    asked = ["--corpora", "synthetic", "--methods", "head", "--seeds", "2", "--labels", "6", "10"]
    short = ["--epochs", "1", "--max-length", "12", "--test-rows", "20", "--out", str(tmp_path)]
    assert study.main([*asked, *short]) == 0
    found = pd.read_csv(tmp_path / "runs.csv")
    assert set(found["rate"]) == set(study.TRIED["head"][1])
    assert set(found["at"]) == {6, 10}
    assert (tmp_path / "table.md").read_text() in capsys.readouterr().out
    monkeypatch.setattr(study, "at_labels", None)
    assert study.main([*asked, *short]) == 0, "what was measured is kept"
