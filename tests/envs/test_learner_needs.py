"""An environment is refused where its learner cannot do what a strategy among its actions needs."""

from __future__ import annotations

import pytest

from react_rl.envs.build import build_environment
from react_rl.envs.interfaces import ChooseStrategy
from react_rl.errors import ReActError
from react_rl.learners.mlp.training import MlpSettings


def test_a_single_head_has_no_committee_for_bald() -> None:
    space = ChooseStrategy(["random", "bald"])
    with pytest.raises(ReActError, match="'bald' needs several heads"):
        build_environment(action_space=space, learner=MlpSettings(members=1))
    build_environment(action_space=space, learner=MlpSettings(members=2, hidden=4))
