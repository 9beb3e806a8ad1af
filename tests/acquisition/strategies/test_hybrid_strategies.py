"""CAL (also against a peer), information density and calibrated uncertainty, each done slowly as well."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy.special import log_softmax, softmax

from react_rl.acquisition import make_strategy
from react_rl.acquisition.strategies.calibrated import CalibratedUncertainty
from react_rl.acquisition.strategies.hybrid import ContrastiveLearning, InformationDensity
from react_rl.errors import ReActError
from react_rl.learners.linear.calibration import inverse_temperature, leave_one_out_logits
from react_rl.simulation import LabelingEngine, PoolView
from tests.acquisition.strategies.peer_example import LABELLED, PEER_P, PEER_X, UNLABELLED

Floats = npt.NDArray[np.float64]


def columns_of(engine: LabelingEngine, e: int) -> list[int]:
    """Columns of an episode that can be bought."""
    found: list[int] = torch.nonzero(engine.view.available[e])[:, 0].tolist()
    return found


def pool_logits(engine: LabelingEngine, e: int) -> Floats:
    """Scores (P, C) of one episode's pool in float64."""
    draw = engine.draw_of(e)
    found: Floats = engine.view.logits[e, : draw.classes.size, : draw.pool.size].double().numpy().T
    return found


@pytest.mark.parametrize("k", [1, 3, 10, 40])
def test_cal_is_the_mean_divergence_of_the_nearest_labelled_rows(mixed: LabelingEngine, k: int) -> None:
    view = mixed.view
    scores = ContrastiveLearning("tested", k).score(view)
    fewest = set()
    for e in range(6):
        x = view.embeddings[e].double().numpy()
        p = softmax(pool_logits(mixed, e), 1)
        places, mask = view.labelled_columns
        answered = places[e][mask[e] > 0].numpy()
        fewest.add(len(answered))
        for column in columns_of(mixed, e):
            near = answered[np.argsort(-(x[answered] @ x[column]), kind="stable")[:k]]
            divergences = [float((p[i] * np.log(p[i] / p[column])).sum()) for i in near]
            assert float(scores[e, column]) == pytest.approx(np.mean(divergences), abs=1e-4)
    assert len(fewest) > 1, "the episodes differ in their number of labels"


# skactiveml 1.0.1, ContrastiveAL(nearest_neighbors_dict={"n_neighbors": k, "metric": "cosine"}).query on a
# classifier that returns PEER_P. (small-text 1.4.1 looks for neighbours in the whole dataset.)
PEER_CAL = {
    2: [0.2947500, 0.4162583, 0.6807034, 0.6968352, 0.3561984, 0.7376460, 0.4860512],
    3: [0.2603758, 0.5470740, 0.6748396, 0.6435073, 0.2882218, 0.9111288, 1.2577829],
}


@pytest.mark.parametrize("k", sorted(PEER_CAL))
def test_the_peer_finds_the_same_contrasts(k: int) -> None:
    x, logits = torch.tensor(PEER_X), torch.tensor(PEER_P).log().T[None]
    stub = SimpleNamespace(
        ids=torch.arange(12)[None],
        device=x.device,
        width=12,
        n_episodes=1,
        logits=logits,
        fitted_logits=logits[:, :, LABELLED],
        labelled_geometry=(None, None, torch.ones(1, 5)),
        similarity_to_labelled=(x[LABELLED] @ x.T)[None],
        level=lambda scores: scores,  # no row is a copy
    )
    scores = ContrastiveLearning("tested", k).score(cast("PoolView", stub))
    np.testing.assert_allclose(scores[0, UNLABELLED].numpy(), PEER_CAL[k], atol=1e-5)


@pytest.mark.parametrize("beta", [0.0, 1.0, 2.5])
def test_information_density_is_entropy_times_mean_similarity(mixed: LabelingEngine, beta: float) -> None:
    view = mixed.view
    scores = InformationDensity("tested", beta).score(view)
    clamped = 0
    for e in range(6):
        x, free = view.embeddings[e].double().numpy(), columns_of(mixed, e)
        p = softmax(pool_logits(mixed, e), 1)
        for column in free:
            similarity = np.mean([x[column] @ x[other] for other in free])
            clamped += similarity < 0
            entropy = -(p[column] * np.log(p[column])).sum()
            assert float(scores[e, column]) == pytest.approx(entropy * max(similarity, 0.0) ** beta, abs=1e-5)
    assert clamped < 6 * 40


@pytest.mark.parametrize("measure", ["margin", "entropy"])
def test_calibrated_uncertainty_is_that_of_scaled_logits(mixed: LabelingEngine, measure: str) -> None:
    view = mixed.view
    scores = CalibratedUncertainty("tested", measure).score(view)  # type: ignore[arg-type]
    left_out, onehot = leave_one_out_logits(view), view.labelled_geometry[1]
    beta = inverse_temperature(left_out, onehot)
    assert len(set(beta.tolist())) > 3
    for e in range(6):
        n_classes = mixed.draw_of(e).classes.size
        rows, truth = left_out[e, :n_classes].double().numpy(), onehot[e, :n_classes].numpy()

        def loss(factor: float, rows: Floats = rows, truth: npt.NDArray[np.float32] = truth) -> float:
            return -float((log_softmax(factor * rows, 0) * truth).sum())

        chosen = float(beta[e])
        assert all(loss(chosen) <= loss(other) + 1e-6 for other in np.geomspace(0.1, 10, 60))
        p = softmax(chosen * pool_logits(mixed, e), 1)
        ordered = np.sort(p, 1)
        expected = ordered[:, -2] - ordered[:, -1] if measure == "margin" else -(p * np.log(p)).sum(1)
        np.testing.assert_allclose(scores[e, : len(p)].numpy(), expected, atol=1e-4)


def test_a_temperature_changes_nothing_with_two_classes_and_something_with_more(
    mixed: LabelingEngine,
) -> None:
    plain, scaled = (
        make_strategy(name).select(mixed.view, 20).tolist() for name in ("margin", "calibrated-margin")
    )
    two, five, eighteen = (0, 3), (1, 4), (2, 5)
    assert all(plain[e] == scaled[e] for e in two)
    assert any(plain[e] != scaled[e] for e in five + eighteen)


def test_wrong_settings_are_named() -> None:
    with pytest.raises(ReActError, match="0 neighbours"):
        ContrastiveLearning("mine", 0)
    with pytest.raises(ReActError, match="would prefer outliers"):
        InformationDensity("mine", -1.0)
    with pytest.raises(ReActError, match="Did you mean 'margin'"):
        CalibratedUncertainty("mine", "margn")  # type: ignore[arg-type]
