"""Tagged sentences whose entities are exchanged for others of the same type: every tag stays right.

Source: Dai & Adel 2020, An analysis of simple data augmentation for named entity recognition (mention
replacement).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Sentence = tuple[Sequence[str], Sequence[int]]
"""Words, and the IOB2 tag of each: 0 outside, 1 + 2 k where an entity of type k begins, 2 + 2 k inside it."""
Mention = tuple[str, ...]


def entities_of(tags: Sequence[int]) -> list[tuple[int, int, int]]:
    """First word, word behind the last, and type of each entity; an I that continues nothing begins one."""
    found: list[tuple[int, int, int]] = []
    for place, tag in enumerate(tags):
        if tag <= 0:
            continue
        kind, begins = (tag - 1) // 2, tag % 2 == 1
        if not begins and found and found[-1][1] == place and found[-1][2] == kind:
            found[-1] = (found[-1][0], place + 1, kind)
        else:
            found.append((place, place + 1, kind))
    return found


def mentions_of(sentences: Sequence[Sentence]) -> dict[int, list[Mention]]:
    """Different mentions of each type, sorted."""
    found: dict[int, set[Mention]] = {}
    for words, tags in sentences:
        for first, behind, kind in entities_of(tags):
            found.setdefault(kind, set()).add(tuple(words[first:behind]))
    return {kind: sorted(mentions) for kind, mentions in found.items()}


def with_other_mentions(
    sentence: Sentence, known: dict[int, list[Mention]], share: float, rng: np.random.Generator
) -> tuple[list[str], list[int]]:
    """A copy of a sentence with some entities exchanged, at least one where there is another mention.

    Args:
        sentence: Words and tags.
        known: Mentions by type.
        share: Chance of each entity to be exchanged.
        rng: What the draw is taken from.
    """
    words, tags = list(sentence[0]), list(sentence[1])
    entities = entities_of(tags)
    chosen = rng.random(len(entities)) < share
    if entities and not chosen.any():
        chosen[rng.integers(len(entities))] = True
    # From behind, so that the places of what comes before stay.
    for (first, behind, kind), exchanged in list(zip(entities, chosen.tolist(), strict=True))[::-1]:
        own = tuple(words[first:behind])
        others = [mention for mention in known.get(kind, []) if mention != own]
        if exchanged and others:
            other = others[int(rng.integers(len(others)))]
            words[first:behind] = other
            tags[first:behind] = [1 + 2 * kind, *[2 + 2 * kind] * (len(other) - 1)]
    return words, tags
