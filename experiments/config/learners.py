"""The learner as a config describes it: one model for each kind, of which ``kind`` picks one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import tyro
import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    TypeAdapter,
    field_validator,
    model_validator,
)

from react_rl.documents import parse_yaml
from react_rl.errors import ReActError, suggestion
from react_rl.experiments.config.frozen import Frozen
from react_rl.files import digest
from react_rl.learners.finetune.settings import FineTuneSettings
from react_rl.learners.linear.settings import SoftmaxSettings
from react_rl.learners.linear.span import SpanSettings
from react_rl.learners.linear.tagger import TaggerSettings
from react_rl.learners.mlp.training import MlpSettings
from react_rl.learners.prompts.settings import PromptSettings
from react_rl.learners.recipes import PLAIN, Recipe, check_recipe, make_recipe
from react_rl.learners.recipes.settings import Kind
from react_rl.learners.registry import LearnerSettings, learner_named
from react_rl.own_code import LEARNER, announced, is_outside, sources_outside
from react_rl.validation import validated

_OWN: Final = "own"


def _recipe_as_text(recipe: str | Recipe) -> list[str]:
    given = recipe if isinstance(recipe, str) else recipe.said
    return [given if isinstance(given, str) else yaml.safe_dump(given, default_flow_style=True).strip()]


_RECIPE_ON_COMMAND_LINE: Final = tyro.constructors.PrimitiveConstructorSpec[str | Recipe](
    nargs=1,
    metavar="NAME",
    instance_from_str=lambda words: parse_yaml(words[0], "Override --learner.recipe"),
    is_instance=lambda value: isinstance(value, str | Recipe),
    str_from_instance=_recipe_as_text,
)


class LearnerConfig(Frozen):
    """The model that is trained on bought labels: what every kind has."""

    kind: Kind | str
    """softmax: linear head on frozen embeddings; mlp: with a hidden layer; finetune: the transformer;
    tagger: linear tagger on frozen token states, for corpora of tagging;
    span: linear scorer of answers on frozen states, for corpora of question answering;
    prompt: words of the classes in a gap of a template, read by a masked language model;
    module:Name: one of your own."""
    recipe: Annotated[str | Recipe, _RECIPE_ON_COMMAND_LINE] = "plain"
    """How it is trained beyond its own settings: a name from `react-rl list recipes`, or settings."""

    @field_validator("recipe", mode="before")
    @classmethod
    def _known_recipe(cls, value: Any) -> Any:
        try:
            recipe = make_recipe(value)
        except ReActError as error:
            raise ValueError(str(error).rstrip(".")) from None
        return value if isinstance(value, str) else recipe

    @model_validator(mode="after")
    def _check(self) -> LearnerConfig:
        try:
            check_recipe(make_recipe(self.recipe), self.kind)
            self.settings()
        except ReActError as error:
            raise ValueError(str(error).rstrip(".")) from None
        return self

    def settings(self) -> LearnerSettings:
        """Settings of the learner: those in the section that is named like its kind."""
        settings: LearnerSettings = getattr(self, self.kind)
        return settings

    def identity(self) -> dict[str, Any]:
        """What determines the learner's results."""
        own = self.settings()
        assert isinstance(own, BaseModel), "kinds whose settings are no model say themselves who they are"
        return {"kind": self.kind, **own.model_dump(mode="json")}


class FineTuneLearner(LearnerConfig):
    """A transformer that is fine-tuned."""

    kind: Literal["finetune"] = "finetune"
    """The transformer itself."""
    finetune: FineTuneSettings = FineTuneSettings()
    """finetune: model, method and training."""

    def settings(self) -> LearnerSettings:
        """Settings of the learner, those of its recipe among them."""
        return self.finetune.following(make_recipe(self.recipe))


class MlpLearner(LearnerConfig):
    """Heads with a hidden layer."""

    kind: Literal["mlp"] = "mlp"
    """Heads with a hidden layer on frozen embeddings."""
    mlp: MlpSettings = MlpSettings()
    """mlp: size, ensemble and training."""


class TaggerLearner(LearnerConfig):
    """A linear tagger."""

    kind: Literal["tagger"] = "tagger"
    """Linear tagger on frozen token states."""
    tagger: TaggerSettings = TaggerSettings()
    """tagger: regularisation and convergence."""

    def settings(self) -> LearnerSettings:
        """Settings of the learner, those of its recipe among them."""
        return self.tagger.following(make_recipe(self.recipe))


class SpanLearner(LearnerConfig):
    """A linear scorer of answers."""

    kind: Literal["span"] = "span"
    """Linear scorer of answers on frozen states."""
    span: SpanSettings = SpanSettings()
    """span: regularisation, size and convergence."""


class PromptLearner(LearnerConfig):
    """A masked language model that fills gaps."""

    kind: Literal["prompt"] = "prompt"
    """Words of the classes in the gap of a template."""
    prompt: PromptSettings = PromptSettings()
    """prompt: model, templates, words of the classes, calibration and training."""


