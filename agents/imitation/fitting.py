"""Fitting scorers to what the expert said: least squares on the gains of each state."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch

from react_rl.agents.imitation.settings import ImitationSettings
from react_rl.agents.imitation.states import States, weighted_mean
from react_rl.agents.networks import PoolEnsemble, PoolScorer, RowScorer, ScorerEnsemble
from react_rl.agents.networks.beside import ensemble
from react_rl.agents.networks.registry import row_network

Made = Callable[[int, int, int], RowScorer | PoolScorer]
"""Makes a network for so many features of a row, numbers of the context and hidden units."""


def fit_scorer(
    states: States, settings: ImitationSettings, seed: int, make: Made = RowScorer
) -> RowScorer | PoolScorer:
    """Fit one network.

    The loss is the mean squared difference between scores and targets, both less their mean over the
    candidates of a state: what a whole pool is worth is not asked of the network. Candidates count by the
    states' weights.

    Args:
        states: What the expert said.
        settings: Size of the network and of the steps.
        seed: Decides first weights and the order of the states.
        make: Makes the network.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = make(states.rows.shape[2], states.context.shape[1], settings.hidden)
    order = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    targets = states.targets
    steps = settings.epochs * -(-len(states) // settings.minibatch)
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 1e-2, steps)
    for _ in range(settings.epochs):
        for chosen in torch.split(torch.randperm(len(states), generator=order), settings.minibatch):
            seen = (states.rows[chosen].float(), states.context[chosen])
            if isinstance(network, PoolScorer):
                scores = network(*seen, states.beside[chosen].float())
            else:
                scores = network(*seen)
            weights = states.weights[chosen]
            missed = scores - weighted_mean(scores, weights) - targets[chosen]
            loss = (missed.square() * weights).mean()
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            schedule.step()
    return network.eval()


def fit_ensemble(
    states: States, settings: ImitationSettings, make: Made | None = None
) -> ScorerEnsemble | PoolEnsemble:
    """Fit ``settings.networks`` networks from different first weights.

    Args:
        states: What the expert said.
        settings: Kind, size and number of the networks, and the steps.
        make: Makes a network; None makes those that the settings name.
    """
    make = make or partial(row_network, settings.network)
    seeds = range(settings.seed, settings.seed + settings.networks)
    return ensemble([fit_scorer(states, settings, seed, make) for seed in seeds]).eval()
