"""Training by imitation: visit states, ask the expert, fit; again where the policy itself goes.

What the expert said is kept in files until the policy is finished, so that a training that was stopped goes
on where it stood, and ends in the same networks.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from react_rl.acquisition.features import feature_named
from react_rl.acquisition.registry import entry_of, make_strategy
from react_rl.agents.evaluation import Validation
from react_rl.agents.finished import finished, mark_finished
from react_rl.agents.folder import PolicyCard, curve_point, versions_of
from react_rl.agents.imitation.collection import collect
from react_rl.agents.imitation.dealing import dealt_again
from react_rl.agents.imitation.fitting import fit_ensemble
from react_rl.agents.imitation.settings import ImitationSettings
from react_rl.agents.imitation.states import States
from react_rl.agents.networks.registry import row_network
from react_rl.agents.scorer import ROW_CONTEXT, ScorerStrategy
from react_rl.agents.scorer_folder import SCORER_PACKAGES, save_scorer, scorer_card
from react_rl.data.corpus import Corpus
from react_rl.errors import ReActError
from react_rl.files import canonical_json, digest, write_atomically
from react_rl.learners.capabilities import missing
from react_rl.learners.registry import LearnerSettings, check_needs, offers_of
from react_rl.seeding import entropy_of
from react_rl.simulation.draw import check_fit
from react_rl.simulation.drawn_options import mean_price
from react_rl.simulation.encoded import EncodedCorpus
from react_rl.simulation.generated import check_inventable
from react_rl.simulation.options import EpisodeOptions
from react_rl.tasks.registry import task_of

BASELINES: Final = ("random", "margin", "mixture", "uncertainty-herding", "variance-reduction")
"""Fixed strategies whose validation areas are written beside the policy's, where the task has them."""

BASELINES_OF_TASKS: Final = {"tagging": ("mnlp",), "question-answering": ("span-margin",)}
"""And those of a task."""

_ROUND: Final = 100_000
"""Numbers of the groups of a round begin at multiples of this."""


@dataclass(frozen=True)
class ImitationProgress:
    """Where a training stands, for those who show it.

    Args:
        stage: What is being done.
        states: States collected in all rounds.
        total: States that there are going to be.
        validation: Mean validation area of the last policy; NaN before there is one.
    """

    stage: str
    states: int
    total: int
    validation: float


def imitate(
    corpora: Sequence[EncodedCorpus],
    validation: Validation,
    episode: EpisodeOptions,
    settings: ImitationSettings,
    folder: Path,
    name: str = "scorer",
    report: Callable[[ImitationProgress], None] | None = None,
    learner: LearnerSettings | None = None,
) -> PolicyCard:
    """Train a row scorer and write it to ``folder/policy``; one that is finished there is kept.

    Args:
        corpora: Training corpora, whose train and dev rows are dealt out again (see ``dealing``); test rows
            play no part.
        validation: Episodes on which the policy is measured after each round.
        episode: Sizes of pool and dev set, and the annotator; ``settings`` says what else is drawn.
        settings: States, candidates and networks.
        folder: Where to write.
        name: Name of the strategy.
        report: Called after each group of episodes and each fit.
        learner: Settings of a learner that can be copied; None is the softmax regression as it comes.

    Returns:
        The card of the policy.

    Raises:
        ReActError: The learner cannot be copied, a feature or an invention is not for the task, or the
            episodes do not fit a corpus.
    """
    settings = check_task(settings, [corpus.corpus for corpus in corpora], learner)
    trained_on = {corpus.name: corpus.corpus.digest() for corpus in corpora}
    corpora = [dealt_again(corpus, settings.seed) for corpus in corpora]
    for corpus in corpora:
        price = mean_price(one.corpus for one in corpora)
        for options in settings.extremes(episode, price):
            check_fit(corpus.corpus, options)
    key = _key(corpora, episode, settings, learner)
    whole = digest(key, name, *(one.corpus.digest() for one in validation.corpora))
    done = finished(folder, whole)
    if done is not None:
        return done
    store = _Store(folder / "states", key)
    training = _Training(corpora, trained_on, validation, episode, settings, store, report, learner, name)
    card = training.run(folder / "policy")
    mark_finished(folder, whole)
    shutil.rmtree(store.folder, ignore_errors=True)
    return card


def check_task(
    settings: ImitationSettings, corpora: Sequence[Corpus], learner: LearnerSettings | None
) -> ImitationSettings:
    """Check that a policy can be trained on the task of corpora, before any is encoded.

    Args:
        settings: Features and inventions.
        corpora: Training corpora.
        learner: Settings of a learner.

    Returns:
        The settings with the features of the task.

    Raises:
        ReActError: Corpora are of several tasks, the learner cannot be copied, a feature needs classes where
            there are none, the network cannot be made, or labels are to be invented that cannot be.
    """
    task = task_of(corpora).name
    check_needs("imitation", {"trials"}, learner, task)
    settings = settings.of_task(task, corpora)
    for feature in settings.features:
        if "classes" in feature_named(feature).needs:
            check_needs(f"imitation.features: {feature}", {"classes"}, learner, task)
    row_network(settings.network, len(settings.features), len(ROW_CONTEXT), settings.hidden)
    for corpus in corpora:
        if settings.generated > 0:
            try:
                check_inventable(corpus)
            except ReActError as error:
                raise ReActError(f"{str(error).rstrip('.')}: set imitation.generated to 0.") from None
        if settings.gathered > 0 and task != "classification":
            raise ReActError(
                f"Corpus {corpus.name!r} is of {task}, whose rows cannot be pulled together; set "
                "imitation.gathered to 0."
            )
    return settings


