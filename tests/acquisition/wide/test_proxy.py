"""Selection via a proxy: what a softmax regression says of the rows, whatever the learner is."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor

from react_rl.acquisition import make_strategy
from react_rl.acquisition.origin import is_packaged
from react_rl.acquisition.registry import entry_of, is_strategy
from react_rl.acquisition.wide.narrow import NarrowView
from react_rl.acquisition.wide.proxy import regression
from react_rl.errors import ReActError
from react_rl.learners.linear.settings import SoftmaxSettings
from react_rl.learners.mlp.training import MlpSettings
from react_rl.learners.registry import LearnerSettings, check_needs
from react_rl.own_code import require_imported
from react_rl.seeding import Streams
from react_rl.simulation import EpisodeOptions, LabelingEngine, synthetic_encoded
from react_rl.simulation.view import PoolView

OPTIONS = EpisodeOptions(
    pool_size=60, dev_size=20, initial="random", initial_size=6, budget=40, batch_size=4, abstention=0.3
)
EXACT = SoftmaxSettings(tolerance=1e-6, max_steps=2000)


def bought(learner: LearnerSettings, rounds: int = 3) -> LabelingEngine:
    """Episodes that have bought the same random rows, some without an answer, whatever the learner."""
    engine = LabelingEngine([synthetic_encoded(300, 4)], OPTIONS, 3, learner=learner)
    engine.reset([Streams(seed) for seed in range(3)])
    for number in range(rounds):
        ids = make_strategy("random").select(engine.view, 4)
        ids[number % 3, 2:] = -1  # not all episodes have as many labels
        engine.step(ids)
    return engine


def seen(view: PoolView) -> PoolView:
    return view.through(regression)


def test_the_regression_is_the_one_that_learns_round_by_round() -> None:
    exact = bought(EXACT).view
    for engine in (bought(EXACT), bought(MlpSettings(steps=20))):
        found = engine.view.through(partial(regression, settings=EXACT))
        torch.testing.assert_close(found.probabilities, exact.probabilities, atol=1e-3, rtol=0)
    assert (seen(exact).probabilities - exact.probabilities).abs().max() < 0.05


def test_a_strategy_picks_by_the_regression_and_not_by_the_learner() -> None:
    engine = bought(MlpSettings(steps=20))
    proxied = seen(engine.view)
    for name in ("margin", "mixture", "uncertainty-herding", "variance-reduction", "bald-dropout"):
        base, own = make_strategy(name), make_strategy(f"proxy:{name}")
        if "dropout" not in name:
            assert torch.equal(own.select(engine.view, 4), base.select(proxied, 4)), name
        assert (own.select(engine.view, 4) >= 0).all()
    by_learner = make_strategy("margin").select(engine.view, 4)
    assert not torch.equal(by_learner, make_strategy("proxy:margin").select(engine.view, 4))


def test_all_else_in_the_view_stays_what_it_is() -> None:
    view = bought(MlpSettings(steps=20)).view
    _ = view.entropy, view.nearest_labelled, view.class_counts
    other = seen(view)
    assert other.linear
    assert not view.linear
    for name in ("available", "labelled", "nearest_labelled", "class_counts", "density"):
        assert torch.equal(getattr(other, name), getattr(view, name)), name
    assert not torch.equal(other.entropy, view.entropy)


def test_it_is_taught_once_in_a_round_and_serves_picks_and_parts() -> None:
    engine = bought(MlpSettings(steps=20))
    asked: list[int] = []

    def taught(labelled: object, n_classes: Tensor) -> object:
        asked.append(1)
        return regression(labelled, n_classes)  # type: ignore[arg-type]

    view = engine.view
    first = view.through(taught)  # type: ignore[arg-type]
    later = view.after(torch.zeros(3, 1, dtype=torch.int64)).through(taught)  # type: ignore[arg-type]
    columns = torch.arange(60).expand(2, -1)
    part = NarrowView(view, torch.tensor([0, 2]), columns).through(taught)  # type: ignore[arg-type]
    assert len(asked) == 1
    assert torch.equal(later.start.entropy, first.entropy)
    assert torch.equal(part.entropy, first.entropy[[0, 2]])
    engine.step(torch.full((3, 4), -1))
    engine.view.through(taught)  # type: ignore[arg-type]
    assert len(asked) == 2


def test_without_labels_nothing_is_known() -> None:
    options = OPTIONS.model_copy(update={"initial_size": 0})
    engine = LabelingEngine([synthetic_encoded(300, 4)], options, 2, learner=MlpSettings(steps=20))
    engine.reset([Streams(seed) for seed in range(2)])
    torch.testing.assert_close(seen(engine.view).probabilities, torch.full((2, 4, 60), 0.25))


def test_names_and_needs() -> None:
    assert is_strategy("proxy:margin")
    assert is_packaged("proxy:subsample:50:badge")
    assert not is_packaged("proxy:mine:Own")
    mlp = MlpSettings()
    check_needs("x", entry_of("proxy:bald").needs, mlp)
    with pytest.raises(ReActError, match="needs"):
        check_needs("proxy:mnlp", entry_of("proxy:mnlp").needs, mlp)
    for name in ("proxy:", "proxy:proxy:margin"):
        with pytest.raises(ReActError, match="names nothing to choose with"):
            make_strategy(name)
    for name in ("proxy:margin", "distinct:mnlp"):
        require_imported(name, "The card")
