"""What fine-tuning a transformer in a labelling round looks like: one frozen model of settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from react_rl.encoders.masked_pretraining import PretrainingSettings
from react_rl.errors import ReActError
from react_rl.learners.prompts.templates import check_template, several_words
from react_rl.learners.recipes.settings import (
    AdversarialSettings,
    AugmentationSettings,
    AverageSettings,
    ConsistencySettings,
    ContinualSettings,
    MixupSettings,
    Recipe,
)
from react_rl.validation import validated

Method = Literal["full", "head", "bitfit", "lora", "peft"]
Restart = Literal["reset", "warm", "shrink"]
AdapterKind = Literal["lora", "adalora", "ia3", "prefix", "prompt"]

RATES: Final[Mapping[Method, float]] = {
    "full": 3e-4,
    "head": 3e-2,
    "bitfit": 1e-2,
    "lora": 3e-3,
    "peft": 1e-3,
}
"""Peak learning rate of each method where none is given, for a small encoder and few labels.

Source: results/recipes/methods/README.md; that of peft was not measured.
"""

_UNSAID: Final = (
    "adversarial", "r_drop", "average", "mixup", "l2_sp", "mixout", "augmentation", "consistency",
    "members", "pretraining", "contrastive", "prompt", "continual",
)  # fmt: skip
"""Settings that are left out of what results are filed under where they change nothing."""


def _rate_of(settings: Mapping[str, Any]) -> float:
    """The learning rate of the method in settings that were validated so far."""
    return RATES[settings["method"]]


class PeftSettings(BaseModel):
    """An adapter of the peft library; episodes take turns on one model.

    Source: Mangrulkar et al. 2022, PEFT: State-of-the-art parameter-efficient fine-tuning methods.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    kind: AdapterKind = "lora"
    """Which adapter."""
    rank: int = Field(default=8, ge=1, le=4096)
    """lora, adalora: rank of the update; adalora shares it out between layers."""
    alpha: float = Field(default=16.0, gt=0, le=1e4)
    """lora, adalora: the update is scaled by alpha / rank."""
    tokens: int = Field(default=10, ge=1, le=10**4)
    """prefix, prompt: virtual tokens."""


