"""A small corpus made in code, and embeddings for any corpus, so that everything runs with no download."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from react_rl.data.corpus import Corpus
from react_rl.data.grouping import first_rows, text_groups
from react_rl.data.sentences import entity_strata
from react_rl.data.splits import DEFAULT_SHARES, Shares, draw_splits
from react_rl.errors import ReActError
from react_rl.seeding import entropy_of

_ONSETS: Final = ("b", "d", "f", "g", "k", "l", "m", "n", "p", "r", "s", "t", "v", "z")
_VOWELS: Final = ("a", "e", "i", "o", "u")
_TOPIC_WORDS: Final = 20
_COMMON_WORDS: Final = 150
_NOISE: Final = 1.7


def synthetic_corpus(
    n_rows: int = 600, n_classes: int = 3, seed: int = 0, *, shares: Shares = DEFAULT_SHARES
) -> Corpus:
    """Write a corpus of made-up words: each class has topic words of its own among common ones.

    A text has 6 to 18 words: about three in ten are of its topic, one in ten of any topic, the rest common.
    Classes are about equally frequent.

    Args:
        n_rows: Number of rows, at least 10 and at least 5 a class.
        n_classes: Number of classes, at least 2.
        seed: Decides words, texts and splits.
        shares: Shares of train, dev and test.

    Raises:
        ReActError: If the numbers are too small.
    """
    if n_classes < 2 or n_rows < max(10, 5 * n_classes):
        raise ReActError(
            f"A synthetic corpus of {n_rows} rows and {n_classes} classes is too small:"
            " it needs two classes, 10 rows, and 5 rows a class."
        )
    rng = synthetic_generator(seed, "synthetic corpus")
    vocabulary = made_up_words(n_classes * _TOPIC_WORDS + _COMMON_WORDS, rng)
    n_topical = n_classes * _TOPIC_WORDS
    targets = rng.permutation(np.arange(n_rows, dtype=np.int64) % n_classes)
    texts = []
    for target in targets.tolist():
        length = int(rng.integers(6, 19))
        kind = rng.random(length)
        own = rng.integers(_TOPIC_WORDS, size=length) + target * _TOPIC_WORDS
        other = rng.integers(n_topical, size=length)
        common = rng.integers(_COMMON_WORDS, size=length) + n_topical
        words = np.where(kind < 0.3, own, np.where(kind < 0.4, other, common))
        texts.append(" ".join(vocabulary[word] for word in words.tolist()))
    split, notes = draw_splits(texts, targets, shares=shares, seed=seed)
    return Corpus(
        name="synthetic",
        task="classification",
        texts=tuple(texts),
        targets=targets,
        label_names=tuple(f"topic {number}" for number in range(n_classes)),
        split=split,
        cost=np.ones(n_rows),
        source=f"made in code with seed {seed}",
        notes=notes,
    )


_NAMES: Final = 40
"""Names of each type of entity."""


def synthetic_sentences(
    n_rows: int = 400, n_types: int = 3, seed: int = 0, *, shares: Shares = DEFAULT_SHARES
) -> Corpus:
    """Write tagged sentences of made-up words: entities are names of one to three words of their type.

    A sentence has 4 to 16 words; a third of them has no entity, the others one to three.

    Args:
        n_rows: Number of sentences, at least 10.
        n_types: Types of entities, at least 1.
        seed: Decides words, sentences and splits.
        shares: Shares of train, dev and test.

    Raises:
        ReActError: If the numbers are too small.
    """
    if n_types < 1 or n_rows < max(10, 5 * n_types):
        raise ReActError(
            f"Synthetic sentences, {n_rows} with {n_types} types, are too few: take 10, and 5 for each type."
        )
    rng = synthetic_generator(seed, "synthetic sentences")
    vocabulary = made_up_words(n_types * _NAMES + _COMMON_WORDS, rng)
    tokens, tags = [], []
    for _ in range(n_rows):
        words = rng.integers(_COMMON_WORDS, size=int(rng.integers(4, 17))) + n_types * _NAMES
        own = np.zeros(words.size, dtype=np.int64)
        free = 0
        for _ in range(int(rng.choice([0, 1, 2, 3], p=[1 / 3, 1 / 3, 2 / 9, 1 / 9]))):
            begin, kind = free + int(rng.integers(0, 3)), int(rng.integers(n_types))
            end = min(begin + int(rng.choice([1, 2, 3], p=[0.5, 0.3, 0.2])), words.size)
            if begin >= end:
                break
            words[begin:end] = kind * _NAMES + rng.integers(_NAMES, size=end - begin)
            own[begin], own[begin + 1 : end] = 1 + 2 * kind, 2 + 2 * kind
            free = end
        tokens.append(tuple(vocabulary[word] for word in words.tolist()))
        tags.append(own)
    targets = np.empty(n_rows, dtype=object)
    targets[:] = tags
    texts = [" ".join(words) for words in tokens]
    split, notes = draw_splits(texts, entity_strata(targets, n_types), shares=shares, seed=seed)
    names = [f"{prefix}-type{number}" for number in range(n_types) for prefix in "BI"]
    return Corpus(
        name="synthetic_sentences",
        task="tagging",
        texts=tuple(texts),
        targets=targets,
        label_names=("O", *names),
        split=split,
        cost=np.array([len(own) for own in tags], dtype=np.float64),
        source=f"made in code with seed {seed}",
        notes=notes,
        tokens=tuple(tokens),
    )


def synthetic_token_vectors(corpus: Corpus, dim: int = 24, seed: int = 0) -> npt.NDArray[np.float16]:
    """Make vectors of the tokens of tagged sentences: a stand-in for an encoder.

    Each tag has a random direction, and each occurrence adds Gaussian noise to that of its tag. The vectors
    depend on sentences and tags only.

    Args:
        corpus: A corpus of tagging.
        dim: Length D of the vectors, at least 2.
        seed: Decides directions and noise.

    Returns:
        ``(T, D)`` float16 of unit norm, sentence after sentence.
    """
    rng = synthetic_generator(seed, "synthetic tokens")
    centres = unit_rows(rng.standard_normal((corpus.n_classes, dim)))
    noise = rng.standard_normal((sum(len(tags) for tags in corpus.targets), dim)) * (_NOISE / np.sqrt(dim))
    vectors = unit_rows(centres[np.concatenate(list(corpus.targets))] + noise)
    return vectors.astype(np.float16)


def synthetic_embeddings(corpus: Corpus, dim: int = 16, seed: int = 0) -> npt.NDArray[np.float32]:
    """Make vectors that separate the classes, but not cleanly: a stand-in for an encoder.

    Each class has a random direction, and each text adds Gaussian noise to the direction of its class. Rows
    with the same normalised text get the same vector, made from the class of the lowest of them. The
    vectors depend on texts and classes only, so that halves of a corpus share those of the whole.

    Args:
        corpus: A classification corpus.
        dim: Length D of the vectors, at least 2.
        seed: Decides directions and noise.

    Returns:
        (N, D) float32 of unit norm.

    Raises:
        ReActError: If the task is not classification or ``dim`` is below 2.
    """
    if corpus.task != "classification":
        raise ReActError(f"Synthetic embeddings need a classification corpus, not {corpus.task}.")
    if dim < 2:
        raise ReActError(f"Synthetic embeddings of dimension {dim} are too short; take 2 or more.")
    rng = synthetic_generator(seed, "synthetic embeddings")
    centres = unit_rows(rng.standard_normal((corpus.n_classes, dim)))
    groups = text_groups(corpus.texts)
    classes = corpus.targets[first_rows(groups)]
    noise = rng.standard_normal((len(classes), dim)) * (_NOISE / np.sqrt(dim))
    vectors = unit_rows(centres[classes] + noise)[groups]
    return vectors.astype(np.float32)


def synthetic_surprisal(corpus: Corpus, length: int = 24, seed: int = 0) -> npt.NDArray[np.float32]:
    """Make surprisal vectors at random: a stand-in for a masked language model, blind to classes.

    Args:
        corpus: Rows with the same normalised text get the same vector.
        length: Length S of the vectors, at least 4; four entries in a row differ from 0.
        seed: Decides which, and their values.

    Returns:
        (N, S) float32 of unit norm.
    """
    rng = synthetic_generator(seed, "synthetic surprisal")
    groups = text_groups(corpus.texts)
    n_groups = len(first_rows(groups))
    vectors = np.zeros((n_groups, length))
    places = rng.random((n_groups, length)).argsort(1)[:, :4]
    np.put_along_axis(vectors, places, rng.gamma(2.0, size=places.shape), 1)
    result: npt.NDArray[np.float32] = unit_rows(vectors)[groups].astype(np.float32)
    return result


def synthetic_generator(seed: int, purpose: str) -> np.random.Generator:
    """Random numbers for one purpose.

    Raises:
        ReActError: The seed is negative.
    """
    if seed < 0:
        raise ReActError(f"The seed is {seed}; it must be 0 or above.")
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy_of(seed, purpose))))


def unit_rows(vectors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The rows, each of length one."""
    lengths: npt.NDArray[np.float64] = np.sqrt((vectors**2).sum(axis=-1, keepdims=True))
    return vectors / lengths


def made_up_words(size: int, rng: np.random.Generator) -> list[str]:
    """Return ``size`` different words of two or three syllables."""
    found: dict[str, None] = {}
    while len(found) < size:
        syllables = int(rng.integers(2, 4))
        onsets = rng.integers(len(_ONSETS), size=syllables)
        vowels = rng.integers(len(_VOWELS), size=syllables)
        found["".join(_ONSETS[a] + _VOWELS[b] for a, b in zip(onsets, vowels, strict=True))] = None
    return list(found)
