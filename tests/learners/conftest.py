"""Tiny random checkpoints of several architectures, tiny corpora, and episodes driven without an engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from react_rl.data.corpus import Corpus
from react_rl.data.synthetic import synthetic_corpus
from react_rl.learners.finetune.learner import FineTune
from react_rl.learners.finetune.settings import FineTuneSettings
from react_rl.simulation.ledger import Ledger

HIDDEN, LAYERS, POSITIONS = 32, 3, 32
SYLLABLES = [onset + vowel for onset in "bdfgklmnprstvz" for vowel in "aeiou"]
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *SYLLABLES, *(f"##{syllable}" for syllable in SYLLABLES)]


def save_tokenizer(folder: Path, marks: bool, positions: int) -> None:
    """Write a WordPiece tokenizer of syllables; ``marks`` puts a token before and after each text."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: number for number, word in enumerate(WORDS)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    if marks:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
        )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]",
        sep_token="[SEP]", model_max_length=positions,
    ).save_pretrained(folder)  # fmt: skip


def tiny_model(architecture: str) -> Any:
    """A random model; weights are drawn wider than usual, so that texts differ in its output."""
    import transformers as t

    words, wide = len(WORDS), {"initializer_range": 0.3}
    usual: dict[str, Any] = {
        "vocab_size": words, "hidden_size": HIDDEN, "num_hidden_layers": LAYERS, "num_attention_heads": 4,
        "intermediate_size": 48, **wide,
    }  # fmt: skip
    placed = {**usual, "max_position_embeddings": POSITIONS, "pad_token_id": 0}
    if architecture == "bert":
        return t.BertModel(t.BertConfig(**placed))
    if architecture == "distilbert":
        config = t.DistilBertConfig(
            vocab_size=words, dim=HIDDEN, n_layers=LAYERS, n_heads=4, hidden_dim=48,
            max_position_embeddings=POSITIONS, **wide,
        )  # fmt: skip
        return t.DistilBertModel(config)
    if architecture == "roberta":
        return t.RobertaModel(t.RobertaConfig(**{**placed, "max_position_embeddings": POSITIONS + 1}))
    if architecture == "gpt2":
        config = t.GPT2Config(
            vocab_size=words, n_embd=HIDDEN, n_layer=LAYERS, n_head=4, n_positions=POSITIONS,
            bos_token_id=2, eos_token_id=3, **wide,
        )  # fmt: skip
        return t.GPT2Model(config)
    if architecture == "llama":
        return t.LlamaModel(t.LlamaConfig(**placed, num_key_value_heads=2, head_dim=8))
    if architecture == "mpnet":
        return t.MPNetModel(t.MPNetConfig(**{**placed, "max_position_embeddings": POSITIONS + 1}))
    if architecture == "deberta":
        return t.DebertaV2Model(
            t.DebertaV2Config(**placed, relative_attention=True, pos_att_type=["p2c", "c2p"])
        )
    if architecture == "gemma":
        return t.GemmaModel(t.GemmaConfig(**placed, num_key_value_heads=2, head_dim=8))
    if architecture == "gemma2":
        config = t.Gemma2Config(
            **placed, num_key_value_heads=2, head_dim=8, query_pre_attn_scalar=8, attn_logit_softcapping=1.0
        )
        return t.Gemma2Model(config)
    if architecture == "opt":
        config = t.OPTConfig(
            vocab_size=words, hidden_size=HIDDEN, num_hidden_layers=LAYERS, num_attention_heads=4, ffn_dim=48,
            max_position_embeddings=POSITIONS, word_embed_proj_dim=HIDDEN, pad_token_id=0, init_std=0.3,
        )  # fmt: skip
        return t.OPTModel(config)
    if architecture == "electra":
        return t.ElectraModel(t.ElectraConfig(**placed, embedding_size=16))
    if architecture == "bloom":
        return t.BloomModel(
            t.BloomConfig(vocab_size=words, hidden_size=HIDDEN, n_layer=LAYERS, n_head=4, **wide)
        )
    if architecture == "modernbert":
        return t.ModernBertModel(
            t.ModernBertConfig(**placed, cls_token_id=2, sep_token_id=3, reference_compile=False)
        )
    raise KeyError(architecture)


DECODERS = ("gpt2", "llama", "gemma", "gemma2", "opt", "bloom")


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """From the name of an architecture to the folder of a tiny random checkpoint."""
    made: dict[str, Path] = {}

    def of(architecture: str) -> Path:
        if architecture not in made:
            folder = tmp_path_factory.mktemp(architecture)
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                model = tiny_model(architecture).eval()
                for name, array in model.named_parameters():
                    # Biases and norms come as zeros and ones, which hides mistakes.
                    if array.dim() == 1:
                        array.data += 0.2 * torch.randn(array.shape)
                    assert torch.isfinite(array).all(), name
            model.save_pretrained(folder)
            save_tokenizer(folder, architecture not in DECODERS, POSITIONS)
            made[architecture] = folder
        return made[architecture]

    return of


