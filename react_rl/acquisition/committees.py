"""Committees: several models that agree with the labels and differ elsewhere.

Where the learner is linear they are linear heads: its weights with dimensions dropped, or heads refitted with
random row weights around random priors. An MLP brings its own. Strategies are in ``acquisition``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from react_rl.errors import ReActError
from react_rl.learners.linear.settings import SoftmaxSettings
from react_rl.learners.linear.weighting import descend, row_weights
from react_rl.learners.protocol import INVALID_LOGIT
from react_rl.simulation.view import PoolView

_Floats = npt.NDArray[np.float32]

_LASTING: Final = 1
"""Moment of the numbers of a committee that stays for the episode."""


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

    def logits(self, columns: slice | Tensor = slice(None), out: Tensor | None = None) -> Tensor:
        """Class scores of the members.

        Args:
            columns: A slice of the pool's columns, or k columns of each episode ``(E, k)``.
            out: ``(E M C k,)`` float32 to write to; None makes a fresh array.

        Returns:
            ``(E, M, C, k)`` float32.
        """
        if isinstance(columns, slice):
            features = self.features[:, :, columns]
        else:
            index = columns[:, :, None].expand(-1, -1, self.features.shape[1])
            features = self.features.transpose(1, 2).gather(1, index).transpose(1, 2)
        shift = self.shift.flatten(1, 2)[:, :, None]
        heads = self.coefficients.flatten(1, 2)
        if out is None:
            logits = torch.baddbmm(shift, heads, features)  # (E, M C, k)
        else:
            logits = out.view(*heads.shape[:2], features.shape[2])
            # One by one: a stack of such slices is multiplied slowly where products are rounded.
            for one in zip(shift, heads, features, logits, strict=True):
                torch.addmm(*one[:3], out=one[3])
        return logits.view(-1, self.members, self.n_classes, logits.shape[2])

    def of_episode(self, episode: int) -> Committee:
        """The committee of one episode."""
        part = slice(episode, episode + 1)
        return Committee(self.coefficients[part], self.features[part], self.shift[part])

    def probabilities(self, columns: slice | Tensor = slice(None)) -> Tensor:
        """Class probabilities of the members ``(E, M, C, k)`` float32, for columns as in ``logits``."""
        return torch.softmax(self.logits(columns), 2)


def head_settings(view: PoolView) -> SoftmaxSettings:
    """Regularisation of linear heads on the embeddings: the learner's, or the default where it has none."""
    return view.linear_settings or SoftmaxSettings()


def dropout_committee(view: PoolView, members: int = 10, rate: float = 0.5) -> Committee:
    """Monte-Carlo dropout on the input of the linear head, or wherever a deeper learner drops in training.

    Member m sees ``x * mask_m / (1 - rate)`` with an i.i.d. Bernoulli(1 - rate) mask over the D dimensions.
    One mask serves the whole pool, so a member is one function: joint scores (BatchBALD) need that.

    Source: Gal & Ghahramani 2016, Dropout as a Bayesian approximation; masks kept for the pool as in
    Kirsch et al. 2019, BatchBALD, section 3.

    Args:
        view: The pools.
        members: M.
        rate: Share of dimensions that is dropped; an MLP or a transformer drops what it drops in training.

    Raises:
        ReActError: Fewer than one member, or a rate outside (0, 1).
    """
    _check_members(members)
    if not 0 < rate < 1:
        raise ReActError(f"Dropout rate {rate} must be between 0 and 1, both excluded.")
    if not view.linear:
        return _of_scores(view.dropout_logits(members))
    weights, intercept = view.weights
    n_episodes, _, dimension = weights.shape
    masks = np.ones((n_episodes, members, dimension), dtype=np.float32)
    for e in _drawing(view):
        kept = view.generator(e).random((members, dimension), dtype=np.float32) >= rate
        masks[e] = kept / np.float32(1 - rate)
    scaled = weights[:, None] * torch.from_numpy(masks).to(view.device)[:, :, None]
    shift = (intercept + _class_bias(view))[:, None].expand(-1, members, -1)
    return Committee(scaled, view.embeddings.transpose(1, 2), shift)


def _of_scores(logits: Tensor) -> Committee:
    """Members with the scores ``(E, M, C, P)``, as heads that pick their own."""
    n_episodes, members, n_classes, _ = logits.shape
    pick = torch.eye(members * n_classes, device=logits.device).view(members, n_classes, -1)
    shift = torch.zeros(n_episodes, members, n_classes, device=logits.device)
    return Committee(pick.expand(n_episodes, -1, -1, -1), logits.flatten(1, 2), shift)


