"""States and what the expert said there, and networks that learn it."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from react_rl.acquisition.batching.row_features import ROW_FEATURES
from react_rl.agents.imitation import collection
from react_rl.agents.imitation.collection import collect
from react_rl.agents.imitation.dealing import dealt_again
from react_rl.agents.imitation.fitting import fit_ensemble, fit_scorer
from react_rl.agents.imitation.settings import ImitationSettings
from react_rl.agents.imitation.states import States
from react_rl.agents.scorer import ROW_CONTEXT, ScorerStrategy
from react_rl.simulation import EncodedCorpus, EpisodeOptions, LabelingEngine, synthetic_encoded

EPISODE = EpisodeOptions(pool_size=60, dev_size=40)
SETTINGS = ImitationSettings(
    n_envs=4,
    candidates=9,
    initial_sizes=(6,),
    batch_sizes=(1, 3),
    rounds=(3,),
    networks=2,
    hidden=8,
    epochs=3,
)


@cache
def corpora() -> list[EncodedCorpus]:
    return [synthetic_encoded(300, size, seed=size) for size in (2, 5)]


def same(one: States, other: States) -> bool:
    return all(torch.equal(a, b) for a, b in zip(vars(one).values(), vars(other).values(), strict=True))


def test_a_group_is_decided_by_seed_and_number() -> None:
    first = collect(corpora(), EPISODE, SETTINGS, 0)
    assert first.rows.shape == (12, 9, len(ROW_FEATURES))
    assert first.context.shape == (12, len(ROW_CONTEXT))
    assert same(first, collect(corpora(), EPISODE, SETTINGS, 0))
    assert not same(first, collect(corpora(), EPISODE, SETTINGS, 1))
    assert not same(first, collect(corpora(), EPISODE, SETTINGS.model_copy(update={"seed": 1}), 0))


def test_pools_are_drawn_for_each_group_among_those_that_hold_its_labels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[int] = []

    class Told(LabelingEngine):
        def __init__(self, tasks: Any, options: EpisodeOptions, *more: Any, **further: Any) -> None:
            seen.append(options.pool_size)
            super().__init__(tasks, options, *more, **further)

    monkeypatch.setattr(collection, "LabelingEngine", Told)
    # Six labels and three rounds of one or three: nine or fifteen rows.
    drawn = SETTINGS.model_copy(update={"pool_sizes": (8, 40, 90)})
    states = [collect(corpora(), EPISODE, drawn, group) for group in range(8)]
    assert set(seen) == {40, 90}
    assert same(states[3], collect(corpora(), EPISODE, drawn, 3))
    assert States.join(states).rows.shape == (96, 9, len(ROW_FEATURES))
    assert [one.pool_size for one in drawn.extremes(EPISODE)] == [90, 90]
    assert collect(corpora(), EPISODE, SETTINGS, 0).rows.shape[0] == 12
    assert seen[-1] == EPISODE.pool_size


def test_test_rows_play_no_part() -> None:
    real = SETTINGS.model_copy(update={"generated": 0.0})
    changed = []
    for one in corpora():
        targets = one.corpus.targets.copy()
        rows = one.corpus.ids("test")
        targets[rows] = (targets[rows] + 1) % one.corpus.n_classes
        changed.append(one.with_corpus(replace(one.corpus, targets=targets)))
    assert same(collect(corpora(), EPISODE, real, 2), collect(changed, EPISODE, real, 2))


def test_invented_labels_take_the_place_of_the_corpuss_own() -> None:
    real = SETTINGS.model_copy(update={"generated": 0.0})
    assert not same(collect(corpora(), EPISODE, real, 2), collect(corpora(), EPISODE, SETTINGS, 2))


def test_the_policy_visits_the_states_that_it_leads_to() -> None:
    policy = ScorerStrategy("policy", fit_ensemble(collect(corpora(), EPISODE, SETTINGS, 0), SETTINGS))
    own = collect(corpora(), EPISODE, SETTINGS, 4, policy)
    assert same(own, collect(corpora(), EPISODE, SETTINGS, 4, policy))
    assert not same(own, collect(corpora(), EPISODE, SETTINGS, 4))


def test_a_policy_proposes_candidates_of_its_own() -> None:
    class Novel(nn.Module):
        def forward(self, rows: Tensor, _: Tensor) -> Tensor:
            return rows[:, :, ROW_FEATURES.index("novelty")]

    once = SETTINGS.model_copy(update={"inside": 0.0})
    novelty = [
        collect(corpora(), EPISODE, once, 4, policy).rows[:, :, ROW_FEATURES.index("novelty")].float()
        for policy in (ScorerStrategy("novel", Novel()), None)
    ]
    assert novelty[0].max(1).values.mean() > novelty[1].max(1).values.mean()


def test_rows_that_come_next_take_their_share_of_a_gain() -> None:
    alone = collect(corpora(), EPISODE, SETTINGS, 1)
    together = collect(corpora(), EPISODE, SETTINGS.model_copy(update={"beyond": (20,)}), 1)
    assert together.values.mean() > alone.values.mean()
    assert together.values.std(1).mean() < alone.values.std(1).mean()


def test_tasks_of_gathered_rows_have_other_features() -> None:
    pulled = SETTINGS.model_copy(update={"gathered": 1.0})
    assert not same(collect(corpora(), EPISODE, SETTINGS, 0), collect(corpora(), EPISODE, pulled, 0))
    assert same(collect(corpora(), EPISODE, pulled, 0), collect(corpora(), EPISODE, pulled, 0))


def test_episodes_of_large_batches_end_at_the_most_labels() -> None:
    settings = ImitationSettings(batch_sizes=(1, 25), rounds=(8, 16), most_labels=100)
    assert [settings.rounds_of(batch, 16) for batch in (1, 25, 200)] == [16, 4, 1]
    assert [options.budget for options in settings.extremes(EpisodeOptions(pool_size=500))] == [100, 100]


def test_states_survive_a_file(tmp_path: Path) -> None:
    states = collect(corpora(), EPISODE, SETTINGS, 0)
    states.save(tmp_path / "states.safetensors")
    read = States.load(tmp_path / "states.safetensors")
    assert read is not None
    assert same(read, states)
    assert len(States.join([states, states])) == 2 * len(states)


def test_targets_are_centred_scaled_and_cut_off() -> None:
    values = torch.tensor([[0.5, 0.6, 0.7], [0.2, 0.2, 0.2]])
    targets = States(
        torch.zeros(2, 3, 1), torch.zeros(2, 1), values, torch.ones(2, 3), torch.zeros(2, 0, 1)
    ).targets
    expected = np.array([-1.0, 0.0, 1.0]) / np.sqrt(2 / 3)
    np.testing.assert_allclose(targets[0].numpy(), expected, atol=1e-5)
    assert targets[1].abs().max() < 0.01


def test_a_network_learns_weights_that_depend_on_the_context() -> None:
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(3000, 8, 3, generator=generator)
    context = torch.randn(3000, 2, generator=generator).sign()
    values = rows[:, :, 0] * context[:, :1] + rows[:, :, 1].abs()
    states = States(rows.half(), context, values, torch.ones_like(values), rows[:, :0].half())
    settings = SETTINGS.model_copy(update={"epochs": 12, "hidden": 16, "minibatch": 64})
    before = torch.get_rng_state()
    network = fit_scorer(states, settings, 0)
    assert torch.equal(torch.get_rng_state(), before)
    with torch.inference_mode():
        scores = network(rows, context)
    scores = scores - scores.mean(1, keepdim=True)
    correlation = np.corrcoef(scores.flatten().numpy(), states.targets.flatten().numpy())[0, 1]
    assert correlation > 0.95
    again = fit_scorer(states, settings, 0)
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), again.parameters(), strict=True))


def test_train_and_dev_rows_are_dealt_out_again_and_test_rows_stay() -> None:
    for one in corpora():
        dealt = dealt_again(one, 0)
        test = one.corpus.ids("test")
        assert dealt.corpus.ids("test").tolist() == test.tolist()
        train, dev = dealt.corpus.ids("train"), dealt.corpus.ids("dev")
        assert train.size + dev.size + test.size == one.corpus.n_rows
        assert abs(dev.size / (train.size + dev.size) - 0.4) < 0.02
        assert (dealt.density[torch.from_numpy(train)] > 0).all()
        assert not dealt.density[torch.from_numpy(dev)].any()
        assert dealt_again(one, 0).corpus.digest() == dealt.corpus.digest() != one.corpus.digest()
        assert not {one.corpus.texts[row] for row in train} & {one.corpus.texts[row] for row in dev}
