"""The policy that ships: a strategy by name everywhere, small, and made by the committed config."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from react_rl.acquisition import make_strategy
from react_rl.acquisition.registry import entry_of
from react_rl.agents import LearnedStrategy, Validation, load_strategy, read_card
from react_rl.agents.adjustment.settings import AdjustmentSettings
from react_rl.agents.imitation.settings import ImitationSettings
from react_rl.agents.scorer import ScorerStrategy
from react_rl.agents.scorer_folder import pretrained_folder
from react_rl.envs.interfaces import ChooseStrategy
from react_rl.errors import ReActError
from react_rl.experiments.config.models import AdjustConfig, ImitateConfig, load_config
from react_rl.experiments.run.strategies import identity, label, resolve
from react_rl.learners.linear.tagger import TaggerSettings
from react_rl.seeding import Streams
from react_rl.simulation import EpisodeOptions, LabelingEngine, synthetic_encoded, synthetic_tagged
from react_rl.simulation.world import World


def test_it_is_a_strategy_by_name_wherever_one_is_named() -> None:
    engine = LabelingEngine([synthetic_encoded(300, 4)], EpisodeOptions(pool_size=100, dev_size=50), 2)
    engine.reset([Streams(0), Streams(1)])
    expected = LearnedStrategy.from_pretrained().select(engine.view, 5)
    for strategy in (
        make_strategy("learned"),
        resolve("learned"),
        load_strategy(pretrained_folder("learned")),
    ):
        assert strategy.name == "learned"
        assert strategy.select(engine.view, 5).tolist() == expected.tolist()
    assert label("learned") == "learned"
    assert identity("learned") == identity("learned") != "learned"
    assert entry_of("learned").family == "learned"
    assert make_strategy("subsample:50:learned").select(engine.view, 3).shape == (2, 3)
    chooser = ChooseStrategy(["random", "learned"])
    frame = replace(chooser.frame(engine.view), batch_size=5)
    assert chooser.decide(frame, np.array([1, 1])).ids.tolist() == expected.tolist()


def test_its_card_is_that_of_the_committed_config() -> None:
    card, config = read_card(pretrained_folder("learned")), load_config(AdjustConfig, "learned")
    assert AdjustmentSettings.model_validate(card.settings) == config.adjustment
    assert card.episode == config.episode.model_dump(mode="json")
    named = {corpus.name or corpus.corpus for corpus in config.corpora}
    assert {name.split(" (")[0] for name in card.trained_on} == named


def test_what_it_began_from_is_that_of_its_committed_config() -> None:
    card, config = read_card(pretrained_folder("imitated")), load_config(ImitateConfig, "imitated")
    assert ImitationSettings.model_validate(card.settings) == config.imitation
    assert card.episode == config.episode.model_dump(mode="json")
    assert set(card.trained_on) == {"bbc_news", "crowd_tweets"}
    assert card.settings["generated"] == 1.0
    started = read_card(pretrained_folder("learned")).settings["start"]
    assert started == "imitated"
    assert LearnedStrategy.from_pretrained(started).features == LearnedStrategy.from_pretrained().features


def test_it_is_small_enough_to_ship() -> None:
    folder = pretrained_folder("learned")
    assert sum(file.stat().st_size for file in folder.iterdir()) < 5_000_000


def test_it_is_ahead_of_random_and_margin_on_vectors_made_in_code() -> None:
    """Vectors unlike those of its training; the numbers of real corpora are in the model card."""
    options = EpisodeOptions(pool_size=200, dev_size=100, initial_size=8, budget=40, batch_size=5)
    corpora = [synthetic_encoded(600, n, seed=n) for n in (3, 6)]
    validation = Validation([World(corpora, options)], 32)
    area = validation.areas(LearnedStrategy.from_pretrained())
    for rival in ("random", "margin"):
        assert area.mean() > validation.areas(make_strategy(rival)).mean()


def test_a_policy_for_tagging_comes_along_and_buys_more_short_sentences_than_random() -> None:
    card = read_card(pretrained_folder("learned-tagging"))
    assert card.settings["gain"] == "per-cost"
    assert set(card.trained_on) == {"conll2003", "bc5cdr"}
    options = EpisodeOptions(pool_size=120, dev_size=30, initial_size=6, budget=300, batch_size=5)
    engine = LabelingEngine([synthetic_tagged(300, n_types=3)], options, 4, learner=TaggerSettings())
    engine.reset([Streams(seed) for seed in range(4)])
    ids = LearnedStrategy.from_pretrained("learned-tagging").select(engine.view, 5)
    assert (ids >= 0).all()
    assert all(len(set(row)) == 5 for row in ids.tolist())
    bought = engine.view.cost.gather(1, engine.view.columns_of(ids)).mean()
    assert bought < engine.view.cost.mean()


def test_it_says_what_it_is() -> None:
    strategy = LearnedStrategy.from_pretrained()
    assert isinstance(strategy, ScorerStrategy)
    assert repr(strategy) == repr(LearnedStrategy.from_pretrained())
    assert repr(strategy).startswith("ScorerStrategy('learned', weights ")


def test_an_unknown_policy_is_refused() -> None:
    with pytest.raises(ReActError, match=r"Unknown policy of this package 'lerned'\. Did you mean 'learned'"):
        LearnedStrategy.from_pretrained("lerned")
