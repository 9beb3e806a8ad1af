"""BatchBALD by enumeration of all joint labels, Cluster-Margin by a peer's clustering."""

from __future__ import annotations

import copy
from itertools import product

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from react_rl.acquisition.batching.linkage import average_linkage
from react_rl.acquisition.committees import bootstrap_committee
from react_rl.acquisition.strategies.whole_batches import (
    BatchBald,
    ClusterMargin,
    _reduce,
    greedy_joint_information,
)
from react_rl.errors import ReActError
from react_rl.simulation import LabelingEngine

Floats = npt.NDArray[np.float64]


def joint_information(p: Floats, rows: list[int]) -> float:
    """I(y_rows; model) for ``p`` (M, C, k), by adding up every joint label."""
    joint = 0.0
    for labels in product(range(p.shape[1]), repeat=len(rows)):
        chance = np.mean([np.prod([q[c, i] for c, i in zip(labels, rows, strict=True)]) for q in p])
        joint -= chance * np.log(chance) if chance > 0 else 0.0
    alone = sum(float(-(p[m, :, i] * np.log(p[m, :, i])).sum()) for m in range(len(p)) for i in rows)
    return float(joint - alone / len(p))


def greedily(p: Floats, free: list[int], n: int) -> list[int]:
    picks: list[int] = []
    for _ in range(n):
        left = [i for i in free if i not in picks]
        picks.append(max(left, key=lambda i: joint_information(p, [*picks, i])))
    return picks


def test_batches_are_those_of_enumerated_joint_labels(mixed: LabelingEngine) -> None:
    rng = np.random.default_rng(3)
    p = rng.dirichlet(np.full(3, 0.5), size=(6, 4, 9)).transpose(0, 1, 3, 2)  # (E, M, C, k)
    free = torch.from_numpy(rng.random((6, 9)) < 0.8)
    got = greedy_joint_information(mixed.view, torch.from_numpy(p).float(), free, 4, 1000)
    for e in range(6):
        assert got[e].tolist() == greedily(p[e], torch.nonzero(free[e])[:, 0].tolist(), 4)


def test_the_peer_picks_the_same_batch(mixed: LabelingEngine) -> None:
    """skactiveml 1.0.1, pool._bald.batch_bald(probas, 3): argmax 5 (.42474), 3 (.71463), 0 (.84702)."""
    p = np.array(
        [
            [[0.321, 0.597], [0.001, 0.8871], [0.107, 0.346], [0.119, 0.014], [0.841, 0.134], [0.607, 0.001]],
            [[0.429, 0.355], [0.155, 0.651], [0.060, 0.283], [0.804, 0.062], [0.088, 0.332], [0.155, 0.349]],
            [[0.016, 0.960], [0.235, 0.082], [0.300, 0.677], [0.534, 0.316], [0.350, 0.184], [0.021, 0.674]],
            [[0.560, 0.138], [0.238, 0.603], [0.105, 0.140], [0.189, 0.707], [0.606, 0.235], [0.945, 0.054]],
        ]
    )
    p = np.concatenate([p, 1 - p.sum(2, keepdims=True)], 2).transpose(0, 2, 1)
    everywhere = torch.from_numpy(p).float().expand(6, -1, -1, -1)
    free = torch.ones(6, 6, dtype=torch.bool)
    assert greedy_joint_information(mixed.view, everywhere, free, 3, 100).tolist() == [[5, 3, 0]] * 6
    for rows, information in (([5], 0.4247437), ([5, 3], 0.7146260), ([5, 3, 0], 0.8470196)):
        assert joint_information(p, rows) == pytest.approx(information, abs=1e-6)


def test_sampled_joint_labels_find_batches_nearly_as_informative(mixed: LabelingEngine) -> None:
    rng = np.random.default_rng(5)
    p = rng.dirichlet(np.full(3, 0.5), size=(6, 5, 12)).transpose(0, 1, 3, 2)
    free = torch.ones(6, 12, dtype=torch.bool)
    exact = greedy_joint_information(mixed.view, torch.from_numpy(p).float(), free, 5, 1000)
    sampled = greedy_joint_information(mixed.view, torch.from_numpy(p).float(), free, 5, 40)
    assert exact.tolist() != sampled.tolist()
    for e in range(6):
        best = joint_information(p[e], exact[e].tolist())
        assert joint_information(p[e], sampled[e].tolist()) > 0.95 * best


def test_joint_labels_are_sampled_in_proportion_to_their_chance(mixed: LabelingEngine) -> None:
    rng = np.random.default_rng(2)
    mass = torch.from_numpy(rng.dirichlet(np.full(30, 0.4), size=6)).float()
    belief = torch.arange(30.0)[None, :, None].expand(6, -1, 4)
    kept, chance = _reduce(mixed.view, belief, mass, 20)
    assert torch.equal(chance, torch.full((6, 20), 1 / 20))
    for e in range(6):
        counts = np.bincount(kept[e, :, 0].long().numpy(), minlength=30)
        # Evenly spaced draws miss the expected number by less than one.
        assert (np.abs(counts - 20 * mass[e].numpy()) < 1).all()


