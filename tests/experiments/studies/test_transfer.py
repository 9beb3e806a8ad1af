"""The study of transfer: paired differences by corpus and group, from kept tables of areas."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from react_rl.experiments.config.models import CompareConfig, load_config
from react_rl.experiments.studies import transfer
from react_rl.experiments.studies.gaps import Gap, gap
from react_rl.experiments.studies.scores import FOLDER, ScoreTable
from react_rl.experiments.studies.transfer import CHOICES, MEASURES, POLICY, groups, main


def table(seeds: int = 6) -> ScoreTable:
    """Two corpora never used and one that choices were made on; the policy is ahead by .1, .0 and -.1."""
    rng = np.random.default_rng(0)
    base, noise = rng.random((seeds, 3)), rng.normal(scale=0.01, size=(seeds, 3))
    noise -= noise.mean(0)
    ours = base + np.array([0.1, 0.0, -0.1]) + noise
    return ScoreTable(
        ("one", "two", CHOICES[0]), tuple(range(seeds)), {"random": base, "mixture": ours, POLICY: ours}
    )


def test_a_difference_is_that_of_the_paired_t_test() -> None:
    made = table()
    found = gap(made, POLICY, "random", groups(made)["unseen"])
    gaps = made.values[POLICY][:, :2] - made.values["random"][:, :2]
    by_seed = gaps.mean(1)
    half = 2.570582 * by_seed.std(ddof=1) / np.sqrt(6)  # 97.5 % point of t with 5 degrees of freedom
    assert found.mean == pytest.approx(0.05)
    assert (found.low, found.high) == pytest.approx((0.05 - half, 0.05 + half), rel=1e-5)
    assert found.won == pytest.approx((gaps > 0).mean())
    assert (found.corpora, found.surely_ahead, found.surely_behind) == (2, 1, 0)


def test_ties_count_half_and_a_corpus_behind_is_said_to_be() -> None:
    made = table()
    assert gap(made, POLICY, "mixture", ["one"]).won == 0.5
    rounded = Gap.of(np.array([[1e-6], [-1e-6], [2e-6], [0.0]]))
    assert rounded.won == 0.625, "areas that differ by the rounding of two metrics are ties"
    behind = gap(made, POLICY, "random", [CHOICES[0]])
    assert (behind.ahead, behind.surely_behind) == (0, 1)


def test_corpora_that_choices_were_made_on_are_a_group_of_their_own() -> None:
    assert groups(table()) == {"unseen": ["one", "two"], "chosen on": [CHOICES[0]]}


@pytest.mark.parametrize("name", sorted(MEASURES))
def test_the_presets_compare_the_policy_on_corpora_that_it_was_not_trained_on(name: str) -> None:
    config = load_config(CompareConfig, MEASURES[name].comparison)
    corpora = [corpus.name for corpus in config.corpora]
    assert len(corpora) == 18
    assert set(CHOICES) < set(corpora)
    assert not {"bbc_news", "crowd_tweets"} & set(corpora)
    assert POLICY in config.strategies
    assert config.episode.batch_size == int(name.removeprefix("batch-"))
    assert config.seeds >= 48


def test_everything_is_written_from_the_kept_tables_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made, rows = table(), []
    for t, corpus in enumerate(made.corpora):
        for seed in made.seeds:
            rows.append((corpus, seed, *(values[seed, t] for values in made.values.values())))
    (tmp_path / FOLDER).mkdir()
    frame = pd.DataFrame(rows, columns=["corpus", "seed", *made.values])
    frame.to_csv(tmp_path / FOLDER / "batch-5.csv", index=False)
    assert main(["--results", str(tmp_path / "nothing"), "--out", str(tmp_path)]) == 0
    assert "unseen: minus random +0.0500" in capsys.readouterr().out
    read = pd.read_csv(tmp_path / "transfer.csv")
    assert set(read["where"]) == {"unseen", "chosen on", *made.corpora}
    assert "| two | " in (tmp_path / "tables.md").read_text()
    first = (tmp_path / "transfer.svg").read_bytes()
    transfer.write(tmp_path / "nothing", tmp_path)
    assert (tmp_path / "transfer.svg").read_bytes() == first


def test_without_results_it_says_what_to_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--results", str(tmp_path), "--out", str(tmp_path)]) == 2
    assert "react-rl compare transfer" in capsys.readouterr().err
