"""Words that share a piece: which ones they are, and spans around them."""

from __future__ import annotations

import numpy as np

from react_rl.encoders.shared_pieces import SharedPieces, repeated_states


def test_spans_are_widened_to_the_borders_of_pieces() -> None:
    # Two contexts, of pieces with 1, 3 and 1 words, and with 2 and 2 words.
    shared = SharedPieces(np.array([0, 0, 1, 1, 0, 0, 1, 0, 1], np.bool_))
    spans = np.array([[1, 1], [3, 3], [2, 5], [0, 0], [1, 1], [2, 3], [4, 4]])
    before = np.array([0, 0, 0, 0, 5, 5, 5])
    expected = [[1, 1], [2, 4], [2, 5], [0, 0], [1, 2], [1, 4], [3, 4]]
    assert shared.widened(spans, before).tolist() == expected
    assert shared.continued.tolist() == [False, True, True, False, False, True, False, True, False]
    assert shared.present


def test_where_every_word_has_its_own_piece_spans_stay() -> None:
    shared, spans = SharedPieces(np.zeros(4, np.bool_)), np.array([[2, 3], [0, 0]])
    assert not shared.present
    assert shared.widened(spans, np.array([0, 0])).tolist() == spans.tolist()


def test_states_that_are_repeated_whole_are_found() -> None:
    states = np.array([[1, 2], [1, 2], [1, 3], [2, 3], [2, 3], [2, 3]], np.float16)
    assert repeated_states(states).tolist() == [False, True, False, False, True, True]
