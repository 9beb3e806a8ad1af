"""Committees of linear heads: several models that agree with the labels and differ elsewhere.

Both kinds are linear maps of the embeddings: the learner's weights with dimensions dropped, or heads
refitted with random row weights around random priors. Strategies are in ``acquisition``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from torch import Tensor

from react_rl.errors import ReActError
from react_rl.learners.protocol import INVALID_LOGIT
from react_rl.learners.softmax import CURVATURE, SoftmaxSettings

if TYPE_CHECKING:
    from react_rl.simulation.view import PoolView

_STEPS: Final = 3
"""Steps of a member for each step that the learner may take: uneven weights slow the descent."""


@dataclass(frozen=True, eq=False)
class Committee:
    """M heads for each of E episodes, ``logits = coefficients @ features + shift``.

    Args:
        coefficients: ``(E, M, C, F)`` float32.
        features: ``(E, F, P)`` float32, shared by the members.
        shift: ``(E, M, C)`` float32 intercepts, near -1e30 for classes outside an episode.
    """

    coefficients: Tensor
    features: Tensor
    shift: Tensor

    @property
    def members(self) -> int:
        """M."""
        return self.coefficients.shape[1]

    @property
    def n_classes(self) -> int:
        """C, the largest number of classes of an episode."""
        return self.coefficients.shape[2]

    def probabilities(self, columns: slice | Tensor = slice(None)) -> Tensor:
        """Class probabilities of the members.

        Args:
            columns: A slice of the pool's columns, or k columns of each episode ``(E, k)``.

        Returns:
            ``(E, M, C, k)`` float32.
        """
        if isinstance(columns, slice):
            features = self.features[:, :, columns]
        else:
            index = columns[:, None, :].expand(-1, self.features.shape[1], -1)
            features = self.features.gather(2, index)
        shift = self.shift.flatten(1, 2)[:, :, None]
        logits = torch.baddbmm(shift, self.coefficients.flatten(1, 2), features)  # (E, M C, k)
        return torch.softmax(logits.view(-1, self.members, self.n_classes, logits.shape[2]), 2)


def dropout_committee(view: PoolView, members: int = 10, rate: float = 0.5) -> Committee:
    """Monte-Carlo dropout on the input of the linear head, or in the whole of a fine-tuned transformer.

    Member m sees ``x * mask_m / (1 - rate)`` with an i.i.d. Bernoulli(1 - rate) mask over the D dimensions.
    One mask serves the whole pool, so a member is one function: joint scores (BatchBALD) need that.

    Source: Gal & Ghahramani 2016, Dropout as a Bayesian approximation; masks kept for the pool as in
    Kirsch et al. 2019, BatchBALD, section 3.

    Args:
        view: The pools.
        members: M.
        rate: Share of dimensions that is dropped; a transformer drops what it drops in training.

    Raises:
        ReActError: Fewer than one member, or a rate outside (0, 1).
    """
    _check_members(members)
    if not 0 < rate < 1:
        raise ReActError(f"Dropout rate {rate} must lie between 0 and 1, both excluded.")
    if not view.linear:
        return _sampled(view, members)
    weights, intercept = view.weights
    n_episodes, _, dimension = weights.shape
    masks = np.ones((n_episodes, members, dimension), dtype=np.float32)
    for e in _drawing(view):
        kept = view.generator(e).random((members, dimension), dtype=np.float32) >= rate
        masks[e] = kept / np.float32(1 - rate)
    scaled = weights[:, None] * torch.from_numpy(masks).to(view.device)[:, :, None]
    shift = (intercept + _class_bias(view))[:, None].expand(-1, members, -1)
    return Committee(scaled, view.embeddings.transpose(1, 2), shift)


def _sampled(view: PoolView, members: int) -> Committee:
    """Monte Carlo samples of a fine-tuned transformer, as heads that pick their own scores."""
    logits = view.dropout_logits(members)  # (E, M, C, P)
    n_episodes, _, n_classes, _ = logits.shape
    pick = torch.eye(members * n_classes, device=view.device).view(members, n_classes, -1)
    shift = torch.zeros(n_episodes, members, n_classes, device=view.device)
    return Committee(pick.expand(n_episodes, -1, -1, -1), logits.flatten(1, 2), shift)


def bootstrap_committee(view: PoolView, members: int = 10, prior: float = 1.0) -> Committee:
    """Bayesian bootstrap with random priors: heads refitted with random row weights around random heads.

    Member m minimises ``sum_i w_mi cross_entropy_i + l2/2 (|W - W_m|^2 + |b - b_m|^2 / bias^2)``: the
    learner's objective with w_m = n Dirichlet(1, ..., 1), i.e. exponential weights of mean 1, and centred
    on a draw from the prior that its penalty stands for, ``W_m ~ N(0, prior^2 / l2)`` and ``b_m ~ N(0,
    prior^2 bias^2 / l2)``. No row is ever left out, so no class vanishes from a small labelled set, as it
    does in the ordinary bootstrap. Without the priors all members return to the same zero far from the
    labelled rows, and agree most where they know least.

    Source: Rubin 1981, The Bayesian bootstrap; Osband et al. 2018, Randomized prior functions for deep
    reinforcement learning; committees by resampling: Abe & Mamitsuka 1998, Query by bagging.

    Args:
        view: The pools.
        members: M.
        prior: Scale of the random priors; 0 for the plain bootstrap.

    Raises:
        ReActError: Fewer than one member, or a negative scale.
    """
    _check_members(members)
    if prior < 0:
        raise ReActError(f"The scale of the priors is {prior}; use 0 or more.")
    settings = view.learner_settings
    live = view.labelled_geometry[2].cpu().numpy() > 0
    n_classes = view.class_counts.shape[1]
    n_episodes, _, dimension = view.embeddings.shape
    importance = np.zeros((n_episodes, members, live.shape[1]), dtype=np.float32)
    importance[:] = live[:, None]
    # The last column is the intercept's.
    centre = np.zeros((n_episodes, members, n_classes, dimension + 1), dtype=np.float32)
    for e in _drawing(view):
        drawn = view.generator(e).exponential(size=(members, int(live[e].sum())))
        importance[e][:, live[e]] = drawn / drawn.mean(1, keepdims=True)
        shape = (members, int(view.progress.n_classes[e]), dimension + 1)
        if prior > 0:
            centre[e, :, : shape[1]] = view.generator(e).standard_normal(shape, dtype=np.float32)
    centre *= np.float32(prior / settings.l2**0.5)
    centre[..., -1] *= np.float32(settings.bias)
    heads = torch.from_numpy(centre).to(view.device)
    weights, shift = heads[..., :-1], heads[..., -1]
    slots = view.labelled_columns[0][:, :, None].expand(-1, -1, dimension)
    rows = view.embeddings.gather(1, slots)  # (E, n, D)
    offset = torch.matmul(weights, rows[:, None].transpose(2, 3)) + shift[..., None]
    dual = refit_weighted(view, torch.from_numpy(importance).to(view.device), offset)
    # Slots without a row have a dual weight of exactly 0.
    weights = torch.baddbmm(weights.flatten(1, 2), dual.flatten(1, 2), rows).view_as(weights)
    shift = shift + settings.bias**2 * dual.sum(3) + _class_bias(view)[:, None]
    return Committee(weights, view.embeddings.transpose(1, 2), shift)


def refit_weighted(view: PoolView, importance: Tensor, offset: Tensor | None = None) -> Tensor:
    """Fit the learner's objective with weights on the labelled rows, from where the learner stands.

    With D = diag(w) the gradient with respect to W is X^T G, G = l2 A + D (softmax(K A) - Y), and the
    Hessian is at most twice X^T D X / 4 + l2 (see ``learners.softmax``), so A <- A - (D K/4 + l2)^-1 G
    never increases the loss. Scaling K by max(w) instead would be safe too, and share one inverse among
    the members, but needs three times the steps.

    Args:
        view: The pools.
        importance: ``(E, M, n)`` float32 row weights, 0 in slots without a label.
        offset: ``(E, M, C, n)`` float32 scores that the labelled rows have to begin with.

    Returns:
        Dual weights ``(E, M, C, n)`` float32: member m scores a row with similarities k ``(n,)`` to the
        labelled rows as ``dual @ (k + bias^2)``, plus its offset there.
    """
    similarity, onehot, live = view.labelled_geometry
    settings = view.learner_settings
    members = importance.shape[1]
    kernel = (similarity + settings.bias**2) * live[:, None, :] * live[:, :, None]
    # Rows of dual weights multiply from the left, so the transpose (K D/4 + l2)^-1 is what is kept.
    damped = CURVATURE * kernel[:, None] * importance[:, :, None, :]
    damped.diagonal(dim1=2, dim2=3).add_(settings.l2)
    inverse = torch.linalg.inv(damped).flatten(0, 1)  # (E M, n, n)
    kernel = kernel[:, None].expand(-1, members, -1, -1).flatten(0, 1)
    moves = torch.cat([inverse, torch.bmm(inverse, kernel)], 2)  # (E M, n, 2n)
    weight = importance.flatten(0, 1)[:, None]  # (E M, 1, n)
    target = onehot[:, None].expand(-1, members, -1, -1).flatten(0, 1)
    # At the learner's optimum its dual weights are the residuals over l2.
    residual = (onehot - torch.softmax(view.fitted_logits, 1)) * live[:, None] / settings.l2
    dual = residual[:, None].expand(-1, members, -1, -1).flatten(0, 1).clone()
    bias = _class_bias(view)[:, None].expand(-1, members, -1).flatten(0, 1)[:, :, None]
    fitted = torch.bmm(dual, kernel) + bias
    if offset is not None:
        fitted += offset.flatten(0, 1)
    _descend(dual, fitted, target, weight, moves, settings)
    return dual.view(-1, members, *dual.shape[1:])


def _descend(
    dual: Tensor, fitted: Tensor, target: Tensor, weight: Tensor, moves: Tensor, settings: SoftmaxSettings
) -> None:
    """Take preconditioned steps until the gradient is small in every member; changes ``dual``, ``fitted``."""
    n = dual.shape[2]
    for _ in range(_STEPS * settings.max_steps):
        gradient = torch.softmax(fitted, 1).sub_(target).mul_(weight).add_(dual, alpha=settings.l2)
        largest = gradient.abs().amax((1, 2))
        moving = largest > settings.tolerance
        if not bool(moving.any()):
            break
        # A converged member stands still, so that it does not depend on its neighbours.
        gradient *= moving[:, None, None]
        step = torch.bmm(gradient, moves)
        dual -= step[:, :, :n]
        fitted -= step[:, :, n:]


def _check_members(members: int) -> None:
    if members < 1:
        raise ReActError(f"A committee of {members} members cannot vote; use at least 1.")


def _drawing(view: PoolView) -> list[int]:
    """Episodes that can buy something: only their streams move."""
    episodes: list[int] = torch.nonzero(view.n_available)[:, 0].tolist()
    return episodes


def _class_bias(view: PoolView) -> Tensor:
    """0 for the classes of an episode, near -1e30 for the others, ``(E, C)`` float32."""
    counts = torch.from_numpy(view.progress.n_classes).to(view.device)
    classes = torch.arange(view.class_counts.shape[1], device=view.device)
    outside = classes[None] >= counts[:, None]
    return torch.zeros(outside.shape, device=view.device).masked_fill_(outside, INVALID_LOGIT)
