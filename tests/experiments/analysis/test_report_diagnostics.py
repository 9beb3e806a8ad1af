"""What strategies bought: overlaps and class shares counted by hand, pools drawn again, maps."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from react_rl.data.config import CorpusConfig
from react_rl.data.corpus import Corpus
from react_rl.data.synthetic import synthetic_corpus, synthetic_embeddings
from react_rl.encoders.cache import ArrayCache
from react_rl.encoders.embedding import encode_corpus
from react_rl.encoders.transformer import EncoderSettings, TextEncoder
from react_rl.envs.batched import episode_streams
from react_rl.errors import ReActError
from react_rl.experiments import CompareConfig
from react_rl.experiments.analysis.diagnostics import (
    Purchases,
    class_balance,
    load_corpora,
    overlaps,
    pool_map,
    redraw,
)
from react_rl.simulation.corpora import load
from react_rl.simulation.draw import Draw
from react_rl.simulation.encoded import EncodedCorpus
from react_rl.simulation.engine import LabelingEngine

EPISODE = {"pool_size": 40, "dev_size": 20, "initial_size": 5, "budget": 12, "batch_size": 4}


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Vectors made up here must not meet other tests' texts."""
    monkeypatch.setenv("REACT_RL_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def config() -> CompareConfig:
    return CompareConfig.model_validate(
        {"name": "x", "corpora": [{"corpus": "synthetic"}], "device": "cpu", "episode": EPISODE}
    )


@pytest.fixture
def corpus() -> Corpus:
    return synthetic_corpus(200)


def test_overlaps_are_jaccard_indices_of_everything_bought_so_far() -> None:
    rng = np.random.default_rng(0)
    runs = []
    for seed, name in itertools.product(range(3), "abc"):
        rows = rng.permutation(20)[: 9 if name != "c" else 6]
        runs.append(
            Purchases(
                "one", name, seed, [99], [list(map(int, rows[i : i + 3])) for i in range(0, rows.size, 3)]
            )
        )
    found = overlaps(runs, ["a", "b", "c"]).set_index(["round", "strategy", "other"])["jaccard"]
    assert len(found) == 3 * 6
    for r, first, second in itertools.product((1, 2, 3), "abc", "abc"):
        if first == second:
            continue
        expected = []
        for seed in range(3):
            sets = {
                run.strategy: {row for batch in run.batches[:r] for row in batch}
                for run in runs
                if run.seed == seed
            }
            expected.append(len(sets[first] & sets[second]) / len(sets[first] | sets[second]))
        assert found[r, first, second] == pytest.approx(np.mean(expected))


def test_only_seeds_that_both_strategies_have_count() -> None:
    runs = [
        Purchases("one", "a", 0, [9], [[1, 2]]),
        Purchases("one", "a", 1, [9], [[1, 2]]),
        Purchases("one", "b", 1, [9], [[2, 3]]),
    ]
    found = overlaps(runs, ["a", "b"])
    assert found["jaccard"].tolist() == pytest.approx([1 / 3, 1 / 3])
    assert found["seeds"].tolist() == [1, 1]


def test_class_balance_is_the_entropy_of_the_class_shares(corpus: Corpus) -> None:
    by_class = [np.flatnonzero(corpus.targets == c).tolist() for c in range(3)]
    run = Purchases(
        "synthetic", "a", 0, by_class[0][:2], [by_class[0][2:4], by_class[1][:4], by_class[2][:4]]
    )
    found = class_balance(corpus, [run])
    assert found["labels"].tolist() == [2, 4, 8, 12]
    two_of_three = np.log(2) / np.log(3)
    assert found["evenness"].tolist() == pytest.approx([0.0, 0.0, two_of_three, 1.0])
    shares = found[[f"share:{name}" for name in corpus.label_names]].to_numpy()
    assert shares[-1] == pytest.approx([1 / 3] * 3)
    assert shares.sum(axis=1) == pytest.approx(np.ones(4))


def test_class_balance_is_averaged_over_seeds(corpus: Corpus) -> None:
    by_class = [np.flatnonzero(corpus.targets == c).tolist() for c in range(3)]
    even = Purchases("synthetic", "a", 0, [rows[0] for rows in by_class], [])
    uneven = Purchases("synthetic", "a", 1, by_class[0][:3], [])
    assert class_balance(corpus, [even, uneven])["evenness"].tolist() == pytest.approx([0.5])


def test_the_pool_of_a_run_is_drawn_again_and_another_corpus_is_noticed(
    corpus: Corpus, config: CompareConfig
) -> None:
    draw = redraw(corpus, config, Purchases("synthetic", "a", 3, [], []))
    assert draw is None, "these are not the initial rows of seed 3"
    expected = _draw(corpus, config, 3)
    pool = sorted(set(expected.pool.tolist()) - set(expected.initial.tolist()))
    run = Purchases("synthetic", "a", 3, expected.initial.tolist(), [pool[:4]])
    again = redraw(corpus, config, run)
    assert again is not None
    assert again.pool.tolist() == expected.pool.tolist()
    assert redraw(synthetic_corpus(220), config, run) is None


def test_a_map_is_the_projection_on_the_two_largest_components(corpus: Corpus, config: CompareConfig) -> None:
    encoder = TextEncoder(config.encoder.settings("cpu"))
    vectors = np.random.default_rng(0).normal(size=(200, 6)).astype(np.float32) * [9, 4, 1, 1, 1, 1]
    encode_corpus(corpus, _Given(encoder, vectors.astype(np.float32)), ArrayCache())
    expected = _draw(corpus, config, 0)
    pool = sorted(set(expected.pool.tolist()) - set(expected.initial.tolist()))
    draw = redraw(corpus, config, Purchases("synthetic", "a", 0, expected.initial.tolist(), [pool[:4]]))
    assert draw is not None
    found = pool_map(corpus, config, draw, 0)
    rows = vectors[draw.pool] / np.linalg.norm(vectors[draw.pool], axis=1, keepdims=True)
    values, axes = np.linalg.eigh(np.cov(rows.T))
    flat = (rows - rows.mean(axis=0)) @ axes[:, ::-1][:, :2]
    assert np.abs(found.position) == pytest.approx(np.abs(flat), abs=1e-5)
    assert found.explained == pytest.approx(values[-2:].sum() / values.sum(), abs=1e-5)
    assert found.targets == [corpus.label_names[t] for t in corpus.targets[draw.pool]]


def test_texts_that_are_not_in_the_cache_are_not_encoded(config: CompareConfig) -> None:
    other = synthetic_corpus(200, seed=77)
    expected = _draw(other, config, 0)
    pool = sorted(set(expected.pool.tolist()) - set(expected.initial.tolist()))
    draw = redraw(other, config, Purchases("synthetic", "a", 0, expected.initial.tolist(), [pool[:4]]))
    assert draw is not None
    with pytest.raises(ReActError, match="not in the cache"):
        pool_map(other, config, draw, 0)


def test_corpora_that_cannot_be_had_are_named_with_the_reason(config: CompareConfig) -> None:
    changed = config.model_copy(
        update={"corpora": (*config.corpora, config.corpora[0].model_copy(update={"corpus": "gone.csv"}))}
    )
    found, reasons = load_corpora(changed, {})
    assert list(found) == ["synthetic"]
    assert len(reasons) == 1
    assert "gone.csv" in reasons[0]


@pytest.mark.parametrize(
    ("name", "cost", "known"),
    [
        ("synthetic", None, True),
        ("synthetic", "words", True),
        ("synthetic", "tokens", False),  # the encoder is not asked
        ("synthetic_sentences", None, True),
        ("synthetic_sentences", "uniform", True),
        ("synthetic_sentences", "tokens+3*entities", True),
    ],
)
def test_a_digest_is_compared_whatever_the_prices(
    config: CompareConfig, name: str, cost: str | None, known: bool
) -> None:
    one = CorpusConfig(corpus=name, cost=cost)
    written = config.model_copy(update={"corpora": (CorpusConfig.model_validate(one.model_dump()),)})
    played = load(one).digest() if cost != "tokens" else "unknown"
    assert list(load_corpora(written, {name: played})[0]) == [name]
    found, reasons = load_corpora(written, {name: "other"})
    assert (list(found), reasons) == (
        ([], [f"corpus {name!r} is not the one that was played on"]) if known else ([name], [])
    )


class _Given:
    """An encoder whose vectors are given."""

    def __init__(self, encoder: TextEncoder, vectors: npt.NDArray[np.float32]) -> None:
        self._encoder, self._vectors = encoder, vectors

    @property
    def settings(self) -> EncoderSettings:
        return self._encoder.settings

    def encode(self, texts: Sequence[str], progress: bool = True) -> npt.NDArray[np.float32]:
        return self._vectors

    def fingerprint(self) -> dict[str, str]:
        return self._encoder.fingerprint()


def _draw(corpus: Corpus, config: CompareConfig, seed: int) -> Draw:
    """The engine's draw, the one that runs are played on."""
    encoded = EncodedCorpus.build(corpus, synthetic_embeddings(corpus))
    engine = LabelingEngine([encoded], config.episode, 1)
    engine.reset([episode_streams(seed, corpus.name)], None, [0])
    return engine.draw_of(0)
