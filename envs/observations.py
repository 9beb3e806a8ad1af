"""Observations: what a policy sees of the running episodes.

No row ids, no pool positions, no label that was not bought.
"""

from __future__ import annotations

from typing import Any, Final, Protocol

import gymnasium
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from react_rl.acquisition.features import FEATURES
from react_rl.acquisition.selection import standardise
from react_rl.errors import ReActError, unknown
from react_rl.metrics.classification import DEFAULT_METRIC, METRICS, metric_named
from react_rl.simulation.view import PoolView


class Observation(Protocol):
    """Turns the view of E episodes into what the policy sees."""

    @property
    def metrics(self) -> tuple[str, ...]:
        """Dev metrics that it reads; the engine has to measure them."""
        ...

    @property
    def space(self) -> gymnasium.Space[Any]:
        """Space of one episode's observation."""
        ...

    def observe(self, view: PoolView) -> npt.NDArray[np.float32]:
        """Return the observation of each episode; a fresh array with the episode axis first."""
        ...

    def describe(self) -> dict[str, Any]:
        """Settings from which ``make_observation`` builds the same observation."""
        ...


CONTEXT: Final = (
    "share of the budget spent",
    "rounds left, log scale",
    "number of classes, log scale",
    "labels for each class, log scale",
    "dev metric above chance",
    "dev metric gained since the start",
    "dev metric gained in the last round",
    "mean margin of the pool",
    "deviation of the margin",
    "share of the pool with a margin below 0.1",
    "mean entropy of the pool, over log C",
    "balance of the bought labels (entropy over log C)",
    "balance of the predicted classes (entropy over log C)",
    "mean similarity to the nearest labelled row",
    "deviation of that similarity",
    "mean density of the pool",
    "deviation of the density",
    "correlation of uncertainty and density",
    "correlation of uncertainty and novelty",
    "correlation of density and novelty",
    "labelled nearest neighbours of one class, above chance",
    "mean probability of the bought labels under the model",
)
"""What the numbers of the context observation mean, in order."""


class ContextObservation:
    """``Box(-5, 5, (G,))``: G numbers that say how far the episode is and what its pool looks like.

    The last two tell corpora apart on which the embedding carries the label (topics) from those on which
    it does not (acceptability): how often labelled neighbours agree, and how hard the labels are to fit.

    Args:
        metric: Dev metric that it shows, from chance (0) to a perfect model (1).

    Raises:
        ReActError: The metric is unknown, or has no value of chance.
    """

    def __init__(self, metric: str = DEFAULT_METRIC) -> None:
        self._metric = metric_named(metric)
        if self._metric.chance is None:
            able = [name for name, one in METRICS.items() if one.chance is not None]
            raise ReActError(
                f"The context observation cannot show {metric!r}, which has no value of chance; "
                f"use one of {', '.join(able)}."
            )
        self.metrics = (metric,)
        self.space = gymnasium.spaces.Box(-5.0, 5.0, (len(CONTEXT),), np.float32)

    @torch.inference_mode()
    def observe(self, view: PoolView) -> npt.NDArray[np.float32]:
        """Return ``(E, G)`` float32."""
        progress = view.progress
        remaining = np.maximum(progress.budget - progress.spent, 0.0)
        classes = progress.n_classes.astype(np.float64)
        assert self._metric.chance is not None
        chance, best, sign = self._metric.chance(classes), self._metric.best, self._metric.sign
        dev = progress.metric(self.metrics[0])
        host = np.stack(
            [
                progress.spent / progress.budget,
                np.log1p(remaining / progress.batch_size) / 4.0,
                np.log(classes) / 4.0,
                np.log1p(progress.labels / classes) / 4.0,
                (dev.now - chance) / (best - chance),
                (dev.now - dev.start) * 2.0 * sign,
                (dev.now - dev.before) * 10.0 * sign,
            ],
            axis=1,
        )
        both = np.concatenate([host, self._pool_numbers(view).double().cpu().numpy()], axis=1)
        observed: npt.NDArray[np.float32] = np.clip(np.nan_to_num(both), -5.0, 5.0).astype(np.float32)
        return observed

    def _pool_numbers(self, view: PoolView) -> Tensor:
        weight = view.available.float()
        count = view.n_available.clamp_min(1).float()
        log_classes = torch.from_numpy(np.log(np.maximum(view.progress.n_classes, 2))).to(weight)

        def mean(values: Tensor) -> Tensor:
            return (values * weight).sum(1) / count

        def deviation(values: Tensor, center: Tensor) -> Tensor:
            return ((values - center[:, None]).square() * weight).sum(1).div(count).sqrt()

        margin, nearest, density = view.margin, view.nearest_labelled.clamp_min(-1.0), view.density
        mean_margin, mean_nearest, mean_density = mean(margin), mean(nearest), mean(density)
        uncertain, dense, novel = (
            standardise(view, FEATURES[name](view)) for name in ("margin", "density", "novelty")
        )
        counts = view.class_counts
        shares = counts / counts.sum(1, keepdim=True).clamp_min(1.0)
        predicted = (view.probabilities * weight[:, None]).sum(2) / count[:, None]
        return torch.stack(
            [
                mean_margin,
                deviation(margin, mean_margin),
                mean((margin < 0.1).float()),
                mean(view.entropy) / log_classes,
                torch.special.entr(shares).sum(1) / log_classes,
                torch.special.entr(predicted).sum(1) / log_classes,
                mean_nearest,
                deviation(nearest, mean_nearest) * 4.0,
                mean_density,
                deviation(density, mean_density) * 4.0,
                mean(uncertain * dense),
                mean(uncertain * novel),
                mean(dense * novel),
                _neighbour_agreement(view),
                _fit(view),
            ],
            1,
        )

    def describe(self) -> dict[str, Any]:
        """Settings from which ``make_observation`` builds the same observation."""
        return {"name": "context", "numbers": len(CONTEXT), "metric": self.metrics[0]}


def _neighbour_agreement(view: PoolView) -> Tensor:
    """Share of labelled rows whose nearest labelled row has their class, minus what chance gives ``(E,)``."""
    similarity, onehot, live = view.labelled_geometry
    blocked = (live[:, :, None] * live[:, None, :]) == 0
    similarity = similarity.masked_fill(blocked, -torch.inf)
    similarity.diagonal(dim1=1, dim2=2).fill_(-torch.inf)
    best, nearest = similarity.max(2)
    same = onehot.gather(2, nearest[:, None, :].expand(-1, onehot.shape[1], -1)).mul(onehot).sum(1)
    usable = (best > -torch.inf).float()
    total = usable.sum(1).clamp_min(1.0)
    shares = onehot.sum(2) / live.sum(1, keepdim=True).clamp_min(1.0)
    return (same * usable).sum(1) / total - shares.square().sum(1)


def _fit(view: PoolView) -> Tensor:
    """Mean probability that the model gives to the bought labels ``(E,)``."""
    _, onehot, live = view.labelled_geometry
    own = (torch.softmax(view.fitted_logits, 1) * onehot).sum(1)
    return own.sum(1) / live.sum(1).clamp_min(1.0)


OBSERVATIONS: Final = {"context": ContextObservation}


def make_observation(name: str = "context", metric: str = DEFAULT_METRIC) -> Observation:
    """Build an observation by name.

    Args:
        name: Its name.
        metric: Dev metric that it shows.

    Raises:
        ReActError: Unknown name or metric; the nearest one is given.
    """
    if name not in OBSERVATIONS:
        raise unknown("observation", name, OBSERVATIONS)
    return OBSERVATIONS[name](metric)
