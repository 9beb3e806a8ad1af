"""Building an environment from names and settings: what `gymnasium.make` and the configs call."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pandas as pd
import torch

from react_rl.data.config import CorpusConfig
from react_rl.data.corpus import Corpus
from react_rl.data.readers import corpus_from_frame
from react_rl.data.registry import is_named
from react_rl.encoders.cache import ArrayCache
from react_rl.encoders.config import EncoderConfig
from react_rl.encoders.named import make_encoder
from react_rl.encoders.transformer import EncoderSettings, resolve_device
from react_rl.envs.interfaces import Interface, make_interface, settings_of
from react_rl.envs.many_worlds import Labeling, labeling
from react_rl.envs.observations import Observation, make_observation
from react_rl.envs.rewards import RewardForm, RewardSettings
from react_rl.errors import ReActError, suggestion, unknown
from react_rl.learners.registry import LearnerSettings, learner_for
from react_rl.simulation.corpora import encode_all
from react_rl.simulation.drawn_options import DrawSettings
from react_rl.simulation.encoded import EncodedCorpus, encode, synthetic_encoded
from react_rl.simulation.options import EpisodeOptions
from react_rl.simulation.world import World, worlds_by_task
from react_rl.validation import validated

SYNTHETIC_EPISODE: Final = EpisodeOptions(
    pool_size=200, dev_size=100, initial_size=6, budget=40, batch_size=4
)
"""Episode of the corpus that is generated in code: small enough for a test of an agent's code."""

CorpusLike = str | Path | Mapping[str, Any] | CorpusConfig | pd.DataFrame | Corpus | EncodedCorpus
"""A name or path, a config (or its keys), a data frame with texts and labels, or a loaded corpus."""


def build_environment(
    corpus: CorpusLike | Sequence[CorpusLike] | None = None,
    action_space: str | Interface = "weigh-scores",
    observation: str | Observation | None = None,
    reward: RewardSettings | Mapping[str, Any] | str = "area",
    episode: EpisodeOptions | Mapping[str, Any] | None = None,
    encoder: EncoderSettings | EncoderConfig | Mapping[str, Any] | str | None = None,
    learner: LearnerSettings | None = None,
    n_episodes: int = 1,
    device: str = "cpu",
    text: str | None = None,
    label: str | None = None,
    tasks: Mapping[str, Mapping[str, Any]] | None = None,
    draws: DrawSettings | Mapping[str, Any] | None = None,
    **action_settings: Any,
) -> Labeling:
    """Build a batched environment.

    Args:
        corpus: One of ``CorpusLike``, or several; None is a tiny corpus generated in code, which needs no
            file, no model and no package.
        action_space: Name, or an interface; ``action_settings`` (features, stop, strategies, ...) go to the
            name.
        observation: Name or object; by its name it shows the reward's metric. None is the context
            observation, or what an interface has.
        reward: Settings, a mapping of settings, or the kind alone.
        episode: Options or a mapping of options.
        encoder: Which transformer encodes texts: its name, its settings or a mapping of them; None is the
            embedded sentence encoder.
        learner: Settings of the learner; None is the softmax regression as it comes.
        n_episodes: Episodes that run side by side.
        device: Where embeddings and episodes live: auto, cpu or cuda.
        text: Column of the texts in files and data frames; None is ``text``.
        label: Column of the labels in files and data frames; None is ``label``.
        tasks: With corpora of several tasks, by the name of a task: ``episode``, options of its own, and
            ``learner``, settings of its own (otherwise a cheap learner, where ``learner`` cannot learn it).
        draws: Sizes that are drawn for groups of episodes side by side, or a mapping of them; None for none.
        **action_settings: Settings of the action space.

    Raises:
        ReActError: Something named does not exist or does not fit; the message says what to do.
    """
    given = [] if corpus is None else _listed(corpus)
    columns = {key: name for key, name in (("text", text), ("label", label)) if name is not None}
    default = EpisodeOptions() if given else SYNTHETIC_EPISODE
    if isinstance(reward, str):
        reward = {"kind": reward}
    if callable(reward) or isinstance(reward, RewardForm):
        raise ReActError(
            "The reward is an object; give its name, so that a policy's card can say what it was paid for: "
            "reward='module:NAME' for one of your own, or reward={'kind': 'module:NAME', ...}."
        )
    if not isinstance(reward, RewardSettings):
        reward = validated(RewardSettings, reward, "Reward")
    interface = _interface(action_space, observation, reward.metric, action_settings)
    episode = default if episode is None else _options(episode, default, "Episode options")
    settings, where = _encoder_settings(encoder), resolve_device(device)
    if not given:
        if columns:
            raise ReActError(f"{_spelt(columns)} goes with a corpus of your own; name it in 'corpus'.")
        corpora = [synthetic_encoded(device=where)]
    else:
        corpora = [one for item in given for one in _encoded(item, columns, settings, where)]
    worlds = _worlds(corpora, episode, learner, tasks or {})
    if draws is not None and not isinstance(draws, DrawSettings):
        draws = validated(DrawSettings, draws, "Draws")
    return labeling(worlds, interface, reward, n_episodes, draws)


