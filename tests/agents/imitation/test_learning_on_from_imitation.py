"""Reinforcement learning goes on from a row scorer: at first it picks what the scorer picks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from react_rl.acquisition.batching.row_features import ROW_FEATURES
from react_rl.agents import AgentSettings, LearnedStrategy, Validation, train
from react_rl.agents.folder import read_card
from react_rl.agents.networks import RowScorer, ScorerEnsemble
from react_rl.agents.scorer import ROW_CONTEXT
from react_rl.agents.scorer_folder import load_scorer, pretrained_folder, save_scorer
from react_rl.agents.start import starting_weights
from react_rl.envs import BatchedLabeling, RewardSettings, make_interface
from react_rl.errors import ReActError
from react_rl.seeding import Streams
from react_rl.simulation import EpisodeOptions, LabelingEngine, synthetic_encoded
from react_rl.simulation.world import World

OPTIONS = EpisodeOptions(pool_size=30, dev_size=30, initial_size=5, budget=8, batch_size=4)
DATA = synthetic_encoded(200, 3)


@pytest.fixture
def scorer(tmp_path: Path) -> Path:
    """A small row scorer with weights of all sizes."""
    torch.manual_seed(0)
    network = ScorerEnsemble([RowScorer(len(ROW_FEATURES), len(ROW_CONTEXT), 6) for _ in range(2)])
    for weights in network.parameters():
        torch.nn.init.normal_(weights, std=0.4)
    card = read_card(pretrained_folder("learned"))
    seen = {"name": "rows", "context": list(ROW_CONTEXT)}
    shape = card.network | {"hidden": 6, "members": 2, "context": len(ROW_CONTEXT)}
    save_scorer(tmp_path / "scorer", network, card.model_copy(update={"network": shape, "observation": seen}))
    return tmp_path / "scorer"


def trained(
    folder: Path, start: Path, algorithm: str = "PPO", network: str | None = None, **given: Any
) -> Any:
    settings = AgentSettings.model_validate(
        {
            "algorithm": algorithm,
            "start": start,
            "network": network,
            **{"episodes": 4, "n_envs": 2, "minibatches": 2, "epochs": 1},
            **{"evaluations": 1, "evaluation_episodes": 3},
        }
    )
    space: dict[str, Any] = {"candidates": 25, "proposers": ["all"]} | given
    interface = make_interface("pick-candidate", **space)
    core = BatchedLabeling([DATA], OPTIONS, interface, RewardSettings(scale="one"), 2)
    return train(core, Validation([World([DATA], OPTIONS)], 3), settings, RewardSettings(), folder)


@pytest.mark.parametrize("algorithm", ["MaskablePPO", "DQN"])
def test_it_begins_with_the_picks_of_the_scorer(scorer: Path, tmp_path: Path, algorithm: str) -> None:
    card = trained(tmp_path / "on", scorer, algorithm)
    areas = Validation([World([DATA], OPTIONS)], 3).areas(load_scorer(scorer))
    assert card.validation[0]["area"] == pytest.approx(areas.mean(), abs=1e-6)
    assert card.network["features_extractor_kwargs"] == {"hidden": 6, "members": 2}
    LearnedStrategy.load(tmp_path / "on" / "policy")


def test_a_policy_that_comes_with_the_package_is_a_beginning_by_its_name(tmp_path: Path) -> None:
    card = trained(tmp_path, Path("imitated"), "MaskablePPO")
    areas = Validation([World([DATA], OPTIONS)], 3).areas(LearnedStrategy.from_pretrained("imitated"))
    assert card.validation[0]["area"] == pytest.approx(areas.mean(), abs=1e-6)
    assert card.settings["start"] == "imitated"


def test_a_policy_that_sees_more_than_pick_candidate_shows_is_no_beginning(tmp_path: Path) -> None:
    with pytest.raises(ReActError, match=r"sees 'rows of a batch, log scale'.* begin from imitated"):
        trained(tmp_path, Path("learned"), "MaskablePPO")


def test_a_sharper_beginning_wants_the_same_rows_by_larger_differences(scorer: Path, tmp_path: Path) -> None:
    trained(tmp_path / "on", scorer, "MaskablePPO")
    strategy = LearnedStrategy.load(tmp_path / "on" / "policy")
    engine = LabelingEngine([DATA], OPTIONS, 3, ("accuracy",))
    engine.reset([Streams(k) for k in range(3)])
    seen = strategy.policy.obs_to_tensor(strategy.interface.frame(engine.view).observation)[0]
    logits = []
    for sharpness in (1.0, 8.0):
        settings = AgentSettings(start=scorer, algorithm="MaskablePPO", sharpness=sharpness)
        begin = starting_weights(settings, strategy.interface)
        assert begin is not None
        begin(strategy.policy)
        found: Any = strategy.policy.get_distribution(seen)  # type: ignore[operator]
        logits.append(found.distribution.logits.detach())
    plain, sharp = (one - one[:, :1] for one in logits)
    torch.testing.assert_close(sharp, 8 * plain, rtol=1e-3, atol=1e-3)
    assert float(plain.abs().max()) > 0.1


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"features": ["margin"]}, r"its action_space.features is .*, here it is \['margin'\]"),
        ({"network": "attention"}, "its agent.network is scorer, here it is attention"),
    ],
)
def test_what_does_not_fit_is_refused(
    scorer: Path, tmp_path: Path, given: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ReActError, match=sentence):
        trained(tmp_path / "on", scorer, **given)
    assert not (tmp_path / "on").exists()
