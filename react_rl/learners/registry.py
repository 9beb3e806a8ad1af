"""All kinds of learners: their settings, how one is built, what it costs and what it can do.

A new kind is a module that satisfies ``protocol.Learner`` and one entry here. Entries hold functions of this
module and no lambdas: whatever holds a learner, such as an environment, can then be pickled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from pydantic import BaseModel
from torch import Tensor

from react_rl.errors import ReActError, unknown
from react_rl.learners.capabilities import CAPABILITIES, SAID_OF_ROWS, Capability, missing
from react_rl.learners.checkpoints import NamedModel, check_checkpoints, of_finetune, of_prompt
from react_rl.learners.finetune.contrastive import ContrastiveTune
from react_rl.learners.finetune.ensemble import FineTuneEnsemble
from react_rl.learners.finetune.learner import FineTune
from react_rl.learners.finetune.phases import FineTuneInPhases
from react_rl.learners.finetune.settings import FineTuneSettings
from react_rl.learners.linear.primal import MOST_STEPS, score_primal
from react_rl.learners.linear.settings import SoftmaxSettings
from react_rl.learners.linear.span import SpanScorer, SpanSettings
from react_rl.learners.linear.tagger import TaggerSettings
from react_rl.learners.mlp.head import MlpHead
from react_rl.learners.mlp.training import MlpSettings
from react_rl.learners.prompts.demonstrating import DemonstratingPrompts
from react_rl.learners.prompts.head import PromptHead
from react_rl.learners.prompts.settings import PromptSettings
from react_rl.learners.prompts.tuning import ClozeTune
from react_rl.learners.protocol import LabelledRows, Learner, Rows
from react_rl.learners.recipes import PLAIN
from react_rl.learners.recipes.head import RecipeHead
from react_rl.learners.recipes.tagging import RecipeTagger
from react_rl.own_code import LEARNER, announced, is_outside, is_own, load_outside
from react_rl.tasks.protocol import Task, TrainsNetworks

LearnerSettings = (
    SoftmaxSettings | MlpSettings | FineTuneSettings | TaggerSettings | SpanSettings | PromptSettings
)

WholeFit = Callable[[Tensor, Tensor, int, Tensor], Tensor]
"""From labelled rows ``(n, D)``, their classes ``(n,)``, the number of classes C and further rows ``(T, D)``
to the scores ``(C, T)`` of the latter."""


def _no_whole_fit(settings: object) -> None:
    return None


def _offers_nothing(settings: object) -> frozenset[Capability]:
    return frozenset()


def _loads_none(settings: object) -> tuple[NamedModel, ...]:
    return ()


def _as_given(settings: LearnerSettings) -> LearnerSettings:
    return settings


@dataclass(frozen=True)
class LearnerEntry:
    """One kind of learner.

    Args:
        settings: Class of its settings, which all have defaults.
        build: Makes one from settings, corpora and the ledger that it reads.
        summary: What it is, for lists.
        cheap: Whether a round takes milliseconds, so that whole pools can be bought at will.
        random: Whether chance decides about it; then each episode hands it a seed.
        offers: What it can do under given settings, whatever it learns; see ``capabilities``.
        tasks: What it can learn.
        fit_all: Under given settings (None are those as they come), how it is fitted to thousands of rows at
            once, where that is quicker than to buy them; None where there is no such way.
        for_all: Its settings where all labels of a pool come in one refit.
        as_proxy: Its settings where it is fitted from nothing to all labels in every round.
        checkpoints: What it loads under given settings.
    """

    settings: type[Any]
    build: Callable[[Any, Sequence[Rows], LabelledRows], Learner]
    summary: str
    cheap: bool
    random: bool = False
    offers: Callable[[Any], frozenset[Capability]] = _offers_nothing
    tasks: tuple[str, ...] = ("classification",)
    fit_all: Callable[[Any], WholeFit | None] = _no_whole_fit
    for_all: Callable[[Any], Any] = _as_given
    as_proxy: Callable[[Any], Any] = _as_given
    checkpoints: Callable[[Any], Sequence[NamedModel]] = _loads_none


def _softmax(settings: SoftmaxSettings, corpora: Sequence[Rows], labelled: LabelledRows) -> RecipeHead:
    return RecipeHead(corpora, labelled, settings)


def _mlp(settings: MlpSettings, corpora: Sequence[Rows], labelled: LabelledRows) -> MlpHead:
    return MlpHead([one.embeddings for one in corpora], labelled, settings)


def _tagger(settings: TaggerSettings, corpora: Sequence[Rows], labelled: LabelledRows) -> RecipeTagger:
    return RecipeTagger(corpora, labelled, settings)


def _span(settings: SpanSettings, corpora: Sequence[Rows], labelled: LabelledRows) -> SpanScorer:
    return SpanScorer(corpora, labelled, settings)


def _if_dropped(settings: MlpSettings | FineTuneSettings) -> frozenset[Capability]:
    return frozenset({"dropout"}) if settings.dropout > 0 else frozenset()


def _prompter(settings: PromptSettings, corpora: Sequence[Rows], labelled: LabelledRows) -> PromptHead:
    kind = DemonstratingPrompts if settings.demonstrations else PromptHead
    return kind(corpora, labelled, settings)


def _tuner(settings: FineTuneSettings, corpora: Sequence[Rows], labelled: LabelledRows) -> Learner:
    own = [one.corpus for one in corpora]
    if settings.members > 1:
        return FineTuneEnsemble(own, labelled, settings)
    kind: type[FineTune] = ClozeTune if settings.prompt.template else FineTuneInPhases
    kind = kind if settings.contrastive.loss == "none" else ContrastiveTune
    return kind(own, labelled, settings)


def _of_softmax(settings: SoftmaxSettings) -> frozenset[Capability]:
    return frozenset({"linear", "dropout", "committee", "trials", "recipes"})


def _of_mlp(settings: MlpSettings) -> frozenset[Capability]:
    dropout = _if_dropped(settings)
    return dropout | {"committee"} if settings.members > 1 else dropout


def _of_transformer(settings: FineTuneSettings) -> frozenset[Capability]:
    return _if_dropped(settings) | {"committee", "recipes"}


def _of_tagger(settings: TaggerSettings) -> frozenset[Capability]:
    return frozenset({"trials", "recipes"})


def _of_span(settings: SpanSettings) -> frozenset[Capability]:
    return frozenset({"trials"})


def _for_all_softmax(settings: SoftmaxSettings) -> SoftmaxSettings:
    # One refit from the initial labels to all needs more steps than one by a batch.
    return replace(settings, max_steps=MOST_STEPS)


def _tagger_as_proxy(settings: TaggerSettings) -> TaggerSettings:
    # Refits from round to round come near the optimum in few coarse steps each; one from nothing does not.
    return settings.model_copy(update={"max_steps": 50, "tolerance": 0.3})


def _fit_softmax(settings: SoftmaxSettings | None) -> WholeFit | None:
    settings = settings or SoftmaxSettings()
    plain = settings.class_weights == "none" and settings.recipe == PLAIN
    return partial(score_primal, settings=settings) if plain else None


LEARNERS: Final[dict[str, LearnerEntry]] = {
    "softmax": LearnerEntry(
        SoftmaxSettings,
        _softmax,
        "softmax regression on frozen embeddings",
        cheap=True,
        offers=_of_softmax,
        fit_all=_fit_softmax,
        for_all=_for_all_softmax,
        as_proxy=_for_all_softmax,
    ),
    "mlp": LearnerEntry(
        MlpSettings,
        _mlp,
        "head or ensemble of heads with one hidden layer on frozen embeddings",
        cheap=True,
        random=True,
        offers=_of_mlp,
    ),
    "finetune": LearnerEntry(
        FineTuneSettings,
        _tuner,
        "transformer that is fine-tuned in every round",
        cheap=False,
        random=True,
        offers=_of_transformer,
        tasks=("classification", "tagging", "question-answering"),
        checkpoints=of_finetune,
    ),
    "tagger": LearnerEntry(
        TaggerSettings,
        _tagger,
        "linear tagger on frozen token states",
        cheap=True,
        offers=_of_tagger,
        as_proxy=_tagger_as_proxy,
        tasks=("tagging",),
    ),
    "span": LearnerEntry(
        SpanSettings,
        _span,
        "linear scorer of answers' borders on frozen states",
        cheap=True,
        offers=_of_span,
        tasks=("question-answering",),
    ),
    "prompt": LearnerEntry(
        PromptSettings,
        _prompter,
        "masked language model that puts words of the classes into a gap, with a linear head beside",
        cheap=True,
        checkpoints=of_prompt,
    ),
}
"""Learners by the name that YAML gives as ``learner.kind``."""


def learner_named(kind: str) -> LearnerEntry:
    """The kind of learner of a name; one from outside is registered under it. Mutates ``LEARNERS``.

    Args:
        kind: A registered name, one that a package announces, or ``module:Name``, which stands for an entry.

    Raises:
        ReActError: There is none, the nearest name is given; or it cannot be imported or is no entry.
    """
    if is_own(kind) or kind not in LEARNERS:
        if not is_outside(kind, LEARNER):
            raise unknown("learner", kind, [*LEARNERS, *announced(LEARNER.group), "module:Name"])
        found = load_outside(kind, LEARNER)
        if not isinstance(found, LearnerEntry) or not issubclass(found.settings, BaseModel):
            raise ReActError(
                f"Learner {kind!r} is {found!r:.80}; it must be a react_rl.learners.LearnerEntry, its "
                "settings a frozen pydantic model."
            )
        LEARNERS[kind] = found
    return LEARNERS[kind]


def entry_of(settings: LearnerSettings | None) -> LearnerEntry:
    """The kind of learner that ``settings`` belong to; None is the softmax regression as it comes.

    Raises:
        ReActError: They are of no registered kind.
    """
    wanted: type[Any] = SoftmaxSettings if settings is None else type(settings)
    for entry in LEARNERS.values():
        if entry.settings is wanted:
            return entry
    known = ", ".join(entry.settings.__name__ for entry in LEARNERS.values())
    raise ReActError(f"Learner settings are {wanted.__name__}; give one of {known}.")


def learner_for(task: str, settings: LearnerSettings | None) -> LearnerSettings | None:
    """These settings where they can learn a task, otherwise its first cheap learner as it comes.

    Args:
        task: Name of the task.
        settings: Settings of a learner; None is the softmax regression as it comes.
    """
    if task in entry_of(settings).tasks:
        return settings
    kinds = [entry.settings for entry in LEARNERS.values() if entry.cheap and task in entry.tasks]
    return None if not kinds or kinds[0] is SoftmaxSettings else kinds[0]()


def check_models(settings: LearnerSettings) -> None:
    """Check that what a learner loads is there, and has the heads that it needs.

    Raises:
        ReActError: A checkpoint is missing or lacks a head; where it is named is said.
    """
    check_checkpoints(entry_of(settings).checkpoints(settings))


def proxy_for(task: str) -> LearnerSettings:
    """Settings of the learner that can stand in for any other of a task: its first cheap one.

    Args:
        task: Name of the task.
    """
    settings = learner_for(task, None) or SoftmaxSettings()
    found: LearnerSettings = entry_of(settings).as_proxy(settings)
    return found


def offers_of(settings: LearnerSettings | None, task: str | None = None) -> frozenset[Capability]:
    """What a learner can do on a task, None: on any that it can learn.

    Args:
        settings: Settings of the learner; None is the softmax regression as it comes.
        task: Name of the task.
    """
    entry = entry_of(settings)
    said = frozenset(SAID_OF_ROWS[own] for own in entry.tasks if own in SAID_OF_ROWS and task in (None, own))
    return said | entry.offers(SoftmaxSettings() if settings is None else settings)


def check_needs(
    name: str, needs: Iterable[Capability], settings: LearnerSettings | None, task: str | None = None
) -> None:
    """Check that the learner can do what a strategy, reference or feature needs, before anything is loaded.

    Args:
        name: Who needs it, for the message.
        needs: What it needs.
        settings: Settings of the learner; None is the softmax regression as it comes.
        task: Name of the task; None where it may be any that the learner can learn.

    Raises:
        ReActError: Something is needed that this learner does not offer.
    """
    lacking = missing(needs, offers_of(settings, task))
    if lacking:
        summary, where = entry_of(settings).summary, "" if task is None else f", the task {task}"
        raise ReActError(f"{name!r} needs {CAPABILITIES[lacking[0]]}. The learner is a {summary}{where}.")


def check_task(settings: LearnerSettings | None, task: Task, corpus: str) -> None:
    """Check that a learner learns what a corpus is labelled with.

    Args:
        settings: Settings of the learner; None is the softmax regression as it comes.
        task: Task of the corpus.
        corpus: Its name, for the message.

    Raises:
        ReActError: It learns something else, or weighs classes where there are none.
    """
    entry = entry_of(settings)
    if task.name not in entry.tasks:
        kinds = [name for name, one in LEARNERS.items() if task.name in one.tasks]
        raise ReActError(
            f"Corpus {corpus!r} is of {task.name}, which the learner ({entry.summary}) does not learn; "
            f"set learner.kind to {' or '.join(kinds) or 'one of your own, module:Name'}, or say what else a "
            "file holds, with 'task' and its columns."
        )
    weights = getattr(settings, "class_weights", "none")
    if weights != "none" and isinstance(task, TrainsNetworks) and not task.head.weighs_classes:
        raise ReActError(
            f"class_weights {weights!r} weighs classes, but corpus {corpus!r} is of {task.name}, which has "
            "none; leave it out of the learner."
        )


def make_learner(
    settings: LearnerSettings | None, corpora: Sequence[Rows], labelled: LabelledRows
) -> Learner:
    """Build the learner that ``settings`` describe; None is the softmax regression as it comes.

    Args:
        settings: Their class says which kind.
        corpora: Whose rows will be learned from.
        labelled: The ledger of the episodes; all state is on its device.

    Raises:
        ReActError: The model cannot be had or does not allow what the settings ask for.
    """
    return entry_of(settings).build(settings, corpora, labelled)
