"""Predictions for unlabelled rows made the same with and without noise: consistency training.

Without noise: nothing dropped, nothing deleted, no gradient. With it: units dropped, tokens deleted. Rows
whose best class is not sure enough do not count. In tagging that is said of words, and words whose first
piece was deleted do not count either.

Source: Xie et al. 2020, Unsupervised data augmentation for consistency training, eq. 1 with its confidence
mask and sharpening; the noise is that of word deletion and dropout, no text is made.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from react_rl.learners.finetune.backbone.dropout import token_numbers, token_places
from react_rl.learners.finetune.methods.network import Network, Texts
from react_rl.learners.finetune.training.lesson import Lesson
from react_rl.learners.finetune.training.store import shortened
from react_rl.learners.recipes.settings import ConsistencySettings

_UNLABELLED: Final = 0x0DA
"""Sets these draws apart from those of other things that happen in a step."""
_BITS: Final = 2**24


def consistency_loss(
    clean: Tensor, noisy: Tensor, settings: ConsistencySettings, there: Tensor | None = None
) -> Tensor:
    """Mean divergence ``KL(sharpened clean | noisy)`` of each episode ``(R,)``, times its weight.

    Rows that are not sure enough count as 0.

    Args:
        clean: ``(R, B, C)`` scores without noise.
        noisy: ``(R, B, C)`` scores with noise; gradients go through these alone.
        settings: Threshold, temperature, weight.
        there: ``(R, B)`` bool, which of them there are, noise included; None for all.
    """
    sure = torch.softmax(clean, 2).amax(2) >= settings.threshold
    target = functional.log_softmax(clean / settings.temperature, 2)
    apart = target.exp() * (target - functional.log_softmax(noisy, 2))
    if there is None:
        return settings.weight * (apart.sum(2) * sure).mean(1)
    # What is not there has scores of something else, maybe infinitely far apart.
    each = apart.sum(2).masked_fill(~(sure & there), 0.0)
    return settings.weight * each.sum(1) / there.sum(1).clamp_min(1)


def train_consistently(
    network: Network,
    working: dict[str, Tensor],
    lesson: Lesson,
    settings: ConsistencySettings,
    step: int,
    keys: Tensor,
) -> Tensor:
    """Leave the gradients of a step on unlabelled rows in ``working``; returns the losses ``(R,)``.

    Args:
        network: The transformer.
        working: ``(R, ...)`` by name, the weights that it reads.
        lesson: Where the rows are from.
        settings: Rows, noise, loss.
        step: Number of the step.
        keys: ``(R,)`` int32 keys of dropout masks and deleted tokens.
    """
    assert lesson.rectangle_of is not None, "whoever asks for consistency gives unlabelled rows"
    chosen = np.stack(
        [
            np.random.default_rng([int(seed), int(round_), _UNLABELLED, step]).choice(rows, settings.rows)
            for rows, seed, round_ in zip(lesson.unlabelled, lesson.seeds, lesson.rounds, strict=True)
        ]
    )
    texts = lesson.rectangle_of(chosen)
    with torch.no_grad(), network.mount(working, lesson.vocabulary):
        clean = network.classify(network.features(texts), lesson.class_mask)
    with network.mount(working, lesson.vocabulary, keys):
        short = shortened(texts, kept_tokens(texts, settings.deleted, keys))
        noisy = network.classify(network.features(short), lesson.class_mask)
    there = None if short.words is None else (short.words >= 0).view(len(keys), -1)
    loss = consistency_loss(clean, noisy, settings, there)
    loss.sum().backward()  # type: ignore[no-untyped-call]
    return loss.detach()


def kept_tokens(texts: Texts, deleted: float, keys: Tensor) -> Tensor:
    """Tokens ``(R B, T)`` bool that stay: all but a share, and the first and the last of each text.

    Args:
        texts: The texts.
        deleted: Share that goes.
        keys: ``(R,)`` int32, one for each episode and step.
    """
    rows, width = texts.mask.shape
    places = token_places(rows // keys.numel(), width, 0, texts.mask.device)
    number = token_numbers(keys, places).view(rows, width) & (_BITS - 1)
    last = texts.mask.sum(1, keepdim=True) - 1
    place = torch.arange(width, device=texts.mask.device)
    return (number >= int(deleted * _BITS)) | (place == 0) | (place == last)
