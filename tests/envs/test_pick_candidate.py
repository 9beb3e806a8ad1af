"""Picking candidates: who is proposed, what is seen of them; a packed policy plays as in training."""

from __future__ import annotations

import warnings
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from gymnasium.utils.env_checker import check_env as gymnasium_check
from stable_baselines3.common.env_checker import check_env as sb3_check

from react_rl.acquisition.batching.row_features import RowFeatures
from react_rl.agents import LearnedStrategy
from react_rl.envs import (
    BatchedLabeling,
    LabelingEnv,
    LabelingVecEnv,
    LabelingVectorEnv,
    RewardSettings,
    build_environment,
    make_interface,
)
from react_rl.envs.interfaces import Frame, Interface
from react_rl.errors import ReActError
from react_rl.seeding import Streams
from react_rl.simulation import EncodedCorpus, EpisodeOptions, LabelingEngine, synthetic_encoded

OPTIONS = EpisodeOptions(pool_size=40, dev_size=30, initial_size=5, budget=14, batch_size=4)
FEATURES = ("margin", "novelty", "density", "variance")


@cache
def corpus(priced: bool = False) -> EncodedCorpus:
    made = synthetic_encoded(200, 3, seed=1)
    if not priced:
        return made
    cost = np.random.default_rng(0).uniform(0.5, 4.0, 200)
    return replace(made, corpus=replace(made.corpus, cost=cost), cost=torch.from_numpy(cost))


def settings(**changes: Any) -> dict[str, Any]:
    given = {"action_space": "pick-candidate", "candidates": 8, "features": FEATURES, "corpus": corpus()}
    return given | {"episode": OPTIONS} | changes


def core(n: int = 3, data: EncodedCorpus | None = None, **changes: Any) -> BatchedLabeling:
    given: dict[str, Any] = {"candidates": 8, "features": FEATURES}
    interface = make_interface("pick-candidate", **(given | changes))
    made = BatchedLabeling([data or corpus()], OPTIONS, interface, RewardSettings(scale="one"), n)
    made.reset([Streams(k) for k in range(n)])
    return made


@pytest.mark.parametrize("stop", [False, True])
def test_both_checkers_accept_it(stop: bool) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # The networks of this package read the table of candidates as it is.
        warnings.filterwarnings("ignore", message="Your observation candidates has an unconventional shape")
        gymnasium_check(LabelingEnv(**settings(stop=stop)), skip_render_check=True)
        sb3_check(LabelingEnv(**settings(stop=stop)))


def assert_same(one: dict[str, Any], other: dict[str, Any], **tolerance: Any) -> None:
    assert one.keys() == other.keys()
    for key in one:
        np.testing.assert_allclose(one[key], other[key], **tolerance)


def test_the_three_faces_give_the_same_numbers_step_by_step() -> None:
    n = 2
    vector, baselines = (
        LabelingVectorEnv(n, **settings(stop=True)),
        LabelingVecEnv(None, n, **settings(stop=True)),
    )
    spread = baselines.seed(7)
    singles = [LabelingEnv(**settings(stop=True)) for _ in range(n)]
    observed, _ = vector.reset(seed=7)
    theirs: Any = baselines.reset()
    assert_same(theirs, observed)
    for env, seed in zip(singles, spread, strict=True):
        env.reset(seed=seed)
    rng, ends = np.random.default_rng(0), 0
    for _ in range(40):
        actions = rng.integers(0, 9, n)
        masks = np.stack(baselines.env_method("action_masks"))
        observed, rewards, ended, _, infos = vector.step(actions)
        theirs, their_rewards, their_ended, their_infos = baselines.step(actions)
        assert_same(theirs, observed)
        np.testing.assert_array_equal(their_ended, ended)
        np.testing.assert_allclose(their_rewards, rewards, atol=1e-6)
        for e, env in enumerate(singles):
            assert env.action_masks().tolist() == masks[e].tolist()
            own, reward, over, _, info = env.step(actions[e])
            assert over == ended[e]
            assert reward == pytest.approx(rewards[e], abs=1e-4)
            if over:
                ends += 1
                assert_same(own, infos["final_obs"][e], atol=1e-3)
                assert_same(own, their_infos[e]["terminal_observation"], atol=1e-3)
                own, _ = env.reset()
            else:
                assert info["ids"].tolist() == infos["ids"][e].tolist()
            assert_same(own, {key: array[e] for key, array in observed.items()}, atol=1e-3)
    assert ends > n


