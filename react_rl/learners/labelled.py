"""The labelled rows of E episodes: the columns bought, their labels, how near they are to all others.

Every learner keeps this record; what it learns from it is its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final

import torch
from torch import Tensor

FAR: Final = -2.0
"""Similarity of a slot without a row: below every cosine, and finite."""


def part_of(state: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """The arrays called ``name/...`` in a state, under what follows."""
    before = f"{name}/"
    return {key.removeprefix(before): array for key, array in state.items() if key.startswith(before)}


class LabelledRows:
    """Slots of bought rows, in order of purchase, with room that grows.

    Args:
        n_episodes: E.
        n_classes: Largest number of classes C.
        n_columns: W, pool columns and dev columns together.
        capacity: Slots to reserve room for; grows when needed.
        device: Where all state lives.
    """

    _arrays: ClassVar[tuple[str, ...]] = ("_logits", "_rows", "_onehot", "_live", "_columns")
    """Arrays that have the episode axis in front."""

    def __init__(
        self,
        n_episodes: int,
        n_classes: int,
        n_columns: int,
        capacity: int,
        device: torch.device | str = "cpu",
    ) -> None:
        self.device = torch.device(device)
        self._shape = (n_episodes, n_classes, n_columns)
        self._everyone = torch.arange(n_episodes, device=self.device)
        self._classes = torch.arange(n_classes, device=self.device)
        self._logits = torch.zeros(n_episodes, n_classes, n_columns, device=self.device)
        self.failures: dict[int, str] = {}
        self._used = [0] * n_episodes  # slots taken, for each episode
        self._capacity = max(capacity, 1)
        # Similarity of each labelled row (slot) to each column.
        self._rows = torch.full((n_episodes, self._capacity, n_columns), FAR, device=self.device)
        self._onehot = torch.zeros(n_episodes, n_classes, self._capacity, device=self.device)
        self._live = torch.zeros(n_episodes, self._capacity, device=self.device)
        self._columns = torch.zeros(n_episodes, self._capacity, dtype=torch.int64, device=self.device)

    @property
    def logits(self) -> Tensor:
        """Scores ``(E, C, W)`` as they stand; see ``Learner.logits_of``."""
        return self._logits

    @property
    def slots(self) -> int:
        """Slots in use in the fullest episode."""
        return max(self._used)

    def nearest_labelled(self, n_columns: int) -> Tensor:
        """Largest similarity of each of the first ``n_columns`` columns to a labelled row, ``(E, P)``."""
        if self.slots == 0:
            return torch.full((self._shape[0], n_columns), FAR, device=self.device)
        return self._rows[:, : self.slots, :n_columns].amax(1)

    def class_counts(self) -> Tensor:
        """Labels of each class bought so far, ``(E, C)`` float32."""
        return self._onehot[:, :, : self.slots].sum(2)

    def labelled_similarity(self) -> tuple[Tensor, Tensor, Tensor]:
        """Similarities of labelled rows ``(E, n, n)``, one-hot labels ``(E, C, n)``, live ``(E, n)``."""
        n = self.slots
        index = self._columns[:, None, :n].expand(-1, n, -1)
        return self._rows[:, :n].gather(2, index), self._onehot[:, :, :n], self._live[:, :n]

    def fitted_logits(self) -> Tensor:
        """Scores of the labelled rows themselves, ``(E, C, n)``."""
        n = self.slots
        index = self._columns[:, None, :n].expand(-1, self._shape[1], -1)
        return self._logits.gather(2, index)

    def slot_columns(self) -> Tensor:
        """Pool columns of the slots ``(E, n)``; slots without a label carry any column and weigh nothing."""
        return self._columns[:, : self.slots]

    def slot_mask(self) -> Tensor:
        """Slots that hold a label ``(E, n)`` float32."""
        return self._live[:, : self.slots]

    def slot_rows(self, n_columns: int) -> Tensor:
        """Similarity of the slots to the first ``n_columns`` columns, ``(E, n, P)``; -2 without a row."""
        return self._rows[:, : self.slots, :n_columns]

    def state(self) -> dict[str, Tensor]:
        """All that ``update`` has changed, by name; the arrays are the learner's own."""
        return {name: getattr(self, name) for name in self._arrays} | {"used": torch.tensor(self._used)}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Put learners that have just been started where ``state`` was taken. Mutates."""
        for name in self._arrays:
            setattr(self, name, state[name].to(self.device, copy=True))
        self._used = state["used"].tolist()
        self._capacity = self._rows.shape[1]

    def _forget(self, episodes: Tensor) -> None:
        """Empty the slots of the given episodes ``(R,)``. Mutates."""
        self._rows[episodes] = FAR
        self._onehot[episodes] = 0.0
        self._live[episodes] = 0.0
        self._columns[episodes] = 0
        for episode in episodes.tolist():
            self._used[episode] = 0

    def _append(self, episodes: Tensor, columns: Tensor, labels: Tensor, similarity: Tensor) -> Tensor:
        """Note newly bought rows of episodes ``(R,)`` as ``Learner.update`` gets them. Mutates.

        Returns:
            Their slots ``(R, b)``.
        """
        batch, used = labels.shape[1], [self._used[e] for e in episodes.tolist()]
        self._reserve(max(used) + batch)
        slots = torch.tensor(used, device=self.device)[:, None] + torch.arange(batch, device=self.device)
        place, live = (episodes[:, None], slots), labels >= 0
        self._columns[place] = columns
        self._live[place] = live.float()
        self._rows[place] = similarity.masked_fill(~live[:, :, None], FAR)
        # A missing label (-1) equals no class.
        self._onehot.transpose(1, 2)[place] = (labels[:, :, None] == self._classes).float()
        for episode in episodes.tolist():
            self._used[episode] += batch
        return slots

    def _reserve(self, slots: int) -> int:
        """Make room for ``slots`` slots and return how many were added. Mutates."""
        if slots <= self._capacity:
            return 0
        extra = max(slots, 2 * self._capacity) - self._capacity
        pad = torch.nn.functional.pad
        self._rows = pad(self._rows, (0, 0, 0, extra), value=FAR)
        self._onehot = pad(self._onehot, (0, extra))
        self._live, self._columns = pad(self._live, (0, extra)), pad(self._columns, (0, extra))
        self._capacity += extra
        return extra
