"""What strategies and engine do on a CUDA device, or a simulated one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from react_rl.acquisition import FEATURES, make_strategy, suited
from react_rl.seeding import Streams
from react_rl.simulation import EpisodeOptions, LabelingEngine, PoolView, synthetic_encoded
from tests.simulated_device import cuda_device

pytestmark = pytest.mark.gpu

OPTIONS = EpisodeOptions(pool_size=60, dev_size=30, initial_size=6, budget=40, batch_size=5)


def started(device: str) -> LabelingEngine:
    corpora = [synthetic_encoded(300, size, seed=size, device=device) for size in (2, 5, 18)]
    engine = LabelingEngine(corpora, OPTIONS, 3)
    engine.reset([Streams(k) for k in range(3)], corpora=[0, 1, 2])
    for _ in range(2):
        engine.step(make_strategy("random").select(engine.view, 5))
    return engine


@pytest.fixture(scope="module")
def view() -> PoolView:
    with cuda_device() as device:
        return started(device).view


@pytest.mark.parametrize("name", [*sorted(suited()), *(f"feature:{name}" for name in FEATURES)])
def test_every_strategy_chooses_available_distinct_rows_on_a_gpu(
    name: str, view: PoolView, cuda: str
) -> None:
    with torch.inference_mode():
        ids = make_strategy(name).select(view, 5)
        scores = make_strategy(name).score(view)
    assert ids.device.type == "cuda"
    assert torch.isfinite(scores[view.available]).all()
    for e in range(3):
        taken = ids[e].tolist()
        assert len(set(taken)) == 5
        assert set(taken) <= set(view.ids[e][view.available[e]].tolist())


def test_a_gpu_plays_the_rounds_that_the_cpu_plays(cuda: str) -> None:
    engines = [started(device) for device in ("cpu", cuda)]
    for _ in range(4):
        ids = [make_strategy("margin").select(engine.view, 5) for engine in engines]
        assert torch.equal(ids[0], ids[1].cpu())
        for engine, own in zip(engines, ids, strict=True):
            engine.step(own)
    torch.testing.assert_close(engines[0].view.logits, engines[1].view.logits.cpu(), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(engines[0].current["accuracy"], engines[1].current["accuracy"])


WIDE = ("wide.chunks", "wide.narrow", "batching.selection", "clustering.centroids", "clustering.k_means")


@pytest.mark.parametrize(
    "name",
    ["mixture", "maxherding", "k-means", "typiclust", "probcover", "variance-reduction", "dal", "qbc-kl"],
)
def test_a_gpu_takes_the_way_of_wide_pools(name: str, cuda: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in WIDE:
        monkeypatch.setattr(f"react_rl.acquisition.{module}.WIDE", 40)
    monkeypatch.setattr("react_rl.acquisition.clustering.k_means._WIDE", 40)
    monkeypatch.setattr("react_rl.acquisition.batching.heats.WHOLE", 40)
    monkeypatch.setattr("react_rl.acquisition.strategies.discriminative._WIDE", 40)
    ids = make_strategy(name).select(started(cuda).view, 5)
    assert ids.is_cuda
    assert (ids >= 0).all()
