"""The search itself: fair pairs, a slope that is found, and going on where it stopped."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from react_rl.acquisition import make_strategy
from react_rl.acquisition.strategies.weighted import MIXTURE
from react_rl.agents.adjustment.playing import areas
from react_rl.agents.adjustment.search import Search, SearchProgress
from react_rl.agents.adjustment.settings import AdjustmentSettings
from react_rl.agents.adjustment.state import SearchState
from react_rl.agents.adjustment.tasks import TaskBank, draw_group, generator
from react_rl.agents.adjustment.training import adjust
from react_rl.agents.networks import RowScorer, ScorerEnsemble
from react_rl.agents.scorer import ROW_CONTEXT, ScorerStrategy
from react_rl.agents.scorer_folder import load_scorer, pretrained_folder
from react_rl.errors import ReActError
from react_rl.simulation import EpisodeOptions, synthetic_encoded

EPISODE = EpisodeOptions(pool_size=60, dev_size=60, initial_size=6, budget=20, batch_size=5)
SMALL = AdjustmentSettings(
    directions=("mixture",), gates=("number of classes, log scale",), updates=3, pairs=6, tasks=4, checks=1,
    batch_sizes=(5,), rounds=(4,), initial_sizes=(6,), pool_sizes=(60,), validation_groups=1,
    kinds={"own": 0.5, "any": 0.5},
)  # fmt: skip
CORPORA = [synthetic_encoded(400, classes, seed=classes) for classes in (3, 4)]


def against_the_mixture() -> ScorerStrategy:
    """A scorer that likes what the mixture does not."""
    features = ("margin", "density", "novelty", "balance")
    member = RowScorer(len(features), len(ROW_CONTEXT), 4)
    with torch.no_grad():
        for values in member.parameters():
            values.zero_()
        member.weights.copy_(-0.3 * torch.ones(len(features)))
    return ScorerStrategy("backwards", ScorerEnsemble([member]), features)


def test_the_episodes_of_a_pair_have_one_task_one_pool_and_the_same_first_labels() -> None:
    bank = TaskBank(CORPORA, SMALL)
    group = draw_group(bank, EPISODE, SMALL, 5, generator(0, "here"))
    found = areas(group, make_strategy("mixture"), copies=3)
    assert found.shape == (6, 3)
    assert (found == found[:, :1]).all()
    assert len(np.unique(found[:, 0])) > 3


def test_the_search_finds_where_the_area_rises(tmp_path: Path) -> None:
    settings = SMALL.model_copy(
        update={"pairs": 24, "updates": 6, "sigma": 0.5, "rate": 200.0, "longest": 3.0, "kinds": {"own": 1.0}}
    )
    search = Search(CORPORA, against_the_mixture(), EPISODE, settings)
    state = search.run(tmp_path / "state", "key")
    assert state.points[-1][0, 0] > 1.0  # more of the mixture
    assert state.areas[-1].mean() > state.areas[0].mean()


def test_where_rows_differ_in_price_the_search_learns_to_want_cheap_ones(tmp_path: Path) -> None:
    priced = []
    for corpus in CORPORA:
        cost = np.random.default_rng(0).uniform(0.2, 1.8, corpus.corpus.n_rows)
        priced.append(corpus.with_corpus(replace(corpus.corpus, cost=cost)))
    start = ScorerStrategy("plain", against_the_mixture().network, ("cheapness", *list(MIXTURE)[1:]))
    changes = {"directions": ("cheapness",), "pairs": 16, "updates": 3, "sigma": 0.5, "kinds": {"own": 1.0}}
    settings = SMALL.model_copy(update=changes | {"rate": 200.0, "longest": 3.0})
    state = Search(priced, start, EPISODE, settings).run(tmp_path / "state", "key")
    assert state.points[-1][0, 0] > 0.5


class _StoppedError(Exception):
    pass


def test_a_search_that_was_stopped_ends_in_the_same_weights(tmp_path: Path) -> None:
    def stop(progress: SearchProgress) -> None:
        if progress.step == 2:
            raise _StoppedError

    search = Search(CORPORA, against_the_mixture(), EPISODE, SMALL)
    whole = search.run(tmp_path / "whole", "key")
    with pytest.raises(_StoppedError):
        search.run(tmp_path / "parts", "key", stop)
    seen: list[int] = []
    again = search.run(tmp_path / "parts", "key", lambda progress: seen.append(progress.step))
    assert seen == [3]
    assert torch.equal(torch.stack(again.points), torch.stack(whole.points))
    assert torch.equal(torch.stack(again.areas), torch.stack(whole.areas))
    assert SearchState.load(tmp_path / "parts", "another key") is None
    (tmp_path / "parts").write_bytes(b"damaged")
    assert SearchState.load(tmp_path / "parts", "key") is None


def test_what_is_written_is_the_best_of_what_was_checked(tmp_path: Path) -> None:
    card = adjust(CORPORA, EPISODE, SMALL.model_copy(update={"updates": 1}), tmp_path, "mine")
    best = max(point["area"] for point in card.validation)
    assert card.chosen_at in {int(p["episodes"]) for p in card.validation if p["area"] == best}
    policy = load_scorer(tmp_path / "policy")
    assert policy.name == "mine"
    assert card.task == "classification"
    assert card.network["members"] == load_members("imitated") + 1
    assert set(card.baselines) == {"mixture", "uncertainty-herding"}
    assert not list(tmp_path.glob("*.safetensors"))
    with pytest.warns(UserWarning, match="nothing was trained"):
        assert adjust(CORPORA, EPISODE, SMALL.model_copy(update={"updates": 1}), tmp_path, "mine") == card


def load_members(name: str) -> int:
    network = load_scorer(pretrained_folder(name)).network
    assert isinstance(network, ScorerEnsemble)
    return len(network.members)


def test_tasks_that_cannot_be_made_or_played_are_refused() -> None:
    with pytest.raises(ReActError, match="leaves no task"):
        TaskBank(CORPORA, SMALL.model_copy(update={"kinds": {"own": 0.0}}))
    large = SMALL.model_copy(update={"pool_sizes": (5000,)})
    with pytest.raises(ReActError, match="No task has 5000 train and 60 dev rows"):
        draw_group(TaskBank(CORPORA, SMALL), EPISODE, large, 5, generator(0, "here"))


def test_a_pool_holds_the_labels_that_are_drawn_for_it() -> None:
    settings = SMALL.model_copy(update={"pool_sizes": (30, 120), "rounds": (4, 16), "most_labels": 80})
    bank, rng = TaskBank(CORPORA, settings), generator(0, "sizes")
    sizes = {
        (group.options.budget, group.options.pool_size)
        for group in (draw_group(bank, EPISODE, settings, 5, rng) for _ in range(24))
    }
    assert sizes == {(20, 30), (20, 120), (80, 120)}


def test_tasks_side_by_side_have_about_as_many_classes() -> None:
    many = synthetic_encoded(600, 12, seed=1)
    settings = SMALL.model_copy(update={"kinds": {"own": 1.0}, "tasks": 6})
    bank = TaskBank([*CORPORA, many], settings)
    rng = generator(0, "strata")
    for _ in range(8):
        group = draw_group(bank, EPISODE, settings, 5, rng)
        classes = {task.corpus.n_classes for task in group.tasks}
        assert classes <= {3, 4} or classes == {12}
