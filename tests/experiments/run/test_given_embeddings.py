"""Embeddings from a file stand in for an encoder in a comparison."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from react_rl.data import CorpusConfig, synthetic_corpus, synthetic_embeddings
from react_rl.encoders import EncoderConfig, TextEncoder
from react_rl.errors import ReActError
from react_rl.experiments import CompareConfig
from react_rl.experiments.cli.comparison import run_comparison
from react_rl.simulation.corpora import prepare

EPISODE = {"pool_size": 40, "dev_size": 30, "initial_size": 5, "budget": 8, "batch_size": 4}


def config(path: Path) -> CompareConfig:
    return CompareConfig.model_validate(
        {
            "name": "given",
            "corpora": [{"corpus": "synthetic", "embeddings": str(path)}],
            "strategies": ["random", "margin"],
            "seeds": 2,
            "episode": EPISODE,
            "full": "never",
            "device": "cpu",
            "jobs": 1,
        }
    )


@pytest.fixture
def vectors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with embeddings; asking an encoder anything fails."""

    def refuse(self: TextEncoder, *_: object) -> None:
        raise AssertionError("no encoder is needed")

    monkeypatch.setattr(TextEncoder, "fingerprint", refuse)
    monkeypatch.setattr(TextEncoder, "encode", refuse)
    np.save(tmp_path / "a.npy", synthetic_embeddings(synthetic_corpus()))
    return tmp_path / "a.npy"


def test_results_are_filed_under_the_content_of_the_file(vectors: Path, tmp_path: Path) -> None:
    first = run_comparison(config(vectors), tmp_path, progress=False)
    assert (first.played, len(first.failures)) == (4, 0)
    other = tmp_path / "renamed.npy"
    vectors.rename(other)
    assert [
        run.key for run in run_comparison(config(other), tmp_path, progress=False, overwrite=True).runs
    ] == [run.key for run in first.runs]
    np.save(other, np.load(other)[:, :6])
    again = run_comparison(config(other), tmp_path, progress=False, overwrite=True)
    assert again.played == 4
    assert not {run.key for run in again.runs} & {run.key for run in first.runs}


def test_what_needs_an_encoder_says_so(vectors: Path) -> None:
    corpus = CorpusConfig(corpus="synthetic", embeddings=vectors)
    with pytest.raises(ReActError, match=r"embeddings from .*a.npy, and no encoder gives it the surprisal"):
        prepare([corpus], EncoderConfig(), "cpu", progress=False, surprisal=True)
    assert prepare([corpus], EncoderConfig(), "cpu", progress=False)[0].given is not None


def test_a_corpus_without_embeddings_is_written_as_before() -> None:
    assert "embeddings" not in CorpusConfig(corpus="synthetic").model_dump()
