"""An ensemble of MLP heads on frozen embeddings: E episodes times M members in the same tensor operations.

The hidden layer is kept in dual form (``training``). The ensemble's scores are the mean of its members',
which makes it one network of M H hidden units: strategies that look at the last layer see exactly that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from react_rl.errors import ReActError
from react_rl.learners.finetune.backbone.dropout import step_keys
from react_rl.learners.linear.weighting import balanced_weights
from react_rl.learners.mlp.training import MlpLesson, MlpSettings, kept_units, train
from react_rl.learners.protocol import INVALID_LOGIT, LabelledRows, Purchase
from react_rl.learners.scores import ColumnScores

_TOGETHER: Final = 1 << 17
"""Numbers of one working array above which episodes take turns: larger ones leave the processor's cache."""

_ROW, _SAMPLE, _STEP = 7907, 7919, 7927
"""Counters that set apart what is drawn for rows, for Monte Carlo samples and for training steps."""


class MlpHead(ColumnScores):
    """E ensembles of M heads with one hidden layer.

    Rows are scaled by ``sqrt(D)``, so that components have the size one that learning rates are made for.
    The last layer has no intercept: with few labels it would follow the class shares of the sample.

    Args:
        embeddings: ``(N, D)`` float32 unit-norm embeddings of each corpus.
        labelled: The ledger, to be read only; the dual form asks it for similarities.
        settings: Sizes and training.
    """

    _arrays: ClassVar[tuple[str, ...]] = (
        *ColumnScores._arrays, "_dual", "_scale", "_out", "_importance", "_rounds",
    )  # fmt: skip

    def __init__(
        self, embeddings: Sequence[Tensor], labelled: LabelledRows, settings: MlpSettings | None = None
    ) -> None:
        super().__init__(labelled)
        n_episodes, n_classes, n_columns = labelled.shape
        self.settings = settings or MlpSettings()
        self.members = self.settings.members
        self._embeddings = list(embeddings)
        self._corpus = [0] * n_episodes
        self._row_ids = torch.zeros(n_episodes, n_columns, dtype=torch.int64, device=self.device)
        units, self._inputs = self.members * self.settings.hidden, embeddings[0].shape[1]
        self._class_bias = torch.zeros(n_episodes, n_classes, 1, device=self.device)
        self._seeds = torch.zeros(n_episodes, dtype=torch.int64, device=self.device)
        self._rounds = torch.zeros(n_episodes, dtype=torch.int64, device=self.device)
        # First weights, and what they make of each column.
        self._first = torch.zeros(n_episodes, units, self._inputs, device=self.device)
        self._begin = torch.zeros(n_episodes, units, n_columns, device=self.device)
        self._first_out = torch.zeros(
            n_episodes, self.members, n_classes, self.settings.hidden, device=self.device
        )
        self._out = torch.zeros_like(self._first_out)
        self._scale = torch.ones(n_episodes, device=self.device)
        self._dual = torch.zeros(n_episodes, units, labelled.capacity, device=self.device)
        self._importance = torch.zeros(n_episodes, self.members, labelled.capacity, device=self.device)

    def place(self, episode: int, corpus: int, rows: Tensor, dev_targets: Tensor) -> None:
        """Note the rows of an episode's columns ``(W,)``, -1 in unused ones."""
        self._corpus[episode] = corpus
        self._row_ids[episode] = rows.clamp_min(0)

    def start(self, episodes: Tensor, n_classes: Tensor, seeds: Sequence[int]) -> None:
        """Forget the given episodes ``(R,)`` and begin again with first weights drawn from ``seeds``.

        Weights are normal, of variance 2/D (He et al. 2015) in the hidden layer and 1/H in the last one.
        """
        invalid = self._classes[None, :] >= n_classes.to(self.device)[:, None]
        bias = torch.zeros(invalid.shape, device=self.device).masked_fill_(invalid, INVALID_LOGIT)
        self._class_bias[episodes] = bias[:, :, None]
        self._logits[episodes] = bias[:, :, None]
        self._seeds[episodes] = torch.tensor(seeds, device=self.device)
        self._rounds[episodes] = 0
        for episode, seed, size in zip(episodes.tolist(), seeds, n_classes.tolist(), strict=True):
            self._draw(episode, seed, size)
        self._out[episodes] = self._first_out[episodes]
        self._scale[episodes] = 1.0
        self._dual[episodes] = 0.0
        self._importance[episodes] = 0.0

    def _draw(self, episode: int, seed: int, n_classes: int) -> None:
        """Draw the first weights of one episode, each member's from a stream of its own. Mutates."""
        hidden, inputs = self.settings.hidden, self._inputs
        first = np.empty((self.members, hidden, inputs), np.float32)
        out = np.zeros(tuple(self._first_out.shape[1:]), np.float32)
        for member in range(self.members):
            chance = np.random.default_rng([seed, member])
            first[member] = chance.standard_normal((hidden, inputs), np.float32)
            out[member, :n_classes] = chance.standard_normal((n_classes, hidden), np.float32)
        self._first[episode] = torch.from_numpy(first * np.float32((2.0 / inputs) ** 0.5)).flatten(0, 1)
        self._first_out[episode] = torch.from_numpy(out * np.float32(hidden**-0.5))
        rows = self._embeddings[self._corpus[episode]][self._row_ids[episode]]
        self._begin[episode] = (self._first[episode] @ rows.T).mul_(inputs**0.5)

    def update(self, bought: Purchase) -> None:
        """Train the episodes that got a label, in place."""
        episodes, slots = bought.episodes, bought.slots
        self._reserve(self.labelled.capacity)
        self._importance.transpose(1, 2)[episodes[:, None], slots] = self._drawn_importance(episodes, slots)
        taught, n = episodes[bought.live.any(1)], self.labelled.slots
        for part in _in_turn(taught, self._dual.shape[1] * n):
            self._train(part, n)
            self._rounds[part] += 1
            self._predict(part, n)

    def logits_of_rows(self, rows: Sequence[npt.NDArray[np.int64]]) -> Tensor:
        """Scores ``(E, C, T)`` of other rows, T for each episode, e.g. of a test split."""
        found = []
        for e, ids in enumerate(rows):
            data, used = self._embeddings[self._corpus[e]], self.labelled.used[e]
            labelled = data[self._row_ids[e, self.labelled.columns[e, :used]]]
            dual = self._dual[e, :, :used]
            # The hidden layer as it is, its rows scaled by sqrt(D) as the inputs are.
            weights = self._first[e] * (self._scale[e] * self._inputs**0.5)
            weights.addmm_(dual, labelled, alpha=self._inputs)
            others = data[torch.from_numpy(ids).to(self.device)]
            fitted = torch.addmm(dual.sum(1, keepdim=True), weights, others.T)
            found.append(self._ensemble_head(self._out[e]) @ fitted.relu_() + self._class_bias[e])
        return torch.stack(found)

    def features_of(self, columns: slice) -> Tensor:
        """Hidden activations of all members ``(E, ., M H)`` of a range of columns."""
        return self._active(self._everyone, self.labelled.slots, columns).transpose(1, 2)

    def head(self) -> tuple[Tensor, Tensor]:
        """Weights ``(E, C, M H)`` of the last layer on ``features_of``, and intercepts ``(E, C)``, all 0."""
        n_episodes, _, n_classes, _ = self._out.shape
        return self._ensemble_head(self._out), torch.zeros(n_episodes, n_classes, device=self.device)

    def dropout_logits(self, columns: slice, samples: int) -> Tensor:
        """Scores of Monte Carlo samples ``(E, S, C, .)``; the members take turns in giving one.

        One mask serves all rows, so that a sample is one function.

        Raises:
            ReActError: The heads drop nothing.
        """
        rate, members, hidden = self.settings.dropout, self.members, self.settings.hidden
        if not rate:
            raise ReActError(
                "Strategies that sample by dropout need learner.mlp.dropout above 0, which is 0 here."
            )
        active = self._active(self._everyone, self.labelled.slots, columns)  # (E, M H, .)
        keys = self._round_keys(self._everyone, _SAMPLE)
        kept = kept_units(keys, samples, 1, hidden, rate)  # (E, S, 1, H)
        drawn = []
        for sample in range(samples):
            m = sample % members
            units = active[:, m * hidden : (m + 1) * hidden]
            drawn.append(torch.baddbmm(self._class_bias, self._out[:, m] * kept[:, sample], units))
        return torch.stack(drawn, 1)

    def _drawn_importance(self, episodes: Tensor, slots: Tensor) -> Tensor:
        """Weights of new rows ``(R, b, M)``, exponential of mean 1: the Bayesian bootstrap (Rubin 1981)."""
        if not self.settings.bootstrap or self.members == 1:
            return torch.ones(*slots.shape, self.members, device=self.device)
        seeds = step_keys(self._seeds[episodes], _ROW)[:, None].long() * 2**20 + slots
        keys = torch.stack([step_keys(seeds, _ROW, m) for m in range(self.members)], 2)
        uniform = (keys.double() + (2.0**31 + 0.5)) / 2.0**32
        return -uniform.log().float()

    def _round_keys(self, episodes: Tensor, use: int) -> Tensor:
        """Keys ``(R,)`` int32 of what is drawn in the present round."""
        return step_keys(step_keys(self._seeds[episodes], use).long() * 2**20 + self._rounds[episodes], use)

    def _train(self, episodes: Tensor, n: int) -> None:
        """Train ensembles on their labelled rows. Mutates."""
        labelled = self.labelled
        columns = labelled.columns[episodes, :n]
        live, onehot = labelled.live[episodes, :n], labelled.onehot[episodes, :, :n]
        kernel = labelled.rows[episodes, :n].gather(2, columns[:, None].expand(-1, n, -1))
        kernel = kernel.mul_(self._inputs).add_(1.0).mul_(live[:, None, :] * live[:, :, None])
        weight = self._importance[episodes, :, :n] * live[:, None]
        if self.settings.class_weights == "balanced":
            weight = weight * balanced_weights(onehot, live)[:, None]
        weight /= weight.sum(2, keepdim=True).clamp_min(1e-12)
        units = self._dual.shape[1]
        lesson = MlpLesson(
            kernel=kernel,
            begin=self._begin[episodes].gather(2, columns[:, None].expand(-1, units, -1)),
            target=onehot,
            weight=weight,
            shift=self._class_bias[episodes],
            keys=self._round_keys(episodes, _STEP),
            inputs=self._inputs + 1,
        )
        if self.settings.restart == "reset":
            dual = torch.zeros(len(episodes), units, n, device=self.device)
            scale, out = torch.ones(len(episodes), device=self.device), self._first_out[episodes]
        else:
            dual = self._dual[episodes, :, :n].contiguous()
            scale, out = self._scale[episodes], self._out[episodes]
        train(dual, scale, out, lesson, self.settings)
        self._dual[episodes, :, :n], self._scale[episodes], self._out[episodes] = dual, scale, out

    def _predict(self, episodes: Tensor, n: int) -> None:
        """Score all columns of the given episodes. Mutates."""
        for part in _in_turn(episodes, self._begin[0].numel()):
            active = self._active(part, n, slice(None))
            head = self._ensemble_head(self._out[part])
            self._logits[part] = torch.baddbmm(self._class_bias[part], head, active)

    def _active(self, episodes: Tensor, n: int, columns: slice) -> Tensor:
        """Hidden activations ``(R, M H, .)`` of a range of columns."""
        dual = self._dual[episodes, :, :n]
        fitted = self._begin[episodes, :, columns].mul_(self._scale[episodes, None, None])
        fitted += dual.sum(2, keepdim=True)
        return fitted.baddbmm_(dual, self.labelled.rows[episodes, :n, columns], alpha=self._inputs).relu_()

    def _ensemble_head(self, out: Tensor) -> Tensor:
        """Last layers ``(..., M, C, H)`` of the members as one, ``(..., C, M H)``, their scores averaged."""
        return out.transpose(-3, -2).flatten(-2).div(self.members)

    def _reserve(self, slots: int) -> None:
        """Make room for ``slots`` slots, as many as the ledger has. Mutates."""
        extra = slots - self._dual.shape[2]
        if extra > 0:
            self._dual = torch.nn.functional.pad(self._dual, (0, extra))
            self._importance = torch.nn.functional.pad(self._importance, (0, extra))


def _in_turn(episodes: Tensor, numbers: int) -> Sequence[Tensor]:
    """Episodes in groups whose working arrays, of so many numbers each, fit the processor's cache."""
    parts: Sequence[Tensor] = torch.split(episodes, max(1, _TOGETHER // max(1, numbers)))
    return parts if episodes.numel() else ()
