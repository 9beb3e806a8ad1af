"""Word tables of E episodes, kept as what differs from the pretrained one.

In a round a table changes only in the rows of tokens that the labelled texts use. Those alone are trained
and kept, so neither memory nor optimiser state grows with the vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from react_rl.learners.finetune.methods.network import Network

_Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class _Changed:
    tokens: Tensor  # (U,) int64
    rows: Tensor  # (U, F) float32


class Words:
    """Changed rows of the word tables; empty where the word table is not trained.

    Args:
        network: Whose word table it is.
        n_episodes: E.
    """

    def __init__(self, network: Network, n_episodes: int) -> None:
        self._name = network.words
        self._changed: list[_Changed | None] = [None] * n_episodes
        self._training: dict[int, Tensor] = {}
        base = network.pretrained(network.words) if network.words is not None else None
        self._base = None if base is None else base.to(network.device)
        self._narrow = None if self._base is None else self._base.to(network.dtype)
        # Tables that were mounted last, and their rows that differ from the pretrained ones.
        self._mounted: Tensor | None = None
        self._differing: list[Tensor] = []

    @property
    def trained(self) -> bool:
        """Whether the word table is trained at all."""
        return self._base is not None

    def forget(self, episode: int) -> None:
        """Go back to the pretrained table. Mutates."""
        self._changed[episode] = None

    def state(self) -> dict[str, Tensor]:
        """Tokens and rows that changed, by episode."""
        arrays = {}
        for episode, changed in enumerate(self._changed):
            if changed is not None:
                arrays[f"tokens/{episode}"], arrays[f"rows/{episode}"] = changed.tokens, changed.rows
        return arrays

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Put the tables where ``state`` was taken. Mutates."""
        for episode in range(len(self._changed)):
            self._changed[episode] = None
            if f"rows/{episode}" in state and self._base is not None:
                tokens, rows = state[f"tokens/{episode}"], state[f"rows/{episode}"]
                device = self._base.device
                self._changed[episode] = _Changed(tokens.to(device, copy=True), rows.to(device, copy=True))

    def begin(
        self, episodes: list[int], vocabularies: list[_Ids], share: float
    ) -> tuple[dict[str, Tensor], Tensor | None]:
        """Rows to train ``(R, U, F)`` by name, and the place of each token among them ``(R, V)``.

        Args:
            episodes: R episodes. What they use is noted until ``keep``. Mutates.
            vocabularies: Token ids of their labelled texts.
            share: How much of what was learned before is kept, 0 (reset) to 1 (warm start).
        """
        if self._base is None or self._name is None:
            return {}, None
        tokens = []
        for e, used in zip(episodes, vocabularies, strict=True):
            known = self._changed[e]
            ids = torch.from_numpy(used).to(self._base.device)
            if known is not None and share > 0:
                ids = torch.unique(torch.cat([ids, known.tokens]))
            tokens.append(ids)
            self._training[e] = ids
        widest = max(ids.numel() for ids in tokens)
        rows = torch.zeros(len(episodes), widest, self._base.shape[1], device=self._base.device)
        places = torch.zeros(len(episodes), self._base.shape[0], dtype=torch.int64, device=self._base.device)
        for r, (e, ids) in enumerate(zip(episodes, tokens, strict=True)):
            rows[r, : ids.numel()] = self._base[ids]
            places[r, ids] = torch.arange(ids.numel(), device=ids.device)
            known = self._changed[e]
            if known is not None and share > 0:
                at = places[r, known.tokens]
                rows[r, at] = torch.lerp(rows[r, at], known.rows, share)
        return {self._name: rows}, places

    def pretrained(self, episodes: list[int]) -> dict[str, Tensor]:
        """What the rows to train ``(R, U, F)`` are before any training, by name, between begin and keep."""
        if self._base is None or self._name is None:
            return {}
        widest = max(self._training[e].numel() for e in episodes)
        rows = torch.zeros(len(episodes), widest, self._base.shape[1], device=self._base.device)
        for r, e in enumerate(episodes):
            rows[r, : self._training[e].numel()] = self._base[self._training[e]]
        return {self._name: rows}

    def keep(self, episode: int, weights: dict[str, Tensor], r: int) -> None:
        """Keep what episode ``r`` of the trained ones has learned. Mutates."""
        if self._name is not None:
            tokens = self._training[episode]
            self._changed[episode] = _Changed(tokens, weights[self._name][r, : tokens.numel()].clone())

    def tables(self, episodes: list[int], training: Tensor | None = None) -> dict[str, Tensor]:
        """Whole tables ``(R, V, F)`` by name, in the type that the network computes in, until the next call.

        Args:
            episodes: R episodes.
            training: Rows ``(R, U, F)`` that are being trained; None takes those that were kept.
        """
        base = self._narrow
        if base is None or self._name is None:
            return {}
        if self._mounted is None or self._mounted.shape[0] != len(episodes):
            self._mounted = None  # gone before the next one is made
            self._mounted = base.expand(len(episodes), *base.shape).clone()
            self._differing = [torch.zeros(0, dtype=torch.int64, device=base.device)] * len(episodes)
        tables = self._mounted
        for r, e in enumerate(episodes):
            tables[r, self._differing[r]] = base[self._differing[r]]
            known = self._changed[e]
            if training is not None:
                known = _Changed(self._training[e], training[r, : self._training[e].numel()])
            self._differing[r] = self._differing[r][:0] if known is None else known.tokens
            if known is not None:
                tables[r, known.tokens] = known.rows.to(tables.dtype)
        return {self._name: tables}
