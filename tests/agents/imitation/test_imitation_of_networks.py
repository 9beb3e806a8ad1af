"""Imitation of networks that look at the pool: trained, stopped, saved, played, and a beginning for PPO."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from react_rl.agents import AgentSettings, LearnedStrategy, Validation, load_strategy, read_card, train
from react_rl.agents.adjustment.training import starting_scorer
from react_rl.agents.folder import WEIGHTS
from react_rl.agents.imitation.collection import STANDING, collect
from react_rl.agents.imitation.settings import ImitationSettings
from react_rl.agents.imitation.training import ImitationProgress, imitate
from react_rl.agents.networks import PoolEnsemble
from react_rl.agents.scorer import PICKED, ScorerStrategy
from react_rl.envs import BatchedLabeling, RewardSettings, make_interface
from react_rl.envs.observations import CONTEXT
from react_rl.errors import ReActError
from react_rl.seeding import Streams
from react_rl.simulation import EncodedCorpus, EpisodeOptions, LabelingEngine, synthetic_encoded
from react_rl.simulation.world import World

EPISODE = EpisodeOptions(pool_size=30, dev_size=30, initial_size=5, budget=8, batch_size=4)
FEATURES = ("margin", "novelty", "variance")
SMALL: dict[str, Any] = {
    **{"states": 12, "dagger_states": 12, "n_envs": 4, "candidates": 6, "networks": 1, "hidden": 8},
    **{"epochs": 2, "initial_sizes": (5,), "batch_sizes": (2,), "rounds": (3,), "features": FEATURES},
}


@cache
def corpora() -> list[EncodedCorpus]:
    return [synthetic_encoded(200, 3)]


def imitated(folder: Path, name: str, stop_at: int | None = None, **changes: Any) -> Path:
    class Stopped(Exception):
        pass

    def stop(progress: ImitationProgress) -> None:
        if stop_at is not None and progress.states >= stop_at:
            raise Stopped

    settings = ImitationSettings(**(SMALL | {"network": name} | changes))
    try:
        imitate(corpora(), Validation([World(corpora(), EPISODE)], 3), EPISODE, settings, folder, "n", stop)
    except Stopped:
        assert list((folder / "states").iterdir())
    return folder / "policy"


@pytest.fixture(scope="module", params=["deep-sets", "attention"])
def policy(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return imitated(tmp_path_factory.mktemp("net"), request.param)


def begun() -> LabelingEngine:
    engine = LabelingEngine(corpora(), EPISODE, 3, ("accuracy",))
    engine.reset([Streams(k) for k in range(3)])
    return engine


def test_the_folder_holds_a_query_strategy_that_plays_to_the_end(policy: Path) -> None:
    strategy, engine = load_strategy(policy), begun()
    assert isinstance(strategy, ScorerStrategy)
    scores = strategy.score(engine.view)
    first = strategy.select(engine.view, 2)[:, 0]
    free = torch.where(engine.view.available, scores, -torch.inf)
    assert first.tolist() == engine.view.ids.gather(1, free.argmax(1, keepdim=True))[:, 0].tolist()
    assert torch.equal(load_strategy(policy).score(engine.view), scores)
    while not engine.finished.all():
        engine.step(strategy.select(engine.view, 4))
    assert engine.spent.tolist() == [8.0] * 3


def test_the_card_says_which_network_and_how_it_played(policy: Path) -> None:
    card = read_card(policy)
    assert card.network["name"] in ("deep-sets", "attention")
    areas = Validation([World(corpora(), EPISODE)], 3).areas(load_strategy(policy))
    assert card.validation[-1]["area"] == pytest.approx(areas.mean(), abs=1e-6)


def test_a_stopped_training_ends_in_the_same_networks(tmp_path: Path) -> None:
    whole = imitated(tmp_path / "whole", "attention", networks=2)
    imitated(tmp_path / "stopped", "attention", stop_at=16, networks=2)
    again = imitated(tmp_path / "stopped", "attention", networks=2)
    assert (again / WEIGHTS).read_bytes() == (whole / WEIGHTS).read_bytes()


def test_states_are_those_of_the_row_scorer_with_rows_that_stand_for_the_pool() -> None:
    own, alone = (
        collect(corpora(), EPISODE, ImitationSettings(**(SMALL | {"network": name})), 0)
        for name in ("deep-sets", "scorer")
    )
    for part in ("rows", "context", "values", "weights"):
        assert torch.equal(getattr(own, part), getattr(alone, part))
    assert own.beside.shape == (len(own), STANDING, 3)
    assert alone.beside.shape == (len(own), 0, 3)


def on_from(folder: Path, start: Path, network: str, **given: Any) -> Any:
    settings = AgentSettings.model_validate(
        {"algorithm": "MaskablePPO", "network": network, "start": start, "n_envs": 2, "episodes": 4}
        | {"minibatches": 2, "epochs": 1, "evaluations": 1, "evaluation_episodes": 3}
        | given
    )
    interface = make_interface("pick-candidate", candidates=30, proposers=["all"], features=FEATURES)
    core = BatchedLabeling(corpora(), EPISODE, interface, RewardSettings(scale="one"), 2)
    validation = Validation([World(corpora(), EPISODE)], 3)
    return train(core, validation, settings, RewardSettings(), folder)


@torch.inference_mode()
def test_training_goes_on_from_it_as_the_same_network(policy: Path, tmp_path: Path) -> None:
    scorer = load_strategy(policy)
    assert isinstance(scorer, ScorerStrategy)
    assert isinstance(scorer.network, PoolEnsemble)
    with torch.inference_mode(False):
        on_from(tmp_path / "on", policy, scorer.network.name, learning_rate=1e-12, sharpness=8.0)
    strategy = LearnedStrategy.load(tmp_path / "on" / "policy")
    frame = strategy.interface.frame(begun().view)
    seen = {key: torch.from_numpy(values) for key, values in frame.observation.items()}
    rows, mask = seen["candidates"], seen["mask"].float()
    places = [(*CONTEXT, PICKED).index(one) for one in scorer.context]
    member: Any = scorer.network.members[0]
    expected = member.network.score(rows, seen["context"][:, places], mask)
    extractor: Any = strategy.policy.features_extractor
    found = extractor(seen)[:, : rows.shape[1]]
    torch.testing.assert_close(found[mask > 0], 8 * expected[mask > 0], rtol=1e-3, atol=1e-3)


def test_what_cannot_begin_from_it_is_refused(policy: Path, tmp_path: Path) -> None:
    name = read_card(policy).network["name"]
    with pytest.raises(ReActError, match=f"its agent.network is {name}, here it is scorer"):
        on_from(tmp_path / "on", policy, "scorer")
    with pytest.raises(ReActError, match=r"begin from a policy imitated with imitation.network: scorer"):
        starting_scorer(str(policy))
    two = imitated(tmp_path / "two", name, networks=2, states=4, dagger_rounds=0)
    with pytest.raises(ReActError, match=r"the mean of 2 networks .* imitate with imitation.networks: 1"):
        on_from(tmp_path / "on", two, name)


def test_a_network_without_scores_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ReActError, match="'mlp' scores no rows"):
        imitated(tmp_path, "mlp")
    assert list(tmp_path.iterdir()) == []
