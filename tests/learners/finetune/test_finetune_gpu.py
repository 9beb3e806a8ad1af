"""A GPU gives what the CPU gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

CASES: dict[str, dict[str, Any]] = {
    "lora": {"method": "lora"},
    "full": {"method": "full"},
    "top layer": {"method": "full", "layers": 1},
    "bitfit": {"method": "bitfit"},
    "head": {"method": "head"},
    "early stopping": {"method": "lora", "patience": 2, "epochs": 4},
    "balanced pieces": {"method": "lora", "class_weights": "balanced", "accumulate": 2},
    "gpt2": {"architecture": "gpt2", "method": "lora"},
    "llama": {"architecture": "llama", "method": "full"},
}


def rounds(room: Any) -> tuple[torch.Tensor, torch.Tensor]:
    room.teach([0, 1, 2], [[0, 1, 2, 3, 4, 5], [5, 4, 3, 2, 1, 0], [6, 7, 8, 9, 10, 11]])
    room.teach([0, 2], [[12, 13], [14, 15]])
    return room.logits().cpu(), room.learner.dropout_logits(slice(0, 20), 2).cpu()


@pytest.mark.parametrize("case", list(CASES))
def test_a_gpu_learns_what_the_cpu_learns(
    case: str, classroom: Any, tiny_corpus: Callable[..., Any], finetuning: Callable[..., Any]
) -> None:
    settings = finetuning(**CASES[case])
    corpora = [tiny_corpus(3, 0), tiny_corpus(4, 1)]
    found = [
        rounds(classroom(settings, corpora, [0, 1, 0], [1, 2, 3], device=device))
        for device in ("cpu", "cuda")
    ]
    for cpu, gpu in zip(*found, strict=True):
        torch.testing.assert_close(gpu, cpu, rtol=1e-2, atol=1e-2)


def test_bf16_on_a_gpu_ranks_as_fp32_does(
    classroom: Any, tiny_corpus: Callable[..., Any], finetuning: Callable[..., Any]
) -> None:
    scores = []
    for precision in ("fp32", "bf16"):
        room = classroom(
            finetuning(precision=precision), [tiny_corpus()], [0, 0, 0], [1, 2, 3], device="cuda"
        )
        scores.append(rounds(room)[0][:, :, 16:].flatten(1))
    cosine = torch.nn.functional.cosine_similarity(scores[0], scores[1], dim=1)
    assert cosine.min() > 0.97
