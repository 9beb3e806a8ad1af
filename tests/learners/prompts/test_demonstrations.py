"""Labelled rows stand before each text, and every purchase changes what the model reads."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from react_rl.acquisition import make_strategy
from react_rl.learners.prompts.demonstrating import DemonstratingPrompts
from react_rl.learners.prompts.settings import PromptSettings
from react_rl.learners.prompts.templates import Template
from react_rl.seeding import Streams
from react_rl.simulation import EpisodeOptions, LabelingEngine
from react_rl.simulation.encoded import EncodedCorpus

OPTIONS = EpisodeOptions(pool_size=20, dev_size=10, initial_size=0, budget=8, batch_size=4)


def engine_of(reviews: EncodedCorpus, settings: PromptSettings) -> LabelingEngine:
    engine = LabelingEngine([reviews], OPTIONS, 2, learner=settings)
    engine.reset([Streams(seed) for seed in range(2)])
    return engine


@pytest.fixture
def few_shot(prompting: PromptSettings) -> PromptSettings:
    changes = {"train": "nothing", "demonstrations": 2, "max_length": 40}
    return PromptSettings.model_validate({**prompting.model_dump(), **changes})


def test_a_demonstration_has_its_word_in_the_gap(few_shot: PromptSettings) -> None:
    tokenizer = AutoTokenizer.from_pretrained(few_shot.model)
    behind = Template("{text} it was {mask} .", tokenizer, 30, "tiny")
    assert tokenizer.decode(behind.demonstration("the film", [7])) == "the film it was bad ."
    before = Template("a {mask} film {text}", tokenizer, 30, "tiny")
    lead = before.demonstration("the plot", [5])
    assert tokenizer.decode(lead) == "a good film the plot"
    filled = before.fill(["bad"], lead)
    ids = np.frombuffer(filled.table.distinct[0], np.int32)
    assert tokenizer.decode(ids) == "[CLS] a good film the plot a [MASK] film bad [SEP]"
    assert ids[filled.gap_of[0]] == tokenizer.mask_token_id


def test_rows_are_read_behind_demonstrations_of_each_class(
    reviews: EncodedCorpus, few_shot: PromptSettings
) -> None:
    engine = engine_of(reviews, few_shot)
    learner = engine.learner
    assert isinstance(learner, DemonstratingPrompts)
    before = learner.logits.clone()
    for _ in range(2):
        engine.step(make_strategy("random").select(engine.view, n=4))
    assert not torch.allclose(learner.logits[:, :, :20], before[:, :, :20], atol=1e-3)
    for episode in range(2):
        chosen = learner.demonstrations(episode)
        assert all(int(reviews.corpus.targets[row]) == c for row, c in chosen)
        bought = engine.ledger.onehot[episode].sum(1)
        assert len({c for _, c in chosen}) == min(2, int((bought > 0).sum()))
    rows = engine.draw_of(0).pool
    assert torch.allclose(engine.scores(rows)[0], learner.logits[0, :, : len(rows)], atol=1e-4)


def test_a_run_with_demonstrations_goes_on_where_it_stood(
    reviews: EncodedCorpus, few_shot: PromptSettings
) -> None:
    engine = engine_of(reviews, few_shot)
    engine.step(make_strategy("random").select(engine.view, n=4))
    state = {name: array.clone() for name, array in engine.state().items()}
    resumed = LabelingEngine([reviews], OPTIONS, 2, learner=few_shot)
    resumed.resume([Streams(seed) for seed in range(2)], None, state)
    test = reviews.corpus.ids("test")
    assert torch.allclose(resumed.scores(test), engine.scores(test), atol=1e-5)


def test_a_head_beside_demonstrations_is_refused(prompting: PromptSettings) -> None:
    with pytest.raises(ValueError, match="set train to nothing"):
        PromptSettings.model_validate({**prompting.model_dump(), "demonstrations": 4})
