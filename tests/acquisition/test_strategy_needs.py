"""A strategy that is made of others asks of a learner what they ask."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from react_rl.acquisition.catalogue import PACKAGED
from react_rl.acquisition.contract import StrategyEntry
from react_rl.acquisition.registry import STRATEGIES, entry_of, needs_of
from react_rl.acquisition.strategies.adaptive import PhaseSwitch, RoundRobin
from react_rl.acquisition.strategies.calibrated import CalibratedUncertainty
from react_rl.acquisition.strategies.committee import QueryByCommittee
from react_rl.acquisition.strategies.cost import PerCost
from react_rl.acquisition.strategies.gradient import Badge
from react_rl.acquisition.strategies.uncertainty import Margin
from react_rl.acquisition.wide.subsampling import Subsampled
from react_rl.envs.interfaces import ChooseStrategy
from react_rl.errors import ReActError
from react_rl.learners.mlp.training import MlpSettings
from react_rl.learners.registry import check_needs

VOTES = QueryByCommittee("votes", "vote-entropy")


@pytest.mark.parametrize("name", sorted(PACKAGED))
def test_a_listed_strategy_declares_at_least_what_its_parts_need(name: str) -> None:
    assert needs_of(PACKAGED[name].make()) <= PACKAGED[name].needs


@pytest.mark.parametrize(
    ("strategy", "needs"),
    [
        (Margin(), set()),
        (PerCost("per-cost", VOTES), {"committee"}),
        (Subsampled("few", PerCost("votes-per-cost", VOTES), 50), {"committee"}),
        (PhaseSwitch("two", Margin(), CalibratedUncertainty("calm")), {"linear"}),
        (RoundRobin("turns", (Margin(), QueryByCommittee("drops", committee="dropout"))), {"dropout"}),
        (RoundRobin("turns", (Margin(), Badge())), PACKAGED["badge"].needs),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_what_is_inside_is_asked_for(strategy: object, needs: set[str]) -> None:
    assert needs_of(strategy) == needs


def test_a_strategy_of_ones_own_says_what_it_needs() -> None:
    @dataclass(frozen=True)
    class Mine:
        name: str = "mine"
        needs = ("linear",)

    assert needs_of(Mine()) == {"linear"}


def test_names_of_nested_strategies_pass_needs_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(STRATEGIES, "mine", StrategyEntry(lambda: PerCost("mine", VOTES), "own", "x", "-"))
    for name in ("mine", "subsample:50:mine", "subsample:50:vote-entropy"):
        assert "committee" in entry_of(name).needs
        assert "committee" in ChooseStrategy(["random", name]).needs[name]
        with pytest.raises(ReActError, match=f"'{name}' needs several heads"):
            check_needs(name, entry_of(name).needs, MlpSettings(members=1))
