"""Invented types of entities: what stays of the corpus and what does not."""

from __future__ import annotations

import numpy as np
import pytest

from react_rl.data.generated_tags import FEWEST, TagInventor
from react_rl.data.synthetic import synthetic_sentences, synthetic_token_vectors
from react_rl.errors import ReActError


def inventor(n_rows: int = 400, n_types: int = 4) -> tuple[TagInventor, list[list[int]]]:
    corpus = synthetic_sentences(n_rows, n_types)
    targets = [own.tolist() for own in corpus.targets]
    return TagInventor(corpus.targets, synthetic_token_vectors(corpus)), targets


def spans(tags: list[int]) -> list[tuple[int, int, int]]:
    """First token, last token (exclusive) and type of each entity, the long way."""
    found = []
    for token, tag in enumerate(tags):
        if tag % 2 == 1:
            end = token + 1
            while end < len(tags) and tags[end] == tag + 1:
                end += 1
            found.append((token, end, (tag - 1) // 2))
    return found


def test_entities_keep_their_borders_or_are_dropped() -> None:
    made, real = inventor()
    kept = total = 0
    for seed in range(8):
        invented, n_types = made.tags(seed)
        for own, truth in zip(invented, real, strict=True):
            mine, theirs = spans(own.tolist()), spans(truth)
            assert len(own) == len(truth)
            assert {one[:2] for one in mine} <= {one[:2] for one in theirs}
            assert sum(end - first for first, end, _ in mine) == (own > 0).sum()
            assert all(0 <= kind < n_types for *_, kind in mine)
            kept, total = kept + len(mine), total + len(theirs)
    assert 0.5 * total < kept < total


def test_every_type_has_entities_and_tasks_differ_in_their_types() -> None:
    made, _ = inventor()
    sizes = set()
    for seed in range(12):
        invented, n_types = made.tags(seed)
        counts = np.bincount(
            [kind for own in invented for *_, kind in spans(own.tolist())], minlength=n_types
        )
        assert counts.min() >= FEWEST
        sizes.add(n_types)
    assert len(sizes) >= 4


def test_a_seed_decides_everything() -> None:
    made, _ = inventor()
    again, _ = inventor()
    first, second, other = made.tags(3)[0], again.tags(3)[0], made.tags(4)[0]
    assert all((a == b).all() for a, b in zip(first, second, strict=True))
    assert any((a != b).any() for a, b in zip(first, other, strict=True))


def test_a_single_type_is_split_in_two_by_some_seeds() -> None:
    made, _ = inventor(n_types=1)
    assert {made.tags(seed)[1] for seed in range(10)} == {1, 2}


def test_too_few_entities_are_refused_in_a_sentence() -> None:
    made, _ = inventor(n_rows=20, n_types=1)
    with pytest.raises(ReActError, match="it takes 20 of a type"):
        made.tags(0)
