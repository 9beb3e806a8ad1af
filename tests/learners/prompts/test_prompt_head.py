"""The prompt learner begins at what the words say, and its head learns the difference from bought labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from react_rl.acquisition import make_strategy
from react_rl.encoders.cache import ArrayCache
from react_rl.errors import ReActError
from react_rl.learners.prompts.head import PromptHead, read_corpora
from react_rl.learners.prompts.settings import PromptSettings
from react_rl.seeding import Streams
from react_rl.simulation import EpisodeOptions, LabelingEngine
from react_rl.simulation.encoded import EncodedCorpus

OPTIONS = EpisodeOptions(pool_size=50, dev_size=20, initial_size=0, budget=12, batch_size=4)


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REACT_RL_CACHE", str(tmp_path_factory.getbasetemp() / "prompt cache"))


def engine_of(
    reviews: EncodedCorpus, settings: PromptSettings, seeds: range = range(3), **changes: Any
) -> LabelingEngine:
    options = OPTIONS.model_copy(update=changes)
    engine = LabelingEngine([reviews], options, len(seeds), learner=settings)
    engine.reset([Streams(seed) for seed in seeds])
    return engine


def changed(settings: PromptSettings, **changes: Any) -> PromptSettings:
    return PromptSettings.model_validate({**settings.model_dump(), **changes})


def learner_of(engine: LabelingEngine) -> PromptHead:
    assert isinstance(engine.learner, PromptHead)
    return engine.learner


def buy(engine: LabelingEngine, rounds: int, strategy: str = "margin") -> None:
    for _ in range(rounds):
        engine.step(make_strategy(strategy).select(engine.view, n=4))


@pytest.mark.parametrize("calibration", ["none", "content-free", "pool"])
def test_strategies_see_the_words_before_there_is_any_label(
    reviews: EncodedCorpus, prompting: PromptSettings, calibration: str
) -> None:
    settings = changed(prompting, calibration=calibration, strength=3.0)
    engine = engine_of(reviews, settings)
    (read,) = read_corpora([reviews], settings, torch.device("cpu"), ArrayCache())
    pool = torch.from_numpy(engine.draw_of(1).pool)
    words = read.words.adjusted(settings.calibration, 3.0, read.content_free, read.gaps[pool])
    wanted = torch.softmax(words.raw(read.gaps[pool]), 1)
    assert torch.allclose(engine.view.probabilities[1].T, wanted, atol=1e-6)
    assert engine.labels.tolist() == [0, 0, 0]
    unsure = wanted.sort(1).values.diff(dim=1)[:, 0].argmin()
    assert int(make_strategy("margin").select(engine.view, n=1)[1, 0]) == int(pool[unsure])
    test = reviews.corpus.ids("test")
    assert torch.allclose(engine.scores(test)[1].T, words.raw(read.gaps[torch.from_numpy(test)]), atol=1e-5)


@pytest.mark.parametrize("train", ["gap", "embedding", "both"])
def test_the_head_minimises_the_loss_of_its_sum_with_the_words(
    reviews: EncodedCorpus, prompting: PromptSettings, train: str
) -> None:
    engine = engine_of(reviews, changed(prompting, train=train, tolerance=1e-6, max_steps=5000), range(1))
    (read,) = read_corpora([reviews], learner_of(engine).settings, torch.device("cpu"), ArrayCache())
    buy(engine, 3)
    bought = engine.draw_of(0).pool[engine.ledger.columns[0, :12].numpy()]
    inputs = np.column_stack([read.inputs[bought].double().numpy(), np.full(12, 0.1)])
    pool = torch.from_numpy(engine.draw_of(0).pool)
    words = read.words.adjusted("pool", 0.7, read.content_free, read.gaps[pool])
    base = words.raw(read.gaps).double().numpy()
    truth = reviews.corpus.targets[bought]

    def loss(flat: np.ndarray[Any, Any]) -> float:
        scores = torch.from_numpy(base[bought] + inputs @ flat.reshape(2, -1).T)
        fit = torch.nn.functional.cross_entropy(scores, torch.from_numpy(truth), reduction="sum")
        return float(fit) + 0.05 * float((flat**2).sum())

    best = minimize(loss, np.zeros(2 * inputs.shape[1]), options={"gtol": 1e-7}).x.reshape(2, -1)
    every = np.column_stack([read.inputs.double().numpy(), np.full(len(base), 0.1)])
    found = engine.scores(np.arange(len(base)))[0].T.double().numpy()
    assert np.allclose(found, base + every @ best.T, atol=2e-3)


def test_scores_of_columns_and_of_rows_are_the_same(
    reviews: EncodedCorpus, prompting: PromptSettings
) -> None:
    engine = engine_of(reviews, prompting, range(2))
    buy(engine, 2)
    for episode in range(2):
        pool = engine.draw_of(episode).pool
        assert torch.allclose(
            engine.scores(pool)[episode], learner_of(engine).logits[episode, :, : len(pool)], atol=1e-4
        )


def test_nothing_to_train_leaves_the_words_alone(reviews: EncodedCorpus, prompting: PromptSettings) -> None:
    engine = engine_of(reviews, changed(prompting, train="nothing"))
    before = learner_of(engine).logits.clone()
    buy(engine, 3)
    assert torch.equal(learner_of(engine).logits, before)
    assert engine.labels.tolist() == [12, 12, 12]


@pytest.mark.parametrize("strategy", ["badge", "egl", "typiclust", "cal"])
def test_strategies_that_look_into_the_learner_buy_different_rows(
    reviews: EncodedCorpus, prompting: PromptSettings, strategy: str
) -> None:
    engine = engine_of(reviews, prompting)
    buy(engine, 3, strategy)
    columns = engine.ledger.columns[:, :12]
    assert all(len(set(own)) == 12 for own in columns.tolist())


def test_an_episode_is_the_same_alone_and_beside_others(
    reviews: EncodedCorpus, prompting: PromptSettings
) -> None:
    together = engine_of(reviews, prompting, initial_size=3)
    buy(together, 3)
    for seed in range(3):
        alone = engine_of(reviews, prompting, range(seed, seed + 1), initial_size=3)
        buy(alone, 3)
        assert torch.equal(alone.ledger.columns[0], together.ledger.columns[seed])
        assert torch.allclose(learner_of(alone).logits[0], learner_of(together).logits[seed], atol=1e-6)


def test_a_run_goes_on_where_it_stood(reviews: EncodedCorpus, prompting: PromptSettings) -> None:
    whole, half = engine_of(reviews, prompting), engine_of(reviews, prompting)
    buy(whole, 3)
    buy(half, 1)
    state = {name: array.clone() for name, array in half.state().items()}
    resumed = LabelingEngine([reviews], OPTIONS, 3, learner=prompting)
    resumed.resume([Streams(seed) for seed in range(3)], None, state)
    buy(resumed, 2)
    assert torch.equal(learner_of(resumed).logits, learner_of(whole).logits)


def test_rows_without_an_answer_teach_nothing(reviews: EncodedCorpus, prompting: PromptSettings) -> None:
    engine = engine_of(reviews, prompting, abstention=0.9)
    before = learner_of(engine).logits.clone()
    buy(engine, 1)
    silent = engine.labels == 0
    assert silent.any()
    assert torch.equal(learner_of(engine).logits[torch.from_numpy(silent)], before[torch.from_numpy(silent)])


def test_some_of_the_classes_are_refused(reviews: EncodedCorpus, prompting: PromptSettings) -> None:
    three = EncodedCorpus.build(
        reviews.corpus.__class__(
            "three", "classification", reviews.corpus.texts, np.arange(120) % 3, ("good", "bad", "film"),
            reviews.corpus.split, reviews.corpus.cost,
        ),
        reviews.embeddings.numpy(),
    )  # fmt: skip
    options = OPTIONS.model_copy(update={"classes": (2, 2), "pool_size": 30, "dev_size": 10})
    engine = LabelingEngine([three], options, learner=changed(prompting, words={}))
    with pytest.raises(ReActError, match=r"leave episode.classes out"):
        engine.reset([Streams(0)])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"templates": "it was {mask}"}, "needs {text} once"),
        ({"words": {"good": []}}, "has an empty word or none"),
        ({"train": "all"}, "train"),
    ],
)
def test_wrong_settings_are_refused(
    prompting: PromptSettings, changes: dict[str, Any], message: str, masked_lm: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        changed(prompting, **changes)


def test_words_of_no_class_are_refused_with_the_nearest(
    reviews: EncodedCorpus, prompting: PromptSettings
) -> None:
    with pytest.raises(ReActError, match="Did you mean 'negative'"):
        engine_of(reviews, changed(prompting, words={"negativ": ("bad",)}))
