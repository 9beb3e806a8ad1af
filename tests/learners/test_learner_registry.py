"""Each kind of learner says what it can do, and no more than it can."""

from __future__ import annotations

import pytest

from react_rl.errors import ReActError
from react_rl.learners.finetune.settings import FineTuneSettings
from react_rl.learners.linear.settings import SoftmaxSettings
from react_rl.learners.linear.tagger import TaggerSettings
from react_rl.learners.mlp.training import MlpSettings
from react_rl.learners.prompts.settings import PromptSettings
from react_rl.learners.registry import LEARNERS, LearnerSettings, check_needs, entry_of


@pytest.mark.parametrize(
    ("settings", "offers"),
    [
        (SoftmaxSettings(), {"linear", "dropout", "committee", "trials", "recipes"}),
        (MlpSettings(members=3, dropout=0.1), {"dropout", "committee"}),
        (MlpSettings(members=1, dropout=0.0), set()),
        (FineTuneSettings(), {"dropout", "committee", "recipes"}),
        (FineTuneSettings(dropout=0.0), {"committee", "recipes"}),
        (PromptSettings(), set()),
        (TaggerSettings(), {"recipes", "trials"}),
    ],
    ids=["softmax", "mlp ensemble", "plain mlp", "finetune", "finetune without dropout", "prompt", "tagger"],
)
def test_what_a_learner_offers_follows_from_its_settings(settings: LearnerSettings, offers: set[str]) -> None:
    assert entry_of(settings).offers(settings) == offers


def test_no_settings_mean_the_softmax_regression() -> None:
    assert entry_of(None) is LEARNERS["softmax"]


def test_settings_of_no_kind_are_refused_with_the_kinds_there_are() -> None:
    with pytest.raises(ReActError, match="give one of SoftmaxSettings, MlpSettings, FineTuneSettings"):
        entry_of("softmax")  # type: ignore[arg-type]


def test_a_need_that_a_learner_does_not_meet_is_told_in_one_sentence_with_what_to_do() -> None:
    with pytest.raises(ReActError, match="'calibrated-margin' needs a linear map of"):
        check_needs("calibrated-margin", {"linear"}, MlpSettings())
    check_needs("calibrated-margin", {"linear"}, None)
