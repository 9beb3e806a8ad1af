"""The linear tagger under recipes: an l2 of its own or by the dev rows, smoothed tags, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import pytest
import torch

from react_rl.acquisition import make_strategy
from react_rl.errors import ReActError
from react_rl.experiments.config.learners import learner_config
from react_rl.learners.linear.tagger import TaggerSettings
from react_rl.learners.recipes import Recipe, make_recipe
from react_rl.learners.recipes.tagging import GRID, RecipeTagger
from react_rl.seeding import Streams
from react_rl.simulation import EncodedCorpus, EpisodeOptions, LabelingEngine, synthetic_tagged

OPTIONS = EpisodeOptions(pool_size=100, dev_size=30, initial_size=6, budget=90, batch_size=4)
DEV = slice(100, None)
STEPS = TaggerSettings(tolerance=0.02)
"""Mostly six steps of a refit: what fits differ in is then their recipe."""


@cache
def corpus() -> EncodedCorpus:
    return synthetic_tagged(300, 3)


def engine_of(
    recipes: Sequence[Recipe], rounds: int = 2, settings: TaggerSettings | None = None
) -> LabelingEngine:
    """Episodes of seeds 0, 1, ... whose recipes are chosen after the initial labels."""
    engine = LabelingEngine([corpus()], OPTIONS, len(recipes), ["entity_f1"], settings or STEPS)
    engine.reset([Streams(seed) for seed in range(len(recipes))])
    for _ in range(rounds):
        engine.step(make_strategy("random").select(engine.view, 4), recipes)
    return engine


def dev_loss(engine: LabelingEngine, logits: torch.Tensor) -> float:
    """Mean log-loss of the words of the dev sentences of the first episode."""
    tags = np.concatenate([corpus().corpus.targets[row] for row in engine.draw_of(0).dev])
    log = torch.log_softmax(logits[0, :, : len(tags)].double(), 0)
    return -float(log[torch.from_numpy(tags), torch.arange(len(tags))].mean())


def test_the_dev_rows_choose_among_taggers_of_every_l2_in_each_round() -> None:
    settings = TaggerSettings(l2_on_dev=True)
    chosen = set()
    for rounds in (0, 3):
        engine = engine_of([make_recipe("plain")], rounds, settings)
        each = [engine_of([make_recipe("plain")], rounds, TaggerSettings(l2=l2)) for l2 in GRID]
        scores = [one.learner.logits_of(DEV).logits for one in each]
        wanting = [
            1e-4 * dev_loss(one, own) - float(one.current["entity_f1"][0])
            for one, own in zip(each, scores, strict=True)
        ]
        best = int(np.argmin(wanting))
        assert torch.equal(engine.learner.logits_of(DEV).logits, scores[best])
        assert isinstance(engine.learner, RecipeTagger)
        assert engine.learner._losses[0].l2 == GRID[best] != TaggerSettings().l2
        chosen.add(best)


def test_each_episode_follows_its_own_recipe_as_it_does_alone() -> None:
    recipes = [make_recipe("l2-dev"), make_recipe("plain"), Recipe(l2=0.01), make_recipe("label-smoothing")]
    together = engine_of(recipes).view.tokens.total_entropy
    plain = engine_of([make_recipe("plain")] * 4).view.tokens.total_entropy
    for seed, recipe in enumerate(recipes):
        alone = engine_of([make_recipe("plain")] * seed + [recipe]).view.tokens.total_entropy
        torch.testing.assert_close(alone[seed], together[seed], atol=1e-4, rtol=1e-4)
        assert torch.allclose(together[seed], plain[seed], rtol=1e-3) == (recipe == make_recipe("plain"))


def test_it_goes_on_where_its_state_was_taken_to_the_last_bit() -> None:
    recipes = [make_recipe("l2-dev"), Recipe(l2=0.01, label_smoothing=0.2), make_recipe("plain")]
    whole = engine_of(recipes)
    resumed = LabelingEngine([corpus()], OPTIONS, 3, ["entity_f1"], STEPS)
    state = {name: array.clone() for name, array in whole.state().items()}
    resumed.resume([Streams(seed) for seed in range(3)], None, state)
    for engine in (whole, resumed):
        engine.step(make_strategy("mnlp").select(engine.view, 4))
    assert isinstance(resumed.learner, RecipeTagger)
    assert resumed.learner.recipes == recipes
    assert torch.equal(resumed.view.tokens.total_entropy, whole.view.tokens.total_entropy)


def test_recipes_of_the_tagger_from_yaml() -> None:
    plain = learner_config({"kind": "tagger"}).identity()
    assert set(plain) == {"kind", "l2", "bias", "tolerance", "max_steps"}, "what is off is not in the name"
    assert learner_config({"kind": "tagger", "recipe": "l2-dev"}).identity() == {**plain, "l2_on_dev": True}
    fixed = learner_config({"kind": "tagger", "recipe": {"l2": 0.02}, "tagger": {"l2_on_dev": True}})
    assert fixed.identity() == {**plain, "l2": 0.02}
    for recipe, reason in (("l2-loo", "take l2-dev"), ("self-train", "outside of entities")):
        with pytest.raises(ValueError, match=reason):
            learner_config({"kind": "tagger", "recipe": recipe})
    engine = engine_of([make_recipe("plain")], 0)
    assert isinstance(engine.learner, RecipeTagger)
    with pytest.raises(ReActError, match="neighbours are of whole texts"):
        engine.learner.choose([make_recipe("smooth")])
