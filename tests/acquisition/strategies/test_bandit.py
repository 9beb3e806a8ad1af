"""The bandit over strategies against the formulas of its papers, followed by hand for whole episodes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch

from react_rl.acquisition import Entropy, Margin, RandomSampling, make_strategy
from react_rl.acquisition.contract import QueryStrategy
from react_rl.acquisition.strategies.bandit import ActiveLearningByLearning, Exp4P
from react_rl.acquisition.wide.narrow import NarrowView
from react_rl.errors import ReActError
from react_rl.seeding import Streams
from react_rl.simulation import EpisodeOptions, LabelingEngine, synthetic_encoded

ARMS: tuple[QueryStrategy, ...] = (Margin(), make_strategy("typicality"))
OPTIONS = EpisodeOptions(pool_size=50, dev_size=30, initial_size=5, budget=24, batch_size=1)


def started(n_episodes: int = 3, **changes: object) -> LabelingEngine:
    data = [synthetic_encoded(300, size, seed=size) for size in (2, 5)]
    engine = LabelingEngine(data, OPTIONS.model_copy(update=changes), n_episodes)
    engine.reset([Streams(k) for k in range(n_episodes)], corpora=[k % 2 for k in range(n_episodes)])
    return engine


def bandit() -> ActiveLearningByLearning:
    return ActiveLearningByLearning("mine", ARMS)


def test_exp4p_follows_its_formulas() -> None:
    found = Exp4P(3, 20, 0.1)
    least = np.sqrt(np.log(3) / (3 * 20))
    assert found.smallest == pytest.approx(least)
    np.testing.assert_allclose(found.chances, 1 / 3)
    weights = np.ones(3)
    for reward, shares in ((0.5, [0.0, 3.0, 0.0]), (0.8, [2.0, 2.0, 0.0]), (0.1, [0.0, 0.0, 4.0])):
        chances = (1 - 3 * least) * weights / weights.sum() + least
        np.testing.assert_allclose(found.chances, chances)
        bonus = np.sqrt(np.log(3 / 0.1) / (3 * 20)) / chances
        weights = weights * np.exp(least / 2 * (reward * np.array(shares) + bonus))
        found.learn(reward, np.array([shares]))


def test_few_draws_leave_every_arm_its_even_share() -> None:
    found = Exp4P(4, 2, 0.1)
    found.learn(9.0, np.array([[9.0, 0.0, 0.0, 0.0]]))
    np.testing.assert_allclose(found.chances, 0.25)


class ByHand:
    """One episode of the algorithm as the paper prints it, for batches whose draws share a reward."""

    def __init__(self, horizon: float) -> None:
        n_arms = len(ARMS) + 1
        self.n_arms, self.horizon = n_arms, horizon
        self.least = float(np.sqrt(np.log(n_arms) / (n_arms * horizon)))
        self.weights = np.ones(n_arms)
        self.importance: dict[int, float] = {}

    @property
    def chances(self) -> npt.NDArray[np.float64]:
        even = self.weights / self.weights.sum()
        result: npt.NDArray[np.float64] = (1 - self.n_arms * self.least) * even + self.least
        return result

    def played(
        self, advice: list[list[int]], free: list[int], picks: list[int], right: set[int], pool_size: int
    ) -> None:
        left, shares = list(free), []
        for pick in picks:
            given = np.zeros((self.n_arms, 300))
            for k, order in enumerate(advice):
                given[k, next(row for row in order if row in left)] = 1.0
            given[-1, left] = 1.0 / len(left)
            chance = float(self.chances @ given[:, pick])
            self.importance[pick] = 1.0 / chance
            shares.append(given[:, pick] / chance)
            left.remove(pick)
        reward = sum(w for row, w in self.importance.items() if row in right) / pool_size / self.horizon
        chances = self.chances
        for share in shares:
            bonus = np.sqrt(np.log(self.n_arms / 0.1) / (self.n_arms * self.horizon)) / chances
            self.weights = self.weights * np.exp(self.least / 2 * (reward * share + bonus))


@pytest.mark.parametrize("batch", [1, 4])
def test_whole_episodes_are_those_of_the_published_algorithm(batch: int) -> None:
    engine, mine = started(batch_size=batch), bandit()
    hands = [ByHand(24.0) for _ in range(3)]
    seen: list[npt.NDArray[np.float64]] = []
    while not engine.finished.all():
        view = engine.view
        seen.append(mine.chances(view).numpy())
        for e, hand in enumerate(hands):
            np.testing.assert_allclose(seen[-1][e], hand.chances, rtol=1e-9)
        advice = [arm.select(view, batch).tolist() for arm in ARMS]
        free = [view.ids[e][view.available[e]].tolist() for e in range(3)]
        ids = mine.select(view, batch)
        engine.step(ids)
        for e, hand in enumerate(hands):
            targets = engine.corpus_of(e).corpus.targets
            model = dict(zip(engine.view.ids[e].tolist(), engine.view.predicted[e].tolist(), strict=True))
            picks = ids[e].tolist()
            right = {row for row in [*hand.importance, *picks] if model[row] == targets[row]}
            hand.played([arm[e] for arm in advice], free[e], picks, right, 50)
    assert np.abs(seen[-1] - 1 / 3).max() > 0.005, "the chances moved"
    assert np.abs(seen[-1][0] - seen[-1][1]).max() > 1e-4, "each episode has learnt its own"


def test_rows_are_drawn_with_their_chances() -> None:
    engine = started(1500, batch_size=2)
    view = engine.view
    first = torch.stack([arm.select(view, 2)[:, 0] for arm in ARMS], 1)
    ids = bandit().select(view, 2)
    for place, rows in ((0, 45), (1, 44)):
        hit = (ids[:, place, None] == first).double().mean(0)
        # The second draw may repeat no row, so there the advice is still the first row where it is left.
        free = (ids[:, :place, None] != first[:, None]).all(1).double().mean(0)
        expected = (1 / 3 + 1 / 3 / rows) * free
        assert (hit - expected).abs().max() < 4 * np.sqrt(0.25 / 1500)
    elsewhere = (ids[:, 0, None] != first).all(1).double().mean()
    assert elsewhere == pytest.approx(1 / 3, abs=0.05)


def test_what_was_learnt_belongs_to_the_episode_and_ends_with_it() -> None:
    engine, other = started(2, batch_size=4), started(2, batch_size=4)
    played = []
    for _ in range(3):
        ids = bandit().select(engine.view, 4)
        # A second look in the same round has no effect on what is learnt.
        bandit().score(engine.view)
        played.append(ids.tolist())
        engine.step(ids)
    learnt = bandit().chances(engine.view)
    assert (learnt - 1 / 3).abs().max() > 1e-3
    engine.reset([Streams(1)], [1], [1])
    now = bandit().chances(engine.view)
    assert torch.equal(now[0], learnt[0])
    np.testing.assert_allclose(now[1], 1 / 3)
    one = bandit()
    for expected in played[:1]:
        assert one.select(other.view, 4).tolist() == expected


def test_streams_that_are_used_again_begin_a_new_episode() -> None:
    engine, streams = started(1, batch_size=4), Streams(7)
    for _ in range(2):
        engine.reset([streams], [0], [0])
        np.testing.assert_allclose(bandit().chances(engine.view), 1 / 3)
        for _ in range(3):
            engine.step(bandit().select(engine.view, 4))
        assert (bandit().chances(engine.view) - 1 / 3).abs().max() > 1e-4


def test_a_bandit_that_looks_at_some_episodes_only_knows_what_they_told() -> None:
    engine = started(2, batch_size=4)
    for _ in range(3):
        engine.step(bandit().select(engine.view, 4))
    columns = torch.arange(engine.view.width).expand(1, -1)
    narrow = NarrowView(engine.view, torch.tensor([1]), columns)
    assert torch.equal(bandit().chances(narrow)[0], bandit().chances(engine.view)[1])


def test_a_batch_that_was_not_bought_teaches_nothing() -> None:
    engine = started(2)
    bandit().select(engine.view, 1)
    engine.step(RandomSampling().select(engine.view, 1))
    bought = bandit().chances(engine.view)
    np.testing.assert_allclose(bought, 1 / 3)


def test_draws_without_an_answer_teach_nothing() -> None:
    engine = started(3, abstention=0.999999)
    mine = bandit()
    for _ in range(4):
        engine.step(mine.select(engine.view, 2))
    np.testing.assert_allclose(mine.chances(engine.view), 1 / 3)


def test_an_arm_that_does_good_is_drawn_more_often() -> None:
    found = Exp4P(3, 100, 0.1)
    stream = np.random.default_rng(0)
    for _ in range(60):
        arm = int(stream.choice(3, p=found.chances))
        share = np.zeros((1, 3))
        share[0, arm] = 1 / found.chances[arm]
        found.learn(1.0 if arm == 1 else 0.0, share)
    assert found.chances.argmax() == 1
    assert found.chances[1] > 0.5
    assert found.chances.min() >= found.smallest


def test_wrong_settings_are_named() -> None:
    with pytest.raises(ReActError, match="no strategies to learn about"):
        ActiveLearningByLearning("mine", ())
    with pytest.raises(ReActError, match="delta 2 is no chance"):
        ActiveLearningByLearning("mine", (Entropy(),), 2)
