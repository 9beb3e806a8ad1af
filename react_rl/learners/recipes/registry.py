"""All recipes by name: family, cost and source of each, and which learners can follow it.

Costs: E episodes, P pool rows, W pool and dev rows, n labelled rows, k neighbours, C classes, D dimensions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, get_args

import torch
from torch import Tensor

from react_rl.errors import ReActError, unknown
from react_rl.learners.recipes.reasons import reason
from react_rl.learners.recipes.settings import (
    KINDS,
    PLAIN,
    AdversarialSettings,
    AugmentationSettings,
    AverageSettings,
    ConsistencySettings,
    ContinualSettings,
    Kind,
    MixupSettings,
    Recipe,
    SelfTrainingSettings,
    SmoothingSettings,
)
from react_rl.validation import validated


def kinds_of(recipe: Recipe) -> frozenset[Kind]:
    """Kinds of learners that can follow a recipe."""
    return frozenset(get_args(Kind)).intersection(*(KINDS[part] for part in recipe.parts))


@dataclass(frozen=True)
class RecipeEntry:
    """One recipe.

    Args:
        settings: What it sets.
        family: What it belongs to.
        summary: What it does.
        cost: Of a round, beyond the plain one.
        source: Paper.
    """

    settings: Recipe
    family: str
    summary: str
    cost: str
    source: str

    @property
    def kinds(self) -> frozenset[Kind]:
        """Kinds of learners that can follow it."""
        return kinds_of(self.settings)


RECIPES: Final[dict[str, RecipeEntry]] = {
    "plain": RecipeEntry(PLAIN, "plain", "the learner as it comes", "-", "-"),
    "cheap": RecipeEntry(
        Recipe(smoothing=SmoothingSettings()),
        "presets",
        "the gain that costs least: smooth",
        "W k C; W P D once",
        "see smooth",
    ),
    "strong": RecipeEntry(
        Recipe(l2="leave-one-out", smoothing=SmoothingSettings()),
        "presets",
        "what the study of recipes found best on its corpora of choice: l2-loo, then smooth",
        "7 n^3 + W k C",
        "see l2-loo, smooth",
    ),
    "smooth": RecipeEntry(
        Recipe(smoothing=SmoothingSettings()),
        "semi-supervised",
        "predictions half and half with those of the 15 nearest pool rows",
        "W k C; W P D once",
        "Zhou et al. 2004, one step",
    ),
    "spread": RecipeEntry(
        Recipe(smoothing=SmoothingSettings(share=0.8, steps=20)),
        "semi-supervised",
        "label spreading over the pool's graph, begun from the predictions",
        "20 W k C; W P D once",
        "Zhou et al. 2004",
    ),
    "propagate": RecipeEntry(
        Recipe(smoothing=SmoothingSettings(share=1.0, steps=200)),
        "semi-supervised",
        "label propagation: the harmonic function of the labels on the pool's graph",
        "200 W k C; W P D once",
        "Zhu et al. 2003",
    ),
    "best-on-dev": RecipeEntry(
        Recipe(best_on_dev=("plain", "smooth", "hast", "l2-loo")),
        "choice",
        "of plain, smooth, hast and l2-loo the one with the best dev accuracy, in every round",
        "all of them",
        "-",
    ),
    "self-train": RecipeEntry(
        Recipe(self_training=SelfTrainingSettings()),
        "semi-supervised",
        "trained again on up to 100 pool rows under labels of at least .8, evenly over classes",
        "(n + 100)^3 + W D 100",
        "Yarowsky 1995",
    ),
    "hast": RecipeEntry(
        Recipe(self_training=SelfTrainingSettings(threshold=0.5, agreement=0.5, rows=200)),
        "semi-supervised",
        "self-training on rows whose 15 neighbours mostly agree with their label",
        "(n + 200)^3 + W D 200",
        "Schröder & Heyer 2024, its acceptance rule",
    ),
    "l2-loo": RecipeEntry(
        Recipe(l2="leave-one-out"),
        "regularisation",
        "the l2 with the least log-loss on labelled rows left out, of seven",
        "7 n^3",
        "Cawley & Talbot 2008",
    ),
    "l2-dev": RecipeEntry(
        Recipe(l2="dev"),
        "regularisation",
        "the l2 with the least log-loss on the dev rows, of seven; tagger: with the best F1, of five",
        "7 n^3; tagger: 4 refits",
        "-",
    ),
    "label-smoothing": RecipeEntry(
        Recipe(label_smoothing=0.1),
        "regularisation",
        "a tenth of each label is spread over all classes",
        "n^3; tagger, finetune: nothing",
        "Szegedy et al. 2016",
    ),
    "r-drop": RecipeEntry(
        Recipe(r_drop=1.0),
        "regularisation",
        "two passes with different units dropped, and their divergence in the loss",
        "2 x training",
        "Liang et al. 2021",
    ),
    "ema": RecipeEntry(
        Recipe(average=AverageSettings(kind="ema")),
        "regularisation",
        "exponential mean of the weights along the steps",
        "weights once a step",
        "Polyak & Juditsky 1992",
    ),
    "swa": RecipeEntry(
        Recipe(average=AverageSettings(kind="swa")),
        "regularisation",
        "mean of the weights over the second half of the steps",
        "weights once a step",
        "Izmailov et al. 2018",
    ),
    "l2-sp": RecipeEntry(
        Recipe(l2_sp=0.01),
        "regularisation",
        "weights are drawn back to the pretrained ones in every step",
        "the weights once more, in memory",
        "Li et al. 2018",
    ),
    "mixout": RecipeEntry(
        Recipe(mixout=0.5),
        "regularisation",
        "in every step half of the weights, drawn at random, are the pretrained ones",
        "a random number for each weight and step",
        "Lee et al. 2020",
    ),
    "mixup": RecipeEntry(
        Recipe(mixup=MixupSettings(alpha=0.4)),
        "augmentation",
        "trained on pairs of rows, their vectors and labels mixed in drawn shares",
        "nothing; softmax: (4 n)^3",
        "Zhang et al. 2018; Guo et al. 2019",
    ),
    "mixup-layer": RecipeEntry(
        Recipe(mixup=MixupSettings(alpha=0.4, layer=1)),
        "augmentation",
        "the same in the states that leave the lowest trained layer",
        "texts keep their padding",
        "Verma et al. 2019; Chen et al. 2020",
    ),
    "sequential": RecipeEntry(
        Recipe(continual=ContinualSettings(kind="sequential")),
        "continual",
        "in each phase trained on its labels alone, from the weights of the phase before",
        "less than plain; softmax: n D C a step",
        "-",
    ),
    "replay": RecipeEntry(
        Recipe(continual=ContinualSettings(kind="replay")),
        "continual",
        "the same, and on a fifth of the earlier labels, drawn evenly",
        "less than plain; softmax: n D C a step",
        "de Masson d'Autume et al. 2019; Vitter 1985",
    ),
    "ewc": RecipeEntry(
        Recipe(continual=ContinualSettings(kind="ewc")),
        "continual",
        "as sequential, weights held by the information of earlier rows on them",
        "weights twice more, in memory; a pass over the labels of each phase",
        "Kirkpatrick et al. 2017; Huszár 2018",
    ),
    "lwf": RecipeEntry(
        Recipe(continual=ContinualSettings(kind="lwf")),
        "continual",
        "as sequential, held to what was said of the phase's rows before it",
        "weights once more, in memory; a pass over the labels of each round",
        "Li & Hoiem 2016",
    ),
    "adapters": RecipeEntry(
        Recipe(continual=ContinualSettings(kind="adapters")),
        "continual",
        "fresh weights and a head for each phase; those of a row's phase read it, which is told",
        "weights of each phase, in memory; prediction: once for each phase",
        "Houlsby et al. 2019; Rusu et al. 2016",
    ),
    "eda": RecipeEntry(
        Recipe(augmentation=AugmentationSettings(kind="eda")),
        "augmentation",
        "a copy of every labelled text with words swapped or deleted",
        "2 x training",
        "Wei & Zou 2019, without synonyms",
    ),
    "eda-wordnet": RecipeEntry(
        Recipe(augmentation=AugmentationSettings(kind="eda", synonyms="wordnet")),
        "augmentation",
        "the same with words inserted and replaced by synonyms as well; needs nltk",
        "2 x training",
        "Wei & Zou 2019",
    ),
    "masked-words": RecipeEntry(
        Recipe(augmentation=AugmentationSettings(kind="masked-lm")),
        "augmentation",
        "a copy of every labelled text with a tenth of the words filled in by a masked LM",
        "2 x training; a forward pass for each labelled row once",
        "Kobayashi 2018",
    ),
    "back-translation": RecipeEntry(
        Recipe(augmentation=AugmentationSettings(kind="translation")),
        "augmentation",
        "a copy of every labelled text, translated and back; needs augmentation.models",
        "2 x training; two translations of each labelled row once",
        "Sennrich et al. 2016; Xie et al. 2020",
    ),
    "mentions": RecipeEntry(
        Recipe(augmentation=AugmentationSettings(kind="mentions", share=0.5)),
        "augmentation",
        "tagging: a copy of every sentence with entities exchanged for others of their type",
        "2 x training",
        "Dai & Adel 2020",
    ),
    "consistency": RecipeEntry(
        Recipe(consistency=ConsistencySettings(weight=1.0)),
        "semi-supervised",
        "sure predictions for 16 unlabelled rows a step are made the same under noise",
        "2.3 x training",
        "Xie et al. 2020",
    ),
    "fgm": RecipeEntry(
        Recipe(adversarial=AdversarialSettings(kind="fgm")),
        "adversarial",
        "trained on input vectors moved along their gradient, too",
        "2 x training",
        "Miyato et al. 2017",
    ),
    "pgd": RecipeEntry(
        Recipe(adversarial=AdversarialSettings(kind="pgd")),
        "adversarial",
        "trained on input vectors moved three times, too",
        "4 x training",
        "Madry et al. 2018",
    ),
    "freelb": RecipeEntry(
        Recipe(adversarial=AdversarialSettings(kind="freelb")),
        "adversarial",
        "the mean gradient over input vectors moved from zero, three times",
        "3 x training",
        "Zhu et al. 2020, begun at zero",
    ),
}
"""Recipes by the name that YAML gives as ``learner.recipe``."""


def make_recipe(wanted: str | Recipe | Mapping[str, Any]) -> Recipe:
    """The recipe of a name, of settings, or of their plain values.

    Raises:
        ReActError: The name or a setting is unknown.
    """
    if isinstance(wanted, Recipe):
        return wanted
    if isinstance(wanted, str):
        if wanted not in RECIPES:
            raise unknown("recipe", wanted, RECIPES)
        return RECIPES[wanted].settings
    return validated(Recipe, wanted, "recipe")


def check_recipe(recipe: Recipe, kind: str) -> None:
    """Check that a kind of learner can follow a recipe, before anything is loaded.

    Raises:
        ReActError: A part of the recipe is for other kinds.
    """
    for part in recipe.parts:
        if kind not in KINDS[part]:
            able = " or ".join(sorted(KINDS[part]))
            raise ReActError(
                f"The recipe's {part!r} is for learner.kind {able}, and the learner is {kind}: "
                f"{reason(part, kind)}; choose another recipe (`react-rl list recipes`) or another kind."
            )
    for name in recipe.best_on_dev:
        inner = make_recipe(name)
        if inner.best_on_dev:
            raise ReActError(f"best_on_dev names {name!r}, which chooses itself; name other recipes.")
        check_recipe(inner, kind)


def packed_recipes(recipes: Sequence[Recipe], usual: Recipe) -> dict[str, Tensor]:
    """Recipes of episodes as part of a learner's state; nothing where all are the usual one."""
    if all(recipe == usual for recipe in recipes):
        return {}
    said = json.dumps([recipe.model_dump(mode="json") for recipe in recipes])
    return {"recipes": torch.tensor(list(said.encode()), dtype=torch.uint8)}


def unpacked_recipes(state: Mapping[str, Tensor]) -> list[Recipe]:
    """What ``packed_recipes`` has put into a state; empty where it has put nothing."""
    if "recipes" not in state:
        return []
    return [Recipe.model_validate(one) for one in json.loads(bytes(state["recipes"].tolist()))]
