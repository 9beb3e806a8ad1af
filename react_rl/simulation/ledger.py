"""The ledger of E episodes: what was bought, in which order, with which answers, how near it is to all else.

It is the simulation's. Learners read it as ``LabelledRows`` and keep what they learned from it to themselves.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from react_rl.learners.protocol import FAR, Purchase


class Ledger:
    """Slots of bought rows, in order of purchase, with room that grows.

    Args:
        n_episodes: E.
        n_classes: Largest number of classes C.
        n_columns: W, pool columns and dev columns together.
        capacity: Slots to reserve room for; grows when needed.
        device: Where all state is.

    Attributes:
        rows: ``(E, capacity, W)`` float32 similarity of each slot to each column, ``FAR`` without a row.
        onehot: ``(E, C, capacity)`` float32 answers, all 0 in slots without one.
        live: ``(E, capacity)`` float32, 1 in slots that hold an answer.
        columns: ``(E, capacity)`` int64 pool columns; slots without an answer carry any column.
        used: Slots taken, for each episode.
        unanswered: Whether some taken slot may carry no answer.
    """

    _AXES: ClassVar[dict[str, int]] = {"rows": 1, "onehot": 2, "live": 1, "columns": 1}
    """Arrays, with the episode axis in front, and the axis of their slots."""

    def __init__(
        self,
        n_episodes: int,
        n_classes: int,
        n_columns: int,
        capacity: int,
        device: torch.device | str = "cpu",
    ) -> None:
        self.device = torch.device(device)
        self.shape = (n_episodes, n_classes, n_columns)
        self.used = [0] * n_episodes
        self.unanswered = False
        slots = max(capacity, 1)
        self.rows = torch.full((n_episodes, slots, n_columns), FAR, device=self.device)
        self.onehot = torch.zeros(n_episodes, n_classes, slots, device=self.device)
        self.live = torch.zeros(n_episodes, slots, device=self.device)
        self.columns = torch.zeros(n_episodes, slots, dtype=torch.int64, device=self.device)
        self._classes = torch.arange(n_classes, device=self.device)
        self._nearest: Tensor | None = None  # (E, P) over the first slots, when somebody last asked
        self._counted = 0

    @property
    def capacity(self) -> int:
        """Slots that there is room for."""
        return self.rows.shape[1]

    @property
    def slots(self) -> int:
        """Slots in use in the fullest episode."""
        return max(self.used)

    def nearest_labelled(self, n_columns: int) -> Tensor:
        """Largest similarity of each of the first ``n_columns`` columns to a labelled row, ``(E, P)``."""
        if self.slots == 0:
            return torch.full((self.shape[0], n_columns), FAR, device=self.device)
        if self._nearest is None or self._nearest.shape[1] != n_columns:
            self._nearest = self.rows[:, : self.slots, :n_columns].amax(1)
        elif self._counted < self.slots:
            # Only what was bought since can be nearer.
            later = self.rows[:, self._counted : self.slots, :n_columns].amax(1)
            self._nearest = torch.maximum(self._nearest, later)
        self._counted = self.slots
        return self._nearest

    def class_counts(self) -> Tensor:
        """Labels of each class bought so far, ``(E, C)`` float32."""
        return self.onehot[:, :, : self.slots].sum(2)

    def labelled_similarity(self) -> tuple[Tensor, Tensor, Tensor]:
        """Similarities of labelled rows ``(E, n, n)``, one-hot labels ``(E, C, n)``, live ``(E, n)``."""
        n = self.slots
        index = self.columns[:, None, :n].expand(-1, n, -1)
        return self.rows[:, :n].gather(2, index), self.onehot[:, :, :n], self.live[:, :n]

    def slot_columns(self) -> Tensor:
        """Pool columns of the slots ``(E, n)``; slots without a label carry any column and weigh nothing."""
        return self.columns[:, : self.slots]

    def slot_mask(self) -> Tensor:
        """Slots that hold a label ``(E, n)`` float32."""
        return self.live[:, : self.slots]

    def slot_rows(self, n_columns: int) -> Tensor:
        """Similarity of the slots to the first ``n_columns`` columns, ``(E, n, P)``; -2 without a row."""
        return self.rows[:, : self.slots, :n_columns]

    def forget(self, episodes: Tensor) -> None:
        """Empty the slots of the given episodes ``(R,)``. Mutates."""
        self.rows[episodes] = FAR
        self.onehot[episodes] = 0.0
        self.live[episodes] = 0.0
        self.columns[episodes] = 0
        for episode in episodes.tolist():
            self.used[episode] = 0
        if episodes.numel() == self.shape[0]:
            self.unanswered = False
        self._nearest = None

    def append(
        self,
        episodes: Tensor,
        columns: Tensor,
        labels: Tensor,
        similarity: Tensor | None = None,
        targets: Tensor | None = None,
    ) -> Purchase:
        """Note newly bought rows. Mutates.

        Args:
            episodes: ``(R,)`` int64, ascending.
            columns: ``(R, b)`` int64 pool columns of the new rows.
            labels: ``(R, b)`` int64 class indices, -1 where there is no label.
            similarity: ``(R, b, W)`` float32 inner products of the new rows with all columns; None where no
                one will ask for them.
            targets: ``(R, b, ...)`` answers as the task has them, which learners are told of and the ledger
                does not look into; None where the labels say all.

        Returns:
            What learners are told of it.
        """
        everyone = episodes.numel() == self.shape[0]
        used = list(self.used) if everyone else [self.used[e] for e in episodes.tolist()]
        told = labels if targets is None else targets
        bought = Purchase(episodes, columns, labels, told, similarity, used, everyone)
        batch = labels.shape[1]
        if min(used) < self._counted:
            self._nearest = None
        self._reserve(max(used) + batch)
        self.unanswered |= not bought.answered
        place: tuple[slice | Tensor, slice | Tensor] = (slice(None), slice(used[0], used[0] + batch))
        if not (everyone and bought.lockstep):
            place = (episodes[:, None], bought.slots)
        self.columns[place] = columns
        self.live[place] = 1.0 if bought.answered else bought.live.to(self.live)
        if similarity is not None:
            self.rows[place] = (
                similarity if bought.answered else torch.where(bought.live[:, :, None], similarity, FAR)
            )
        # A missing label (-1) equals no class.
        self.onehot.transpose(1, 2)[place] = (labels[:, :, None] == self._classes).to(self.onehot)
        if everyone:
            self.used = [slots + batch for slots in self.used]
        else:
            for episode in episodes.tolist():
                self.used[episode] += batch
        return bought

    def replicate(self, times: int, room: int) -> Ledger:
        """Copy every episode ``times`` times, side by side: the ledger of E * times scratch episodes.

        Args:
            times: Copies of each episode.
            room: Rows that each copy is going to buy; more slots than these are not copied.
        """
        scratch = copy.copy(self)
        scratch.shape = (self.shape[0] * times, *self.shape[1:])
        scratch.used = [used for used in self.used for _ in range(times)]
        scratch._nearest = None
        capacity = min(self.slots + room, self.capacity)
        for name, axis in self._AXES.items():
            array: Tensor = getattr(self, name)
            setattr(scratch, name, array.narrow(axis, 0, capacity).repeat_interleave(times, 0))
        return scratch

    def state(self) -> dict[str, Tensor]:
        """All that purchases have changed, by name; the arrays are the ledger's own."""
        arrays: dict[str, Tensor] = {name: getattr(self, name) for name in self._AXES}
        return arrays | {"used": torch.tensor(self.used), "unanswered": torch.tensor(self.unanswered)}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Put the ledger where ``state`` was taken. Mutates."""
        for name in self._AXES:
            setattr(self, name, state[name].to(self.device, copy=True))
        self.used, self.unanswered = state["used"].tolist(), bool(state["unanswered"])
        self._nearest = None

    def _reserve(self, slots: int) -> None:
        """Make room for ``slots`` slots. Mutates."""
        if slots <= self.capacity:
            return
        extra = max(slots, 2 * self.capacity) - self.capacity
        pad = torch.nn.functional.pad
        self.rows = pad(self.rows, (0, 0, 0, extra), value=FAR)
        self.onehot = pad(self.onehot, (0, extra))
        self.live, self.columns = pad(self.live, (0, extra)), pad(self.columns, (0, extra))
