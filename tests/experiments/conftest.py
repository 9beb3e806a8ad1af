"""Comparisons in fractions of a second, and one cache folder for all that really encode texts."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from react_rl.encoders.transformer import TextEncoder
from react_rl.experiments import CompareConfig, CorpusConfig
from react_rl.simulation import EncodedCorpus, synthetic_encoded

EPISODE = {"pool_size": 40, "dev_size": 20, "initial_size": 5, "budget": 12, "batch_size": 4}


@cache
def made(number: int) -> EncodedCorpus:
    return synthetic_encoded(200, 2 + number, seed=number)


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def own_cache(shared_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody's cache is touched, and the same texts are encoded once."""
    monkeypatch.setenv("REACT_RL_CACHE", str(shared_cache))


@pytest.fixture(autouse=True)
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Comparisons from Python draw nothing here: it would take longer than they do."""
    monkeypatch.setattr("react_rl.experiments.cli.comparison.draw_results", lambda _: None)


@pytest.fixture
def no_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any use of an encoder fails, its files included."""

    def touched(*_: Any, **__: Any) -> Any:
        raise AssertionError("an encoder was touched")

    for name in ("encode", "fingerprint"):
        monkeypatch.setattr(TextEncoder, name, touched)
    for name in ("_folder", "_loaded", "dimension"):
        monkeypatch.setattr(TextEncoder, name, property(touched))


@pytest.fixture
def made_corpora(monkeypatch: pytest.MonkeyPatch) -> None:
    """Corpora of comparisons and trainings are made in code, with vectors made in code."""

    def prepare(configs: Sequence[CorpusConfig], *_: Any, **_more: Any) -> list[EncodedCorpus]:
        made_ones = [made(i + 1) for i in range(len(configs))]
        names = [config.name or f"made-{i}" for i, config in enumerate(configs)]
        return [
            one.with_corpus(replace(one.corpus, name=name))
            for one, name in zip(made_ones, names, strict=True)
        ]

    monkeypatch.setattr("react_rl.experiments.run.compare.prepare", prepare)
    monkeypatch.setattr("react_rl.experiments.run.train.prepare", prepare)
    monkeypatch.setattr("react_rl.experiments.run.imitate.prepare", prepare)
    monkeypatch.setattr("react_rl.experiments.run.adjust.prepare", prepare)
    monkeypatch.setattr("react_rl.experiments.cli.explanation.prepare", prepare)
    monkeypatch.setattr(TextEncoder, "fingerprint", lambda _: {"weights": "made in code"})


@pytest.fixture
def comparison() -> Callable[..., CompareConfig]:
    """A small comparison; keyword arguments change keys, and ``episode`` merges."""

    def build(**changes: Any) -> CompareConfig:
        values: dict[str, Any] = {
            "name": "small",
            "corpora": [{"corpus": "synthetic"}],
            "strategies": ["random", "margin"],
            "seeds": 3,
            "jobs": 1,
            "device": "cpu",
        }
        values |= changes
        values["episode"] = EPISODE | changes.get("episode", {})
        return CompareConfig.model_validate(values)

    return build


@pytest.fixture
def config_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Writes ``config.yaml`` into an empty working folder; keyword arguments change or add keys."""
    monkeypatch.chdir(tmp_path)

    def write(**changes: Any) -> Path:
        values: dict[str, Any] = {
            "name": "small",
            "corpora": [{"corpus": "synthetic"}],
            "strategies": ["random", "margin"],
            "seeds": 2,
            "jobs": 1,
            "device": "cpu",
            "episode": EPISODE,
        }
        values = {k: v for k, v in (values | changes).items() if v is not None}
        path = tmp_path / "config.yaml"
        path.write_text(yaml.safe_dump(values, sort_keys=False))
        return path

    return write


@pytest.fixture
def train_file(config_file: Callable[..., Path]) -> Callable[..., Path]:
    """Writes a config of a small training."""

    def write(**changes: Any) -> Path:
        agent = {
            "episodes": 8, "n_envs": 4, "episodes_per_update": 1, "evaluations": 2,
            "evaluation_episodes": 4, "epochs": 1, "minibatches": 2, "layers": [8],
        }  # fmt: skip
        values: dict[str, Any] = {"strategies": None, "seeds": None, "jobs": None, "agent": agent}
        if "agent" in changes:
            changes["agent"] = agent | changes["agent"]
        return config_file(**(values | changes))

    return write


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    """A user's own CSV: 150 short texts in two classes."""
    good, bad = ("fine", "lovely", "bright", "warm"), ("dull", "awful", "grim", "cold")
    lines = ["text,label"]
    for i in range(150):
        words = (good, bad)[i % 2]
        lines.append(
            f"{words[i % 4]} film number {i} with a {words[(i // 4) % 4]} plot,{['yes', 'no'][i % 2]}"
        )
    path = tmp_path / "reviews.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def run_files() -> Callable[[Path], dict[str, bytes]]:
    """Bytes of every run file of a comparison by name."""

    def read(folder: Path) -> dict[str, bytes]:
        return {file.name: file.read_bytes() for file in sorted((folder / "runs").glob("*.json"))}

    return read


@pytest.fixture
def runs_of(run_files: Callable[[Path], dict[str, bytes]]) -> Callable[[Path], list[dict[str, Any]]]:
    """Every run of a comparison, parsed."""

    def read(folder: Path) -> list[dict[str, Any]]:
        return [json.loads(data) for data in run_files(folder).values()]

    return read
