"""The linear head under recipes, in the labelling loop."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from react_rl.acquisition import make_strategy
from react_rl.errors import ReActError
from react_rl.learners import MlpSettings, SoftmaxSettings
from react_rl.learners.capabilities import ChoosesRecipe
from react_rl.learners.recipes import RECIPES, Recipe, SmoothingSettings, check_recipe, make_recipe
from react_rl.learners.recipes.head import RecipeHead
from react_rl.learners.registry import LearnerSettings
from react_rl.seeding import Streams
from react_rl.simulation import EpisodeOptions, LabelingEngine, synthetic_encoded
from react_rl.simulation.with_answers import values_with_answers

OPTIONS = EpisodeOptions(pool_size=60, dev_size=30, initial_size=6, budget=20, batch_size=4)
LINEAR = [name for name, entry in RECIPES.items() if "softmax" in entry.kinds]
CORPUS = synthetic_encoded(300, 3)


def begun(seeds: Sequence[int], learner: LearnerSettings | None = None) -> LabelingEngine:
    engine = LabelingEngine([CORPUS], OPTIONS, len(seeds), ("accuracy", "log_loss"), learner)
    engine.reset([Streams(seed) for seed in seeds])
    return engine


def with_recipe(name: str) -> SoftmaxSettings:
    return SoftmaxSettings(recipe=make_recipe(name))


def played(engine: LabelingEngine, rounds: int, recipes: Sequence[Recipe | None] | None = None) -> None:
    random = make_strategy("random")
    for _ in range(rounds):
        engine.step(random.select(engine.view, 4), recipes)


@pytest.mark.parametrize("name", LINEAR)
def test_episodes_with_different_recipes_give_in_one_batch_what_they_give_alone(name: str) -> None:
    seeds = range(len(LINEAR))
    together = begun(seeds)
    recipes = [make_recipe(one) for one in LINEAR]
    played(together, 3, recipes)
    place = LINEAR.index(name)
    alone = begun([place])
    played(alone, 3, [recipes[place]])
    torch.testing.assert_close(
        together.learner.logits_of(slice(None))[place],
        alone.learner.logits_of(slice(None))[0],
        atol=1e-4,
        rtol=1e-4,
    )
    test = CORPUS.corpus.ids("test")
    torch.testing.assert_close(together.scores(test)[place], alone.scores(test)[0], atol=1e-4, rtol=1e-4)
    assert together.current["accuracy"][place] == alone.current["accuracy"][0]


@pytest.mark.parametrize("name", LINEAR)
def test_what_strategies_read_and_dev_measures_are_the_recipe_s_predictions(name: str) -> None:
    engine, plain = begun([0, 1], with_recipe(name)), begun([0, 1])
    played(engine, 2)
    played(plain, 2)
    logits = engine.learner.logits_of(slice(OPTIONS.pool_size, None))
    truth = engine.pools.truth
    right = (logits.argmax(1) == truth).double().mean(1)
    assert engine.current["accuracy"].tolist() == pytest.approx(right.tolist())
    np.testing.assert_allclose(engine.view.probabilities.sum(1).numpy(), 1.0, atol=1e-4)
    same = torch.equal(engine.view.logits, plain.view.logits)
    # Without phases there is nothing that a continual recipe could let go of.
    assert same == (RECIPES[name].family in ("plain", "continual"))


@pytest.mark.parametrize("name", LINEAR)
def test_rows_outside_the_episode_are_scored_as_dev_rows_are(name: str) -> None:
    engine = begun([3], with_recipe(name))
    played(engine, 3)
    dev = engine.draw_of(0).dev
    expected = engine.learner.logits_of(slice(OPTIONS.pool_size, None))
    torch.testing.assert_close(engine.scores(dev), expected, atol=2e-3, rtol=1e-3)


@pytest.mark.parametrize("name", LINEAR)
def test_batches_are_tried_out_on_copies_that_follow_the_recipe(name: str) -> None:
    engine = begun([0, 1], with_recipe(name))
    played(engine, 1)
    ids = make_strategy("margin").select(engine.view, 4)
    tried = values_with_answers(engine, torch.stack([ids, ids.flip(1)], 1))
    engine.step(ids)
    np.testing.assert_allclose(tried[:, 0], engine.current["accuracy"], atol=1e-9)


def test_a_recipe_stays_until_another_is_chosen_and_ends_with_the_episode() -> None:
    engine = begun([0, 1])
    learner = engine.learner
    assert isinstance(learner, ChoosesRecipe)
    smooth = make_recipe("smooth")
    played(engine, 1, [smooth, None])
    played(engine, 1)
    assert list(learner.recipes) == [smooth, make_recipe("plain")]
    engine.reset([Streams(5)], episodes=[0])
    assert list(learner.recipes) == [make_recipe("plain")] * 2


def test_an_interrupted_episode_goes_on_with_the_recipes_it_had_chosen() -> None:
    engine = begun([0, 1])
    played(engine, 2, [make_recipe("smooth"), Recipe(smoothing=SmoothingSettings(share=0.3))])
    state = {name: array.clone() for name, array in engine.state().items()}
    other = LabelingEngine([CORPUS], OPTIONS, 2, ("accuracy", "log_loss"))
    other.resume([Streams(seed) for seed in (0, 1)], None, state)
    assert torch.equal(other.learner.logits_of(slice(None)), engine.learner.logits_of(slice(None)))


def test_recipes_that_a_learner_cannot_follow_are_refused_in_one_sentence() -> None:
    engine = begun([0], MlpSettings(members=2, hidden=4, steps=2))
    ids = make_strategy("random").select(engine.view, 4)
    with pytest.raises(ReActError, match="recipes that episodes can choose"):
        engine.step(ids, [make_recipe("smooth")])
    with pytest.raises(ReActError, match="and the learner is mlp"):
        check_recipe(make_recipe("smooth"), "mlp")
    with pytest.raises(ReActError, match="Did you mean 'smooth'"):
        make_recipe("smoth")
    with pytest.raises(ReActError, match="Did you mean 'neighbours'"):
        make_recipe({"smoothing": {"neighbors": 3}})


def test_presets_are_named_by_what_they_set_and_plain_sets_nothing() -> None:
    assert make_recipe("plain").said == {}
    for name, entry in RECIPES.items():
        assert make_recipe(entry.settings.said) == entry.settings, name
        assert entry.kinds, name


def test_the_recipe_with_the_best_dev_accuracy_is_followed_in_every_round() -> None:
    offered = RECIPES["best-on-dev"].settings.best_on_dev
    seeds = range(6)
    choosing = begun(seeds, with_recipe("best-on-dev"))
    fixed = [begun(seeds, with_recipe(name)) for name in offered]
    test = CORPUS.corpus.ids("test")
    for _ in range(3):
        ids = make_strategy("random").select(choosing.view, 4)
        for engine in (choosing, *fixed):
            engine.step(ids)
        dev = np.stack([engine.current["accuracy"] for engine in fixed])
        np.testing.assert_allclose(choosing.current["accuracy"], dev.max(0))
        learner = choosing.learner
        assert isinstance(learner, RecipeHead)
        scores = choosing.scores(test)
        for episode, followed in enumerate(learner.followed):
            (place,) = [i for i, name in enumerate(offered) if make_recipe(name) == followed]
            assert dev[place, episode] == dev[:, episode].max()
            torch.testing.assert_close(
                scores[episode], fixed[place].scores(test)[episode], atol=1e-4, rtol=1e-4
            )


def test_a_choice_among_recipes_names_whole_ones_that_do_not_choose_themselves() -> None:
    with pytest.raises(ReActError, match="set nothing beside it"):
        make_recipe({"best_on_dev": ["plain"], "label_smoothing": 0.1})
    with pytest.raises(ReActError, match="chooses itself"):
        check_recipe(Recipe(best_on_dev=("best-on-dev",)), "softmax")
    with pytest.raises(ReActError, match="the learner is softmax"):
        check_recipe(Recipe(best_on_dev=("fgm",)), "softmax")


def test_a_recipe_changes_for_the_episodes_whose_round_ends() -> None:
    engine = begun([0, 1])
    engine.buy(make_strategy("random").select(engine.view, 4))
    engine.learn(np.array([True, False]), [make_recipe("smooth")] * 2)
    assert isinstance(engine.learner, ChoosesRecipe)
    assert list(engine.learner.recipes) == [make_recipe("smooth"), make_recipe("plain")]
