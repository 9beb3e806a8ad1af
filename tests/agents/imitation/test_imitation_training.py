"""A training by imitation: states, networks, a policy folder, and going on where it stopped."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from react_rl.acquisition import make_strategy
from react_rl.agents import LearnedStrategy, Validation, load_policy, load_strategy, read_card
from react_rl.agents.folder import CARD, WEIGHTS
from react_rl.agents.imitation import training
from react_rl.agents.imitation.collection import collect
from react_rl.agents.imitation.settings import ImitationSettings
from react_rl.agents.imitation.training import ImitationProgress, imitate
from react_rl.agents.scorer import ScorerStrategy
from react_rl.agents.scorer_folder import load_scorer
from react_rl.errors import ReActError
from react_rl.learners.mlp.training import MlpSettings
from react_rl.seeding import Streams
from react_rl.simulation import EncodedCorpus, EpisodeOptions, LabelingEngine, synthetic_encoded
from react_rl.simulation.world import World

EPISODE = EpisodeOptions(pool_size=60, dev_size=40, initial_size=6, budget=12, batch_size=3)
SMALL: dict[str, Any] = {
    **{
        "states": 20,
        "dagger_states": 20,
        "n_envs": 4,
        "candidates": 6,
        "networks": 2,
        "hidden": 8,
        "epochs": 2,
    },
    **{
        "initial_sizes": (6,),
        "batch_sizes": (1, 3),
        "rounds": (3,),
        "features": ("margin", "novelty", "variance"),
    },
}


@cache
def corpora() -> list[EncodedCorpus]:
    return [synthetic_encoded(300, size, seed=size) for size in (2, 5)]


def train(
    folder: Path, report: Callable[[ImitationProgress], None] | None = None, **changes: Any
) -> ScorerStrategy:
    settings = ImitationSettings(**(SMALL | changes))
    validation = Validation([World(corpora()[:1], EPISODE)], 3)
    imitate(corpora(), validation, EPISODE, settings, folder, "mine", report)
    return load_scorer(folder / "policy")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("imitated")
    train(folder)
    return folder


def weights(folder: Path) -> bytes:
    return (folder / "policy" / WEIGHTS).read_bytes()


def test_the_policy_is_a_query_strategy_like_any_other(trained: Path) -> None:
    strategy = load_strategy(trained / "policy")
    assert isinstance(strategy, ScorerStrategy)
    assert strategy.name == "mine"
    assert load_strategy(trained / "policy", "other").name == "other"
    engine = LabelingEngine(corpora()[:1], EPISODE, 2)
    engine.reset([Streams(0), Streams(1)])
    while not engine.finished.all():
        engine.step(strategy.select(engine.view, 3))
    assert engine.spent.tolist() == [12.0, 12.0]


def test_the_card_says_how_it_came_to_be(trained: Path) -> None:
    card = read_card(trained / "policy")
    assert card.algorithm == "imitation"
    assert card.action_space["features"] == ["margin", "novelty", "variance"]
    assert not any("dev metric" in name for name in card.observation["context"])
    assert set(card.trained_on) == {one.name for one in corpora()}
    assert [point["episodes"] for point in card.validation] == sorted(p["episodes"] for p in card.validation)
    assert len(card.validation) == 2
    expected = Validation([World(corpora()[:1], EPISODE)], 3).areas(make_strategy("mixture")).mean()
    assert card.baselines["mixture"] == pytest.approx(expected, abs=1e-6)
    measured = Validation([World(corpora()[:1], EPISODE)], 3).areas(load_scorer(trained / "policy")).mean()
    assert card.validation[-1]["area"] == pytest.approx(measured, abs=1e-6)
    assert not (trained / "states").exists()


def test_the_same_training_gives_the_same_policy_and_another_seed_another(
    trained: Path, tmp_path: Path
) -> None:
    train(tmp_path / "again")
    assert weights(tmp_path / "again") == weights(trained)
    train(tmp_path / "other", seed=1)
    assert weights(tmp_path / "other") != weights(trained)


def test_a_stopped_training_goes_on_where_it_stood(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stopped(Exception):
        pass

    def stop(progress: ImitationProgress) -> None:
        if progress.states >= 30:
            raise Stopped

    with pytest.raises(Stopped):
        train(tmp_path, stop)
    kept = len(list((tmp_path / "states").glob("*.safetensors")))
    assert kept >= 3
    asked: list[int] = []

    def counted(*arguments: Any) -> Any:
        asked.append(arguments[3])
        return collect(*arguments)

    monkeypatch.setattr(training, "collect", counted)
    train(tmp_path)
    assert weights(tmp_path) == weights(trained)
    again = len(asked)
    train(tmp_path / "whole")
    assert len(asked) - again == again + kept


def test_a_finished_training_is_kept(trained: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(trained, tmp_path / "copy")
    told: list[ImitationProgress] = []
    with pytest.warns(UserWarning, match="nothing was trained"):
        train(folder, told.append)
    assert told == []
    assert weights(folder) == weights(trained)


def test_states_of_another_training_are_not_used(tmp_path: Path, trained: Path) -> None:
    (tmp_path / "states").mkdir()
    (tmp_path / "states" / "key").write_text("another")
    (tmp_path / "states" / "0000000.safetensors").write_bytes(b"no states")
    train(tmp_path)
    assert weights(tmp_path) == weights(trained)


def test_progress_is_told(tmp_path: Path) -> None:
    told: list[ImitationProgress] = []
    train(tmp_path, told.append)
    assert [one.states for one in told] == sorted(one.states for one in told)
    assert told[-1].states == told[-1].total == 40
    assert {"baselines", "mixed behaviour", "following itself", "fitting", "measured"} == {
        o.stage for o in told
    }


def test_the_expert_needs_the_linear_learner(tmp_path: Path) -> None:
    validation = Validation([World(corpora()[:1], EPISODE)], 3)
    with pytest.raises(ReActError, match=r"set learner\.kind to softmax"):
        imitate(corpora(), validation, EPISODE, ImitationSettings(**SMALL), tmp_path, learner=MlpSettings())


def test_episodes_that_do_not_fit_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ReActError, match="budget 300 is larger than the cost of the whole pool"):
        train(tmp_path, rounds=(100,))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"network": {"features": 3}}, "its network lacks"),
        ({"network": {"features": 4, "context": 19, "hidden": 8, "members": 2}}, "weights of policy"),
        ({"network": {"features": 3, "context": 19, "hidden": -8, "members": 2}}, "its network lacks"),
        ({"action_space": {"name": "score-rows", "features": ["margin"]}}, "features and network do not fit"),
        ({"algorithm": "PPO"}, "was trained by PPO and scores no rows"),
    ],
)
def test_a_damaged_card_is_refused_in_a_sentence(
    trained: Path, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    for name in (CARD, WEIGHTS):
        (tmp_path / name).write_bytes((trained / "policy" / name).read_bytes())
    card = json.loads((tmp_path / CARD).read_text()) | change
    (tmp_path / CARD).write_text(json.dumps(card))
    with pytest.raises(ReActError, match=message):
        load_scorer(tmp_path)


def test_broken_weights_are_refused_in_a_sentence(trained: Path, tmp_path: Path) -> None:
    (tmp_path / CARD).write_bytes((trained / "policy" / CARD).read_bytes())
    with pytest.raises(ReActError, match="cannot be read"):
        load_scorer(tmp_path)
    (tmp_path / WEIGHTS).write_bytes(b"nothing")
    with pytest.raises(ReActError, match="cannot be read"):
        load_scorer(tmp_path)


def test_a_scorer_has_no_actions(trained: Path) -> None:
    with pytest.raises(ReActError, match="load it with load_strategy"):
        load_policy(trained / "policy")
    with pytest.raises(ReActError, match="load it with load_strategy"):
        LearnedStrategy.load(trained / "policy")


def test_loading_draws_no_global_random_numbers(trained: Path) -> None:
    before = torch.get_rng_state()
    load_scorer(trained / "policy")
    assert torch.equal(torch.get_rng_state(), before)
