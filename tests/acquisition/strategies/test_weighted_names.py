"""Fixed weights over features are named in a config: `weights:margin=0.7,novelty=1`."""

from __future__ import annotations

import pytest
import torch

from react_rl.acquisition import FEATURES, WeightedFeatures, make_strategy
from react_rl.acquisition.features import Feature
from react_rl.acquisition.origin import added_by, is_packaged, parts_behind
from react_rl.acquisition.registry import entry_of
from react_rl.acquisition.strategies.weighted import MIXTURE, name_of_weights, parse_weights
from react_rl.errors import ReActError
from react_rl.simulation import LabelingEngine


def test_weights_in_a_name_play_like_weights_in_a_program(mixed: LabelingEngine) -> None:
    name = name_of_weights(MIXTURE)
    assert name == "weights:margin=0.7,density=1,novelty=1,balance=0.5"
    named = make_strategy(name)
    assert named.name == name
    assert torch.equal(named.select(mixed.view, 5), WeightedFeatures().select(mixed.view, 5))
    assert torch.equal(named.score(mixed.view), WeightedFeatures().score(mixed.view))


def test_a_name_keeps_signs_and_three_digits() -> None:
    name = name_of_weights({"margin": -0.123456, "my_parts:length": 1234.6})
    assert parse_weights(name) == {"margin": -0.123, "my_parts:length": 1230.0}


def test_weights_need_of_a_learner_what_their_features_need() -> None:
    assert entry_of("weights:density=1,novelty=2").needs == frozenset()
    assert entry_of("weights:density=1,gini=2").needs == {"classes"}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("weights:", "has the part ''"),
        ("weights:margin", "has the part 'margin'"),
        ("weights:margin=much", "has the part 'margin=much'"),
        ("weights:margin=inf", "has the part 'margin=inf'"),
        ("weights:margin=1,margin=2", "weighs 'margin' twice"),
        ("weights:margin=0", "at least one feature with a weight other than 0"),
        ("weights:rarety=1", "Did you mean 'rarity'"),
    ],
)
def test_a_name_that_cannot_be_read_is_refused_with_what_to_write(name: str, words: str) -> None:
    with pytest.raises(ReActError, match=words):
        make_strategy(name)


def test_a_feature_put_in_place_by_a_program_makes_the_weights_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = "weights:margin=1,gini=1"
    assert is_packaged(name)
    assert added_by(name) is None
    own = Feature(FEATURES["gini"].of, "own", frozenset({"predictions"}))
    monkeypatch.setitem(FEATURES, "gini", own)
    assert not is_packaged(name)
    assert own.of in parts_behind(name)
    assert added_by(name) == own.of.__module__
