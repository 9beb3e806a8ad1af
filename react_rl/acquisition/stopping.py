"""Stopping rules: when an episode should buy no more labels, decided for E episodes at once.

A rule keeps what it remembers of earlier rounds, so each comparison makes its own. Rules see the dev metric
and predictions on the pool, never the test split.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, Protocol

import numpy as np
import numpy.typing as npt
import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor

from react_rl.errors import unknown
from react_rl.learners.capabilities import Capability
from react_rl.metrics.classification import DEFAULT_METRIC
from react_rl.metrics.registry import metric_named
from react_rl.simulation.view import PoolView
from react_rl.tasks.protocol import Task

_Mask = npt.NDArray[np.bool_]


class StoppingRule(Protocol):
    """Decides after each measurement which episodes stop."""

    @property
    def memory(self) -> dict[str, Tensor]:
        """All that it remembers of earlier rounds, by name; what is put in here it goes on from."""
        ...

    def update(self, view: PoolView) -> _Mask:
        """Look at the present models and say who stops.

        Args:
            view: The pools; shown once before the first round and once after each.

        Returns:
            ``(E,)`` bool.
        """
        ...


class StoppingSettings(BaseModel):
    """Which rule ends an episode before its budget does.

    rule                   stops when                                                 threshold
    budget                 the episode has spent this much                            cost units, required
    metric-target          the dev metric is reached                                  metric, required
    kappa                  predictions agree from round to round                      kappa, 0.99
    classification-change  predictions of the unlabelled rows stay                    share changed, 0
    overall-uncertainty    the mean normalised entropy of the unlabelled rows is low  entropy, 0.05
    predicted-gain         the dev metric rises too slowly for its price              metric per cost unit, 0
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    rule: Literal[
        "none",
        "budget",
        "metric-target",
        "kappa",
        "classification-change",
        "overall-uncertainty",
        "predicted-gain",
    ] = "none"
    """none plays to the end of the budget; the others are explained above."""
    threshold: float | None = Field(default=None, ge=-1e12, le=1e12)
    """Where the rule stops; its unit depends on the rule. None takes the rule's default."""
    window: int | None = Field(default=None, ge=1, le=10**6)
    """Rounds that kappa (default 3) and predicted-gain (default 5) look back."""
    metric: str | None = None
    """Dev metric that metric-target and predicted-gain look at; None takes the task's usual one."""

    @model_validator(mode="after")
    def _check(self) -> StoppingSettings:
        if self.metric is not None:
            metric_named(self.metric)
        if self.rule in ("budget", "metric-target") and self.threshold is None:
            raise ValueError(f"rule {self.rule} needs a threshold")
        if self.rule == "none" and self.threshold is not None:
            raise ValueError("threshold is given without a rule; name one")
        if self.window is not None and self.rule not in ("kappa", "predicted-gain"):
            raise ValueError(f"rule {self.rule} looks at one round; leave window out")
        if self.rule in _SHARES and self.threshold is not None and not 0 <= self.threshold <= 1:
            raise ValueError(f"threshold {self.threshold} of rule {self.rule} must be 0 to 1")
        return self

    @property
    def looks_at_metric(self) -> bool:
        """Whether the rule goes by ``metric``."""
        return self.rule in ("metric-target", "predicted-gain")

    @property
    def needs(self) -> frozenset[Capability]:
        """What the rule asks of a learner; see ``learners.capabilities``."""
        return frozenset({"classes"}) if self.rule in _SHARES else frozenset()

    def of_task(self, task: Task) -> StoppingSettings:
        """The same with the metric that the rule goes by on a task; the usual one where it goes by none.

        Raises:
            ReActError: It goes by a metric of another task.
        """
        own = self.looks_at_metric and self.metric is not None
        metric = self.metric if own else task.default_metrics[0]
        if metric not in task.metrics:
            raise unknown(f"metric of {task.name}", str(metric), task.metrics)
        return self.model_copy(update={"metric": metric})