class SoftmaxLearner(LearnerConfig):
    """A linear head."""

    kind: Literal["softmax"] = "softmax"
    """Linear head on frozen embeddings."""
    class_weights: Literal["none", "balanced"] = "none"
    """softmax: balanced gives every class the same share in the loss, however few labels it has."""
    l2: float = Field(default=0.1, ge=1e-6, le=1e6)
    """softmax: weight of the squared norm; 0.1 is C = 10 in scikit-learn."""
    bias: float = Field(default=0.1, ge=1e-6, le=1e6)
    """softmax: scale of the penalised intercept; large values leave it free."""
    tolerance: float = Field(default=1e-2, gt=0, le=1)
    """softmax: a refit ends when no entry of the gradient exceeds this."""
    max_steps: int = Field(default=20, ge=1, le=10**5)
    """softmax: most steps of one refit."""

    def settings(self) -> LearnerSettings:
        """Settings of the learner."""
        recipe = make_recipe(self.recipe)
        return SoftmaxSettings(self.l2, self.bias, self.tolerance, self.max_steps, self.class_weights, recipe)

    def identity(self) -> dict[str, Any]:
        """What determines the learner's results."""
        # Results are filed under this: a head without class weights is filed as before there were any.
        unsaid = {"kind", "recipe"} | ({"class_weights"} if self.class_weights == "none" else set())
        recipe = make_recipe(self.recipe)
        said = {} if recipe == PLAIN else {"recipe": recipe.said}
        return self.model_dump(mode="json", exclude=unsaid) | said


class OwnLearner(LearnerConfig):
    """A learner from outside the package, which is imported when its settings are asked for."""

    kind: str
    """module:Name, or what a package announces."""
    own: dict[str, Any] = Field(default={})
    """Settings of a learner of one's own."""

    @model_validator(mode="after")
    def _check(self) -> OwnLearner:
        # What a file names must not be imported by reading the file.
        try:
            check_recipe(make_recipe(self.recipe), self.kind)
        except ReActError as error:
            raise ValueError(str(error).rstrip(".")) from None
        return self

    def settings(self) -> Any:
        """Settings of the learner.

        Raises:
            ReActError: It cannot be imported, or takes no such settings.
        """
        kind = learner_named(self.kind).settings
        return validated(kind, self.own, f"Settings of learner {self.kind!r}")

    def identity(self) -> dict[str, Any]:
        """What determines the learner's results, its code among it."""
        entry = learner_named(self.kind)
        code = digest(*sources_outside([entry.build, entry.settings]))
        return {"kind": self.kind, "own": self.settings().model_dump(mode="json"), "code": code}


LEARNER_CONFIGS: Final[dict[str, type[LearnerConfig]]] = {
    "softmax": SoftmaxLearner,
    "finetune": FineTuneLearner,
    "mlp": MlpLearner,
    "tagger": TaggerLearner,
    "span": SpanLearner,
    "prompt": PromptLearner,
}
"""The model of each kind."""


def _of_its_kind(values: Any) -> Any:
    """Leave out what belongs to other kinds: it may stand beside, so that ``kind`` alone switches.

    Raises:
        ValueError: There is no such kind, or class weights of the linear head are set beside another.
    """
    if not isinstance(values, Mapping):
        return values
    kind = values.get("kind", "softmax")
    if not isinstance(kind, str) or (kind not in LEARNER_CONFIGS and not is_outside(kind, LEARNER)):
        known = ", ".join([*LEARNER_CONFIGS, *announced(LEARNER.group), "module:Name"])
        raise ValueError(f"unknown kind {kind!r}.{suggestion(str(kind), LEARNER_CONFIGS)} Known: {known}")
    weights = values.get("class_weights", "none")
    if kind != "softmax" and weights != "none":
        raise ValueError(
            f"class_weights {weights!r} beside kind {kind!r} is of no effect; "
            f"set {kind}.class_weights instead"
        )
    models: list[type[LearnerConfig]] = [*LEARNER_CONFIGS.values(), OwnLearner]
    others = {name for model in models for name in model.model_fields}
    others -= LEARNER_CONFIGS.get(kind, OwnLearner).model_fields.keys()
    return {"kind": kind, **{key: value for key, value in values.items() if key not in others}}


def _tag(learner: Any) -> str:
    """Which of the models reads a value; the first one refuses what is no learner at all."""
    kind = learner["kind"] if isinstance(learner, Mapping) else getattr(learner, "kind", "softmax")
    return kind if kind in LEARNER_CONFIGS else _OWN


AnyLearner = Annotated[
    Annotated[SoftmaxLearner, Tag("softmax")]
    | Annotated[FineTuneLearner, Tag("finetune")]
    | Annotated[MlpLearner, Tag("mlp")]
    | Annotated[TaggerLearner, Tag("tagger")]
    | Annotated[SpanLearner, Tag("span")]
    | Annotated[PromptLearner, Tag("prompt")]
    | Annotated[OwnLearner, Tag(_OWN)],
    Field(discriminator=Discriminator(_tag)),
    BeforeValidator(_of_its_kind),
]
"""A learner of any kind, as a field of a config."""

_ANY: Final[TypeAdapter[LearnerConfig]] = TypeAdapter(AnyLearner)


def learner_config(values: Mapping[str, Any]) -> LearnerConfig:
    """The learner that a mapping describes, as in YAML under ``learner``.

    Raises:
        pydantic.ValidationError: A key or a value is wrong.
    """
    return _ANY.validate_python(values)
