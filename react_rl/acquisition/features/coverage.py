"""How well labelled and picked rows cover a pool under the kernel, and what each row would add.

A row adds to a landmark only what it covers better than all rows before it did: of few pairs of a row and a
landmark that is more than nothing, and fewer with each label. So those pairs are listed once and kept, and
the others never looked at again.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from react_rl.acquisition.features.landmarks import Landmarks, kernel
from react_rl.simulation.view import PoolView

DENSE: Final = 0.5
"""Share of all pairs from which on they are not listed: looking at all of them in order is quicker."""

SPARSE: Final = 0.5
"""Share of the listed pairs below which the list is made shorter."""

_EVERY: Final = 16
"""One pair in so many is looked at to see whether most are closed."""


class OpenPairs:
    """Pairs of a row and a landmark, row by row, and the kernel between the two.

    Args:
        values: Kernel of N pairs ``(N,)``.
        landmarks: The landmark of each ``(N,)`` int32, counted through all episodes.
        lengths: How many pairs each row has ``(E, R)``.
    """

    def __init__(self, values: Tensor, landmarks: Tensor, lengths: Tensor) -> None:
        self._values, self._landmarks, self._lengths = values, landmarks, lengths

    def __len__(self) -> int:
        return self._values.numel()

    def gain(self, covered: Tensor, weights: Tensor) -> Tensor:
        """Weighted sum ``(E, R)`` of what each row adds to the landmarks.

        Pairs that add nothing change no bit of it: the sum runs through a row's pairs in their order.

        Args:
            covered: How well each landmark is covered ``(E, J)``.
            weights: What it counts ``(E, J)``.
        """
        excess = self._values - covered.flatten().index_select(0, self._landmarks)
        excess.clamp_min_(0.0).mul_(weights.flatten().index_select(0, self._landmarks))
        sums = torch.segment_reduce(excess, "sum", lengths=self._lengths.flatten(), unsafe=True)
        return sums.view(self._lengths.shape)

    def open(self, covered: Tensor) -> OpenPairs:
        """The pairs that still add something; all, unless most do not."""
        covered = covered.flatten()
        some = self._values[::_EVERY] > covered.index_select(0, self._landmarks[::_EVERY])
        if int(some.sum()) >= SPARSE * some.numel():
            return self
        adds = self._values > covered.index_select(0, self._landmarks)
        lengths = torch.segment_reduce(adds.float(), "sum", lengths=self._lengths.flatten(), unsafe=True)
        places = torch.nonzero(adds)[:, 0]
        values, landmarks = self._values.index_select(0, places), self._landmarks.index_select(0, places)
        return OpenPairs(values, landmarks, lengths.long().view(self._lengths.shape))

    def of_rows(self, rows: Tensor) -> OpenPairs:
        """The pairs of few rows ``(E, R)``."""
        ends = self._lengths.flatten().cumsum(0).view(self._lengths.shape)
        lengths = self._lengths.gather(1, rows)
        # From places in the list of the few rows to places in the list of all.
        shift = (ends.gather(1, rows) - lengths.flatten().cumsum(0).view(lengths.shape)).flatten()
        places = torch.repeat_interleave(shift, lengths.flatten())
        places += torch.arange(places.numel(), device=places.device)
        return OpenPairs(self._values[places], self._landmarks[places], lengths)


def open_pairs(near: Tensor, covered: Tensor) -> OpenPairs:
    """The pairs of a kernel ``(E, R, J)`` that add something to what covers the landmarks ``(E, J)``."""
    adds = near > covered[:, None]
    first = torch.arange(0, covered.numel(), covered.shape[1], device=near.device, dtype=torch.int32)
    episodes, _, columns = torch.nonzero(adds, as_tuple=True)
    return OpenPairs(near[adds], first[episodes] + columns.int(), adds.sum(2))


class KeptPairs:
    """The open pairs of small pools, kept for all rounds of the episodes.

    Args:
        similarity: Similarities of all rows ``(E, P, P)``.
        tau: The kernel's width ``(E,)``.
    """

    def __init__(self, similarity: Tensor, tau: Tensor) -> None:
        self._similarity, self._tau = similarity, tau
        self._nearest: Tensor | None = None  # (E, P) of the last call
        self._pairs: OpenPairs | None = None

    def follow(self, nearest: Tensor, covered: Tensor) -> OpenPairs | None:
        """The open pairs now; None where they are most of all pairs. Mutates.

        Args:
            nearest: Largest similarity of each row to a labelled row ``(E, P)``; infinite for rows that do
                not count.
            covered: The kernel there ``(E, P)``.
        """
        if self._pairs is None or self._nearest is None or bool((nearest < self._nearest).any()):
            self._pairs = self._found(nearest)
        elif not torch.equal(nearest, self._nearest):
            self._pairs = self._pairs.open(covered)
        self._nearest = nearest
        return self._pairs

    def _found(self, nearest: Tensor) -> OpenPairs | None:
        n_episodes, width = nearest.shape
        values, landmarks, lengths, room = [], [], [], DENSE * self._similarity.numel()
        ends = torch.arange(width, width * width + 1, width, device=nearest.device)  # of rows
        columns = torch.arange(width, dtype=torch.int32, device=nearest.device).repeat(width)
        for episode in range(n_episodes):
            similarity = self._similarity[episode]
            places = torch.nonzero((similarity > nearest[episode]).view(-1))[:, 0]
            room -= places.numel()
            if room < 0:
                return None
            lengths.append(torch.searchsorted(places, ends).diff(prepend=ends.new_zeros(1)))
            chosen = similarity.reshape(-1).index_select(0, places)
            values.append(kernel(chosen[None], self._tau[episode : episode + 1])[0])
            landmarks.append(columns.index_select(0, places).add_(episode * width))
        return OpenPairs(torch.cat(values), torch.cat(landmarks), torch.stack(lengths))


class KernelCoverage:
    """The largest kernel of each landmark to a labelled or picked row, and what rows would add to it.

    Args:
        landmarks: The rows that stand for the pool.
    """

    def __init__(self, landmarks: Landmarks) -> None:
        view = landmarks.view
        self._landmarks = landmarks
        self._tau = landmarks.tau
        self._rows: Tensor | None = None
        nearest = torch.where(view.nearest_labelled < -1.5, -torch.inf, view.nearest_labelled)
        self._covered = kernel(landmarks.of(nearest), self._tau)  # (E, J)
        self._pairs = self._followed(view, nearest)
        self._gains: dict[int, Tensor] = {}

    def _followed(self, view: PoolView, nearest: Tensor) -> OpenPairs | None:
        similarity = view.pool_similarity if self._landmarks.everyone else None
        if similarity is None:
            return None
        kept = view.kept("open pairs", lambda: KeptPairs(similarity, self._tau))
        return kept.follow(torch.where(view.in_pool, nearest, torch.inf), self._covered)

    def gain(self, weighting: int) -> Tensor:
        """Growth of the mean coverage by each row ``(E, R)``, landmarks weighed ``EVEN`` or ``UNSURE``."""
        if weighting not in self._gains:
            self._gains[weighting] = self._gain(weighting)
        return self._gains[weighting]

    def _gain(self, weighting: int) -> Tensor:
        landmarks, covered = self._landmarks, self._covered
        weights = landmarks.weights[:, weighting]
        if self._pairs is not None:
            gain = self._pairs.gain(covered, weights)
        else:
            gain = torch.zeros(landmarks.view.ids.shape, device=weights.device)
            for some, rows, near in landmarks.kernels():
                excess = (near - covered[some, None]).clamp_min_(0.0)
                gain[some, rows] = torch.bmm(excess, weights[some, :, None])[:, :, 0]
        own = landmarks.of_themselves((1.0 - covered).clamp_min(0.0), weighting)
        if own is not None:
            gain = gain - (own if self._rows is None else own.gather(1, self._rows))
        return gain

    def add(self, similarity: Tensor) -> None:
        """Count one picked row of each episode, so similar to the landmarks ``(E, J)``. Mutates."""
        self._covered = torch.maximum(self._covered, kernel(similarity, self._tau))
        self._gains.clear()

    def narrow(self, rows: Tensor) -> None:
        """Speak of the columns ``(E, R)`` only from now on. Mutates."""
        self._rows = rows
        if self._pairs is None:
            self._pairs = open_pairs(self._landmarks.kernel_of(rows), self._covered)
        else:
            self._pairs = self._pairs.of_rows(rows)
        self._gains = {weighting: gain.gather(1, rows) for weighting, gain in self._gains.items()}
