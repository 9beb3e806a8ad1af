"""Whatever a Stable-Baselines3 algorithm takes can be given, and what it does not take is refused."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from stable_baselines3 import PPO

from react_rl.agents import AgentSettings, LearnedStrategy
from react_rl.agents.folder import load_policy
from react_rl.agents.settings import check_fit
from react_rl.errors import ReActError
from react_rl.experiments import TrainConfig, load_config

BOX = gymnasium.spaces.Box(-1, 1, (5,), np.float32)
DISCRETE = gymnasium.spaces.Discrete(3)


def check(algorithm: str, extra: dict[str, Any]) -> None:
    settings = AgentSettings.model_validate({"algorithm": algorithm, "extra": extra})
    check_fit(settings, BOX, DISCRETE if algorithm == "DQN" else BOX)


@pytest.mark.parametrize(
    ("algorithm", "extra"),
    [
        ("PPO", {"clip_range": 0.1, "vf_coef": 0.25, "target_kl": None, "normalize_advantage": False}),
        ("PPO", {"policy_kwargs": {"activation_fn": torch.nn.ReLU, "ortho_init": False}}),
        ("A2C", {"use_rms_prop": False, "policy_kwargs": {"optimizer_class": "torch.optim:AdamW"}}),
        ("DQN", {"exploration_fraction": 0.3, "train_freq": [2, "step"], "buffer_size": 500}),
        ("SAC", {"ent_coef": "auto_0.1", "target_entropy": -2.0, "policy_kwargs": {"n_critics": 3}}),
    ],
)
def test_arguments_of_the_algorithm_and_its_network_are_taken(algorithm: str, extra: dict[str, Any]) -> None:
    check(algorithm, extra)


@pytest.mark.parametrize(
    ("algorithm", "extra", "message"),
    [
        ("PPO", {"clip_rnge": 0.1}, r"PPO has no argument 'clip_rnge'.*Did you mean 'clip_range'"),
        ("A2C", {"clip_range": 0.1}, r"A2C has no argument 'clip_range'"),
        ("PPO", {"clip_range": "high"}, r"agent.extra.clip_range is 'high'"),
        ("PPO", {"vf_coef": True}, r"agent.extra.vf_coef is True: it should be a number"),
        ("PPO", {"gamma": 0.9}, r"agent.extra.gamma is set by agent.gamma"),
        ("PPO", {"batch_size": 9}, r"agent.extra.batch_size is set by agent.minibatches"),
        ("PPO", {"policy_kwargs": {"net_arch": [4]}}, r"policy_kwargs.net_arch is set by agent.layers"),
        ("PPO", {"policy_kwargs": {"ortho": True}}, r"network of PPO has no argument 'ortho'.*'ortho_init'"),
        ("PPO", {"policy_kwargs": {"activation_fn": "torch.nn:ReLUU"}}, r"module:Name.*Did you mean 'ReLU'"),
        (
            "PPO",
            {"policy_kwargs": {"activation_fn": "os:system"}},
            r"must be a Module written",
        ),
        ("PPO", {"policy_kwargs": {"optimizer_class": "torch.nn:ReLU"}}, r"it must be a Optimizer"),
        ("DQN", {"device": "cuda"}, r"agent.extra.device is set by the processor"),
    ],
)
def test_what_it_does_not_take_is_refused(algorithm: str, extra: dict[str, Any], message: str) -> None:
    with pytest.raises(ReActError, match=message):
        check(algorithm, extra)


def test_a_training_uses_them_and_its_policy_is_rebuilt_with_them(
    tmp_path: Path, small_training: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Any] = {}
    start = PPO.__init__

    @functools.wraps(start)
    def note(self: PPO, *args: Any, **kwargs: Any) -> None:
        seen.update(kwargs)
        start(self, *args, **kwargs)

    monkeypatch.setattr(PPO, "__init__", note)
    extra = {"clip_range": 0.05, "policy_kwargs": {"activation_fn": "torch.nn:ReLU"}}
    done = small_training(tmp_path, extra=extra)
    assert seen["clip_range"] == 0.05
    assert seen["policy_kwargs"]["activation_fn"] is torch.nn.ReLU
    assert done.card.settings["extra"] == extra
    assert done.card.network["activation_fn"] == "torch.nn:ReLU"
    policy, *_ = load_policy(done.policy)
    assert any(isinstance(part, torch.nn.ReLU) for part in policy.modules())
    assert LearnedStrategy.load(done.policy).policy is not None
    with pytest.raises(ReActError, match=r"activation_fn is torch.nn:ReLU, here it is None"):
        small_training(tmp_path / "next", start=done.policy)


def test_a_card_has_no_module_imported(tmp_path: Path, small_training: Any) -> None:
    done = small_training(tmp_path)
    card = done.policy / "card.json"
    text = card.read_text(encoding="utf-8")
    (tmp_path / "module_never_imported.py").write_text("raise SystemExit")
    card.write_text(text.replace('"net_arch"', '"activation_fn": "module_never_imported:Own", "net_arch"'))
    with pytest.raises(ReActError, match="module_never_imported"):
        load_policy(done.policy)


def test_without_them_cards_and_configs_read_as_before() -> None:
    assert "extra" not in AgentSettings().model_dump()


def config(tmp_path: Path, *overrides: str) -> TrainConfig:
    path = tmp_path / "t.yaml"
    path.write_text("name: a\ncorpora: [{corpus: synthetic}]\nagent: {extra: {vf_coef: 0.3}}\n")
    return load_config(TrainConfig, str(path), overrides)


def test_the_command_line_sets_them_by_their_own_names(tmp_path: Path) -> None:
    words = ("--agent.extra.clip_range", "0.1", "--agent.episodes", "7", "--agent.extra.policy_kwargs.a=[1]")
    agent = config(tmp_path, *words).agent
    assert agent.extra == {"vf_coef": 0.3, "clip_range": 0.1, "policy_kwargs": {"a": [1]}}
    assert agent.episodes == 7
    with pytest.raises(ReActError, match=r"--agent.clip_range: write --agent.extra.clip_range"):
        config(tmp_path, "--agent.clip_range", "0.1")
    with pytest.raises(ReActError, match="needs a key and a value"):
        config(tmp_path, "--agent.extra.clip_range")
