"""Training of MLP heads in dual form: settings, and the steps of all members of all episodes at once.

With n labelled rows X' (scaled rows with a constant 1 at the end) every gradient of the hidden layer is
G X', so its weights stay W = s W_0 + A X' with A of n columns, and its pre-activations on the labelled rows
are s Z_0 + A K with K = X' X'^T. A step costs n^2 for each hidden unit instead of n D, and rows of the pool
are met through their inner products alone.

The optimiser is AdamW with one second moment for each hidden unit (for each weight of the last layer), which
is what makes it invariant to rotations of the input, and so possible in this form.
Source: Kingma & Ba 2015, Adam; Loshchilov & Hutter 2019, Decoupled weight decay regularization; Zhang et al.
2024, Adam-mini: use fewer learning rates to gain more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor

from react_rl.learners.finetune.backbone.dropout import keep_factors, token_numbers, token_places

BETAS: Final = (0.9, 0.99)
"""Decay of the first and the second moment."""

EPSILON: Final = 1e-8

_SITE: Final = 1
"""Number of the only dropout layer."""


class MlpSettings(BaseModel):
    """An ensemble of heads with one hidden layer on frozen embeddings, refitted in every round."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    hidden: int = Field(default=32, ge=1, le=2**16)
    """Hidden units (ReLU) of each member."""
    members: int = Field(default=5, ge=1, le=1000)
    """Members of the ensemble; they differ in their first weights and in how much each row weighs."""
    bootstrap: bool = True
    """Weigh the labelled rows at random for each member; no row is left out."""
    dropout: float = Field(default=0.2, ge=0, lt=1)
    """Share of hidden units dropped in training and in Monte Carlo samples, for all rows alike."""
    steps: int = Field(default=50, ge=1, le=10**6)
    """Optimiser steps of a round; each sees all labelled rows."""
    learning_rate: float = Field(default=0.01, gt=0, le=10)
    """Learning rate of the first step; it falls to zero in a straight line."""
    weight_decay: float = Field(default=3.0, ge=0, le=1e6)
    """Decoupled weight decay of both layers: a step shrinks weights by its learning rate times this."""
    restart: Literal["warm", "reset"] = "reset"
    """Begin each round from the last round's weights, or from the first ones."""
    class_weights: Literal["none", "balanced"] = "none"
    """balanced: every class weighs the same in the loss, however few labels it has."""

    @model_validator(mode="after")
    def _check(self) -> MlpSettings:
        if self.learning_rate * self.weight_decay >= 1.0:
            raise ValueError(
                f"weight_decay {self.weight_decay:g} at learning_rate {self.learning_rate:g} turns weights "
                f"around; use less than {1.0 / self.learning_rate:g}"
            )
        return self


@dataclass(frozen=True)
class MlpLesson:
    """What R episodes are taught in one round.

    Args:
        kernel: ``(R, n, n)`` float32 products of the labelled rows X', 0 in slots without a label.
        begin: ``(R, M H, n)`` float32 pre-activations of the labelled rows under the first weights W_0.
        target: ``(R, C, n)`` float32 one-hot labels.
        weight: ``(R, M, n)`` float32 weights of the rows, of sum 1 for each member, 0 without a label.
        shift: ``(R, C, 1)`` float32, near -1e30 for classes outside an episode.
        keys: ``(R,)`` int32 keys of the dropout masks of this round.
        inputs: Components of a row of X'.
    """

    kernel: Tensor
    begin: Tensor
    target: Tensor
    weight: Tensor
    shift: Tensor
    keys: Tensor
    inputs: int


def kept_units(keys: Tensor, draws: int, members: int, hidden: int, rate: float) -> Tensor:
    """Factors on the hidden units, 0 or ``1 / (1 - rate)``, ``(R, draws, M, H)`` float32.

    Args:
        keys: ``(R,)`` int32, one for each episode.
        draws: Steps or samples.
        members: M.
        hidden: H.
        rate: Share that is dropped.
    """
    tokens = token_numbers(keys, token_places(draws, members, 0, keys.device))
    return keep_factors(tokens, hidden, _SITE, rate).view(-1, draws, members, hidden)


