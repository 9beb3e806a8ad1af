"""Building an environment from names and settings: what `gymnasium.make` and the configs call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from react_rl.data.generated import is_generated, parse_generated
from react_rl.data.registry import load_corpus
from react_rl.encoders.cache import ArrayCache
from react_rl.encoders.named import make_encoder
from react_rl.encoders.transformer import EncoderSettings
from react_rl.envs.actions import ActionSpace, make_action_space
from react_rl.envs.batched import BatchedLabeling
from react_rl.envs.observations import Observation, make_observation
from react_rl.envs.rewards import RewardSettings
from react_rl.errors import ReActError
from react_rl.learners.build import LearnerSettings
from react_rl.simulation.encoded import EncodedCorpus, encode, synthetic_encoded
from react_rl.simulation.generated import generated_tasks
from react_rl.simulation.options import EpisodeOptions
from react_rl.validation import validated

SYNTHETIC_EPISODE = EpisodeOptions(pool_size=200, dev_size=100, initial_size=6, budget=40, batch_size=4)
"""Episode of the corpus that is generated in code: small enough for a test of an agent's code."""


def build_environment(
    corpus: str | EncodedCorpus | Sequence[str | EncodedCorpus] | None = None,
    action_space: str | ActionSpace = "weigh-scores",
    observation: str | Observation = "context",
    reward: RewardSettings | Mapping[str, Any] | str = "area",
    episode: EpisodeOptions | Mapping[str, Any] | None = None,
    encoder: EncoderSettings | None = None,
    learner: LearnerSettings | None = None,
    n_episodes: int = 1,
    device: str = "cpu",
    **action_settings: Any,
) -> BatchedLabeling:
    """Build a batched environment.

    Args:
        corpus: Corpus names, paths or encoded corpora; None is a tiny corpus generated in code, which
            needs no file, no model and no package.
        action_space: Name or object; ``action_settings`` (features, stop, strategies, ...) go to the name.
        observation: Name or object; by its name it shows the reward's metric.
        reward: Settings, a mapping of settings, or the kind alone.
        episode: Options or a mapping of options.
        encoder: Which transformer encodes texts; None is the embedded sentence encoder.
        learner: Settings of the learner; None is the softmax regression as it comes.
        n_episodes: Episodes that run side by side.
        device: Where embeddings and episodes live.
        **action_settings: Settings of the action space.

    Raises:
        ReActError: Something named does not exist or does not fit; the message says what to do.
    """
    given = [] if corpus is None else [corpus] if isinstance(corpus, str | EncodedCorpus) else list(corpus)
    default = EpisodeOptions() if given else SYNTHETIC_EPISODE
    if not given:
        corpora = [synthetic_encoded(device=device)]
    else:
        corpora = _encoded(given, encoder or EncoderSettings(), device)
    if isinstance(action_space, str):
        action_space = make_action_space(action_space, **action_settings)
    elif action_settings:
        raise ReActError(
            f"Settings {sorted(action_settings)} go with the name of an action space, not an object."
        )
    if isinstance(reward, str):
        reward = {"kind": reward}
    if not isinstance(reward, RewardSettings):
        reward = validated(RewardSettings, reward, "Reward")
    if isinstance(observation, str):
        observation = make_observation(observation, reward.metric)
    if episode is None:
        episode = default
    elif not isinstance(episode, EpisodeOptions):
        episode = validated(EpisodeOptions, {**default.model_dump(), **episode}, "Episode options")
    return BatchedLabeling(corpora, episode, action_space, observation, reward, n_episodes, learner)


def _encoded(
    given: Sequence[str | EncodedCorpus], settings: EncoderSettings, device: str
) -> list[EncodedCorpus]:
    """Load and encode the corpora that are given by name; where none is, no encoder is needed."""
    if all(isinstance(one, EncodedCorpus) for one in given):
        return [one for one in given if isinstance(one, EncodedCorpus)]
    texts, cache = make_encoder(settings), ArrayCache()
    corpora: list[EncodedCorpus] = []
    for one in given:
        if isinstance(one, EncodedCorpus):
            corpora.append(one)
        elif is_generated(one):
            name = parse_generated(one)
            corpora += generated_tasks(encode(load_corpus(name.base), texts, cache, device), name)
        else:
            corpora.append(encode(load_corpus(one), texts, cache, device))
    return corpora