@pytest.fixture(scope="session")
def masked_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny random BERT with a masked-LM head and a mask token."""
    import transformers as t

    folder = tmp_path_factory.mktemp("masked")
    save_tokenizer(folder, True, POSITIONS)
    tokenizer = t.AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"mask_token": "[MASK]"})
    tokenizer.save_pretrained(folder)
    config = t.BertConfig(
        vocab_size=len(tokenizer), hidden_size=HIDDEN, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=48, max_position_embeddings=POSITIONS, pad_token_id=0, initializer_range=0.3,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        t.BertForMaskedLM(config).eval().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Keep what tests compute out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REACT_RL_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def finetuning(checkpoint: Callable[[str], Path]) -> Callable[..., FineTuneSettings]:
    """Settings for a tiny checkpoint: exact arithmetic, few steps, weights that move."""

    def of(architecture: str = "bert", **changes: Any) -> FineTuneSettings:
        given = {
            "model": str(checkpoint(architecture)), "precision": "fp32", "max_length": 16, "epochs": 2,
            "batch_size": 4, "learning_rate": 3e-3, "pooling": "last" if architecture in DECODERS else "mean",
        }  # fmt: skip
        return FineTuneSettings.model_validate({**given, **changes})

    return of


@pytest.fixture(scope="session")
def tiny_corpus() -> Callable[..., Corpus]:
    """A corpus of short made-up texts of 1 to 6 words."""

    def of(n_classes: int = 3, seed: int = 0, n_rows: int = 120) -> Corpus:
        made = synthetic_corpus(n_rows, n_classes, seed)
        words = np.random.default_rng(seed).integers(1, 7, n_rows)
        texts = tuple(" ".join(t.split()[:n]) for t, n in zip(made.texts, words, strict=True))
        return replace(made, texts=texts, name=f"tiny-{n_classes}-{seed}")

    return of


class Classroom:
    """E fine-tuned episodes without engine and oracle.

    Args:
        settings: How they learn.
        corpora: Their corpora.
        which: Corpus of each episode.
        seeds: Seed of each episode's weights; rows are drawn from it too.
        width: Pool columns.
        dev: Dev columns.
    """

    def __init__(
        self,
        settings: FineTuneSettings,
        corpora: Sequence[Corpus],
        which: Sequence[int],
        seeds: Sequence[int],
        width: int = 24,
        dev: int = 6,
        folder: Path | None = None,
        device: str = "cpu",
    ) -> None:
        self.corpora, self.width, self.dev = corpora, width, dev
        self.rows = np.zeros((len(which), width + dev), np.int64)
        classes = max(corpus.n_classes for corpus in corpora)
        self.ledger = Ledger(len(which), classes, width + dev, 4, device)
        self.learner = FineTune(corpora, self.ledger, settings, folder)
        for episode, (corpus, seed) in enumerate(zip(which, seeds, strict=True)):
            self.begin(episode, corpus, seed)

    def begin(self, episode: int, corpus: int, seed: int) -> None:
        """Begin an episode again."""
        data, width = self.corpora[corpus], self.width + self.dev
        rows = np.random.default_rng(seed).choice(data.ids("train"), width, replace=False)
        self.rows[episode] = rows
        dev = torch.full((width,), -1)
        dev[self.width :] = torch.from_numpy(data.targets[rows[self.width :]])
        self.learner.place(episode, corpus, torch.from_numpy(rows), dev)
        self.ledger.forget(torch.tensor([episode]))
        self.learner.start(torch.tensor([episode]), torch.tensor([data.n_classes]), [seed])
        self._corpus = {**getattr(self, "_corpus", {}), episode: corpus}

    def teach(self, episodes: Sequence[int], columns: npt.ArrayLike, answered: npt.ArrayLike = True) -> None:
        """Buy columns ``(R, b)`` of the episodes ``(R,)``; where ``answered`` is False no label comes."""
        where = np.asarray(columns, dtype=np.int64)
        labels = np.stack(
            [
                self.corpora[self._corpus[e]].targets[self.rows[e, one]]
                for e, one in zip(episodes, where, strict=True)
            ]
        )
        labels = np.where(np.broadcast_to(answered, where.shape), labels, -1)
        bought = (torch.tensor(list(episodes)), torch.from_numpy(where), torch.from_numpy(labels))
        self.learner.update(self.ledger.append(*(array.to(self.learner.device) for array in bought)))

    @torch.inference_mode()
    def logits(self) -> torch.Tensor:
        """Scores ``(E, C, W)`` of all columns."""
        found: torch.Tensor = self.learner.logits_of(slice(0, None)).clone()
        return found


@pytest.fixture(scope="session")
def classroom() -> type[Classroom]:
    """See ``Classroom``."""
    return Classroom
