"""Answer scores: the edge cases of the official SQuAD scripts."""

from __future__ import annotations

import pytest

from react_rl.errors import ReActError
from react_rl.metrics.answers import answer_scores, characters_of, exact_match, normalise, overlap_f1


def test_normalisation_drops_case_punctuation_and_articles_as_words_only() -> None:
    assert normalise("The  Victoria, and  Albert Museum!") == "victoria and albert museum"
    assert normalise("theatre an-other A.") == "theatre another"
    assert normalise("U.S.") == "us"
    assert normalise("a") == ""
    assert normalise("café\u2013bar") == "café\u2013bar"  # only ASCII punctuation goes


@pytest.mark.parametrize(
    ("answer", "given", "exact", "f1"),
    [
        ("the Broncos", ["Denver Broncos", "Broncos"], 1, 1),
        ("Denver", ["Denver Broncos"], 0, 2 / 3),
        ("Denver Denver", ["Denver Broncos"], 0, 0.5),  # a word counts as often as both have it
        ("in 1853", ["1852"], 0, 0),
        ("", [], 1, 1),  # no answer, rightly
        ("1852", [], 0, 0),
        ("", ["1852"], 0, 0),
        ("the", ["a"], 1, 1),  # both are empty once articles are gone
        ("the", ["Denver"], 0, 0),
        ("Gold anniversary", ["golden anniversary", "gold-themed anniversary"], 0, 0.5),
    ],
)
def test_scores_are_those_of_the_official_script(
    answer: str, given: list[str], exact: float, f1: float
) -> None:
    assert exact_match(answer, given) == exact
    assert overlap_f1(answer, given) == pytest.approx(f1)


def test_means_are_over_questions() -> None:
    scores = answer_scores(["Denver", "", "1852"], [["Denver Broncos"], [], ["1852", "in 1852"]])
    assert scores.exact == pytest.approx(2 / 3)
    assert scores.f1 == pytest.approx((2 / 3 + 1 + 1) / 3)
    assert scores.questions == 3


def test_chinese_answers_are_compared_by_character() -> None:
    full_width_comma = "\uff0c"
    pieces = characters_of(f"《战国无双3》{full_width_comma}2009年")
    assert pieces == ["战", "国", "无", "双", "3", "2009", "年"]
    scores = answer_scores(["战国无双"], [["《战国无双3》"]], characters_of)
    assert scores.exact == 0
    assert scores.f1 == pytest.approx(8 / 9)
    assert answer_scores(["“光荣”"], [["光荣"]], characters_of).exact == 1


def test_answers_and_questions_must_be_as_many() -> None:
    with pytest.raises(ReActError, match="1 answers for 2 questions"):
        answer_scores(["a"], [["a"], ["b"]])
