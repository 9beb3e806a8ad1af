"""Prompts on a CUDA device, or a simulated one: they say there what they say on the CPU."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from react_rl.acquisition import make_strategy
from react_rl.learners.finetune.settings import FineTuneSettings
from react_rl.learners.prompts.settings import PromptSettings
from react_rl.seeding import Streams
from react_rl.simulation import EncodedCorpus, EpisodeOptions, LabelingEngine

pytestmark = pytest.mark.gpu
OPTIONS = EpisodeOptions(pool_size=20, dev_size=10, initial_size=0, budget=8, batch_size=4)
HOW: dict[str, dict[str, Any]] = {
    "embeddings": {"train": "embedding"},
    "vectors of gaps": {"train": "gap", "calibration": "content-free"},
    "demonstrations": {"train": "nothing", "demonstrations": 2, "max_length": 40},
}


def said(corpus: EncodedCorpus, learner: Any) -> torch.Tensor:
    """Probabilities in two episodes after a round."""
    engine = LabelingEngine([corpus], OPTIONS, 2, learner=learner)
    engine.reset([Streams(seed) for seed in range(2)])
    engine.step(make_strategy("random").select(engine.view, n=4))
    assert make_strategy("margin").select(engine.view, n=4).device == corpus.device
    return engine.view.probabilities.cpu()


@pytest.mark.parametrize("how", HOW)
def test_a_prompt_learns_what_it_learns_on_a_cpu(
    how: str, cuda: str, reviews: EncodedCorpus, prompting: PromptSettings
) -> None:
    learner = PromptSettings.model_validate({**prompting.model_dump(), **HOW[how]})
    there = EncodedCorpus.of_arrays(reviews.arrays(), cuda)
    torch.testing.assert_close(said(there, learner), said(reviews, learner), rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_prompt_is_tuned_on_the_device(
    method: str, cuda: str, reviews: EncodedCorpus, prompting: PromptSettings
) -> None:
    learner = FineTuneSettings.model_validate(
        {
            "model": prompting.model, "precision": "fp32", "max_length": 24, "steps": 2, "batch_size": 4,
            "method": method, "prompt": {"template": prompting.templates[0], "words": prompting.words},
        }
    )  # fmt: skip
    there = EncodedCorpus.of_arrays(reviews.arrays(), cuda)
    torch.testing.assert_close(said(there, learner), said(reviews, learner), rtol=2e-2, atol=2e-2)
