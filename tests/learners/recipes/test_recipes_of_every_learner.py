"""The whole table of recipes and learners: each pair is followed, or refused in a sentence that says why."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from react_rl.experiments.config.learners import LEARNER_CONFIGS, learner_config
from react_rl.learners.recipes import RECIPES, make_recipe
from react_rl.learners.recipes.reasons import REASONS, reason
from react_rl.learners.recipes.settings import KINDS, PLAIN
from react_rl.learners.registry import LEARNERS

ASKS_FOR_MORE = {"mixout": "full or bitfit", "back-translation": "two folders"}
"""Recipes that need a setting beside them: they are refused without it."""


@pytest.mark.parametrize("kind", list(LEARNER_CONFIGS))
@pytest.mark.parametrize("name", list(RECIPES))
def test_a_recipe_is_followed_or_refused_with_a_reason(name: str, kind: str) -> None:
    values = {"kind": kind, "recipe": name}
    if kind in RECIPES[name].kinds and not (kind == "finetune" and name in ASKS_FOR_MORE):
        settings = learner_config(values).settings()
        assert type(settings) is LEARNERS[kind].settings
        assert (settings != learner_config({"kind": kind}).settings()) is (make_recipe(name) != PLAIN)
        return
    with pytest.raises(ValidationError) as caught:
        learner_config(values)
    (error,) = caught.value.errors()
    said = error["msg"]
    assert "\n" not in said
    if kind in RECIPES[name].kinds:
        assert said.count(";") <= 1
    else:
        assert f"the learner is {kind}: " in said
        assert "choose another recipe" in said


def test_every_refusal_has_a_reason_of_its_own() -> None:
    for part, kinds in KINDS.items():
        for kind in REASONS.keys() - kinds:
            assert "not been built" not in reason(part, kind), (part, kind)
    parts = {part for own in REASONS.values() for parts in own for part in parts}
    assert parts <= KINDS.keys()
