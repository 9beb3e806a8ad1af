"""Texts in other words: a masked language model puts the likeliest other word in the place of some."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import torch

from react_rl.data.disturbances import stream_of
from react_rl.encoders.batches import check_texts
from react_rl.encoders.checkpoints import locate
from react_rl.encoders.masked_lm import load_masked_lm
from react_rl.encoders.transformer import TextEncoder
from react_rl.errors import ReActError

KIND: Final = "paraphrase"

_TOGETHER: Final = 16
"""Texts that go through the model at once."""

_WORD: Final = re.compile(r"[^\W\d_]{2,}")
"""What may be replaced: two letters or more."""

_CANDIDATES: Final = 20
"""Likeliest tokens among which another word is looked for."""


def paraphrases(texts: Sequence[str], encoder: TextEncoder, share: float, seed: int = 0) -> list[str]:
    """Texts in which about a ``share`` of the words is replaced, one at least where there is a word.

    The chosen words are masked together, and each gets the likeliest whole word that is another one. Case
    of the first letter, blanks and punctuation stay. Words beyond the encoder's longest text stay, too.

    Source: Garg & Ramakrishnan 2020, BAE: BERT-based adversarial examples for text classification,
    replacement (R) without the attack.

    Args:
        texts: The texts.
        encoder: Whose checkpoint, device and longest text to use.
        share: Chance of each word to be replaced.
        seed: Which words; the same text and seed give the same ones.

    Raises:
        ReActError: The checkpoint has no masked-LM head, or a text is not text.
    """
    check_texts(texts)
    if not texts:
        return []
    name, tokenizer = encoder.settings.model, encoder.tokenizer
    model = load_masked_lm(name, locate(name), "a paraphrase").to(encoder.device)
    if tokenizer.mask_token is None:
        raise ReActError(
            f"The tokenizer of {name!r} has no mask, and a paraphrase needs one; use a "
            "checkpoint such as 'bert-base-uncased'."
        )
    limit = min(encoder.settings.max_length, int(model.config.max_position_embeddings))
    chosen = [_chosen(text, share, seed) for text in texts]
    found: list[str] = []
    for start in range(0, len(texts), _TOGETHER):
        part = slice(start, start + _TOGETHER)
        found += _replaced(texts[part], chosen[part], model, tokenizer, limit, encoder.device)
    return found


def _chosen(text: str, share: float, seed: int) -> list[tuple[int, int]]:
    """Beginning and end of the words that are replaced."""
    words = [match.span() for match in _WORD.finditer(text)]
    if not words:
        return []
    numbers = stream_of(text, KIND, seed).random(len(words))
    least = int(numbers.argmin())
    return [span for i, span in enumerate(words) if numbers[i] < share or i == least]


def _replaced(
    texts: Sequence[str],
    chosen: Sequence[list[tuple[int, int]]],
    model: Any,
    tokenizer: Any,
    limit: int,
    device: torch.device,
) -> list[str]:
    """Some texts with the chosen words replaced."""
    masked = [
        _put(text, spans, [tokenizer.mask_token] * len(spans))
        for text, spans in zip(texts, chosen, strict=True)
    ]
    batch = tokenizer(masked, padding=True, truncation=True, max_length=limit, return_tensors="pt").to(device)
    with torch.inference_mode():
        logits = model(**batch).logits
    found = []
    for line, (text, spans) in enumerate(zip(texts, chosen, strict=True)):
        places = (batch["input_ids"][line] == tokenizer.mask_token_id).nonzero()[:, 0].tolist()
        words = [text[start:end] for start, end in spans]
        for number, place in enumerate(places[: len(spans)]):
            best = logits[line, place].topk(min(_CANDIDATES, logits.shape[2])).indices.tolist()
            words[number] = _other(words[number], tokenizer.convert_ids_to_tokens(best))
        found.append(_put(text, spans, words))
    return found


def _other(word: str, tokens: Sequence[str]) -> str:
    """The first whole word among tokens that is another one, in the case of ``word``; else the same."""
    for token in tokens:
        plain = token.lstrip("\u2581\u0120")
        if _WORD.fullmatch(plain) and plain.casefold() != word.casefold():
            return plain.capitalize() if word[:1].isupper() else plain
    return word


def _put(text: str, spans: Sequence[tuple[int, int]], words: Sequence[str]) -> str:
    """The text with other words in the place of spans."""
    parts, last = [], 0
    for (start, end), word in zip(spans, words, strict=True):
        parts += [text[last:start], word]
        last = end
    return "".join([*parts, text[last:]])
