"""Prompt learners keep the contract of learners, whatever is trained beside the words."""

from __future__ import annotations

from typing import Any

import pytest

from react_rl.contracts import LEARNER_CHECKS
from react_rl.contracts.learners import bench_of
from react_rl.learners.finetune.settings import FineTuneSettings
from react_rl.learners.prompts.settings import PromptSettings
from react_rl.simulation import EpisodeOptions
from react_rl.simulation.encoded import EncodedCorpus

OPTIONS = EpisodeOptions(pool_size=40, dev_size=20, initial_size=4, budget=20, batch_size=4)
KINDS: dict[str, dict[str, Any]] = {
    "embedding": {},
    "both": {"train": "both"},
    "demonstrations": {"train": "nothing", "demonstrations": 2, "max_length": 40},
}


@pytest.mark.parametrize("check", sorted(LEARNER_CHECKS))
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_prompt_learner_keeps_its_contract(
    kind: str, check: str, prompting: PromptSettings, reviews: EncodedCorpus
) -> None:
    settings = PromptSettings.model_validate({**prompting.model_dump(), **KINDS[kind]})
    LEARNER_CHECKS[check](bench_of(settings, reviews, OPTIONS))


@pytest.mark.parametrize("check", sorted(LEARNER_CHECKS))
@pytest.mark.parametrize("kind", ["prompt", "contrastive"])
def test_tuned_learners_keep_their_contract(
    kind: str, check: str, prompting: PromptSettings, reviews: EncodedCorpus
) -> None:
    own: dict[str, Any] = {"contrastive": {"loss": "cosine"}}
    if kind == "prompt":
        own = {"prompt": {"template": prompting.templates[0], "words": prompting.words}}
    given = {"model": prompting.model, "precision": "fp32", "max_length": 24, "method": "full"}
    training = {"steps": 3, "batch_size": 8, "learning_rate": 1e-3}
    settings = FineTuneSettings.model_validate({**given, **training, **own})
    LEARNER_CHECKS[check](bench_of(settings, reviews, OPTIONS))
