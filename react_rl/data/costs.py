"""What a label costs: models that price every row of a corpus in cost units.

A budget is counted in the same units. One unit is the price of an average row unless ``per`` says otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from react_rl.data.corpus import Corpus
from react_rl.data.passages import shares_of_context, word_borders
from react_rl.data.tags import entity_types
from react_rl.data.word_counts import count_words
from react_rl.errors import ReActError, unknown

CostModel = Callable[[Sequence[str]], npt.NDArray[np.float64]]
"""Prices N texts: returns (N,) float64 in cost units, all above 0."""


class Tokenizer(Protocol):
    """Anything with ``tokenize``, such as a Hugging Face tokenizer."""

    def tokenize(self, text: str, /) -> Sequence[Any]:
        """Return the tokens of ``text``."""
        ...


def uniform(price: float = 1.0) -> CostModel:
    """Price every row the same.

    Args:
        price: Cost units a row.
    """

    def model(texts: Sequence[str]) -> npt.NDArray[np.float64]:
        return np.full(len(texts), price, dtype=np.float64)

    return model


def words(per: float | None = None) -> CostModel:
    """Price a row by its number of words, counted between blanks and at least one.

    Every Han character or kana is a word; for other scripts without blanks between words use ``tokens``.

    Args:
        per: Words in one cost unit. None takes the mean over all rows, used or not, so that an average row
            costs one unit, and halves of a corpus keep the prices of the whole.
    """

    def model(texts: Sequence[str]) -> npt.NDArray[np.float64]:
        return _scaled([count_words(text) for text in texts], per)

    return model


def tokens(tokenizer: Tokenizer | Callable[[str], Sequence[Any]], per: float | None = None) -> CostModel:
    """Price a row by its number of tokens, at least one, without special tokens.

    Args:
        tokenizer: An object with ``tokenize`` (a Hugging Face tokenizer), or a function that returns the
            tokens of one text.
        per: Tokens in one cost unit; None takes the mean over all rows, as ``words`` does.
    """
    if hasattr(tokenizer, "tokenize"):
        count: Callable[[str], Sequence[Any]] = tokenizer.tokenize
    elif callable(tokenizer):
        count = tokenizer
    else:
        raise ReActError(
            f"The tokens cost model got {tokenizer!r}; it needs a function of a text or a tokenizer object."
        )

    def model(texts: Sequence[str]) -> npt.NDArray[np.float64]:
        return _scaled([len(count(text)) for text in texts], per)

    return model


def column(values: Sequence[float] | npt.NDArray[np.float64]) -> CostModel:
    """Price row i with ``values[i]`` cost units.

    For a column of a file, name it when reading: ``read_corpus(path, cost="minutes")``.

    Args:
        values: (N,) cost units.
    """
    prices = np.array(values, dtype=np.float64)

    def model(texts: Sequence[str]) -> npt.NDArray[np.float64]:
        if prices.shape != (len(texts),):
            raise ReActError(f"The cost column has shape {prices.shape}, but there are {len(texts)} rows.")
        return prices

    return model


COSTS: Final[dict[str, Callable[..., CostModel]]] = {
    "uniform": uniform,
    "words": words,
    "tokens": tokens,
    "column": column,
}
"""The cost models by name; each entry builds a model from its options."""


def apply_cost(corpus: Corpus, model: str | CostModel, **options: Any) -> Corpus:
    """Return ``corpus`` with the rows priced by ``model``; rows, ids and splits stay.

    Args:
        corpus: The corpus to price.
        model: A name in ``COSTS``, or a model.
        options: Options of a named model, such as ``per``.

    Raises:
        ReActError: If the name or an option is unknown, or a price is not a finite number above 0.
    """
    if isinstance(model, str):
        if model not in COSTS:
            raise unknown("cost model", model, COSTS)
        try:
            model = COSTS[model](**options)
        except TypeError as error:
            raise ReActError(f"Cost model {model!r} cannot be built: {error}.") from None
    elif options:
        raise ReActError(f"Options {sorted(options)} only go with the name of a cost model.")
    return replace(corpus, cost=np.array(model(corpus.texts), dtype=np.float64))


_ENTITIES: Final = re.compile(r"tokens\s*\+\s*(\d+(?:\.\d+)?)\s*\*\s*entities")


def apply_sentence_cost(corpus: Corpus, cost: str) -> Corpus:
    """Price tagged sentences; a unit is a token.

    Args:
        corpus: The corpus.
        cost: ``tokens``; ``tokens+K*entities``, where every entity costs as much as K tokens; or ``uniform``,
            one unit a sentence.

    Raises:
        ReActError: It is none of these.
    """
    lengths = np.array([len(tags) for tags in corpus.targets], dtype=np.float64)
    found = _ENTITIES.fullmatch(cost)
    if cost == "tokens":
        prices = lengths
    elif cost == "uniform":
        prices = np.ones_like(lengths)
    elif found is not None:
        entities = np.array([entity_types(tags).size for tags in corpus.targets], dtype=np.float64)
        prices = lengths + float(found[1]) * entities
    else:
        raise ReActError(
            f"A tagged sentence cannot cost {cost!r}; use tokens, tokens+K*entities (tokens+2*entities), "
            "or uniform."
        )
    return replace(corpus, cost=prices)


def apply_question_cost(corpus: Corpus, cost: str) -> Corpus:
    """Price questions about contexts.

    Args:
        corpus: The corpus.
        cost: ``uniform``, one unit a question; or ``context+question``, where a unit is a word to be read:
            those of the question, and an even share of those of its context. So all questions of a context
            together pay for reading it once, in whatever order they are bought.

    Raises:
        ReActError: It is neither.
    """
    assert corpus.passages is not None, "a corpus of questions has passages"
    if cost == "uniform":
        return replace(corpus, cost=np.ones(corpus.n_rows))
    if cost != "context+question":
        raise ReActError(f"A question cannot cost {cost!r}; use uniform or context+question.")
    words = [len(word_borders(text)) for text in corpus.texts]
    return replace(corpus, cost=shares_of_context(corpus.passages, words))


def _scaled(counts: Sequence[int], per: float | None) -> npt.NDArray[np.float64]:
    units = np.maximum(np.asarray(counts, dtype=np.float64), 1.0)
    if per is not None and not per > 0:
        raise ReActError(f"per is {per}; the size of a cost unit must be above 0.")
    return units / (float(units.mean()) if per is None else per)
