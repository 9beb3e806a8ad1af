"""Comparisons from Python: paths as text, failures that show, results as tidy frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from react_rl.data import synthetic_corpus, synthetic_embeddings
from react_rl.errors import ReActError
from react_rl.experiments import CompareConfig, read_frames, run_comparison
from react_rl.experiments.run.outcome import Outcome
from react_rl.experiments.run.results import ResultFolder


def test_results_come_as_tidy_frames_from_a_path_that_is_text(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", synthetic_embeddings(synthetic_corpus()))
    config = CompareConfig.model_validate(
        {
            "name": "study",
            "corpora": [{"corpus": "synthetic", "embeddings": str(tmp_path / "v.npy")}],
            "strategies": ["random", "margin"],
            "seeds": 2,
            "episode": {"pool_size": 40, "dev_size": 30, "initial_size": 5, "budget": 8, "batch_size": 4},
            "device": "cpu",
            "jobs": 1,
        }
    )
    outcome = run_comparison(config, str(tmp_path), progress=False)
    outcome.check()
    assert "4 played, 0 kept, 0 failed" in repr(outcome)
    frames = read_frames(str(tmp_path / "study"))
    assert "curves: 12 rows, areas: 4 rows, purchases: 52 rows" in repr(frames)
    bought = frames.purchases.groupby(["corpus", "strategy", "seed", "round"]).size()
    assert bought.xs(0, level="round").tolist() == [5] * 4
    assert bought.xs(2, level="round").tolist() == [4] * 4
    assert not frames.purchases.duplicated(["corpus", "strategy", "seed", "row"]).any()
    assert frames.areas["area"].between(0, 1).all()


def test_failures_are_raised_when_asked(tmp_path: Path) -> None:
    failed = [{"corpus": "c", "strategy": "s", "seed": "0", "reason": "it broke"}]
    outcome = Outcome(ResultFolder(tmp_path), [], 0, 0, failed, {})
    assert "1 failed" in repr(outcome)
    with pytest.raises(ReActError, match="it broke"):
        outcome.check()
