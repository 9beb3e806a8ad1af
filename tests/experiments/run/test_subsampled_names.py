"""A config names a subsampled strategy like any other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from react_rl.acquisition.wide.subsampling import Subsampled
from react_rl.errors import ReActError
from react_rl.experiments import CompareConfig
from react_rl.experiments.analysis.about import about
from react_rl.experiments.cli.comparison import run_comparison
from react_rl.experiments.run.strategies import identity, label, resolve


@pytest.mark.usefixtures("made_corpora")
def test_a_comparison_plays_it(
    comparison: Callable[..., CompareConfig], tmp_path: Path, runs_of: Callable[[Path], list[dict[str, Any]]]
) -> None:
    names = ["random", "margin", "subsample:margin", "subsample:8:margin", "alps"]
    run_comparison(comparison(strategies=names, seeds=3), tmp_path)
    bought: dict[str, list[Any]] = {name: [] for name in names}
    for run in runs_of(tmp_path / "small"):
        bought[run["strategy"]].append(run["batches"])
    assert [len(runs) for runs in bought.values()] == [3] * 5
    assert bought["subsample:margin"] == bought["margin"], "the part is the whole of a small pool"
    assert bought["subsample:8:margin"] != bought["margin"]


def test_it_goes_by_its_name() -> None:
    name = "subsample:500:badge"
    assert isinstance(resolve(name), Subsampled)
    assert (label(name), identity(name)) == (name, name)
    assert about(name).summary == "badge on 500 random rows"
    with pytest.raises(ReActError, match="Did you mean 'badge'"):
        resolve("subsample:500:bagde")
