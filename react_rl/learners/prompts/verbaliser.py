"""Verbalisers: the words that stand for each class, and the linear map that they make of a gap's vector.

A word's score in the gap is linear in the gap's vector, so the mean score of a class's words is, too. Words
of several pieces have the mean score of their pieces.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor

from react_rl.encoders.masked_lm import MaskedLmHead
from react_rl.errors import ReActError, suggestion

Words = Mapping[str, Sequence[str]]
"""Words of each class, by its name."""

_PARTS: Final = re.compile(r"[\s_/&|.,-]+")


def words_of_name(name: str) -> tuple[str, ...]:
    """The words of a class's name: ``Sci/Tech`` has two, ``credit_card`` too."""
    parts = [part.lower() for part in _PARTS.split(name) if part]
    return tuple(parts) or (name,)


@dataclass(frozen=True)
class Verbaliser:
    """Words of the classes of one corpus.

    Args:
        words: Words of each class, in the order of the classes.
    """

    words: tuple[tuple[str, ...], ...]

    @classmethod
    def of(cls, label_names: Sequence[str], given: Words, corpus: str) -> Verbaliser:
        """The words that are given for the classes of a corpus; names stand for the others.

        Raises:
            ReActError: Two classes have the same words, or a name is a number and nothing is given for it.
        """
        found: list[tuple[str, ...]] = []
        for name in label_names:
            words = tuple(given.get(name, ())) or words_of_name(name)
            if name not in given and not any(word.isalpha() for word in words):
                raise ReActError(
                    f"Class {name!r} of corpus {corpus!r} has no word for a name; say what its words are: "
                    f"learner.prompt.words: {{{name!r}: [word, ...], ...}}."
                )
            found.append(words)
        for place, words in enumerate(found):
            if words in found[:place]:
                other = label_names[found.index(words)]
                raise ReActError(
                    f"Classes {other!r} and {label_names[place]!r} of corpus {corpus!r} have the same words "
                    f"({', '.join(words)}); give them different ones in learner.prompt.words."
                )
        return cls(tuple(found))

    def pieces(self, tokenizer: Any, corpus: str) -> list[list[list[int]]]:
        """Token ids of each word of each class.

        Raises:
            ReActError: The tokenizer does not know a word.
        """
        found = []
        for words in self.words:
            own = [tokenizer(f" {word}", add_special_tokens=False)["input_ids"] for word in words]
            for word, ids in zip(words, own, strict=True):
                if not ids or tokenizer.unk_token_id in ids:
                    raise ReActError(
                        f"The model does not know the word {word!r} of corpus {corpus!r}; "
                        "use another one in learner.prompt.words."
                    )
            found.append(own)
        return found

    def head(self, head: MaskedLmHead, tokenizer: Any, corpus: str) -> tuple[Tensor, Tensor]:
        """Weights ``(C, E)`` and intercepts ``(C,)`` that give each class the mean score of its words."""
        weights, intercepts = [], []
        for words in self.pieces(tokenizer, corpus):
            vectors = torch.stack([head.words[ids].mean(0) for ids in words])
            weights.append(vectors.mean(0))
            intercepts.append(torch.stack([head.bias[ids].mean() for ids in words]).mean())
        return torch.stack(weights), torch.stack(intercepts)


def check_words(given: Words, corpora: Sequence[Sequence[str]]) -> None:
    """Check that every class that words are given for is a class of some corpus.

    Args:
        given: Words by class.
        corpora: Class names of each corpus.

    Raises:
        ReActError: One is not.
    """
    names = sorted({name for own in corpora for name in own})
    for name in given:
        if name not in names:
            known = ", ".join(names[:12])
            raise ReActError(
                f"learner.prompt.words names the class {name!r}, which no corpus has."
                f"{suggestion(name, names)} Classes: {known}."
            )