def _worlds(
    corpora: Sequence[EncodedCorpus],
    episode: EpisodeOptions,
    learner: LearnerSettings | None,
    tasks: Mapping[str, Mapping[str, Any]],
) -> list[World]:
    """The corpora by their tasks, each with its options and learner."""
    if not isinstance(tasks, Mapping) or not all(isinstance(own, Mapping) for own in tasks.values()):
        raise ReActError(
            f"tasks is {tasks!r:.80}; give a mapping by the names of tasks, as in "
            "{'tagging': {'episode': {'budget': 500}}}."
        )
    found = list(dict.fromkeys(corpus.corpus.task for corpus in corpora))
    for name, own in tasks.items():
        if name not in found:
            raise unknown("task of these corpora", name, found)
        for key in own:
            if key not in ("episode", "learner"):
                raise unknown(f"setting of task {name!r}", key, ("episode", "learner"))

    def options(name: str) -> EpisodeOptions:
        own = tasks.get(name, {}).get("episode")
        return episode if own is None else _options(own, episode, f"Episodes of {name}")

    def settings(name: str) -> LearnerSettings | None:
        given: LearnerSettings | None = tasks.get(name, {}).get("learner", learner)
        several = len(found) > 1 and "learner" not in tasks.get(name, {})
        return learner_for(name, given) if several else given

    return worlds_by_task(corpora, options, settings)


def _options(given: EpisodeOptions | Mapping[str, Any], default: EpisodeOptions, what: str) -> EpisodeOptions:
    """Options as they are, or a mapping of those that differ from the default ones."""
    if isinstance(given, EpisodeOptions):
        return given
    if not isinstance(given, Mapping):
        raise ReActError(f"{what}: give a mapping, not {type(given).__name__}.")
    return validated(EpisodeOptions, {**default.model_dump(), **given}, what)


def _interface(
    action_space: str | Interface,
    observation: str | Observation | None,
    metric: str,
    settings: Mapping[str, Any],
) -> Interface:
    if isinstance(action_space, Interface):
        for given in (*sorted(settings), *(["observation"] if observation is not None else [])):
            raise ReActError(f"{given!r} goes with the name of an action space, not with an object.")
        return action_space
    if not isinstance(action_space, str):
        raise ReActError(f"action_space is {action_space!r:.80}; give a name, or an object of an Interface.")
    if observation is None or isinstance(observation, str):
        observation = make_observation(observation or "context", metric)
    return make_interface(action_space, observation, **settings)


