"""Tagging: what is said of sentences, how they are judged, and how annotators err."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from react_rl.data.synthetic import synthetic_sentences
from react_rl.errors import ReActError
from react_rl.metrics.entities import entity_counts
from react_rl.tasks import Tagging, TokenScores, TokenSignals, task_of
from react_rl.tasks.tagging import EntityErrors, spans

LENGTHS = (3, 1, 4)
N_TAGS = 5


def level(values: Tensor) -> Tensor:
    return values


def scores(seed: int = 0, n_episodes: int = 2) -> TokenScores:
    """Random scores of three sentences, and one token too many."""
    rng = np.random.default_rng(seed)
    total = sum(LENGTHS) + 1
    column = torch.tensor([c for c, n in enumerate(LENGTHS) for _ in range(n)] + [len(LENGTHS)])
    place = torch.tensor([p for n in LENGTHS for p in range(n)] + [0])
    logits = torch.from_numpy(rng.normal(size=(n_episodes, N_TAGS, total)).astype(np.float32))
    return TokenScores(logits, column.expand(n_episodes, -1), place.expand(n_episodes, -1))


def by_sentence(given: TokenScores, e: int) -> list[npt.NDArray[np.float64]]:
    """Tag probabilities of each sentence ``(n, C)``."""
    p = torch.softmax(given.logits[e].double(), 0).numpy().T
    ends = np.cumsum(LENGTHS)
    return [p[end - n : end] for n, end in zip(LENGTHS, ends, strict=True)]


def test_what_is_said_of_sentences_is_what_all_taggings_say() -> None:
    given = scores()
    signals = TokenSignals(given, level, len(LENGTHS))
    for e in range(2):
        for column, p in enumerate(by_sentence(given, e)):
            every = np.array(
                [np.prod([p[t, tag] for t, tag in enumerate(tags)])
                 for tags in itertools.product(range(N_TAGS), repeat=len(p))]
            )  # fmt: skip
            best = np.sort(every)[::-1]
            found = {
                "log_probability": np.log(best[0]),
                "mean_log_probability": np.log(best[0]) / len(p),
                "confidence": best[0] ** (1 / len(p)),
                "sequence_margin": best[0] - best[1],
                "total_entropy": -(every * np.log(every)).sum(),
                "entropy": -(every * np.log(every)).sum() / len(p),
                "largest_entropy": (-(p * np.log(p)).sum(1)).max(),
                "margin": np.mean([np.sort(row)[-1] - np.sort(row)[-2] for row in p]),
                "lengths": len(p),
            }
            for name, value in found.items():
                assert float(getattr(signals, name)[e, column]) == pytest.approx(value, rel=1e-4), name
            five = best[:5] / best[:5].sum()
            entropy = float(signals.n_best_entropy(5)[e, column])
            assert entropy == pytest.approx(-(five * np.log(five)).sum(), rel=1e-4)
            tags = p.argmax(1).tolist()
            assert float(signals.entities[e, column]) == len(spans(tags))


def test_models_are_judged_by_the_entities_of_their_sentences() -> None:
    corpus = synthetic_sentences(60, 2)
    task, rng = Tagging(), np.random.default_rng(0)
    rows = np.arange(20)
    truth = task.targets(corpus, rows, np.arange(5), task.shape([corpus]))
    lengths = (truth >= 0).sum(1)
    column = np.repeat(np.arange(20), lengths)
    place = np.concatenate([np.arange(n) for n in lengths])
    own = truth[column, place]
    guessed = np.where(rng.random(own.size) < 0.7, own, rng.integers(5, size=own.size))
    logits = torch.nn.functional.one_hot(torch.from_numpy(guessed), 5).float().T[None]
    given = TokenScores(logits, torch.from_numpy(column)[None], torch.from_numpy(place)[None])
    found = task.judge(list(task.metrics), given, torch.from_numpy(truth)[None], torch.ones(1, 5) > 0)
    predicted, tags, first = (torch.from_numpy(side)[None] for side in (guessed, own, place == 0))
    right, guesses, entities = (int(n.sum()) for n in entity_counts(predicted, tags, first, 2))
    assert float(found["entity_f1"]) == pytest.approx(2 * right / (guesses + entities))
    assert float(found["entity_precision"]) == pytest.approx(right / guesses)
    assert float(found["entity_recall"]) == pytest.approx(right / entities)
    right, guesses, entities = (int(n.sum()) for n in entity_counts(predicted, tags, first, 2, "strict"))
    assert float(found["entity_f1_strict"]) == pytest.approx(2 * right / (guesses + entities))
    assert float(found["token_accuracy"]) == pytest.approx((own == guessed).mean())


def test_annotators_err_by_whole_entities_at_their_rate() -> None:
    corpus = synthetic_sentences(400, 3)
    task = Tagging()
    rows = np.arange(400)
    truth = task.targets(corpus, rows, np.arange(7), task.shape([corpus]))
    errors = EntityErrors(np.full(400, 0.3), 3)
    answers = errors.answer(rows, truth, np.arange(7), np.random.default_rng(0))
    assert (answers[truth < 0] == -1).all()
    assert ((answers >= 0) == (truth >= 0)).all()
    kept, missed, typed, moved, total = 0, 0, 0, 0, 0
    for own, said in zip(truth, answers, strict=True):
        length = int((own >= 0).sum())
        heard = spans(said[:length].tolist())
        for first, last, kind in spans(own[:length].tolist()):
            total += 1
            over = [one for one in heard if one[0] < last and one[1] > first]
            kept += (first, last, kind) in heard
            typed += any(one[:2] == (first, last) and one[2] != kind for one in over)
            moved += any(one[2] == kind and one[:2] != (first, last) for one in over)
            missed += not over
    assert kept / total == pytest.approx(0.7, abs=0.05)
    assert min(missed, typed, moved) / total > 0.05
    assert (errors.answer(rows, truth, np.arange(7), np.random.default_rng(0)) == answers).all()


def test_what_tagging_cannot_have_is_refused() -> None:
    corpus = synthetic_sentences(60, 2)
    settings: dict[str, Any] = {"label_noise": 0.0, "confusion": None, "classes": None}
    with pytest.raises(ReActError, match="leave 'classes' out"):
        Tagging().check(corpus, cast(Any, SimpleNamespace(**settings | {"classes": (2, 3)})))
    with pytest.raises(ReActError, match="leave 'confusion' out"):
        Tagging().check(
            corpus, cast(Any, SimpleNamespace(**settings | {"confusion": {"O": {"B-type0": 0.1}}}))
        )


def test_corpora_of_two_tasks_cannot_share_an_engine() -> None:
    from react_rl.data import load_corpus

    with pytest.raises(ReActError, match="are of tagging and classification"):
        task_of([synthetic_sentences(60, 2), load_corpus("synthetic")])
