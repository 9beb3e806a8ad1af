"""What an explanation says is what brute force says, and nothing of it depends on chance."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import spearmanr

from react_rl.acquisition import make_strategy
from react_rl.acquisition.strategies.weighted import MIXTURE, parse_weights
from react_rl.agents.scorer import ScorerStrategy
from react_rl.data.corpus import ALL_CORPORA
from react_rl.envs.observations import CONTEXT
from react_rl.errors import ReActError
from react_rl.experiments.config.models import CompareConfig
from react_rl.experiments.explain.drivers import METHODS, drivers, rank_correlation
from react_rl.experiments.explain.explaining import explain
from react_rl.experiments.explain.formula import distil, fidelity
from react_rl.experiments.explain.picks import contributions, excerpt, typical_picks
from react_rl.experiments.explain.playing import losses
from react_rl.experiments.explain.situations import PHASES, Situations, collect
from react_rl.experiments.explain.subjects import make_subject
from react_rl.experiments.explain.weights import decisions, linear_share
from react_rl.experiments.run.episodes import play
from react_rl.simulation import EncodedCorpus
from tests.experiments.explain.conftest import FEATURES, OPTIONS, Policy

SEEDS = range(4)
CONFIG = CompareConfig.model_validate(
    {"name": "small", "corpora": [{"corpus": "synthetic"}], "seeds": 4, "episode": OPTIONS.model_dump()}
)


@pytest.fixture(scope="module")
def situations(scorer: ScorerStrategy, corpora: list[EncodedCorpus]) -> Situations:
    return collect(make_subject(scorer), corpora, SEEDS, OPTIONS, ("accuracy",))


def test_a_policy_that_is_watched_buys_what_it_buys_alone(
    scorer: ScorerStrategy, corpora: list[EncodedCorpus], situations: Situations
) -> None:
    for corpus in corpora:
        played = play(corpus, scorer, SEEDS, OPTIONS, ("accuracy",)).results
        for seed, run in zip(SEEDS, played, strict=True):
            own = situations.of((situations.corpus == corpus.name) & (situations.seed == seed))
            bought = [set(ids[picked].tolist()) for ids, picked in zip(own.seen.ids, own.picked, strict=True)]
            assert bought == [set(batch) for batch in run["batches"]]
            assert own.spent.tolist() == run["cost"][:-1]
    assert [int((situations.phase == place).sum()) for place in range(3)] == [16, 16, 16]


def test_rank_correlation_is_spearmans_over_the_rows_that_are_free() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(5, 30)), rng.integers(0, 6, (5, 30)).astype(float)
    free = rng.random((5, 30)) < 0.7
    found = rank_correlation(one, other, free)
    for s in range(5):
        assert found[s] == pytest.approx(spearmanr(one[s, free[s]], other[s, free[s]]).statistic)
    assert rank_correlation(one, np.ones_like(one), free).tolist() == [0.0] * 5


def test_ablation_is_what_row_by_row_brute_force_finds(
    scorer: ScorerStrategy, situations: Situations
) -> None:
    table = drivers(make_subject(scorer), situations)
    network, seen = scorer.network, situations.seen
    mean_number = seen.numbers[:, 4].astype(np.float64).mean()
    changed: dict[str, list[float]] = {"density": [], scorer.context[4]: []}
    lost: dict[str, list[float]] = {name: [] for name in changed}
    late = np.flatnonzero((situations.corpus == "four") & (situations.phase == 2))
    for s in late:
        free = seen.free[s]
        rows, numbers = torch.from_numpy(seen.rows[s, free]), torch.from_numpy(seen.numbers[s])
        flat, other = rows.clone(), numbers.clone()
        flat[:, 1], other[4] = rows[:, 1].mean(), float(mean_number)

        def scores(one: torch.Tensor, context: torch.Tensor) -> np.ndarray[Any, Any]:
            with torch.no_grad():
                each = [network(row[None, None], context[None])[0, 0] for row in one]
            return torch.stack(each).double().numpy()

        own = scores(rows, numbers)
        for name, new in (("density", scores(flat, numbers)), (scorer.context[4], scores(rows, other))):
            changed[name].append(float(own.argmax() != new.argmax()))
            lost[name].append(1.0 - float(spearmanr(own, new).statistic))
    where = (table["corpus"] == "four") & (table["phase"] == "late") & (table["method"] == METHODS[0])
    for name in changed:
        row = table[where & (table["input"] == name)].iloc[0]
        assert row["pick_changed"] == pytest.approx(np.mean(changed[name]))
        assert row["rank_lost"] == pytest.approx(np.mean(lost[name]), abs=1e-4)


def test_a_feature_that_a_policy_does_not_look_at_drives_nothing(
    scorer: ScorerStrategy, situations: Situations
) -> None:
    table = drivers(make_subject(scorer), situations)
    idle, busy = (table[table["input"] == name] for name in ("novelty", "density"))
    assert idle["pick_changed"].tolist() == idle["decision_changed"].tolist() == [0.0] * len(idle)
    assert idle["rank_lost"].abs().max() < 1e-9
    assert busy["rank_lost"].min() > 0.01


def test_drivers_follow_from_the_seed(scorer: ScorerStrategy, situations: Situations) -> None:
    subject = make_subject(scorer)
    first, again, other = (drivers(subject, situations, seed) for seed in (0, 0, 1))
    pd.testing.assert_frame_equal(first, again)
    same = first["method"] == METHODS[0]
    pd.testing.assert_frame_equal(first[same], other[same])
    assert not first[~same].equals(other[~same])


def test_weights_of_a_scorer_are_those_of_its_linear_part(
    scorer: ScorerStrategy, situations: Situations
) -> None:
    numbers = torch.from_numpy(situations.seen.numbers[:1])
    with torch.no_grad():
        each = [member.weights + member.gate(numbers)[0] for member in scorer.network.members]  # type: ignore
    expected = torch.stack(each).mean(0).numpy()
    np.testing.assert_allclose(situations.answer.decision[0], expected, atol=1e-6)
    table = decisions(make_subject(scorer), situations)
    here = (situations.corpus == "two") & (situations.spent == 3.0)
    row = table[(table["corpus"] == "two") & (table["spent"] == 3.0) & (table["what"] == "margin")].iloc[0]
    assert row["mean"] == pytest.approx(situations.answer.decision[here, 0].mean())
    assert row["choices"] == 4
    share = linear_share(make_subject(scorer), situations)
    assert share is not None
    assert 0.0 < share < 1.0


def test_weights_are_means_over_all_seeds_where_each_chooses_at_costs_of_its_own(
    scorer: ScorerStrategy, situations: Situations
) -> None:
    priced = replace(situations, spent=situations.spent * (1 + situations.seed / 10))
    table = decisions(make_subject(scorer), priced)
    assert set(table["choices"]) == {4}
    assert len(table.query("what == 'margin' and corpus == 'two'")) > len(set(situations.spent))
    here = table.query("what == 'margin' and corpus == 'two'").iloc[-1]
    last = {}
    for place in np.flatnonzero((priced.corpus == "two") & (priced.spent <= here["spent"] + 1e-6)):
        last[priced.seed[place]] = priced.answer.decision[place, 0]
    assert here["mean"] == pytest.approx(np.mean(list(last.values())))
    assert here["std"] == pytest.approx(np.std(list(last.values()), ddof=1))


def test_a_policy_that_is_a_formula_is_distilled_to_it(
    policy: Policy, corpora: list[EncodedCorpus], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With weights of 0 the action is 0, and the policy plays its center."""
    monkeypatch.setattr("react_rl.experiments.explain.explaining.EXPLAINED", 4)
    mixture = policy("PPO", "weigh-scores", {"net_arch": [4]}, 0.0, features=list(MIXTURE), center=MIXTURE)
    told: list[str] = []
    found = explain(mixture, corpora, CONFIG, "1", terms=4, tell=told.append)
    weights = parse_weights(found.facts.formula)
    assert set(weights) == set(MIXTURE)
    assert {name: weights[name] / weights["density"] for name in weights} == pytest.approx(MIXTURE, rel=0.1)
    last = found.formulas.to_dict("records")[-1]
    assert last["rank_correlation"] > 0.999
    assert last["in_batch"] == 1.0
    assert abs(last["difference"]) < 0.02
    assert last["kept"] == pytest.approx(1.0, abs=0.3)
    assert (found.formulas["explained"].diff().dropna() > 0).all()
    assert found.facts.kind == "weights"
    assert set(found.decisions["what"]) == set(MIXTURE)
    assert found.drivers.query("kind == 'number'")["decision_changed"].max() == 0.0
    players = len(set(found.areas["strategy"]))
    ends = [line for line in told if line.endswith(f": {OPTIONS.budget:g} of {OPTIONS.budget:g} spent")]
    assert ends[0].startswith(f"playing 1 of {players}: {mixture.name} on {corpora[0].name}: ")
    assert len(ends) == players * len(corpora)


