"""The study of tagging on sentences made in code: its curves, areas, page and figure."""

from __future__ import annotations

import numpy as np
import pytest

from react_rl.experiments.studies import tagging
from react_rl.simulation import synthetic_tagged


def test_the_page_says_what_the_curves_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tagging, "POOL", 80)
    table = tagging.measure(synthetic_tagged(300, 2), tagging.STRATEGIES, 2)
    corpus = "synthetic_sentences"
    mine = table[(table["strategy"] == "mnlp") & (table["seed"] == 0)]
    assert mine["tokens"].is_monotonic_increasing
    assert mine["share"].iloc[-1] <= tagging.SHARE
    ends = table[table["strategy"] != "(all labels)"].groupby(["strategy", "seed"])["tokens"].max()
    grid = np.linspace(0, float(ends.min()), 20001)
    by_hand = float(np.interp(grid, mine["tokens"], mine["f1"]).mean())
    assert tagging.areas(table, corpus, "mnlp")[0] == pytest.approx(by_hand, abs=1e-3)
    assert tagging.share_to_reach(table, corpus, "mnlp", 0.0) == 0.0
    assert np.isnan(tagging.share_to_reach(table, corpus, "mnlp", 1.1))
    page = tagging.page(table, "command")
    for strategy in tagging.STRATEGIES:
        assert page.count(f"| `{strategy}` |") == 2 - (strategy == "random")
    assert "of 1 corpora" in page
    assert len(tagging.figure(table).axes) == 1
