"""Ensembles of fine-tuned models: means of members, committees that ask them, resuming."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from react_rl.acquisition import make_strategy
from react_rl.acquisition.committees import bootstrap_committee
from react_rl.data.corpus import Corpus
from react_rl.data.synthetic import synthetic_sentences
from react_rl.experiments.config.learners import learner_config
from react_rl.learners.finetune.ensemble import FineTuneEnsemble, member_seed
from react_rl.learners.finetune.learner import FineTune
from react_rl.learners.finetune.settings import FineTuneSettings
from react_rl.learners.recipes import make_recipe
from react_rl.seeding import Streams
from react_rl.simulation import EncodedCorpus, EpisodeOptions, LabelingEngine

Settings = Callable[..., FineTuneSettings]
OPTIONS = EpisodeOptions(pool_size=24, dev_size=10, initial_size=6, budget=12, batch_size=3)


def encoded(corpus: Corpus) -> EncodedCorpus:
    vectors = np.random.default_rng(0).standard_normal((corpus.n_rows, 8)).astype(np.float32)
    return EncodedCorpus.build(corpus, vectors)


def begun(
    corpus: Corpus, settings: FineTuneSettings, metrics: tuple[str, ...] = ("accuracy",)
) -> LabelingEngine:
    engine = LabelingEngine([encoded(corpus)], OPTIONS, 2, metrics, settings)
    engine.reset([Streams(seed) for seed in range(2)])
    return engine


def test_scores_are_the_mean_of_models_that_were_trained_alone(
    classroom: Any, finetuning: Settings, tiny_corpus: Callable[..., Corpus]
) -> None:
    corpora, seed = [tiny_corpus()], 3
    room = classroom(finetuning(steps=3, dropout=0.2), corpora, [0], [seed])
    ledger, rows = room.ledger, torch.from_numpy(room.rows[0])
    dev = torch.full((len(rows),), -1)
    together = FineTuneEnsemble(corpora, ledger, finetuning(steps=3, dropout=0.2, members=3))
    others = [FineTune(corpora, ledger, finetuning(steps=3, dropout=0.2)) for _ in range(2)]
    fresh: list[FineTuneEnsemble | FineTune] = [together, *others]
    for member, learner in enumerate(fresh):
        learner.place(0, 0, rows, dev)
        learner.start(torch.tensor([0]), torch.tensor([3]), [member_seed(seed, member)])
    labels = torch.from_numpy(corpora[0].targets[room.rows[0, :6]])[None]
    bought = ledger.append(torch.tensor([0]), torch.arange(6)[None], labels)
    singles = [room.learner, *others]
    for learner in (together, *singles):
        learner.update(bought)
    with torch.inference_mode():
        free = slice(6, 24)
        each = torch.stack([learner.logits_of(free) for learner in singles])
        assert float(each.std(0).max()) > 1e-3, "members differ"
        torch.testing.assert_close(together.logits_of(free), each.mean(0), atol=2e-4, rtol=1e-3)
        fitted = torch.stack([learner.fitted_logits() for learner in singles]).mean(0)
        torch.testing.assert_close(together.fitted_logits(), fitted, atol=2e-4, rtol=1e-3)
        weights, _ = together.head()
        read = weights @ together.features_of(free).transpose(1, 2)
        torch.testing.assert_close(read, each.mean(0), atol=2e-4, rtol=1e-3)
        samples = together.dropout_logits(free, 4)
        assert samples.shape == (1, 4, 3, 18)


def test_committees_are_the_members_and_strategies_run_on_them(
    finetuning: Settings, tiny_corpus: Callable[..., Corpus]
) -> None:
    engine = begun(tiny_corpus(), finetuning(steps=3, dropout=0.1, members=3))
    assert engine.view.ensemble == 3
    free = engine.view.available[:, None, None]
    mean = engine.view.logits
    votes = bootstrap_committee(engine.view).logits()
    assert votes.shape[:2] == (2, 3)
    torch.testing.assert_close(votes.mean(1) * free[:, 0], mean * free[:, 0], atol=1e-4, rtol=1e-3)
    models = engine.learner._models  # type: ignore[attr-defined]
    own = models._logits[:, :, :24].view(2, 3, 3, 24)
    torch.testing.assert_close(votes * free, own * free, atol=1e-4, rtol=1e-3)
    for name in ("bald", "vote-entropy", "bald-dropout", "badge"):
        ids = make_strategy(name).select(engine.view, 3)
        assert ids.shape == (2, 3)
    engine.step(make_strategy("bald").select(engine.view, 3))
    assert not engine.learner.failures


def test_an_interrupted_ensemble_goes_on_to_the_last_bit_with_its_recipes(
    finetuning: Settings, tiny_corpus: Callable[..., Corpus]
) -> None:
    settings = finetuning(steps=3, dropout=0.1, members=2, restart="warm", candidates=8)
    through = begun(tiny_corpus(), settings)
    resumed = LabelingEngine([encoded(tiny_corpus())], OPTIONS, 2, ("accuracy",), settings)
    random = make_strategy("random")
    through.step(random.select(through.view, 3), [make_recipe("eda"), None])
    state = {name: array.clone() for name, array in through.state().items()}
    resumed.resume([Streams(seed) for seed in range(2)], None, state)
    ids = random.select(through.view, 3)
    for engine in (through, resumed):
        engine.step(ids)
        learner = engine.learner
        assert isinstance(learner, FineTuneEnsemble)
        assert learner.recipes == [make_recipe("eda"), make_recipe("plain")]
    assert torch.equal(through.learner.logits_of(slice(None)), resumed.learner.logits_of(slice(None)))
    assert torch.equal(through.scores(np.arange(5)), resumed.scores(np.arange(5)))


def test_members_tag_words_together(finetuning: Settings) -> None:
    engine = begun_tagging(finetuning(steps=2, members=2))
    scores = engine.learner.logits_of(slice(0, 24))
    assert scores.logits.shape[0] == scores.column.shape[0] == 2
    engine.step(make_strategy("mnlp").select(engine.view, 3))
    assert np.isfinite(engine.current["entity_f1"]).all()


def begun_tagging(settings: FineTuneSettings) -> LabelingEngine:
    engine = LabelingEngine(
        [encoded(synthetic_sentences(80, 2))], OPTIONS.model_copy(update={"budget": 60}), 2, ["entity_f1"],
        settings,
    )  # fmt: skip
    engine.reset([Streams(seed) for seed in range(2)])
    return engine


def test_a_single_member_is_no_ensemble_and_leaves_the_name_of_results_as_it_was() -> None:
    plain = learner_config({"kind": "finetune"}).identity()
    assert "members" not in plain
    assert learner_config({"kind": "finetune", "finetune": {"members": 3}}).identity()["members"] == 3
    with pytest.raises(ValueError, match="leave head at linear"):
        learner_config({"kind": "finetune", "finetune": {"members": 2, "head": "dense"}})
    assert member_seed(5, 0) == 5
    assert len({member_seed(5, member) for member in range(8)}) == 8
