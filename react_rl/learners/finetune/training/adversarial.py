"""Small moves of the input vectors that raise the loss, on which a step is trained as well.

A move belongs to one text; its length is a share of the length of the text's own vectors, so the same setting
means the same for word vectors and for the states of frozen layers. Moves begin at zero.

Source: Miyato et al. 2017, Adversarial training methods for semi-supervised text classification (FGM); Madry
et al. 2018, Towards deep learning models resistant to adversarial attacks (PGD); Zhu et al. 2020, FreeLB:
enhanced adversarial training for natural language understanding.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor

from react_rl.learners.finetune.backbone.nudging import Nudge
from react_rl.learners.recipes.settings import AdversarialSettings

_REACH: Final = 1.5
"""All steps together, as a multiple of the longest move: the rim can be reached from zero."""


def ascend(move: Tensor, gradient: Tensor, step: Tensor, longest: Tensor) -> Tensor:
    """Move texts ``(B, T, H)`` along their gradients, no further than allowed.

    Args:
        move: Where they are.
        gradient: Of the loss.
        step: ``(B,)`` length of the step.
        longest: ``(B,)`` length that a move may have.
    """
    ahead = move + gradient * _factor(step, gradient)
    length = torch.linalg.vector_norm(ahead.flatten(1).float(), dim=1)
    shrunk: Tensor = ahead * (longest / length.clamp_min(1e-12)).clamp_max(1.0)[:, None, None].to(ahead)
    return shrunk


def _factor(length: Tensor, gradient: Tensor) -> Tensor:
    """What gives each gradient ``(B, T, H)`` this length ``(B,)``; a gradient of zero stays zero."""
    found = torch.linalg.vector_norm(gradient.flatten(1).float(), dim=1)
    return torch.where(found > 0, length / found.clamp_min(1e-30), 0.0)[:, None, None].to(gradient)


def train_against(loss_of: Callable[[Nudge], Tensor], settings: AdversarialSettings) -> Tensor:
    """Leave the gradients of a step on texts and on their moved copies; returns the texts' loss ``(R,)``.

    ``fgm`` adds the gradients at one move, ``pgd`` those at the last of several, ``freelb`` takes the mean
    over all of them, the first being at zero.

    Args:
        loss_of: From a nudge to the losses of the episodes.
        settings: Kind, length and number of the moves.
    """
    moves = 1 if settings.kind == "fgm" else settings.steps
    free = settings.kind == "freelb"
    nudge = Nudge()
    clean = loss_of(nudge)
    _backward(clean.sum() / (moves if free else 1))
    assert nudge.move is not None, "the network has asked for the move"
    assert nudge.lengths is not None, "and measured its vectors"
    assert nudge.move.grad is not None, "the loss depends on them"
    longest = settings.epsilon * nudge.lengths
    step = longest if settings.kind == "fgm" else longest * (_REACH / moves)
    move, gradient = nudge.move.detach(), nudge.move.grad
    # freelb has spent its first step at zero already.
    left = moves - 1 if free else moves
    for number in range(left):
        move = ascend(move, gradient, step, longest)
        moved = Nudge(move.requires_grad_())
        loss = loss_of(moved)
        if free or number == left - 1:
            _backward(loss.sum() / (moves if free else 1))
            gradient = move.grad if move.grad is not None else torch.zeros_like(move)
        else:
            (gradient,) = torch.autograd.grad(loss.sum(), move)
        move = move.detach()
    return clean.detach()


def _backward(loss: Tensor) -> None:
    loss.backward()  # type: ignore[no-untyped-call]
