"""The programs of the fine-tuning benchmark play rounds of what they measure."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from react_rl.experiments.benchmarks import harness
from react_rl.experiments.benchmarks.finetune import candidates, restarts, tables, together
from react_rl.learners.finetune import FineTuneSettings
from react_rl.simulation import EpisodeOptions, synthetic_encoded

OPTIONS = EpisodeOptions(pool_size=60, dev_size=40, initial_size=6, budget=12, batch_size=6)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, save_bert: Callable[[Path, Sequence[str]], Path]) -> str:
    """A tiny transformer."""
    return str(save_bert(tmp_path_factory.mktemp("bert") / "tiny", ("one", "two")))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, model: str) -> None:
    """Synthetic texts instead of a corpus, a tiny model, one cheap kind of training, short episodes."""
    monkeypatch.setattr(harness, "load_corpus", lambda *_, **__: None)
    monkeypatch.setattr(harness, "encode", lambda *_, **__: synthetic_encoded())
    light: dict[str, Any] = {"method": "full", "layers": 1}
    monkeypatch.setattr(together, "SETTINGS", {"top layer": light})
    light = light | {"model": model}
    tiny = {"model": model, "layers": 1, "max_length": 24}
    monkeypatch.setattr(restarts, "FineTuneSettings", lambda **keys: FineTuneSettings(**keys | tiny))
    monkeypatch.setattr(
        candidates, "CANDIDATES", {"top layer": light | {"restart": "warm", "steps": 2, "max_length": 24}}
    )
    for program in (restarts, candidates):
        monkeypatch.setattr(program, "OPTIONS", OPTIONS)


def test_episodes_together_are_measured_for_every_number_of_them(
    small: None, model: str, tmp_path: Path
) -> None:
    sizes = ("--episodes", "1", "2", "--rounds", "1", "--max-length", "24")
    together.main(["--corpus", "any", *sizes, "--model", model, "--out", str(tmp_path)])
    lines = json.loads((tmp_path / "together-cpu.json").read_text())
    assert [line["episodes"] for line in lines] == [1, 2]
    assert all(line["rounds_per_second"] > 0 and 0 <= line["padding_share"] < 1 for line in lines)


def test_a_curve_has_a_value_for_each_round_and_seed(small: None) -> None:
    values, _ = restarts.curves(synthetic_encoded(), "warm", 2)
    assert values.shape == (3, 2)
    assert ((values >= 0) & (values <= 1)).all()


def test_candidates_differ_by_area_and_seconds(small: None, tmp_path: Path) -> None:
    candidates.main(["--corpora", "any", "--seeds", "1", "--out", str(tmp_path)])
    (line,) = json.loads((tmp_path / "candidates.json").read_text())
    settings = FineTuneSettings.model_validate({"max_length": 64} | candidates.CANDIDATES["top layer"])
    area, _ = candidates.area(synthetic_encoded(), settings, 0)
    assert line["area"] == round(float(np.mean([area])), 4)
    assert line["processor_seconds"] > 0


def test_tables_are_written_from_what_little_there_is(small: None, tmp_path: Path) -> None:
    candidates.main(["--corpora", "any", "--seeds", "1", "--out", str(tmp_path)])
    tables.main(["--work", str(tmp_path), "--out", str(tmp_path / "out")])
    page = (tmp_path / "out" / "table.md").read_text()
    assert "| top layer |" in page
    assert "as fast as fp32" in page  # the class of the processor
    assert "(not measured)" in page


def test_choosing_on_frozen_embeddings_is_paired_with_fine_tuning_by_seed_and_labels(tmp_path: Path) -> None:
    for seed in range(3):
        curve = {"labels": [50], "accuracy": [0.5 + 0.1 * seed]}
        content = {"corpus": "c", "seed": seed, "scene": "x", "found": {"random": curve}}
        (tmp_path / f"c-frozen-first-{seed}.json").write_text(json.dumps(content))

    def rounds(accuracy: float) -> Any:
        return SimpleNamespace(rounds=[SimpleNamespace(labelled=n, accuracy=accuracy) for n in (25, 50)])

    runs = {
        ("c", "ours-same"): {seed: rounds(0.6 + 0.1 * seed) for seed in (0, 1)},
        ("c", "trainer"): {0: rounds(0.0)},
    }
    lines, rows = tables.frozen_first(tmp_path, runs)
    assert [(row["chosen by"], row["labels"], row["seeds"]) for row in rows] == [
        ("fine-tuned margins", 50, 2),
        ("random", 50, 3),
    ]
    (line,) = lines
    assert "random minus fine-tuned margins -0.100" in line
    assert "2 paired seeds" in line