_DEFAULTS: Final[dict[str, float]] = {
    "none": 0.0,
    "budget": 0.0,
    "metric-target": 0.0,
    "kappa": 0.99,
    "classification-change": 0.0,
    "overall-uncertainty": 0.05,
    "predicted-gain": 0.0,
}
_SHARES: Final = ("kappa", "classification-change", "overall-uncertainty")


class _Rule:
    """What rules have in common: a memory, which most of them leave empty."""

    def __init__(self) -> None:
        self.memory: dict[str, Tensor] = {}

    def _remember(self, name: str, values: npt.NDArray[np.float64], most: int) -> npt.NDArray[np.float64]:
        """Append ``(E,)`` values to the last ``most`` of their kind and return all ``(., E)``. Mutates."""
        known, new = self.memory.get(name), torch.from_numpy(values)[None]
        self.memory[name] = (new if known is None else torch.cat([known, new]))[-most:]
        return self.memory[name].numpy()


class BudgetReached(_Rule):
    """Stop when the episode has spent ``limit`` cost units."""

    def __init__(self, limit: float) -> None:
        super().__init__()
        self._limit = limit

    def update(self, view: PoolView) -> _Mask:
        """Episodes ``(E,)`` whose spending reached the limit."""
        return _mask(view.progress.spent >= self._limit)


class MetricTarget(_Rule):
    """Stop when the dev metric is at least ``target``, or at most, where low values are good."""

    def __init__(self, target: float, metric: str = DEFAULT_METRIC) -> None:
        super().__init__()
        self._target = target
        self._metric, self._sign = metric, metric_named(metric).sign

    def update(self, view: PoolView) -> _Mask:
        """Episodes ``(E,)`` that reached the target."""
        return _mask(self._sign * view.progress.metric(self._metric).now >= self._sign * self._target)


class KappaAverage(_Rule):
    """Stop when successive models agree on a fixed set of rows.

    Cohen's kappa ``(p_o - p_e) / (1 - p_e)`` of the predictions of two successive models on all rows of
    the pool, labels not needed; stop when its mean over the last ``window`` rounds is at least ``kappa``.

    Source: Bloodgood & Vijay-Shanker 2009, A method for stopping active learning based on stabilizing
    predictions (stabilizing predictions: window 3, threshold 0.99).
    """

    def __init__(self, kappa: float = 0.99, window: int = 3) -> None:
        super().__init__()
        self._kappa = kappa
        self._window = window

    def update(self, view: PoolView) -> _Mask:
        """Episodes ``(E,)`` whose predictions have settled."""
        now, before = view.predicted, self.memory.get("predicted")
        self.memory["predicted"] = now
        if before is None:
            return np.zeros(view.n_episodes, dtype=np.bool_)
        kappa = cohen_kappa(before.to(now.device), now, view.in_pool, view.logits.shape[1])
        history = self._remember("kappa", kappa, self._window)
        if len(history) < self._window:
            return np.zeros(view.n_episodes, dtype=np.bool_)
        # The mean of ones, summed in floating point, must still reach a threshold of one.
        return _mask(np.mean(history, axis=0) >= self._kappa - 1e-12)


def cohen_kappa(first: Tensor, second: Tensor, rows: Tensor, n_classes: int) -> npt.NDArray[np.float64]:
    """Cohen's kappa of two label arrays ``(E, P)`` over ``rows`` ``(E, P)``, ``(E,)``; 1 where all agree."""
    weight = rows.to(torch.float64)
    count = weight.sum(1).clamp_min(1.0)
    observed = ((first == second) * weight).sum(1) / count
    tally = torch.zeros(first.shape[0], n_classes, dtype=torch.float64, device=first.device)
    shares = [tally.scatter_add(1, labels, weight) / count[:, None] for labels in (first, second)]
    expected = (shares[0] * shares[1]).sum(1)
    agree = observed >= 1.0
    kappa = (observed - expected) / torch.where(agree, 1.0, 1.0 - expected)
    result: npt.NDArray[np.float64] = torch.where(agree, 1.0, kappa).cpu().numpy()
    return result