def test_candidates_are_those_of_the_proposers_and_carry_their_own_features() -> None:
    env = core(proposers=("uncertainty", "random"))
    for _ in range(6):
        frame = env.frame
        view = frame.view
        assert frame.candidates is not None
        columns = torch.searchsorted(view.ids, frame.candidates)
        rows = RowFeatures(view.start, FEATURES)
        for pick in view.picks.unbind(1):
            rows.add(pick)
        for e in range(3):
            assert view.available[e][columns[e]].all()
            assert len(set(columns[e].tolist())) == 8
            margin = torch.where(view.available[e], rows.values[e, :, 0], -torch.inf)
            best = rows.values[e, columns[e, :4], 0].sort(descending=True).values
            torch.testing.assert_close(best, margin.topk(4).values)
            np.testing.assert_allclose(
                frame.observation["candidates"][e], rows.values[e][columns[e]].numpy(), atol=1e-4
            )
        env.step(np.zeros(3, dtype=np.int64))


def test_the_learner_waits_for_the_batch_and_rewards_come_with_the_refit() -> None:
    env = core()
    logits = env.frame.view.logits.clone()
    for pick in range(4):
        assert env.frame.observation["context"][:, -1] == pytest.approx(pick / 4)
        transition = env.step(np.zeros(3, dtype=np.int64))
        assert transition.learned.tolist() == [pick == 3] * 3
        assert transition.cost.tolist() == [1, 1, 1]
        assert env.engine.labels.tolist() == [5 if pick < 3 else 9] * 3
        if pick < 3:
            assert transition.rewards.tolist() == [0, 0, 0]
            assert torch.equal(env.frame.view.logits, logits)
    assert not torch.equal(env.frame.view.logits, logits)
    assert env.engine.rounds.tolist() == [1, 1, 1]


class Scripted:
    """Stands for a policy: the action is a number that the observation says, so it plays alike anywhere."""

    def __init__(self, actions: int) -> None:
        self.actions = actions

    def __call__(self, observation: dict[str, npt.NDArray[Any]]) -> npt.NDArray[np.int64]:
        seen = np.round(np.abs(observation["candidates"][:, :, 0]).sum(1) * 50)
        return np.asarray(seen, dtype=np.int64) % self.actions

    def predict(self, observation: Any, deterministic: bool) -> tuple[Any, None]:
        return self(observation), None


@pytest.mark.parametrize("stop", [False, True])
@pytest.mark.parametrize("priced", [False, True])
def test_a_packed_policy_buys_what_it_bought_in_the_environment(stop: bool, priced: bool) -> None:
    data = corpus(priced)
    env = core(4, data, stop=stop)
    policy = Scripted(8 + stop)
    bought: list[list[int]] = [[] for _ in range(4)]
    while not env.engine.finished.all():
        transition = env.step(policy(env.frame.observation))
        for e in range(4):
            bought[e] += [int(i) for i in transition.ids[e] if i >= 0]
    interface = make_interface("pick-candidate", candidates=8, features=FEATURES, stop=stop)
    strategy = LearnedStrategy("scripted", policy, interface)  # type: ignore[arg-type]
    engine = LabelingEngine([data], OPTIONS, 4)
    engine.reset([Streams(k) for k in range(4)])
    packed: list[list[int]] = [[] for _ in range(4)]
    while not engine.finished.all():
        ids = strategy.select(engine.view, 4)
        for e, row in enumerate(engine.step(ids).ids):
            packed[e] += [int(i) for i in row if i >= 0]
        engine.stop((ids < 0).all(1).numpy())
    assert packed == bought
    assert sum(map(len, bought)) > 8