class _Store:
    """States on disk, by round and group; those of another training, or damaged ones, are thrown away."""

    def __init__(self, folder: Path, key: str) -> None:
        self.folder = folder
        note = folder / "key"
        if not note.is_file() or note.read_bytes() != key.encode():
            shutil.rmtree(folder, ignore_errors=True)
        write_atomically(note, key)

    def get(self, number: int, compute: Callable[[], States]) -> States:
        """The states of a group, computed where no whole file holds them."""
        path = self.folder / f"{number:07d}.safetensors"
        return States.kept(path, compute)


class _Training:
    """One training under way."""

    def __init__(
        self,
        corpora: Sequence[EncodedCorpus],
        trained_on: dict[str, str],
        validation: Validation,
        episode: EpisodeOptions,
        settings: ImitationSettings,
        store: _Store,
        report: Callable[[ImitationProgress], None] | None,
        learner: LearnerSettings | None,
        name: str,
    ) -> None:
        self._corpora, self._validation, self._episode = corpora, validation, episode
        self._trained_on = trained_on
        self._settings, self._store, self._report, self._learner = settings, store, report, learner
        self._name = name
        self._parts: list[States] = []
        self._area = math.nan
        self._episodes = 0
        self._curve: list[dict[str, float]] = []
        self._unit = " for each unit of cost" if settings.by_cost(corpora) else ""

    def run(self, folder: Path) -> PolicyCard:
        """Collect and fit, round after round; the card of the last policy."""
        settings = self._settings
        self._tell("baselines")
        task = task_of([corpus.corpus for corpus in self._corpora]).name
        offered = offers_of(self._learner, task)
        named = (*BASELINES, *BASELINES_OF_TASKS.get(task, ()))
        rivals = [one for one in named if not missing(entry_of(one).needs, offered)]
        baselines = {one: _mean(self._validation.areas(make_strategy(one))) for one in rivals}
        policy: ScorerStrategy | None = None
        for number in range(settings.dagger_rounds + 1):
            self._collect(number, policy)
            self._tell("fitting")
            network = fit_ensemble(States.join(self._parts), settings)
            policy = ScorerStrategy(self._name, network, settings.features)
            self._measure(policy)
            card = self._card(policy, baselines)
            save_scorer(folder, network, card)
        return card

    def _collect(self, number: int, policy: ScorerStrategy | None) -> None:
        """Collect the states of one round. Mutates."""
        settings = self._settings
        wanted = settings.dagger_states if number else settings.states
        own = np.random.default_rng(entropy_of(settings.seed, "visitors", str(number)))
        found, group = 0, 0
        while found < wanted:
            visitor = policy if number and own.random() < settings.own else None
            place = number * _ROUND + group

            def compute(place: int = place, visitor: ScorerStrategy | None = visitor) -> States:
                return collect(self._corpora, self._episode, settings, place, visitor, self._learner)

            states = self._store.get(place, compute)
            self._parts.append(states)
            found, group = found + len(states), group + 1
            self._episodes += settings.n_envs
            self._tell("following itself" if number else "mixed behaviour")

    def _measure(self, policy: ScorerStrategy) -> None:
        """Measure the policy on the validation episodes. Mutates."""
        areas = self._validation.areas(policy)
        self._curve.append(curve_point(self._episodes, areas))
        self._area = self._curve[-1]["area"]
        self._tell("measured")

    def _tell(self, stage: str) -> None:
        if self._report is not None:
            settings = self._settings
            total = settings.states + settings.dagger_rounds * settings.dagger_states
            done = min(sum(len(part) for part in self._parts), total)
            self._report(ImitationProgress(stage, done, total, self._area))

    def _card(self, policy: ScorerStrategy, baselines: dict[str, float]) -> PolicyCard:
        return scorer_card(
            policy,
            reward={"kind": f"gain in the soft score{self._unit}, tried on copies"},
            episode=self._episode.model_dump(mode="json"),
            trained_on=self._trained_on,
            validated_on={corpus.name: corpus.corpus.digest() for corpus in self._validation.corpora},
            settings=self._settings.model_dump(mode="json"),
            validation=list(self._curve),
            baselines=baselines,
            chosen_at=self._episodes,
            task=self._corpora[0].corpus.task,
        )


def _key(
    corpora: Sequence[EncodedCorpus],
    episode: EpisodeOptions,
    settings: ImitationSettings,
    learner: LearnerSettings | None,
) -> str:
    """Everything that decides what the expert says."""
    contents = [digest(one.corpus.digest(), one.embeddings.cpu().numpy().tobytes()) for one in corpora]
    versions = versions_of(SCORER_PACKAGES)
    parts = (settings.model_dump(mode="json"), episode.model_dump(mode="json"), contents, versions)
    return digest(canonical_json(list(parts)), str(learner))


def _mean(areas: np.ndarray[Any, np.dtype[np.float64]]) -> float:
    return round(float(areas.mean()), 6)
