"""Actions: what a weighting or a choice of strategy buys, and which random numbers it draws."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from react_rl.acquisition import MIXTURE, WeightedFeatures, make_strategy
from react_rl.envs import (
    ACTION_SPACES,
    ChooseStrategy,
    Interface,
    LabelingEnv,
    LabelingVecEnv,
    WeighScores,
    build_environment,
    make_interface,
)
from react_rl.envs.interfaces import CHOSEN_STRATEGIES, WEIGHED_FEATURES
from react_rl.errors import ReActError
from react_rl.seeding import Streams
from react_rl.simulation import EncodedCorpus, EpisodeOptions, LabelingEngine, PoolView, synthetic_encoded

OPTIONS = EpisodeOptions(pool_size=60, dev_size=30, initial_size=6, budget=24, batch_size=4)


@cache
def corpora() -> tuple[EncodedCorpus, ...]:
    return tuple(synthetic_encoded(250, size, seed=size) for size in (2, 5))


def view(n: int = 4, rounds: int = 1) -> PoolView:
    engine = LabelingEngine(corpora(), OPTIONS, n)
    engine.reset([Streams(k) for k in range(n)], corpora=[k % 2 for k in range(n)])
    for _ in range(rounds):
        engine.step(make_strategy("random").select(engine.view, 4))
    return engine.view


def decided(
    space: Interface, seen: PoolView, actions: npt.NDArray[Any], n: int
) -> tuple[torch.Tensor, npt.NDArray[np.bool_]]:
    """Ids and stops of a decision."""
    decision = space.decide(replace(space.frame(seen), batch_size=n), actions)
    return decision.ids, decision.stop


def test_choosing_a_strategy_buys_what_the_strategy_would() -> None:
    space = ChooseStrategy()
    for k, name in enumerate(CHOSEN_STRATEGIES):
        ids, stopped = decided(space, view(), np.full(4, k), 5)
        assert ids.tolist() == make_strategy(name).select(view(), 5).tolist(), name
        assert not stopped.any()


def test_a_mixed_choice_gives_each_episode_its_own_strategy_and_random_numbers() -> None:
    space = ChooseStrategy(stop=True)
    names = ["random", "mixture", "random", "k-center", "margin", "entropy"]
    actions = np.array([space.names.index(name) for name in names])
    mixed = view(6)
    ids, _ = decided(space, mixed, actions, 5)
    for e, name in enumerate(names):
        pure, _ = decided(space, view(6), np.full(6, actions[e]), 5)
        assert ids[e].tolist() == pure[e].tolist(), name
    # Streams of episodes whose strategy draws nothing have not moved.
    untouched = view(6)
    for e in (1, 3, 4, 5):
        assert mixed.generator(e).random() == untouched.generator(e).random()
    assert mixed.generator(0).random() != untouched.generator(0).random()


def test_the_stop_choice_stops_and_the_others_play_on() -> None:
    space = ChooseStrategy(("random", "margin"), stop=True)
    ids, stopped = decided(space, view(), np.array([2, 0, 1, 2]), 3)
    assert stopped.tolist() == [True, False, False, True]
    assert (ids[[0, 3]] == -1).all()
    assert (ids[[1, 2]] >= 0).all()


@pytest.mark.parametrize(("stop", "action"), [(False, 2), (True, 3), (True, -1)])
def test_a_choice_outside_the_space_is_refused(stop: bool, action: int) -> None:
    space = ChooseStrategy(("random", "margin"), stop=stop)
    with pytest.raises(ReActError, match=f"{action}"):
        decided(space, view(), np.array([0, action, 0, 0]), 3)


def test_weights_of_the_mixture_buy_what_the_mixture_buys() -> None:
    space = WeighScores(tuple(MIXTURE))
    action = np.tile(np.array(list(MIXTURE.values()), dtype=np.float32), (4, 1))
    ids, stopped = decided(space, view(), action, 6)
    assert ids.tolist() == make_strategy("mixture").select(view(), 6).tolist()
    assert not stopped.any()


def test_with_a_center_the_zero_action_is_the_mixture_and_reach_scales_the_rest() -> None:
    space = WeighScores(center=MIXTURE, reach=0.5)
    ids, _ = decided(space, view(), np.zeros((4, 5), dtype=np.float32), 6)
    assert ids.tolist() == make_strategy("mixture").select(view(), 6).tolist()
    action = np.array([[1.0, -1.0, 0.5, 7.0, -7.0]], dtype=np.float32)
    expected = [0.7 + 0.5, -0.5, 1.25, 1.5, 0.5 - 0.5]
    assert WEIGHED_FEATURES == ("margin", "entropy", "density", "novelty", "balance")
    np.testing.assert_allclose(space.weights(action)[0], expected, rtol=1e-6)


def test_each_episode_is_weighed_by_its_own_action() -> None:
    space = WeighScores(("density", "novelty"))
    table = np.array([[1, 1], [-1, 0.5], [0.2, -1], [0, 1]], dtype=np.float32)
    ids, _ = decided(space, view(), table, 5)
    for e, (density, novelty) in enumerate(table.tolist()):
        alone = WeightedFeatures("one", {"density": density, "novelty": novelty})
        assert ids[e].tolist() == alone.select(view(), 5)[e].tolist()


def test_the_last_coordinate_stops_above_one_half() -> None:
    space = WeighScores(("margin",), stop=True)
    assert space.action_space.shape == (2,)
    action = np.array([[0.3, 0.5], [0.3, 0.51], [0.3, -1.0], [-1.0, 1.0]], dtype=np.float32)
    seen = view()
    ids, stopped = decided(space, seen, action, 4)
    assert stopped.tolist() == [False, True, False, True]
    assert (ids[[1, 3]] == -1).all()
    expected, _ = decided(WeighScores(("margin",)), view(), action[:, :1], 4)
    assert ids[[0, 2]].tolist() == expected[[0, 2]].tolist()


def test_no_weight_at_all_is_random_sampling() -> None:
    space = WeighScores()
    drawn = view(40)
    ids, _ = decided(space, drawn, np.zeros((40, 5), dtype=np.float32), 4)
    columns = torch.searchsorted(drawn.ids, ids)
    again, _ = decided(space, view(40), np.zeros((40, 5), dtype=np.float32), 4)
    assert ids.tolist() == again.tolist(), "the same streams give the same batch"
    assert len(set(columns.flatten().tolist())) > 45


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_an_action_that_is_no_number_is_refused(bad: float) -> None:
    with pytest.raises(ReActError, match="not finite"):
        decided(WeighScores(), view(), np.full((4, 5), bad, dtype=np.float32), 4)


@pytest.mark.parametrize("name", sorted(ACTION_SPACES))
@pytest.mark.parametrize("stop", [False, True])
def test_a_space_is_built_again_from_its_description(name: str, stop: bool) -> None:
    every: dict[str, dict[str, Any]] = {
        "weigh-scores": {"features": ["novelty", "margin"], "center": {"margin": 0.5}, "reach": 2.0},
        "choose-strategy": {"strategies": ["margin", "random"]},
        "pick-candidate": {"candidates": 6, "proposers": ["random"], "features": ["margin"]},
        "decision-units": {"strategies": ["margin", "random"], "recipes": ["plain", "smooth"]},
    }
    changes = every[name]
    space = make_interface(name, stop=stop, **changes)
    described = space.describe()
    again = make_interface(**described)
    assert again.describe() == described
    assert described == {"name": name, "stop": stop, **changes}
    assert again.action_space == space.action_space
    space.action_space.seed(0)
    for _ in range(5):
        actions = np.stack([space.action_space.sample() for _ in range(4)])
        one, other = decided(space, view(), actions, 4), decided(again, view(), actions, 4)
        assert one[0].tolist() == other[0].tolist()
        assert one[1].tolist() == other[1].tolist()


@pytest.mark.parametrize("name", sorted(ACTION_SPACES))
def test_the_largest_score_under_an_action_is_its_first_pick(name: str) -> None:
    space = make_interface(name)
    space.action_space.seed(1)
    for _ in range(6):
        actions = np.stack([space.action_space.sample() for _ in range(4)])
        scored, picked = view(), view()
        scores = torch.where(scored.available, space.score(space.frame(scored), actions).double(), -torch.inf)
        first = decided(space, picked, actions, 3)[0][:, 0]
        for e in range(4):
            place = int((picked.ids[e] == first[e]).nonzero()[0, 0])
            assert scores[e, place] >= scores[e].max() - 1e-5


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"action_space": "weigh-score"}, "Unknown action space 'weigh-score'. Did you mean 'weigh-scores'"),
        ({"features": ["margn"]}, "Unknown feature 'margn'. Did you mean 'margin'"),
        ({"featurs": ["margin"]}, "'featurs'. Did you mean 'features'"),
        ({"features": ["margin", "margin"]}, "each named once"),
        ({"features": []}, "at least one"),
        ({"features": ["margin"], "center": {"novelty": 1.0}}, "Unknown center feature 'novelty'"),
        ({"reach": 0.0}, "reach 0.0 must be above 0"),
        ({"action_space": "choose-strategy", "strategies": ["margn"]}, "Did you mean 'margin'"),
        ({"action_space": "choose-strategy", "strategies": []}, "at least one"),
        ({"action_space": "choose-strategy", "reach": 2.0}, "'reach'"),
        ({"action_space": WeighScores(), "stop": True}, "'stop' goes with the name .* not with an object"),
        ({"observation": "contxt"}, "Unknown observation 'contxt'. Did you mean 'context'"),
        ({"corpus": "bbc_new"}, "Did you mean 'bbc_news'"),
        ({"episode": {"pool_siez": 100}}, "pool_siez.*Did you mean 'pool_size'"),
        ({"episode": {"initial": "balancd"}}, "balancd"),
        ({"episode": {"pool_size": 10_000}}, "pool_size 10000 is larger than"),
    ],
)
def test_wrong_settings_are_answered_with_one_sentence(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ReActError, match=sentence):
        build_environment(**settings)


def test_encoded_corpora_need_no_text_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("an encoder was made")

    monkeypatch.setattr("react_rl.envs.build.make_encoder", refuse)
    monkeypatch.setattr("react_rl.envs.build.ArrayCache", refuse)
    one, other = corpora()
    named = other.with_corpus(replace(other.corpus, name="another"))
    env = build_environment([one, named], episode=OPTIONS, n_episodes=2)
    assert env.reset([Streams(0), Streams(1)]).shape[0] == 2


def test_corpora_that_share_a_name_are_refused() -> None:
    with pytest.raises(ReActError, match="need different names"):
        build_environment(list(corpora()), episode=OPTIONS)


SMALL = OPTIONS.model_dump()


@pytest.mark.parametrize(
    ("space", "action", "sentence"),
    [
        ("weigh-scores", np.zeros(3), r"shape \(1, 3\) do not fit; give an array of shape \(1, 5\)"),
        ("weigh-scores", 3, r"shape \(1,\) do not fit"),
        ("weigh-scores", None, "of type object are no numbers"),
        ("choose-strategy", "margin", "of type <U6 are no numbers"),
        ("choose-strategy", 1.5, r"Action 1.5 is no whole number, which Discrete\(6\) takes"),
        ("choose-strategy", np.nan, "Action nan is no whole number"),
        ("choose-strategy", [1, 2], r"shape \(1, 2\) do not fit"),
        ("pick-candidate", 0.5, "no whole number"),
    ],
)
def test_an_action_that_does_not_fit_is_one_sentence_and_buys_nothing(
    space: str, action: Any, sentence: str
) -> None:
    env = LabelingEnv(action_space=space, episode=SMALL)
    _, before = env.reset(seed=0)
    with pytest.raises(ReActError, match=sentence):
        env.step(action)
    assert env.core.summary(0) == before


@pytest.mark.parametrize("action", [1, 1.0, np.array([1]), np.float32(1)])
def test_a_whole_number_is_an_action_whatever_its_type(action: Any) -> None:
    rewards = []
    for given in (action, np.int64(1)):
        env = LabelingEnv(action_space="choose-strategy", episode=SMALL)
        env.reset(seed=0)
        rewards.append(env.step(given)[1])
    assert rewards[0] == rewards[1]


def test_one_action_is_not_played_in_all_episodes_of_a_vector() -> None:
    envs = LabelingVecEnv(n_episodes=2, episode=SMALL)
    envs.reset()
    with pytest.raises(ReActError, match=r"shape \(1, 5\) do not fit; give an array of shape \(2, 5\)"):
        envs.step(np.zeros((1, 5), np.float32))


def test_masks_of_no_episode_are_refused() -> None:
    picks: dict[str, Any] = {"action_space": "pick-candidate", "candidates": 4, "episode": SMALL}
    with pytest.raises(ReActError, match="call reset before action_masks"):
        LabelingEnv(**picks).action_masks()
    with pytest.raises(ReActError, match="call reset before action_masks"):
        LabelingVecEnv(n_episodes=2, **picks).env_method("action_masks")
