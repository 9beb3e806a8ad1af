"""Comparisons on corpora that come in phases: what run files, tables, figures and reports say of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from react_rl.data.corpus import Corpus
from react_rl.data.synthetic import synthetic_embeddings
from react_rl.encoders.transformer import TextEncoder
from react_rl.experiments import CompareConfig
from react_rl.experiments.analysis.summary import read_results, summarise, write_tables
from react_rl.experiments.cli.comparison import run_comparison
from react_rl.experiments.cli.screen import phase_table
from react_rl.experiments.figures.phases import phase_matrices
from react_rl.experiments.report.phases import phases_section
from react_rl.experiments.report.writing import gather
from react_rl.metrics import phase_numbers
from react_rl.simulation import EncodedCorpus

IN_PHASES = {"corpus": "synthetic", "phases": 3, "name": "stream", "max_rows": 400}


@pytest.fixture(autouse=True)
def made_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    def encode(corpus: Corpus, *_: Any, **__: Any) -> EncodedCorpus:
        return EncodedCorpus.build(corpus, synthetic_embeddings(corpus))

    monkeypatch.setattr("react_rl.simulation.corpora.encode", encode)
    monkeypatch.setattr(TextEncoder, "fingerprint", lambda _: {"weights": "made in code"})


@pytest.fixture
def config(comparison: Callable[..., CompareConfig]) -> CompareConfig:
    episode = {"pool_size": 60, "dev_size": 30, "initial_size": 5, "budget": 24, "batch_size": 4}
    return comparison(corpora=[IN_PHASES, {"corpus": "synthetic"}], seeds=2, episode=episode)


def runs_in(folder: Path) -> dict[str, dict[str, Any]]:
    return {file.name: json.loads(file.read_text()) for file in sorted((folder / "runs").iterdir())}


def test_a_run_file_holds_a_row_of_test_values_for_each_phase_that_ended(
    config: CompareConfig, tmp_path: Path
) -> None:
    outcome = run_comparison(config, tmp_path, progress=False)
    outcome.check()
    for run in runs_in(outcome.folder.folder).values():
        if run["corpus"] == "synthetic":
            assert "phases" not in run
            continue
        own = run["phases"]
        assert own["names"] == ["phase 1", "phase 2", "phase 3"]
        assert own["ended"] == [2, 4, 6], "two rounds of four in each"
        matrix = np.array(own["test"]["accuracy"])
        assert matrix.shape == (3, 3)
        assert np.diag(matrix).mean() > matrix[np.triu_indices(3, 1)].mean() + 0.2, (
            "classes are learned when met"
        )


def test_the_same_comparison_gives_the_same_bytes(config: CompareConfig, tmp_path: Path) -> None:
    once, again = (run_comparison(config, tmp_path / name, progress=False) for name in ("once", "again"))
    assert runs_in(once.folder.folder) == runs_in(again.folder.folder)


def test_tables_figures_and_the_report_say_what_was_kept(config: CompareConfig, tmp_path: Path) -> None:
    folder = run_comparison(config, tmp_path, progress=False).folder.folder
    results = read_results(folder)
    table = summarise(results)
    rows = table[(table["corpus"] == "stream") & (table["strategy"] == results.strategies[0])]
    matrices = [
        run["phases"]["test"]["accuracy"]
        for run in runs_in(folder).values()
        if run["corpus"] == "stream" and run["strategy"] == results.strategies[0]
    ]
    forgotten = [phase_numbers(matrix).forgetting for matrix in matrices]
    assert rows["forgetting"].item() == pytest.approx(np.mean(forgotten))
    ahead = [phase_numbers(matrix, untrained=1 / 3).forward for matrix in matrices]
    assert rows["forward"].item() == pytest.approx(np.mean(ahead))
    assert table[table["corpus"] == "synthetic"]["forgetting"].isna().all()
    write_tables(folder, [(results, table)])
    lines = (folder / "phases.csv").read_text().splitlines()
    assert lines[0] == "corpus,strategy,seed,after,phase,test"
    assert len(lines) == 1 + len(results.strategies) * 2 * 9
    figure = phase_matrices(results)
    assert figure is not None
    assert [ax.get_title() for ax in figure.axes] == [f"{s} on stream" for s in results.strategies]
    assert phase_table(table, results).row_count == len(results.strategies)
    (section,) = phases_section(gather(folder).tasks[0])
    assert "Forward transfer" in section.body
    assert 'download="phases.csv"' in section.body


def test_without_phases_nothing_is_said_of_them(
    comparison: Callable[..., CompareConfig], tmp_path: Path
) -> None:
    folder = run_comparison(comparison(seeds=2), tmp_path, progress=False).folder.folder
    results = read_results(folder)
    assert results.phases == {}
    assert "forgetting" not in summarise(results)
    assert phase_matrices(results) is None
    write_tables(folder, [(results, summarise(results))])
    assert not (folder / "phases.csv").exists()


def test_ignored_phases_end_together(config: CompareConfig, tmp_path: Path) -> None:
    at_once = config.episode.model_copy(update={"phases": "ignored"})
    outcome = run_comparison(config.model_copy(update={"episode": at_once}), tmp_path, progress=False)
    for run in runs_in(outcome.folder.folder).values():
        if run["corpus"] == "stream":
            assert run["phases"]["ended"] == [6, 6, 6]
