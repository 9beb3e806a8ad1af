"""Adjusting a policy from beginning to end: search, choose by the validation episodes, write the folder."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from react_rl.acquisition.registry import make_strategy
from react_rl.agents.adjustment.search import Search, SearchProgress
from react_rl.agents.adjustment.settings import AdjustmentSettings
from react_rl.agents.finished import finished, mark_finished
from react_rl.agents.folder import PolicyCard, curve_point
from react_rl.agents.networks import ScorerEnsemble
from react_rl.agents.scorer import ScorerStrategy
from react_rl.agents.scorer_folder import load_scorer, pretrained_folder, save_scorer, scorer_card
from react_rl.errors import ReActError
from react_rl.files import canonical_json, digest
from react_rl.learners.registry import LearnerSettings
from react_rl.simulation.encoded import EncodedCorpus
from react_rl.simulation.options import EpisodeOptions

BASELINES: Final = ("mixture", "uncertainty-herding")
"""Fixed strategies that are played on the validation episodes, too."""

STATE: Final = "adjustment.safetensors"
"""Where a search stands, beside the policy."""


def adjust(
    corpora: Sequence[EncodedCorpus],
    episode: EpisodeOptions,
    settings: AdjustmentSettings,
    folder: Path,
    name: str = "adjusted",
    report: Callable[[SearchProgress], None] | None = None,
    learner: LearnerSettings | None = None,
) -> PolicyCard:
    """Adjust a row scorer by the area of whole episodes into ``folder/policy``; a finished one is kept.

    Args:
        corpora: Training corpora, of one or several encoders; test rows play no part.
        episode: Size of the dev set, and the annotator; ``settings`` says what else is drawn.
        settings: Space, tasks and steps.
        folder: Where to write.
        name: Name of the strategy.
        report: Called after each step.
        learner: Settings of the linear learner; None is the softmax regression as it comes.

    Returns:
        The card of the policy.

    Raises:
        ReActError: The policy to begin from is no row scorer, a direction or gate is unknown, or no task is
            large enough.
    """
    start = starting_scorer(settings.start)
    search = Search(corpora, start, episode, settings, learner)
    key = _key(corpora, start, episode, settings, learner)
    whole = digest(key, name)
    done = finished(folder, whole)
    if done is not None:
        return done
    state = search.run(folder / STATE, key, report)
    best = max(range(len(state.areas)), key=lambda check: float(state.areas[check].mean()))
    policy = search.at(state.averages[best], name)
    baselines = {one: round(float(search.judge(make_strategy(one)).mean()), 6) for one in BASELINES}
    played = 2 * settings.pairs * len(settings.batch_sizes)
    trained_on = _digests(corpora)
    card = scorer_card(
        policy,
        reward={"kind": "area under the dev curve", "began from": start.name},
        episode=episode.model_dump(mode="json"),
        trained_on=trained_on,
        validated_on=trained_on,
        settings=settings.model_dump(mode="json"),
        validation=[
            curve_point(steps * played, area.numpy())
            for steps, area in zip(state.checks, state.areas, strict=True)
        ],
        baselines=baselines,
        chosen_at=state.checks[best] * played,
        task=corpora[0].corpus.task,
    )
    save_scorer(folder / "policy", policy.network, card)
    mark_finished(folder, whole)
    (folder / STATE).unlink(missing_ok=True)
    return card


def starting_scorer(start: str) -> ScorerStrategy:
    """The row scorer that ``start`` names: a folder, or one that comes with the package.

    Raises:
        ReActError: There is none, or it is another kind of policy.
    """
    folder = Path(start)
    scorer = load_scorer(folder) if folder.is_dir() else load_scorer(pretrained_folder(start), start)
    if not isinstance(scorer.network, ScorerEnsemble):
        raise ReActError(
            f"Policy {start} looks at other rows of the pool, and only weights of a network that scores each "
            "row by itself are adjusted; begin from a policy imitated with imitation.network: scorer."
        )
    return scorer


def _digests(corpora: Sequence[EncodedCorpus]) -> dict[str, str]:
    """Content of each corpus by name; one that comes again, under another encoder, gets a number."""
    found: dict[str, str] = {}
    for corpus in corpora:
        content, name = corpus.corpus.digest(), corpus.name
        for number in range(2, len(corpora) + 1):
            if found.get(name, content) == content:
                break
            name = f"{corpus.name} ({number})"
        found[name] = content
    return found


def _key(
    corpora: Sequence[EncodedCorpus],
    start: ScorerStrategy,
    episode: EpisodeOptions,
    settings: AdjustmentSettings,
    learner: LearnerSettings | None,
) -> str:
    """Everything that decides where the search goes."""
    contents = [digest(one.corpus.digest(), one.embeddings.cpu().numpy().tobytes()) for one in corpora]
    parts: list[Any] = [
        repr(start),
        episode.model_dump(mode="json"),
        settings.model_dump(mode="json"),
        contents,
    ]
    return digest(canonical_json(parts), str(learner), importlib.metadata.version("torch"))
