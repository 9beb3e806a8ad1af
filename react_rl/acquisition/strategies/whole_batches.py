"""Batches chosen as a whole among the most uncertain rows: BatchBALD, Cluster-Margin, weighted k-means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import torch
from torch import Tensor

from react_rl.acquisition.batching.linkage import average_linkage
from react_rl.acquisition.batching.selection import to_ids, top_columns
from react_rl.acquisition.clustering.k_means import Clusters, k_means, nearest_members
from react_rl.acquisition.disagreements import mutual_information
from react_rl.acquisition.features import rows
from react_rl.acquisition.strategies.committee import check_committee, committee_scores, make_committee
from react_rl.errors import ReActError
from react_rl.learners.capabilities import Capability
from react_rl.simulation.view import PoolView

_SURE: Final = 1e-6
"""Weight of a row that the learner is certain of: weights have to be above 0."""


@dataclass(frozen=True)
class BatchBald:
    """Batches whose labels together tell most about the model, taken greedily.

    The next pick maximises ``I(y; model | y_1 .. y_j) = E_s[H(p(y | s))] - mean_m H(p_m(y))``, where s runs
    over the joint labels of the picks so far and ``p(y | s) = sum_m w_sm p_m(y)`` with w_sm proportional
    to ``prod_j p_m(s_j)``. In this form nothing underflows, however long the batch. All C^j joint labels
    are used while there are at most ``configurations``; then they are sampled from the committee.

    A gain never exceeds the row's own BALD score, so rows with a small one cannot be taken early: the
    search is restricted to the ``candidates`` rows with the largest scores.

    Source: Kirsch et al. 2019, BatchBALD: efficient and diverse batch acquisition for deep Bayesian active
    learning, algorithm 1, eq. 8 and 12.

    Args:
        name: Name in tables and configs.
        committee: bootstrap or dropout.
        members: M.
        configurations: Most joint labels that are followed.
        candidates: Rows among which batches are sought (at least the batch).
        rate: Share of dimensions that dropout drops.

    Raises:
        ReActError: A setting is out of range.
    """

    name: str = "batch-bald"
    committee: Literal["bootstrap", "dropout"] = "bootstrap"
    members: int = 10
    configurations: int = 256
    candidates: int = 256
    rate: float = 0.5

    def __post_init__(self) -> None:
        check_committee(self.committee, self.members, self.rate)
        if min(self.configurations, self.candidates) < 1:
            raise ReActError(
                f"BatchBALD with {self.configurations} configurations and {self.candidates} candidates has "
                "nothing to search; use at least 1 of each."
            )

    @property
    def needs(self) -> frozenset[Capability]:
        """What it asks of a learner; see ``learners.capabilities``."""
        return frozenset({"dropout" if self.committee == "dropout" else "committee"})

    def score(self, view: PoolView) -> Tensor:
        """BALD scores ``(E, P)``: what the first pick maximises."""
        return committee_scores(
            view, make_committee(view, self.committee, self.members, self.rate), mutual_information
        )

    def select(self, view: PoolView, n: int) -> Tensor:
        """Choose ``n`` rows by joint mutual information."""
        heads = make_committee(view, self.committee, self.members, self.rate)
        scores = committee_scores(view, heads, mutual_information)
        columns = top_columns(view, scores, min(max(self.candidates, n), view.width))  # (E, k), best first
        p = heads.probabilities(columns.clamp_min(0))  # (E, M, C, k)
        order = greedy_joint_information(view, p, columns >= 0, n, self.configurations)
        picked = torch.where(order >= 0, columns.gather(1, order.clamp_min(0)), -1)
        return to_ids(view, picked)


def greedy_joint_information(view: PoolView, p: Tensor, free: Tensor, n: int, configurations: int) -> Tensor:
    """Pick among k candidates greedily by joint mutual information with the model.

    Args:
        view: The pools, for their streams.
        p: ``(E, M, C, k)`` class probabilities of the members.
        free: ``(E, k)`` bool, candidates that may be picked.
        n: Picks wanted.
        configurations: Most joint labels that are followed.

    Returns:
        ``(E, n)`` int64 places among the candidates, -1 where there are no more. Of equal candidates the
        first is picked.
    """
    n_episodes, members, n_classes, _ = p.shape
    spread = torch.special.entr(p).sum(2).mean(1)  # (E, k)
    within = p.permute(0, 2, 3, 1)  # (E, C, k, M)
    belief = torch.full((n_episodes, 1, members), 1.0 / members, device=p.device)  # w: (E, S, M)
    mass = torch.ones(n_episodes, 1, device=p.device)  # chance of each joint label: (E, S)
    picks: list[Tensor] = []
    while len(picks) < n:
        entropy = torch.zeros_like(spread)
        # One class after the other, so that no (E, S, C, k) array is held.
        for c in range(n_classes):
            told = torch.bmm(belief, within[:, c].transpose(1, 2))  # (E, S, k)
            entropy += torch.bmm(mass[:, None], torch.special.entr(told))[:, 0]
        gain = torch.where(free, entropy - spread, -torch.inf)
        best, place = _first_of_the_largest(gain)
        picks.append(torch.where(best > -torch.inf, place, -1))
        if len(picks) == n:
            break
        free = free.scatter(1, place[:, None], False)
        own = within.gather(2, place[:, None, None, None].expand(-1, n_classes, 1, members))[:, :, 0]
        belief, mass = _extend(belief, mass, own)
        if mass.shape[1] > configurations:
            belief, mass = _reduce(view, belief, mass, configurations)
    return torch.stack(picks, 1)


def _first_of_the_largest(gain: Tensor) -> tuple[Tensor, Tensor]:
    """Largest gain and its first place; gains that differ by rounding alone count as equal."""
    best = gain.amax(1)
    close = gain >= (best - 1e-6)[:, None]
    return best, close.to(torch.uint8).argmax(1)


def _extend(belief: Tensor, mass: Tensor, own: Tensor) -> tuple[Tensor, Tensor]:
    """Every joint label followed by every label of the new pick, ``own`` ``(E, C, M)``."""
    joint = belief[:, :, None] * own[:, None]  # (E, S, C, M)
    chance = joint.sum(3, keepdim=True)
    belief = torch.where(chance > 0, joint / chance, joint)
    return belief.flatten(1, 2), (mass[:, :, None] * chance[..., 0]).flatten(1, 2)


def _reduce(view: PoolView, belief: Tensor, mass: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Keep ``count`` joint labels: all that are possible where that is enough, otherwise a sample.

    The sample is drawn in proportion to the chances, evenly spaced (one random number an episode).
    """
    crowded = (mass > 0).sum(1) > count
    start = np.zeros(belief.shape[0])
    for e in torch.nonzero(crowded & (view.n_available > 0))[:, 0].tolist():
        start[e] = view.generator(e).random()
    ticks = torch.arange(count, device=belief.device, dtype=torch.float64)
    number = (ticks + torch.from_numpy(start).to(belief.device)[:, None]) / count  # (E, count)
    total = mass.double().cumsum(1)
    drawn = torch.searchsorted(total, number * total[:, -1:], right=True).clamp_max(mass.shape[1] - 1)
    largest = mass.topk(count, dim=1)
    kept = torch.where(crowded[:, None], drawn, largest.indices)
    chance = torch.where(crowded[:, None], 1.0 / count, largest.values)
    return belief.gather(1, kept[:, :, None].expand(-1, -1, belief.shape[2])), chance


