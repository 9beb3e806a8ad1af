"""Fonts for texts that the usual one has no letters for, such as Chinese names of corpora and classes.

Figures are laid out in the usual font; before they are saved, texts with other letters get further fonts of
this machine to fall back on. What no font has is said in one sentence.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

import matplotlib
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, findSystemFonts, fontManager, get_font
from matplotlib.text import Text

_LIKED: Final = ("Noto Sans", "Source Han Sans", "WenQuanYi", "Microsoft YaHei", "PingFang", "Hiragino")
"""Beginnings of names of fonts that are tried first."""

_NORMAL: Final = 400
"""Weight of an upright text."""

_SHOWN: Final = 5
"""Characters that are named where no font has them."""


@contextmanager
def glyphs_checked_later() -> Iterator[None]:
    """Context without matplotlib's warning for each missing letter; ``give_fonts`` says it once."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph \d+ ", category=UserWarning)
        yield


def give_fonts(figures: Iterable[Figure]) -> str:
    """Let texts fall back on fonts that have their letters. Mutates the figures.

    Returns:
        The letters that no font of this machine has.
    """
    lacking: set[str] = set()
    for figure in figures:
        texts = [text for text in figure.findobj(Text) if isinstance(text, Text) and text.get_text().strip()]
        usual = {letter for text in texts for letter in text.get_text() if letter.isprintable()}
        missing = _without(usual, findfont(FontProperties(family=matplotlib.rcParams["font.family"])))
        if not missing:
            continue
        families, left = _covering(missing)
        lacking |= left
        for text in texts:
            if missing & set(text.get_text()):
                text.set_fontfamily([*text.get_fontfamily(), *families])
    return "".join(sorted(lacking))


def missing_letters(letters: str) -> str:
    """The sentence about letters that no font has."""
    shown = ", ".join(letters[:_SHOWN]) + (", ..." if len(letters) > _SHOWN else "")
    return (
        f"Figures show boxes for {len(letters)} letters that no font of this machine has ({shown}); install "
        "one that has them, such as Noto Sans CJK (package fonts-noto-cjk), and draw them again with "
        "react-rl plot."
    )


def _without(letters: set[str], path: str) -> set[str]:
    """The letters that the font in a file does not have."""
    font = get_font(path)
    return {letter for letter in letters if not font.get_char_index(ord(letter))}


def _covering(missing: set[str]) -> tuple[list[str], set[str]]:
    """Names of fonts that have the letters, as few as come by trying, and the letters that are left."""
    known = {entry.fname for entry in fontManager.ttflist}
    for path in sorted(set(findSystemFonts()) - known):  # installed since matplotlib made its list
        with suppress(Exception):  # a damaged font is none
            fontManager.addfont(path)
    # Others would be drawn in another weight, which matplotlib complains about.
    plain = [
        one
        for one in fontManager.ttflist
        if one.style == "normal" and one.weight == _NORMAL and not one.name.startswith("Last Resort")
    ]
    tried = sorted(plain, key=lambda one: (not one.name.startswith(_LIKED), one.name, one.fname))
    families: list[str] = []
    left = set(missing)
    for entry in tried:
        if not left:
            break
        with suppress(Exception):
            still = _without(left, entry.fname)
            if still != left:
                families.append(entry.name)
                left = still
    return families, left
