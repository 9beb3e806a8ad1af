"""Contrastive tuning draws vectors of one class together, and its head is a regression on what comes out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from react_rl.data.corpus import Corpus
from react_rl.learners.finetune.contrastive import ContrastiveTune, PairHead
from react_rl.learners.finetune.settings import FineTuneSettings
from react_rl.simulation.ledger import Ledger

Tuner = Callable[..., ContrastiveTune]
COSINE = {"loss": "cosine"}


@pytest.fixture
def tuned(finetuning: Callable[..., FineTuneSettings], tiny_corpus: Callable[..., Corpus]) -> Tuner:
    """Episodes that have bought the first columns, with settings that may be changed."""

    def of(seeds: tuple[int, ...] = (1, 2), labels: int = 8, **changes: Any) -> ContrastiveTune:
        corpus = tiny_corpus()
        given: dict[str, Any] = {
            "method": "full",
            "contrastive": COSINE,
            "batch_size": 8,
            "epochs": 6,
        } | changes
        ledger = Ledger(len(seeds), 3, 12, 4)
        learner = ContrastiveTune([corpus], ledger, finetuning(**given))
        for episode, seed in enumerate(seeds):
            rows = np.random.default_rng(seed).choice(corpus.ids("train"), 12, replace=False)
            learner.place(episode, 0, torch.from_numpy(rows), torch.full((12,), -1))
        everyone = torch.arange(len(seeds))
        learner.start(everyone, torch.full((len(seeds),), 3), list(seeds))
        columns = torch.arange(labels).repeat(len(seeds), 1)
        bought = torch.from_numpy(learner._columns.rows[:, :labels])
        classes = torch.from_numpy(corpus.targets.copy())[bought]
        learner.update(ledger.append(everyone, columns, classes))
        return learner

    return of


def test_a_row_is_taught_by_its_cosines_to_equal_and_to_different_rows() -> None:
    vectors = torch.nn.functional.normalize(
        torch.randn(1, 4, 5, generator=torch.Generator().manual_seed(0)), dim=2
    )
    classes = torch.tensor([[0, 0, 1, 0]])
    found = PairHead("texts").loss(vectors[:, :, None], classes[:, :, None], torch.ones(1, 2).bool(), 0.0)[
        0, :, 0
    ]
    cosine = (vectors[0] @ vectors[0].T).tolist()
    first = ((cosine[0][1] - 1) ** 2 + (cosine[0][3] - 1) ** 2) / 2 + cosine[0][2] ** 2
    alone = (cosine[2][0] ** 2 + cosine[2][1] ** 2 + cosine[2][3] ** 2) / 3
    assert float(found[0]) == pytest.approx(first / 2, rel=1e-5)
    assert float(found[2]) == pytest.approx(alone / 2, rel=1e-5)


def _spread(learner: ContrastiveTune, labels: int = 8) -> float:
    """Mean cosine of rows of one class, less that of rows of two."""
    vectors = learner.features_of(slice(0, labels)).numpy()[0]
    classes = learner.labelled.onehot[0, :, :labels].argmax(0).numpy()
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    cosine, same = vectors @ vectors.T, classes[:, None] == classes[None, :]
    return float(cosine[same & ~np.eye(labels, dtype=bool)].mean() - cosine[~same].mean())


@pytest.mark.parametrize("method", ["full", "lora", "bitfit"])
def test_training_draws_classes_apart_with_every_method(tuned: Tuner, method: str) -> None:
    before = _spread(tuned(method=method, learning_rate=1e-9, epochs=1))
    assert _spread(tuned(method=method, learning_rate=3e-2, epochs=20)) > before + 0.1


def test_the_head_is_the_regression_of_scikit_learn_on_the_vectors(tuned: Tuner) -> None:
    learner = tuned(seeds=(3,), labels=9)
    vectors = learner.features_of(slice(0, 12)).numpy()[0]
    classes = learner.labelled.onehot[0, :, :9].argmax(0).numpy()
    peer = LogisticRegression(C=1.0, tol=1e-8, max_iter=5000).fit(vectors[:9], classes)
    own = torch.softmax(learner.logits_of(slice(0, 12))[0, :, 9:], 0).T.numpy()
    met = peer.classes_
    assert np.allclose(
        own[:, met] / own[:, met].sum(1, keepdims=True), peer.predict_proba(vectors[9:]), atol=0.02
    )


def test_an_episode_learns_the_same_alone_and_beside_others(tuned: Tuner) -> None:
    together, alone = tuned(seeds=(1, 2)), tuned(seeds=(2,))
    assert torch.allclose(together.logits_of(slice(0, 12))[1], alone.logits_of(slice(0, 12))[0], atol=1e-4)


@pytest.mark.parametrize(
    "changes",
    [
        {"r_drop": 1.0},
        {"patience": 2},
        {"accumulate": 2},
        {"method": "head"},
        {"head": "dense"},
        {"mixup": {"alpha": 1.0}},
    ],
    ids=["r_drop", "patience", "accumulate", "method head", "dense", "mixup"],
)
def test_what_does_not_go_with_pairs_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="contrastive"):
        FineTuneSettings.model_validate({"contrastive": COSINE, **changes})


def test_results_without_pairs_are_filed_as_before() -> None:
    assert not {"contrastive", "prompt"} & FineTuneSettings().model_dump().keys()