def train(dual: Tensor, scale: Tensor, out: Tensor, lesson: MlpLesson, settings: MlpSettings) -> None:
    """Take the steps of one round, in place.

    Args:
        dual: ``(R, M H, n)`` A, changed.
        scale: ``(R,)`` s, changed.
        out: ``(R, M, C, H)`` weights of the last layer, changed.
        lesson: Rows and labels.
        settings: Size and optimiser.
    """
    members, hidden = settings.members, settings.hidden
    # A and its moment in front, what they are on the labelled rows (times K) behind.
    state, moment, gradient = (torch.empty(2, *dual.shape, device=dual.device) for _ in range(3))
    state[0] = dual
    torch.baddbmm(lesson.begin * scale[:, None, None], dual, lesson.kernel, out=state[1])
    moment.zero_()
    spread = torch.zeros(dual.shape[:2], device=dual.device)  # second moments of the hidden units
    out_moment, out_spread = torch.zeros_like(out), torch.zeros_like(out)
    target, shift = _each_member(lesson.target, members), _each_member(lesson.shift, members)
    weight = lesson.weight.flatten(0, 1)[:, None]  # (R M, 1, n)
    fitted, sent = (
        array[which].view(-1, hidden, dual.shape[2]) for array, which in ((state, 1), (gradient, 0))
    )
    kept = kept_units(lesson.keys, settings.steps, members, hidden, settings.dropout)[:, :, :, None]
    # The hidden layer is left * state: decaying one number saves two walks through the arrays.
    left = 1.0
    for step in range(settings.steps):
        head = out if settings.dropout == 0 else out * kept[:, step]
        active = torch.relu(fitted)
        scores = torch.baddbmm(shift, head.flatten(0, 1), active, alpha=left)
        error = torch.softmax(scores, 1).sub_(target).mul_(weight)  # (R M, C, n)
        out_gradient = torch.bmm(error, active.transpose(1, 2)).view_as(out).mul_(kept[:, step] * left)
        back = torch.bmm(head.flatten(0, 1).transpose(1, 2), error)
        torch.ops.aten.threshold_backward.grad_input(back, fitted, 0.0, grad_input=sent)
        torch.bmm(gradient[0], lesson.kernel, out=gradient[1])
        # |G X'|^2 = G K G^T: what the gradient of a unit's weights measures.
        spread.lerp_((gradient[0] * gradient[1]).sum(2).div_(lesson.inputs), 1.0 - BETAS[1])
        moment.lerp_(gradient, 1.0 - BETAS[0])
        out_moment.lerp_(out_gradient, 1.0 - BETAS[0])
        out_spread.lerp_(out_gradient.square_(), 1.0 - BETAS[1])
        rate = settings.learning_rate * (1.0 - step / settings.steps)
        decay = 1.0 - rate * settings.weight_decay
        left *= decay
        out *= decay
        length = rate / (1.0 - BETAS[0] ** (step + 1))
        sure = 1.0 - BETAS[1] ** (step + 1)
        state.addcmul_(moment, _inverse_root(spread, sure)[:, :, None], value=-length / left)
        out.addcmul_(out_moment, _inverse_root(out_spread, sure), value=-length)
    dual.copy_(state[0].mul_(left))
    scale *= left


def _inverse_root(spread: Tensor, sure: float) -> Tensor:
    """One over the root of a second moment; rounding may leave it a little below 0."""
    return (spread / sure).clamp_min_(0.0).sqrt_().add_(EPSILON).reciprocal_()


def _each_member(array: Tensor, members: int) -> Tensor:
    """The same for every member: from ``(R, ...)`` to ``(R M, ...)``."""
    return array[:, None].expand(-1, members, *array.shape[1:]).flatten(0, 1)
