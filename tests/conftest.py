"""Set up for all tests: one torch thread, because small products wait longer for threads than they run."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings

from tests.simulated_device import cuda_device

torch.set_num_threads(1)

# A busy machine is no failure: nothing in this suite is timed.
settings.register_profile("explore", deadline=None)
# What fails fails every time. New examples are looked for by `make test ARGS=--hypothesis-profile=explore`.
settings.register_profile("suite", settings.get_profile("explore"), derandomize=True)
settings.load_profile("suite")

ARITHMETIC = ("acquisition", "encoders", "learners", "metrics", "simulation")
"""Folders of tests whose outcome could depend on how a processor rounds."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what touches arithmetic, by folder."""
    here = Path(__file__).parent
    for item in items:
        folder = item.path.relative_to(here).parts[0] if item.path.is_relative_to(here) else ""
        if folder in ARITHMETIC and item.get_closest_marker("slow") is None:
            item.add_marker(pytest.mark.arithmetic)


@pytest.fixture(autouse=True)
def own_code_forgotten(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A test's own modules and search path end with it: the next test may name its module the same."""
    path, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        file = getattr(sys.modules[name], "__file__", None)
        if file is not None and Path(file).is_relative_to(tmp_path_factory.getbasetemp()):
            del sys.modules[name]


@pytest.fixture(autouse=True)
def seeded() -> None:
    """What a test draws from the global random states does not depend on what ran before in its process."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    torch.manual_seed(0)


@pytest.fixture
def cuda() -> Iterator[str]:
    """The name of a CUDA device; where there is none, of one that is simulated on the CPU."""
    with cuda_device() as name:
        yield name


@pytest.fixture(scope="session")
def save_bert() -> Callable[[Path, Sequence[str]], Path]:
    """Saves a tiny random BERT that knows some words as a local folder."""

    def save(folder: Path, words: Sequence[str]) -> Path:
        from tokenizers import Tokenizer, models, pre_tokenizers, processors
        from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

        known = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *words]
        tokenizer = Tokenizer(
            models.WordLevel({word: number for number, word in enumerate(known)}, unk_token="[UNK]")
        )
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
        )
        PreTrainedTokenizerFast(
            tokenizer_object=tokenizer,
            pad_token="[PAD]",
            unk_token="[UNK]",
            cls_token="[CLS]",
            sep_token="[SEP]",
        ).save_pretrained(folder)
        config = BertConfig(
            vocab_size=len(known),
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=24,
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            BertModel(config).eval().save_pretrained(folder)
        return folder

    return save
