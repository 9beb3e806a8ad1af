"""The study of fine-tuning's recipes: what a run writes, with gains and cost over plain."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import scipy.stats

from react_rl.errors import ReActError
from react_rl.experiments.studies import finetune_gains as gains
from react_rl.experiments.studies import finetune_recipes as study
from react_rl.learners.finetune.settings import FineTuneSettings
from react_rl.learners.recipes import AdversarialSettings
from react_rl.simulation import synthetic_encoded


def runs_of(ways: dict[str, tuple[float, float]], seeds: int = 4) -> pd.DataFrame:
    """Runs on two corpora; what a way to train adds to the accuracy, and its seconds."""
    lines = [
        (corpus, recipe, "50", seed, 0.5 + seed * 0.1 + gain, seconds)
        for recipe, (gain, seconds) in ways.items()
        for corpus in "ab"
        for seed in range(seeds)
    ]
    return pd.DataFrame(lines, columns=["corpus", "recipe", "at", "seed", "accuracy", "seconds"])


def test_the_table_holds_gains_with_intervals_and_cost_ratios() -> None:
    found = gains.table(runs_of({"plain": (0.0, 2.0), gains.LONGER: (0.03, 4.0), "eda": (0.02, 3.0)}))
    eda = found[found["recipe"] == "eda"].set_index("corpus")
    assert eda.loc["a", "gain"] == pytest.approx(0.02)
    assert eda.loc["a", "cost"] == 1.5
    assert eda.loc["a", "seconds"] == 0.75, "of one of four seeds"
    assert eda.loc["a", "half"] == pytest.approx(0.0, abs=1e-9), "the spread of plain does not count"
    assert eda.loc["mean", "longer"] == pytest.approx(-0.01), "more epochs bring more"


def test_the_mean_is_of_the_corpora_on_which_a_recipe_was_measured() -> None:
    runs = runs_of({"plain": (0.0, 1.0), gains.LONGER: (0.01, 2.0), "eda": (0.02, 3.0)})
    runs.loc[runs["corpus"] == "b", "accuracy"] += 0.1
    runs = runs[(runs["recipe"] == "plain") | (runs["corpus"] == "a")]
    eda = gains.table(runs).query("recipe == 'eda'").set_index("corpus")
    assert set(eda.index) == {"a", "mean"}
    assert eda["plain"].tolist() == pytest.approx([0.65, 0.65]), "plain of the same corpora"
    assert eda.loc["mean", "longer"] == pytest.approx(0.01)
    written = gains.page(gains.table(runs), "said")
    assert "| eda | +0.020 ± 0.000 | - | +0.020 ± 0.000 | +0.010 ± 0.000 | 3.0 | 0.8 |" in written
    assert "| eda | **+0.020 ± 0.000** (1) | 3.0 |" in gains.summary(gains.table(runs))


def test_beyond_longer_is_left_out_where_longer_was_not_measured_on_the_same_corpora() -> None:
    runs = runs_of({"plain": (0.0, 1.0), gains.LONGER: (0.01, 2.0), "eda": (0.02, 3.0)})
    found = gains.table(runs[(runs["recipe"] != gains.LONGER) | (runs["corpus"] == "a")])
    assert found.query("recipe == 'eda' and corpus == 'mean'")["longer"].isna().all()


def test_the_summary_counts_comparisons_and_corrects_for_them() -> None:
    """Gains of .1, .2, .3 and .4 have t = 3.873 and p = .0304, which ten like it do not survive."""
    runs = runs_of({"plain": (0.0, 1.0), "sure": (0.3, 1.0), "maybe": (0.1, 1.0), "worse": (-0.2, 1.0)})
    runs["accuracy"] += runs["seed"] * runs["recipe"].map({"maybe": 0.1}).fillna(0)
    runs.loc[runs["recipe"] == "sure", "accuracy"] += runs["seed"] % 2 * 0.01
    written = gains.summary(gains.table(runs))
    assert "| maybe | **+0.250 ± 0.205** (2) |" in written
    assert "3 comparisons, 0.2 of them" in written
    assert "2 are above 0, 1 below." in written
    assert "sure at 50 (+0.305), maybe at 50 (+0.250), worse at 50 (-0.200)." in written
    lonely = gains.summary(gains.table(runs[runs["recipe"].isin(["plain", "maybe"])]))
    assert lonely.endswith("over all of them: maybe at 50 (+0.250).\n")
    noisy = pd.concat([runs, *(runs[runs["recipe"] == "maybe"].assign(recipe=f"like {k}") for k in range(9))])
    assert "maybe" not in gains.summary(gains.table(noisy)).splitlines()[-1]


def test_p_is_of_the_paired_seeds_themselves() -> None:
    """Seeds differ by more than the gain, so only pairing finds it; equal differences have no spread."""
    runs = runs_of({"plain": (0.0, 1.0), "same": (0.0, 1.0), "eda": (0.02, 1.0)}, seeds=5)
    eda = runs["recipe"] == "eda"
    runs.loc[eda, "accuracy"] += runs.loc[eda, "seed"].map([0.01, -0.02, 0.0, 0.03, -0.01].__getitem__)
    runs.loc[eda & (runs["corpus"] == "b"), "accuracy"] -= runs["seed"] % 2 * 0.004
    means = runs.groupby(["recipe", "seed"])["accuracy"].mean().unstack("recipe")
    expected = scipy.stats.ttest_rel(means["eda"], means["plain"]).pvalue
    found = gains.table(runs).query("corpus == 'mean'").set_index("recipe")
    assert found.loc["eda", "p"] == pytest.approx(expected, rel=1e-9)
    assert 0.05 < expected < 0.2, "neither end of the scale"
    assert found.loc["same", "p"] == 1.0
    steady = runs_of({"plain": (0.0, 1.0), "eda": (0.25, 1.0)}, seeds=2)
    assert gains.table(steady).query("corpus == 'mean' and recipe == 'eda'")["p"].item() == 0.0


def test_each_number_of_labels_has_a_mean_and_a_table_of_its_own() -> None:
    few, many = runs_of({"plain": (0.0, 1.0), "eda": (0.02, 1.0)}), runs_of({"plain": (0.0, 1.0)})
    found = gains.table(pd.concat([many.assign(at="200"), few]))
    means = found[found["corpus"] == "mean"]
    assert list(zip(means["recipe"], means["at"], strict=True)) == [
        ("plain", "50"),
        ("eda", "50"),
        ("plain", "200"),
    ]
    written = gains.page(found, "said")
    assert written.index("| eda |") < written.index("| 200 labels, 4 seeds |")


def test_seeds_that_were_not_played_everywhere_do_not_count() -> None:
    plain, eda = runs_of({"plain": (0.0, 1.0)}, seeds=5), runs_of({"eda": (0.02, 1.0)}, seeds=3)
    found = gains.table(pd.concat([plain, eda]))
    assert set(found["seeds"]) == {3}
    assert found["plain"].to_numpy() == pytest.approx(0.6), "the mean of the first three"


def test_more_labels_than_the_usual_pool_have_a_larger_one() -> None:
    corpus = synthetic_encoded(1200, 2)
    few, many = (study.options_for(corpus, labels).pool_size for labels in (200, 510))
    assert (few, many) == (500, 511)


def test_what_is_no_recipe_changes_settings() -> None:
    plain = FineTuneSettings(epochs=3, method="full", layers=1)
    assert study.trained_as(gains.LONGER, plain).epochs == 6
    assert study.trained_as("ensemble of 3", plain).members == 3
    assert study.trained_as("freelb .01", plain).adversarial.epsilon == 0.01
    assert study.trained_as("freelb .001", plain).adversarial == AdversarialSettings(
        kind="freelb", epsilon=0.001
    )
    filled = study.trained_as(study.MASKED, plain, Path("a folder"))
    assert filled.augmentation.models == ("a folder",)
    with pytest.raises(ReActError, match="'smooth'"):
        study.trained_as("smooth", plain)


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
    assert set(found["at"].dropna()) == {6, 10}
    assert (tmp_path / "finetune.md").read_text() in capsys.readouterr().out
    assert study.main([*asked, *short, "--first-seed", "1"]) == 0
    again = pd.read_csv(tmp_path / "finetune_runs.csv").set_index(["recipe", "at", "seed"])["accuracy"]
    assert set(again.index.get_level_values("seed")) == {0, 1, 2}
    monkeypatch.setattr(study, "at_labels", None)
    assert study.main([*asked, *short, "--first-seed", "1"]) == 0, "what was measured is kept"
    monkeypatch.setattr(study, "this_machine", lambda: {"processor": "another", "precision": "fp32"})
    assert study.main([*asked, *short]) == 2, "pairs are of one machine"
    assert "name another --out" in capsys.readouterr().err
