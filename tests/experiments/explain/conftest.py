"""Policies with weights drawn at random or set by hand, and what they meet on corpora made in code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from react_rl.agents.folder import build_policy
from react_rl.agents.learned import LearnedStrategy
from react_rl.agents.networks import RowScorer, ScorerEnsemble
from react_rl.agents.scorer import ROW_CONTEXT, ScorerStrategy
from react_rl.envs.interfaces import make_interface
from react_rl.envs.observations import make_observation
from react_rl.simulation import EncodedCorpus, EpisodeOptions, synthetic_encoded

OPTIONS = EpisodeOptions(pool_size=50, dev_size=30, initial_size=4, budget=18, batch_size=3)
FEATURES = ("margin", "density", "novelty", "balance")

Policy = Callable[..., LearnedStrategy]


def shaken(module: nn.Module, seed: int) -> None:
    """Draw all weights. Mutates."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(0.0, 0.4, generator=generator)


@pytest.fixture(scope="session")
def corpora() -> list[EncodedCorpus]:
    made = [synthetic_encoded(300, size, seed=size) for size in (2, 4)]
    return [one.with_corpus(one.corpus.__class__(**vars(one.corpus) | {"name": name}))
            for one, name in zip(made, ("two", "four"), strict=True)]  # fmt: skip


@pytest.fixture(scope="session")
def scorer() -> ScorerStrategy:
    """Two members with drawn weights; the third feature counts for nothing."""
    with torch.random.fork_rng():
        network = ScorerEnsemble([RowScorer(len(FEATURES), len(ROW_CONTEXT), 6) for _ in range(2)])
    shaken(network, 3)
    with torch.no_grad():
        for member in network.members:
            assert isinstance(member, RowScorer)
            last = member.gate[2]
            assert isinstance(last, nn.Linear)
            member.weights[2] = 0.0
            last.weight[2], last.bias[2] = 0.0, 0.0
            member.rows.weight[:, 2] = 0.0
    return ScorerStrategy("scorer", network.eval(), FEATURES)


@pytest.fixture(scope="session")
def policy() -> Policy:
    """A policy of Stable-Baselines3 with drawn weights; ``scale`` shrinks them."""

    def build(
        algorithm: str, space: str, network: dict[str, Any], scale: float = 1.0, **settings: Any
    ) -> LearnedStrategy:
        interface = make_interface(space, make_observation("context", "accuracy"), **settings)
        with torch.random.fork_rng():
            made = build_policy(algorithm, network, interface.observation_space, interface.action_space)
        shaken(made, 5)
        with torch.no_grad():
            for parameter in made.parameters():
                parameter.mul_(scale)
        return LearnedStrategy(f"{algorithm} {space}", made, interface)

    return build
