"""Small episodes that checks are played on, made in code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Final

import numpy as np
import torch
from torch import Tensor

from react_rl.acquisition.batching.selection import take_random
from react_rl.learners.registry import LearnerSettings
from react_rl.seeding import Streams
from react_rl.simulation.encoded import EncodedCorpus, synthetic_encoded
from react_rl.simulation.engine import LabelingEngine
from react_rl.simulation.options import EpisodeOptions
from react_rl.simulation.view import PoolView

OPTIONS: Final = EpisodeOptions(pool_size=40, dev_size=30, initial_size=5, budget=30, batch_size=4)
"""Sizes of the episodes."""


def options_for(corpus: EncodedCorpus) -> EpisodeOptions:
    """Episodes whose budget buys thirty rows of average cost."""
    cost = corpus.corpus.cost[corpus.corpus.ids("train")]
    return OPTIONS.model_copy(update={"budget": 30.0 * float(cost.mean())})


class ContractBroken(AssertionError):
    """A part does not do what the engine relies on; the message says what."""


def require(holds: bool, message: str) -> None:
    """Raise what is wrong unless it holds.

    Raises:
        ContractBroken: It does not.
    """
    if not holds:
        raise ContractBroken(message)


@cache
def corpora() -> tuple[EncodedCorpus, ...]:
    """Corpora of 2, 4 and 18 classes."""
    return tuple(synthetic_encoded(200, size, seed=size) for size in (2, 4, 18))


@cache
def equal_rows() -> EncodedCorpus:
    """A corpus whose rows all carry one vector: nothing distinguishes them."""
    corpus = corpora()[0].corpus
    ones = np.ones((corpus.n_rows, 16), dtype=np.float32)
    return EncodedCorpus.build(corpus, ones, surprisal=ones * np.float32(0.25))


@cache
def one_class_bought() -> EncodedCorpus:
    """A corpus whose pools hold a single class; the dev rows know another."""
    data = corpora()[1]
    targets = np.zeros_like(data.corpus.targets)
    targets[data.corpus.ids("dev")[:5]] = 1
    return replace(data, corpus=replace(data.corpus, targets=targets))


def begun(
    seeds: Sequence[int],
    data: Sequence[EncodedCorpus] | None = None,
    rounds: int = 0,
    options: EpisodeOptions = OPTIONS,
    learner: LearnerSettings | None = None,
) -> LabelingEngine:
    """An engine with one episode for each seed, some rounds of random batches played.

    Args:
        seeds: Seeds of the episodes.
        data: The corpora; None takes those of ``corpora``.
        rounds: Rounds played already.
        options: Sizes of the episodes.
        learner: Settings of the learner; None is the softmax regression as it comes.
    """
    engine = LabelingEngine(data or corpora(), options, len(seeds), learner=learner)
    engine.reset([Streams(seed) for seed in seeds])
    for _ in range(rounds):
        engine.step(take_random(engine.view, options.batch_size))
    return engine


def require_available(
    ids: Tensor,
    view: PoolView,
    twice: str = "Rows were picked twice",
    missing: str = "Rows that are not available were picked",
) -> list[list[int]]:
    """Require int64 row ids ``(E, b)`` that are available, each once, with -1 for none.

    Args:
        ids: The row ids.
        view: The pools.
        twice: What is said where a row comes twice.
        missing: What is said where one is not available.

    Returns:
        The rows named in each episode.

    Raises:
        ContractBroken: They are not.
    """
    require(ids.dtype == torch.int64, f"Row ids are {ids.dtype}; they must be torch.int64.")
    named = []
    for episode, own in enumerate(ids.tolist()):
        free = set(view.ids[episode][view.available[episode]].tolist())
        taken = [one for one in own if one != -1]
        require(len(set(taken)) == len(taken), f"{twice}: {taken}.")
        require(set(taken) <= free, f"{missing}: {set(taken) - free}.")
        named.append(taken)
    return named


def same_random_state(before: tuple[str, torch.Tensor]) -> bool:
    """Whether the global random states are where ``random_state`` found them."""
    numpy_before, torch_before = before
    return str(np.random.get_state(legacy=False)) == numpy_before and torch.equal(  # noqa: NPY002
        torch.get_rng_state(), torch_before
    )


def random_state() -> tuple[str, torch.Tensor]:
    """The global random states of NumPy and torch."""
    return str(np.random.get_state(legacy=False)), torch.get_rng_state()  # noqa: NPY002
