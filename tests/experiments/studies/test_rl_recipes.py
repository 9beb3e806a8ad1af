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


def test_recipes_and_policies_are_played_on_the_tasks_in_the_same_episodes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = load_config(TrainConfig, str(CONFIG)).model_copy(update={"episode": OPTIONS})
    seen: list[tuple[Any, ...]] = []

    class Told:
        def __init__(self, worlds: Any, n_episodes: int, first_seed: int, observed: Any) -> None:
            self.recipe = worlds[0].learner.recipe
            seen.append((n_episodes, first_seed, tuple(observed)))

        def areas(self, strategy: Any) -> Any:
            return np.full(3, 0.9 if isinstance(strategy, Alternating) else len(self.recipe.said) / 10)

    monkeypatch.setattr(study, "Validation", Told)
    monkeypatch.setattr(
        study, "metrics_of", lambda one: ("accuracy",) if isinstance(one, Alternating) else ()
    )
    policy = cast(LearnedStrategy, Alternating())
    found = study.on_tasks(config, [synthetic_encoded(200, 3)], {"PPO": policy})
    # Plain sets nothing, smooth and hast one part each, strong two.
    assert found == pytest.approx({"plain": 0.0, "smooth": 0.1, "strong": 0.2, "hast": 0.1, "PPO": 0.9})
    assert seen == [(64, 2_000_000, ())] * 4 + [(64, 2_000_000, ("accuracy",))]


def test_the_page_compares_with_the_recipe_of_the_tasks_first() -> None:
    gains = {"one PPO": 0.02, "two PPO": 0.025, "plain": 0.0, "smooth": 0.01, "best on dev": 0.03}
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
    tasks = {"plain": 0.4, "smooth": 0.5, "one PPO": 0.6, "two PPO": 0.7}
    page = study.page(areas, {"one PPO": chosen, "two PPO": chosen}, tasks)
    assert "plain 0.4000, smooth 0.5000, one PPO 0.6000, two PPO 0.7000. So smooth is the fixed" in page
    lines = page.splitlines()
    told = [line.split(" | ")[:3] for line in lines if line.startswith(("| one PPO |", "| two PPO |"))]
    others = ["smooth", "best on dev", "plain"]
    assert [line[:2] for line in told] == [
        *(["| one PPO", other] for other in others),
        *(["| two PPO", other] for other in others),
        ["| two PPO", "one PPO"],
    ]
    for line, gain in zip(told, (0.01, -0.01, 0.02, 0.015, -0.005, 0.025, 0.005), strict=True):
        assert float(line[2].split()[0]) == pytest.approx(gain, abs=3e-4)
    assert lines[-1] == "| two | 0.25 | 0.75 |"
