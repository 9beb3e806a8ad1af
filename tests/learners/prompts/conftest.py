"""A tiny random masked language model that knows the words of the tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from react_rl.data.corpus import Corpus
from react_rl.learners.prompts.settings import PromptSettings
from react_rl.simulation.encoded import EncodedCorpus

KNOWN = ["good", "great", "bad", "film", "plot", "the", "a", "was", "it", "very", ".", "n", "##ews"]


def _save(folder: Path, architecture: str) -> Path:
    import transformers as t
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *KNOWN]
    vocabulary = {word: number for number, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    t.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]",
        sep_token="[SEP]", mask_token="[MASK]", model_max_length=32,
    ).save_pretrained(folder)  # fmt: skip
    usual: dict[str, Any] = {"vocab_size": len(words), "max_position_embeddings": 40, "pad_token_id": 0}
    wide: dict[str, Any] = {
        "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32,
        "initializer_range": 0.3,
    }  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if architecture == "bert":
            model: Any = t.BertForMaskedLM(t.BertConfig(**usual, **wide))
        elif architecture == "roberta":
            model = t.RobertaForMaskedLM(t.RobertaConfig(**usual, **wide))
        elif architecture == "distilbert":
            config = t.DistilBertConfig(
                **usual, dim=16, n_layers=2, n_heads=2, hidden_dim=32, initializer_range=0.3
            )
            model = t.DistilBertForMaskedLM(config)
        elif architecture == "albert":
            model = t.AlbertForMaskedLM(t.AlbertConfig(**usual, **wide, embedding_size=8))
        else:
            model = t.BertModel(t.BertConfig(**usual, **wide))
        for array in model.parameters():
            # Biases and norms come as zeros and ones, which hides mistakes.
            if array.dim() == 1:
                array.data += 0.2 * torch.randn(array.shape)
        model.eval().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def save_masked_lm() -> Callable[[Path, str], Path]:
    """Saves a tiny random masked language model of an architecture as a local folder."""
    return _save


@pytest.fixture(scope="session")
def masked_lm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _save(tmp_path_factory.mktemp("masked-lm"), "bert")


@pytest.fixture
def prompting(masked_lm: Path) -> PromptSettings:
    """Settings for the tiny model, exact arithmetic."""
    return PromptSettings(
        model=str(masked_lm), precision="fp32", max_length=24, words={"negative": ("bad",)},
        templates=("{text} it was {mask} .",),
    )  # fmt: skip


def texts_of(n_rows: int, seed: int = 0) -> tuple[str, ...]:
    rng = np.random.default_rng(seed)
    words = [word for word in KNOWN if word.isalpha()]
    return tuple(" ".join(rng.choice(words, int(n))) for n in rng.integers(1, 9, n_rows))


@pytest.fixture(scope="session")
def reviews() -> EncodedCorpus:
    """Made-up texts whose label is whether they say good or great more often than bad."""
    texts = texts_of(120)
    votes = [t.split().count("good") + t.split().count("great") - t.split().count("bad") for t in texts]
    targets = np.array([int(vote > 0) for vote in votes])
    split = np.array([0] * 70 + [1] * 30 + [2] * 20, np.uint8)
    names = ("negative", "good")
    corpus = Corpus("reviews", "classification", texts, targets, names, split, np.ones(120))
    embeddings = np.random.default_rng(1).standard_normal((120, 12)).astype(np.float32)
    return EncodedCorpus.build(corpus, embeddings)
