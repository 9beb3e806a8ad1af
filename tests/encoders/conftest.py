"""A tiny random BERT saved as a local folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch

WORDS = ["good", "bad", "film", "plot", "the", "a", "was", "very"]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def tiny_bert(tmp_path: Path, save_bert: Callable[[Path, Sequence[str]], Path]) -> Path:
    return save_bert(tmp_path / "tiny", WORDS)