def test_forward_selection_takes_the_feature_that_helps_most(situations: Situations) -> None:
    formulas = distil(situations, FEATURES, 3)
    assert [len(formula.weights) for formula in formulas] == [1, 2, 3]
    assert list(formulas[2].weights)[:2] == list(formulas[1].weights)
    alone = [_explained(situations, [f]) for f in range(len(FEATURES))]
    best = int(np.argmax(alone))
    assert list(formulas[0].weights) == [FEATURES[best]]
    assert formulas[0].explained == pytest.approx(alone[best], abs=1e-4)
    pairs = {f: _explained(situations, [best, f]) for f in range(len(FEATURES)) if f != best}
    assert list(formulas[1].weights)[1] == FEATURES[max(pairs, key=lambda f: pairs[f])]


def _explained(situations: Situations, columns: list[int]) -> float:
    """Share of variance that a least-squares fit explains, pools centred one by one."""
    scores, seen = situations.answer.scores, situations.seen
    assert scores is not None
    x, y = [], []
    for s in range(len(situations)):
        rows, own = seen.rows[s, seen.free[s]][:, columns].astype(np.float64), scores[s, seen.free[s]]
        x.append(rows - rows.mean(0))
        y.append((own - own.mean()) / own.std())
    a, b = np.concatenate(x), np.concatenate(y)
    left = b - a @ np.linalg.lstsq(a, b, rcond=None)[0]
    return 1.0 - float(left @ left) / float(b @ b)


