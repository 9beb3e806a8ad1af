"""What settings ask of the model and of the task, which can only be checked when both are there."""

from __future__ import annotations

from react_rl.errors import ReActError
from react_rl.learners.finetune.methods.network import Network
from react_rl.learners.finetune.settings import FineTuneSettings


def check_network(network: Network, settings: FineTuneSettings, scored: str) -> None:
    """Check that a model can be trained on a task as settings say.

    Args:
        network: The model.
        settings: Those of a round, its recipe included.
        scored: What the task scores; see ``Head.scored``.

    Raises:
        ReActError: It cannot.
    """
    if settings.prompt.template and scored != "texts":
        raise ReActError(
            "A prompt has a gap for the word of a class, and none for tags or answers; leave "
            "learner.finetune.prompt out, or use a corpus of classification."
        )
    if settings.contrastive.loss != "none" and scored != "texts":
        raise ReActError(
            "contrastive training compares whole texts, which words and answers are not; leave it out of "
            "learner.finetune, or use a corpus of classification."
        )
    if settings.mixup.alpha > 0 and scored == "answers":
        raise ReActError(
            "mixup mixes words of different contexts, where the borders of answers mean nothing; in question "
            "answering leave it out."
        )
    if settings.consistency.weight > 0 and scored == "answers":
        raise ReActError(
            "consistency compares predictions with tokens deleted, and a deleted word can be the border of "
            "an answer; in question answering leave it out."
        )
    if settings.continual.kind == "adapters" and scored != "texts":
        raise ReActError(
            "adapters of phases are chosen for whole texts, and here words are scored; use sequential, "
            "replay, ewc or lwf."
        )
    layer = settings.mixup.layer
    if settings.mixup.alpha == 0 or layer is None:
        return
    if scored != "texts":
        raise ReActError(
            "mixup.layer mixes whole texts, whose words would no longer be where their tags are; in tagging "
            "leave it out, so that the scored vectors of words are mixed."
        )
    if layer > network.n_upper:
        raise ReActError(
            f"mixup.layer is {layer}, but {network.n_upper} layers of {settings.model!r} are trained; "
            "lower it."
        )
