"""The linear tagger against scikit-learn, alone and side by side."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from react_rl.acquisition import make_strategy
from react_rl.errors import ReActError
from react_rl.learners.linear.tagger import LinearTagger, TaggerSettings
from react_rl.learners.linear.token_store import rounded_states
from react_rl.seeding import Streams
from react_rl.simulation import EpisodeOptions, LabelingEngine, synthetic_encoded, synthetic_tagged
from react_rl.simulation.held_out import HeldOut
from react_rl.simulation.play import play

OPTIONS = EpisodeOptions(pool_size=100, dev_size=30, initial_size=6, budget=90, batch_size=4)
CONVERGED = TaggerSettings(tolerance=1e-4, max_steps=2000)


def engine_of(
    n: int, settings: TaggerSettings = CONVERGED, seeds: tuple[int, ...] | None = None
) -> LabelingEngine:
    made = LabelingEngine([synthetic_tagged(300, 3)], OPTIONS, n, ["entity_f1"], settings)
    made.reset([Streams(seed) for seed in (range(n) if seeds is None else seeds)])
    return made


@pytest.mark.arithmetic
def test_it_is_the_logistic_regression_of_the_bought_tokens() -> None:
    engine = engine_of(1)
    for _ in play(engine, make_strategy("mnlp")):
        pass
    learner, corpus = engine.learner, engine.corpus_of(0)
    assert isinstance(learner, LinearTagger)
    assert corpus.tokens is not None
    rows = engine.view.ids[0][engine.view.labelled[0]].tolist()
    whole, starts = rounded_states(corpus.corpus, corpus.tokens).whole(), corpus.tokens.starts
    x = np.concatenate([whole[starts[row] : starts[row + 1]] for row in rows]).astype(np.float64)
    y = np.concatenate([corpus.corpus.targets[row] for row in rows])
    assert 70 < len(y) - sum(len(corpus.corpus.targets[row]) for row in engine.draw_of(0).initial) <= 90
    x = np.concatenate([x, np.ones((len(x), 1))], 1)  # the penalised intercept
    peer = LogisticRegression(C=1 / CONVERGED.l2, fit_intercept=False, tol=1e-8, max_iter=10_000).fit(x, y)
    dev = engine.draw_of(0).dev
    held = np.concatenate([whole[starts[row] : starts[row + 1]] for row in dev]).astype(np.float64)
    expected = peer.predict_proba(np.concatenate([held, np.ones((len(held), 1))], 1))
    scores = learner.logits_of(slice(100, None))
    found = torch.softmax(scores.logits[0, torch.from_numpy(peer.classes_)], 0).numpy().T[: len(held)]
    np.testing.assert_allclose(found, expected, atol=2e-3)


@pytest.mark.arithmetic
def test_episodes_side_by_side_learn_what_they_learn_alone() -> None:
    together = engine_of(3, TaggerSettings())
    areas = [turn.round.metrics["entity_f1"] for turn in play(together, make_strategy("mnlp"))]
    for seed in range(3):
        alone = engine_of(1, TaggerSettings(), (seed,))
        own = [turn.round.metrics["entity_f1"][0] for turn in play(alone, make_strategy("mnlp"))]
        assert own == pytest.approx([area[seed] for area in areas[: len(own)]], abs=1e-6)


def test_it_goes_on_where_its_state_was_taken() -> None:
    whole, stopped = engine_of(2), engine_of(2)
    for engine in (whole, stopped):
        for _ in range(3):
            engine.step(make_strategy("tag-count").select(engine.view, 4))
    resumed = LabelingEngine([synthetic_tagged(300, 3)], OPTIONS, 2, ["entity_f1"], CONVERGED)
    resumed.resume([Streams(0), Streams(1)], None, stopped.state())
    for engine in (whole, resumed):
        engine.step(make_strategy("mnlp").select(engine.view, 4))
    np.testing.assert_allclose(resumed.current["entity_f1"], whole.current["entity_f1"], atol=1e-6)
    np.testing.assert_allclose(resumed.view.tokens.entropy, whole.view.tokens.entropy, atol=1e-5)


def test_other_rows_get_the_scores_that_the_pool_gets() -> None:
    engine = engine_of(2)
    learner = engine.learner
    assert isinstance(learner, LinearTagger)
    rows = engine.draw_of(0).dev
    inside = learner.logits_of(slice(100, None))
    outside = learner.logits_of_rows([rows, rows])
    n = outside.logits.shape[2]
    np.testing.assert_allclose(outside.logits[0], inside.logits[0, :, :n], atol=1e-5)
    assert outside.column[0].tolist() == inside.column[0, :n].tolist()
    found = HeldOut(rows).measure(engine, ["entity_f1"])["entity_f1"]
    assert found[0] == pytest.approx(engine.current["entity_f1"][0])


def test_learner_and_corpus_of_two_tasks_are_refused() -> None:
    with pytest.raises(
        ReActError, match=r"is of tagging, which the learner .* set learner\.kind to finetune or tagger"
    ):
        LabelingEngine([synthetic_tagged(300, 2)], OPTIONS)
    with pytest.raises(ReActError, match=r"set learner\.kind to softmax or mlp or finetune"):
        LabelingEngine([synthetic_encoded(600, 3)], OPTIONS, learner=TaggerSettings())
