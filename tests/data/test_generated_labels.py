"""Invented labels: seeded, of the kinds asked for, with classes that are worth learning."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from react_rl.data import load_corpus
from react_rl.data.generated import (
    FEWEST,
    SMALLEST_CLASS,
    Kind,
    LabelInventor,
    gathered,
    is_generated,
    parse_generated,
)
from react_rl.errors import ReActError


def rows(n: int = 500, classes: int = 6) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    rng = np.random.default_rng(0)
    targets = np.arange(n) % classes
    vectors = rng.standard_normal((classes, 24))[targets] + rng.standard_normal((n, 24)) * 1.5
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), targets


kinds = pytest.mark.parametrize("kind", ["any", "linear", "clusters", "merged", "crossed"])


@kinds
def test_the_seed_decides_and_every_class_has_enough_rows(kind: Kind) -> None:
    vectors, targets = rows()
    seen = set()
    for seed in range(12):
        labels = LabelInventor(vectors, targets).labels(seed, kind)
        assert labels.tolist() == LabelInventor(vectors, targets).labels(seed, kind).tolist()
        sizes = np.bincount(labels)
        assert 2 <= sizes.size <= 40
        assert sizes.min() >= SMALLEST_CLASS
        seen.add(tuple(labels.tolist()))
    assert len(seen) > 8


def test_merged_classes_are_unions_of_the_corpuss_own() -> None:
    vectors, targets = rows()
    for seed in range(5):
        labels = LabelInventor(vectors, targets).labels(seed, "merged")
        assert all(np.unique(labels[targets == own]).size == 1 for own in range(6))


def test_crossed_classes_split_each_side_of_a_direction() -> None:
    vectors, targets = rows(classes=2)
    labels = LabelInventor(vectors, targets).labels(1, "crossed")
    assert all(np.unique(targets[labels == one]).size == 1 for one in np.unique(labels))
    assert np.unique(labels).size == 4


def test_dealt_classes_are_the_corpuss_own_but_for_some_noise() -> None:
    vectors, targets = rows(2000, classes=50)
    sizes = set()
    for seed in range(8):
        labels = LabelInventor(vectors, targets).labels(seed, "dealt")
        assert labels.tolist() == LabelInventor(vectors, targets).labels(seed, "dealt").tolist()
        assert np.bincount(labels).min() >= FEWEST
        kept = [np.bincount(labels[targets == own]).max() for own in range(50)]
        assert np.sum(kept) >= 0.75 * 2000
        sizes.add(labels.max() + 1)
    assert min(sizes) < 8
    assert max(sizes) > 20


def test_gathered_rows_are_nearer_to_their_cluster_and_keep_their_length() -> None:
    vectors, _ = rows(600)
    pulled, cluster = gathered(vectors, 3)
    np.testing.assert_allclose(np.linalg.norm(pulled, axis=1), 1.0, atol=1e-5)
    assert np.unique(cluster).tolist() == list(range(cluster.max() + 1))

    def spread(points: npt.NDArray[np.float32]) -> float:
        """Variance within clusters as a share of all variance."""
        inside = sum(((points[cluster == c] - points[cluster == c].mean(0)) ** 2).sum() for c in set(cluster))
        return float(inside / ((points - points.mean(0)) ** 2).sum())

    assert spread(pulled) < 0.95 * spread(vectors)
    assert np.array_equal(gathered(vectors, 3)[0], pulled)
    assert not np.array_equal(gathered(vectors, 4)[0], pulled)


def test_linear_labels_can_be_learned_from_the_vectors_and_not_from_the_old_classes() -> None:
    vectors, targets = rows(2000)
    gains = []
    for seed in range(8):
        labels = LabelInventor(vectors, targets).labels(seed, "linear")
        onehot = np.eye(labels.max() + 1)[labels]
        centred = vectors - vectors.mean(0)
        weights = np.linalg.lstsq(centred[:1500], onehot[:1500] - onehot[:1500].mean(0), rcond=None)[0]
        right = (centred[1500:] @ weights + onehot[:1500].mean(0)).argmax(1) == labels[1500:]
        gains.append(right.mean() - np.bincount(labels).max() / 2000)
    assert np.mean(gains) > 0.1


def test_a_component_that_points_the_other_way_changes_no_label(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, targets = rows()
    expected = LabelInventor(vectors, targets).labels(3, "linear")
    real = np.linalg.eigh

    def turned(matrix: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        values, components = real(matrix)
        return values, components * np.where(np.arange(values.size) % 2, -1.0, 1.0)

    monkeypatch.setattr(np.linalg, "eigh", turned)
    assert LabelInventor(vectors, targets).labels(3, "linear").tolist() == expected.tolist()


def test_names_say_base_seeds_and_kind() -> None:
    assert is_generated("generated:bbc_news")
    assert not is_generated("bbc_news")
    name = parse_generated("generated:./texts.csv?seed=3-5&kind=linear")
    assert (name.base, name.seeds, name.kind) == ("./texts.csv", (3, 4, 5), "linear")
    assert parse_generated("generated:bbc_news").seeds == (0,)
    assert name.name_of(4, "texts") == "generated:texts?seed=4&kind=linear"
    assert parse_generated("generated:bbc_news").name_of(0, "bbc_news") == "generated:bbc_news?seed=0"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("generated:", "needs a corpus to label"),
        ("generated:generated:bbc_news", "needs a corpus to label"),
        ("generated:bbc_news?sed=1", "Did you mean 'seed'"),
        ("generated:bbc_news?seed=one", "must be a number, or two like 0-9"),
        ("generated:bbc_news?seed=", "must be a number"),
        ("generated:bbc_news?seed=5-2", "run backwards; write 2-5"),
        ("generated:bbc_news?kind=lineer", "Did you mean 'linear'"),
    ],
)
def test_a_wrong_name_says_what_was_meant(name: str, message: str) -> None:
    with pytest.raises(ReActError, match=message):
        parse_generated(name)


def test_too_few_rows_and_texts_without_embeddings_are_refused() -> None:
    vectors, targets = rows(60)
    with pytest.raises(ReActError, match="takes 80 at least"):
        LabelInventor(vectors, targets).labels(0)
    with pytest.raises(ReActError, match="invented from embeddings"):
        load_corpus("generated:synthetic?seed=1")
