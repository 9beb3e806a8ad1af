"""Linear heads that go from phase to phase: what a head keeps when one ends, and how it is held to that.

A head begins a phase with the weights W* of the one before and is trained on the rows that its recipe allows:
``sum_i cross_entropy(x_i W + b, y_i) + l2/2 |W - W*|^2``, and with the rows of the phase alone nothing else
speaks for earlier ones. Elastic weight consolidation adds ``strength/2 sum_k F_k (W_k - W*_k)^2`` with the
Fisher information F of earlier rows, learning without forgetting the cross-entropy between what W* and W say
of the phase's rows, over the classes that were met before.

Source: Kirkpatrick et al. 2017, Overcoming catastrophic forgetting in neural networks, eq. 3, with the
information of all phases summed up around the last weights (Huszár 2018, Note on the quadratic penalties in
elastic weight consolidation); Li & Hoiem 2016, Learning without forgetting, eq. 2 and 3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from react_rl.learners.linear.minimise import minimise
from react_rl.learners.linear.settings import SoftmaxSettings
from react_rl.learners.linear.weighting import row_weights
from react_rl.learners.protocol import INVALID_LOGIT, LabelledRows
from react_rl.learners.recipes.neighbours import PoolGraph
from react_rl.learners.recipes.settings import ContinualSettings

_TOLERANCE: Final = 1e-3
"""A fit ends when a step moves no score by more."""
_STEPS: Final = 200
"""Most steps of a fit."""


def reservoir_keys(rows: Tensor) -> Tensor:
    """A number in [0, 1) for each row id, float64: of rows that share a place in a memory the least stays.

    A row has the same number whatever else comes, so who has left the memory does not come back.

    Source: Vitter 1985, Random sampling with a reservoir; mixed as in Steele et al. 2014, SplitMix64.
    """
    mixed = (rows.to(torch.int64) + 1) * -7046029254386353131  # wraps around
    for shift, factor in ((30, -4658895280553007687), (27, -7723592293110705685)):
        mixed = (mixed ^ _shifted(mixed, shift)) * factor
    mixed = mixed ^ _shifted(mixed, 31)
    return _shifted(mixed, 11).double() / 2.0**53


def _shifted(numbers: Tensor, places: int) -> Tensor:
    """Shift to the right as unsigned numbers are."""
    return (numbers >> places) & ((1 << (64 - places)) - 1)


def used_rows(live: Tensor, rows: Tensor, first: Tensor, settings: ContinualSettings) -> Tensor:
    """Labelled slots ``(R, n)`` float32, 1 or 0, that heads are trained on in their phase.

    Args:
        live: ``(R, n)`` slots that hold a label.
        rows: ``(R, n)`` int64 row ids of the slots.
        first: ``(R,)`` int64 first slot of the phase.
        settings: Which earlier ones are seen again.
    """
    earlier = torch.arange(live.shape[1], device=live.device) < first[:, None]
    new = live * ~earlier
    if settings.kind == "joint":
        return live
    if settings.kind != "replay":
        return new
    held = earlier & (live > 0)
    keys = torch.where(held, reservoir_keys(rows), torch.inf)
    # Of every 1 / share labels in a row the memory keeps one: a reservoir of one place.
    place = ((held.cumsum(1) - 1).clamp_min(0) * settings.share + 1e-9).long()
    least = torch.full_like(keys, torch.inf).scatter_reduce(1, place, keys, "amin")
    kept = held & (keys <= least.gather(1, place))
    begun = new.any(1, keepdim=True)  # until then the model stays what it was when the last phase ended
    return new + (kept & begun).to(live)


def fisher_of(inputs: Tensor, scores: Tensor, live: Tensor) -> Tensor:
    """Diagonal Fisher information ``(R, C, F)`` of the weights of softmax heads, summed over labelled rows.

    Of weight (c, f) it is ``sum_i p_ic (1 - p_ic) x_if^2``.

    Args:
        inputs: ``(R, n, F)``.
        scores: ``(R, C, n)``.
        live: ``(R, n)`` rows that count.
    """
    p = torch.softmax(scores, 1)
    return torch.bmm(p * (1.0 - p) * live[:, None], inputs.square())


def distillation(
    scores: Tensor, teacher: Tensor, classes: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    """Cross-entropy ``(..., n)`` between what two models say, and its gradient ``(..., n, C)`` by the scores.

    Args:
        scores: ``(..., n, C)`` of the model.
        teacher: ``(..., n, C)`` of the earlier one.
        classes: Bool, those that are compared, of a shape that spreads over ``scores``.
        temperature: Scores are divided by it: higher ones say more of improbable classes.
    """
    hidden = torch.full_like(scores, INVALID_LOGIT)
    q = torch.softmax(torch.where(classes, teacher / temperature, hidden), -1)
    log = torch.log_softmax(torch.where(classes, scores / temperature, hidden), -1)
    loss = -(q * torch.where(classes, log, 0.0)).sum(-1)
    return loss, (log.exp() - q) / temperature


@dataclass(frozen=True)
class PhaseTraining:
    """What R heads are trained on in their phase.

    Args:
        inputs: ``(R, n, F)`` labelled rows with the bias as their last number.
        target: ``(R, n, C)`` one-hot labels, all 0 in slots without one.
        weight: ``(R, n)`` weights of the rows in the loss, 0 for those that are not seen.
        shift: ``(R, 1, C)`` near -1e30 for classes outside an episode, 0 for the others.
        begun: ``(R, C, F)`` weights with which the phase began.
        fisher: ``(R, C, F)`` information of earlier rows.
        seen: ``(R, 1, C)`` bool, classes that were met before the phase.
    """

    inputs: Tensor
    target: Tensor
    weight: Tensor
    shift: Tensor
    begun: Tensor
    fisher: Tensor
    seen: Tensor


def fit_phase(rows: PhaseTraining, settings: ContinualSettings, l2: float) -> Tensor:
    """Weights ``(R, C, F)`` of heads in their phase."""
    before = torch.bmm(rows.inputs, rows.begun.transpose(1, 2)) + rows.shift  # (R, n, C)
    distils = settings.kind == "lwf"

    def loss(moved: Tensor) -> Tensor:
        log = torch.log_softmax(before + moved, 2)
        found = -(rows.target * log).sum(2)
        if distils:
            kept, _ = distillation(before + moved, before, rows.seen, settings.temperature)
            found = found + settings.distillation * kept
        return (found * rows.weight).sum(1)

    def residual(moved: Tensor) -> Tensor:
        found = torch.softmax(before + moved, 2) - rows.target
        if distils:
            _, slope = distillation(before + moved, before, rows.seen, settings.temperature)
            found = found + settings.distillation * slope
        return found * rows.weight[:, :, None]

    held = torch.full_like(rows.begun, l2)
    if settings.kind == "ewc":
        held = held + settings.strength * rows.fisher
    moved = minimise(torch.zeros_like(rows.begun), rows.inputs, loss, residual, held, _TOLERANCE, _STEPS)
    return rows.begun + moved


class HeadPhases:
    """What the heads of E episodes keep from phase to phase, and how they are trained past the first.

    Args:
        labelled: The ledger, to be read only.
        graph: Knows the embeddings, and which columns have come.
        settings: Of the base head.

    Attributes:
        first: ``(E,)`` int64 first slot of the phase; 0 in the first phase.
        weights: ``(E, C, F)`` with which the phase began; empty before any phase has ended.
        fisher: ``(E, C, F)`` information of earlier rows.
        seen: ``(E, C)`` bool, classes that were met before the phase.
    """

    _KEPT: Final = ("first", "weights", "fisher", "seen")

    def __init__(self, labelled: LabelledRows, graph: PoolGraph, settings: SoftmaxSettings) -> None:
        n_episodes, n_classes, _ = labelled.shape
        self._labelled, self._graph, self._settings = labelled, graph, settings
        self.first = torch.zeros(n_episodes, dtype=torch.int64, device=labelled.device)
        self.weights = torch.zeros(n_episodes, n_classes, 0, device=labelled.device)
        self.fisher = self.weights.clone()
        self.seen = torch.zeros(n_episodes, n_classes, dtype=torch.bool, device=labelled.device)

    def forget(self, episodes: Sequence[int]) -> None:
        """Begin again. Mutates."""
        some = list(episodes)
        self.first[some], self.seen[some] = 0, False
        self.weights[some], self.fisher[some] = 0.0, 0.0

    def end(self, episodes: Sequence[int], weights: Tensor, intercept: Tensor, class_bias: Tensor) -> None:
        """Keep what heads know when a phase ends. Mutates.

        Args:
            episodes: R episodes.
            weights: ``(R, C, D)``.
            intercept: ``(R, C)``.
            class_bias: ``(R, C, 1)`` near -1e30 for classes outside an episode, 0 for the others.
        """
        some, labelled = list(episodes), self._labelled
        whole = torch.cat([weights, intercept[:, :, None] / self._settings.bias], 2)
        if self.weights.shape[2] == 0:
            self.weights = self.weights.new_zeros(*self.weights.shape[:2], whole.shape[2])
            self.fisher = self.weights.clone()
        inputs, live = self._inputs(some), labelled.live[some, : labelled.slots]
        earlier = torch.arange(live.shape[1], device=live.device) < self.first[some][:, None]
        scores = torch.bmm(whole, inputs.transpose(1, 2)) + class_bias
        self.weights[some] = whole
        self.fisher[some] += fisher_of(inputs, scores, live * ~earlier)
        self.seen[some] = labelled.onehot[some].sum(2) > 0
        self.first[some] = torch.tensor([labelled.used[e] for e in some], device=self.first.device)

    def fit(
        self, members: Sequence[int], settings: ContinualSettings, class_bias: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Train heads past their first phase; see ``fit_phase``.

        Args:
            members: R episodes.
            settings: How.
            class_bias: ``(R, C, 1)`` as in ``end``.

        Returns:
            Weights ``(R, C, F)``, and scores ``(R, C, W)`` of all columns.
        """
        some, labelled, n = list(members), self._labelled, self._labelled.slots
        rows = self._graph.ids[some].gather(1, labelled.columns[some, :n])
        used = used_rows(labelled.live[some, :n], rows, self.first[some], settings)
        onehot = labelled.onehot[some, :, :n] * used[:, None]
        material = PhaseTraining(
            inputs=self._inputs(some),
            target=onehot.transpose(1, 2),
            weight=row_weights(self._settings, onehot, used),
            shift=class_bias.transpose(1, 2),
            begun=self.weights[some],
            fisher=self.fisher[some],
            seen=self.seen[some][:, None],
        )
        found = fit_phase(material, settings, self._settings.l2)
        everything = torch.arange(labelled.shape[2], device=found.device).expand(len(some), -1)
        vectors = self._graph.embeddings(some, everything)  # (R, W, D)
        shift = found[:, :, -1:] * self._settings.bias
        return found, torch.bmm(found[:, :, :-1], vectors.transpose(1, 2)) + shift

    def _inputs(self, episodes: Sequence[int]) -> Tensor:
        """Embeddings ``(R, n, D + 1)`` of the labelled rows of some episodes, the bias last."""
        columns = self._labelled.columns[list(episodes), : self._labelled.slots]
        vectors = self._graph.embeddings(episodes, columns)
        return torch.nn.functional.pad(vectors, (0, 1), value=self._settings.bias)

    def state(self) -> dict[str, Tensor]:
        """What phases have changed, by name; nothing where all rows have come and no phase has ended."""
        if bool(self._graph.arrived.all()) and not bool((self.first > 0).any()):
            return {}
        return {name: getattr(self, name) for name in self._KEPT} | {"arrived": self._graph.arrived}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Put it where ``state`` was taken, the graph too. Mutates."""
        if not state:
            return
        for name in self._KEPT:
            setattr(self, name, state[name].to(self.first.device, copy=True))
        self._graph.narrow(range(len(self.first)), state["arrived"].to(self.first.device))

    def repeated(self, times: int, labelled: LabelledRows, graph: PoolGraph) -> HeadPhases:
        """Every episode ``times`` times, side by side, on ledger and graph copied likewise."""
        other = HeadPhases(labelled, graph, self._settings)
        for name in self._KEPT:
            setattr(other, name, getattr(self, name).repeat_interleave(times, 0))
        return other
