"""From a policy and encoded corpora to its explanation: all is played and asked here, nothing is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import pandas as pd

from react_rl.acquisition.contract import QueryStrategy
from react_rl.acquisition.registry import suited
from react_rl.agents.learned import LearnedStrategy
from react_rl.data.corpus import ALL_CORPORA
from react_rl.experiments.config.models import CompareConfig
from react_rl.experiments.explain.drivers import drivers
from react_rl.experiments.explain.folder import Explanation, Facts
from react_rl.experiments.explain.formula import MOST_TERMS, Formula, distil, fidelity
from react_rl.experiments.explain.picks import typical_picks
from react_rl.experiments.explain.playing import areas_of, contestants, losses
from react_rl.experiments.explain.situations import Situations, collect
from react_rl.experiments.explain.subjects import Subject, make_subject
from react_rl.experiments.explain.weights import decisions, linear_share
from react_rl.simulation.encoded import EncodedCorpus
from react_rl.tasks.registry import task_of

EXPLAINED: Final = 16
"""Episodes of each corpus whose choices are explained; half of them are kept from the formula's fit."""

ASKED: Final = 400
"""Choices that a policy is asked about again without each number, about."""


def explain(
    policy: QueryStrategy,
    corpora: Sequence[EncodedCorpus],
    config: CompareConfig,
    identity: str,
    terms: int = MOST_TERMS,
    tell: Callable[[str], None] = lambda _: None,
) -> Explanation:
    """Explain a policy.

    The choices that are explained are of other seeds than the episodes on which formulas play.

    Args:
        policy: A trained policy.
        corpora: What it plays on.
        config: Seeds, episodes, learner, metrics and test rows.
        identity: Digest of the policy's weights and card.
        terms: Most terms of the formula.
        tell: Told what is being done.

    Raises:
        ReActError: It is no trained policy, or the episodes do not fit a corpus.
    """
    task = task_of([corpus.corpus for corpus in corpora])
    subject = make_subject(policy, task.has_classes)
    learner, metric = config.learner.settings(), config.metrics[0]
    first = config.first_seed + config.seeds
    looked_at = policy.interface.metrics if isinstance(policy, LearnedStrategy) else ()
    metrics = tuple(dict.fromkeys((*config.metrics, *looked_at)))
    tell("playing the policy")
    seeds = range(first, first + EXPLAINED)
    situations = collect(subject, corpora, seeds, config.episode, metrics, learner)
    tell("asking it without each number that it sees")
    driven = drivers(subject, thinned(situations, ASKED), config.first_seed)
    tell("looking for typical picks")
    picks = typical_picks(subject, situations, corpora)
    formulas, near = _formulas(subject, situations, terms)
    able = {*suited(learner, task.name), *(formula.strategy for formula in formulas)}
    playing = [one for one in contestants(policy, formulas) if one is policy or one.name in able]
    played = []
    for number, one in enumerate(playing, start=1):

        def tell_of(line: str, place: str = f"playing {number} of {len(playing)}") -> None:
            tell(f"{place}: {line}")

        asked = (config.episode, metric, config.test_size, learner, tell_of)
        played.append(areas_of(one, corpora, range(config.first_seed, first), *asked))
    areas = losses(pd.concat(played, ignore_index=True), policy.name, metric)
    facts = Facts(
        policy=policy.name,
        identity=identity,
        kind=type(subject).__name__.strip("_").lower(),
        corpora=tuple(corpus.name for corpus in corpora),
        seeds=config.seeds,
        first_seed=config.first_seed,
        explained_seeds=EXPLAINED,
        situations=len(situations),
        metric=metric,
        episode=config.episode.model_dump(mode="json"),
        linear_share=_rounded(linear_share(subject, situations)),
        formula=formulas[-1].strategy,
    )
    whole = areas[areas["corpus"] == (ALL_CORPORA if len(corpora) > 1 else corpora[0].name)]
    by_name = whole.set_index("strategy")[["area", "difference", "low", "high", "kept"]]
    table = near.join(by_name, on="strategy")
    detail = fidelity(odd_seeds(situations), subject.features, formulas[-1])
    return Explanation(facts, decisions(subject, situations), driven, picks, table, detail, areas)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


def thinned(situations: Situations, most: int) -> Situations:
    """Whole episodes, evenly chosen, with about ``most`` choices together."""
    every = int(np.ceil(len(situations) / most))
    return situations.of((situations.seed - situations.seed.min()) % every == 0)


def odd_seeds(situations: Situations) -> Situations:
    """The choices that no formula was fitted to."""
    return situations.of((situations.seed - situations.seed.min()) % 2 == 1)


def _formulas(subject: Subject, situations: Situations, terms: int) -> tuple[list[Formula], pd.DataFrame]:
    """Formulas of one term and more, and how near each comes on choices that it was not fitted to."""
    even = situations.of((situations.seed - situations.seed.min()) % 2 == 0)
    formulas = distil(even, subject.features, terms)
    rows = []
    for number, formula in enumerate(formulas, start=1):
        near = fidelity(odd_seeds(situations), subject.features, formula)
        means = near[["rank_correlation", "same_pick", "in_batch"]].mean()
        rows.append(
            {"terms": number, "strategy": formula.strategy, "explained": formula.explained} | dict(means)
        )
    return formulas, pd.DataFrame(rows)