def ensemble_committee(view: PoolView, members: int) -> Committee:
    """The members of a learner that is an ensemble of ``members`` MLP heads.

    Source: Lakshminarayanan et al. 2017, Simple and scalable predictive uncertainty estimation using deep
    ensembles; as a committee: Beluch et al. 2018, The power of ensembles for active learning.

    Args:
        view: The pools.
        members: M, as the learner has them.

    Raises:
        ReActError: One member cannot disagree.
    """
    if members < 2:
        raise ReActError(
            "A single MLP head has no committee to disagree; set learner.mlp.members to 2 or more, "
            "or take a strategy that samples by dropout."
        )
    weights, _ = view.weights  # (E, C, M H), divided by M
    n_episodes, n_classes, units = weights.shape
    heads = weights.view(n_episodes, n_classes, members, -1).transpose(1, 2) * members  # (E, M, C, H)
    active = view.features.transpose(1, 2).reshape(n_episodes, members, units // members, -1)
    return _of_scores(torch.matmul(heads, active) + _class_bias(view)[:, None, :, None])


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
        members: M; an ensemble of MLP heads votes with its own members instead.
        prior: Scale of the random priors; 0 for the plain bootstrap.

    Raises:
        ReActError: Fewer than one member, or a negative scale.
    """
    _check_members(members)
    if prior < 0:
        raise ReActError(f"The scale of the priors is {prior}; use 0 or more.")
    if view.ensemble is not None:
        return ensemble_committee(view, view.ensemble)
    live = _live_slots(view)
    importance, centre = _untouched(view, members)
    for e in _drawing(view):
        drawn = view.generator(e).exponential(size=(members, int(live[e].sum())))
        if drawn.size:
            importance[e][:, live[e]] = drawn / drawn.mean(1, keepdims=True)
        shape = (members, int(view.progress.n_classes[e]), centre.shape[3])
        if prior > 0:
            centre[e, :, : shape[1]] = view.generator(e).standard_normal(shape, dtype=np.float32)
    return _refitted(view, importance, centre, prior)


def lasting_committee(view: PoolView, members: int = 10) -> Committee:
    """As ``bootstrap_committee``, with priors and row weights that stay for the whole episode.

    They follow from the episode alone, so no stream moves, and two who ask in one round see the same heads.

    Args:
        view: The pools.
        members: M; an ensemble of MLP heads votes with its own members instead.
    """
    if view.ensemble is not None:
        return ensemble_committee(view, view.ensemble)
    live = _live_slots(view)
    importance, centre = _untouched(view, members)
    for e in range(view.n_episodes):
        generator = view.generator_at(e, _LASTING)
        if generator is None:
            continue
        shape = (members, int(view.progress.n_classes[e]), centre.shape[3])
        centre[e, :, : shape[1]] = generator.standard_normal(shape, dtype=np.float32)
        # Slot by slot, so that a further label leaves the others as they are, up to a factor.
        drawn = generator.exponential(size=(live.shape[1], members)).T * live[e]
        if live[e].any():
            importance[e] = drawn / (drawn.sum(1, keepdims=True) / live[e].sum())
    return _refitted(view, importance, centre)


def _live_slots(view: PoolView) -> npt.NDArray[np.bool_]:
    """Slots that hold a label ``(E, n)``."""
    live: npt.NDArray[np.bool_] = view.labelled_geometry[2].cpu().numpy() > 0
    return live


def _untouched(view: PoolView, members: int) -> tuple[_Floats, _Floats]:
    """Row weights ``(E, M, n)`` of 1, and standard priors ``(E, M, C, D + 1)`` of 0, intercepts last."""
    live = _live_slots(view)
    n_episodes, _, dimension = view.embeddings.shape
    importance = np.zeros((n_episodes, members, live.shape[1]), dtype=np.float32)
    importance[:] = live[:, None]
    shape = (n_episodes, members, view.class_counts.shape[1], dimension + 1)
    return importance, np.zeros(shape, dtype=np.float32)


def _refitted(view: PoolView, importance: _Floats, centre: _Floats, prior: float = 1.0) -> Committee:
    """Heads fitted with row weights around standard priors times what the learner's penalty stands for."""
    settings, dimension = head_settings(view), view.embeddings.shape[2]
    centre = centre * np.float32(prior / settings.l2**0.5)
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

    The learner's own class weights count besides; see ``learners.weighting`` for the descent.

    Args:
        view: The pools.
        importance: ``(E, M, n)`` float32 row weights, 0 in slots without a label.
        offset: ``(E, M, C, n)`` float32 scores that the labelled rows have to begin with.

    Returns:
        Dual weights ``(E, M, C, n)`` float32: member m scores a row with similarities k ``(n,)`` to the
        labelled rows as ``dual @ (k + bias^2)``, plus its offset there.
    """
    similarity, onehot, live = view.labelled_geometry
    settings = head_settings(view)
    members = importance.shape[1]
    if onehot.shape[2] == 0:
        return onehot.new_zeros(len(onehot), members, *onehot.shape[1:])
    own = row_weights(settings, onehot, live)
    kernel = (similarity + settings.bias**2) * live[:, None, :] * live[:, :, None]
    kernel = kernel[:, None].expand(-1, members, -1, -1).flatten(0, 1)  # (E M, n, n)
    weight = (importance * own[:, None]).flatten(0, 1)  # (E M, n)
    target = onehot[:, None].expand(-1, members, -1, -1).flatten(0, 1)
    # At the learner's optimum its dual weights are the weighted residuals over l2.
    residual = (onehot - torch.softmax(view.fitted_logits, 1)) * own[:, None] / settings.l2
    dual = residual[:, None].expand(-1, members, -1, -1).flatten(0, 1).clone()
    bias = _class_bias(view)[:, None].expand(-1, members, -1).flatten(0, 1)[:, :, None]
    fitted = torch.bmm(dual, kernel) + bias
    if offset is not None:
        fitted += offset.flatten(0, 1)
    descend(dual, fitted, target, kernel, weight, settings)
    return dual.view(-1, members, *dual.shape[1:])


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
