"""The study of what is kept from phase to phase: its table, and its command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from react_rl.data import drifting, synthetic_corpus
from react_rl.data.synthetic import synthetic_embeddings
from react_rl.experiments.run.episodes import play
from react_rl.experiments.studies import continual as study
from react_rl.metrics.continual import NUMBERS
from react_rl.simulation import EncodedCorpus, EpisodeOptions

SMALL = EpisodeOptions(pool_size=60, dev_size=30, initial_size=5, budget=24, batch_size=4)


def test_the_command_writes_runs_matrices_and_a_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = drifting(synthetic_corpus(n_rows=300, n_classes=4), 2)
    stream = EncodedCorpus.build(corpus, synthetic_embeddings(corpus))
    monkeypatch.setattr(study, "prepare", lambda *_, **__: [stream])
    monkeypatch.setattr(study, "EPISODE", SMALL)
    arguments = [
        "--budget",
        "24",
        "--batch-size",
        "4",
        "--seeds",
        "2",
        "--strategies",
        "random",
        "--out",
        str(tmp_path),
    ]
    played, whole = [], play

    def stopped(*asked: Any, **more: Any) -> Any:
        played.append(asked)
        if len(played) == 3:
            raise KeyboardInterrupt
        return whole(*asked, **more)

    monkeypatch.setattr(study, "play", stopped)
    assert study.main([*arguments, "--recipes", "joint", "replay .5"]) == 130
    assert study.main([*arguments, "--recipes", "joint", "replay .5"]) == 0
    assert len(played) == 4, "what was finished is not played again"
    runs = pd.read_csv(tmp_path / "softmax.csv")
    assert runs.groupby("recipe").size().to_dict() == {"joint": 2, "replay .5": 2, "sequential": 2}
    assert (runs["learned"] - runs["average"]).to_numpy() == pytest.approx(-runs["backward"] / 2, abs=1e-4)
    assert len(pd.read_csv(tmp_path / "softmax_matrices.csv")) == 3 * 2 * 2
    written = (tmp_path / "softmax.md").read_text()
    assert written in capsys.readouterr().out
    assert written.count("\n") == 2 + 3
    assert study.main([*arguments, "--recipes", "joint", "replay .5"]) == 0
    assert (tmp_path / "softmax.md").read_text() == written, "a page from the table alone is the same"
    assert study.main([*arguments, "--test-rows", "20"]) == 2
    assert "was measured with test_rows 1500, not 20" in capsys.readouterr().err
    assert study.main(["--seeds", "1"]) == 2
    assert "give at least 2" in capsys.readouterr().err


def test_a_recipe_is_compared_with_sequential_on_the_orders_in_which_both_were_played() -> None:
    lines = [
        {"order": order, "strategy": "random", "recipe": recipe, "seed": seed, "average": average + seed / 10}
        for order, recipe, average in (
            ("first", "sequential", 0.2),
            ("second", "sequential", 0.4),
            ("second", "ewc 1", 0.5),
        )
        for seed in range(3)
    ]
    runs = pd.DataFrame(lines).assign(**dict.fromkeys([*NUMBERS[1:], "seconds"], 0.0))
    written = study.table(runs)
    assert "| random | sequential | 0.400 |  |" in written, "the mean of both orders"
    assert "| random | ewc 1 | 0.600 | +0.100 [+0.100, +0.100] |" in written


def test_the_second_order_puts_the_same_sets_elsewhere() -> None:
    first, second = (study._config(Path("data"), study.SETS, order) for order in study.ORDERS)
    assert {first.corpus, *first.then} == {second.corpus, *second.then}
    assert (first.corpus, second.corpus) == ("data/yelp_sentences", "data/ag_news")
