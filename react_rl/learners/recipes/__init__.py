"""Recipes: ways of training a learner beyond fitting it to the labels, as values with a name and a source."""

from react_rl.learners.recipes.registry import RECIPES, RecipeEntry, check_recipe, make_recipe
from react_rl.learners.recipes.settings import (
    PLAIN,
    AdversarialSettings,
    AugmentationSettings,
    AverageSettings,
    ConsistencySettings,
    ContinualSettings,
    MixupSettings,
    Recipe,
    SelfTrainingSettings,
    SmoothingSettings,
)

__all__ = [
    "PLAIN",
    "RECIPES",
    "AdversarialSettings",
    "AugmentationSettings",
    "AverageSettings",
    "ConsistencySettings",
    "ContinualSettings",
    "MixupSettings",
    "Recipe",
    "RecipeEntry",
    "SelfTrainingSettings",
    "SmoothingSettings",
    "check_recipe",
    "make_recipe",
]
