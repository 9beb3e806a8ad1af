"""Typing errors and missing words: seeded, of the size that was asked for, and never nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from react_rl.data.disturbances import DISTURBANCES, deletions, typos

TEXT = "The quick brown fox jumps over the lazy dog and runs away from everybody else today"


@pytest.mark.parametrize("kind", DISTURBANCES)
def test_the_same_text_and_seed_give_the_same_and_another_seed_another(kind: str) -> None:
    disturb = DISTURBANCES[kind]
    assert disturb(TEXT, 0.3, 1) == disturb(TEXT, 0.3, 1)
    assert len({disturb(TEXT, 0.3, seed) for seed in range(8)}) > 6
    assert disturb(TEXT, 0.3, 1) != TEXT


@pytest.mark.parametrize("kind", DISTURBANCES)
@given(text=st.text(max_size=40).filter(lambda text: text.strip()), share=st.floats(0.01, 1.0))
def test_a_text_stays_a_text(kind: str, text: str, share: float) -> None:
    assert DISTURBANCES[kind](text, share, 0).strip()


def test_words_that_are_left_are_those_of_the_text_in_their_order() -> None:
    words = TEXT.split()
    left = deletions(TEXT, 0.4).split()
    assert 0 < len(left) < len(words)
    rest = iter(words)
    assert all(word in rest for word in left)


def test_shares_are_met_on_average() -> None:
    lengths = [len(deletions(TEXT, 0.25, seed).split()) for seed in range(200)]
    assert sum(lengths) / 200 / len(TEXT.split()) == pytest.approx(0.75, abs=0.03)
    letters = sum(letter.isalnum() for letter in TEXT)
    typed = typos(TEXT, 0.2, 3)
    assert typed.count(" ") == TEXT.count(" ")
    assert abs(len(typed) - len(TEXT)) <= round(0.2 * letters / 5)


def test_a_short_text_gets_one_typing_error() -> None:
    for seed in range(30):
        typed = typos("word", 0.01, seed)
        assert typed != "word"
        assert abs(len(typed) - 4) <= 1


def test_texts_without_blanks_lose_letters() -> None:
    left = deletions("今天天气很好", 0.3)
    assert 0 < len(left) < 6
    assert set(left) <= set("今天天气很好")
