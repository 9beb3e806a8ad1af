"""Imitation on tagged sentences and on questions: states, gains for each token, policies, refusals."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from react_rl.acquisition import make_strategy
from react_rl.acquisition.batching.row_features import FEATURES_OF_TASKS, ROW_FEATURES
from react_rl.agents import Validation, load_strategy, read_card
from react_rl.agents.imitation.collection import collect
from react_rl.agents.imitation.dealing import dealt_again
from react_rl.agents.imitation.expert import LookAhead
from react_rl.agents.imitation.fitting import fit_ensemble
from react_rl.agents.imitation.settings import ImitationSettings
from react_rl.agents.imitation.states import States
from react_rl.agents.imitation.training import imitate
from react_rl.errors import ReActError
from react_rl.learners.linear.span import SpanSettings
from react_rl.learners.linear.tagger import TaggerSettings
from react_rl.learners.mlp.training import MlpSettings
from react_rl.seeding import Streams
from react_rl.simulation import (
    EncodedCorpus,
    EpisodeOptions,
    LabelingEngine,
    synthetic_asked,
    synthetic_encoded,
    synthetic_tagged,
)
from react_rl.simulation.play import play
from react_rl.simulation.world import World

EPISODE = EpisodeOptions(pool_size=60, dev_size=40, initial_size=5, budget=100, batch_size=3)
SMALL = ImitationSettings(
    states=16,
    dagger_states=16,
    n_envs=4,
    candidates=9,
    networks=1,
    hidden=8,
    epochs=2,
    initial_sizes=(5,),
    batch_sizes=(1, 3),
    rounds=(3,),
)
TAGGING = SMALL.of_task("tagging")


@cache
def sentences() -> list[EncodedCorpus]:
    return [synthetic_tagged(300, size, seed=size) for size in (2, 3)]


def changed(settings: ImitationSettings, **changes: Any) -> ImitationSettings:
    return settings.model_copy(update=changes)


def train(folder: Path, corpora: list[EncodedCorpus], settings: ImitationSettings, learner: Any) -> None:
    options = EPISODE.model_copy(update={"budget": 12.0 if corpora[0].corpus.passages else 100.0})
    validation = Validation([World(corpora[:1], options, learner)], 2, metric="task")
    imitate(corpora, validation, EPISODE, settings, folder, "mine", learner=learner)


def test_a_policy_for_sentences_is_trained_and_plays_on_others(tmp_path: Path) -> None:
    train(tmp_path, sentences()[:1], SMALL, TaggerSettings())
    card = read_card(tmp_path / "policy")
    assert tuple(card.action_space["features"]) == FEATURES_OF_TASKS["tagging"]
    assert {"mnlp", "mixture"} <= set(card.baselines)
    assert "variance-reduction" not in card.baselines
    assert "for each unit of cost" in card.reward["kind"]
    assert card.task == "tagging"
    engine = LabelingEngine(sentences()[1:], EPISODE, 2, learner=TaggerSettings())
    engine.reset([Streams(0), Streams(1)])
    assert sum(turn.round.cost.min() for turn in play(engine, load_strategy(tmp_path / "policy"))) > 60


def test_a_policy_for_questions_is_trained_on_their_own_answers(tmp_path: Path) -> None:
    train(tmp_path, [synthetic_asked(300)], changed(SMALL, generated=0.0), SpanSettings())
    card = read_card(tmp_path / "policy")
    assert tuple(card.action_space["features"]) == FEATURES_OF_TASKS["question-answering"]
    assert "span-margin" in card.baselines
    assert card.task == "question-answering"


def test_gains_are_learned_for_each_token_without_what_other_rows_bring(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[torch.Tensor, np.ndarray[Any, Any], torch.Tensor]] = []

    class Noted(LookAhead):
        def values(self, ids: torch.Tensor) -> Any:
            found = super().values(ids)
            view = self._engine.view
            cost = view.cost.gather(1, self._engine.pools.columns_of(ids[:, :, 0]))
            asked.append((ids, found, cost))
            return found

    monkeypatch.setattr("react_rl.agents.imitation.collection.LookAhead", Noted)
    states = collect(sentences(), EPISODE, changed(TAGGING, inside=0.0), 0, learner=TaggerSettings())
    ids, values, cost = asked[0]
    assert ids.shape == (4, 10, 1)
    assert (ids[:, -1] == -1).all()
    assert (ids[:, :-1] >= 0).all()
    expected = (values[:, :-1] - values[:, -1:]) / cost[:, :-1].numpy()
    np.testing.assert_allclose(states.values[:4], expected, atol=1e-6)
    shares = cost[:, :-1] / cost[:, :-1].mean(1, keepdim=True)
    torch.testing.assert_close(states.weights[:4], shares.float())


def test_a_policy_of_whole_gains_would_pick_longer_sentences_than_one_of_gains_for_each_token() -> None:
    place, longer = TAGGING.features.index("cheapness"), {}
    for gain in ("whole", "per-cost"):
        settings = changed(TAGGING, gain=gain, candidates=18)
        states = collect(sentences(), EPISODE, settings, 3, learner=TaggerSettings())
        length = -states.rows[:, :, place].float()
        longer[gain] = float((states.targets * length * states.weights).mean())
    assert longer["whole"] > longer["per-cost"] + 0.1


def test_rows_of_one_price_are_learned_by_their_whole_gain() -> None:
    assert not SMALL.by_cost([synthetic_encoded(200, 3), synthetic_asked(200)])
    assert SMALL.by_cost(sentences())
    assert not changed(SMALL, gain="whole").by_cost(sentences())
    assert changed(SMALL, gain="per-cost").by_cost([synthetic_encoded(200, 3)])
    plain = collect([synthetic_encoded(300, 3)], EPISODE, SMALL, 0)
    assert (plain.weights == 1).all()


def test_episodes_of_sentences_last_as_many_rounds_as_drawn() -> None:
    states = collect(sentences(), EPISODE, TAGGING, 1, learner=TaggerSettings())
    assert 8 <= len(states) <= 24  # 4 episodes of about 3 rounds at the mean price


def test_invented_types_take_the_place_of_the_corpuss_own() -> None:
    groups = [
        collect(sentences(), EPISODE, changed(TAGGING, generated=share), 2, learner=TaggerSettings())
        for share in (0.0, 1.0, 1.0)
    ]
    assert not torch.equal(groups[0].values, groups[1].values)
    assert torch.equal(groups[1].values, groups[2].values)


def test_test_rows_play_no_part() -> None:
    own = changed(TAGGING, generated=0.0)
    other = []
    for one in sentences():
        targets = one.corpus.targets.copy()
        for row in one.corpus.ids("test").tolist():
            targets[row] = np.zeros_like(targets[row])
        other.append(one.with_corpus(replace(one.corpus, targets=targets)))
    first, second = (
        collect(corpora, EPISODE, own, 2, learner=TaggerSettings()) for corpora in (sentences(), other)
    )
    assert torch.equal(first.values, second.values)


def test_dealing_again_keeps_token_states_and_the_questions_of_a_context_together() -> None:
    base = sentences()[0]
    dealt = dealt_again(base, 0)
    assert dealt.tokens is base.tokens
    assert (dealt.corpus.ids("test") == base.corpus.ids("test")).all()
    assert dealt.corpus.ids("dev").size > base.corpus.ids("dev").size
    questions = dealt_again(synthetic_asked(300), 0)
    passages = questions.corpus.passages
    assert passages is not None
    train, dev = (set(passages.of[questions.corpus.ids(name)].tolist()) for name in ("train", "dev"))
    assert not train & dev


@pytest.mark.parametrize(
    ("corpus", "learner", "changes", "message"),
    [
        (synthetic_tagged, MlpSettings(), {}, "set learner.kind to softmax, tagger or span"),
        (synthetic_tagged, TaggerSettings(), {"features": ("gini", "margin")}, "'imitation.features: gini'"),
        (synthetic_tagged, TaggerSettings(), {"gathered": 0.5}, "set imitation.gathered to 0"),
        (synthetic_asked, SpanSettings(), {}, "answers cannot be invented; use its own: set imitation.gen"),
    ],
)
def test_what_does_not_fit_the_task_is_refused_in_a_sentence(
    tmp_path: Path, corpus: Any, learner: Any, changes: dict[str, Any], message: str
) -> None:
    made = corpus(300)
    with pytest.raises(ReActError, match=message):
        imitate([made], None, EPISODE, changed(SMALL, **changes), tmp_path, learner=learner)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_a_policy_for_texts_of_several_prices_sees_them_and_wants_cheap_ones() -> None:
    made = synthetic_encoded(400, 3)
    cost = np.random.default_rng(0).uniform(0.3, 3.0, made.corpus.n_rows)
    priced = made.with_corpus(replace(made.corpus, cost=cost))
    settings = changed(SMALL.of_task("classification", [priced.corpus]), epochs=20)
    assert settings.features == (*ROW_FEATURES, "cheapness")
    assert SMALL.of_task("classification", [made.corpus]).features == ROW_FEATURES
    states = States.join([collect([priced], EPISODE, settings, group) for group in range(3)])
    scores = fit_ensemble(states, settings)(states.rows.float(), states.context).detach()
    cheap = (scores - scores.mean(1, keepdim=True)) * states.rows[:, :, -1].float()
    assert float(cheap.mean()) > 0.05


def test_features_that_are_named_stay() -> None:
    assert SMALL.of_task("classification").features == ROW_FEATURES
    assert changed(SMALL, features=("margin",)).of_task("tagging").features == ("margin",)
    assert make_strategy("feature:mentions").name == "feature:mentions"
