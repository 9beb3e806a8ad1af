"""What commands print: tables that lose nothing on a narrow terminal."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from react_rl.data import inspect_corpus, synthetic_corpus
from react_rl.experiments import summarise
from react_rl.experiments.analysis.summary import Results
from react_rl.experiments.cli.screen import console_table, show_facts


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


def test_names_of_corpora_and_what_is_said_of_them_are_whole_on_a_narrow_terminal() -> None:
    stream = io.StringIO()
    facts = replace(
        inspect_corpus(synthetic_corpus(60, 2)),
        name="crowd_tweets[first half]",
        warnings=("seven words that are not to be broken by the end of a line of eighty columns",),
    )
    show_facts([facts, replace(facts, rows=1234567)], Console(file=stream, width=80))
    lines = stream.getvalue().splitlines()
    assert "…" not in stream.getvalue()
    assert f"Warning: corpus 'crowd_tweets[first half]': {facts.warnings[0]}." in lines
    assert "".join(line[:14] for line in lines[1:3]).strip() == facts.name
