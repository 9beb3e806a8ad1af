"""Question answering: what is said of questions, how answers are judged, and how annotators err."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor

from react_rl.data.passages import Passages
from react_rl.data.synthetic_questions import synthetic_questions
from react_rl.errors import ReActError
from react_rl.metrics.answers import answer_scores
from react_rl.tasks import QuestionAnswering, SpanScores, SpanSignals
from react_rl.tasks import questions as module
from react_rl.tasks.heads import NEVER
from react_rl.tasks.questions import SpanErrors, best_answers

LENGTHS = (5, 1, 3)


def level(values: Tensor) -> Tensor:
    return values


def scores(seed: int = 0, nullable: bool = True) -> SpanScores:
    """Random scores of three questions with contexts of 5, 1 and 3 words, for two episodes."""
    rng = np.random.default_rng(seed)
    sides = torch.from_numpy(2 * rng.normal(size=(2, 2, 3, max(LENGTHS) + 1)).astype(np.float32))
    for column, length in enumerate(LENGTHS):
        sides[:, :, column, length + 1 :] = NEVER
    if not nullable:
        sides[..., 0] = NEVER
    texts = tuple(" ".join("abcde"[:length]) for length in LENGTHS)
    about = Passages(texts, np.arange(3), ((), (), ()) if nullable else (("a",),) * 3)
    return SpanScores(sides[0], sides[1], np.array([[0, 1, 2]] * 2), [about, about])


@pytest.mark.parametrize("longest", [2, 3, 40])
@pytest.mark.parametrize("nullable", [True, False])
def test_what_is_said_of_questions_is_what_all_spans_say(
    longest: int, nullable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LONGEST_ANSWER", longest)
    given = scores(nullable=nullable)
    signals, answers = SpanSignals(given, level, 3), best_answers(given)
    for e in range(2):
        for column, length in enumerate(LENGTHS):
            p, q = (torch.softmax(side[e, column].double(), 0).numpy() for side in (given.start, given.end))
            every = {
                (i, j): p[i] * q[j]
                for i in range(1, length + 1)
                for j in range(i, min(i + longest, length + 1))
            }  # fmt: skip
            spans = dict(every)
            if nullable:
                spans[0, 0] = p[0] * q[0]
            order = sorted(spans, key=lambda span: -spans[span])
            values = np.array(sorted(spans.values(), reverse=True))
            found = {
                "log_probability": np.log(values[0]),
                "mean_log_probability": np.log(values[0]) / 2,
                "confidence": np.sqrt(values[0]),
                "span_margin": values[0] - (values[1] if len(values) > 1 else 0.0),
                "span_entropy": -(values / values.sum() * np.log(values / values.sum())).sum(),
                "entropy": -sum((side[side > 0] * np.log(side[side > 0])).sum() for side in (p, q)) / 2,
                "margin": np.mean([np.sort(side)[-1] - np.sort(side)[-2] for side in (p, q)]),
            }
            for name, value in found.items():
                assert float(getattr(signals, name)[e, column]) == pytest.approx(value, rel=1e-4, abs=1e-6), (
                    name
                )
            assert (int(answers[0][e, column]), int(answers[1][e, column])) == order[0]
            if nullable:
                doubt = -abs(np.log(max(every.values())) - np.log(spans[0, 0]))
                assert float(signals.no_answer_doubt[e, column]) == pytest.approx(doubt, rel=1e-4)
    assert signals.contexts.tolist() == [[0, 1, 2]] * 2
    if not nullable:
        with pytest.raises(ReActError, match="every question of the corpus has one"):
            _ = signals.no_answer_doubt


def test_answers_are_judged_by_their_texts_as_the_official_script_does() -> None:
    corpus, task = synthetic_questions(80, 0.3), QuestionAnswering()
    about, rng = corpus.passages, np.random.default_rng(0)
    assert about is not None
    rows = np.arange(20)
    longest = int(about.lengths[rows].max()) + 1
    start, end = (torch.full((1, 21, longest), NEVER) for _ in range(2))
    texts = []
    for number in rows.tolist():
        first, last = corpus.targets[number].tolist()
        if number % 3 == 0:
            first, last = max(first - 1, 1), int(about.lengths[number]) if number % 2 else max(last, 1)
        start[0, number, first] = end[0, number, last] = float(rng.random())
        texts.append(about.answer(number, first, last))
    given = SpanScores(start, end, np.append(rows, -1)[None], [about])
    truth = task.targets(corpus, rows, np.arange(2), (2,))
    padded = torch.from_numpy(np.concatenate([truth, [[-1, -1]]]))[None]
    found = task.judge(["answer_f1", "exact_match"], given, padded, torch.ones(1, 2) > 0)
    expected = answer_scores(texts, about.answers[:20])
    assert 0.3 < expected.exact < 0.9
    assert float(found["exact_match"]) == pytest.approx(expected.exact)
    assert float(found["answer_f1"]) == pytest.approx(expected.f1)


def test_annotators_mark_other_spans_or_overlook_the_answer_at_their_rate() -> None:
    corpus, task = synthetic_questions(400, 0.2), QuestionAnswering()
    about = corpus.passages
    assert about is not None
    rows = np.arange(400)
    truth = task.targets(corpus, rows, np.arange(2), (2,))
    errors = SpanErrors(np.full(400, 0.3), about)
    said = errors.answer(rows, truth, np.arange(2), np.random.default_rng(0))
    wrong = (said != truth).any(1)
    assert wrong.mean() == pytest.approx(0.3, abs=0.06)
    assert ((said[:, 0] <= said[:, 1]) & (said[:, 1] <= about.lengths) & (said >= 0).all(1)).all()
    had = wrong & (truth[:, 0] > 0)
    missed = had & (said[:, 0] == 0)
    moved = had & (np.abs(said - truth).sum(1) == 1) & ~missed
    assert min(missed.sum(), moved.sum(), (had & ~missed & ~moved).sum()) > 0.2 * had.sum()
    # Where every question has an answer, every answer is a span.
    sure = replace(about, answers=(("some",),) * 400)
    spans = np.maximum(truth, 1)
    heard = SpanErrors(np.ones(400), sure).answer(rows, spans, np.arange(2), np.random.default_rng(0))
    assert (heard > 0).all()
    assert (heard != spans).any(1).mean() > 0.95


def test_an_answer_is_written_as_its_words() -> None:
    corpus, task = synthetic_questions(80, 0.3), QuestionAnswering()
    assert corpus.passages is not None
    for number in range(10):
        text = task.written(corpus, number, corpus.targets[number], np.arange(2))
        assert text == ("".join(corpus.passages.answers[number]) or "(no answer)")
    assert task.written(corpus, 0, np.array([-1, -1]), np.arange(2)) == ""


@pytest.mark.parametrize("key", ["classes", "confusion"])
def test_what_question_answering_cannot_have_is_refused(key: str) -> None:
    settings: dict[str, Any] = {"label_noise": 0.0, "confusion": None, "classes": None}
    given = {"classes": (2, 2), "confusion": "similar"}
    with pytest.raises(ReActError, match=f"leave '{key}' out"):
        QuestionAnswering().check(
            synthetic_questions(40), cast(Any, SimpleNamespace(**settings | {key: given[key]}))
        )
