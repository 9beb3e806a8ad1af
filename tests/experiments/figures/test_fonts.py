"""Texts with letters that the usual font lacks get another font, or one sentence."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from matplotlib.font_manager import FontEntry, FontProperties, findfont, fontManager

from react_rl.experiments.figures.drawing import save_figures
from react_rl.experiments.figures.fonts import give_fonts, glyphs_checked_later

RARE = "\u1d81"
"""A d with a hook: among the fonts that come with matplotlib STIX alone has it."""


def figure(title: str) -> Figure:
    drawn = Figure()
    drawn.add_subplot().set_title(title)
    return drawn


@pytest.fixture
def matplotlibs_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """No fonts but those that come with matplotlib."""
    folder = Path(findfont(FontProperties(family=["DejaVu Sans"]))).parent
    own: list[FontEntry] = [one for one in fontManager.ttflist if Path(one.fname).parent == folder]
    monkeypatch.setattr(fontManager, "ttflist", own)
    monkeypatch.setattr("react_rl.experiments.figures.fonts.findSystemFonts", lambda: [])


@pytest.mark.usefixtures("matplotlibs_own")
def test_a_text_falls_back_on_a_font_that_has_its_letters_and_the_others_keep_theirs() -> None:
    strange, plain = figure(f"corpus {RARE}"), figure("corpus")
    before = plain.axes[0].title.get_fontfamily()
    assert give_fonts([strange, plain]) == ""
    families = strange.axes[0].title.get_fontfamily()
    assert families[0] == before[0]
    assert any(name.startswith("STIX") for name in families[1:])
    assert plain.axes[0].title.get_fontfamily() == before
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        strange.savefig(io.BytesIO(), format="png")


@pytest.mark.usefixtures("matplotlibs_own")
def test_letters_that_no_font_has_are_said_in_one_sentence_and_drawn_as_boxes(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="boxes for 2 letters .*Noto Sans CJK") as said:
        drawn = save_figures(tmp_path, {"one": figure("新闻 and more"), "two": figure("新")})
    assert len(said) == 1
    assert all(path.is_file() for path in drawn)


def test_matplotlib_does_not_complain_of_each_letter_while_figures_are_made() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with glyphs_checked_later():
            figure("新闻").savefig(io.BytesIO(), format="png")
