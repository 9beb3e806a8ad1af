"""Texts as they should not be: with typing errors, with words missing. The meaning, and the label, stay.

What happens to a text follows from the text, the kind and a seed, never from other texts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Final

import numpy as np

_WORD: Final = 5
"""Letters of a word, where words are not what is counted."""

_KEYS: Final = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
"""Rows of a keyboard; a wrong key is one beside the right one."""


def stream_of(text: str, kind: str, seed: int) -> np.random.Generator:
    """Random numbers that belong to a text, a kind of disturbance and a seed."""
    state = hashlib.sha256(f"{seed}\x00{kind}\x00{text}".encode()).digest()
    return np.random.default_rng(np.frombuffer(state, np.uint32))


def typos(text: str, share: float, seed: int = 0) -> str:
    """A text with about one typing error in a ``share`` of its words, one error at least.

    An error swaps two neighbouring letters, leaves one out, doubles one, or hits the key beside it.

    Args:
        text: The text.
        share: Errors for each word of five letters.
        seed: Which errors; the same text and seed give the same ones.
    """
    stream, letters = stream_of(text, "typos", seed), list(text)
    places = [i for i, letter in enumerate(letters) if letter.isalnum()]
    if len(places) < 2:
        return text
    errors = min(max(round(share * len(places) / _WORD), 1), len(places))
    # From the back, so that places in front stay where they are.
    for place in sorted(stream.choice(places, size=errors, replace=False).tolist(), reverse=True):
        kind = int(stream.integers(4))
        following = place + 1
        if kind == 0 and following < len(letters) and letters[following] not in (letters[place], " "):
            letters[place], letters[following] = letters[following], letters[place]
        elif kind == 1 and sum(letter.isalnum() for letter in letters) > 1:
            del letters[place]
        elif kind == 2:
            letters.insert(place, letters[place])
        else:
            letters[place] = _beside(letters[place], stream)
    return "".join(letters)


def _beside(letter: str, stream: np.random.Generator) -> str:
    """The letter of a key beside; twice the letter itself where the keyboard has none."""
    for row in _KEYS:
        place = row.find(letter.lower())
        if place >= 0:
            near = row[max(place - 1, 0) : place] + row[place + 1 : place + 2]
            other = near[int(stream.integers(len(near)))]
            return other.upper() if letter.isupper() else other
    return letter * 2


def deletions(text: str, share: float, seed: int = 0) -> str:
    """A text without about a ``share`` of its words: one at least is gone, and one stays.

    Texts that are written without blanks lose letters instead.

    Args:
        text: The text.
        share: Chance of each word to be left out.
        seed: Which words; the same text and seed give the same ones.
    """
    words, blank = text.split(), " "
    if len(words) < 2:
        words, blank = list(text), ""
    if len(words) < 2:
        return text
    numbers = stream_of(text, "deletions", seed).random(len(words))
    gone = numbers < share
    gone[numbers.argmin()] = True
    gone[numbers.argmax()] = False
    left = blank.join(word for word, out in zip(words, gone, strict=True) if not out)
    return left if left.strip() else text


DISTURBANCES: Final[dict[str, Callable[[str, float, int], str]]] = {"typos": typos, "deletions": deletions}
"""What can be done to a text without a model, by name."""
