"""The ledger notes what was bought, copies itself for trials, and goes back to where a state was taken."""

from __future__ import annotations

import torch

from react_rl.learners.protocol import FAR
from react_rl.simulation.ledger import Ledger


def filled() -> Ledger:
    ledger = Ledger(2, 3, 5, 1)
    ledger.append(
        torch.tensor([0, 1]), torch.tensor([[4], [2]]), torch.tensor([[1], [-1]]), torch.ones(2, 1, 5)
    )
    ledger.append(torch.tensor([1]), torch.tensor([[0, 3]]), torch.tensor([[2, 0]]), torch.zeros(1, 2, 5))
    return ledger


def test_rows_are_in_order_of_purchase_and_rows_without_an_answer_weigh_nothing() -> None:
    ledger = filled()
    assert ledger.used == [1, 3]
    assert ledger.unanswered
    assert ledger.slot_columns()[1].tolist() == [2, 0, 3]
    assert ledger.slot_mask().tolist() == [[1, 0, 0], [0, 1, 1]]
    assert ledger.class_counts().tolist() == [[0, 1, 0], [1, 0, 1]]
    assert (ledger.slot_rows(5)[1, 0] == FAR).all()


def test_a_purchase_says_which_slots_its_rows_took() -> None:
    ledger = filled()
    bought = ledger.append(
        torch.tensor([0, 1]), torch.tensor([[1], [1]]), torch.tensor([[0], [0]]), torch.zeros(2, 1, 5)
    )
    assert bought.slots.tolist() == [[1], [3]]
    assert bought.everyone
    assert bought.answered
    assert not bought.lockstep


def test_copies_buy_without_touching_the_ledger_they_were_made_from() -> None:
    ledger = filled()
    before = {name: array.clone() for name, array in ledger.state().items()}
    scratch = ledger.replicate(2, 1)
    assert scratch.used == [1, 1, 3, 3]
    everyone = torch.arange(4)
    scratch.append(everyone, torch.ones(4, 1).long(), torch.zeros(4, 1).long(), torch.zeros(4, 1, 5))
    assert all(torch.equal(array, before[name]) for name, array in ledger.state().items())


def test_a_state_brings_everything_back() -> None:
    ledger, other = filled(), Ledger(2, 3, 5, 1)
    other.load_state(ledger.state())
    ledger.forget(torch.tensor([0, 1]))
    assert not ledger.unanswered
    assert (ledger.nearest_labelled(5) == FAR).all()
    assert other.used == [1, 3]
    assert other.class_counts().tolist() == [[0, 1, 0], [1, 0, 1]]


def test_the_nearest_labelled_row_is_up_to_date_whenever_somebody_asks() -> None:
    ledger, drawn = Ledger(2, 3, 5, 1), torch.Generator().manual_seed(0)

    def buy(episodes: list[int]) -> None:
        ids = torch.zeros(len(episodes), 1, dtype=torch.int64)
        similar = torch.rand(len(episodes), 1, 5, generator=drawn)
        ledger.append(torch.tensor(episodes), ids, ids, similar)

    for episodes in ([0, 1], [0, 1], [1], [0], [0, 1], [0]):
        buy(episodes)
        assert torch.equal(ledger.nearest_labelled(4), ledger.rows[:, : ledger.slots, :4].amax(1))
    state = {name: array.clone() for name, array in ledger.state().items()}
    buy([0, 1])
    ledger.nearest_labelled(4)
    ledger.load_state(state)
    assert torch.equal(ledger.nearest_labelled(4), ledger.rows[:, : ledger.slots, :4].amax(1))
    ledger.forget(torch.tensor([0]))
    assert (ledger.nearest_labelled(4)[0] == FAR).all()
