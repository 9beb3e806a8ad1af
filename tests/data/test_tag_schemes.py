"""Tag schemes: each becomes IOB2, and what breaks one is found."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from react_rl.data.tags import scheme_of, split_tag, to_iob2
from react_rl.errors import ReActError

IOB2 = ["B-PER", "I-PER", "O", "B-LOC", "B-LOC", "I-LOC", "B-PER"]
IOB1 = ["I-PER", "I-PER", "O", "I-LOC", "B-LOC", "I-LOC", "I-PER"]
BIOES = ["B-PER", "E-PER", "O", "S-LOC", "B-LOC", "E-LOC", "S-PER"]
BILOU = ["B-PER", "L-PER", "O", "U-LOC", "B-LOC", "L-LOC", "U-PER"]
BMES = ["B-PER", "E-PER", "O", "S-LOC", "B-LOC", "E-LOC", "S-PER"]


@pytest.mark.parametrize(
    ("tags", "scheme"),
    [(IOB2, "iob2"), (IOB1, "iob1"), (BIOES, "bioes"), (BILOU, "bioes"), (BMES, "bioes")],
)
def test_every_scheme_is_seen_and_becomes_the_same_iob2(tags: list[str], scheme: str) -> None:
    converted = to_iob2([tags])
    assert converted.scheme == scheme
    assert converted.tags == [IOB2]
    assert converted.repaired == []


def test_a_file_without_neighbours_of_one_type_is_read_alike_in_both_schemes() -> None:
    assert scheme_of([["O", "B-PER", "I-PER"]]) == "iob2"
    assert to_iob2([["O", "B-PER", "I-PER"]], "iob1").tags == [["O", "B-PER", "I-PER"]]


def test_one_needless_b_makes_a_file_iob2_and_its_lone_i_is_repaired_and_counted() -> None:
    converted = to_iob2([["B-PER", "O"], ["O", "I-LOC", "I-PER"]])
    assert converted.scheme == "iob2"
    assert converted.tags[1] == ["O", "B-LOC", "B-PER"]
    assert len(converted.repaired) == 2


def test_an_entity_that_is_not_closed_is_repaired_in_bioes() -> None:
    converted = to_iob2([["B-PER", "I-PER", "O", "S-PER", "B-LOC"], ["I-LOC", "E-LOC"]])
    assert converted.tags == [["B-PER", "I-PER", "O", "B-PER", "B-LOC"], ["B-LOC", "I-LOC"]]
    assert len(converted.repaired) == 3


def test_without_repair_the_first_break_is_named_with_its_place() -> None:
    with pytest.raises(ReActError, match=r"'I-LOC' of token 2 of sentence 2 breaks the scheme IOB2"):
        to_iob2([["B-PER", "O"], ["O", "I-LOC"]], repair=False)
    with pytest.raises(ReActError, match="the entity before it has no end"):
        to_iob2([["B-PER", "O"]], "bioes", repair=False)


@pytest.mark.parametrize("tag", ["PER", "X-PER", "B", "B-", "", "b-PER"])
def test_a_tag_of_another_form_is_refused_with_its_place(tag: str) -> None:
    with pytest.raises(ReActError, match=r"of line 7 has no known form"):
        split_tag(tag, "line 7")


spans = st.lists(st.tuples(st.integers(1, 3), st.sampled_from(["O", "PER", "LOC"])), max_size=6)


@given(spans)
def test_writing_entities_in_a_scheme_and_reading_them_gives_iob2(entities: list[tuple[int, str]]) -> None:
    iob2: list[str] = []
    bioes: list[str] = []
    iob1: list[str] = []
    before = "O"
    for length, kind in entities:
        if kind == "O":
            for tags in (iob2, bioes, iob1):
                tags += ["O"] * length
        else:
            iob2 += [f"B-{kind}"] + [f"I-{kind}"] * (length - 1)
            iob1 += [f"{'B' if before == kind else 'I'}-{kind}"] + [f"I-{kind}"] * (length - 1)
            inner = [f"B-{kind}", *[f"I-{kind}"] * (length - 2), f"E-{kind}"]
            bioes += [f"S-{kind}"] if length == 1 else inner
        before = kind
    assert to_iob2([iob1], "iob1").tags == [iob2]
    assert to_iob2([bioes], "bioes").tags == [iob2]
    assert to_iob2([iob2], "iob2").tags == [iob2]
    assert to_iob2([bioes], "bioes").repaired == []
