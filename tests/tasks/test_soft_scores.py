"""Soft scores against loops over tokens, questions and rows."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
import pytest
import torch

from react_rl.data.passages import Passages
from react_rl.simulation import synthetic_asked
from react_rl.tasks.classification import Classification
from react_rl.tasks.questions import QuestionAnswering, SpanScores
from react_rl.tasks.tagging import Tagging, TokenScores


def softmax(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    raised: npt.NDArray[np.float64] = np.exp(values - values.max())
    found: npt.NDArray[np.float64] = raised / raised.sum()
    return found


def test_soft_accuracy_is_the_mean_probability_of_the_right_class() -> None:
    logits = torch.randn(4, 3, 5, generator=torch.Generator().manual_seed(0)) / 5
    truth = torch.tensor([[0, 2, 1, -1, 1], [2, 2, 0, 1, -1]])
    found = Classification().soft_score(logits, truth)
    for model, episode in enumerate((0, 0, 1, 1)):
        rows = [n for n in range(5) if truth[episode, n] >= 0]
        right = [softmax(10 * logits[model, :, n].double().numpy())[truth[episode, n]] for n in rows]
        assert float(found[model]) == pytest.approx(np.mean(right), abs=1e-6)


def test_entity_tokens_and_others_have_half_of_a_tagger_score_each() -> None:
    # Two episodes with two models each; sentences of 3, 1 and 2 tokens, the last one of no row in episode 1.
    truth = torch.full((2, 3, 3), -1)
    truth[0, 0], truth[0, 1, :1], truth[0, 2, :2] = (
        torch.tensor([1, 2, 0]),
        torch.tensor([0]),
        torch.tensor([0, 3]),
    )
    truth[1, 0], truth[1, 1, :1] = torch.tensor([0, 0, 3]), torch.tensor([0])
    column = torch.tensor([[0, 0, 0, 1, 2, 2], [0, 0, 0, 1, 3, 3]]).repeat_interleave(2, 0)
    place = torch.tensor([[0, 1, 2, 0, 0, 1], [0, 1, 2, 0, 0, 0]]).repeat_interleave(2, 0)
    logits = torch.randn(4, 5, 6, generator=torch.Generator().manual_seed(1))
    found = Tagging().soft_score(TokenScores(logits, column, place), truth)
    for model, episode in enumerate((0, 0, 1, 1)):
        inside: list[float] = []
        outside: list[float] = []
        for token in range(6):
            sentence = int(column[model, token])
            if sentence == 3:
                continue
            tag = int(truth[episode, sentence, place[model, token]])
            chance = float(softmax(3 * logits[model, :, token].double().numpy())[tag])
            (inside if tag > 0 else outside).append(chance)
        expected = (np.mean(inside) + np.mean(outside)) / 2
        assert float(found[model]) == pytest.approx(expected, abs=1e-6)


def test_saying_that_nothing_is_an_entity_is_worth_half_at_most() -> None:
    truth = torch.zeros(1, 10, 4, dtype=torch.int64)
    truth[0, 0, 0] = 1
    column, place = torch.arange(10).repeat_interleave(4)[None], torch.arange(4).repeat(10)[None]
    logits = torch.full((1, 3, 40), -10.0)
    logits[:, 0] = 10.0
    assert float(Tagging().soft_score(TokenScores(logits, column, place), truth)) == pytest.approx(0.5)


def test_a_span_is_as_probable_as_its_two_borders() -> None:
    passages = synthetic_asked(100, 0.3).corpus.passages
    assert isinstance(passages, Passages)
    start, end = (torch.randn(4, 3, 7, generator=torch.Generator().manual_seed(seed)) for seed in (2, 3))
    truth = torch.tensor([[[1, 3], [0, 0], [-1, -1]], [[6, 6], [2, 5], [4, 4]]])
    scores = SpanScores(start, end, np.zeros((4, 3), np.int64), [passages] * 4)
    found = QuestionAnswering().soft_score(scores, truth)
    for model, episode in enumerate((0, 0, 1, 1)):
        right = []
        for question in range(3):
            first, last = truth[episode, question].tolist()
            if first < 0:
                continue
            table = np.array(
                [
                    [float(start[model, question, a]) + float(end[model, question, b]) for b in range(7)]
                    for a in range(7)
                ]
            )
            right.append(softmax(table.ravel()).reshape(7, 7)[first, last])
        assert float(found[model]) == pytest.approx(np.mean(right), abs=1e-6)


def test_a_surer_model_that_is_right_is_better_and_one_that_is_wrong_is_worse() -> None:
    truth, column, place = torch.tensor([[[1, 0]]]), torch.zeros(1, 2, dtype=torch.int64), torch.arange(2)
    values = []
    for scale in (-2.0, -1.0, 0.0, 1.0, 2.0):
        logits = torch.zeros(1, 3, 2)
        logits[0, 1, 0] = logits[0, 0, 1] = scale
        values.append(float(Tagging().soft_score(TokenScores(logits, column, place[None]), truth)))
    assert all(low < high for low, high in itertools.pairwise(values))
