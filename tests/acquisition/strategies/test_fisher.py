"""BAIT against Fisher matrices that are written out and inverted."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from react_rl.acquisition.strategies.fisher import Bait, FisherTrace
from react_rl.acquisition.wide import bounded
from react_rl.errors import ReActError
from react_rl.simulation import LabelingEngine


class Dense:
    """Fisher matrices ``(C, D + 1, D + 1)`` of one episode, class by class, in float64."""

    def __init__(self, engine: LabelingEngine, e: int) -> None:
        view = engine.view
        settings = view.linear_settings
        assert settings is not None
        classes, size = engine.draw_of(e).classes.size, engine.draw_of(e).pool.size
        rows = view.embeddings[e, :size].double().numpy()
        self.x = np.concatenate([rows, np.full((size, 1), settings.bias)], 1)
        p = torch.softmax(view.logits[e, :classes, :size].double(), 0).numpy()
        self.weight = p * (1 - p)
        self.pool = np.stack([(self.x * w[:, None]).T @ self.x / size for w in self.weight])
        columns, live = (part[e].numpy() for part in view.labelled_columns)
        self.bought = columns[live > 0].tolist()
        self.l2 = settings.l2

    def trace(self, more: list[int]) -> float:
        """``tr(M^-1 F)`` with these rows added."""
        total = 0.0
        for w, pool in zip(self.weight, self.pool, strict=True):
            rows = self.x[self.bought + more] * np.sqrt(w[self.bought + more])[:, None]
            known = self.l2 * np.eye(self.x.shape[1]) + rows.T @ rows
            total += float(np.trace(np.linalg.solve(known, pool)))
        return total


def test_gains_and_losses_are_those_of_inverted_matrices(mixed: LabelingEngine) -> None:
    fisher, dense = FisherTrace(mixed.view), [Dense(mixed, e) for e in range(6)]
    columns = [torch.nonzero(mixed.view.available[e])[:4, 0] for e in range(6)]
    for e in range(6):
        assert float(fisher.trace[e]) == pytest.approx(dense[e].trace([]), rel=1e-4)
    for k in range(3):
        fisher.add(torch.stack([own[k] for own in columns]))
    fisher.remove(torch.stack([own[1] for own in columns]))
    kept = torch.stack([own[[0, 2]] for own in columns])
    losses = fisher.losses(kept)
    for e in range(6):
        inside = kept[e].tolist()
        now = dense[e].trace(inside)
        assert float(fisher.trace[e]) == pytest.approx(now, rel=1e-4)
        for column in (int(columns[e][1]), int(columns[e][3])):
            gain = now - dense[e].trace([*inside, column])
            assert float(fisher.gains[e, column]) == pytest.approx(gain, rel=1e-3)
        for k in range(2):
            loss = dense[e].trace(inside[:k] + inside[k + 1 :]) - now
            assert float(losses[e, k]) == pytest.approx(loss, rel=1e-3)


def test_a_batch_is_added_to_greedily_and_thinned_out_again(mixed: LabelingEngine) -> None:
    view = mixed.view
    ids = Bait().select(view, 3)
    for e in range(6):
        dense = Dense(mixed, e)
        free = torch.nonzero(view.available[e])[:, 0].tolist()
        batch: list[int] = []
        for _ in range(6):
            left = [column for column in free if column not in batch]
            batch.append(min(left, key=lambda column: dense.trace([*batch, column])))
        while len(batch) > 3:
            place = min(range(len(batch)), key=lambda k: dense.trace(batch[:k] + batch[k + 1 :]))
            del batch[place]
        assert ids[e].tolist() == view.ids[e, batch].tolist()


def test_with_two_classes_the_blocks_say_what_the_whole_matrix_says(mixed: LabelingEngine) -> None:
    dense = Dense(mixed, 0)
    assert len(dense.weight) == 2
    classes = np.array([[1.0, -1.0], [-1.0, 1.0]])
    size = dense.x.shape[1]

    def whole(more: list[int]) -> float:
        weight = dense.weight[0]
        pool = np.kron(classes, dense.pool[0])
        rows = dense.x[dense.bought + more] * np.sqrt(weight[dense.bought + more])[:, None]
        # A vector of differences has twice the length of either part: the same prior is half as strong.
        known = 2 * dense.l2 * np.eye(2 * size) + np.kron(classes, rows.T @ rows)
        return float(np.trace(np.linalg.solve(known, pool)))

    free = torch.nonzero(mixed.view.available[0])[:, 0].tolist()
    ours = [dense.trace([column]) for column in free]
    np.testing.assert_allclose([whole([column]) for column in free], np.array(ours) / 2, rtol=1e-6)


def test_episodes_may_come_in_parts(mixed: LabelingEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, scores = Bait().select(mixed.view, 4), Bait().score(mixed.view)
    monkeypatch.setattr(bounded, "_NUMBERS", 1)
    assert torch.equal(Bait().select(mixed.view, 4), whole)
    torch.testing.assert_close(Bait().score(mixed.view), scores)


def test_a_large_pool_is_drawn_from(mixed: LabelingEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "LARGEST", 20)
    ids = Bait().select(mixed.view, 4)
    assert all(len(set(row)) == 4 and min(row) >= 0 for row in ids.tolist())


def test_fewer_rows_than_wanted_are_refused() -> None:
    with pytest.raises(ReActError, match=r"oversample 0\.5"):
        Bait(oversample=0.5)
