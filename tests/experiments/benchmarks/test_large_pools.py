"""The benchmark of large pools: exact picks agree with themselves, and the table is written."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from react_rl.acquisition import make_strategy
from react_rl.experiments.benchmarks.large_pools import agreement, main
from react_rl.seeding import Streams
from react_rl.simulation import EpisodeOptions, LabelingEngine, synthetic_encoded


def test_a_batch_agrees_with_itself_and_loses_score_where_it_is_another() -> None:
    options = EpisodeOptions(pool_size=60, dev_size=30, initial_size=6, budget=20, batch_size=5)
    engine = LabelingEngine([synthetic_encoded(300, 3)], options, 2)
    engine.reset([Streams(0), Streams(1)])
    view, scores = engine.view, -engine.view.margin
    exact = make_strategy("margin").select(view, 5)
    same = agreement(view, scores, exact, exact)
    assert same == {
        "same first pick": 1.0,
        "rows above the first pick": 0.0,
        "batch in common": 1.0,
        "lost score, deviations": 0.0,
    }
    worst = torch.where(view.available, scores, torch.inf).argsort(1)[:, :5]
    other = agreement(view, scores, exact, view.ids.gather(1, worst))
    assert other["batch in common"] == 0.0
    assert other["lost score, deviations"] > 1
    assert other["rows above the first pick"] == int(view.n_available[0]) - 1


def test_nothing_to_play_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--corpora", "bbc_news", "--rounds", "0", "--out", str(tmp_path)]) == 2
    assert "--rounds is 0; give at least 1" in capsys.readouterr().err