@dataclass(frozen=True)
class ClusterMargin:
    """Rows of small margin from different clusters.

    The ``factor * n`` rows of smallest margin are clustered by average linkage into n clusters, and the
    clusters take turns, each giving its row of smallest margin.

    Source: Citovsky et al. 2021, Batch active learning at scale, algorithms 1 and 2. Three changes: the
    published method clusters the whole pool once before the first round, here the candidates of the round
    are clustered, because that needs no quadratic memory and strategies keep no state; with exactly n
    clusters the published order (small clusters first) decides nothing, and no linkage threshold has to
    be tuned; and a cluster gives its smallest margin instead of a random row, so that a batch of one is
    margin sampling.

    Args:
        name: Name in tables and configs.
        factor: Candidates for each row of the batch.

    Raises:
        ReActError: ``factor`` is below 1.
    """

    name: str = "cluster-margin"
    factor: int = 10

    def __post_init__(self) -> None:
        if self.factor < 1:
            raise ReActError(f"factor {self.factor} gives fewer candidates than rows wanted; use at least 1.")

    def score(self, view: PoolView) -> Tensor:
        """Minus the margin ``(E, P)``."""
        return rows.margin(view)

    def select(self, view: PoolView, n: int) -> Tensor:
        """Choose the smallest margin of each of ``n`` clusters."""
        width = min(self.factor * n, view.width)
        columns = top_columns(view, self.score(view), width)  # (E, k), smallest margin first
        vectors = _vectors(view, columns)
        distance = 1.0 - torch.bmm(vectors, vectors.transpose(1, 2))
        cluster = average_linkage(distance, columns >= 0, n)  # (E, k), each row's earliest companion
        leads = (cluster == torch.arange(width, device=view.device)) & (columns >= 0)
        order = torch.where(leads, torch.arange(width, device=view.device), width).sort(1).values[:, :n]
        columns = torch.nn.functional.pad(columns, (0, 1), value=-1)
        picked = columns.gather(1, order)
        return to_ids(view, torch.nn.functional.pad(picked, (0, n - picked.shape[1]), value=-1))


