"""The study of a policy that chooses recipes: what it is compared with, and what its page says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
import torch

from react_rl.agents import LearnedStrategy
from react_rl.envs.interfaces.decision_units import DecisionUnits
from react_rl.errors import ReActError
from react_rl.experiments.config.models import TrainConfig, load_config
from react_rl.experiments.studies import rl_recipes as study
from react_rl.learners.recipes import Recipe, make_recipe
from react_rl.simulation import EpisodeOptions, PoolView, synthetic_encoded

OPTIONS = EpisodeOptions(pool_size=60, dev_size=40, initial_size=6, budget=20, batch_size=5)
CONFIG = Path(__file__).parents[3] / "results" / "rl" / "recipes.yaml"


class Alternating:
    """Stands for a policy: plain in even rounds, smooth in odd ones, hast in the first episode."""

    interface = DecisionUnits(strategies=["mixture"], recipes=["plain", "smooth", "hast"])

    def choose(self, view: PoolView, n: int) -> tuple[torch.Tensor, Sequence[Recipe | None] | None]:
        turn = int(view.progress.rounds[0]) % 2
        actions = np.array([[0, 2]] + [[0, turn]] * (view.n_episodes - 1))
        decision = self.interface.decide(self.interface.frame(view), actions)
        assert decision.ids.shape[1] == n
        return decision.ids, decision.recipe


def test_the_policy_is_compared_with_each_of_its_recipes_and_the_best_on_dev() -> None:
    config = load_config(TrainConfig, str(CONFIG))
    names = study.offered(config)
    assert names == ("plain", "smooth", "strong", "hast")
    ways = study.ways(names)
    assert list(ways) == [*names, "best on dev"]
    assert ways["strong"] == make_recipe("strong")
    assert ways["best on dev"].best_on_dev == names
    with pytest.raises(ReActError, match="chooses no recipes"):
        study.offered(
            config.model_copy(
                update={"action_space": config.action_space.model_copy(update={"recipes": None})}
            )
        )


def test_shares_say_how_often_each_recipe_was_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = cast(LearnedStrategy, Alternating())
    monkeypatch.setattr(study, "metrics_of", lambda _: Alternating.interface.metrics)
    found = study.shares(policy, [synthetic_encoded(200, 3)], OPTIONS, 4)
    # Four rounds of four episodes: one is always hast, the others are plain and smooth in turn.
    assert found.set_index("recipe")["share"].to_dict() == {"plain": 0.375, "smooth": 0.375, "hast": 0.25}


def test_the_recipe_of_the_tasks_is_the_one_with_the_largest_area(monkeypatch: pytest.MonkeyPatch) -> None:
    config = load_config(TrainConfig, str(CONFIG)).model_copy(update={"episode": OPTIONS})
    areas = {"plain": 0.2, "smooth": 0.5, "strong": 0.4, "hast": 0.3}
    seen: list[tuple[Any, ...]] = []

    class Told:
        def __init__(self, worlds: Any, n_episodes: int, first_seed: int) -> None:
            self.recipe = worlds[0].learner.recipe
            seen.append((n_episodes, first_seed))

        def areas(self, _: Any) -> Any:
            (name,) = [name for name in areas if make_recipe(name) == self.recipe]
            return np.full(3, areas[name])

    monkeypatch.setattr(study, "Validation", Told)
    assert study.chosen_by_tasks(config, [synthetic_encoded(200, 3)]) == "smooth"
    assert set(seen) == {(64, 2_000_000)}


def test_the_page_compares_with_the_recipe_of_the_tasks_first() -> None:
    gains = {"policy": 0.02, "plain": 0.0, "smooth": 0.01, "best on dev": 0.03}
    rng = np.random.default_rng(0)
    rows = [
        (name, corpus, seed, 0.5 + gain + rng.normal(scale=1e-4))
        for name, gain in gains.items()
        for corpus in ("one", "two")
        for seed in range(4)
    ]
    areas = pd.DataFrame(rows, columns=["strategy", "corpus", "seed", "area"])
    chosen = pd.DataFrame(
        [(c, r, s) for c in ("one", "two") for r, s in (("plain", 0.25), ("smooth", 0.75))],
        columns=["corpus", "recipe", "share"],
    )
    lines = study.page(areas, chosen, "smooth").splitlines()
    told = [line for line in lines if line.startswith("| policy | ")]
    assert [line.split(" | ")[1] for line in told] == ["smooth", "best on dev", "plain"]
    assert told[0].startswith("| policy | smooth | +0.0")
    assert told[1].startswith("| policy | best on dev | -0.0")
    assert any(line.startswith("| best on dev | plain | +0.0") for line in lines)
    assert lines[-1] == "| two | 0.25 | 0.75 |"
