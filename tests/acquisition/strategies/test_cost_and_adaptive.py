"""Ratios, packing into what is left of a budget, and strategies that choose among strategies."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from react_rl.acquisition import Entropy, Margin, RandomSampling, make_strategy
from react_rl.acquisition.registry import entry_of, is_strategy
from react_rl.acquisition.strategies.adaptive import PhaseSwitch, RoundRobin
from react_rl.acquisition.strategies.cost import PerCost, ReturnOnInvestment, parse_per_cost
from react_rl.contracts import STRATEGY_CHECKS
from react_rl.errors import ReActError
from react_rl.seeding import Streams
from react_rl.simulation import EpisodeOptions, LabelingEngine, synthetic_encoded
from react_rl.simulation.view import PoolView


def packed(worth: dict[int, float], cost: dict[int, float], budget: float, n: int) -> list[int]:
    """Rows by falling worth for each cost unit, those that fit first."""
    order = sorted(worth, key=lambda i: -worth[i] / cost[i])
    taken: list[int] = []
    for i in order:
        if len(taken) < n and cost[i] <= budget + 1e-9:
            taken.append(i)
            budget -= cost[i]
    return (taken + [i for i in order if i not in taken])[:n]


@pytest.mark.parametrize("left", [60.0, 9.0, 3.0])
@pytest.mark.parametrize("n", [1, 4, 30])
def test_rows_are_packed_into_what_is_left_of_the_budget(mixed: LabelingEngine, left: float, n: int) -> None:
    mixed.spent[:] = 60.0 - left
    mixed.stop(np.zeros(6, dtype=np.bool_))  # the view is made again
    view = mixed.view
    ids = make_strategy("margin-per-cost").select(view, n)
    bought = []
    for e in range(6):
        free = view.available[e]
        rows = view.ids[e][free].tolist()
        cost = dict(zip(rows, view.cost[e][free].tolist(), strict=True))
        worth = dict(zip(rows, (1 - view.margin[e][free].double()).tolist(), strict=True))
        expected = packed(worth, cost, left, n)
        assert ids[e].tolist() == expected + [-1] * (n - len(expected))
        bought.append(sum(cost[i] for i in expected))
    if (left, n) == (9.0, 30):
        assert all(total > left for total in bought), "the rows behind the budget are asked for too"


def test_a_worse_row_that_fits_goes_before_a_better_one_that_does_not(mixed: LabelingEngine) -> None:
    mixed.spent[:] = 55.0
    mixed.stop(np.zeros(6, dtype=np.bool_))
    before = mixed.spent.copy()
    result = mixed.step(make_strategy("margin-per-cost").select(mixed.view, 8))
    assert (mixed.spent <= 60.0).all()
    assert (result.cost > 0).all()
    assert (before + result.cost == mixed.spent).all()


def worth_for_cost(view: PoolView, base: str, deviations: float, e: int) -> np.ndarray:
    """Of the rows of one episode, columns that cannot be bought at minus infinity."""
    free = view.available[e].numpy()
    scores = make_strategy(base).score(view)[e].double().numpy()
    spread = scores[free].std()
    worth = np.maximum((scores - scores[free].mean()) / spread + deviations, 0.0)
    return np.where(free, worth / view.cost[e].numpy(), -np.inf)


@pytest.mark.parametrize("base", ["margin", "mixture", "uncertainty-herding"])
def test_each_pick_is_worth_most_for_its_price_once_the_others_are_bought(
    mixed: LabelingEngine, base: str
) -> None:
    view, n = mixed.view, 4
    ids = make_strategy(f"per-cost:0.5:{base}").select(view, n)
    columns = torch.searchsorted(view.ids, ids)
    for turn in range(n):
        now = view.after(columns[:, :turn])
        for e in range(6):
            worth = worth_for_cost(now, base, 0.5, e)
            assert worth[int(columns[e, turn])] == pytest.approx(worth.max())
    assert not torch.equal(ids, make_strategy(base).select(view, n))


def test_at_one_price_the_base_chooses_and_beyond_the_budget_rows_come_last(mixed: LabelingEngine) -> None:
    options = EpisodeOptions(pool_size=60, dev_size=30, initial_size=6, budget=40, batch_size=5)
    plain = LabelingEngine([synthetic_encoded(300, 3)], options, 2)
    plain.reset([Streams(0), Streams(1)])
    expected = make_strategy("mixture").select(plain.view, 5)
    assert torch.equal(make_strategy("per-cost:mixture").select(plain.view, 5), expected)
    mixed.spent[:] = 55.0
    mixed.stop(np.zeros(6, dtype=np.bool_))
    view = mixed.view
    ids = make_strategy("per-cost:mixture").select(view, 30)
    cost = view.cost.gather(1, torch.searchsorted(view.ids, ids.clamp_min(0)))
    for e in range(6):
        count = int((ids[e] >= 0).sum())
        assert count == min(30, int(view.available[e].sum()))
        assert len(set(ids[e][:count].tolist())) == count
        bought = int((cost[e].cumsum(0) <= 5.0 + 1e-9).sum())
        left = 5.0 - float(cost[e][:bought].sum())
        rest = [float(view.cost[e, c]) for c in range(view.width)
                if view.available[e, c] and view.ids[e, c] not in ids[e][:bought]]  # fmt: skip
        assert min(rest) > left, "a row that fits comes before one that does not"


@pytest.mark.parametrize("check", sorted(STRATEGY_CHECKS))
def test_a_strategy_for_each_unit_of_cost_keeps_the_contract(check: str) -> None:
    STRATEGY_CHECKS[check](lambda: make_strategy("per-cost:mixture"))


def test_names_of_strategies_for_each_unit_of_cost() -> None:
    assert parse_per_cost("per-cost:mnlp") == ("mnlp", 1.0)
    assert parse_per_cost("per-cost:0.5:subsample:20:mnlp") == ("subsample:20:mnlp", 0.5)
    assert is_strategy("per-cost:learned")
    assert entry_of("per-cost:mnlp").needs == {"tokens"}
    for name, sentence in (
        ("per-cost:", "names nothing to choose with"),
        (
            "per-cost:2:per-cost:margin",
            "says 'per-cost:' twice; once is all it takes: write 'per-cost:margin'",
        ),
        ("per-cost:200:margin", "take a number from 0 to 100"),
        ("per-cost:margine", "Unknown strategy 'margine'"),
    ):
        with pytest.raises(ReActError, match=sentence):
            make_strategy(name)
    with pytest.raises(ReActError, match="'x' calls rows -1 deviations"):
        ReturnOnInvestment("x", Margin(), -1.0)


def test_random_rows_for_each_cost_unit_are_cheap_rows(mixed: LabelingEngine) -> None:
    view = mixed.view
    prices = [
        view.cost[
            e, torch.searchsorted(view.ids[e], make_strategy("random-per-cost").select(view, 5)[e])
        ].mean()
        for e in range(6)
    ]
    means = [view.cost[e][view.available[e]].mean() for e in range(6)]
    assert all(price < mean for price, mean in zip(prices, means, strict=True))


def test_negative_scores_count_as_nothing(mixed: LabelingEngine) -> None:
    assert not PerCost("mine", Margin()).score(mixed.view)[mixed.view.available].any()


def test_each_episode_changes_its_phase_when_its_own_budget_says_so(mixed: LabelingEngine) -> None:
    mixed.spent[:] = [0.0, 17.9, 18.0, 18.1, 40.0, 12.0]
    mixed.stop(np.zeros(6, dtype=np.bool_))
    view = mixed.view
    both = PhaseSwitch("mine", Entropy(), Margin(), share=0.3)
    ids, scores = both.select(view, 5), both.score(view)
    early, late = Entropy().select(view, 5), Margin().select(view, 5)
    for e, phase in enumerate([early, early, late, late, late, early]):
        assert ids[e].tolist() == phase[e].tolist()
    assert torch.equal(scores[1].float(), view.entropy[1])
    assert torch.equal(scores[2].float(), -view.margin[2])
    assert early[3].tolist() != late[3].tolist() or early[4].tolist() != late[4].tolist()


def test_strategies_take_turns_by_the_round_of_each_episode(mixed: LabelingEngine) -> None:
    mixed.rounds[:] = [0, 1, 2, 3, 4, 5]
    mixed.stop(np.zeros(6, dtype=np.bool_))
    view = mixed.view
    turns = (Entropy(), Margin(), make_strategy("k-center"))
    ids = RoundRobin("mine", turns).select(view, 5)
    for e in range(6):
        assert ids[e].tolist() == turns[e % 3].select(view, 5)[e].tolist()


def test_only_the_stream_of_the_strategy_whose_turn_it_is_moves(mixed: LabelingEngine) -> None:
    mixed.rounds[:] = [0, 1, 0, 1, 0, 1]
    mixed.stop(np.zeros(6, dtype=np.bool_))
    before = [copy.deepcopy(s.strategy.bit_generator.state) for s in mixed.draws.streams]
    RoundRobin("mine", (RandomSampling(), Margin())).select(mixed.view, 5)
    moved = [
        str(s.strategy.bit_generator.state) != str(old)
        for s, old in zip(mixed.draws.streams, before, strict=True)
    ]
    assert moved == [True, False] * 3


def test_wrong_settings_are_named() -> None:
    with pytest.raises(ReActError, match=r"share 1\.5"):
        PhaseSwitch("mine", Entropy(), Margin(), 1.5)
    with pytest.raises(ReActError, match="takes turns among none"):
        RoundRobin("mine", ())
