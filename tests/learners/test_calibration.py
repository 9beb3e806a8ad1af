"""Leave-one-out scores against their formula and against real refits; temperatures against scipy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from react_rl.learners.calibration import inverse_temperature, leave_one_out_logits
from react_rl.learners.committee import refit_weighted
from react_rl.learners.softmax import SoftmaxSettings
from react_rl.seeding import Streams
from react_rl.simulation import EpisodeOptions, LabelingEngine, synthetic_encoded

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
