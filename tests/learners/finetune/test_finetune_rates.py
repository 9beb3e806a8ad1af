"""Learning rates that nobody gave: each method has its own."""

from __future__ import annotations

import pytest

from react_rl.experiments.config.learners import FineTuneLearner
from react_rl.experiments.config.models import CompareConfig
from react_rl.learners.finetune.settings import RATES, FineTuneSettings, Method
from react_rl.validation import changed, validated

COMPARISON = {"name": "rates", "corpora": [{"corpus": "crowd_tweets"}], "strategies": ["random"]}


@pytest.mark.parametrize(
    ("method", "rate"), [("full", 3e-4), ("lora", 3e-3), ("bitfit", 1e-2), ("head", 3e-2), ("peft", 1e-3)]
)
def test_a_method_has_the_rate_that_was_found_best_for_it(method: Method, rate: float) -> None:
    assert FineTuneSettings(method=method).learning_rate == RATES[method] == rate
    assert FineTuneSettings(method=method, learning_rate=0.5).learning_rate == 0.5


def test_the_method_of_a_config_decides_before_what_is_left_out() -> None:
    learner = {"kind": "finetune", "finetune": {"method": "full"}}
    config = validated(CompareConfig, COMPARISON | {"learner": learner}, "Config")
    assert isinstance(config.learner, FineTuneLearner)
    assert config.learner.finetune.learning_rate == RATES["full"]


def test_a_rate_that_is_the_methods_own_is_no_change() -> None:
    assert dict(changed(FineTuneSettings(method="full"))) == {"method": "full"}
    assert FineTuneSettings(method="full", learning_rate=3e-4) == FineTuneSettings(method="full")
    assert "learning_rate" in dict(changed(FineTuneSettings(method="full", learning_rate=1e-3)))
