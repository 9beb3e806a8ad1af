"""The dual softmax regression: the right minimum, reached without ever going up, episode by episode."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression

from react_rl.learners import SoftmaxRegression, SoftmaxSettings
from react_rl.learners.protocol import INVALID_LOGIT
from react_rl.simulation.ledger import Ledger

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
EXACT = SoftmaxSettings(tolerance=1e-6, max_steps=3000)


@dataclass
class Pools:
    """Rows of E episodes: unit vectors (E, W, D) and classes (E, W)."""

    rows: Floats
    classes: Ints
    n_classes: Ints

    def similarity(self, episodes: Ints, columns: Ints) -> torch.Tensor:
        products = [self.rows[e][c] @ self.rows[e].T for e, c in zip(episodes, columns, strict=True)]
        return torch.tensor(np.stack(products), dtype=torch.float32)


def pools(n_classes: list[int], width: int = 40, dim: int = 8, seed: int = 0) -> Pools:
    rng = np.random.default_rng(seed)
    rows, classes = [], []
    for size in n_classes:
        centres = rng.standard_normal((size, dim))
        labels = np.arange(width) % size
        vectors = centres[labels] + rng.standard_normal((width, dim))
        rows.append(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
        classes.append(labels)
    return Pools(np.stack(rows), np.stack(classes), np.array(n_classes))


def learner_for(data: Pools, exact: SoftmaxSettings = EXACT, capacity: int = 64) -> SoftmaxRegression:
    n, width, _ = data.rows.shape
    model = SoftmaxRegression(Ledger(n, int(data.n_classes.max()), width, capacity), exact)
    model.start(torch.arange(n), torch.from_numpy(data.n_classes))
    return model


def ledger_of(model: SoftmaxRegression) -> Ledger:
    ledger = model.labelled
    assert isinstance(ledger, Ledger)
    return ledger


def start_again(model: SoftmaxRegression, episodes: list[int], n_classes: list[int]) -> None:
    ledger_of(model).forget(torch.tensor(episodes))
    model.start(torch.tensor(episodes), torch.tensor(n_classes))


def teach(
    model: SoftmaxRegression, data: Pools, columns: Ints, labels: Ints | None = None, only: Ints | None = None
) -> None:
    """Buy ``columns`` (R, b) in the episodes ``only`` (all of them unless said)."""
    episodes = np.arange(len(data.rows)) if only is None else only
    if labels is None:
        labels = np.stack([data.classes[e][c] for e, c in zip(episodes, columns, strict=True)])
    model.update(
        ledger_of(model).append(
            torch.from_numpy(episodes),
            torch.from_numpy(columns),
            torch.from_numpy(labels),
            data.similarity(episodes, columns),
        )
    )


def probabilities(model: SoftmaxRegression) -> Floats:
    return torch.softmax(model.logits.double(), 1).numpy()


def loss(weights: Floats, rows: Floats, labels: Ints, l2: float) -> float:
    """The objective in float64; ``weights`` (C, D + 1) go with rows that end in the constant feature."""
    logits = rows @ weights.T
    peak = logits.max(1, keepdims=True)
    log_norm = np.log(np.exp(logits - peak).sum(1)) + peak[:, 0]
    picked = logits[np.arange(len(labels)), labels]
    return float((log_norm - picked).sum() + l2 / 2 * (weights**2).sum())


def with_constant(rows: Floats, bias: float) -> Floats:
    return np.concatenate([rows, np.full((len(rows), 1), bias)], axis=1)


def minimum(rows: Floats, labels: Ints, n_classes: int, l2: float) -> Floats:
    """Weights (C, D) at the minimum of the objective, by scipy."""
    onehot = np.eye(n_classes)[labels]

    def objective(flat: Floats) -> tuple[float, Floats]:
        weights = flat.reshape(n_classes, -1)
        logits = rows @ weights.T
        chances = np.exp(logits - logits.max(1, keepdims=True))
        chances /= chances.sum(1, keepdims=True)
        gradient = (chances - onehot).T @ rows + l2 * weights
        return loss(weights, rows, labels, l2), gradient.ravel()

    start = np.zeros(n_classes * rows.shape[1])
    found = minimize(objective, start, jac=True, method="L-BFGS-B", options={"ftol": 1e-15, "gtol": 1e-10})
    solution: Floats = found.x.reshape(n_classes, -1)
    return solution


def softmax(logits: Floats) -> Floats:
    chances: Floats = np.exp(logits - logits.max(1, keepdims=True))
    chances /= chances.sum(1, keepdims=True)
    return chances


@pytest.mark.parametrize("n_classes", [2, 3, 7])
@pytest.mark.parametrize(("l2", "bias"), [(0.1, 0.1), (1.0, 1.0), (0.01, 0.5)])
def test_it_gives_the_probabilities_of_scikit_learn(n_classes: int, l2: float, bias: float) -> None:
    data = pools([n_classes])
    model = learner_for(data, SoftmaxSettings(l2=l2, bias=bias, tolerance=1e-6, max_steps=3000))
    bought = np.random.default_rng(1).permutation(40)[:20][None]
    teach(model, data, bought)
    rows = with_constant(data.rows[0], bias)
    # With two classes scikit-learn fits one weight vector u = w1 - w0, whose penalty is half as large.
    strength = (2.0 if n_classes == 2 else 1.0) / l2
    head = LogisticRegression(C=strength, fit_intercept=False, tol=1e-10, max_iter=10_000)
    head.fit(rows[bought[0]], data.classes[0][bought[0]])
    np.testing.assert_allclose(probabilities(model)[0].T, head.predict_proba(rows), atol=2e-4)


@given(
    seed=st.integers(0, 1000),
    batches=st.lists(st.integers(1, 5), min_size=2, max_size=5),
    n_classes=st.integers(2, 4),
)
@settings(max_examples=20, deadline=None)
def test_batch_after_batch_ends_where_one_fit_on_all_rows_ends(
    seed: int, batches: list[int], n_classes: int
) -> None:
    data = pools([n_classes], seed=seed)
    order = np.random.default_rng(seed).permutation(40)[None, : sum(batches)]
    at_once, in_turn = learner_for(data), learner_for(data)
    teach(at_once, data, order)
    for start, size in zip(np.cumsum([0, *batches[:-1]]), batches, strict=True):
        teach(in_turn, data, order[:, start : start + size])
    np.testing.assert_allclose(probabilities(in_turn), probabilities(at_once), atol=1e-4)


@pytest.mark.parametrize("seed", range(4))
def test_no_step_increases_the_loss_from_a_cold_or_a_warm_start(seed: int) -> None:
    data, l2, bias = pools([5], seed=seed), 0.02, 0.3
    order = np.random.default_rng(seed).permutation(40)[None]
    for first in (0, 12):
        losses = []
        for steps in range(0, 25):
            model = learner_for(data, SoftmaxSettings(l2, bias, 0.0, 25))
            if first:
                teach(model, data, order[:, :first])
            model.settings = SoftmaxSettings(l2, bias, 0.0, steps)
            teach(model, data, order[:, first : first + 10])
            embeddings = torch.from_numpy(data.rows[0][ledger_of(model).slot_columns()[0].numpy()]).float()[
                None
            ]
            weights, intercept = model.primal(embeddings)
            whole = np.concatenate([weights[0].double(), intercept[0].double()[:, None] / bias], axis=1)
            known = order[0, : first + 10]
            rows = with_constant(data.rows[0], bias)[known]
            losses.append(loss(whole, rows, data.classes[0][known], l2))
        assert max(np.diff(losses)) < 1e-5
        assert losses[-1] < losses[0] - 0.1


def test_the_primal_weights_give_the_logits_again() -> None:
    data = pools([3, 4])
    model = learner_for(data)
    teach(model, data, np.array([[0, 5, 7], [9, 1, 2]]))
    teach(model, data, np.array([[11, 12], [3, 30]]))
    slots = ledger_of(model).slot_columns().numpy()
    labelled = np.stack([data.rows[e][slots[e]] for e in range(2)])
    weights, intercepts = model.primal(torch.from_numpy(labelled).float())
    logits = (
        torch.einsum("ecd,ewd->ecw", weights, torch.from_numpy(data.rows).float()) + intercepts[:, :, None]
    )
    np.testing.assert_allclose(logits[0, :3], model.logits[0, :3], atol=1e-5)
    np.testing.assert_allclose(logits[1], model.logits[1], atol=1e-5)


def test_labels_that_were_not_given_change_nothing() -> None:
    data = pools([3])
    with_gaps, without = learner_for(data), learner_for(data)
    teach(with_gaps, data, np.array([[1, 0, 2, 2]]), np.array([[1, -1, 2, -1]]))
    teach(without, data, np.array([[1, 2]]))
    teach(with_gaps, data, np.array([[0, 0, 0]]), np.array([[-1, -1, -1]]))
    teach(with_gaps, data, np.array([[6, 7]]), np.array([[0, -1]]))
    teach(without, data, np.array([[6]]))
    np.testing.assert_allclose(with_gaps.logits, without.logits, atol=2e-5)
    np.testing.assert_array_equal(ledger_of(with_gaps).class_counts(), ledger_of(without).class_counts())
    np.testing.assert_array_equal(
        ledger_of(with_gaps).nearest_labelled(40), ledger_of(without).nearest_labelled(40)
    )


@pytest.mark.parametrize("steps", [1, 20])
def test_a_round_that_brings_no_label_leaves_the_model_where_it_was(steps: int) -> None:
    data = pools([4, 4])
    model = learner_for(data, SoftmaxSettings(tolerance=1e-7, max_steps=steps))
    teach(model, data, np.arange(24).reshape(2, 12))
    before = model.logits[0].clone()
    teach(model, data, np.array([[0, 0], [30, 31]]), np.array([[-1, -1], [2, 3]]))
    np.testing.assert_allclose(model.logits[0], before, atol=1e-6)


def test_episodes_with_other_classes_and_slots_beside_them_learn_as_if_alone() -> None:
    sizes = [2, 5, 3]
    data = pools(sizes)
    together = learner_for(data)
    plan = [  # (episodes, columns): episode 1 starts late, episode 2 skips a round, episode 0 abstains once
        (np.array([0, 2]), np.array([[0, 1, 2], [3, 4, 5]])),
        (np.array([0, 1, 2]), np.array([[6, 7], [8, 9], [10, 11]])),
        (np.array([0, 1]), np.array([[20, 21, 22], [23, 24, 25]])),
        (np.array([0, 1, 2]), np.array([[33, 34], [35, 36], [37, 38]])),
    ]
    for episodes, columns in plan:
        labels = np.stack([data.classes[e][c] for e, c in zip(episodes, columns, strict=True)])
        labels[0, 1] = -1
        teach(together, data, columns, labels, episodes)
    for episode, size in enumerate(sizes):
        alone_data = Pools(data.rows[[episode]], data.classes[[episode]], np.array([size]))
        alone = learner_for(alone_data)
        for episodes, columns in plan:
            if episode in episodes:
                place = int(np.flatnonzero(episodes == episode)[0])
                labels = data.classes[episode][columns[place]].copy()
                if place == 0:
                    labels[1] = -1
                teach(alone, alone_data, columns[[place]], labels[None])
        np.testing.assert_allclose(
            probabilities(together)[episode, :size], probabilities(alone)[0], atol=2e-5, err_msg=f"{episode}"
        )
        np.testing.assert_array_equal(
            ledger_of(together).class_counts()[episode, :size], ledger_of(alone).class_counts()[0]
        )
        assert (together.logits[episode, size:] <= INVALID_LOGIT / 2).all()


def test_starting_some_episodes_anew_leaves_the_others_untouched_bit_for_bit() -> None:
    data = pools([3, 2, 4])
    model = learner_for(data, capacity=4)
    teach(model, data, np.arange(15).reshape(3, 5))
    logits, counts = model.logits.clone(), ledger_of(model).class_counts().clone()
    nearest = ledger_of(model).nearest_labelled(40).clone()
    start_again(model, [0, 2], [2, 4])
    assert (model.logits[0, :2] == 0).all()
    assert (model.logits[0, 2:] <= INVALID_LOGIT / 2).all()
    assert not ledger_of(model).class_counts()[[0, 2]].any()
    teach(model, data, np.array([[1, 3, 7], [1, 3, 7]]), np.array([[0, 1, 1], [0, 3, 2]]), np.array([0, 2]))
    assert torch.equal(model.logits[1], logits[1])
    assert torch.equal(ledger_of(model).class_counts()[1], counts[1])
    assert torch.equal(ledger_of(model).nearest_labelled(40)[1], nearest[1])


def test_an_episode_started_anew_learns_as_a_fresh_one() -> None:
    data = pools([3, 3])
    used, fresh = learner_for(data), learner_for(data)
    teach(used, data, np.arange(20).reshape(2, 10))
    start_again(used, [0], [3])
    for columns in (np.array([[30, 31]]), np.array([[32, 33]])):
        teach(used, data, columns, only=np.array([0]))
        teach(fresh, data, columns, only=np.array([0]))
    np.testing.assert_allclose(used.logits[0], fresh.logits[0], atol=2e-5)


def test_it_makes_room_when_more_rows_come_than_were_reserved() -> None:
    data = pools([3, 3])
    narrow, roomy = learner_for(data, capacity=1), learner_for(data, capacity=100)
    for start in range(0, 30, 3):
        columns = np.stack([np.arange(start, start + 3), np.arange(39 - start, 36 - start, -1)])
        teach(narrow, data, columns)
        teach(roomy, data, columns)
    np.testing.assert_allclose(narrow.logits, roomy.logits, atol=1e-5)
    assert ledger_of(narrow).slots == 30


@pytest.mark.parametrize("in_turn", [False, True])
def test_copies_of_one_row_weigh_as_often_as_they_were_bought(in_turn: bool) -> None:
    data = pools([3])
    data.rows[0, 1:9] = data.rows[0, 0]
    labels = np.array([[0, 0, 1, 0, 2, 0, 0, 1, 0, 2]])
    columns = np.arange(10)[None]
    model = learner_for(data)
    if in_turn:
        for place in range(10):
            teach(model, data, columns[:, [place]], labels[:, [place]])
    else:
        teach(model, data, columns, labels)
    rows = with_constant(data.rows[0], 0.1)
    expected = softmax(rows @ minimum(rows[columns[0]], labels[0], 3, 0.1).T)
    np.testing.assert_allclose(probabilities(model)[0].T, expected, atol=2e-4)


def test_labels_of_one_class_only_are_fitted_like_any_other() -> None:
    data = pools([3])
    columns, labels = np.array([[2, 8, 15, 20]]), np.ones((1, 4), dtype=np.int64)
    model = learner_for(data)
    teach(model, data, columns, labels)
    rows = with_constant(data.rows[0], 0.1)
    expected = softmax(rows @ minimum(rows[columns[0]], labels[0], 3, 0.1).T)
    np.testing.assert_allclose(probabilities(model)[0].T, expected, atol=2e-4)
    assert (probabilities(model)[0][:, columns[0]].argmax(0) == 1).all()


def test_the_default_tolerance_gives_almost_the_same_predictions_in_far_fewer_steps() -> None:
    data = pools([4], width=80)
    quick, exact = learner_for(data, SoftmaxSettings()), learner_for(data)
    order = np.random.default_rng(5).permutation(80)
    for start in range(0, 60, 5):
        teach(quick, data, order[None, start : start + 5])
        teach(exact, data, order[None, start : start + 5])
    assert np.abs(probabilities(quick) - probabilities(exact)).mean() < 0.02
    assert (probabilities(quick).argmax(1) == probabilities(exact).argmax(1)).mean() > 0.95
    assert quick.steps < exact.steps / 4


def test_labelled_rows_are_reported_in_the_order_in_which_they_were_bought() -> None:
    data = pools([3])
    model = learner_for(data)
    teach(model, data, np.array([[4, 9]]))
    teach(model, data, np.array([[2, 0]]), np.array([[2, -1]]))
    similarity, onehot, live = ledger_of(model).labelled_similarity()
    bought = [4, 9, 2]
    rows = data.rows[0][bought]
    np.testing.assert_array_equal(live[0], [1, 1, 1, 0])
    np.testing.assert_allclose(similarity[0, :3, :3], rows @ rows.T, atol=1e-6)
    np.testing.assert_array_equal(onehot[0].argmax(0)[:3], data.classes[0][bought])
    assert not onehot[0, :, 3].any()
    np.testing.assert_array_equal(model.fitted_logits()[0, :, :3], model.logits[0][:, bought])
