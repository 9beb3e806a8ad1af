"""Committees of heads: each member against a head fitted or masked one at a time in float64."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from react_rl.acquisition.committees import (
    Committee,
    bootstrap_committee,
    dropout_committee,
    lasting_committee,
    refit_weighted,
)
from react_rl.acquisition.wide.narrow import NarrowView
from react_rl.errors import ReActError
from react_rl.learners.linear.settings import SoftmaxSettings
from react_rl.seeding import Streams
from react_rl.simulation import EpisodeOptions, LabelingEngine, PoolView, synthetic_encoded

Floats = npt.NDArray[np.float64]
Make = Callable[[PoolView, int], Committee]
SETTINGS = SoftmaxSettings(tolerance=1e-5, max_steps=400)


@pytest.fixture
def engine() -> LabelingEngine:
    """Four episodes of two and five classes with different numbers of labels, some rows unanswered."""
    options = EpisodeOptions(
        pool_size=40, dev_size=20, initial_size=5, budget=30, batch_size=4, abstention=0.3
    )
    corpora = [synthetic_encoded(200, size, seed=size) for size in (2, 5)]
    made = LabelingEngine(corpora, options, 4, learner=SETTINGS)
    made.reset([Streams(k) for k in range(4)], corpora=[0, 1, 0, 1])
    for _ in range(2):
        ids = torch.stack(
            [row[free][:4] for row, free in zip(made.view.ids, made.view.available, strict=True)]
        )
        ids[0] = -1  # the first episode buys nothing, so it has slots without a row
        made.step(ids)
    return made


def labelled(engine: LabelingEngine, e: int) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Embeddings (n, D) and classes (n,) of the answered rows of an episode, in the order of the slots."""
    columns, mask = engine.view.labelled_columns
    live = mask[e] > 0
    vectors = engine.view.embeddings[e][columns[e][live]].double().numpy()
    return vectors, engine.view.labelled_geometry[1][e].argmax(0)[live].numpy()


def fit_slowly(
    vectors: Floats,
    labels: npt.NDArray[np.int64],
    weight: Floats,
    n_classes: int,
    centre: Floats | float = 0.0,
) -> Floats:
    """Weights and intercepts (C, D + 1) that minimise the weighted objective, by a general optimiser."""
    shape = (n_classes, vectors.shape[1] + 1)
    onehot = np.eye(n_classes)[labels]
    scale = np.append(np.ones(vectors.shape[1]), 1 / SETTINGS.bias**2)

    def loss(flat: Floats) -> tuple[float, Floats]:
        parameters = flat.reshape(shape)
        logits = vectors @ parameters[:, :-1].T + parameters[:, -1]
        value = -(weight[:, None] * onehot * log_softmax(logits, 1)).sum()
        value += SETTINGS.l2 / 2 * ((parameters - centre) ** 2 * scale).sum()
        error = weight[:, None] * (softmax(logits, 1) - onehot)
        gradient = np.c_[error.T @ vectors, error.sum(0)] + SETTINGS.l2 * (parameters - centre) * scale
        return float(value), gradient.ravel()

    found = minimize(loss, np.zeros(shape).ravel(), jac=True, method="L-BFGS-B", options={"gtol": 1e-8})
    best: Floats = found.x.reshape(shape)
    return best


def test_dropout_members_are_heads_with_masked_inputs(engine: LabelingEngine) -> None:
    view = engine.view
    before = [copy.deepcopy(view.generator(e)) for e in range(4)]
    got = dropout_committee(view, members=3, rate=0.3).probabilities()
    weights, intercept = view.weights
    for e in range(4):
        n_classes, size = engine.draw_of(e).classes.size, engine.draw_of(e).pool.size
        kept = before[e].random((3, weights.shape[2]), dtype=np.float32) >= 0.3
        assert 0.5 < kept.mean() < 0.9
        for m in range(3):
            inputs = view.embeddings[e, :size].double().numpy() * kept[m] / 0.7
            head, shift = weights[e, :n_classes].double().numpy(), intercept[e, :n_classes].double().numpy()
            expected = softmax(inputs @ head.T + shift, 1)
            np.testing.assert_allclose(got[e, m, :n_classes, :size].T.numpy(), expected, atol=1e-5)
        assert not got[e, :, n_classes:].any()


@pytest.mark.parametrize("prior", [0.0, 0.7])
def test_bootstrap_members_minimise_the_weighted_objective(engine: LabelingEngine, prior: float) -> None:
    view = engine.view
    before = [copy.deepcopy(view.generator(e)) for e in range(4)]
    got = bootstrap_committee(view, members=3, prior=prior).probabilities()
    counts = set()
    for e in range(4):
        vectors, labels = labelled(engine, e)
        counts.add(len(labels))
        drawn = before[e].exponential(size=(3, len(labels)))
        n_classes, size = engine.draw_of(e).classes.size, engine.draw_of(e).pool.size
        centre = np.zeros((3, n_classes, vectors.shape[1] + 1))
        if prior > 0:
            centre = before[e].standard_normal(centre.shape, dtype=np.float32) * prior / SETTINGS.l2**0.5
            centre[..., -1] *= SETTINGS.bias
        for m in range(3):
            weight = drawn[m] / drawn[m].mean()
            best = fit_slowly(vectors, labels, weight, n_classes, centre[m])
            pool = view.embeddings[e, :size].double().numpy()
            expected = softmax(pool @ best[:, :-1].T + best[:, -1], 1)
            np.testing.assert_allclose(got[e, m, :n_classes, :size].T.numpy(), expected, atol=1e-3)
        assert not got[e, :, n_classes:].any()
    assert len(counts) > 1, "the episodes differ in their number of labels"


