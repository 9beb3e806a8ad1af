"""Disagreements against plain numpy and against the peers' numbers; committees through the registry."""

from __future__ import annotations

import copy

import numpy as np
import numpy.typing as npt
import pytest
import torch

from react_rl.acquisition import make_strategy
from react_rl.acquisition.committees import bootstrap_committee, dropout_committee
from react_rl.acquisition.disagreements import DISAGREEMENTS, mutual_information
from react_rl.acquisition.strategies.committee import QueryByCommittee, committee_scores
from react_rl.acquisition.wide.chunks import column_slices
from react_rl.errors import ReActError
from react_rl.simulation import LabelingEngine

Floats = npt.NDArray[np.float64]

# Four members, six rows, three classes; the last class is what is left of 1.
SHARES = [
    [[0.321, 0.597], [0.001, 0.8871], [0.107, 0.346], [0.119, 0.014], [0.841, 0.134], [0.607, 0.001]],
    [[0.429, 0.355], [0.155, 0.651], [0.060, 0.283], [0.804, 0.062], [0.088, 0.332], [0.155, 0.349]],
    [[0.016, 0.960], [0.235, 0.082], [0.300, 0.677], [0.534, 0.316], [0.350, 0.184], [0.021, 0.674]],
    [[0.560, 0.138], [0.238, 0.603], [0.105, 0.140], [0.189, 0.707], [0.606, 0.235], [0.945, 0.054]],
]

PEERS = {
    # small_text 1.4.1, query_strategies.bayesian._bald, times log 2.
    "mutual-information": [0.2249358, 0.2281913, 0.2002516, 0.3757881, 0.2074193, 0.4247437],
    # skactiveml 1.0.1, pool._query_by_committee: average_kl_divergence, vote_entropy, variation_ratios.
    "divergence": [0.2249358, 0.2281913, 0.2002516, 0.3757881, 0.2074193, 0.4247437],
    "vote-entropy": [0.6931472, 0.5623351, 0.5623351, 1.0397208, 0.6931472, 1.0397208],
    "variation-ratio": [0.5, 0.25, 0.25, 0.5, 0.5, 0.5],
}


def shared() -> torch.Tensor:
    """The peers' input as (1, M, C, P)."""
    p = np.array(SHARES)
    p = np.concatenate([p, 1 - p.sum(2, keepdims=True)], 2)
    return torch.from_numpy(p.transpose(0, 2, 1)[None])


def slowly(kind: str, p: Floats) -> float:
    """The disagreement on one row; ``p`` is (M, C)."""
    mean = p.mean(0)
    votes = np.bincount(p.argmax(1), minlength=p.shape[1]) / len(p)

    def entropy(q: Floats) -> float:
        return -sum(float(x * np.log(x)) for x in q if x > 0)

    if kind == "mutual-information":
        return entropy(mean) - sum(entropy(row) for row in p) / len(p)
    if kind == "divergence":
        return sum(
            float(x * np.log(x / y)) for row in p for x, y in zip(row, mean, strict=True) if x > 0
        ) / len(p)
    if kind == "variation-ratio":
        return 1 - float(votes.max())
    if kind == "vote-entropy":
        return entropy(votes)
    return float(np.sqrt(((p - mean) ** 2).mean(0)).sum())


@pytest.mark.parametrize("kind", sorted(PEERS))
def test_the_peers_find_the_same_numbers(kind: str) -> None:
    for spare in (None, torch.empty_like(shared())):
        got = DISAGREEMENTS[kind](shared().log(), spare)[0]
        np.testing.assert_allclose(got.numpy(), PEERS[kind], atol=1e-6)


@pytest.mark.parametrize("kind", sorted(DISAGREEMENTS))
@pytest.mark.parametrize("committee", ["bootstrap", "dropout"])
@pytest.mark.parametrize("wide", [False, True])
def test_scores_are_the_disagreement_row_by_row(
    mixed: LabelingEngine, monkeypatch: pytest.MonkeyPatch, kind: str, committee: str, wide: bool
) -> None:
    if wide:
        monkeypatch.setattr("react_rl.acquisition.strategies.committee.WIDE", 1)
        monkeypatch.setattr("react_rl.acquisition.wide.chunks.WIDE", 1)
        monkeypatch.setattr("react_rl.acquisition.wide.chunks._CACHED", 1)
        monkeypatch.setattr("react_rl.acquisition.wide.chunks._VECTOR", 17)
    view = mixed.view
    make = {"bootstrap": bootstrap_committee, "dropout": dropout_committee}[committee]
    streams = [copy.deepcopy(s.strategy) for s in mixed.draws.streams]
    p = make(view, 4).probabilities().double().numpy()
    for stream, old in zip(mixed.draws.streams, streams, strict=True):
        stream.__dict__["strategy"] = old  # the strategy draws the committee once more
    strategy = QueryByCommittee("tested", kind, committee, members=4)  # type: ignore[arg-type]
    scores = strategy.score(view).double().numpy()
    for e in range(6):
        for column in torch.nonzero(view.available[e])[:, 0].tolist():
            assert scores[e, column] == pytest.approx(slowly(kind, p[e, :, :, column]), abs=1e-5)


@pytest.mark.parametrize("name", ["bald", "bald-dropout", "mean-std", "vote-entropy", "variation-ratio"])
def test_the_rows_with_the_largest_scores_are_taken(mixed: LabelingEngine, name: str) -> None:
    view = mixed.view
    streams = [copy.deepcopy(s.strategy) for s in mixed.draws.streams]
    scores = make_strategy(name).score(view)
    for stream, old in zip(mixed.draws.streams, streams, strict=True):
        stream.__dict__["strategy"] = old
    ids = make_strategy(name).select(view, 5)
    for e in range(6):
        taken = [int((view.ids[e] == i).nonzero()[0, 0]) for i in ids[e].tolist()]
        best = scores[e][view.available[e]].sort(descending=True).values[:5]
        np.testing.assert_allclose(scores[e][taken].numpy(), best.numpy(), atol=1e-6)


def test_divergence_from_the_mean_takes_the_rows_that_bald_takes(mixed: LabelingEngine) -> None:
    streams = [copy.deepcopy(s.strategy) for s in mixed.draws.streams]
    bald = make_strategy("bald").select(mixed.view, 5)
    for stream, old in zip(mixed.draws.streams, streams, strict=True):
        stream.__dict__["strategy"] = old
    assert make_strategy("qbc-kl").select(mixed.view, 5).tolist() == bald.tolist()


def test_a_pool_walked_in_pieces_has_the_scores_of_one_piece(
    mixed: LabelingEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    committee = bootstrap_committee(mixed.view, 3)
    whole = committee_scores(mixed.view, committee, mutual_information)
    assert len(list(column_slices(mixed.view, 100))) == 1
    monkeypatch.setattr("react_rl.acquisition.wide.chunks._NUMBERS", 6 * 2 * 3 * 18 * 7)
    pieces = list(column_slices(mixed.view, 2 * 3 * 18))
    assert [p.stop - p.start for p in pieces] == [7] * 8 + [4]
    torch.testing.assert_close(committee_scores(mixed.view, committee, mutual_information), whole)


def test_wrong_settings_are_named() -> None:
    with pytest.raises(ReActError, match="Did you mean 'vote-entropy'"):
        QueryByCommittee("mine", "vote-entropi")
    with pytest.raises(ReActError, match="'dropout'"):
        QueryByCommittee("mine", committee="dropuot")  # type: ignore[arg-type]
    with pytest.raises(ReActError, match="0 members"):
        QueryByCommittee("mine", members=0)