class ContrastiveSettings(BaseModel):
    """Train the encoder on pairs of labelled rows, then a logistic regression on its vectors (SetFit)."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    loss: Literal["none", "cosine"] = "none"
    """cosine: vectors of one class are drawn to a cosine of 1, those of two classes to 0."""
    l2: float = Field(default=1.0, ge=1e-6, le=1e6)
    """Weight of the squared norm of the regression; 1 is C = 1 in scikit-learn."""


class ClozeSettings(BaseModel):
    """Texts go through the network in a template, and words in its gap stand for the classes.

    Source: Gao et al. 2021, Making pre-trained language models better few-shot learners (LM-BFF).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    template: str = ""
    """With one {text} and one {mask}; empty for none. The model then needs a masked-LM head."""
    words: dict[str, tuple[str, ...]] = {}
    """Words of each class: {positive: [great, good], ...}; a class that is left out has its name's."""

    @field_validator("template")
    @classmethod
    def _has_a_gap(cls, value: str) -> str:
        try:
            return check_template(value) if value else value
        except ReActError as error:
            raise ValueError(str(error).rstrip(".")) from None

    @field_validator("words", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        return several_words(value)


class FineTuneSettings(BaseModel):
    """How a transformer is fine-tuned on the labels bought so far, again in every round."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    model: str = "minilm"
    """minilm (embedded), a local folder, or a hub name: an encoder or decoder of transformers."""
    pretraining: PretrainingSettings | None = None
    """Masked-LM steps of the model on the train texts before the loop, once for a corpus; None: none."""
    method: Method = "lora"
    """What is trained besides the head: all weights, nothing, biases, low-rank updates, a peft adapter."""
    layers: int | None = Field(default=None, ge=1, le=1000)
    """Train only the top layers; the hidden states below are computed once. None: all layers."""
    members: int = Field(default=1, ge=1, le=64)
    """Models of an episode, each from a seed of its own; scores are their mean, committees ask them."""
    pooling: Literal["mean", "cls", "last"] = "mean"
    """How a text's token vectors become one: their mean, the first, or the last one (decoders); in tagging
    every word has its own."""
    head: Literal["linear", "dense"] = "linear"
    """One linear layer, or a dense one with tanh before it, which begins as the checkpoint's pooler."""
    max_length: int = Field(default=128, ge=2, le=10**6)
    """Tokens kept of each text; in tagging, of each window of a long sentence; in question answering, of a
    question with a window of its context."""

    rank: int = Field(default=8, ge=1, le=4096)
    """lora: rank of the update."""
    alpha: float = Field(default=16.0, gt=0, le=1e4)
    """lora: the update is scaled by alpha / rank."""
    targets: Literal["query-value", "all"] = "all"
    """lora, and lora and adalora of peft: which linear layers get an update."""
    peft: PeftSettings = PeftSettings()
    """peft: which adapter of the peft library."""

    epochs: int = Field(default=10, ge=1, le=10**5)
    """Passes over the labelled set in a round."""
    steps: int | None = Field(default=None, ge=1, le=10**7)
    """Optimiser steps of a round instead of epochs."""
    batch_size: int = Field(default=16, ge=1, le=10**6)
    """Labelled rows of one optimiser step."""
    accumulate: int = Field(default=1, ge=1, le=10**6)
    """Pieces that a batch is cut into, to save memory; the result is the same."""
    learning_rate: float = Field(default_factory=_rate_of, gt=0, le=1)
    """Peak learning rate of trunk and head; if it is left out, that of the method (``RATES``)."""
    warmup: float = Field(default=0.1, ge=0, lt=1)
    """Share of the steps in which the rate rises; it falls to zero in the others."""
    weight_decay: float = Field(default=0.01, ge=0, le=1000)
    """Decoupled weight decay of matrices; biases and norms have none."""
    layer_decay: float = Field(default=1.0, gt=0, le=1)
    """Factor on the learning rate for every layer further from the head."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Share of hidden units dropped in training and in Monte Carlo samples; attention is never dropped."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """Share of the target that is spread over all classes."""
    class_weights: Literal["none", "balanced"] = "none"
    """balanced: every class weighs the same in the loss, however few labels it has."""
    adversarial: AdversarialSettings = AdversarialSettings()
    """Train on moved input vectors too."""
    r_drop: float = Field(default=0.0, ge=0, le=1000)
    """Weight of the divergence between two passes with different units dropped."""
    average: AverageSettings = AverageSettings()
    """Average the weights along the steps of a round."""
    mixup: MixupSettings = MixupSettings()
    """Train on mixtures of two rows and of their labels."""
    l2_sp: float = Field(default=0.0, ge=0, le=1000)
    """Weight of half the squared distance from the pretrained weights (the head: from zero) in the loss."""
    mixout: float = Field(default=0.0, ge=0, lt=1)
    """Share of the trunk's weights that are the pretrained ones in a step; methods full and bitfit."""
    augmentation: AugmentationSettings = AugmentationSettings()
    """Train on changed copies of the labelled rows too."""
    consistency: ConsistencySettings = ConsistencySettings()
    """Make predictions for unlabelled rows the same with and without noise."""
    contrastive: ContrastiveSettings = ContrastiveSettings()
    """Train on pairs of rows instead of their classes; classification only."""
    prompt: ClozeSettings = ClozeSettings()
    """Let the model fill a gap with words of the classes; classification only."""
    continual: ContinualSettings = ContinualSettings()
    """How training goes on from phase to phase, on corpora that come in phases."""
    clip: float = Field(default=1.0, gt=0, le=1e6)
    """Largest norm of an episode's gradient."""
    patience: int | None = Field(default=None, ge=1, le=10**5)
    """Stop when the dev loss has not fallen for this many epochs and keep the best weights; None: never. In
    tagging the dev F1 counts, and the loss where it is equal."""
    restart: Restart = "reset"
    """Begin each round from the pretrained weights, from the last round's, or from a mix of both."""
    shrink: float = Field(default=0.5, gt=0, lt=1)
    """restart shrink: share of the last round's weights in the mix."""

    candidates: int | None = Field(default=None, ge=1, le=10**9)
    """Unlabelled rows of each pool that are scored and offered in a round, drawn again; None: all."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Arithmetic of the transformer; weights being trained are kept in fp32 besides."""
    predict_tokens: int | None = Field(default=None, ge=1, le=10**9)
    """Most padded tokens of one batch of predictions; None: 1,024 on a CPU, 65,536 on a GPU."""
    episodes_at_once: int | None = Field(default=None, ge=1, le=10**5)
    """Most episodes in one forward pass; None: all that run side by side."""
    compile: bool = False
    """Compile the transformer with torch.compile; pays on GPUs with long runs."""

    @model_validator(mode="after")
    def _check(self) -> FineTuneSettings:
        if self.method == "peft" and self.layers is not None:
            raise ValueError("peft trains adapters in all layers; leave layers out, or use method lora")
        if self.method == "peft" and self.compile:
            raise ValueError("compile does not know the adapters of peft; leave it out, or use method lora")
        if self.members > 1 and self.head == "dense":
            raise ValueError("committees ask linear heads; with members above 1 leave head at linear")
        if self.accumulate > self.batch_size:
            raise ValueError(f"accumulate {self.accumulate} cuts a batch of {self.batch_size} into nothing")
        if self.r_drop > 0 and self.dropout == 0:
            raise ValueError("r_drop compares passes with different units dropped; set dropout above 0")
        if self.adversarial.kind != "none" and (self.method == "peft" or self.compile):
            what = "method peft" if self.method == "peft" else "compile"
            raise ValueError(f"adversarial training reaches no input vectors under {what}; leave one out")
        if self.average.kind != "none" and self.patience is not None:
            raise ValueError("average and patience both say which weights a round ends with; leave one out")
        if self.mixup.alpha > 0 and self.accumulate > 1:
            raise ValueError(
                "mixup mixes the rows of a whole batch; set accumulate to 1 and lower batch_size"
            )
        if (
            self.mixup.alpha > 0
            and self.mixup.layer is not None
            and (self.method in ("peft", "head") or self.compile)
        ):
            what = "compile" if self.compile else f"method {self.method}"
            raise ValueError(f"mixup reaches no layer under {what}; leave mixup.layer out")
        self._check_augmentation()
        if self.mixout > 0 and self.method not in ("full", "bitfit"):
            raise ValueError(
                f"mixout mixes in pretrained weights, and method {self.method} trains none of them"
            )
        if self.l2_sp > 0 and self.method == "head":
            raise ValueError(
                "l2_sp draws to pretrained weights, and method head trains none; set weight_decay"
            )
        self._check_prompt_and_contrastive()
        self._check_phases()
        return self

    def _check_augmentation(self) -> None:
        """Raise a ValueError where models or synonyms do not fit the kind of augmentation."""
        made = self.augmentation
        if made.kind == "translation" and len(made.models) != 2:
            raise ValueError(
                "augmentation by translation needs two folders, augmentation.models: [there, back]"
            )
        if made.kind == "masked-lm" and len(made.models) > 1:
            raise ValueError("augmentation by a masked LM takes one folder at most in augmentation.models")
        if made.kind not in ("translation", "masked-lm") and made.models:
            raise ValueError(f"augmentation.models are of no use to kind {made.kind}; leave them out")
        if made.synonyms != "none" and made.kind != "eda":
            raise ValueError("augmentation.synonyms are for kind eda; leave them out")

    def _check_prompt_and_contrastive(self) -> None:
        """Raise a ValueError where a prompt or contrastive training does not go together with the rest."""
        if self.prompt.template or self.contrastive.loss != "none":
            what = "a prompt" if self.prompt.template else "contrastive training"
            if self.augmentation.kind != "none" or self.consistency.weight > 0:
                raise ValueError(f"{what} knows no changed texts; leave augmentation and consistency out")
            if self.members > 1:
                raise ValueError(f"{what} trains one model for each episode; set members to 1")
        if self.prompt.template and (self.head == "dense" or self.contrastive.loss != "none"):
            what = "head: dense" if self.head == "dense" else "contrastive training"
            raise ValueError(f"with a prompt the masked-LM head is the head; leave {what} out")
        if self.contrastive.loss != "none":
            off = {"r_drop": self.r_drop, "mixup": self.mixup.alpha, "patience": self.patience}
            off |= {"accumulate": self.accumulate - 1, "head: dense": self.head == "dense"}
            for name, value in off.items():
                if value:
                    raise ValueError(f"contrastive training knows no {name}; leave one of them out")
            if self.method == "head":
                raise ValueError("contrastive training trains the encoder, which method head does not")

    def _check_phases(self) -> None:
        """Raise a ValueError where phases do not go together with the rest."""
        if self.continual.kind == "joint":
            return
        if self.continual.kind == "adapters":
            if self.method == "full":
                raise ValueError(
                    "adapters are kept for each phase, and method full has none; use lora, bitfit, head or "
                    "peft"
                )
            if self.patience is not None:
                raise ValueError(
                    "patience asks one model for all dev rows, and adapters have a model for each phase; "
                    "leave one of them out"
                )
        elif self.method == "peft" or self._trains_words:
            what = "under peft" if self.method == "peft" else "of word tables"
            raise ValueError(
                f"no weights {what} are kept from phase to phase; set layers, or use method lora"
            )
        if self.contrastive.loss != "none" and self.continual.kind in ("ewc", "lwf"):
            raise ValueError(
                f"contrastive training compares rows, and {self.continual.kind} holds what was said of each; "
                "use sequential, replay or adapters"
            )
        if self.continual.kind == "lwf" and (self.mixup.alpha > 0 or self.augmentation.kind != "none"):
            raise ValueError("lwf asks what was said of each row, not of mixtures or copies; leave one out")
        if self.continual.kind == "ewc" and self.l2_sp > 0:
            raise ValueError("ewc and l2_sp draw weights to different places; leave one out")

    @property
    def _trains_words(self) -> bool:
        return self.method == "full" and self.layers is None

    @model_serializer(mode="wrap")
    def _without_what_is_off(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = handler(self)
        fields = type(self).model_fields
        return {
            name: value
            for name, value in values.items()
            if name not in _UNSAID or getattr(self, name) != fields[name].default
        }

    @property
    def kept_share(self) -> float:
        """Share of the last round's weights in those that a round begins from."""
        return {"reset": 0.0, "warm": 1.0, "shrink": self.shrink}[self.restart]

    @property
    def is_anchored(self) -> bool:
        """Whether training looks back at the pretrained weights."""
        return self.l2_sp > 0 or self.mixout > 0

    @property
    def most_pieces(self) -> int:
        """Pieces that a batch can be cut into; partners of mixup and pairs stay together."""
        together = self.mixup.alpha > 0 or self.contrastive.loss != "none"
        return 1 if together else self.batch_size

    def following(self, recipe: Recipe) -> FineTuneSettings:
        """These settings with what a recipe sets.

        Raises:
            ReActError: The two do not go together.
        """
        if not recipe.said:
            return self
        return validated(FineTuneSettings, {**self.model_dump(), **recipe.said}, "recipe")
