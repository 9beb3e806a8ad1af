"""Entity-level precision, recall and F1 of tagged sentences, batched over episodes.

Tags are numbers in IOB2: 0 is O, ``1 + 2k`` begins an entity of type k and ``2 + 2k`` continues it. Sentences
come one after the other along the token axis. Readers of other schemes are in ``data.tags``.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from react_rl.errors import ReActError
from react_rl.metrics.classification import Counts as Numbers
from react_rl.metrics.classification import Metric

Mode = Literal["default", "strict"]
"""``default``: an I that continues nothing begins an entity (conlleval). ``strict``: it belongs to none."""

PADDING: Final = -1
"""Tag of a token that does not count, in truth and prediction alike."""


class Counts(NamedTuple):
    """Entities by type, ``(E, K)`` int64 each.

    Args:
        correct: Predicted with the right type and borders.
        predicted: Predicted at all.
        actual: In the truth.
    """

    correct: Tensor
    predicted: Tensor
    actual: Tensor


def _goes_on(tags: Tensor, first: Tensor) -> Tensor:
    """Tokens that continue the entity of the token before ``(E, T)`` bool."""
    outside, kind = tags <= 0, (tags - 1).clamp_min(0) >> 1
    same = torch.zeros_like(outside)
    same[:, 1:] = ~outside[:, :-1] & (kind[:, 1:] == kind[:, :-1])
    return ~outside & (tags & 1 == 0) & same & ~first


def entity_begins(tags: Tensor, first: Tensor) -> Tensor:
    """Tokens at which an entity begins ``(E, T)`` bool, an I that continues nothing included.

    Args:
        tags: ``(E, T)`` int64.
        first: ``(T,)`` or ``(E, T)`` bool, True at the first token of each sentence.
    """
    return (tags > 0) & ~_goes_on(tags, first)


class _Chunks(NamedTuple):
    begins: Tensor  # (E, T) bool: an entity begins at this token
    last: Tensor  # (E, T) int64: its last token, where one begins
    kind: Tensor  # (E, T) int64: its type, where one begins


def _chunks(tags: Tensor, first: Tensor, mode: Mode) -> _Chunks:
    """Entities of tags ``(E, T)``; ``first`` ``(T,)`` or ``(E, T)`` says where sentences begin."""
    goes_on = _goes_on(tags, first)
    # In strict mode an I begins nothing.
    begins = (tags > 0) & ~goes_on if mode == "default" else (tags > 0) & (tags & 1 == 1)
    # A run of tokens that go on ends before the next one that does not.
    length = tags.shape[1]
    place = torch.arange(length, device=tags.device).expand_as(tags)
    stops = torch.where(goes_on, length, place)
    after = torch.cat([stops[:, 1:], stops.new_full((len(stops), 1), length)], 1)
    last = after.flip(1).cummin(1).values.flip(1) - 1
    return _Chunks(begins, last, (tags - 1).clamp_min(0) >> 1)


def entity_counts(
    predicted: Tensor, truth: Tensor, first: Tensor, n_types: int, mode: Mode = "default"
) -> Counts:
    """Count entities.

    Args:
        predicted: ``(E, T)`` int64 tags.
        truth: ``(E, T)`` int64 tags; tokens with -1 count in neither.
        first: ``(T,)`` or ``(E, T)`` bool, True at the first token of each sentence.
        n_types: K.
        mode: What an I that continues nothing is.

    Raises:
        ReActError: Shapes do not fit, or a tag is outside ``-1 .. 2K``.
    """
    if predicted.shape != truth.shape or predicted.ndim != 2 or first.shape[-1] != truth.shape[-1]:
        raise ReActError(
            f"Predicted tags of shape {tuple(predicted.shape)}, true tags of shape {tuple(truth.shape)} and "
            f"sentence beginnings of shape {tuple(first.shape)} do not fit: give (episodes, tokens) each."
        )
    for name, tags in (("predicted", predicted), ("true", truth)):
        if tags.numel() and (int(tags.max()) > 2 * n_types or int(tags.min()) < PADDING):
            raise ReActError(f"A {name} tag is outside -1 to {2 * n_types}, which {n_types} types have.")
    own = _chunks(torch.where(truth == PADDING, PADDING, predicted), first, mode)
    right = _chunks(truth, first, mode)
    both = own.begins & right.begins & (own.last == right.last) & (own.kind == right.kind)

    def by_type(chosen: Tensor, kind: Tensor) -> Tensor:
        found = torch.zeros(len(kind), n_types, dtype=torch.int64, device=kind.device)
        return found.scatter_add_(1, torch.where(chosen, kind, 0), chosen.long())

    return Counts(by_type(both, right.kind), by_type(own.begins, own.kind), by_type(right.begins, right.kind))


Part = Literal["f1", "precision", "recall"]


def entity_score(
    predicted: Tensor, truth: Tensor, first: Tensor, n_types: int, part: Part = "f1", mode: Mode = "default"
) -> Tensor:
    """Micro-averaged score over all entities, ``(E,)`` float32; arguments are those of ``entity_counts``.

    F1 is the overall F1 of seqeval and conlleval. As in seqeval, precision is 0 where nothing is predicted,
    recall where there is no entity, and F1 where there is neither.
    """
    correct, guessed, actual = (c.sum(1) for c in entity_counts(predicted, truth, first, n_types, mode))
    if part == "f1":
        return 2 * correct / (guessed + actual).clamp_min(1)
    return correct / (guessed if part == "precision" else actual).clamp_min(1)


def token_accuracy(predicted: Tensor, truth: Tensor, first: Tensor, n_types: int) -> Tensor:
    """Share of tokens with the right tag ``(E,)``; NaN for an episode without tokens."""
    return ((predicted == truth) & (truth != PADDING)).sum(1) / (truth != PADDING).sum(1)


def _nothing(n_classes: Numbers) -> Numbers:
    """Who guesses tags evenly finds next to no entity."""
    return np.zeros_like(n_classes)


ENTITY_METRICS: Final[Mapping[str, Metric]] = MappingProxyType(
    {
        "entity_f1": Metric(entity_score, True, _nothing, 1.0),
        "entity_precision": Metric(partial(entity_score, part="precision"), True, _nothing, 1.0),
        "entity_recall": Metric(partial(entity_score, part="recall"), True, _nothing, 1.0),
        "entity_f1_strict": Metric(partial(entity_score, mode="strict"), True, _nothing, 1.0),
        "token_accuracy": Metric(token_accuracy, True, lambda n: 1.0 / n, 1.0),
    }
)
"""Metrics of tagging by the name that configs use."""
