"""Leave-one-out scores against their formula and against real refits; temperatures against scipy."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy.optimize import minimize, minimize_scalar
from scipy.special import log_softmax

from react_rl.acquisition.committees import refit_weighted
from react_rl.errors import ReActError
from react_rl.learners.linear.calibration import (
    inverse_temperature,
    leave_one_out_accuracy,
    leave_one_out_logits,
    leave_one_out_metrics,
)
from react_rl.learners.linear.settings import SoftmaxSettings
from react_rl.seeding import Streams
from react_rl.simulation import EncodedCorpus, EpisodeOptions, LabelingEngine, synthetic_encoded

Floats = npt.NDArray[np.float64]
Ids = npt.NDArray[np.int64]
SETTINGS = SoftmaxSettings(tolerance=1e-5, max_steps=400)


@pytest.fixture
def engine() -> LabelingEngine:
    options = EpisodeOptions(
        pool_size=40, dev_size=20, initial_size=12, budget=20, batch_size=4, abstention=0.3
    )
    corpora = [synthetic_encoded(200, size, seed=size) for size in (2, 5)]
    made = LabelingEngine(corpora, options, 4, learner=SETTINGS)
    made.reset([Streams(k) for k in range(4)], corpora=[0, 1, 0, 1])
    made.step(
        torch.stack([row[free][:4] for row, free in zip(made.view.ids, made.view.available, strict=True)])
    )
    return made


def test_leave_one_out_is_the_cavity_of_the_other_rows(engine: LabelingEngine) -> None:
    view = engine.view
    similarity, onehot, live = (part.double().numpy() for part in view.labelled_geometry)
    fitted = view.fitted_logits.double().numpy()
    got = leave_one_out_logits(view).numpy()
    for e in range(4):
        slots, n_classes = np.flatnonzero(live[e]), engine.draw_of(e).classes.size
        kernel = similarity[e][np.ix_(slots, slots)] + SETTINGS.bias**2
        f = fitted[e][:n_classes, slots]
        p = np.exp(log_softmax(f, 0))
        noise = SETTINGS.l2 * (n_classes - 1) / (1 - (p**2).sum(0))
        for i in range(slots.size):
            rest = np.arange(slots.size) != i
            among = kernel[np.ix_(rest, rest)] + np.diag(noise[rest])
            left = kernel[i, i] - kernel[i, rest] @ np.linalg.solve(among, kernel[rest, i])
            expected = f[:, i] - left / SETTINGS.l2 * (onehot[e][:n_classes, slots[i]] - p[:, i])
            np.testing.assert_allclose(got[e, :n_classes, slots[i]], expected, atol=2e-3)


def test_leave_one_out_is_close_to_refits_without_the_row(engine: LabelingEngine) -> None:
    view = engine.view
    similarity, _, live = view.labelled_geometry
    n = live.shape[1]
    # Member i is fitted without slot i.
    dual = refit_weighted(view, live[:, None] * (1.0 - torch.eye(n)))  # (E, n, C, n)
    refitted = torch.einsum("eici->eci", dual @ (similarity[:, None] + SETTINGS.bias**2))
    got, fitted = leave_one_out_logits(view), view.fitted_logits
    for e in range(4):
        slots = live[e] > 0
        n_classes = engine.draw_of(e).classes.size
        true = refitted[e, :n_classes, slots]
        error = (got[e, :n_classes, slots] - true).abs().mean()
        moved = (fitted[e, :n_classes, slots] - true).abs().mean()
        assert error < 0.25 * moved


def refitted_without_each(vectors: Floats, labels: Ids, n_classes: int) -> Floats:
    """Log-chances ``(n, C)`` of each row by a head that a general optimiser fits to the others."""
    rows = np.concatenate([vectors, np.full((len(vectors), 1), SETTINGS.bias)], axis=1)
    onehot = np.eye(n_classes)[labels]
    held_out = []
    for i in range(len(rows)):
        rest = np.arange(len(rows)) != i

        def objective(flat: Floats, rest: npt.NDArray[np.bool_] = rest) -> tuple[float, Floats]:
            weights = flat.reshape(n_classes, -1)
            logs = log_softmax(rows[rest] @ weights.T, 1)
            slope = (np.exp(logs) - onehot[rest]).T @ rows[rest] + SETTINGS.l2 * weights
            return float(-(logs * onehot[rest]).sum() + SETTINGS.l2 / 2 * (flat**2).sum()), slope.ravel()

        start = np.zeros(n_classes * rows.shape[1])
        found = minimize(objective, start, jac=True, method="L-BFGS-B", options={"gtol": 1e-7}).x
        held_out.append(log_softmax(rows[i] @ found.reshape(n_classes, -1).T))
    return np.array(held_out)


def test_leave_one_out_metrics_are_those_of_refits_without_each_row(engine: LabelingEngine) -> None:
    view = engine.view
    got = leave_one_out_metrics(view, ("accuracy", "log_loss", "macro_f1"))
    columns, mask = view.labelled_columns
    for e in range(4):
        live, n_classes = mask[e] > 0, engine.draw_of(e).classes.size
        vectors = view.embeddings[e][columns[e][live]].double().numpy()
        labels = view.labelled_geometry[1][e].argmax(0)[live].numpy()
        logs = refitted_without_each(vectors, labels, n_classes)
        right = logs.argmax(1) == labels
        size = labels.size
        assert size >= 10
        # The formula is approximate: at most one row of these may fall on the other side.
        assert abs(float(got["accuracy"][e]) - right.mean()) <= 1.0 / size + 1e-6
        loss = -logs[np.arange(size), labels].mean()
        fitted = log_softmax(view.fitted_logits[e, :n_classes, live].double().numpy(), 0)
        own = -fitted[labels, np.arange(size)].mean()
        assert float(got["log_loss"][e]) == pytest.approx(loss, abs=0.15 * abs(loss - own))
        assert 0.0 <= float(got["macro_f1"][e]) <= 1.0
    assert torch.equal(leave_one_out_accuracy(view), got["accuracy"])


def test_without_a_label_there_is_no_estimate() -> None:
    options = EpisodeOptions(pool_size=40, dev_size=20, initial_size=2, budget=20, batch_size=4)
    engine = LabelingEngine([synthetic_encoded(200, 3)], options, 2, learner=SETTINGS)
    engine.reset([Streams(k) for k in range(2)])
    engine.ledger.forget(torch.tensor([1]))
    engine.learner.start(torch.tensor([1]), torch.tensor([3]), [0])
    found = leave_one_out_accuracy(engine.view)
    assert not found[0].isnan()
    assert found[1].isnan()


def test_rows_drawn_evenly_tell_the_accuracy_on_other_rows() -> None:
    options = EpisodeOptions(pool_size=160, dev_size=100, initial_size=60, budget=20, batch_size=4)
    made = synthetic_encoded(600, 3)
    noise = torch.from_numpy(np.random.default_rng(0).normal(size=made.embeddings.shape)).float()
    hard = EncodedCorpus.build(made.corpus, (made.embeddings + 0.6 * noise).numpy())
    engine = LabelingEngine([hard], options, 32)
    engine.reset([Streams(k) for k in range(32)])
    dev = engine.current["accuracy"]
    estimate = leave_one_out_accuracy(engine.view).numpy()
    fitted = (
        (engine.view.fitted_logits.argmax(1) == engine.view.labelled_geometry[1].argmax(1)).float().mean()
    )
    assert 0.4 < dev.mean() < 0.9, "neither trivial nor hopeless"
    assert float(fitted) - dev.mean() > 0.1, "the fitted rows look far better than others"
    assert abs(estimate.mean() - dev.mean()) < 0.03


def test_an_unknown_metric_names_the_nearest(engine: LabelingEngine) -> None:
    with pytest.raises(ReActError, match="Did you mean 'accuracy'"):
        leave_one_out_metrics(engine.view, ("acuracy",))


def test_temperatures_are_those_of_a_general_optimiser() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(5, 4, 30)) * np.array([0.3, 1.0, 2.0, 4.0, 1.0])[:, None, None]
    labels = (logits + rng.gumbel(size=logits.shape)).argmax(1)
    onehot = np.moveaxis(np.eye(4)[labels], 2, 1)
    onehot[4, :, 20:] = 0.0  # slots without a label
    logits[4, :, 20:] = 50.0
    got = inverse_temperature(torch.from_numpy(logits).float(), torch.from_numpy(onehot).float())
    for e in range(5):

        def loss(log_beta: float, e: int = e) -> float:
            return -float((log_softmax(np.exp(log_beta) * logits[e], 0) * onehot[e]).sum())

        best = minimize_scalar(loss, bounds=(np.log(0.1), np.log(10)), method="bounded")
        assert float(got[e]) == pytest.approx(np.exp(best.x), rel=1e-2)


def test_rows_that_are_all_right_get_the_largest_factor_and_all_wrong_the_smallest() -> None:
    right = torch.tensor([[[2.0, -1.0], [0.0, 0.0], [-1e30, -1e30]]])
    onehot = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]])
    assert float(inverse_temperature(right, onehot)) == pytest.approx(10.0)
    assert float(inverse_temperature(right, onehot.flip(2))) == pytest.approx(0.1)
