"""The span scorer against a plain minimiser, alone and side by side."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import minimize as scipy_minimise
from torch.nn import functional

from react_rl.acquisition import make_strategy
from react_rl.data.passages import Passages
from react_rl.encoders.token_states import TokenStates
from react_rl.errors import ReActError
from react_rl.learners.linear.minimise import minimise
from react_rl.learners.linear.overlap import OVERLAPS, overlaps
from react_rl.learners.linear.span import SpanScorer, SpanSettings, _Layout
from react_rl.seeding import Streams
from react_rl.simulation import (
    EncodedCorpus,
    EpisodeOptions,
    LabelingEngine,
    synthetic_asked,
    synthetic_encoded,
    synthetic_tagged,
)
from react_rl.simulation.held_out import HeldOut
from react_rl.simulation.play import play

OPTIONS = EpisodeOptions(pool_size=100, dev_size=30, initial_size=6, budget=24, batch_size=6)
CONVERGED = SpanSettings(tolerance=1e-5, max_steps=500)


def engine_of(
    n: int,
    settings: SpanSettings = CONVERGED,
    seeds: tuple[int, ...] | None = None,
    corpus: EncodedCorpus | None = None,
    options: EpisodeOptions = OPTIONS,
) -> LabelingEngine:
    corpora = [synthetic_asked(240, 0.2) if corpus is None else corpus]
    made = LabelingEngine(corpora, options, n, ["answer_f1", "exact_match"], settings)
    made.reset([Streams(seed) for seed in (range(n) if seeds is None else seeds)])
    return made


@pytest.mark.arithmetic
@pytest.mark.parametrize("unanswerable", [0.0, 0.3])
def test_it_minimises_the_loss_of_the_bought_questions(unanswerable: float) -> None:
    engine = engine_of(1, corpus=synthetic_asked(240, unanswerable))
    engine.step(make_strategy("random").select(engine.view, 6))
    learner, corpus = engine.learner, engine.corpus_of(0).corpus
    assert isinstance(learner, SpanScorer)
    assert corpus.passages is not None
    rows = engine.view.ids[0][engine.view.labelled[0]].tolist()
    inputs = [learner._stores[0].inputs(row).double().numpy() for row in rows]
    first = 0 if corpus.passages.has_unanswerable else 1

    def loss(weights: np.ndarray) -> float:
        total = 0.5 * CONVERGED.l2 * float(weights @ weights)
        for own, side in zip(inputs, corpus.targets[rows].tolist(), strict=True):
            for word, part in zip(side, weights.reshape(2, -1), strict=True):
                scores = own[first:] @ part
                total += float(np.logaddexp.reduce(scores) - scores[word - first])
        return total

    own = learner._weights[0].double().numpy().ravel()
    best = scipy_minimise(loss, own, method="L-BFGS-B", options={"maxiter": 3})
    assert loss(own) <= best.fun + 1e-3
    assert loss(own) < 0.7 * loss(np.zeros_like(own))
    scores = learner.logits_of_rows([np.array(rows)])
    for column, found in enumerate(inputs):
        for side, part in zip((scores.start, scores.end), own.reshape(2, -1), strict=True):
            expected = found @ part
            np.testing.assert_allclose(side[0, column, first : len(found)], expected[first:], atol=2e-3)
            assert (side[0, column, len(found) :] < -1e29).all()
    assert bool((scores.start[0, :, 0] < -1e29).all()) == (first == 1)


def test_episodes_side_by_side_learn_what_they_learn_alone() -> None:
    together = engine_of(3, SpanSettings())
    areas = [turn.round.metrics["answer_f1"] for turn in play(together, make_strategy("span-margin"))]
    for seed in range(3):
        alone = engine_of(1, SpanSettings(), (seed,))
        own = [turn.round.metrics["answer_f1"][0] for turn in play(alone, make_strategy("span-margin"))]
        assert own == pytest.approx([area[seed] for area in areas[: len(own)]], abs=1e-5)


def test_it_goes_on_where_its_state_was_taken() -> None:
    whole, stopped = engine_of(2), engine_of(2)
    for engine in (whole, stopped):
        for _ in range(2):
            engine.step(make_strategy("spread-over-contexts").select(engine.view, 6))
    resumed = LabelingEngine([synthetic_asked(240, 0.2)], OPTIONS, 2, ["answer_f1", "exact_match"], CONVERGED)
    resumed.resume([Streams(0), Streams(1)], None, stopped.state())
    for engine in (whole, resumed):
        engine.step(make_strategy("span-entropy").select(engine.view, 6))
    np.testing.assert_allclose(resumed.current["answer_f1"], whole.current["answer_f1"], atol=1e-6)
    np.testing.assert_allclose(resumed.view.spans.entropy, whole.view.spans.entropy, atol=1e-4)


def test_wrong_answers_and_silence_are_learned_from_as_they_come() -> None:
    noisy = EpisodeOptions(
        pool_size=100, dev_size=30, initial_size=6, budget=24, batch_size=6, label_noise=0.5, abstention=0.3
    )
    for unanswerable in (0.0, 0.2):
        engine = engine_of(2, SpanSettings(), None, synthetic_asked(240, unanswerable), noisy)
        for turn in play(engine, make_strategy("random")):
            assert np.isfinite(turn.round.metrics["answer_f1"]).all()
        assert (engine.labels < 30).all()


def test_other_rows_get_the_scores_that_the_pool_gets() -> None:
    engine = engine_of(2)
    rows = engine.draw_of(0).dev
    found = HeldOut(rows).measure(engine, ["answer_f1", "exact_match"])
    assert found["answer_f1"][0] == pytest.approx(engine.current["answer_f1"][0])
    assert found["exact_match"][0] == pytest.approx(engine.current["exact_match"][0])


def test_contexts_are_read_in_turn() -> None:
    engine = engine_of(2)
    about = engine.corpus_of(0).corpus.passages
    assert about is not None
    for turn in play(engine, make_strategy("spread-over-contexts")):
        counts = np.stack([np.bincount(about.of[ids], minlength=len(about.texts)) for ids in turn.round.ids])
        assert (counts.max(1) == 1).all()  # there are more contexts than picks
    bought = engine.view.labelled & engine.view.in_pool
    for e in range(2):
        own = np.bincount(about.of[engine.view.ids[e][bought[e]].numpy()])
        drawn = np.bincount(about.of[engine.draw_of(e).initial])
        assert own.max() <= max(int(drawn.max()), 2)


def test_the_words_of_the_question_are_found_in_the_context() -> None:
    about = Passages(("Ann met Bo. Then Cy, 9, left", "Cy sang"), np.array([0, 1]), (("Bo",), ("Cy",)))
    found = overlaps(about, ["Whom did Ann meet? bo", "Who sang?"])
    assert found.shape == (1 + 10 + 1 + 2, len(OVERLAPS))
    column = {name: found[1:11, place].tolist() for place, name in enumerate(OVERLAPS)}
    assert column["in the question"] == [1, 0, 1, 0, 0, 0, 0, 0, 0, 0]
    assert column["word before in the question"] == [0, 1, 0, 1, 0, 0, 0, 0, 0, 0]
    assert column["word behind in the question"] == [0, 1, 0, 0, 0, 0, 0, 0, 0, 0]
    assert column["the sentence with most of it"] == [1, 1, 1, 1, 0, 0, 0, 0, 0, 0]
    assert column["question in the sentence"] == pytest.approx([1, 1, 1, 1, 0, 0, 0, 0, 0, 0])
    assert column["punctuation"] == [0, 0, 0, 1, 0, 0, 1, 0, 1, 0]
    assert column["upper case"] == [1, 0, 1, 0, 1, 1, 0, 0, 0, 0]
    assert column["number"] == [0, 0, 0, 0, 0, 0, 0, 1, 0, 0]
    assert column["question within 3 words"][0] == pytest.approx(1.0)
    assert found[[0, 11], -1].tolist() == [1, 1]


def test_losses_side_by_side_have_the_minima_that_they_have_alone() -> None:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(3, 40, 6, generator=generator)
    wanted = torch.randn(3, 40, 2, generator=generator)
    scale = torch.tensor([1.0, 10.0, 0.1])[:, None, None]

    def solve(which: slice) -> torch.Tensor:
        x, y, own = inputs[which] * scale[which], wanted[which], scale[which]
        begin = torch.zeros(len(x), 2, 6)
        return minimise(
            begin,
            x,
            lambda s: ((s - y) ** 2).sum((1, 2)) / 2 * own[:, 0, 0],
            lambda s: (s - y) * own,
            0.5,
            1e-6,
            200,
        )

    together = solve(slice(None))
    for e in range(3):
        x, c = (inputs * scale)[e].double(), float(scale[e])
        exact = torch.linalg.solve(c * x.T @ x + 0.5 * torch.eye(6), c * x.T @ wanted[e].double()).T
        np.testing.assert_allclose(together[e], exact, atol=2e-4)
        np.testing.assert_allclose(together[e], solve(slice(e, e + 1))[0], atol=1e-5)


def test_learner_and_corpus_of_two_tasks_are_refused() -> None:
    with pytest.raises(ReActError, match=r"set learner\.kind to finetune or span"):
        LabelingEngine([synthetic_asked(240)], OPTIONS)
    for other in (synthetic_encoded(600, 3), synthetic_tagged(300, 2)):
        with pytest.raises(ReActError, match="does not learn"):
            LabelingEngine([other], OPTIONS, learner=SpanSettings())


def test_words_of_one_state_are_one_place_for_borders() -> None:
    plain = synthetic_asked(240)
    assert plain.tokens is not None
    passages = plain.corpus.passages
    assert passages is not None
    states, starts = plain.tokens.states.copy(), plain.tokens.starts
    for row in range(240):  # words 2 and 3 of every context are of one piece
        states[starts[row] + 3] = states[starts[row] + 2]
    corpus = replace(plain, tokens=TokenStates(states, starts, 0))
    engine = engine_of(2, corpus=corpus)
    learner = engine.learner
    assert isinstance(learner, SpanScorer)
    begins = [row for own in learner._bought for row, first, _ in own if plain.corpus.targets[row, 0] == 3]
    assert {first for own in learner._bought for row, first, _ in own if row in begins} <= {2}
    assert all(last != 2 for own in learner._bought for _, _, last in own)
    layout = _Layout.of(learner._bought, [learner._stores[0]] * 2, max(learner._used))
    words = torch.randn(2, max(learner._used), 2, generator=torch.Generator().manual_seed(0)).requires_grad_()
    loss = torch.zeros(2)
    for e, own in enumerate(learner._bought):
        at = 0
        for row, *span in own:
            length = int(starts[row + 1] - starts[row])
            for border, inner in ((0, 3), (1, 2)):
                can = [word for word in range(1, length) if word != inner]  # every question has an answer
                wanted = torch.tensor([can.index(span[border])])
                loss[e] += functional.cross_entropy(words[e, at : at + length, border][can][None], wanted)
            at += length
    torch.testing.assert_close(layout.loss(words.detach()), loss.detach())
    torch.testing.assert_close(layout.residual(words.detach()), torch.autograd.grad(loss.sum(), words)[0])
    rows = np.arange(30)
    scores, usual = learner.logits_of_rows([rows, rows]), engine_of(2, corpus=plain).scores(rows)
    for side, other, never in ((scores.start, usual.start, 3), (scores.end, usual.end, 2)):
        expected = other < -1e29
        expected[:, :, never] = True
        assert torch.equal(side < -1e29, expected)
