"""The corpus made in code: the same every time, learnable but not trivial."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from react_rl.data import SPLITS, Corpus, synthetic_corpus, synthetic_embeddings
from react_rl.errors import ReActError


def test_it_is_the_same_for_the_same_seed() -> None:
    assert synthetic_corpus(seed=3).digest() == synthetic_corpus(seed=3).digest()
    assert synthetic_corpus(seed=3).digest() != synthetic_corpus(seed=4).digest()


def test_its_texts_differ_and_its_classes_are_balanced() -> None:
    corpus = synthetic_corpus(600, 4)
    assert len(set(corpus.texts)) == 600
    assert np.bincount(corpus.targets).tolist() == [150] * 4
    assert [len(corpus.ids(split)) for split in SPLITS] == [360, 120, 120]


@pytest.mark.parametrize(("n_rows", "n_classes"), [(9, 2), (100, 1), (14, 3)])
def test_it_refuses_to_be_too_small(n_rows: int, n_classes: int) -> None:
    with pytest.raises(ReActError, match="too small"):
        synthetic_corpus(n_rows, n_classes)


def test_a_linear_head_learns_from_a_hundred_labels_but_not_everything() -> None:
    scores = []
    for seed in range(8):
        corpus = synthetic_corpus(seed=seed)
        vectors = synthetic_embeddings(corpus, seed=seed)
        labelled, test = corpus.ids("train")[:100], corpus.ids("test")
        head = LogisticRegression(C=10).fit(vectors[labelled], corpus.targets[labelled])
        scores.append(head.score(vectors[test], corpus.targets[test]))
    assert 0.8 < np.mean(scores) < 0.93


def test_words_alone_tell_the_classes_apart() -> None:
    corpus = synthetic_corpus()
    words = sorted({word for text in corpus.texts for word in text.split()})
    place = {word: number for number, word in enumerate(words)}
    counts = np.zeros((corpus.n_rows, len(words)))
    for row, text in enumerate(corpus.texts):
        for word in text.split():
            counts[row, place[word]] += 1
    train, test = corpus.ids("train"), corpus.ids("test")
    head = LogisticRegression().fit(counts[train], corpus.targets[train])
    assert head.score(counts[test], corpus.targets[test]) > 0.8


def test_embeddings_have_unit_norm_and_the_same_bits_every_time() -> None:
    corpus = synthetic_corpus(60)
    vectors = synthetic_embeddings(corpus, dim=24)
    assert vectors.shape == (60, 24)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-6)
    assert vectors.tobytes() == synthetic_embeddings(corpus, dim=24).tobytes()
    assert vectors.tobytes() != synthetic_embeddings(corpus, dim=24, seed=1).tobytes()


def test_halves_share_the_embeddings_of_the_whole() -> None:
    corpus = synthetic_corpus(60)
    half = synthetic_embeddings(corpus.half("first"))
    assert half.tobytes() == synthetic_embeddings(corpus).tobytes()


def test_the_same_text_has_the_same_vector_whatever_its_label() -> None:
    corpus = synthetic_corpus(60)
    texts = list(corpus.texts)
    texts[9] = texts[4].upper()
    targets = corpus.targets.copy()
    targets[9] = (targets[4] + 1) % 3
    vectors = synthetic_embeddings(replace(corpus, texts=tuple(texts), targets=targets))
    assert vectors[9].tolist() == vectors[4].tolist()
    assert vectors[9].tolist() != vectors[5].tolist()


def test_embeddings_refuse_other_tasks_and_short_vectors() -> None:
    corpus = synthetic_corpus(60)
    with pytest.raises(ReActError, match="dimension 1"):
        synthetic_embeddings(corpus, dim=1)
    other = Corpus(
        name="tags",
        task="tagging",
        texts=corpus.texts,
        targets=corpus.targets,
        label_names=("O",),
        split=corpus.split,
        cost=corpus.cost,
    )
    with pytest.raises(ReActError, match="not tagging"):
        synthetic_embeddings(other)


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(ReActError, match="seed is -2"):
        synthetic_corpus(seed=-2)
