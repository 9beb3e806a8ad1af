"""Generated tasks are named in configs and environments as corpora are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from react_rl.data.corpus import Corpus
from react_rl.data.synthetic import synthetic_embeddings
from react_rl.encoders.config import EncoderConfig
from react_rl.encoders.transformer import TextEncoder
from react_rl.envs import LabelingEnv
from react_rl.errors import ReActError
from react_rl.experiments import CompareConfig, CorpusConfig
from react_rl.experiments.cli.comparison import run_comparison
from react_rl.simulation import EncodedCorpus
from react_rl.simulation.corpora import prepare


@pytest.fixture(autouse=True)
def made_vectors(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Vectors come from code; the list holds the names of the corpora encoded."""
    encoded: list[str] = []

    def encode(corpus: Corpus, *_: Any, **__: Any) -> EncodedCorpus:
        encoded.append(corpus.name)
        return EncodedCorpus.build(corpus, synthetic_embeddings(corpus))

    monkeypatch.setattr("react_rl.simulation.corpora.encode", encode)
    monkeypatch.setattr(TextEncoder, "fingerprint", lambda _: {"weights": "made in code"})
    return encoded


def ready(*corpora: CorpusConfig) -> list[EncodedCorpus]:
    return prepare(corpora, EncoderConfig(), "cpu")


def test_seeds_of_a_name_become_tasks_and_their_corpus_is_encoded_once(made_vectors: list[str]) -> None:
    tasks = ready(
        CorpusConfig(corpus="generated:synthetic?seed=0-2"),
        CorpusConfig(corpus="synthetic"),
        CorpusConfig(corpus="generated:synthetic?seed=7&kind=linear", name="mine"),
    )
    assert [task.name for task in tasks] == [
        *(f"generated:synthetic?seed={seed}" for seed in range(3)),
        "synthetic",
        "mine",
    ]
    assert made_vectors == ["synthetic"]
    assert all(task.embeddings is tasks[0].embeddings for task in tasks)
    assert len({task.corpus.digest() for task in tasks}) == 5


def test_options_of_a_corpus_go_to_the_texts_under_a_task() -> None:
    (task,) = ready(CorpusConfig(corpus="generated:synthetic?seed=1", half="first", max_rows=400))
    assert task.name == "generated:synthetic[first half]?seed=1"
    assert task.corpus.n_rows == 400
    assert sum(task.corpus.ids(split).size for split in ("train", "dev", "test")) < 250


def test_the_same_task_twice_is_refused() -> None:
    with pytest.raises(ReActError, match=r"Two corpora are called 'generated:synthetic\?seed=1'"):
        ready(
            CorpusConfig(corpus="generated:synthetic?seed=0-1"),
            CorpusConfig(corpus="generated:synthetic?seed=1"),
        )


def test_a_comparison_plays_generated_tasks(
    comparison: Callable[..., CompareConfig], runs_of: Callable[[Path], list[dict[str, Any]]], tmp_path: Path
) -> None:
    config = comparison(corpora=[{"corpus": "generated:synthetic?seed=0-1"}], seeds=2)
    outcome = run_comparison(config, tmp_path, progress=False)
    assert outcome.played == 8
    assert not outcome.failures


def test_an_environment_trains_on_generated_tasks() -> None:
    episode = {"pool_size": 40, "dev_size": 20, "initial_size": 5, "budget": 12, "batch_size": 4}
    env = LabelingEnv(corpus="generated:synthetic?seed=0-4", episode=episode)
    names = {env.reset(seed=seed)[1]["corpus"] for seed in range(30)}
    assert names == {f"generated:synthetic?seed={seed}" for seed in range(5)}
