"""Prompt-based fine-tuning begins at what the masked-LM head says of the words, and all of it learns."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from react_rl.acquisition import make_strategy
from react_rl.data.phases import PhaseRows
from react_rl.errors import ReActError
from react_rl.learners.finetune.settings import FineTuneSettings
from react_rl.learners.prompts.reading import GapReader
from react_rl.learners.prompts.settings import PromptSettings
from react_rl.learners.prompts.tuning import ClozeTune
from react_rl.learners.prompts.verbaliser import Verbaliser
from react_rl.seeding import Streams
from react_rl.simulation import EpisodeOptions, LabelingEngine
from react_rl.simulation.encoded import EncodedCorpus, synthetic_tagged

OPTIONS = EpisodeOptions(pool_size=30, dev_size=10, initial_size=0, budget=8, batch_size=4)


def tuning(prompting: PromptSettings, **changes: Any) -> FineTuneSettings:
    prompt = {"template": prompting.templates[0], "words": prompting.words}
    given = {
        "model": prompting.model, "precision": "fp32", "max_length": 24, "epochs": 3, "batch_size": 4,
        "learning_rate": 5e-3, "method": "full", "prompt": prompt,
    }  # fmt: skip
    return FineTuneSettings.model_validate(given | changes)


def engine_of(
    reviews: EncodedCorpus, settings: FineTuneSettings, seeds: tuple[int, ...] = (0, 1)
) -> LabelingEngine:
    engine = LabelingEngine([reviews], OPTIONS, len(seeds), learner=settings)
    engine.reset([Streams(seed) for seed in seeds])
    return engine


@pytest.mark.parametrize("method", ["full", "lora", "bitfit", "head", "peft"])
def test_without_labels_it_says_what_the_words_say_made_even_over_the_pool(
    reviews: EncodedCorpus, prompting: PromptSettings, method: str
) -> None:
    engine = engine_of(reviews, tuning(prompting, method=method), (0,))
    reader = GapReader(prompting)
    verbaliser = Verbaliser.of(("negative", "good"), prompting.words, "reviews")
    weights, intercepts = verbaliser.head(reader.head, reader.tokenizer, "reviews")
    texts = [reviews.corpus.texts[row] for row in engine.draw_of(0).pool]
    raw = torch.from_numpy(reader.vectors(texts)) @ weights.T + intercepts
    even = raw - torch.softmax(raw, 1).mean(0).log()
    assert torch.allclose(engine.view.logits[0].T, even, atol=2e-2)


@pytest.mark.parametrize(
    ("method", "layers"), [("full", None), ("full", 1), ("lora", None), ("bitfit", None), ("head", None)]
)
def test_labels_are_learned_with_every_method(
    reviews: EncodedCorpus, prompting: PromptSettings, method: str, layers: int | None
) -> None:
    engine = engine_of(
        reviews, tuning(prompting, method=method, layers=layers, epochs=20, learning_rate=2e-2, dropout=0.0)
    )
    learner = engine.learner
    assert isinstance(learner, ClozeTune)

    def loss() -> torch.Tensor:
        scores = learner.logits_of(slice(0, 30)).log_softmax(1)
        truth = np.stack([reviews.corpus.targets[engine.draw_of(e).pool] for e in range(2)])
        own: torch.Tensor = -scores.gather(1, torch.from_numpy(truth)[:, None])[:, 0]
        return own

    before = loss().clone()
    bought = make_strategy("random").select(engine.view, n=4)
    columns = torch.stack(
        [torch.searchsorted(torch.from_numpy(engine.draw_of(e).pool), bought[e]) for e in range(2)]
    )
    engine.step(bought)
    learner._known[:] = False
    scores = learner.fitted_logits().log_softmax(1)
    classes = engine.ledger.onehot[:, :, :4]
    after = -(scores * classes).sum(1)
    assert (after.mean(1) < before.gather(1, columns).mean(1)).all()


def test_an_episode_learns_the_same_alone_and_beside_others(
    reviews: EncodedCorpus, prompting: PromptSettings
) -> None:
    def played(seeds: tuple[int, ...]) -> torch.Tensor:
        engine = engine_of(reviews, tuning(prompting), seeds)
        for _ in range(2):
            engine.step(make_strategy("margin").select(engine.view, n=4))
        found: torch.Tensor = engine.learner.logits_of(slice(0, 30))
        return found.clone()

    assert torch.allclose(played((0, 1))[1], played((1,))[0], atol=1e-4)


@pytest.fixture
def stream(reviews: EncodedCorpus) -> EncodedCorpus:
    phases = (np.arange(len(reviews.corpus.texts)) % 2).astype(np.uint8)
    kept = np.argsort(phases, kind="stable")
    corpus = reviews.corpus
    shuffled = replace(
        corpus, texts=tuple(corpus.texts[row] for row in kept), targets=corpus.targets[kept],
        split=corpus.split[kept], cost=corpus.cost[kept], phases=PhaseRows(phases[kept], ("a", "b")),
    )  # fmt: skip
    return EncodedCorpus.build(shuffled, reviews.embeddings.numpy()[kept])


def test_words_are_even_over_the_pool_rows_that_have_come_and_phases_are_learned_apart(
    stream: EncodedCorpus, prompting: PromptSettings
) -> None:
    ends = {}
    for kind in ("sequential", "joint"):
        engine = engine_of(stream, tuning(prompting, method="lora", continual={"kind": kind}))
        learner = engine.learner
        assert isinstance(learner, ClozeTune)
        corpus, rows, pool = learner._pools[0]
        _, words, gaps = learner._spoken[corpus]
        of = stream.corpus.phases
        assert of is not None
        first = rows[pool][torch.tensor(of.of)[rows[pool]] == 0]
        expected = words.adjusted("pool", None, gaps[first], gaps[first])
        torch.testing.assert_close(learner._weights["head.out.bias"][0, :2], expected.intercepts)
        while not engine.finished.all():
            engine.step(make_strategy("random").select(engine.view, 4))
        ends[kind] = learner.logits_of(slice(0, 30)).clone()
    assert not torch.allclose(ends["sequential"], ends["joint"], atol=1e-4)


def test_what_a_gap_cannot_hold_is_refused(prompting: PromptSettings) -> None:
    with pytest.raises(ValueError, match=r"needs \{text\} once"):
        tuning(prompting, prompt={"template": "it was {mask}"})
    with pytest.raises(ValueError, match="the masked-LM head is the head"):
        tuning(prompting, head="dense")
    with pytest.raises(ReActError, match="none for tags or answers"):
        LabelingEngine([synthetic_tagged(60)], OPTIONS, metrics=["entity_f1"], learner=tuning(prompting))
