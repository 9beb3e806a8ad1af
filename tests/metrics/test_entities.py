"""Entity scores: seqeval's numbers, and counts by brute force."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from react_rl.errors import ReActError
from react_rl.metrics.entities import Mode, entity_counts, entity_f1, entity_report

TRUTH = [
    ["I-A", "B-A", "O", "I-B", "B-B", "I-B", "I-A"],
    ["B-C", "I-C", "I-C"],
    ["O", "O", "B-A", "B-A"],
]
PREDICTED = [
    ["B-A", "B-A", "O", "I-B", "B-B", "I-B", "O"],
    ["B-C", "I-C", "B-C"],
    ["O", "B-A", "I-A", "B-A"],
]
SEQEVAL: dict[Mode, dict[str, list[float]]] = {
    # classification_report of seqeval 1.2.2, output_dict=True; strict with scheme=IOB2.
    "default": {
        "A": [0.75, 0.6, 0.666667, 5],
        "B": [1, 1, 1, 2],
        "C": [0, 0, 0, 1],
        "micro avg": [0.625, 0.625, 0.625, 8],
        "macro avg": [0.583333, 0.533333, 0.555556, 8],
        "weighted avg": [0.71875, 0.625, 0.666667, 8],
    },
    "strict": {
        "A": [0.5, 0.666667, 0.571429, 3],
        "B": [1, 1, 1, 1],
        "C": [0, 0, 0, 1],
        "micro avg": [0.428571, 0.6, 0.5, 5],
        "macro avg": [0.5, 0.555556, 0.52381, 5],
        "weighted avg": [0.5, 0.6, 0.542857, 5],
    },
}


@pytest.mark.parametrize("mode", ["default", "strict"])
def test_the_report_is_seqevals(mode: Mode) -> None:
    report = entity_report(TRUTH, PREDICTED, mode)
    found = {name: [s.precision, s.recall, s.f1, s.support] for name, s in report.items()}
    assert found.keys() == SEQEVAL[mode].keys()
    for name, numbers in SEQEVAL[mode].items():
        assert found[name] == pytest.approx(numbers, abs=1e-6), name


def test_a_type_without_an_entity_in_strict_mode_is_no_type() -> None:
    report = entity_report([["I-A", "B-B"]], [["O", "B-B"]], "strict")
    assert list(report) == ["B", "micro avg", "macro avg", "weighted avg"]


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
    counts = entity_counts(predicted, truth, torch.tensor([True, False, True, False, False]), 3)
    assert entity_f1(counts).tolist() == [1.0]


def test_no_entity_at_all_scores_zero() -> None:
    counts = entity_counts(torch.zeros(1, 3).long(), torch.zeros(1, 3).long(), torch.ones(3).bool(), 2)
    assert entity_f1(counts).tolist() == [0.0]


def test_wrong_input_is_refused_with_what_was_seen() -> None:
    with pytest.raises(ReActError, match="Sentence 1 has 2 true tags and 1"):
        entity_report([["O", "O"]], [["O"]])
    with pytest.raises(ReActError, match="2 true sentences and 1"):
        entity_report([["O"], ["O"]], [["O"]])
    with pytest.raises(ReActError, match="'E-A' is not IOB2"):
        entity_report([["E-A"]], [["O"]])
    with pytest.raises(ReActError, match="outside -1 to 2"):
        entity_counts(torch.tensor([[3]]), torch.tensor([[0]]), torch.tensor([True]), 1)
    with pytest.raises(ReActError, match="do not fit"):
        entity_counts(torch.zeros(1, 2).long(), torch.zeros(1, 3).long(), torch.ones(3).bool(), 1)
