"""The action space and the network that the READMEs write out can be named, trained, saved and loaded."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest

import react_rl.agents
import react_rl.envs
from react_rl.agents import AgentSettings, LearnedStrategy, PolicyCard, Validation, train
from react_rl.envs import BatchedLabeling, RewardSettings, make_interface
from react_rl.errors import ReActError
from react_rl.simulation import EpisodeOptions, synthetic_encoded
from react_rl.simulation.world import World

OPTIONS = EpisodeOptions(pool_size=30, dev_size=30, initial_size=5, budget=8, batch_size=4)
DATA = synthetic_encoded(200, 3)


def written(package: object, word: str) -> str:
    """The snippet of a package's README that holds ``word``."""
    page = Path(str(package.__file__)).with_name("README.md").read_text(encoding="utf-8")  # type: ignore[attr-defined]
    (found,) = [one for one in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if word in one]
    assert len(found.splitlines()) <= 30
    return str(found)


@pytest.fixture(autouse=True)
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [written(react_rl.envs, "class Portion"), written(react_rl.agents, "class Linear")]
    (tmp_path / "mine.py").write_text("\n".join(parts))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)


def trained(folder: Path, network: str | None, space: str, **given: Any) -> PolicyCard:
    settings = AgentSettings(
        episodes=4, n_envs=2, minibatches=2, epochs=1, evaluations=1, evaluation_episodes=2, network=network
    )
    core = BatchedLabeling([DATA], OPTIONS, make_interface(space, **given), RewardSettings(scale="one"), 2)
    return train(core, Validation([World([DATA], OPTIONS)], 2), settings, RewardSettings(), folder)


def test_an_own_action_space(tmp_path: Path) -> None:
    card = trained(tmp_path, None, "mine:Portion", strategy="entropy")
    assert card.action_space == {"name": "mine:Portion", "strategy": "entropy"}
    assert LearnedStrategy.load(tmp_path / "policy").interface.describe() == card.action_space
    del sys.modules["mine"]
    with pytest.raises(ReActError, match="code of your own that has not been imported"):
        LearnedStrategy.load(tmp_path / "policy")


def test_an_own_network(tmp_path: Path) -> None:
    card = trained(tmp_path, "mine:Linear", "pick-candidate", candidates=4, features=["margin"])
    assert card.network["name"] == "mine:Linear"
    assert card.settings["network"] == "mine:Linear"
    LearnedStrategy.load(tmp_path / "policy")
    del sys.modules["mine"]
    with pytest.raises(ReActError, match="code of your own that has not been imported"):
        LearnedStrategy.load(tmp_path / "policy")


@pytest.mark.parametrize(
    ("name", "given", "sentence"),
    [
        ("mine:Nothing", {}, "has no 'Nothing'"),
        ("mine:make_strategy", {}, "must be a class derived from"),
        ("mine:Portion", {"strat": "margin"}, "Did you mean 'strategy'"),
    ],
)
def test_what_is_no_action_space_is_refused(name: str, given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ReActError, match=sentence):
        make_interface(name, **given)
