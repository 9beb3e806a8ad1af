"""Small rounds run on one thread, whatever the process is set to, and the setting is given back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from react_rl.acquisition import make_strategy
from react_rl.metrics import CLASS_METRICS
from react_rl.seeding import Streams
from react_rl.simulation import EpisodeOptions, LabelingEngine, synthetic_encoded
from react_rl.simulation.threads import FEW_COLUMNS, threads_for


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_few_columns_take_one_thread_and_many_take_all() -> None:
    with threads_for(FEW_COLUMNS - 1):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2
    with threads_for(FEW_COLUMNS):
        assert torch.get_num_threads() == 2
    with pytest.raises(ValueError, match="stop"), threads_for(1):
        raise ValueError("stop")
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_threads")
def test_a_round_of_one_episode_is_measured_on_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def counted(
        logits: torch.Tensor, labels: torch.Tensor, class_mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        seen.append(torch.get_num_threads())
        return CLASS_METRICS["log_loss"].function(logits, labels, class_mask)

    metrics = {**CLASS_METRICS, "accuracy": CLASS_METRICS["accuracy"]._replace(function=counted)}
    monkeypatch.setattr("react_rl.tasks.classification.CLASS_METRICS", metrics)
    options = EpisodeOptions(pool_size=60, dev_size=30, initial_size=5, budget=10, batch_size=5)
    engine = LabelingEngine([synthetic_encoded(200)], options)
    engine.reset([Streams(0)])
    engine.step(make_strategy("margin").select(engine.view, 5))
    assert seen == [1, 1]
    assert torch.get_num_threads() == 2
