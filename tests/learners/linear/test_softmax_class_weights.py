"""Balanced classes in the linear head, its committees and its leave-one-out scores."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.utils.class_weight import compute_sample_weight

from react_rl.acquisition.committees import bootstrap_committee, dropout_committee, refit_weighted
from react_rl.learners import SoftmaxRegression, SoftmaxSettings
from react_rl.learners.linear.calibration import leave_one_out_logits
from react_rl.learners.linear.weighting import balanced_weights, row_weights
from react_rl.seeding import Streams
from react_rl.simulation import EpisodeOptions, LabelingEngine, synthetic_encoded
from react_rl.simulation.ledger import Ledger

Ints = npt.NDArray[np.int64]
BALANCED = SoftmaxSettings(class_weights="balanced", tolerance=1e-6, max_steps=2000)
WIDTH, DIMENSION = 60, 8


def skewed(n_classes: int, seed: int = 0) -> tuple[torch.Tensor, Ints]:
    """Unit vectors (W, D) and classes (W,), each class with about half the rows of the one before."""
    chance = np.random.default_rng(seed)
    share = 0.5 ** np.arange(n_classes)
    classes = np.r_[np.arange(n_classes), chance.choice(n_classes, WIDTH - n_classes, p=share / share.sum())]
    vectors = chance.standard_normal((n_classes, DIMENSION))[classes]
    vectors += 1.2 * chance.standard_normal((WIDTH, DIMENSION))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return torch.tensor(vectors, dtype=torch.float32), classes


def started(n_classes: int, settings: SoftmaxSettings, episodes: int = 1) -> SoftmaxRegression:
    model = SoftmaxRegression(Ledger(episodes, n_classes, WIDTH, 4), settings)
    model.start(torch.arange(episodes), torch.full((episodes,), n_classes))
    return model


def teach(model: SoftmaxRegression, rows: torch.Tensor, labels: Ints, columns: Ints) -> None:
    """Buy columns (b,) in every episode; -1 among the labels (b,) is no answer."""
    episodes = model.logits.shape[0]
    where = torch.from_numpy(columns)
    ledger = model.labelled
    assert isinstance(ledger, Ledger)
    model.update(
        ledger.append(
            torch.arange(episodes),
            where.expand(episodes, -1),
            torch.from_numpy(labels).expand(episodes, -1),
            (rows[where] @ rows.T).expand(episodes, -1, -1),
        )
    )


@pytest.mark.parametrize("n_classes", [2, 3, 6])
@pytest.mark.parametrize(("l2", "bias"), [(0.1, 0.1), (0.02, 1.0)])
def test_it_gives_the_probabilities_of_scikit_learn_batch_after_batch(
    n_classes: int, l2: float, bias: float
) -> None:
    rows, classes = skewed(n_classes)
    model = started(n_classes, replace(BALANCED, l2=l2, bias=bias))
    inputs = np.c_[rows.numpy(), np.full(WIDTH, bias)]
    # With two classes scikit-learn fits one weight vector u = w1 - w0, whose penalty is half as large.
    strength = (2.0 if n_classes == 2 else 1.0) / l2
    head = LogisticRegression(
        C=strength, fit_intercept=False, tol=1e-10, max_iter=10_000, class_weight="balanced"
    )
    for start, end in ((0, 12), (12, 17), (17, 30)):
        teach(model, rows, classes[start:end], np.arange(start, end))
        head.fit(inputs[:end], classes[:end])
        found = torch.softmax(model.logits[0].double(), 0).T.numpy()
        np.testing.assert_allclose(found, head.predict_proba(inputs), atol=3e-4)
    plain = started(n_classes, replace(BALANCED, l2=l2, bias=bias, class_weights="none"))
    teach(plain, rows, classes[:30], np.arange(30))
    assert (plain.logits - model.logits).abs().max() > 0.05, "the weights matter here"


def test_row_weights_are_those_of_scikit_learn_over_the_labelled_rows() -> None:
    labels = np.array([0, 0, 0, 2, 2, -1, 0])
    onehot = (torch.from_numpy(labels)[None] == torch.arange(4)[:, None]).float()[None]
    live = torch.from_numpy(labels >= 0).float()[None]
    weights = balanced_weights(onehot, live)[0].numpy()
    np.testing.assert_allclose(weights[labels >= 0], compute_sample_weight("balanced", labels[labels >= 0]))
    assert weights[5] == 0.0
    assert not balanced_weights(torch.zeros(1, 4, 3), torch.zeros(1, 3)).any()
    assert row_weights(SoftmaxSettings(), onehot, live) is live


@pytest.mark.parametrize("seed", range(3))
def test_no_step_increases_the_loss(seed: int) -> None:
    rows, classes = skewed(4, seed)
    weights = compute_sample_weight("balanced", classes)
    losses = []
    # A refit of k settings takes at most 3 k steps.
    for steps in range(1, 12):
        settings = SoftmaxSettings(l2=0.01, class_weights="balanced", tolerance=0.0, max_steps=steps)
        model = started(4, settings)
        teach(model, rows, classes, np.arange(WIDTH))
        dual = model._dual[0, :, :WIDTH].double()
        kernel = (rows @ rows.T).double() + settings.bias**2
        told = torch.log_softmax(dual @ kernel, 0)[torch.from_numpy(classes), torch.arange(WIDTH)]
        penalty = settings.l2 / 2 * float((dual @ kernel * dual).sum())
        losses.append(penalty - float((told * torch.from_numpy(weights)).sum()))
    assert np.diff(losses).max() < 1e-4
    assert losses[0] > losses[-1] + 1e-3


def test_rows_without_a_label_count_for_nothing() -> None:
    rows, classes = skewed(3)
    some, fewer = started(3, BALANCED), started(3, BALANCED)
    labels = classes[:20].copy()
    labels[[4, 9, 15]] = -1
    teach(some, rows, labels, np.arange(20))
    heard = np.flatnonzero(labels >= 0)
    teach(fewer, rows, classes[heard], heard)
    torch.testing.assert_close(some.logits, fewer.logits, atol=1e-4, rtol=1e-4)
    before = some.logits.clone()
    teach(some, rows, np.array([-1, -1]), np.array([30, 31]))
    torch.testing.assert_close(some.logits, before, atol=1e-6, rtol=1e-6)


def test_without_class_weights_nothing_about_weights_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    def touched(*_: object) -> None:
        raise AssertionError("weights were computed")

    for name in ("balanced_weights", "descend"):
        monkeypatch.setattr(f"react_rl.learners.linear.softmax.{name}", touched)
    rows, classes = skewed(3)
    model = started(3, SoftmaxSettings())
    teach(model, rows, classes[:10], np.arange(10))
    assert model.steps > 0
    with pytest.raises(AssertionError, match="weights were computed"):
        teach(started(3, BALANCED), rows, classes[:10], np.arange(10))


def one_round(settings: SoftmaxSettings) -> LabelingEngine:
    """Episodes of two and five classes with different numbers of labels, some rows unanswered."""
    options = EpisodeOptions(
        pool_size=40, dev_size=20, initial_size=9, budget=30, batch_size=4, abstention=0.3
    )
    corpora = [synthetic_encoded(200, size, seed=size) for size in (2, 5)]
    made = LabelingEngine(corpora, options, 4, learner=settings)
    made.reset([Streams(k) for k in range(4)], corpora=[0, 1, 0, 1])
    ids = torch.stack([row[free][:4] for row, free in zip(made.view.ids, made.view.available, strict=True)])
    ids[0] = -1
    made.step(ids)
    return made


@pytest.fixture
def engine() -> LabelingEngine:
    return one_round(BALANCED)


def test_a_committee_with_even_weights_is_the_balanced_learner_itself(engine: LabelingEngine) -> None:
    view = engine.view
    similarity, _, live = view.labelled_geometry
    dual = refit_weighted(view, live[:, None].expand(-1, 2, -1))
    fitted = dual @ (similarity + BALANCED.bias**2)[:, None]
    for e in range(4):
        n_classes, slots = engine.draw_of(e).classes.size, live[e] > 0
        for member in range(2):
            found = torch.softmax(fitted[e, member, :n_classes][:, slots], 0)
            own = torch.softmax(view.fitted_logits[e, :n_classes][:, slots], 0)
            torch.testing.assert_close(found, own, atol=1e-4, rtol=1e-3)
    close = bootstrap_committee(view, members=200, prior=0.0).probabilities().mean(1)
    plain = one_round(replace(BALANCED, class_weights="none")).view
    to_own = (close - view.probabilities).abs().sum(1)[view.available].mean()
    to_plain = (close - plain.probabilities).abs().sum(1)[view.available].mean()
    assert to_own < 0.7 * to_plain
    masked = dropout_committee(view, members=400, rate=0.05).probabilities().mean(1)
    torch.testing.assert_close(masked, view.probabilities, atol=0.03, rtol=0.3)


def test_leaving_one_out_is_what_refitting_without_the_row_gives(engine: LabelingEngine) -> None:
    view = engine.view
    similarity, _, live = view.labelled_geometry
    n = live.shape[1]
    # The other rows keep their weights.
    dual = refit_weighted(view, live[:, None] * (1.0 - torch.eye(n)))  # (E, n, C, n)
    scores = dual @ (similarity + BALANCED.bias**2)[:, None]  # (E, n, C, n)
    refitted = scores.diagonal(dim1=1, dim2=3)
    found = leave_one_out_logits(view)
    for e in range(4):
        n_classes, slots = engine.draw_of(e).classes.size, live[e] > 0
        ours = torch.softmax(found[e, :n_classes][:, slots], 0)
        exact = torch.softmax(refitted[e, :n_classes][:, slots], 0)
        fitted = torch.softmax(view.fitted_logits[e, :n_classes][:, slots], 0)
        assert (ours - exact).abs().mean() < 0.35 * (fitted - exact).abs().mean()
