"""Copies of labelled rows as a setting asks for them, each a function of the episode's seed, row and number.

Only labelled rows are copied, and no other text is looked at. Of questions about contexts the question is
changed and the context stays, so that the answer is where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import torch

from react_rl.errors import ReActError
from react_rl.learners.augmentation.edits import edited, wordnet_synonyms
from react_rl.learners.augmentation.mentions import Sentence, mentions_of, with_other_mentions
from react_rl.learners.augmentation.rewriting import BackTranslator, MaskedRewriter
from react_rl.learners.recipes.settings import AugmentationSettings
from react_rl.tasks.protocol import Scored

Rewrite = Callable[[str, float, np.random.Generator], str]
"""From a text, the share of its words to change and a generator to the copy."""

_ROWS: Final[dict[str, str]] = {
    "texts": "texts with a class",
    "words": "sentences with tags",
    "answers": "questions about contexts",
}
_COPIES: Final = 0xC0
"""Sets these draws apart from those of other things that an episode's seed decides."""


def rewriter_of(settings: AugmentationSettings, model: str, max_length: int, device: torch.device) -> Rewrite:
    """What makes a copy of a text.

    Args:
        settings: Kind, synonyms, models.
        model: The learner's own checkpoint, which fills in words where no other is named.
        max_length: Pieces that are read of a text.
        device: Where models compute.

    Raises:
        ReActError: What the settings need is not there.
    """
    if settings.kind == "masked-lm":
        return MaskedRewriter(settings.models[0] if settings.models else model, max_length, device).rewrite
    if settings.kind == "translation":
        there, back = settings.models
        return BackTranslator(there, back, max_length, device).rewrite
    synonyms = wordnet_synonyms() if settings.synonyms == "wordnet" else None
    return lambda text, share, rng: edited(text, share, synonyms, rng)


class Copier:
    """Copies of the labelled rows of episodes.

    Args:
        settings: How many, and how they are made.
        scored: What the task scores; where it is answers, the texts are questions.
        model: See ``rewriter_of``.
        max_length: See ``rewriter_of``.
        device: See ``rewriter_of``.

    Raises:
        ReActError: What the settings need is not there, or does not go with the task.
    """

    def __init__(
        self,
        settings: AugmentationSettings,
        scored: Scored,
        model: str,
        max_length: int,
        device: torch.device,
    ) -> None:
        if (settings.kind == "mentions") != (scored == "words"):
            which = "mentions, which leaves every tag right" if scored == "words" else "another one"
            raise ReActError(f"Augmentation {settings.kind!r} is not for {_ROWS[scored]}; take {which}.")
        self._settings = settings
        self._rewrite = rewriter_of(settings, model, max_length, device) if scored != "words" else None
        self._known: dict[tuple[int, int, str], list[str]] = {}

    def texts(self, texts: Sequence[str], rows: Sequence[int], seed: int) -> list[str]:
        """Copies of texts, first those of the first one; made once for each seed and row.

        Args:
            texts: Labelled texts, or questions.
            rows: Their row ids.
            seed: Of the episode.
        """
        found = []
        for text, row in zip(texts, rows, strict=True):
            key = (seed, row, text)
            if key not in self._known:
                assert self._rewrite is not None, "sentences have mentions alone"
                share = self._settings.share
                self._known[key] = [self._rewrite(text, share, rng) for rng in self._streams(seed, row)]
            # A copy without a letter left is no text.
            found += [copy if copy.strip() else text for copy in self._known[key]]
        return found

    def sentences(
        self, sentences: Sequence[Sentence], rows: Sequence[int], seed: int
    ) -> list[tuple[list[str], list[int]]]:
        """Copies of tagged sentences with entities of each other, first those of the first one."""
        known, share = mentions_of(sentences), self._settings.share
        return [
            with_other_mentions(sentence, known, share, rng)
            for sentence, row in zip(sentences, rows, strict=True)
            for rng in self._streams(seed, row)
        ]

    def _streams(self, seed: int, row: int) -> list[np.random.Generator]:
        return [
            np.random.default_rng([seed, row, _COPIES, number]) for number in range(self._settings.copies)
        ]