class ClassificationChange(_Rule):
    """Stop when no more than a share ``threshold`` of the unlabelled rows changed its predicted class.

    Source: Zhu, Wang & Hovy 2008, Multi-criteria-based strategy to stop active learning for data annotation
    (classification-change; the paper's threshold is 0).
    """

    def __init__(self, threshold: float = 0.0) -> None:
        super().__init__()
        self._threshold = threshold

    def update(self, view: PoolView) -> _Mask:
        """Episodes ``(E,)`` whose predictions stayed."""
        now, before = view.predicted, self.memory.get("predicted")
        self.memory["predicted"] = now
        if before is None:
            return np.zeros(view.n_episodes, dtype=np.bool_)
        rows = _unlabelled(view)
        changed = ((before.to(now.device) != now) & rows).sum(1)
        return _mask((changed <= self._threshold * rows.sum(1)).cpu().numpy())


class OverallUncertainty(_Rule):
    """Stop when the mean entropy of the unlabelled rows, as a share of ``log C``, is below ``threshold``.

    Source: Zhu, Wang & Hovy 2008 (overall-uncertainty), normalised by the number of classes.
    """

    def __init__(self, threshold: float = 0.05) -> None:
        super().__init__()
        self._threshold = threshold

    def update(self, view: PoolView) -> _Mask:
        """Episodes ``(E,)`` whose models are sure."""
        rows = _unlabelled(view)
        total = torch.where(rows, view.entropy, 0.0).sum(1).cpu().numpy()
        mean = total / np.maximum(rows.sum(1).cpu().numpy(), 1)
        return _mask(mean / np.log(np.maximum(view.progress.n_classes, 2)) < self._threshold)


class PredictedGain(_Rule):
    """Stop when a further cost unit is expected to raise the dev metric by less than ``price``.

    The expected gain is the least-squares slope of the dev metric (of its fall, where low values are good)
    against the cost spent, over the last ``window`` rounds. Learning curves flatten, so the slope of the
    past flatters the future, and the rule errs on the side of buying. ``price`` is the cost weight of a
    reward: stop when labels no longer pay.

    Source: this project.
    """

    def __init__(self, price: float = 0.0, window: int = 5, metric: str = DEFAULT_METRIC) -> None:
        super().__init__()
        self._price = price
        self._metric, self._sign = metric, metric_named(metric).sign
        self._window = window

    def update(self, view: PoolView) -> _Mask:
        """Episodes ``(E,)`` whose recent slope is below the price."""
        spent = self._remember("spent", view.progress.spent, self._window + 1)  # (window + 1, E)
        now = self._sign * view.progress.metric(self._metric).now
        metric = self._remember("metric", now, self._window + 1)
        if len(spent) <= self._window:
            return np.zeros(view.n_episodes, dtype=np.bool_)
        spent = spent - spent.mean(0)
        spread = (spent**2).sum(0)
        slope = (spent * metric).sum(0) / np.where(spread > 0, spread, 1.0)
        return _mask((slope < self._price) & (spread > 0))


def _unlabelled(view: PoolView) -> Tensor:
    """Rows of the pools without a label ``(E, P)``, affordable or not."""
    return view.in_pool & ~view.labelled


def _mask(values: npt.NDArray[np.bool_]) -> _Mask:
    return np.asarray(values, dtype=np.bool_)


def make_stopping(settings: StoppingSettings) -> StoppingRule | None:
    """Make a fresh rule for the episodes of one engine.

    Args:
        settings: Which rule; without a metric it goes by that of classification.

    Returns:
        The rule, None where the settings name none.
    """
    threshold = _DEFAULTS[settings.rule] if settings.threshold is None else settings.threshold
    window = settings.window
    makers: dict[str, Callable[[], StoppingRule | None]] = {
        "none": lambda: None,
        "budget": lambda: BudgetReached(threshold),
        "metric-target": lambda: MetricTarget(threshold, settings.metric or DEFAULT_METRIC),
        "kappa": lambda: KappaAverage(threshold, window or 3),
        "classification-change": lambda: ClassificationChange(threshold),
        "overall-uncertainty": lambda: OverallUncertainty(threshold),
        "predicted-gain": lambda: PredictedGain(threshold, window or 5, settings.metric or DEFAULT_METRIC),
    }
    return makers[settings.rule]()
