"""Why a kind of learner does not follow a part of a recipe: half a sentence, said where it is refused."""

from __future__ import annotations

from typing import Final

from react_rl.learners.recipes.settings import KINDS

_POOL: Final = ("smoothing", "self_training")
_PHASES: Final = ("continual",)
_ALL: Final = "it is trained on all labels so far in every phase"
_FROZEN: Final = "its vectors are frozen, so there is no transformer to train"

REASONS: Final[dict[str, dict[tuple[str, ...], str]]] = {
    "softmax": {},
    "mlp": {
        ("l2",): "learner.mlp.weight_decay is what holds its weights",
        ("best_on_dev", "label_smoothing", "mixup"): (
            "on the same embeddings it was no better than the linear head, so its training stays plain"
        ),
        _POOL: "its members are kept apart for committees, and smoothed predictions have none",
        _PHASES: _ALL,
    },
    "finetune": {
        ("l2",): "learner.finetune.weight_decay and l2_sp hold its weights",
        ("best_on_dev",): "every recipe would train the transformer again in each round",
        _POOL: (
            "its vectors move in every round and the graph of neighbours with them; consistency is its use "
            "of unlabelled rows"
        ),
    },
    "tagger": {
        (
            "l2.leave-one-out",
        ): "sentences would be left out whole, for which there is no formula; take l2-dev",
        ("best_on_dev",): "each of its fits goes on from the last one, and it keeps one by recipe: l2-dev",
        ("mixup",): "its fit reads the states of words as bytes, and mixtures would be as many words again",
        ("smoothing",): "neighbours are of whole texts, and tags are of words",
        ("self_training",): "the words that it is surest of are those outside of entities",
        _PHASES: _ALL,
    },
    "span": {
        ("l2",): "learner.span.l2 is a number",
        ("best_on_dev", "label_smoothing", "mixup"): "its labels are places in a context, which do not mix",
        _POOL: "the answers of neighbours are places in other contexts",
        _PHASES: _ALL,
    },
    "prompt": {
        ("l2",): "learner.prompt.l2 is how strongly it is drawn to what the words say",
        ("best_on_dev", "label_smoothing", "mixup"): (
            "its head begins at what the words say and is drawn to that instead"
        ),
        _POOL: "calibration by the pool is its use of unlabelled rows",
        _PHASES: _ALL,
    },
}
"""By kind and parts; parts that no kind but a transformer can follow are not named."""


def reason(part: str, kind: str) -> str:
    """Why a kind of learner does not follow a part of a recipe."""
    if kind not in REASONS:
        return "it comes from outside this package, and trains as it says itself"
    for name in (part, part.split(".")[0]):
        for parts, why in REASONS.get(kind, {}).items():
            if name in parts:
                return why
    return _FROZEN if KINDS[part] == {"finetune"} else "it has not been built for it"
