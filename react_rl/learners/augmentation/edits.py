"""Easy data augmentation: words of a text swapped, deleted, inserted, or replaced by synonyms.

Source: Wei & Zou 2019, EDA: easy data augmentation techniques for boosting performance on text classification
tasks; without a source of synonyms the first two are left.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Final

import numpy as np

from react_rl.errors import ReActError

Synonyms = Callable[[str], Sequence[str]]
"""From a word in small letters to words of the same meaning, itself left out, in a fixed order."""

_UNSPACED: Final = re.compile(r"[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff]")
"""Thai, Lao, kana and Han: scripts without blanks between words, whose characters are moved instead."""
_WORD: Final = re.compile(r"^(\W*)(.*?)(\W*)$", re.DOTALL)
_EVERY: Final = 100
"""Of so many words of WordNet one is looked up, to see whether its files are whole."""
_FUNCTION_WORDS: Final = frozenset((
    "a", "about", "after", "all", "am", "an", "and", "any", "are", "as", "at", "be", "been", "but",
    "by", "can", "could", "did", "do", "does", "for", "from", "had", "has", "have", "he", "her", "him",
    "his", "how", "i", "if", "in", "into", "is", "it", "its", "just", "me", "more", "most", "my", "no",
    "not", "of", "on", "one", "only", "or", "other", "our", "out", "over", "she", "should", "so",
    "some", "such", "than", "that", "the", "their", "them", "then", "there", "these", "they", "this",
    "those", "to", "up", "was", "we", "were", "what", "when", "where", "which", "while", "who", "why",
    "will", "with", "would", "you", "your",
))  # fmt: skip
"""English words that are never replaced: what carries no meaning of its own, and negations."""


def words_of(text: str) -> tuple[list[str], str]:
    """Words of a text and what joins them: a blank, or nothing where characters are moved."""
    if len(_UNSPACED.findall(text)) * 2 > len(text):
        return list(text), ""
    return text.split(), " "


def bare(word: str) -> tuple[str, str, str]:
    """A word without the punctuation around it: what is before, the word, what is behind."""
    found = _WORD.match(word)
    assert found is not None, "any text matches"
    before, core, behind = found.groups()
    return before, core, behind


def edited(text: str, share: float, synonyms: Synonyms | None, rng: np.random.Generator) -> str:
    """A copy of a text after one operation, drawn at random, on ``max(1, share * words)`` of its words.

    Args:
        text: The text.
        share: Of its words; in deletion the chance of each.
        synonyms: Where other words come from; None leaves replacement and insertion out.
        rng: What the draw is taken from.
    """
    words, glue = words_of(text)
    count = max(1, int(share * len(words)))
    operation = rng.integers(2 if synonyms is None else 4)
    if operation == 0:
        words = swapped(words, count, rng)
    elif operation == 1:
        words = deleted(words, share, rng)
    elif synonyms is not None:
        change = replaced if operation == 2 else inserted
        words = change(words, count, synonyms, rng)
    return glue.join(words)


def swapped(words: Sequence[str], count: int, rng: np.random.Generator) -> list[str]:
    """The words after ``count`` swaps of two."""
    found = list(words)
    for _ in range(count if len(found) > 1 else 0):
        one, other = rng.choice(len(found), 2, replace=False)
        found[one], found[other] = found[other], found[one]
    return found


def deleted(words: Sequence[str], share: float, rng: np.random.Generator) -> list[str]:
    """The words without a share of them; one is always left."""
    kept = rng.random(len(words)) >= share
    if len(words) and not kept.any():
        kept[rng.integers(len(words))] = True
    return [word for word, stays in zip(words, kept, strict=True) if stays]


def replaced(words: Sequence[str], count: int, synonyms: Synonyms, rng: np.random.Generator) -> list[str]:
    """The words with up to ``count`` of them replaced by a synonym each."""
    found = list(words)
    for place in _replaceable(words, synonyms, rng)[:count]:
        before, core, behind = bare(found[place])
        found[place] = f"{before}{_drawn(synonyms(core.lower()), rng)}{behind}"
    return found


def inserted(words: Sequence[str], count: int, synonyms: Synonyms, rng: np.random.Generator) -> list[str]:
    """The words and up to ``count`` synonyms of theirs, each put in at random."""
    found = list(words)
    for place in _replaceable(words, synonyms, rng)[:count]:
        other = _drawn(synonyms(bare(words[place])[1].lower()), rng)
        found.insert(int(rng.integers(len(found) + 1)), other)
    return found


def _replaceable(words: Sequence[str], synonyms: Synonyms, rng: np.random.Generator) -> list[int]:
    """Places of words that have synonyms, in random order."""
    cores = [bare(word)[1].lower() for word in words]
    order = rng.permutation(len(words)).tolist()
    return [place for place in order if cores[place] not in _FUNCTION_WORDS and synonyms(cores[place])]


def _drawn(offered: Sequence[str], rng: np.random.Generator) -> str:
    return offered[int(rng.integers(len(offered)))]


def wordnet_synonyms() -> Synonyms:
    """Synonyms from WordNet (Miller 1995), as the nltk library reads it.

    Raises:
        ReActError: nltk or its copy of WordNet is not installed; or that is damaged, as far as one entry in
            a hundred tells.
    """
    try:
        from nltk.corpus import wordnet

        wordnet.ensure_loaded()
    # What is there in part is missed file by file.
    except (ImportError, LookupError, OSError) as error:
        lacking = f" ({error})" if isinstance(error, OSError) else ""
        raise ReActError(
            "Synonyms from WordNet need nltk and its data; run: pip install nltk, then python -m "
            f"nltk.downloader wordnet. Or take the recipe eda, which needs neither{lacking}."
        ) from None
    except Exception as error:
        raise _damaged("its index cannot be read") from error

    def names(word: str) -> list[str]:
        try:
            return [name for synset in wordnet.synsets(word) for name in synset.lemma_names()]
        # nltk takes its files as they are, so that damage raises whatever it happens to.
        except Exception as error:
            raise _damaged(f"an entry of {word!r} cannot be read") from error

    with warnings.catch_warnings(action="ignore"):  # nltk's, of what is an error here
        for part_of_speech in "nvar":
            for word in islice(wordnet.all_lemma_names(part_of_speech), 0, None, _EVERY):
                names(word)

    def synonyms(word: str) -> list[str]:
        lemmas = {name.replace("_", " ").replace("-", " ") for name in names(word)}
        return sorted({name for name in lemmas if name.lower() != word})

    return synonyms


def _damaged(what: str) -> ReActError:
    return ReActError(
        f"WordNet is damaged: {what}, as where a file was cut short or its line ends were changed to those "
        "of Windows; remove it from nltk's data and run: python -m nltk.downloader wordnet."
    )