def core_of(
    face: type, core: Labeling | None, n_episodes: int, size: str | None, settings: Mapping[str, Any]
) -> Labeling:
    """The core of a face; if it is built, an unknown parameter is refused in the words of that face.

    Args:
        face: The face that was called.
        core: The core, if it is there already.
        n_episodes: Episodes that run side by side.
        size: What the face calls their number; None where it is always one.
        settings: What it was called with, for ``build_environment``.

    Raises:
        ReActError: The core is none, a parameter is unknown, or something named does not exist or does not
            fit.
    """
    if core is not None:
        if not isinstance(core, Labeling):
            raise ReActError(f"core is {core!r:.80}; give what build_environment returns, or leave it out.")
        return core
    if isinstance(n_episodes, bool) or not isinstance(n_episodes, int) or n_episodes < 1:
        raise ReActError(f"{size} is {n_episodes!r}; it must be a number of episodes, at least 1.")
    space = settings.get("action_space", "weigh-scores")
    shared = [name for name in inspect.signature(build_environment).parameters if name != "action_settings"]
    own = [name for name in inspect.signature(face).parameters if name not in ("settings", "core")]
    known = [name for name in dict.fromkeys((*own, *shared)) if name != "n_episodes" or size == name]
    if isinstance(space, str):
        known += settings_of(space)
    for name in settings:
        if name not in known:
            raise ReActError(
                f"{face.__name__} has no parameter {name!r}.{suggestion(name, known)} "
                f"It has: {', '.join(known)}."
            )
    return build_environment(n_episodes=n_episodes, **settings)


def _listed(corpus: CorpusLike | Sequence[CorpusLike]) -> list[CorpusLike]:
    single = (str, Path, Mapping, CorpusConfig, pd.DataFrame, Corpus, EncodedCorpus)
    if isinstance(corpus, single):
        return [corpus]
    items = list(corpus) if isinstance(corpus, Iterable) else [corpus]
    if not items:
        raise ReActError("'corpus' is an empty list; give at least one, or leave it out.")
    for item in items:
        if not isinstance(item, single):
            raise ReActError(
                f"'corpus' is {type(item).__name__}; give a name, a path, a mapping as in a config, a "
                "Corpus, an EncodedCorpus, a data frame, or a list of these."
            )
    return items


def _encoder_settings(
    encoder: EncoderSettings | EncoderConfig | Mapping[str, Any] | str | None,
) -> EncoderSettings:
    if encoder is None:
        return EncoderSettings()
    if isinstance(encoder, EncoderSettings):
        return encoder
    if isinstance(encoder, str):
        return EncoderSettings(model=encoder)
    if not isinstance(encoder, EncoderConfig):
        encoder = validated(EncoderConfig, encoder, "Encoder")
    return encoder.settings("auto")


def _encoded(
    given: CorpusLike, columns: Mapping[str, str], settings: EncoderSettings, device: torch.device
) -> list[EncodedCorpus]:
    """The encoded corpora that one item stands for; the encoder loads its model only where it is needed."""
    if isinstance(given, EncodedCorpus | Corpus):
        if columns:
            raise ReActError(
                f"{_spelt(columns)} goes with a file or a data frame; {given.name!r} is loaded already."
            )
        if isinstance(given, EncodedCorpus):
            return [given]
        return [encode(given, make_encoder(settings), ArrayCache(), device)]
    if isinstance(given, pd.DataFrame):
        corpus = corpus_from_frame(
            given, text=columns.get("text", "text"), label=columns.get("label", "label")
        )
        return [encode(corpus, make_encoder(settings), ArrayCache(), device)]
    if isinstance(given, str | Path):
        given = CorpusConfig(corpus=str(given))
    elif isinstance(given, Mapping):
        given = validated(CorpusConfig, given, "Corpus")
    if columns and is_named(given.corpus):
        raise ReActError(f"{_spelt(columns)} goes with a file or a data frame, not with {given.corpus!r}.")
    return encode_all([given.model_copy(update=dict(columns))], make_encoder(settings), device)


def _spelt(columns: Mapping[str, str]) -> str:
    return " and ".join(f"{key}={name!r}" for key, name in columns.items())