def test_fidelity_counts_equal_picks(situations: Situations) -> None:
    formula = distil(situations, FEATURES, 2)[-1]
    table = fidelity(situations, FEATURES, formula)
    own = situations.of((situations.corpus == "two") & (situations.phase == 0))
    scores = own.seen.rows.astype(np.float64) @ np.array([formula.weights.get(f, 0.0) for f in FEATURES])
    assert own.answer.scores is not None
    equal, inside = [], []
    for s in range(len(own)):
        mine = np.where(own.seen.free[s], scores[s], -np.inf).argmax()
        equal.append(mine == np.where(own.seen.free[s], own.answer.scores[s], -np.inf).argmax())
        inside.append(own.picked[s, mine])
    row = table[(table["corpus"] == "two") & (table["phase"] == "early")].iloc[0]
    assert (row["same_pick"], row["in_batch"]) == (np.mean(equal), np.mean(inside))


def test_typical_picks_were_bought_and_are_nearest_to_the_mean_of_their_reasons(
    scorer: ScorerStrategy, corpora: list[EncodedCorpus], situations: Situations
) -> None:
    subject = make_subject(scorer)
    table = typical_picks(subject, situations, corpora, most=6)
    assert table.groupby("phase").size().to_dict() == dict.fromkeys(PHASES, 6)
    assert table["corpus"].tolist() == ["two", "four"] * 9
    known = {corpus.name: corpus.corpus for corpus in corpora}
    for row in table.to_dict("records"):
        corpus = known[row["corpus"]]
        assert row["text"] == excerpt(corpus.texts[row["row"]])
        assert row["label"] == corpus.label_names[corpus.targets[row["row"]]]
    reasons = contributions(subject, situations)
    late = (situations.corpus == "four") & (situations.phase == 2)
    s, r = np.nonzero(situations.picked & late[:, None])
    own = reasons[s, r]
    distance = (((own - own.mean(0)) / np.maximum(own.std(0), 1e-9)) ** 2).sum(1)
    nearest = situations.seen.ids[s, r][distance.argmin()]
    first = table[(table["phase"] == "late") & (table["corpus"] == "four")].iloc[0]
    assert first["row"] == nearest
    assert first["times"] == (situations.seen.ids[s, r] == nearest).sum()
    assert "novelty" not in first["leading"], "it counts for nothing in this policy"


def test_a_long_text_is_cut_and_stays_in_one_line() -> None:
    assert excerpt("one\n two") == "one two"
    assert excerpt("\x1b[31mred") == r"\x1b[31mred"
    assert excerpt("word " * 99) == "word " * 31 + "word…"