def test_classes_that_cannot_be_take_up_no_room_among_the_joint_labels(mixed: LabelingEngine) -> None:
    rng = np.random.default_rng(3)
    p = torch.from_numpy(rng.dirichlet(np.full(2, 0.5), size=(6, 4, 9)).transpose(0, 1, 3, 2)).float()
    padded = torch.nn.functional.pad(p, (0, 0, 0, 5))  # seven classes, of which five belong to other episodes
    free = torch.ones(6, 9, dtype=torch.bool)
    before = [str(s.strategy.bit_generator.state) for s in mixed.draws.streams]
    alone = greedy_joint_information(mixed.view, p, free, 5, 16)
    assert greedy_joint_information(mixed.view, padded, free, 5, 16).tolist() == alone.tolist()
    assert [str(s.strategy.bit_generator.state) for s in mixed.draws.streams] == before


def test_a_long_batch_does_not_underflow(mixed: LabelingEngine) -> None:
    rng = np.random.default_rng(0)
    p = torch.from_numpy(rng.dirichlet(np.full(3, 0.2), size=(6, 5, 150)).transpose(0, 1, 3, 2)).float()
    got = greedy_joint_information(mixed.view, p, torch.ones(6, 150, dtype=torch.bool), 150, 64)
    assert all(sorted(row) == list(range(150)) for row in got.tolist())


def test_batch_bald_searches_the_whole_committee(mixed: LabelingEngine) -> None:
    view = mixed.view
    streams = [copy.deepcopy(s.strategy) for s in mixed.draws.streams]
    p = bootstrap_committee(view, 4).probabilities().double().numpy()
    for stream, old in zip(mixed.draws.streams, streams, strict=True):
        stream.__dict__["strategy"] = old
    ids = BatchBald("tested", members=4, configurations=18**2).select(view, 3)
    for e in (0, 1, 3, 4):
        n_classes = mixed.draw_of(e).classes.size
        free = torch.nonzero(view.available[e])[:, 0].tolist()
        expected = greedily(p[e, :, :n_classes], free, 3)
        worth = joint_information(p[e, :, :n_classes], expected)
        found = [int((view.ids[e] == i).nonzero()[0, 0]) for i in ids[e].tolist()]
        # Which of two equally good rows is taken is left to rounding.
        assert joint_information(p[e, :, :n_classes], found) == pytest.approx(worth, abs=2e-4)


@pytest.mark.parametrize("n_clusters", [1, 3, 7, 20])
def test_average_linkage_agrees_with_scipy(n_clusters: int) -> None:
    rng = np.random.default_rng(1)
    live = torch.from_numpy(rng.random((5, 16)) < 0.8)
    x = rng.normal(size=(5, 16, 3))
    distance = np.linalg.norm(x[:, :, None] - x[:, None], axis=3)
    got = average_linkage(torch.from_numpy(distance), live, n_clusters)
    for e in range(5):
        rows = np.flatnonzero(live[e].numpy())
        tree = linkage(squareform(distance[e][np.ix_(rows, rows)], checks=False), "average")
        theirs = fcluster(tree, n_clusters, "maxclust")
        mine = got[e].numpy()[rows]
        assert ((mine[:, None] == mine) == (theirs[:, None] == theirs)).all()
        assert all(lead == rows[mine == lead].min() for lead in mine)


@pytest.mark.parametrize("n", [1, 4, 12])
def test_cluster_margin_takes_the_smallest_margin_of_each_cluster(mixed: LabelingEngine, n: int) -> None:
    view = mixed.view
    ids = ClusterMargin("tested", factor=3).select(view, n)
    for e in range(6):
        free = torch.nonzero(view.available[e])[:, 0].numpy()
        near = free[np.argsort(view.margin[e, free].numpy(), kind="stable")][: 3 * n]
        x = view.embeddings[e, near].double().numpy()
        distance = np.clip(1 - x @ x.T, 0, None)
        np.fill_diagonal(distance, 0.0)
        cluster = fcluster(linkage(squareform(distance, checks=False), "average"), n, "maxclust")
        leads = sorted(int(np.flatnonzero(cluster == c)[0]) for c in np.unique(cluster))
        assert ids[e].tolist() == view.ids[e, near[leads]].tolist()


def test_wrong_settings_are_named() -> None:
    with pytest.raises(ReActError, match="0 configurations"):
        BatchBald("mine", configurations=0)
    with pytest.raises(ReActError, match="factor 0"):
        ClusterMargin("mine", 0)
