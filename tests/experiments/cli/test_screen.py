"""What commands print: tables that lose nothing on a narrow terminal."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from react_rl.experiments import summarise
from react_rl.experiments.analysis.summary import Results
from react_rl.experiments.cli.screen import console_table


@pytest.mark.parametrize("width", [80, 110, 200])
@pytest.mark.parametrize("reference", ["random", "weights:variance_reduction=0.6,density=0.2"])
def test_no_number_of_the_terminals_table_is_cut(width: int, reference: str) -> None:
    strategies = ("random", "margin", "uncertainty-herding", "weights:variance_reduction=0.6,density=0.2")
    rng = np.random.default_rng(0)
    rows = [
        {"corpus": "a", "strategy": strategy, "seed": seed, "round": k, "cost": float(k), "labels": 5}
        | dict.fromkeys(("dev", "test"), float(rng.random()))
        for strategy in strategies
        for seed in range(12)
        for k in range(3)
    ]
    results = Results(pd.DataFrame(rows), "accuracy", 2.0, reference, strategies, 0)
    table = summarise(results)
    stream = io.StringIO()
    Console(file=stream, width=width).print(console_table(table, results, "a", width))
    said = stream.getvalue()
    assert "…" not in said
    assert max(map(len, said.splitlines())) <= width
    for row in table.to_dict("records"):
        parts = [f"{row['area']:.4f}", f"[{row['area_low']:.4f}, {row['area_high']:.4f}]"]
        if row["strategy"] != reference:
            parts += [f"[{row['difference_low']:+.4f}, {row['difference_high']:+.4f}]"]
            parts += [f"{row['wins']:.0f}/{row['ties']:.0f}/{row['losses']:.0f}"]
        assert all(part in said for part in parts)