def test_a_loss_is_the_mean_of_paired_differences() -> None:
    rows = [
        {"strategy": name, "corpus": corpus, "seed": seed, "area": base + 0.1 * seed + shift}
        for name, base in (("mine", 0.5), ("random", 0.3), ("short", 0.4))
        for corpus, shift in (("a", 0.0), ("b", 0.05))
        for seed in range(3)
    ]
    table = losses(pd.DataFrame(rows), "mine", "accuracy")
    (row,) = table[(table["corpus"] == ALL_CORPORA) & (table["strategy"] == "short")].to_dict("records")
    assert (row["difference"], row["low"], row["high"]) == pytest.approx((-0.1, -0.1, -0.1))
    assert row["kept"] == pytest.approx(0.5)
    assert row["area"] == pytest.approx(0.4 + 0.1 + 0.025)


def _network(name: str, hidden: int) -> dict[str, Any]:
    return {"name": name, "features_extractor_kwargs": {"hidden": hidden}}


STRATEGIES = ["random", "margin", "mixture"]
KINDS: dict[str, tuple[str, str, dict[str, Any], dict[str, Any]]] = {
    "weigh-scores": ("PPO", "weigh-scores", {"net_arch": [4]}, {"stop": True}),
    "recurrent": ("RecurrentPPO", "weigh-scores", {"net_arch": [4], "lstm_hidden_size": 5}, {}),
    "choose-strategy": ("DQN", "choose-strategy", {"net_arch": [4]}, {"strategies": STRATEGIES}),
    "units of strategies": (
        "PPO", "decision-units", {"net_arch": [4]},
        {"strategies": STRATEGIES, "batch_sizes": [2, 3], "recipes": ["plain", "smooth"]},
    ),
    "units of features": ("PPO", "decision-units", {"net_arch": [4]}, {"features": ["margin", "density"]}),
    "candidates": ("MaskablePPO", "pick-candidate", _network("scorer", 6), {"candidates": 8}),
    "deep sets": ("PPO", "pick-candidate", _network("deep-sets", 6), {"candidates": 8}),
    "values": ("DQN", "pick-candidate", _network("attention", 8), {"candidates": 8}),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_policies_of_every_action_space_are_explained(
    kind: str, policy: Policy, corpora: list[EncodedCorpus]
) -> None:
    algorithm, space, network, settings = KINDS[kind]
    made = policy(algorithm, space, network, **settings)
    subject = make_subject(made)
    situations = collect(subject, corpora[:1], range(2), OPTIONS, made.interface.metrics)
    again = subject.answer(situations.seen)
    np.testing.assert_allclose(again.decision, situations.answer.decision, atol=1e-5)
    if again.scores is not None and situations.answer.scores is not None:
        free = situations.seen.free
        np.testing.assert_allclose(again.scores[free], situations.answer.scores[free], atol=1e-5)
        first = np.where(free, again.scores, -np.inf).argmax(1)
        assert situations.picked[np.arange(len(first)), first].all(), "the first pick is the best score"
    table = drivers(subject, situations)
    column = "decision_changed" if again.scores is None else "rank_lost"
    assert table[column].notna().all()
    assert table[column].max() > 0
    assert set(table["input"]) >= set(CONTEXT)
    picks = typical_picks(subject, situations, corpora[:1], most=2)
    assert set(picks["phase"]) <= set(PHASES)
    assert distil(situations, subject.features, 2)
    if subject.units:
        assert decisions(subject, situations)["mean"].notna().all()


def test_a_strategy_that_nobody_trained_is_refused() -> None:
    with pytest.raises(ReActError, match="'margin' is no trained policy"):
        make_subject(make_strategy("margin"))


def test_a_policy_that_does_not_say_how_it_ranks_candidates_is_refused(policy: Policy) -> None:
    network = {"net_arch": [4], "lstm_hidden_size": 5}
    made = policy("RecurrentPPO", "pick-candidate", network, candidates=4)
    with pytest.raises(ReActError, match="does not say how it ranks candidates"):
        make_subject(made)


def test_numbers_are_asked_in_parts_as_they_are_together(
    scorer: ScorerStrategy, situations: Situations, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = make_subject(scorer)
    whole = subject.answer(situations.seen)
    monkeypatch.setattr("react_rl.experiments.explain.subjects._AT_ONCE", 5)
    parts = subject.answer(replace(situations.seen))
    assert whole.scores is not None
    assert parts.scores is not None
    np.testing.assert_allclose(parts.scores, whole.scores, atol=1e-5)
