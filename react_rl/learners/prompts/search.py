"""Templates and words that suit labelled rows: a ranking of candidates, and words that tell classes apart.

Both look at the rows that they are given only; give them rows whose labels were bought.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from react_rl.errors import ReActError
from react_rl.learners.prompts.parsing import WordScores
from react_rl.learners.prompts.reading import GapReader
from react_rl.learners.prompts.settings import PromptSettings
from react_rl.learners.prompts.verbaliser import Verbaliser

CANDIDATES: Final = (
    "{text} It was {mask}.",
    "{text} All in all, it was {mask}.",
    "Just {mask}! {text}",
    "{text} This is about {mask}.",
    "{mask} news: {text}",
    "[ Category: {mask} ] {text}",
)
"""Templates of Schick & Schütze 2021 (PET) and Gao et al. 2021 (LM-BFF), the last about topics."""

_SHORTEST: Final = 3
"""Letters of the shortest word that is suggested."""


@dataclass(frozen=True)
class Ranked:
    """A template and how it does on labelled rows.

    Args:
        template: The template.
        accuracy: Share of the rows whose own class has the highest score.
        log_loss: Mean loss in nats, scores made even over the rows.
    """

    template: str
    accuracy: float
    log_loss: float


def rank_templates(
    settings: PromptSettings,
    texts: Sequence[str],
    classes: npt.ArrayLike,
    label_names: Sequence[str],
    candidates: Sequence[str] = CANDIDATES,
) -> list[Ranked]:
    """Order templates by the log-loss of labelled rows, the best first; nothing is trained.

    Args:
        settings: Model and words; its templates do not matter.
        texts: n labelled texts.
        classes: ``(n,)`` their classes.
        label_names: Names of the classes.
        candidates: Templates.

    Raises:
        ReActError: There is no labelled row, or a template is none.
    """
    truth = _checked(texts, classes)
    found = []
    for template in candidates:
        reader = GapReader(settings.model_copy(update={"templates": (template,)}))
        verbaliser = Verbaliser.of(label_names, settings.words, "the labelled rows")
        words = WordScores(*verbaliser.head(reader.head, reader.tokenizer, "the labelled rows"))
        gaps = torch.from_numpy(reader.vectors(texts))
        scores = words.adjusted("pool", settings.strength, gaps, gaps).raw(gaps)
        loss = float(torch.nn.functional.cross_entropy(scores, truth))
        found.append(Ranked(template, float((scores.argmax(1) == truth).double().mean()), loss))
    return sorted(found, key=lambda one: one.log_loss)


def suggest_words(
    settings: PromptSettings,
    texts: Sequence[str],
    classes: npt.ArrayLike,
    label_names: Sequence[str],
    count: int = 3,
) -> dict[str, tuple[str, ...]]:
    """Words for each class: those that the model expects more in its own rows than in the others.

    A word's worth for a class is its mean log-probability in the gaps of the class less the mean over the
    other classes; whole words of letters alone.

    Source: Schick et al. 2020, Automatically identifying words that can serve as labels (PETAL).

    Args:
        settings: Model and templates; its words do not matter.
        texts: n labelled texts.
        classes: ``(n,)`` their classes.
        label_names: Names of the classes; those without a row are left out.
        count: Words of each class.

    Returns:
        Words as ``PromptSettings.words`` takes them.

    Raises:
        ReActError: There is no labelled row.
    """
    truth = _checked(texts, classes)
    reader = GapReader(settings)
    with torch.inference_mode():
        said = torch.log_softmax(reader.head.scores(torch.from_numpy(reader.vectors(texts))), 1)
    usable = _usable(reader)
    met = [c for c in range(len(label_names)) if bool((truth == c).any())]
    means = torch.stack([said[truth == c].mean(0) for c in met])
    found = {}
    for place, c in enumerate(met):
        others = [p for p in range(len(met)) if p != place]
        worth = means[place] - (means[others].mean(0) if others else 0.0)
        # A word that no row expects may differ most: only the likelier half is asked.
        likely = means[place] >= means[place][usable].median()
        order = worth.masked_fill(~(usable & likely), -torch.inf).argsort(descending=True, stable=True)
        best = reader.tokenizer.convert_ids_to_tokens(order[:count].tolist())
        found[label_names[c]] = tuple(_plain(word) for word in best)
    return found


def _checked(texts: Sequence[str], classes: npt.ArrayLike) -> Tensor:
    truth = torch.from_numpy(np.array(classes, np.int64))
    if len(texts) == 0 or len(texts) != len(truth):
        raise ReActError(
            f"A search needs labelled rows, one class for each text; it got {len(texts)} texts and "
            f"{len(truth)} classes."
        )
    return truth


def _plain(token: str) -> str:
    return token.lstrip("Ġ▁")


def _usable(reader: GapReader) -> Tensor:
    """Which tokens ``(V,)`` are whole words of letters."""
    tokens = reader.tokenizer.convert_ids_to_tokens(list(range(len(reader.head.bias))))
    marked = any(token is not None and token[:1] in "Ġ▁" for token in tokens)

    def whole(token: str | None) -> bool:
        if token is None or (marked and token[:1] not in "Ġ▁"):
            return False
        plain = _plain(token)
        return plain.isalpha() and plain.isascii() and len(plain) >= _SHORTEST

    return torch.tensor([whole(token) for token in tokens])