@dataclass(frozen=True)
class WeightedKMeans:
    """The rows nearest to the centroids of a k-means in which uncertain rows weigh more.

    The ``beta * n`` rows of smallest margin are clustered into n clusters with weights ``1 - margin``, and
    each cluster gives the row nearest to its centroid.

    Source: Zhdanov 2019, Diverse mini-batch active learning, algorithm 1 (the weighted variant, with the
    margin as informativeness).

    Args:
        name: Name in tables and configs.
        beta: Candidates for each row of the batch; the paper tries 10 and 50.

    Raises:
        ReActError: ``beta`` is below 1.
    """

    name: str = "weighted-k-means"
    beta: int = 10

    def __post_init__(self) -> None:
        if self.beta < 1:
            raise ReActError(f"beta {self.beta} gives fewer candidates than rows wanted; use at least 1.")

    def score(self, view: PoolView) -> Tensor:
        """Minus the squared distance to the own centroid; below -4, by margin, outside the candidates."""
        columns, clusters = self._clusters(view, view.progress.batch_size)
        scores = torch.nn.functional.pad(rows.margin(view) - 5.0, (0, 1))
        scores.scatter_(1, torch.where(columns >= 0, columns, view.width), -clusters.distance)
        return scores[:, :-1]

    def select(self, view: PoolView, n: int) -> Tensor:
        """Choose the candidate nearest to each of ``n`` weighted centroids."""
        columns, clusters = self._clusters(view, n)
        luck = view.random().gather(1, columns.clamp_min(0))
        places = nearest_members(clusters, luck, n)
        picked = columns.gather(1, places.clamp_min(0))
        return to_ids(view, torch.where(places >= 0, picked, -1))

    def _clusters(self, view: PoolView, n: int) -> tuple[Tensor, Clusters]:
        """Columns of the candidates ``(E, R)``, -1 where there are fewer, and their clusters."""
        columns = top_columns(view, rows.margin(view), min(self.beta * n, view.width))
        weights = (1.0 - view.margin.gather(1, columns.clamp_min(0))).clamp_min(_SURE)
        counts = torch.full((view.n_episodes,), n, device=view.device)
        vectors = _vectors(view, columns)
        return columns, k_means(view, columns >= 0, counts, vectors=vectors, weights=weights)


def _vectors(view: PoolView, columns: Tensor) -> Tensor:
    """Embeddings of some columns ``(E, R, D)``; column 0 stands for -1."""
    index = columns.clamp_min(0)[:, :, None].expand(-1, -1, view.embeddings.shape[2])
    return view.embeddings.gather(1, index)
