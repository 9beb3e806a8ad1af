"""Cost models: what a row costs, in which unit, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from react_rl.data import COSTS, Corpus, apply_cost, synthetic_corpus
from react_rl.data.costs import column, tokens, uniform, words
from react_rl.data.word_counts import count_words
from react_rl.errors import ReActError


@pytest.fixture
def corpus() -> Corpus:
    return Corpus(
        name="lengths",
        task="classification",
        texts=("one", "two  words", "three words here", "now six words stand in here"),
        targets=np.array([0, 1, 0, 1]),
        label_names=("a", "b"),
        split=np.array([0, 0, 1, 2], dtype=np.uint8),
        cost=np.ones(4),
    )


def test_words_cost_one_unit_on_average(corpus: Corpus) -> None:
    assert apply_cost(corpus, "words").cost.tolist() == [1 / 3, 2 / 3, 1.0, 2.0]


def test_words_can_have_a_fixed_unit(corpus: Corpus) -> None:
    assert apply_cost(corpus, "words", per=2).cost.tolist() == [0.5, 1.0, 1.5, 3.0]


def test_pricing_keeps_everything_else(corpus: Corpus) -> None:
    priced = apply_cost(corpus, words())
    assert priced.texts == corpus.texts
    assert priced.split is corpus.split
    assert priced.digest() != corpus.digest()


def test_halves_keep_the_prices_of_the_whole() -> None:
    corpus = synthetic_corpus(60)
    after = apply_cost(corpus.half("first"), "words")
    before = apply_cost(corpus, "words").half("first")
    assert after.cost.tolist() == before.cost.tolist()


def test_uniform_costs_one_unit_or_the_given_price(corpus: Corpus) -> None:
    assert apply_cost(corpus, "uniform").cost.tolist() == [1.0] * 4
    assert apply_cost(corpus, uniform(price=2.5)).cost.tolist() == [2.5] * 4


def test_tokens_take_a_function_or_a_tokenizer(corpus: Corpus) -> None:
    class Letters:
        def tokenize(self, text: str) -> list[str]:
            return list(text)

    assert apply_cost(corpus, "tokens", tokenizer=str.split, per=1).cost.tolist() == [1, 2, 3, 6]
    assert apply_cost(corpus, tokens(Letters(), per=1)).cost.tolist() == [3, 10, 16, 27]


def test_a_text_without_tokens_costs_as_much_as_one_token(corpus: Corpus) -> None:
    assert apply_cost(corpus, tokens(lambda text: [], per=1)).cost.tolist() == [1.0] * 4


def test_a_column_is_taken_as_it_is(corpus: Corpus) -> None:
    assert apply_cost(corpus, column([4, 3, 2, 1])).cost.tolist() == [4, 3, 2, 1]


def test_every_model_is_known_by_name() -> None:
    assert sorted(COSTS) == ["column", "tokens", "uniform", "words"]


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        ("word", {}, "Unknown cost model 'word'. Did you mean 'words'"),
        ("words", {"pr": 2}, "'words' cannot be built: .*'pr'"),
        ("words", {"per": 0}, "per is 0"),
        ("words", {"per": float("nan")}, "per is nan"),
        ("tokens", {}, "'tokens' cannot be built: .*tokenizer"),
        ("tokens", {"tokenizer": 3}, "needs a function"),
        ("uniform", {"price": -1}, "cost -1.0 in row id 0"),
        ("column", {"values": [1, 2]}, r"shape \(2,\), but there are 4 rows"),
        ("column", {"values": [1, 2, float("nan"), 1]}, "cost nan in row id 2"),
        (words(), {"per": 2}, "only go with the name"),
    ],
)
def test_wrong_models_are_refused(corpus: Corpus, model: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ReActError, match=message):
        apply_cost(corpus, model, **options)


@pytest.mark.parametrize(
    ("text", "n"),
    [("one two  three", 3), ("很好。", 3), ("房间 WiFi不好", 5), ("カタカナ and more", 6), ("", 0)],
)
def test_han_characters_and_kana_are_words(text: str, n: int) -> None:
    assert count_words(text) == n
