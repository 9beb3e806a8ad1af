"""Which rows of a large pool are looked at closely: a sample, and what a fit to the sample's scores likes.

Features that cost a pass over the predictions are computed for all rows. The others compare rows with
labelled rows or landmarks, and are computed for two narrow views: the landmarks, which also give the moments,
and then the rows that come first by a quadratic form of the cheap features, fitted by least squares to the
landmarks' scores. So time and memory beyond the cheap features do not grow with the pool.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import torch
from torch import Tensor

from react_rl.acquisition.batching.row_features import RowFeatures, standard
from react_rl.acquisition.features import Growth, feature_named
from react_rl.acquisition.features.landmarks import Landmarks
from react_rl.acquisition.wide.narrow import NarrowView
from react_rl.simulation.view import PoolView

WHOLE: Final = 8192
"""Rows of a pool that are all looked at closely."""

CANDIDATES: Final = 3072
"""Rows of a larger pool that are, beside the landmarks and the labelled ones."""

RIDGE: Final = 1.0
"""Penalty of the fit; features are standardised."""


def close_rows(
    view: PoolView,
    episode: int,
    features: Sequence[str],
    score: Callable[[RowFeatures], Tensor],
    candidates: int = CANDIDATES,
) -> RowFeatures:
    """The features of the rows of a large pool that are worth a close look.

    Args:
        view: The pools.
        episode: Which one.
        features: Names of the features.
        score: From features to the scores ``(1, R)`` that rows compete by.
        candidates: Rows that get one, beside the landmarks and the labelled rows.

    Returns:
        Features in a view of these rows alone.
    """
    landmarks = Landmarks(view)
    sample = landmarks.columns[episode]
    sample = sample[sample >= 0]
    bought = torch.nonzero(view.labelled[episode])[:, 0]
    first = _of_columns(landmarks, episode, sample, torch.cat([sample, bought]), features)
    free = first.counted[0]
    rough = _rough_scores(view, episode, features, first, score(first)[0], free)
    rough = torch.where(view.available[episode], rough, -torch.inf)
    best = rough.topk(min(candidates, view.width)).indices
    return _of_columns(landmarks, episode, sample, torch.cat([sample, bought, best]), features)


def _of_columns(
    landmarks: Landmarks, episode: int, sample: Tensor, columns: Tensor, features: Sequence[str]
) -> RowFeatures:
    """Features of some columns ``(k,)``, with the moments of the sample."""
    view = landmarks.view
    columns = torch.unique(columns)
    part = NarrowView(view, torch.tensor([episode], device=view.device), columns[None])
    places = torch.searchsorted(columns, sample)[None]
    counted = torch.zeros_like(part.available).scatter_(1, places, True) & part.available
    return RowFeatures(part, features, landmarks.within(part, episode, places), counted)


def _rough_scores(
    view: PoolView, episode: int, features: Sequence[str], sample: RowFeatures, scores: Tensor, free: Tensor
) -> Tensor:
    """Scores ``(P,)`` of all rows by a quadratic form of the cheap features, fitted to those of the sample.

    Args:
        view: The pools.
        episode: Which one.
        features: Names of all features.
        sample: Features of the sample.
        scores: Its scores ``(S,)``.
        free: Which of it count ``(S,)`` bool.
    """
    known = [feature_named(name) for name in features]
    cheap = [f for f, feature in enumerate(known) if not feature.heavy]
    growth = Growth(view)
    raw = torch.stack([known[f].levelled(growth)[episode] for f in cheap])  # (k, P)
    mean, deviation = (moment[0, cheap] for moment in sample.scale)
    own = sample.values[0][:, cheap][free]
    pairs = torch.triu_indices(len(cheap), len(cheap), device=raw.device)
    terms = torch.cat([own[:, pairs[0]] * own[:, pairs[1]], own, torch.ones_like(own[:, :1])], 1).double()
    penalty = RIDGE * torch.eye(terms.shape[1], device=raw.device, dtype=terms.dtype)
    fitted = torch.linalg.solve(terms.T @ terms + penalty, terms.T @ scores[free].double()).float()
    form = torch.zeros(len(cheap), len(cheap), device=raw.device)
    form[pairs[0], pairs[1]] = fitted[: pairs.shape[1]]
    values = standard(raw, mean, deviation)
    linear = fitted[pairs.shape[1] : -1, None]
    return ((form.T @ values).add_(linear).mul_(values)).sum(0).add_(fitted[-1])
