"""What an environment takes as its corpus and its encoder, and how it refuses what it cannot use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from react_rl.data import CorpusConfig, synthetic_corpus, synthetic_embeddings
from react_rl.encoders import EncoderSettings
from react_rl.encoders.transformer import TextEncoder
from react_rl.envs import LabelingEnv, LabelingVecEnv, LabelingVectorEnv
from react_rl.errors import ReActError
from react_rl.simulation import EncodedCorpus

ID = "react_rl:ReActRL/Labeling-v0"
EPISODE = {"pool_size": 40, "dev_size": 30, "initial_size": 5, "budget": 14, "batch_size": 4}
CORPUS = synthetic_corpus(n_rows=200)
FRAME = pd.DataFrame(
    {"question": CORPUS.texts, "kind": [CORPUS.label_names[target] for target in CORPUS.targets]}
)
VECTORS = synthetic_embeddings(CORPUS)


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[EncoderSettings]:
    """Encoders make vectors of the length of a text; the list holds the settings of those that were asked."""
    found: list[EncoderSettings] = []

    def encode(self: TextEncoder, texts: Any, progress: bool = True) -> Any:
        found.append(self.settings)
        rng = np.random.default_rng(0)
        return rng.normal(size=(len(texts), 8)).astype(np.float32)

    monkeypatch.setattr(TextEncoder, "encode", encode)
    monkeypatch.setattr(TextEncoder, "fingerprint", lambda self: {"made": repr(self.settings)})
    monkeypatch.setenv("REACT_RL_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    FRAME.to_csv("q.csv", index=False)
    np.save("q.npy", VECTORS)
    return found


COLUMNS = {"text": "question", "label": "kind"}
KEYS = {"corpus": "q.csv", **COLUMNS}


@pytest.mark.parametrize(
    "given",
    [
        {"corpus": "q.csv", **COLUMNS},
        {"corpus": Path("q.csv"), **COLUMNS},
        {"corpus": KEYS},
        {"corpus": CorpusConfig.model_validate(KEYS)},
        {"corpus": [KEYS, {**KEYS, "name": "again"}]},
        {"corpus": CORPUS},
        {"corpus": FRAME, **COLUMNS},
        {"corpus": EncodedCorpus.build(CORPUS, VECTORS)},
        {"corpus": ["synthetic", "generated:synthetic?seed=0-1"]},
        {"corpus": {**KEYS, "embeddings": "q.npy"}},
    ],
    ids=["path", "Path", "mapping", "config", "list", "Corpus", "frame", "encoded", "names", "embeddings"],
)
def test_every_kind_of_corpus_makes_an_environment(given: dict[str, Any]) -> None:
    env = gymnasium.make(ID, episode=EPISODE, **given)
    one, info = env.reset(seed=3)
    vector = gymnasium.make_vec(ID, num_envs=2, episode=EPISODE, **given)
    many, _ = vector.reset(seed=[3, 4])  # type: ignore[arg-type]
    np.testing.assert_allclose(many[0], one, atol=1e-4)
    baselines = LabelingVecEnv(n_episodes=2, episode=EPISODE, **given)
    assert np.asarray(baselines.reset()).shape == many.shape
    assert info["labels"] == 5


@pytest.mark.parametrize(
    ("encoder", "length"), [({"max_length": 32}, 32), (EncoderSettings(max_length=40), 40), ("minilm", 256)]
)
def test_an_encoder_may_be_a_mapping_settings_or_a_name(
    encoder: Any, length: int, asked: list[EncoderSettings]
) -> None:
    gymnasium.make(ID, corpus=CORPUS, episode=EPISODE, encoder=encoder)
    assert [settings.max_length for settings in asked] == [length]


def test_given_embeddings_ask_no_encoder_and_are_the_ones_in_the_file(asked: list[EncoderSettings]) -> None:
    corpus = {**KEYS, "embeddings": "q.npy"}
    env = LabelingEnv(corpus=corpus, episode=EPISODE)
    assert asked == []
    unit = VECTORS / np.linalg.norm(VECTORS, axis=1, keepdims=True)
    np.testing.assert_allclose(env.core.parts[0].engine.corpora[0].embeddings.numpy(), unit, atol=1e-6)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"corpus": "q.csv"}, r"no text column 'text'.*choose one with text="),
        ({"corpus": "q.csv", "text": "questoin"}, r"'questoin'. Did you mean 'question'"),
        ({"corpus": FRAME.head(0), "text": "question"}, r"data frame has no rows"),
        ({"corpus": FRAME}, r"data frame has no text column 'text'"),
        (
            {"corpus": {"corpus": "q.csv", "txt": "question"}},
            r"unknown key 'txt'. Did you mean 'text'",
        ),
        ({"corpus": CORPUS, "text": "question"}, r"text='question' goes with a file or a data frame"),
        ({"corpus": "synthetic", "label": "kind"}, r"label='kind' goes with a file .* not with 'synthetic'"),
        ({"text": "question"}, r"text='question' goes with a corpus of your own"),
        ({"corpus": 7}, r"'corpus' is int; give a name, a path"),
        ({"corpus": []}, r"'corpus' is an empty list"),
        ({"corpus": CORPUS, "encoder": {"max_lenght": 32}}, r"Encoder: .*Did you mean 'max_length'"),
        ({"corpus": CORPUS, "encoder": 5}, r"Encoder: it must hold keys and values, found int"),
        ({"corpus": CORPUS, "episode": 5}, r"Episode options: give a mapping, not int"),
        ({"corpsu": "q.csv"}, r"LabelingEnv has no parameter 'corpsu'. Did you mean 'corpus'"),
        ({"feature": ("margin",)}, r"has no parameter 'feature'. Did you mean 'features'"),
        ({"device": "cuda:99"}, r"Device 'cuda:99' is not here: \d+ CUDA GPUs found; use 'auto'"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_sentence(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ReActError, match=message):
        gymnasium.make(ID, **given)


def test_a_wrong_parameter_is_refused_in_the_words_of_the_face() -> None:
    with pytest.raises(ReActError, match=r"LabelingVectorEnv has no parameter 'n_episodes'.*num_envs"):
        LabelingVectorEnv(2, n_episodes=2)
    with pytest.raises(ReActError, match=r"LabelingVecEnv has no parameter 'num_envs'.*n_episodes"):
        LabelingVecEnv(num_envs=2)
    with pytest.raises(ReActError, match=r"num_envs is 0"):
        LabelingVectorEnv(0)
    with pytest.raises(ReActError, match=r"n_episodes is -1"):
        LabelingVecEnv(n_episodes=-1)


def test_embeddings_are_read_from_safetensors_too() -> None:
    save_file({"embeddings": VECTORS.astype(np.float16), "other": VECTORS[:3]}, "q.safetensors")
    corpus = {**KEYS, "embeddings": "q.safetensors"}
    assert LabelingEnv(corpus=corpus, episode=EPISODE).reset(seed=0)[1]["labels"] == 5
