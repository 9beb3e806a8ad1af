"""E episodes trained and scored side by side give what E separate runs give."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

METHODS: dict[str, dict[str, Any]] = {
    "full": {"method": "full"},
    "top layers": {"method": "full", "layers": 2},
    "lora": {"method": "lora"},
    "lora everywhere": {"method": "lora", "targets": "all"},
    "lora in the top layer": {"method": "lora", "layers": 1},
    "bitfit": {"method": "bitfit"},
    "head": {"method": "head"},
    "dense head": {"method": "lora", "head": "dense", "pooling": "cls"},
}
every_method = pytest.mark.parametrize("method", list(METHODS))

SEEDS, CORPORA = [11, 12, 13], [0, 1, 0]
FIRST = {0: [[0, 1, 2, 3, 4, 5, 6]], 1: [[5, 9, 1, 2, 20, 3, 7]], 2: [[8, 3, 6, 23]]}
SECOND = {0: [[10, 11, 12]], 1: [[0, 4, 13]], 2: [[0, 1, 2]]}
AGAIN = [[1, 2, 4, 8, 16]]


@pytest.fixture
def corpora(tiny_corpus: Callable[..., Any]) -> list[Any]:
    return [tiny_corpus(3, 0), tiny_corpus(5, 1)]


def separate(
    room: Any, settings: Any, corpora: list[Any], episode: int, nudge: int | None = None
) -> list[torch.Tensor]:
    """Scores of one episode after each of its rounds, alone on its corpus.

    With a ``nudge`` every weight begins off by what a product of fp32 numbers is off, as that seed draws it.
    """
    alone = room(settings, [corpora[CORPORA[episode]]], [0], [SEEDS[episode]])
    if nudge is not None:
        shake(alone, nudge)
    found = []
    for columns in (FIRST[episode], SECOND[episode]):
        alone.teach([0], columns)
        found.append(alone.logits()[0])
    if episode == 1:
        alone = room(settings, [corpora[0]], [0], [99])
        if nudge is not None:
            shake(alone, nudge)
        alone.teach([0], AGAIN)
        found.append(alone.logits()[0])
    return found


def shake(room: Any, seed: int) -> None:
    """Change every trained weight by about one part in 2^22: sums of 16 to 64 rounded fp32 products differ so
    where they are taken in another order, as they are in batches of another shape."""
    generator = torch.Generator().manual_seed(seed)
    for array in room.learner._weights.values():
        array *= 1 + 2.0**-22 * torch.randn(array.shape, generator=generator)


def allowed(nudged: list[list[torch.Tensor]], expected: list[torch.Tensor]) -> list[float]:
    """How far scores may be apart after each round: four times what rounding alone was seen to do.

    Adam divides gradients by their size, so that the rounding of a gradient near zero moves a weight by a
    whole step: how much of that reaches the scores differs between methods and processors, and is measured.
    """
    spread = [
        max(float((run[place] - scores).abs().max()) for run in nudged)
        for place, scores in enumerate(expected)
    ]
    assert max(spread) < 0.01  # far below what a round changes
    return [1e-4 + 4 * one for one in spread]


def assert_close(found: torch.Tensor, expected: torch.Tensor, tolerance: float = 1e-4) -> None:
    """Scores (C, W) of the classes that take part are equal, the others stay out."""
    n = expected.shape[0]
    torch.testing.assert_close(found[:n], expected, rtol=1e-4, atol=tolerance)
    assert (found[n:] < -1e29).all()


@every_method
def test_episodes_side_by_side_learn_what_they_learn_alone(
    method: str, corpora: list[Any], classroom: Any, finetuning: Callable[..., Any]
) -> None:
    settings = finetuning(**METHODS[method], dropout=0.2, restart="warm", predict_tokens=160)
    together = classroom(settings, corpora, CORPORA, SEEDS)
    together.teach([0, 1], [*FIRST[0], *FIRST[1]])
    together.teach([2], FIRST[2])
    first = together.logits()
    together.teach([0, 1, 2], [*SECOND[0], *SECOND[1], *SECOND[2]])
    second = together.logits()
    together.begin(1, 0, 99)
    together.teach([1], AGAIN)
    third = together.logits()
    for episode in range(3):
        expected = separate(classroom, settings, corpora, episode)
        nudged = [separate(classroom, settings, corpora, episode, nudge) for nudge in range(2)]
        tolerance = allowed(nudged, expected)
        assert_close(first[episode], expected[0], tolerance[0])
        assert_close(second[episode], expected[1], tolerance[1])
        if episode == 1:
            assert_close(third[1], expected[2], tolerance[2])
        else:
            assert torch.equal(third[episode], second[episode])
    changes = (second - first)[:, :3].abs().amax((1, 2))
    assert changes.min() > 0.05


def test_how_many_episodes_run_at_once_changes_nothing(
    corpora: list[Any], classroom: Any, finetuning: Callable[..., Any]
) -> None:
    found = []
    for at_once in (1, 2, 3):
        room = classroom(finetuning(episodes_at_once=at_once), corpora, CORPORA, SEEDS)
        room.teach([0, 1, 2], [*SECOND[0], *SECOND[1], *SECOND[2]])
        found.append(room.logits())
    for other in found[1:]:
        torch.testing.assert_close(other, found[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("method", ["lora", "full"])
def test_monte_carlo_samples_do_not_depend_on_company(
    method: str, corpora: list[Any], classroom: Any, finetuning: Callable[..., Any]
) -> None:
    settings = finetuning(method=method, dropout=0.3, predict_tokens=120)
    together = classroom(settings, corpora, CORPORA, SEEDS)
    together.teach([0, 1, 2], [*SECOND[0], *SECOND[1], *SECOND[2]])
    samples = together.learner.dropout_logits(slice(0, 24), 2)
    for episode in range(3):
        alone = classroom(settings, [corpora[CORPORA[episode]]], [0], [SEEDS[episode]])
        alone.teach([0], SECOND[episode])
        expected = alone.learner.dropout_logits(slice(0, 24), 2)[0]
        torch.testing.assert_close(samples[episode, :, : expected.shape[1]], expected, rtol=1e-4, atol=1e-4)
    assert (samples[:, 0] - samples[:, 1])[:, :3].abs().amax((1, 2)).min() > 0.05


def test_classes_of_a_neighbour_never_get_probability(
    corpora: list[Any], classroom: Any, finetuning: Callable[..., Any]
) -> None:
    room = classroom(finetuning(label_smoothing=0.2, class_weights="balanced"), corpora, CORPORA, SEEDS)
    room.teach([0, 1, 2], [*SECOND[0], *SECOND[1], *SECOND[2]])
    chances = torch.softmax(room.logits(), 1)
    assert (chances[[0, 2], 3:] == 0).all()
    assert (chances[1] > 0).all()
