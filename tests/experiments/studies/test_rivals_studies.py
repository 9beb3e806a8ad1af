"""The studies of rivals: paired differences, one row's gain by feature, and the search for weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from react_rl.acquisition import make_strategy
from react_rl.acquisition.features import FEATURES
from react_rl.acquisition.strategies.weighted import MIXTURE
from react_rl.agents.imitation.expert import LookAhead
from react_rl.envs.batched import episode_streams
from react_rl.experiments.config.models import CompareConfig, load_config
from react_rl.experiments.studies import features, rivals, tuned_mixture
from react_rl.experiments.studies.gaps import gap
from react_rl.experiments.studies.scores import FOLDER, ScoreTable
from react_rl.experiments.studies.transfer import CHOICES
from react_rl.simulation import EpisodeOptions, LabelingEngine, synthetic_encoded

SMALL = EpisodeOptions(pool_size=60, dev_size=40, initial_size=6, budget=10, batch_size=5)


def areas() -> ScoreTable:
    rng = np.random.default_rng(0)
    base = rng.random((5, 2))
    noise = rng.normal(scale=0.01, size=(5, 2))
    values = {"random": base, "margin": base + 0.05 + noise, "badge": base + np.array([0.1, -0.1])}
    return ScoreTable(("one", "two"), tuple(range(5)), values)


def test_a_gap_is_that_of_the_paired_t_test_and_the_best_comes_first() -> None:
    table = areas()
    one = gap(table, "margin", "random")
    gaps = table.values["margin"] - table.values["random"]
    half = 2.776445 * gaps.mean(1).std(ddof=1) / np.sqrt(5)  # 97.5 % point of t with 4 degrees of freedom
    assert (one.mean, one.half) == pytest.approx((gaps.mean(), half), rel=1e-5)
    assert one.won == 1.0
    assert one.star == "*"
    found = rivals.gaps_of(table)
    assert next(iter(found))[0] == "margin"
    assert {corpus for _, _, corpus in found} == {"", "one", "two"}
    text = rivals.markdown(table, found)
    assert "| badge | +100.0* | -100.0* |" in text


def test_the_tables_are_written_from_kept_areas_alone(tmp_path: Path) -> None:
    table = areas()
    frame = pd.DataFrame(
        [
            {"corpus": corpus, "seed": seed} | {name: own[seed, t] for name, own in table.values.items()}
            for t, corpus in enumerate(table.corpora)
            for seed in table.seeds
        ]
    )
    (tmp_path / FOLDER).mkdir()
    frame.to_csv(tmp_path / FOLDER / "rivals.csv", index=False)
    assert rivals.main(["--results", str(tmp_path / "none"), "--out", str(tmp_path)]) == 0
    assert (tmp_path / "tables.md").read_text().startswith("# Rivals, in numbers")
    assert len(pd.read_csv(tmp_path / "gaps.csv")) == 12
    assert (tmp_path / "gains.png").stat().st_size > 0


def test_without_comparison_and_table_one_sentence_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rivals.main(["--results", str(tmp_path), "--out", str(tmp_path)]) == 2
    assert "run `react-rl compare rivals` first" in capsys.readouterr().err


def test_the_preset_plays_on_corpora_by_which_nothing_was_chosen() -> None:
    config = load_config(CompareConfig, "rivals")
    names = {corpus.name for corpus in config.corpora}
    assert not names & {*CHOICES, "bbc_news", "crowd_tweets"}
    assert {"learned", "tuned-mixture", "mixture", "bait", "refine", "tailor"} <= set(config.strategies)


def test_a_features_gain_is_that_of_buying_its_row() -> None:
    corpus = synthetic_encoded(300, 3)
    found = features.gains(corpus, ["feature:margin", "mixture"], 3, SMALL, (6, 11))
    assert found.shape == (3, 2, 3)
    assert (found[..., -1] >= 0).all()
    engine = LabelingEngine([corpus], SMALL, 3)
    engine.reset([episode_streams(seed, corpus.name) for seed in range(3)], None, [0] * 3)
    view, expert = engine.view, LookAhead(engine)
    rows = torch.cat([-view.margin.masked_fill(~view.available, torch.inf), view.margin], 1)
    named = view.ids.gather(1, rows[:, :60].argmax(1, keepdim=True))
    mixed = make_strategy("mixture").select(view, 1)
    difference = expert.values(torch.cat([named, mixed], 1)[:, :, None])
    np.testing.assert_allclose(
        found[:, 0, 0] - found[:, 0, 1], difference[:, 0] - difference[:, 1], atol=1e-6
    )


def test_worths_are_sorted_and_named_as_features() -> None:
    gains = {"a": np.zeros((4, 2, 2)), "b": np.full((4, 2, 2), 0.01)}
    gains["a"][:, 0, 0] = 0.1
    told = features.worths(gains, ["feature:margin"], (10, 20))
    assert [one.name for one in told] == ["margin", features.BEST]
    assert told[0].mean == pytest.approx(0.03)
    assert told[0].at == pytest.approx({10: 0.055, 20: 0.005})
    assert told[0].corpora == pytest.approx({"a": 0.05, "b": 0.01})
    assert "| margin | +30.00 [+30.00, +30.00] | 0.75 |" in features.markdown(told, 4)
    assert features.draw(told).axes[0].get_yticklabels()[0].get_text() == "margin"


def test_every_feature_that_reads_no_price_text_or_token_is_judged() -> None:
    named = {name.removeprefix("feature:") for name in features.contestants()}
    assert set(FEATURES) - named == {"cheapness", "brevity", "mentions", "peak_entropy"}


def test_candidates_are_few_known_features_with_weights_above_nothing() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        weights = tuned_mixture.drawn(rng)
        assert 2 <= len(weights) <= 7
        assert set(weights) <= set(tuned_mixture.OF_CONTENT)
        assert min(weights.values()) > 0


def test_the_search_halves_and_plays_the_winner_on_fresh_seeds() -> None:
    said: list[str] = []
    corpora = [synthetic_encoded(300, size, seed=size) for size in (2, 4)]
    tried = tuned_mixture.search(corpora, SMALL, ((4, 2), (2, 3)), say=said.append)
    assert [(one.stage, one.seeds) for one in tried] == [(1, 2)] * 4 + [(2, 3)] * 2 + [(3, 3)]
    assert tried[4].gain >= tried[5].gain
    assert tried[-1].weights == tried[4].weights
    kept = sorted(tried[:4], key=lambda one: -one.gain)[:2]
    assert {str(one.weights) for one in kept} == {str(one.weights) for one in tried[4:6]}
    assert len(said) == 3
    assert tuned_mixture.table(tried).count("\n") == 8


def test_the_mixture_gains_nothing_on_itself() -> None:
    court = tuned_mixture.Court([synthetic_encoded(300, 3)], SMALL, 0)
    assert court.gains(MIXTURE, 3).tolist() == [[0.0]] * 3
