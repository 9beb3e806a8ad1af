"""What every query strategy must do. Strategies in the registry are tested without further ado."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from react_rl.acquisition import STRATEGIES, make_strategy, suited
from react_rl.contracts import STRATEGY_CHECKS
from react_rl.contracts.worlds import OPTIONS, begun, corpora, equal_rows
from react_rl.errors import ReActError
from react_rl.simulation import Draw, EpisodeOptions

every_strategy = pytest.mark.parametrize("name", sorted(suited()))


@every_strategy
@pytest.mark.parametrize("check", sorted(set(STRATEGY_CHECKS) - {"picks_available_and_distinct"}))
def test_a_strategy_keeps_its_contract(name: str, check: str) -> None:
    STRATEGY_CHECKS[check](lambda: make_strategy(name))


@every_strategy
@given(
    n=st.integers(1, 50),
    rounds=st.integers(0, 4),
    seed=st.integers(0, 500),
    classes=st.sampled_from([None, (2, 2)]),
)
@settings(max_examples=15, deadline=None)
def test_ids_are_available_and_distinct_and_as_many_as_there_can_be(
    name: str, n: int, rounds: int, seed: int, classes: tuple[int, int] | None
) -> None:
    options = OPTIONS.model_copy(update={"classes": classes})
    data = corpora()[:2] if classes else corpora()
    view = begun([seed, seed + 1, seed + 2], data, rounds, options).view
    ids = make_strategy(name).select(view, n)
    assert ids.shape == (3, n)
    assert ids.dtype == torch.int64
    for e in range(3):
        free = set(view.ids[e][view.available[e]].tolist())
        taken = [i for i in ids[e].tolist() if i != -1]
        assert len(taken) == min(n, len(free))
        assert len(set(taken)) == len(taken)
        assert set(taken) <= free
        assert ids[e, len(taken) :].tolist() == [-1] * (n - len(taken))


@every_strategy
def test_the_ids_move_with_the_rows_when_rows_are_renumbered(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if STRATEGIES[name].draws:
        pytest.skip("the strategy draws numbers for positions")
    data = corpora()[1]
    n_rows = data.corpus.n_rows
    new_id = np.random.default_rng(0).permutation(n_rows)
    old_id = np.argsort(new_id)
    base = data.corpus
    moved = replace(
        base,
        texts=tuple(base.texts[i] for i in old_id),
        targets=base.targets[old_id],
        split=base.split[old_id],
        cost=base.cost[old_id],
    )
    order = torch.from_numpy(old_id)
    names = ("embeddings", "density", "cost", "surprisal")
    twin = replace(data, corpus=moved, **{name: getattr(data, name)[order] for name in names})
    engine = begun([11], data=[data])
    draw = engine.draw_of(0)
    renumbered = Draw(
        0, draw.classes, np.sort(new_id[draw.pool]), np.sort(new_id[draw.dev]), np.sort(new_id[draw.initial])
    )
    monkeypatch.setattr("react_rl.simulation.draws.draw_episode", lambda *_: renumbered)
    other = begun([11], data=[twin])
    for _ in range(4):
        ids = make_strategy(name).select(engine.view, 4)
        theirs = make_strategy(name).select(other.view, 4)
        assert new_id[ids.numpy()].tolist() == theirs.tolist()
        engine.step(ids)
        other.step(theirs)


@every_strategy
@pytest.mark.parametrize("n", [1, 3])
def test_equal_rows_are_drawn_evenly_and_seeds_differ(name: str, n: int) -> None:
    options = EpisodeOptions(pool_size=14, dev_size=10, initial_size=4, budget=4, batch_size=1)
    view = begun(range(800), [equal_rows()], options=options).view
    ids = make_strategy(name).select(view, n)
    counts = np.zeros(10)
    for e in range(800):
        free = view.ids[e][view.available[e]]
        counts[torch.searchsorted(free, ids[e]).numpy()] += 1
    expected = 800 * n / 10
    # Picks of one episode are distinct, so with n > 1 the statistic is even smaller than chi-square.
    assert ((counts - expected) ** 2 / expected).sum() < chi2.ppf(0.999, df=9)
    assert len({tuple(row) for row in ids.tolist()}) > 100


@every_strategy
def test_it_calls_itself_as_the_registry_does(name: str) -> None:
    assert make_strategy(name).name == name
    assert STRATEGIES[name].summary
    families = {"random", "uncertainty", "diversity", "representative", "hybrid", "cost-aware", "adaptive"}
    assert STRATEGIES[name].family in families


def test_names_with_a_comma_between_them_are_to_be_named_apart() -> None:
    with pytest.raises(ReActError, match=r"'random,margin'\. Several are named apart: random margin\.$"):
        make_strategy("random,margin")
    with pytest.raises(ReActError, match="`react-rl list strategies` shows all"):
        make_strategy("random,margn")


def test_a_strategy_is_named_by_text() -> None:
    with pytest.raises(ReActError, match="named by text, such as 'margin', and not by NoneType"):
        make_strategy(None)  # type: ignore[arg-type]


def test_an_unknown_strategy_names_the_nearest_and_where_all_are_listed() -> None:
    wanted = (
        r"^Unknown strategy 'margn'\. Did you mean 'margin'( or '[^']+'){0,2}\? `react-rl list strategies`"
    )
    with pytest.raises(ReActError, match=wanted):
        make_strategy("margn")