def test_members_with_even_weights_are_the_learner_itself(engine: LabelingEngine) -> None:
    view = engine.view
    live = view.labelled_geometry[2]
    dual = refit_weighted(view, live[:, None].expand(-1, 2, -1))
    logits = dual @ view.similarity_to_labelled[:, None] + SETTINGS.bias**2 * dual.sum(3, keepdim=True)
    for e in range(4):
        n_classes, size = engine.draw_of(e).classes.size, engine.draw_of(e).pool.size
        for m in range(2):
            np.testing.assert_allclose(
                logits[e, m, :n_classes, :size].numpy(), view.logits[e, :n_classes, :size].numpy(), atol=2e-3
            )


def test_a_row_of_weight_zero_might_as_well_not_be_there(engine: LabelingEngine) -> None:
    view = engine.view
    importance = view.labelled_geometry[2].clone()
    importance[3, 2] = 0.0
    dual = refit_weighted(view, importance[:, None])[3, 0]
    vectors, labels = labelled(engine, 3)
    keep = np.arange(len(labels)) != 2
    best = fit_slowly(vectors[keep], labels[keep], np.ones(keep.sum()), 5)
    logits = dual @ view.similarity_to_labelled[3] + SETTINGS.bias**2 * dual.sum(1, keepdim=True)
    expected = view.embeddings[3].double().numpy() @ best[:, :-1].T + best[:, -1]
    np.testing.assert_allclose(logits.T.numpy(), expected, atol=5e-3)


@pytest.mark.parametrize("make", [dropout_committee, bootstrap_committee])
def test_chosen_columns_have_the_probabilities_that_the_whole_pool_has(
    engine: LabelingEngine, make: Make
) -> None:
    committee = make(engine.view, 4)
    columns = torch.tensor([[3, 0, 9], [1, 1, 39], [5, 6, 7], [39, 2, 0]])
    whole = committee.probabilities()
    assert whole.shape == (4, 4, 5, 40)
    part = committee.probabilities(columns)
    piece = committee.probabilities(slice(7, 11))
    for e in range(4):
        torch.testing.assert_close(part[e], whole[e][:, :, columns[e]])
        torch.testing.assert_close(piece[e], whole[e][:, :, 7:11])


@pytest.mark.parametrize("make", [dropout_committee, bootstrap_committee])
def test_episodes_that_can_buy_nothing_draw_no_numbers(engine: LabelingEngine, make: Make) -> None:
    view = engine.view.only(np.array([True, False, True, False]))
    states = [str(s.strategy.bit_generator.state) for s in engine.draws.streams]
    make(view, 3)
    moved = [
        str(s.strategy.bit_generator.state) != old
        for s, old in zip(engine.draws.streams, states, strict=True)
    ]
    assert moved == [True, False, True, False]


def test_a_committee_needs_a_member_and_a_rate(engine: LabelingEngine) -> None:
    with pytest.raises(ReActError, match="0 members"):
        bootstrap_committee(engine.view, 0)
    with pytest.raises(ReActError, match=r"priors is -0\.5"):
        bootstrap_committee(engine.view, 2, -0.5)
    with pytest.raises(ReActError, match=r"rate 1\.0 must be"):
        dropout_committee(engine.view, 2, 1.0)


def test_members_of_a_lasting_committee_fit_their_weights_around_their_priors(engine: LabelingEngine) -> None:
    view, streams = engine.view, Streams(2)
    found = lasting_committee(view, 3)
    vectors, labels = labelled(engine, 2)
    draw = streams.at(1)
    centre = draw.standard_normal((3, 2, vectors.shape[1] + 1), dtype=np.float32).astype(float)
    columns, mask = view.labelled_columns
    weight = draw.exponential(size=(columns.shape[1], 3)).T[:, mask[2].numpy() > 0]
    weight /= weight.mean(1, keepdims=True)
    centre /= SETTINGS.l2**0.5
    centre[..., -1] *= SETTINGS.bias
    for m in range(3):
        slowly = fit_slowly(vectors, labels, weight[m], 2, centre[m])
        assert found.coefficients[2, m, :2].double().numpy() == pytest.approx(slowly[:, :-1], abs=0.02)


def test_a_lasting_committee_draws_from_no_stream_and_is_the_same_in_part(engine: LabelingEngine) -> None:
    view = engine.view
    before = copy.deepcopy(view.generator(1).bit_generator.state)
    whole, again = lasting_committee(view), lasting_committee(view)
    assert torch.equal(whole.logits(), again.logits())
    assert view.generator(1).bit_generator.state == before
    columns = torch.arange(40)[None]
    part = lasting_committee(NarrowView(view, torch.tensor([3]), columns))
    assert torch.allclose(part.logits(), whole.logits()[3:], rtol=1e-3, atol=1e-3)
    engine.step(view.ids.where(view.available, -1).sort(1, descending=True).values[:, :1])
    later = lasting_committee(engine.view)
    near = torch.nn.functional.cosine_similarity(
        whole.coefficients.flatten(2), later.coefficients.flatten(2), 2
    )
    fresh = bootstrap_committee(engine.view).coefficients.flatten(2)
    assert near.min() > 0.9  # one label more, the same members
    assert torch.nn.functional.cosine_similarity(whole.coefficients.flatten(2), fresh, 2).max() < 0.6
