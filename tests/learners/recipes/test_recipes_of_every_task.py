"""Ways of fine-tuning on tags and answers: each changes what is learned, or is refused in a sentence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from react_rl.acquisition import make_strategy
from react_rl.data.synthetic import synthetic_sentences
from react_rl.data.synthetic_questions import synthetic_questions
from react_rl.errors import ReActError
from react_rl.learners.finetune.learner import FineTune
from react_rl.learners.recipes import (
    RECIPES,
    AugmentationSettings,
    ConsistencySettings,
    Recipe,
    make_recipe,
)
from react_rl.seeding import Streams
from react_rl.simulation import EncodedCorpus, EpisodeOptions, LabelingEngine

Finetuning = Callable[..., Any]
OPTIONS = EpisodeOptions(pool_size=16, dev_size=6, initial="random", initial_size=4, budget=12, batch_size=3)
METRICS = {"tagging": "entity_f1", "question-answering": "answer_f1"}
REFUSED = {
    "tagging": {
        **dict.fromkeys(["eda", "eda-wordnet", "masked-words", "back-translation"], "take mentions"),
        "mixup-layer": "no longer be where their tags are",
        "adapters": "chosen for whole texts",
    },
    "question-answering": {
        "mentions": "not for questions about contexts",
        **dict.fromkeys(["mixup", "mixup-layer"], "borders of answers mean nothing"),
        "consistency": "a deleted word can be the border",
        "adapters": "chosen for whole texts",
    },
}
"""What makes no sense on a task, and a part of the reason."""
TUNING = [name for name, entry in RECIPES.items() if "finetune" in entry.kinds]


@cache
def corpus_of(task: str) -> EncodedCorpus:
    corpus = synthetic_sentences(80, 2) if task == "tagging" else synthetic_questions(80, 0.2)
    vectors = np.random.default_rng(0).standard_normal((80, 8)).astype(np.float32)
    return EncodedCorpus.build(corpus, vectors)


def taught(task: str, settings: Any, recipes: Sequence[Recipe]) -> LabelingEngine:
    """An engine whose episodes all have the same seed and rows, and have learned by a recipe each."""
    engine = LabelingEngine([corpus_of(task)], OPTIONS, len(recipes), [METRICS[task]], settings)
    engine.reset([Streams(3) for _ in recipes])
    assert isinstance(engine.learner, FineTune)
    engine.step(make_strategy("random").select(engine.view, 3), recipes)
    return engine


def said_of(task: str, engine: LabelingEngine) -> torch.Tensor:
    """How unsure each episode is of each row ``(E, P)``."""
    view = engine.view
    return view.tokens.total_entropy if task == "tagging" else view.spans.span_entropy


def needing(name: str, masked: Path) -> Recipe:
    """A recipe with the folders that it asks for."""
    if name == "consistency":  # in a few steps a model does not become sure
        return Recipe(consistency=ConsistencySettings(weight=1.0, threshold=0.0))
    if name == "masked-words":
        return Recipe(augmentation=AugmentationSettings(kind="masked-lm", models=(str(masked),), share=0.5))
    return make_recipe(name)


@pytest.mark.parametrize("task", METRICS)
def test_every_recipe_that_a_task_allows_changes_what_is_learned(
    task: str, finetuning: Finetuning, masked_checkpoint: Path
) -> None:
    settings = finetuning(method="full", layers=1, steps=4, dropout=0.2, max_length=32, learning_rate=1e-2)
    # WordNet and translation change texts by the same code as eda, and need more than there is here.
    followed = [name for name in TUNING if name not in {*REFUSED[task], "eda-wordnet", "back-translation"}]
    recipes = [needing(name, masked_checkpoint) for name in followed]
    found = said_of(task, taught(task, settings, recipes))
    assert torch.isfinite(found).all()
    plain = found[followed.index("plain")]
    for name, own in zip(followed, found, strict=True):
        same = RECIPES[name].family in ("plain", "continual")  # there are no phases here
        assert torch.equal(own, plain) == same, name
    one = followed.index("mentions" if task == "tagging" else "eda")
    alone = said_of(task, taught(task, settings, [recipes[one]]))
    torch.testing.assert_close(alone[0], found[one], rtol=1e-3, atol=2e-3)


@pytest.mark.parametrize(
    ("task", "name"), [(task, name) for task, names in REFUSED.items() for name in names]
)
def test_a_recipe_that_makes_no_sense_on_a_task_is_refused_with_the_reason(
    task: str, name: str, finetuning: Finetuning
) -> None:
    engine = LabelingEngine(
        [corpus_of(task)], OPTIONS, 1, [METRICS[task]], finetuning(method="lora", max_length=32)
    )
    recipe = make_recipe(name)
    if name == "back-translation":
        recipe = Recipe(augmentation=AugmentationSettings(kind="translation", models=("there", "back")))
    assert isinstance(engine.learner, FineTune)
    with pytest.raises(ReActError, match=REFUSED[task][name]):
        engine.learner.choose([recipe])
