"""What a recipe consists of: one frozen model, of which a plain recipe sets nothing."""

from __future__ import annotations

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

Kind = Literal["softmax", "mlp", "finetune", "tagger", "span", "prompt"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


class SmoothingSettings(_Frozen):
    """Predictions mixed with those of the nearest pool rows; many steps make it label propagation.

    Source: Zhu et al. 2003, Semi-supervised learning using Gaussian fields and harmonic functions (share 1);
    Zhou et al. 2004, Learning with local and global consistency (shares below 1).
    """

    neighbours: int = Field(default=15, ge=1, le=10**4)
    """Nearest pool rows of each row."""
    temperature: float = Field(default=0.05, gt=0, le=100)
    """Neighbours weigh exp(similarity / temperature), made to sum to 1."""
    share: float = Field(default=0.5, gt=0, le=1)
    """Share of the neighbours in a prediction; the rest is what the model itself says."""
    steps: int = Field(default=1, ge=1, le=10**4)
    """Most steps that a label travels; fewer where nothing changes any more."""


class SelfTrainingSettings(_Frozen):
    """The head is trained again on pool rows too, under the labels that it is sure of.

    Source: Yarowsky 1995, Unsupervised word sense disambiguation rivaling supervised methods; accepted where
    neighbours agree: Schröder & Heyer 2024, Self-training for sample-efficient active learning (HAST).
    """

    threshold: float = Field(default=0.8, ge=0, lt=1)
    """Least probability of a label that is taken over."""
    agreement: float = Field(default=0.0, ge=0, lt=1)
    """More than this share of the nearest pool rows must be predicted or labelled alike; 0 asks for none."""
    neighbours: int = Field(default=15, ge=1, le=10**4)
    """Nearest pool rows that are asked."""
    rows: int = Field(default=100, ge=1, le=10**5)
    """Most rows that are taken over, the surest first."""
    balanced: bool = True
    """Take equally many of every class at most, so that one class does not crowd out the others."""
    weight: float = Field(default=0.2, gt=0, le=1)
    """Weight of such a row in the loss; a labelled row has 1."""
    rounds: int = Field(default=1, ge=1, le=100)
    """How often rows are taken over and the head is trained again."""


class AdversarialSettings(_Frozen):
    """Steps are trained on input vectors that were moved so that the loss rises, too.

    Source: Miyato et al. 2017 (fgm), Madry et al. 2018 (pgd), Zhu et al. 2020 (freelb).
    """

    kind: Literal["none", "fgm", "pgd", "freelb"] = "none"
    """fgm: one move; pgd: the last of several; freelb: the mean over all of several, the first at zero."""
    epsilon: float = Field(default=0.1, gt=0, le=10)
    """Longest move of a text, as a share of the length of its own vectors."""
    steps: int = Field(default=3, ge=1, le=100)
    """pgd, freelb: moves of a step."""


class AverageSettings(_Frozen):
    """The mean of the weights along a round's steps takes the place of the last ones.

    Source: Polyak & Juditsky 1992 (ema), Izmailov et al. 2018 (swa).
    """

    kind: Literal["none", "ema", "swa"] = "none"
    """ema: exponential mean over all steps; swa: mean over the last ones."""
    decay: float = Field(default=0.9, gt=0, lt=1)
    """ema: weight of what was in the mean before a step."""
    share: float = Field(default=0.5, gt=0, le=1)
    """swa: share of the steps that count."""


class MixupSettings(_Frozen):
    """Steps are trained on pairs of rows as one: their vectors mixed, and their labels in the same shares.

    Source: Zhang et al. 2018, mixup: beyond empirical risk minimization; Verma et al. 2019, Manifold mixup;
    of texts: Guo et al. 2019 (pooled state), Chen et al. 2020, MixText (a layer; the own share is larger).
    """

    alpha: float = Field(default=0.0, ge=0, le=100)
    """Shares come from Beta(alpha, alpha): near 0 rows stay nearly whole, 1 is uniform; 0 mixes nothing."""
    layer: int | None = Field(default=None, ge=1, le=1000)
    """finetune: mix the states that leave this one of the trained layers, counted from 1; None: the vectors
    that are scored."""
    copies: int = Field(default=4, ge=1, le=100)
    """softmax: pairs that a labelled row is part of first; they share its weight."""


class ContinualSettings(_Frozen):
    """How a learner goes on from phase to phase: which earlier labels it is trained on, what holds it.

    All kinds but ``joint`` and ``adapters`` begin a phase with the weights of the one before. In the first,
    all are alike.
    Source: Kirkpatrick et al. 2017 (ewc), Li & Hoiem 2016 (lwf), de Masson d'Autume et al. 2019 (replay);
    Houlsby et al. 2019 and Rusu et al. 2016 (adapters).
    """

    kind: Literal["joint", "sequential", "replay", "ewc", "lwf", "adapters"] = "joint"
    """joint: all labels so far; sequential: those of the phase alone; replay: and a part of the earlier ones;
    ewc, lwf: those of the phase, held to the weights or to the outputs from before it; adapters (finetune):
    those of the phase, in weights and a head of its own."""
    share: float = Field(default=0.2, gt=0, le=1)
    """replay: share of the earlier labels that are kept, an even sample."""
    strength: float = Field(default=1.0, ge=0, le=1e9)
    """ewc: weight of the penalty; with 1 it is the curvature of the earlier loss."""
    distillation: float = Field(default=1.0, ge=0, le=1e6)
    """lwf: weight of the loss against the earlier outputs, beside that of the labels."""
    temperature: float = Field(default=2.0, gt=0, le=100)
    """lwf: scores are divided by it where outputs are compared."""
    rows: Literal["inferred", "known"] = "known"
    """adapters: who reads a row; known: that of its phase, told for pool, dev and test rows alike; inferred:
    the one that is surest of it, which asks for phases of about equally many classes."""

    @model_serializer(mode="wrap")
    def _without_what_is_off(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = handler(self)
        if self.kind != "adapters":
            values.pop("rows", None)
        return values


class AugmentationSettings(_Frozen):
    """Copies of the labelled rows, changed and under the same labels, are trained on too.

    Source: Wei & Zou 2019 (eda), Kobayashi 2018 (masked-lm), Sennrich et al. 2016 (translation), Dai & Adel
    2020 (mentions).
    """

    kind: Literal["none", "eda", "masked-lm", "translation", "mentions"] = "none"
    """eda: words swapped, deleted and, with synonyms, inserted and replaced; masked-lm: words masked and
    filled in; translation: there and back; mentions (tagging): entities exchanged within their type."""
    copies: int = Field(default=1, ge=1, le=64)
    """Copies of every labelled row."""
    share: float = Field(default=0.1, gt=0, lt=1)
    """Share of the words that are changed; mentions: chance of an entity, one at least."""
    synonyms: Literal["none", "wordnet"] = "none"
    """eda: where synonyms come from; wordnet needs nltk and its data."""
    models: tuple[str, ...] = ()
    """masked-lm: folder of the model, none for the learner's own; translation: two, there and back."""


class ConsistencySettings(_Frozen):
    """Predictions for unlabelled pool rows are made the same with and without noise.

    Source: Xie et al. 2020, Unsupervised data augmentation for consistency training (UDA); the noise is
    dropout and deleted tokens.
    """

    weight: float = Field(default=0.0, ge=0, le=1000)
    """Weight of the divergence in the loss; 0 looks at no unlabelled row."""
    rows: int = Field(default=16, ge=1, le=10**5)
    """Unlabelled rows of one step, drawn with replacement."""
    threshold: float = Field(default=0.8, ge=0, lt=1)
    """Rows whose best class is less probable do not count."""
    temperature: float = Field(default=0.4, gt=0, le=10)
    """Predictions without noise are sharpened by it before they are the target."""
    deleted: float = Field(default=0.1, ge=0, lt=1)
    """Share of the tokens that the noise leaves out; the first and the last stay."""


class Recipe(_Frozen):
    """How a learner is trained and how its predictions are made, beyond its own settings."""

    l2: float | Literal["leave-one-out", "dev"] | None = None
    """softmax, tagger: another l2 for the head; or the one that dev rows choose, by log-loss (tagger: by F1),
    or (softmax) labelled rows that are left out."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """softmax, tagger, finetune: share of a label that is spread over all classes."""
    mixup: MixupSettings = MixupSettings()
    """softmax, finetune: train on mixtures of two rows and of their labels."""
    self_training: SelfTrainingSettings | None = None
    """softmax: train on pool rows as well, under the labels that the head is sure of."""

    smoothing: SmoothingSettings | None = None
    """softmax: mix predictions with those of the nearest pool rows, labelled rows as they were labelled."""

    adversarial: AdversarialSettings = AdversarialSettings()
    """finetune: train on moved input vectors too."""
    r_drop: float = Field(default=0.0, ge=0, le=1000)
    """finetune: weight of the divergence between two passes with different units dropped."""
    average: AverageSettings = AverageSettings()
    """finetune: average the weights along the steps."""
    l2_sp: float = Field(default=0.0, ge=0, le=1000)
    """finetune: weight of the squared distance from the pretrained weights."""
    mixout: float = Field(default=0.0, ge=0, lt=1)
    """finetune: share of the weights that are the pretrained ones in a step."""
    augmentation: AugmentationSettings = AugmentationSettings()
    """finetune: train on changed copies of the labelled rows too."""
    consistency: ConsistencySettings = ConsistencySettings()
    """finetune: make predictions for unlabelled rows the same with and without noise."""

    continual: ContinualSettings = ContinualSettings()
    """softmax, finetune: how it goes on from phase to phase, on corpora that come in phases."""

    best_on_dev: tuple[str, ...] = ()
    """softmax: names of recipes; in every round the one with the best dev accuracy is followed."""

    @field_validator("l2")
    @classmethod
    def _allowed(cls, value: Any) -> Any:
        if isinstance(value, float) and not 1e-6 <= value <= 1e6:
            raise ValueError(f"{value} is not between 1e-6 and 1e6")
        return value

    @model_validator(mode="after")
    def _one_or_several(self) -> Recipe:
        if self.best_on_dev and set(self.said) != {"best_on_dev"}:
            raise ValueError("best_on_dev names whole recipes; set nothing beside it")
        if self.continual.kind != "joint" and self.refits:
            raise ValueError(
                "continual says which labels a head is trained on; set nothing of its training beside it"
            )
        if self.mixup.alpha > 0 and self.self_training is not None:
            raise ValueError("mixup mixes labelled rows, and self_training adds rows; leave one out")
        return self

    @property
    def refits(self) -> bool:
        """Whether the head differs from the base head."""
        mixes = self.mixup.alpha > 0
        return self.l2 is not None or self.label_smoothing > 0 or self.self_training is not None or mixes

    @property
    def parts(self) -> list[str]:
        """Names of what it sets, as ``KINDS`` has them."""
        special = {
            "l2.leave-one-out": self.l2 == "leave-one-out",
            "mixup.layer": self.mixup.layer is not None,
            "continual.adapters": self.continual.kind == "adapters",
        }
        return [*self.said, *(name for name, there in special.items() if there)]

    @property
    def said(self) -> dict[str, Any]:
        """What the recipe sets, as plain values: results are filed under this."""
        return {
            name: value
            for name, value in self.model_dump(mode="json").items()
            if getattr(self, name) != type(self).model_fields[name].default
        }


PLAIN: Final = Recipe()
"""The learner as it comes."""

_LINEAR: Final[frozenset[Kind]] = frozenset({"softmax"})
_TAGGER: Final[frozenset[Kind]] = frozenset({"tagger"})
_TRANSFORMER: Final[frozenset[Kind]] = frozenset({"finetune"})
KINDS: Final[dict[str, frozenset[Kind]]] = {
    "l2": _LINEAR | _TAGGER,
    "l2.leave-one-out": _LINEAR,
    "best_on_dev": _LINEAR,
    "continual": _LINEAR | _TRANSFORMER,
    "continual.adapters": _TRANSFORMER,
    "label_smoothing": _LINEAR | _TAGGER | _TRANSFORMER,
    "mixup": _LINEAR | _TRANSFORMER,
    "mixup.layer": _TRANSFORMER,
    "self_training": _LINEAR,
    "smoothing": _LINEAR,
    "adversarial": _TRANSFORMER,
    "r_drop": _TRANSFORMER,
    "average": _TRANSFORMER,
    "l2_sp": _TRANSFORMER,
    "mixout": _TRANSFORMER,
    "augmentation": _TRANSFORMER,
    "consistency": _TRANSFORMER,
}
"""Kinds of learners that can be trained so, by part of a recipe."""
