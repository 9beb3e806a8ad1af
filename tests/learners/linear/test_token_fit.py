"""Refits of many taggers at once, against a general solver."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy.optimize import minimize
from torch import Tensor

from react_rl.learners.linear.token_fit import LabelledTokens, TokenLoss, refit

L2 = 0.1
BIAS = 0.5


def labelled(seed: int, wild: bool = False) -> LabelledTokens:
    """Two episodes of 60 and 40 tokens and 4 and 3 tags; ``wild`` ones have tags that their inputs deny."""
    rng = np.random.default_rng(seed)
    spread = np.linspace(1.5, 0.1, 6)
    inputs = rng.normal(size=(2, 60, 6)) * np.sqrt(spread)
    tags = (inputs[:, :, :4] + 0.3 * rng.normal(size=(2, 60, 4))).argmax(2)
    tags[1] %= 3
    tags[1, 40:] = -1
    if wild:
        tags[0, ::7] = (tags[0, ::7] + 1) % 4
        inputs[0, ::7] *= 30.0
    inputs[:, :, 5] = BIAS
    mask = torch.zeros(2, 4, 1)
    mask[1, 3] = -1e30
    given = torch.from_numpy(spread).float().expand(2, 1, 6)
    scale = rng.uniform(0.5, 2.0, (2, 60, 1))
    states, scales = (torch.from_numpy(own).float() for own in (inputs[:, :, :5] / scale, scale[:, :, 0]))
    return LabelledTokens(states, scales, BIAS, torch.from_numpy(tags), mask, given)


def loss(
    weights: npt.NDArray[np.float64], data: LabelledTokens, episode: int, smoothing: float = 0.0
) -> float:
    tags = data.tags[episode].numpy()
    own, n = tags >= 0, 4 if episode == 0 else 3
    inputs = torch.cat([data.states * data.scale[:, :, None], torch.full((2, 60, 1), BIAS)], 2)[episode]
    scores = inputs.numpy()[own].astype(np.float64) @ weights.reshape(n, -1).T
    highest = scores.max(1)
    right = (1 - smoothing) * scores[np.arange(own.sum()), tags[own]] + smoothing * scores.mean(1)
    total = np.log(np.exp(scores - highest[:, None]).sum(1)) + highest - right
    return float(total.sum() + L2 / 2 * np.square(weights).sum())


@pytest.mark.parametrize(("wild", "smoothing"), [(False, 0.0), (True, 0.0), (False, 0.3)])
def test_it_ends_where_a_general_solver_ends(wild: bool, smoothing: float) -> None:
    data = labelled(3, wild)
    found, steps = refit(torch.zeros(2, 4, 6), data, TokenLoss(L2, smoothing), 1e-5, 3000)
    assert steps < 3000
    for episode, n in ((0, 4), (1, 3)):
        best = minimize(loss, np.zeros(n * 6), (data, episode, smoothing), options={"gtol": 1e-6})
        own = found[episode, :n].double().numpy()
        assert loss(own.ravel(), data, episode, smoothing) == pytest.approx(best.fun, rel=1e-4)
        np.testing.assert_allclose(own, best.x.reshape(n, -1), atol=2e-2)


@pytest.mark.parametrize("wild", [False, True])
def test_steps_go_down_from_wherever_models_stand(wild: bool) -> None:
    data = labelled(5, wild)
    start = 20.0 * torch.randn(2, 4, 6, generator=torch.Generator().manual_seed(1))
    for weights in (torch.zeros(2, 4, 6), start):
        weights[1, 3] = 0.0
        values = [
            [
                loss(
                    _after(weights, data, most)[episode, : 4 - episode].double().numpy().ravel(),
                    data,
                    episode,
                )
                for episode in (0, 1)
            ]
            for most in range(1, 12)
        ]
        fall = np.diff(np.array(values), axis=0)
        # A step ends where the slope is small, on either side: far from the minimum it may climb a little.
        assert (fall <= (1e-2 if wild else 1e-4) * np.abs(values[0])).all()
        assert (np.array(values[-1]) < np.array(values[0])).all()


def test_a_model_does_not_depend_on_its_neighbours() -> None:
    data = labelled(7)
    both, _ = refit(torch.zeros(2, 4, 6), data, TokenLoss(L2), 0.05, 50)
    for episode in (0, 1):
        own = slice(episode, episode + 1)
        only = LabelledTokens(
            data.states[own], data.scale[own], BIAS, data.tags[own], data.mask[own], data.spread[own]
        )
        alone, steps = refit(torch.zeros(1, 4, 6), only, TokenLoss(L2), 0.05, 50)
        assert steps < 50
        np.testing.assert_allclose(alone[0], both[episode], atol=1e-5)


def _after(weights: Tensor, data: LabelledTokens, most: int) -> Tensor:
    return refit(weights.clone(), data, TokenLoss(L2), 1e-9, most)[0]
