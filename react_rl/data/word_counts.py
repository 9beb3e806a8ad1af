"""How many words a text has, also where they are written without blanks between them."""

from __future__ import annotations

import re
from typing import Final

ALONE: Final = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
"""Characters of scripts without blanks between words, as ranges for a regular expression; each is a word."""

_ALONE: Final = re.compile(f"[{ALONE}]")


def holds_words_alone(text: str) -> bool:
    """Whether there is a Han character or kana."""
    return _ALONE.search(text) is not None


def count_words(text: str) -> int:
    """Words of a text: what blanks separate, and every Han character or kana by itself."""
    return len(_ALONE.sub(" . ", text).split())
