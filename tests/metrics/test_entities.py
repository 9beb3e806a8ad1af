"""Entity scores: seqeval's numbers, and counts by brute force."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from react_rl.errors import ReActError
from react_rl.metrics.entities import Mode, Part, entity_counts, entity_score

# O is 0, B-A and I-A are 1 and 2, B-B and I-B 3 and 4, B-C and I-C 5 and 6; three sentences.
TRUTH = [2, 1, 0, 4, 3, 4, 2, 5, 6, 6, 0, 0, 1, 1]
PREDICTED = [1, 1, 0, 4, 3, 4, 0, 5, 6, 5, 0, 1, 2, 1]
FIRST = torch.isin(torch.arange(14), torch.tensor([0, 7, 10]))
SEQEVAL: dict[Mode, dict[str, list[float]]] = {
    # classification_report of seqeval 1.2.2, output_dict=True: precision, recall, F1, support; strict with
    # scheme=IOB2.
    "default": {
        "A": [0.75, 0.6, 0.666667, 5],
        "B": [1, 1, 1, 2],
        "C": [0, 0, 0, 1],
        "micro avg": [0.625, 0.625, 0.625, 8],
    },
    "strict": {
        "A": [0.5, 0.666667, 0.571429, 3],
        "B": [1, 1, 1, 1],
        "C": [0, 0, 0, 1],
        "micro avg": [0.428571, 0.6, 0.5, 5],
    },
}


@pytest.mark.parametrize("mode", ["default", "strict"])
def test_scores_are_seqevals(mode: Mode) -> None:
    predicted, truth = torch.tensor([PREDICTED]), torch.tensor([TRUTH])
    correct, guessed, actual = entity_counts(predicted, truth, FIRST, 3, mode)
    for k, name in enumerate("ABC"):
        right, *others = (int(count[0, k]) for count in (correct, guessed, actual))
        found = [right / others[0], right / others[1], 2 * right / sum(others), others[1]]
        assert found == pytest.approx(SEQEVAL[mode][name], abs=1e-6), name
    parts: tuple[Part, ...] = ("precision", "recall", "f1")
    for part, expected in zip(parts, SEQEVAL[mode]["micro avg"], strict=False):
        score = float(entity_score(predicted, truth, FIRST, 3, part, mode))
        assert score == pytest.approx(expected, abs=1e-6), part


def slow_entities(tags: list[int], first: list[bool], mode: Mode) -> set[tuple[int, int, int]]:
    found, t = set(), 0
    while t < len(tags):
        tag = tags[t]
        begins = tag > 0 and (tag % 2 == 1 or mode == "default")
        end = t + 1
        if tag > 0:
            kind = (tag - 1) // 2
            while end < len(tags) and not first[end] and tags[end] == 2 + 2 * kind:
                end += 1
            if begins:
                found.add((t, end, kind))
        t = end
    return found


@given(st.data())
def test_counts_are_those_of_a_slow_search(data: st.DataObject) -> None:
    length = data.draw(st.integers(1, 14))
    tags = st.lists(st.integers(0, 6), min_size=length, max_size=length)
    truth, predicted = [[data.draw(tags) for _ in range(2)] for _ in range(2)]
    first = [True, *data.draw(st.lists(st.booleans(), min_size=length - 1, max_size=length - 1))]
    for mode in ("default", "strict"):
        counts = entity_counts(torch.tensor(predicted), torch.tensor(truth), torch.tensor(first), 3, mode)
        for e in range(2):
            right, own = (slow_entities(side[e], first, mode) for side in (truth, predicted))
            for number, entities in zip(counts, (right & own, own, right), strict=True):
                expected = np.bincount([kind for _, _, kind in entities], minlength=3)
                assert number[e].tolist() == expected.tolist()


def test_tokens_without_a_tag_count_in_neither() -> None:
    truth = torch.tensor([[1, 2, -1, 3, -1]])
    predicted = torch.tensor([[1, 2, 5, 3, 1]])
    first = torch.tensor([True, False, True, False, False])
    assert entity_score(predicted, truth, first, 3).tolist() == [1.0]


def test_no_entity_at_all_scores_zero() -> None:
    nothing = torch.zeros(1, 3).long()
    for part in get_args(Part):
        assert entity_score(nothing, nothing, torch.ones(3).bool(), 2, part).tolist() == [0.0]


def test_wrong_input_is_refused_with_what_was_seen() -> None:
    with pytest.raises(ReActError, match="outside -1 to 2"):
        entity_counts(torch.tensor([[3]]), torch.tensor([[0]]), torch.tensor([True]), 1)
    with pytest.raises(ReActError, match="do not fit"):
        entity_counts(torch.zeros(1, 2).long(), torch.zeros(1, 3).long(), torch.ones(3).bool(), 1)
