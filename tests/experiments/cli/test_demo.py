"""The demo: train on one half of the rows, compare on the other, tables and figures at the end."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from react_rl.data.corpus import SPLITS
from react_rl.experiments import CompareConfig, TrainConfig, load_config
from react_rl.experiments.cli import demo, main
from react_rl.simulation.corpora import load

SMALL = ["--corpora.0.max-rows", "200", "--corpora.1.max-rows", "200", "--encoder.max-length", "32"]
EPISODE = ["--episode.pool-size", "50", "--episode.dev-size", "15", "--episode.budget", "15"]


def test_no_text_is_in_both_halves() -> None:
    training, comparing = load_config(TrainConfig, "demo-train"), load_config(CompareConfig, "demo-compare")
    for ours, theirs in zip(training.corpora, comparing.corpora, strict=True):
        first, second = load(ours), load(theirs)
        used = [
            {" ".join(half.texts[row].lower().split()) for split in SPLITS for row in half.ids(split)}
            for half in (first, second)
        ]
        assert min(map(len, used)) > 500
        assert used[0].isdisjoint(used[1])


@pytest.mark.slow
def test_the_demo_trains_compares_and_says_where_everything_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def small(kind: Any, source: str, overrides: Sequence[str] = ()) -> Any:
        agent = ["--agent.n-envs", "4", "--agent.evaluations", "1", "--agent.evaluation-episodes", "4"]
        own = agent if kind is TrainConfig else ["--jobs", "1"]
        return load_config(kind, source, [*overrides, *SMALL, *EPISODE, *own])

    monkeypatch.setattr(demo, "load_config", small)
    results = tmp_path / "results"
    assert main(["demo", "--results", str(results), "--episodes", "8", "--seeds", "2"]) == 0
    shown = capsys.readouterr()
    folder = results / "demo"
    strategies = ("demo-policy", *load_config(CompareConfig, "demo-compare").strategies)
    for name in (*strategies, "2 paired seeds", "learning_curves.png", str(folder), "Done in"):
        assert name in shown.out
    assert "Traceback" not in shown.err
    assert shown.err.count("smallest") == 2  # what the corpora hold, before training and before comparing
    for name in ("learning_curves", "areas", "policy_weights"):
        assert (folder / f"{name}.png").is_file()
        assert (folder / f"{name}.svg").is_file()
    summary = pd.read_csv(folder / "summary.csv")
    assert set(summary["strategy"]) == set(strategies)
    assert len(list((folder / "runs").iterdir())) == 2 * len(strategies) * 2
    card = json.loads((folder / "policy" / "card.json").read_text())
    assert all(name.endswith("[first half]") for name in card["trained_on"])
    assert all(name.endswith("[second half]") for name in summary["corpus"].unique()[:2])

    assert main(["plot", str(folder)]) == 0
    assert main(["list", "policies", "--results", str(results)]) == 0
    assert "demo/policy" in capsys.readouterr().out
