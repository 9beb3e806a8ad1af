"""Studies of the policy that ships: its context, small trainings, the gap to an oracle, prices."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from react_rl.acquisition import make_strategy
from react_rl.acquisition.stopping import StoppingSettings
from react_rl.acquisition.strategies.cost import ReturnOnInvestment
from react_rl.acquisition.strategies.weighted import MIXTURE
from react_rl.agents import LearnedStrategy
from react_rl.agents.imitation.settings import PRICE, ImitationSettings
from react_rl.agents.imitation.states import States
from react_rl.agents.networks import RowScorer, ScorerEnsemble
from react_rl.agents.scorer import ROW_CONTEXT, ScorerStrategy
from react_rl.agents.scorer_folder import pretrained_folder, save_scorer, scorer_card
from react_rl.experiments.config.models import ImitateConfig
from react_rl.experiments.run.episodes import play
from react_rl.experiments.studies import (
    context,
    networks,
    oracle_gap,
    per_cost,
    prices,
    recorded,
    trainings,
)
from react_rl.experiments.studies.scores import ScoreTable
from react_rl.experiments.studies.transfer import CHOICES
from react_rl.simulation import EpisodeOptions, synthetic_encoded
from react_rl.simulation.encoded import EncodedCorpus
from react_rl.validation import validated

SMALL = EpisodeOptions(pool_size=60, dev_size=40, initial_size=6, budget=15, batch_size=5)
SEEDS = 3


def test_a_policy_given_its_own_contexts_plays_as_it_ships() -> None:
    corpus, policy = synthetic_encoded(300, 3), LearnedStrategy.from_pretrained()
    recorder = context.Recorder(policy)
    own = play(corpus, recorder, range(SEEDS), SMALL, ["accuracy"]).results
    contexts = torch.stack(recorder.contexts)
    assert contexts.shape == (3, SEEDS, len(policy.context))
    same = play(corpus, context.WithContext(policy, "same", contexts), range(SEEDS), SMALL, ["accuracy"])
    assert [one["batches"] for one in same.results] == [one["batches"] for one in own]
    other = play(
        corpus, context.WithContext(policy, "other", 0 * contexts), range(SEEDS), SMALL, ["accuracy"]
    )
    assert [one["batches"] for one in other.results] != [one["batches"] for one in own]


def test_shuffled_contexts_are_the_same_ones_elsewhere() -> None:
    made = torch.randn(2, 4, 5, 3, generator=torch.Generator().manual_seed(0))

    def rows(contexts: torch.Tensor) -> list[list[float]]:
        return sorted(contexts.reshape(-1, 3).tolist())

    by_round = context.replaced(made, "other pools")
    assert not torch.equal(by_round, made)
    for number in range(4):
        assert rows(by_round[:, number]) == rows(made[:, number])
    anywhere = context.replaced(made, "other pools and rounds")
    assert rows(anywhere) == rows(made)
    assert rows(anywhere[:, 0]) != rows(made[:, 0])
    assert torch.equal(anywhere, context.replaced(made, "other pools and rounds"))
    schedule = context.replaced(made, "mean of the round")
    torch.testing.assert_close(schedule[1, 2, 4], made[:, 2].mean((0, 1)))
    torch.testing.assert_close(context.replaced(made, "mean")[0, 1, 2], made.mean((0, 1, 2)))


def states(count: int = 40) -> States:
    draw = torch.Generator().manual_seed(0)
    rows = torch.randn(count, 6, len(ImitationSettings().features), generator=draw).half()
    return States(
        rows,
        torch.randn(count, len(ROW_CONTEXT), generator=draw),
        rows[:, :, 0].float() + 0.1 * torch.randn(count, 6, generator=draw),
        torch.ones(count, 6),
        rows[:, :0],
    )


@pytest.mark.parametrize("name", ["no context", "progress as context", "linear, no context", "four features"])
def test_a_training_sees_what_its_name_says(name: str) -> None:
    training = next(one for one in trainings.TRAININGS if one.name == name)
    settings = ImitationSettings(networks=1, epochs=2, hidden=4)
    policy = trainings.fitted(training, states(), settings)
    assert policy.features == (training.features or settings.features)
    rows = torch.randn(2, 7, len(policy.features))
    one, other = torch.zeros(2, len(ROW_CONTEXT)), torch.zeros(2, len(ROW_CONTEXT))
    other[:, 4:] = 1.0  # numbers of the pool
    same = torch.equal(policy.network(rows, one), policy.network(rows, other))
    assert same == (training.context is not None)


def test_a_linear_training_has_one_weight_for_each_feature() -> None:
    training = next(one for one in trainings.TRAININGS if one.name == "linear, no context")
    policy = trainings.fitted(training, states(), ImitationSettings(networks=2, epochs=2, hidden=4))
    rows, seen = torch.randn(1, 8, len(policy.features)), torch.zeros(1, len(ROW_CONTEXT))
    doubled = policy.network(2 * rows, seen) - policy.network(0 * rows, seen)
    once = policy.network(rows, seen) - policy.network(0 * rows, seen)
    torch.testing.assert_close(doubled, 2 * once)


def test_trainings_share_the_states_of_the_base(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[tuple[int, int, float, bool]] = []
    beyond: list[tuple[int, ...]] = []
    seen: list[tuple[str, ...]] = []

    def collected(
        corpora: list[EncodedCorpus], _: EpisodeOptions, given: ImitationSettings, group: int, own: object
    ) -> States:
        asked.append((group, len(corpora), given.generated, own is not None))
        beyond.append(given.beyond)
        seen.append(given.features)
        return states(100)

    monkeypatch.setattr(trainings, "collect", collected)
    monkeypatch.setattr(trainings, "prepare", lambda *_: [synthetic_encoded(300, 3)])
    monkeypatch.setattr(trainings, "dealt_again", lambda corpus, _: corpus)
    small = {"states": 400, "dagger_rounds": 1, "dagger_states": 200, "networks": 1, "epochs": 1}
    config = validated(ImitateConfig, {"name": "x", "corpora": [{"corpus": "x"}], "imitation": small}, "It")
    collection = trainings.Collection(config, tmp_path, tmp_path / "states")
    assert len(collection["base"]) == 600
    assert asked == [(g, 1, 1.0, False) for g in range(4)] + [(100_000 + g, 1, 1.0, True) for g in range(2)]
    asked.clear()
    assert (len(collection["mixed"]), len(collection["half"]), len(collection["eighth"])) == (600, 300, 100)
    assert asked == [(50_000, 1, 1.0, False), (50_001, 1, 1.0, False)]
    asked.clear()
    assert len(trainings.Collection(config, tmp_path, tmp_path / "states")["base"]) == 600
    assert not asked
    for name, tasks in trainings.FEW_TASKS.items():
        asked.clear()
        assert len(collection[name]) == 300
        assert {one[1:] for one in asked} == {(tasks, 0.0, False)}
    assert set(beyond) == {(0,)}
    asked.clear()
    beyond.clear()
    assert len(collection["several steps"]) == 300
    assert {one[1:] for one in asked} == {(1, 1.0, False)}
    assert set(beyond) == {trainings.NEXT_ROWS}
    assert set(seen) == {ImitationSettings().features}
    seen.clear()
    assert len(collection["further"]) == 300
    assert set(seen) == {(*ImitationSettings().features, *trainings.FURTHER)}


def test_networks_that_are_fitted_to_what_the_pool_decides_explain_it() -> None:
    draw = torch.Generator().manual_seed(0)
    rows = torch.randn(500, 8, 3, generator=draw)
    beside = torch.randn(500, 1, 1, generator=draw).sign() + torch.zeros(500, 4, 3)
    values = rows[:, :, 0] * beside[:, :1, 0]
    plain = torch.zeros(500, len(ROW_CONTEXT))
    made = States(rows.half(), plain, values, torch.ones_like(values), beside.half())
    settings = ImitationSettings(features=tuple(MIXTURE)[:3], epochs=12, hidden=16, minibatch=32)
    found = {
        name: networks.explained(networks.fitted(name, 0, made, settings), made) for name in networks.NETWORKS
    }
    assert found["scorer"] < 0.3
    assert min(found["deep-sets"], found["attention"]) > 0.6


def test_a_recorded_curve_is_that_of_a_comparison_with_the_price_of_its_rows() -> None:
    corpus = synthetic_encoded(300, 3)
    cost = np.random.default_rng(0).uniform(0.5, 2.0, corpus.corpus.n_rows)
    found = recorded.record(corpus, cost, make_strategy("margin"), SEEDS, SMALL, None, 3)
    played = play(corpus, make_strategy("margin"), range(SEEDS), SMALL, ["accuracy"]).results
    for seed, run in enumerate(played):
        line = found.iloc[seed]
        np.testing.assert_allclose([line[f"test {n}"] for n in range(4)], run["test"]["accuracy"], atol=1e-6)
        paid = np.cumsum([cost[batch].sum() for batch in run["batches"]])
        np.testing.assert_allclose([line[f"spent {n}"] for n in (1, 2, 3)], paid)


def test_a_strategy_stops_after_the_last_round_within_a_sum_and_the_best_sum_is_chosen_elsewhere() -> None:
    run = {"cost": [0.0, 4.0, 11.0, 79.0], "test": {"accuracy": [0.2, 0.5, 0.6, 0.9]}}
    line = per_cost.line_of(run, 80.0)
    assert [line[f"test {most}"] for most in (0, 5, 10, 15, 75, 80)] == [0.2, 0.5, 0.5, 0.6, 0.6, 0.9]
    assert [line[f"spent {most}"] for most in (0, 5, 75, 80)] == [0.0, 4.0, 11.0, 79.0]
    lines = pd.DataFrame(
        [
            {"corpus": corpus, "strategy": "x", "seed": seed} | line
            for corpus in (*per_cost.CHOSEN_ON, *per_cost.JUDGED_ON)
            for seed in range(2)
        ]
    )
    chosen, net = per_cost.net_returns(lines, "x", 0.01)
    assert chosen == 15
    assert net.shape == (2, len(per_cost.JUDGED_ON))
    np.testing.assert_allclose(net, 0.6 - 0.11)


def test_a_rule_stops_in_a_recording_where_it_stops_in_a_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    rule = StoppingSettings(rule="overall-uncertainty", threshold=0.75)
    monkeypatch.setattr(recorded, "RULES", {"sure": rule})
    corpus = synthetic_encoded(300, 3)
    cost = np.ones(corpus.corpus.n_rows)
    found = recorded.record(corpus, cost, make_strategy("margin"), SEEDS, SMALL, None, 3)
    stopped = play(corpus, make_strategy("margin"), range(SEEDS), SMALL, ["accuracy"], stopping=rule).results
    assert found["sure"].tolist() == [len(run["batches"]) for run in stopped]


def test_strategies_that_look_at_prices_pay_them_in_the_recording() -> None:
    corpus = synthetic_encoded(300, 3)
    cost = np.random.default_rng(0).uniform(0.2, 5.0, corpus.corpus.n_rows)
    texts = dataclasses.replace(corpus.corpus, cost=cost)
    priced = dataclasses.replace(corpus, corpus=texts, cost=torch.from_numpy(cost))
    options = SMALL.model_copy(update={"budget": 60.0})
    cheap = recorded.record(priced, cost, make_strategy("random-per-cost"), SEEDS, options, None, 2)
    plain = recorded.record(corpus, cost, make_strategy("random"), SEEDS, SMALL, None, 2)
    assert cheap["spent 2"].mean() < plain["spent 2"].mean()


def curves() -> pd.DataFrame:
    """Two strategies; on the corpora for choices the second round is worth its price, elsewhere it is not."""
    lines = []
    for strategy, rounds in (("margin", recorded.ROUNDS), ("margin-per-cost", recorded.CHEAP_ROUNDS)):
        for corpus in (*CHOICES, "other"):
            for seed in range(4):
                gains = np.full(rounds + 1, 0.5)
                gains[2:] = 0.9 if corpus != "other" else 0.5
                line: dict[str, object] = {"corpus": corpus, "strategy": strategy, "seed": seed}
                line |= {f"test {n}": gains[n] + 0.01 * seed for n in range(rounds + 1)}
                line |= {f"spent {n}": 10.0 * n for n in range(1, rounds + 1)}
                lines.append(line | dict.fromkeys(recorded.RULES, rounds))
    return pd.DataFrame(lines)


def test_rules_are_chosen_on_the_corpora_for_choices_and_judged_on_others() -> None:
    found = prices.best_return(curves(), "margin", 0.001)
    assert (found.rule, found.spent) == ("after 2 rounds", 20.0)
    np.testing.assert_allclose(found.net, np.array([[0.48], [0.49], [0.50], [0.51]]))
    dear = prices.best_return(curves(), "margin-per-cost", 0.1)
    assert dear.rule == "after 0 rounds"
    assert (dear.net - found.net).mean() == pytest.approx(0.02)
    both = {("margin", 0.001): found, ("margin-per-cost", 0.001): dear}
    assert "| 0.001 | 0.4950 | +20.0 [+20.0, +20.0]* |" in prices.markdown(both, 4)


def test_random_closes_nothing_of_the_gap_and_the_oracle_all() -> None:
    base = np.random.default_rng(0).random((6, 2))
    values = {name: base + 0.1 * k for k, name in enumerate(("random", "mixture", recorded.ORACLE))}
    values |= {name: base + 0.05 for name in recorded.PRICE_BLIND if name not in values}
    table = ScoreTable(("one", "two"), tuple(range(6)), values)
    assert oracle_gap.closed(table, "random", ["one", "two"])[0] == 0.0
    assert oracle_gap.closed(table, recorded.ORACLE, ["one"]) == pytest.approx((1.0, 1.0, 1.0))
    assert oracle_gap.closed(table, "mixture", ["two"])[0] == pytest.approx(0.5)
    assert "| all |" in oracle_gap.markdown(table)


def test_without_corpora_one_sentence_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--data", str(tmp_path / "none"), "--out", str(tmp_path)]
    assert context.main([*asked, "--corpora", "editorial"]) == 2
    assert "Did you mean 'editorials'" in capsys.readouterr().err
    assert prices.main(asked) == 2
    assert "none" in capsys.readouterr().err


def test_policies_that_see_no_price_are_played_for_each_unit_of_cost_as_well(tmp_path: Path) -> None:
    plain = pretrained_folder("imitated")
    features = (*ImitationSettings().features, PRICE)
    network = ScorerEnsemble([RowScorer(len(features), len(ROW_CONTEXT), 4)])
    sees = ScorerStrategy("sees-prices", network, features)
    about: dict[str, Any] = {
        "reward": {},
        "episode": {},
        "trained_on": {},
        "validated_on": {},
        "settings": {},
    }
    card = scorer_card(sees, **about, validation=[], baselines={}, chosen_at=0)
    save_scorer(tmp_path / "priced", network, card)
    found = per_cost.contestants([plain, tmp_path / "priced"])
    assert [*found] == [*per_cost.STRATEGIES, "imitated", "per-cost:imitated", "sees-prices"]
    both = found["per-cost:imitated"]
    assert isinstance(both, ReturnOnInvestment)
    assert both.base is found["imitated"]
