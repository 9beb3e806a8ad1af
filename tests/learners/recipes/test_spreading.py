"""Predictions that travel along the graph of nearest pool rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from react_rl.data.corpus import Corpus
from react_rl.data.synthetic import synthetic_corpus
from react_rl.learners.recipes.neighbours import Neighbours, PoolGraph
from react_rl.learners.recipes.settings import SmoothingSettings
from react_rl.learners.recipes.spreading import spread

EPISODES, WIDTH, CLASSES, NEAR = 3, 12, 3, 4


@pytest.fixture
def graph() -> Neighbours:
    """Random neighbours, never a row itself."""
    chance = np.random.default_rng(0)
    columns = [
        [chance.choice(np.delete(np.arange(WIDTH), row), NEAR, replace=False) for row in range(WIDTH)]
        for _ in range(EPISODES)
    ]
    similarity = torch.from_numpy(chance.random((EPISODES, WIDTH, NEAR), dtype=np.float32))
    return Neighbours(torch.from_numpy(np.array(columns)), similarity)


@pytest.fixture
def given() -> tuple[Tensor, Tensor, Tensor]:
    """Predictions (E, W, C), labels (E, W, C) and where there are some (E, W): two rows of each class."""
    said = torch.softmax(torch.randn(EPISODES, WIDTH, CLASSES, generator=torch.Generator().manual_seed(1)), 2)
    labels = torch.nn.functional.one_hot(torch.arange(WIDTH) % CLASSES, CLASSES).float()
    known = (torch.arange(WIDTH) < 2 * CLASSES).expand(EPISODES, -1)
    return said, labels.expand(EPISODES, -1, -1), known


def matrix(graph: Neighbours, temperature: float) -> np.ndarray:
    """The graph as weights (E, W, W)."""
    whole = np.zeros((EPISODES, WIDTH, WIDTH))
    for e in range(EPISODES):
        for row in range(WIDTH):
            raw = np.exp(graph.similarity[e, row].numpy() / temperature)
            whole[e, row, graph.columns[e, row].numpy()] = raw / raw.sum()
    return whole


def test_one_step_mixes_a_prediction_with_its_neighbours_and_their_labels(
    graph: Neighbours, given: tuple[Tensor, Tensor, Tensor]
) -> None:
    said, onehot, known = given
    mixed, _ = spread(said, onehot, known, graph, SmoothingSettings(temperature=0.2, share=0.3))
    source = np.where(known[:, :, None], onehot, said)
    expected = 0.7 * said.numpy() + 0.3 * matrix(graph, 0.2) @ source
    np.testing.assert_allclose(mixed.numpy(), expected, atol=1e-6)
    np.testing.assert_allclose(mixed.sum(2).numpy(), 1.0, atol=1e-5)


def test_label_propagation_ends_in_the_harmonic_function(
    graph: Neighbours, given: tuple[Tensor, Tensor, Tensor]
) -> None:
    said, onehot, known = given
    mixed, _ = spread(said, onehot, known, graph, SmoothingSettings(temperature=0.2, share=1.0, steps=1000))
    labelled = known[0].numpy()
    for e, weights in enumerate(matrix(graph, 0.2)):
        among, to_labels = weights[~labelled][:, ~labelled], weights[~labelled][:, labelled]
        harmonic = np.linalg.solve(np.eye(len(among)) - among, to_labels @ onehot[e, labelled].numpy())
        np.testing.assert_allclose(mixed[e, ~labelled].numpy(), harmonic, atol=2e-3)


def test_label_spreading_ends_where_a_further_step_changes_nothing(
    graph: Neighbours, given: tuple[Tensor, Tensor, Tensor]
) -> None:
    said, onehot, known = given
    mixed, _ = spread(said, onehot, known, graph, SmoothingSettings(temperature=0.2, share=0.8, steps=1000))
    ahead = np.where(known[:, :, None], onehot, mixed)
    again = 0.2 * said.numpy() + 0.8 * matrix(graph, 0.2) @ ahead
    np.testing.assert_allclose(mixed.numpy(), again, atol=1e-3)


def test_an_episode_converges_by_itself(graph: Neighbours, given: tuple[Tensor, Tensor, Tensor]) -> None:
    settings = SmoothingSettings(temperature=0.2, share=1.0, steps=1000)
    said, onehot, known = given
    together, _ = spread(said, onehot, known, graph, settings)
    for e in range(EPISODES):
        own = slice(e, e + 1)
        alone = Neighbours(graph.columns[own], graph.similarity[own])
        found, _ = spread(said[own], onehot[own], known[own], alone, settings)
        assert torch.equal(found[0], together[e])


@dataclass
class Embedded:
    """A corpus with embeddings, with or without the table of inner products."""

    corpus: Corpus
    embeddings: Tensor
    gram: Tensor | None = None
    tokens: None = None

    @property
    def device(self) -> torch.device:
        return self.embeddings.device


@pytest.mark.parametrize("table", [True, False])
def test_neighbours_are_the_nearest_other_pool_rows_and_never_a_dev_row(table: bool) -> None:
    generator = torch.Generator().manual_seed(3)
    vectors = torch.nn.functional.normalize(torch.randn(40, 5, generator=generator), dim=1)
    rows = Embedded(synthetic_corpus(n_rows=40), vectors, vectors @ vectors.T if table else None)
    graph = PoolGraph([rows], 1, 16, torch.device("cpu"))
    pool, dev = [1, 4, 7, 8, 20, 21, 22, 30], [2, 5, 6, 9]
    columns = torch.tensor([*pool, -1, -1, *dev, -1, -1])
    labels = torch.tensor([-1] * 10 + [0] * 4 + [-1, -1])
    graph.place(0, 0, columns, labels)
    found = graph.of_columns([0], 3)
    other = graph.of_rows([0], [torch.tensor([35, 36])], 3)
    for row, near in [*zip([*pool, *dev], found.columns[0][[*range(8), *range(10, 14)]], strict=True),
                      *zip([35, 36], other.columns[0], strict=True)]:  # fmt: skip
        distance = {
            place: -float(vectors[row] @ vectors[one]) for place, one in enumerate(pool) if one != row
        }
        assert near.tolist() == sorted(distance, key=distance.__getitem__)[:3]


def test_a_pool_smaller_than_the_neighbours_asked_for_gives_what_it_has() -> None:
    generator = torch.Generator().manual_seed(0)
    vectors = torch.nn.functional.normalize(torch.randn(15, 4, generator=generator), dim=1)
    graph = PoolGraph([Embedded(synthetic_corpus(n_rows=15), vectors)], 1, 4, torch.device("cpu"))
    graph.place(0, 0, torch.tensor([0, 1, 2, 5]), torch.tensor([-1, -1, -1, 0]))
    found = graph.of_columns([0], 5)
    weights = found.weights(0.05)
    assert (weights > 0).sum(2).tolist() == [[2, 2, 2, 3]]
    np.testing.assert_allclose(weights.sum(2).numpy(), 1.0, atol=1e-6)
