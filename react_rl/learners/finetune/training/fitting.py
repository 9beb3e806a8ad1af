"""One round of training: R episodes with equally many labelled rows, each from its own weights, side by side.

Gradients of different episodes never meet: each has its own loss, norm, clip and optimiser state. The order
of batches and the dropout masks are functions of an episode's seed and the round, so an episode learns the
same whichever others are trained beside it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from react_rl.learners.finetune.backbone.dropout import step_keys
from react_rl.learners.finetune.methods.network import Network
from react_rl.learners.finetune.settings import FineTuneSettings
from react_rl.learners.finetune.training.adversarial import train_against
from react_rl.learners.finetune.training.anchoring import Mixout
from react_rl.learners.finetune.training.averaging import WeightAverage
from react_rl.learners.finetune.training.consistency import train_consistently
from react_rl.learners.finetune.training.lesson import Lesson
from react_rl.learners.finetune.training.mixing import draw_pairs
from react_rl.learners.finetune.training.objective import BatchPiece
from react_rl.learners.finetune.training.optimiser import Optimiser

_SECOND: Final = 104729
"""Counter that sets the masks of a second pass apart from those of the first."""
_NOISE: Final = 130363
"""The same for the pass over unlabelled rows."""
_WINDOW: Final = 4
"""Batches among which rows are sorted by length: less padding, and the order stays nearly random."""


@dataclass(frozen=True)
class Fitted:
    """What came of a round.

    Args:
        weights: ``(R, ...)`` float32 by name.
        loss: Training loss of the last step ``(R,)``.
        failed: Episodes whose loss or weights are not finite ``(R,)``.
        steps: Optimiser steps.
    """

    weights: dict[str, Tensor]
    loss: Tensor
    failed: npt.NDArray[np.bool_]
    steps: int


def fit(
    network: Network,
    masters: dict[str, Tensor],
    lesson: Lesson,
    settings: FineTuneSettings,
    rate: float,
    pieces: int,
) -> Fitted:
    """Train.

    Args:
        network: The transformer.
        masters: ``(R, ...)`` float32 by name, where to begin; trained in place. Where the model computes in
            fp32 too they are what it reads.
        lesson: What to learn.
        settings: How.
        rate: Peak learning rate.
        pieces: Pieces that each batch is cut into, to save memory.
    """
    n = lesson.targets.shape[1]
    per_epoch = math.ceil(n / settings.batch_size)
    total = settings.steps or settings.epochs * per_epoch
    optimiser = Optimiser(network, masters, settings, rate, lesson.anchors, lesson.held)
    working = optimiser.working
    mixout = _mixout(network, masters, lesson, settings)
    if network.adapter is not None:
        network.adapter.plan(total)
    importance = _importance(lesson, settings)
    average = WeightAverage(settings.average, total) if settings.average.kind != "none" else None
    best = _Best(masters, settings.patience) if lesson.dev_loss is not None else None
    step, epoch = 0, 0
    loss = torch.zeros(lesson.targets.shape[0])
    broken = torch.zeros(lesson.targets.shape[0], dtype=torch.bool)
    while step < total:
        for chosen in _batches(lesson, settings.batch_size, epoch):
            read = working if mixout is None else mixout.mixed(working, step)
            loss = _gradients(network, read, lesson, importance, chosen, step, settings, pieces)
            if mixout is not None:
                mixout.give_back(read, working)
            broken |= ~torch.isfinite(loss)
            optimiser.step(_schedule(step, total, settings.warmup))
            if average is not None:
                average.note(step, masters)
            step += 1
            if step == total:
                break
        epoch += 1
        if best is not None and lesson.dev_loss is not None:
            with torch.inference_mode():
                measured = lesson.dev_loss(working)
            if best.update(measured, masters):
                break
    final = masters if best is None else best.weights
    if average is not None and average.weights:
        final = average.weights
    for array in final.values():
        # One infinity or NaN makes a sum such; ten times as quick as a look at each number.
        broken |= ~torch.isfinite(array.detach().flatten(1).sum(1)).cpu()
    trained = {name: array.detach() for name, array in final.items()}
    return Fitted(trained, loss, broken.numpy(), step)


def _schedule(step: int, total: int, warmup: float) -> float:
    """Factor on the learning rate: linear up, then linear down to zero."""
    rising = int(warmup * total)
    if step < rising:
        return step / max(rising, 1)
    return (total - step) / max(total - rising, 1)


def _batches(lesson: Lesson, size: int, epoch: int) -> list[npt.NDArray[np.int64]]:
    """Positions ``(R, B)`` of each batch of an epoch: shuffled, neighbours in length together."""
    episodes, n = lesson.lengths.shape
    orders = np.empty((episodes, n), np.int64)
    for e in range(episodes):
        seed = [int(lesson.seeds[e]), int(lesson.rounds[e]), epoch]
        order = np.random.default_rng(seed).permutation(n)
        for start in range(0, n, _WINDOW * size):
            window = order[start : start + _WINDOW * size]
            orders[e, start : start + len(window)] = window[
                np.argsort(-lesson.lengths[e, window], kind="stable")
            ]
    cuts = [orders[:, start : start + size] for start in range(0, n, size)]
    # The same order of batches for all, so that long texts of all episodes meet in one rectangle.
    turn = np.random.default_rng([n, epoch]).permutation(len(cuts))
    return [cuts[i] for i in turn]


def _keys(lesson: Lesson, *counters: int) -> Tensor:
    rounds = torch.from_numpy(lesson.rounds)
    return step_keys(lesson.seeds + rounds * 0x9E3779B9, *counters)


def _mixout(
    network: Network, masters: dict[str, Tensor], lesson: Lesson, settings: FineTuneSettings
) -> Mixout | None:
    if settings.mixout == 0 or lesson.anchors is None:
        return None
    pretrained = [name for name in masters if network.pretrained(name) is not None]
    return Mixout(masters, lesson.anchors, pretrained, settings.mixout, lesson.seeds, lesson.rounds)


def _importance(lesson: Lesson, settings: FineTuneSettings) -> Tensor:
    """Weight of each class in the loss ``(R, C)`` float32."""
    if settings.class_weights == "none":
        return torch.ones(lesson.class_mask.shape, device=lesson.targets.device)
    targets = lesson.targets.flatten(1)
    known = targets >= 0
    classes = functional.one_hot(targets.clamp_min(0), lesson.class_mask.shape[1])
    counts = (classes * known[:, :, None]).sum(1).float()
    present = counts > 0
    weight = known.sum(1, keepdim=True) / (present.sum(1, keepdim=True) * counts.clamp_min(1.0))
    return torch.where(present, weight, 0.0)


def _gradients(
    network: Network,
    working: dict[str, Tensor],
    lesson: Lesson,
    importance: Tensor,
    chosen: npt.NDArray[np.int64],
    step: int,
    settings: FineTuneSettings,
    pieces: int,
) -> Tensor:
    """Leave the gradients of a batch in ``working`` and return each episode's loss ``(R,)``, on the CPU."""
    episodes, size = chosen.shape
    index = torch.from_numpy(chosen).to(lesson.targets.device)
    targets = lesson.targets.gather(1, index[:, :, None].expand(-1, -1, lesson.targets.shape[2]))
    weight = lesson.head.shares(targets, importance)  # (R, B, K)
    loss = torch.zeros(episodes)
    cut = math.ceil(size / pieces)
    keys = [_keys(lesson, step).to(network.device)]
    if settings.r_drop > 0:
        keys.append(_keys(lesson, step, _SECOND).to(network.device))
    for start in range(0, size, cut):
        texts = lesson.rectangle(chosen[:, start : start + cut])
        most = 1 if texts.words is None else texts.words.shape[1]
        part = (slice(None), slice(start, start + cut), slice(most))
        own, pairs = targets[part], None
        if settings.mixup.alpha > 0:
            assert pieces == 1, "partners are in the same batch, and so in the same piece"
            there = (own >= 0).flatten(1)
            pairs = draw_pairs(there, settings.mixup.alpha, lesson.seeds, lesson.rounds, (step,))
        share = weight[part]
        teacher = lesson.held.said_of(index[:, start : start + cut])
        piece = BatchPiece(network, working, lesson, settings, texts, start, own, share, keys, pairs, teacher)
        if settings.adversarial.kind != "none":
            by_episode = train_against(piece.loss, settings.adversarial)
        else:
            by_episode = piece.loss(None)
            objective = by_episode.sum()
            if network.adapter is not None and start == 0:
                objective = objective + network.adapter.penalty(working)
            objective.backward()  # type: ignore[no-untyped-call]
        loss += by_episode.detach().float().cpu()
    if settings.consistency.weight > 0:
        again = _keys(lesson, step, _NOISE).to(network.device)
        loss += train_consistently(network, working, lesson, settings.consistency, step, again).float().cpu()
    return loss


class _Best:
    """Weights of the epoch with the lowest dev loss; an episode out of patience is closed."""

    def __init__(self, masters: dict[str, Tensor], patience: int | None) -> None:
        self.weights = {name: array.detach().clone() for name, array in masters.items()}
        self._patience = patience
        self._lowest: Tensor | None = None
        self._waited: Tensor | None = None

    def update(self, measured: Tensor, masters: dict[str, Tensor]) -> bool:
        """Note an epoch's dev losses ``(R,)``; returns whether every episode is out of patience. Mutates."""
        if self._lowest is None or self._waited is None:
            self._lowest = torch.full_like(measured, torch.inf)
            self._waited = torch.zeros_like(measured)
        patience = math.inf if self._patience is None else self._patience
        running = self._waited < patience
        better = running & (measured < self._lowest)
        self._lowest = torch.where(better, measured, self._lowest)
        self._waited = torch.where(better, 0.0, self._waited + running)
        for name, array in masters.items():
            chosen = better.to(array.device).view(-1, *[1] * (array.dim() - 1))
            self.weights[name] = torch.where(chosen, array.detach(), self.weights[name])
        return bool((self._waited >= patience).all())
