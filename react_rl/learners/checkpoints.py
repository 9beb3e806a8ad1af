"""Which checkpoints a learner will load, and whether they can be: asked before anything is encoded."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from react_rl.encoders.checkpoints import locate
from react_rl.encoders.masked_lm import load_masked_lm
from react_rl.errors import ReActError
from react_rl.learners.finetune.settings import FineTuneSettings
from react_rl.learners.prompts.settings import PromptSettings


@dataclass(frozen=True)
class NamedModel:
    """A checkpoint that a learner names.

    Args:
        name: A folder, a hub name or the embedded default.
        key: Where a config names it.
        masked_by: What needs its masked-LM head; empty where nothing does.
    """

    name: str
    key: str
    masked_by: str = ""


def check_checkpoints(named: Iterable[NamedModel]) -> None:
    """Check that checkpoints are there, and have the heads that are asked for.

    Raises:
        ReActError: One is not; where it is named is said.
    """
    for one in named:
        try:
            folder = locate(one.name)
            if one.masked_by:
                load_masked_lm(one.name, folder, one.masked_by)
        except ReActError as error:
            raise ReActError(f"{one.key}: {error}") from error


def of_finetune(settings: FineTuneSettings) -> list[NamedModel]:
    """What fine-tuning loads: the model, and those of an augmentation."""
    made, filled = settings.augmentation, settings.augmentation.kind == "masked-lm"
    wanting = {
        "learner.finetune.prompt": bool(settings.prompt.template),
        "pretraining": settings.pretraining is not None,
        "augmentation": filled and not made.models,
    }
    masked_by = next((who for who, needs in wanting.items() if needs), "")
    own = NamedModel(settings.model, "learner.finetune.model", masked_by)
    key = "learner.finetune.augmentation.models"
    return [own, *(NamedModel(name, key, "augmentation" if filled else "") for name in made.models)]


def of_prompt(settings: PromptSettings) -> list[NamedModel]:
    """What prompt learning loads: a masked language model, or a decoder for answers."""
    masked_by = "learner.kind prompt" if settings.answers == "gap" else ""
    return [NamedModel(settings.model, "learner.prompt.model", masked_by)]