def test_stopping_ends_the_episode_at_a_rounds_start_and_the_batch_after_a_pick() -> None:
    env = core(2, stop=True)
    stop = 8
    first = env.step(np.array([stop, 0]))
    assert first.ended.tolist() == first.stopped.tolist() == [True, False]
    later = env.step(np.array([0, stop]))
    assert later.ended.tolist() == [True, False]
    assert not later.stopped[1]
    assert later.learned.tolist() == [False, True]
    assert env.engine.labels.tolist() == [5, 6]
    assert env.step(np.array([0, stop])).stopped.tolist() == [False, True]


def frames_alike(one: Frame, other: Frame) -> None:
    assert one.candidates is not None
    assert other.candidates is not None
    assert one.candidates.tolist() == other.candidates.tolist()
    assert_same(one.observation, other.observation, atol=1e-5)


def test_a_frame_that_reuses_the_last_is_the_frame_from_scratch() -> None:
    env = core()
    interface: Interface = env.interface
    for _ in range(6):
        frames_alike(env.frame, interface.frame(env.engine.view))
        env.step(np.ones(3, dtype=np.int64))


def test_neighbours_at_another_pick_do_not_show() -> None:
    mixed, alone = core(2, stop=True), core(2, stop=True)
    # The first episode ends its batch after two picks in one world, and the second never does.
    for actions in ([0, 0], [0, 0], [8, 0], [0, 0], [0, 1], [1, 2]):
        mixed.step(np.array(actions))
        alone.step(np.array([0, actions[1]]))
        one, other = mixed.frame, alone.frame
        assert one.candidates is not None
        assert other.candidates is not None
        assert one.candidates[1].tolist() == other.candidates[1].tolist()
        assert_same(*({k: v[1] for k, v in f.observation.items()} for f in (one, other)), atol=1e-4)


def test_a_small_pool_leaves_candidates_out_and_the_mask_says_so() -> None:
    env = core(1, candidates=64)
    frame = env.frame
    assert frame.mask is not None
    assert frame.mask.sum() == 35
    assert frame.mask[0, :35].all()
    assert frame.candidates is not None
    assert (frame.candidates[0, 35:] == -1).all()
    assert not frame.observation["candidates"][0, 35:].any()
    # What the mask forbids picks the first candidate.
    decision = env.interface.decide(frame, np.array([50]))
    assert decision.ids[0, 0] == frame.candidates[0, 0]


def test_the_last_row_of_a_pool_is_proposed_once() -> None:
    env = core(1, candidates=8)
    for column in (0, 39):
        view = env.frame.view.within(torch.arange(40) == column)
        view.available[0, column] = True
        frame = env.interface.frame(view)
        assert frame.candidates is not None
        assert frame.candidates[0].tolist() == [int(view.ids[0, column]), *[-1] * 7]


def test_all_rows_can_be_candidates_if_there_is_room() -> None:
    env = core(2, candidates=35, proposers=("all",))
    assert env.frame.candidates is not None
    for e in range(2):
        assert env.frame.candidates[e].tolist() == env.frame.view.ids[e][env.frame.view.available[e]].tolist()
    with pytest.raises(ReActError, match=r"35 rows to propose, but candidates is 30; set candidates to 35"):
        core(2, candidates=30, proposers=("all",))


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"proposers": ["mixtre"]}, "Unknown proposer 'mixtre'. Did you mean 'mixture'"),
        ({"proposers": ["random", "random"]}, "each named once"),
        ({"proposers": ["all", "random"]}, "proposes every row"),
        ({"candidates": 2, "proposers": ["random", "mixture", "herding"]}, "at least 3"),
        ({"candidates": 1, "proposers": ["random"]}, "at least 2"),
        ({"features": ["margn"]}, "Did you mean 'margin'"),
        ({"features": []}, "at least one"),
        ({"candidats": 4}, "Did you mean 'candidates'"),
    ],
)
def test_wrong_settings_are_answered_with_one_sentence(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ReActError, match=sentence):
        build_environment(**settings(**given))


def test_it_is_built_again_from_its_description() -> None:
    made = make_interface("pick-candidate", candidates=9, proposers=("random", "density"), stop=True)
    again = make_interface(**made.describe())
    assert again.describe() == made.describe()
    assert again.observation_space == made.observation_space
    assert again.action_space == made.action_space
