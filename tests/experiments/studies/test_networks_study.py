"""The study of networks: fits are averaged by network, and judged together where there are several."""

from __future__ import annotations

import numpy as np

from react_rl.experiments.studies.networks import NETWORKS, called, markdown, together
from react_rl.experiments.studies.scores import ScoreTable


def _table(fits: int) -> ScoreTable:
    rng = np.random.default_rng(0)
    noise = rng.normal(scale=0.01, size=(6, 1))
    values = {called(name, fit): 0.5 + 0.1 * place + 0.02 * fit + noise
              for place, name in enumerate(NETWORKS) for fit in range(fits)}  # fmt: skip
    values |= {together(name): 0.7 + 0.1 * place + noise for place, name in enumerate(NETWORKS)}
    return ScoreTable(("cr",), tuple(range(6)), values | {"mixture": 0.4 + noise})


def test_a_network_counts_by_the_mean_of_its_fits() -> None:
    shares = {called(name, fit): 0.1 * (1 + fit) for name in NETWORKS for fit in range(2)}
    page = markdown(_table(2), shares, 2, 1000)
    assert "| scorer | 0.150 | 0.5" in page
    assert "| deep-sets | 0.150 | " in page
    assert "| +100.0 [+100.0, +100.0]* | +210.0 [+210.0, +210.0]* |" in page
    assert "| deep-sets (2) | 0.200 |" in page
    assert "+200.0 [+200.0, +200.0]*" in page


def test_one_fit_has_no_table_of_fits() -> None:
    page = markdown(_table(1), {called(name, 0): 0.1 for name in NETWORKS}, 1, 1000)
    assert "all fits in one policy" not in page
    assert "1 network of each kind" in page
