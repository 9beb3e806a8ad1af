"""Copies of a text by language models: words filled in by a masked one, or the text translated and back.

Models come from folders that the user names. Every text is rewritten by itself, so that what comes of it does
not depend on the texts beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import torch

from react_rl.encoders.checkpoints import locate
from react_rl.encoders.masked_lm import load_masked_lm
from react_rl.encoders.transformer import one_sentence, quiet_transformers
from react_rl.errors import ReActError
from react_rl.learners.augmentation.edits import bare, words_of

_OFFERED: Final = 10
"""Most likely words, or next pieces, among which one is drawn."""
_LONGER: Final = 1.5
"""A translation has at most so many times the pieces of its text, and a few more."""
_MARKS: Final = "\u0120\u2581"
"""What byte-level and sentence pieces have in front where a word begins."""


class MaskedRewriter:
    """Words of a text masked and filled in again by a masked language model.

    Source: Kobayashi 2018, Contextual augmentation; Wu et al. 2019, Conditional BERT contextual augmentation,
    without the condition.

    Args:
        model: Folder or name of the model.
        max_length: Pieces that are read of a text.
        device: Where to compute.

    Raises:
        ReActError: The model has no masked-LM head.
    """

    def __init__(self, model: str, max_length: int, device: torch.device) -> None:
        from transformers import AutoTokenizer

        folder = locate(model)
        self._model = load_masked_lm(model, folder, "augmentation").to(device)
        with one_sentence(model), quiet_transformers():
            self._tokenizer = AutoTokenizer.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
        if self._tokenizer.mask_token is None:
            raise ReActError(f"The tokenizer of {model!r} has no mask token; use another model.")
        self._max_length, self._device = max_length, device
        pieces = self._tokenizer.convert_ids_to_tokens(list(range(len(self._tokenizer))))
        marked = any(piece[:1] in _MARKS for piece in pieces)
        special = set(self._tokenizer.all_special_ids)
        self._pieces: list[str] = [piece.lstrip(_MARKS) for piece in pieces]
        self._allowed = torch.tensor(
            [
                number not in special and bare_piece.isalpha() and (not marked or piece[:1] in _MARKS)
                for number, (piece, bare_piece) in enumerate(zip(pieces, self._pieces, strict=True))
            ]
        )
        if not self._allowed.any():
            raise ReActError(f"The tokenizer of {model!r} has no piece that is a word; use another model.")

    @torch.inference_mode()
    def rewrite(self, text: str, share: float, rng: np.random.Generator) -> str:
        """A copy of a text in which ``max(1, share * words)`` words were filled in again."""
        (words, glue), mask = words_of(text), self._tokenizer.mask_token
        able = [place for place, word in enumerate(words) if any(letter.isalnum() for letter in word)]
        count = min(len(able), max(1, int(share * len(words))))
        chosen = sorted(rng.permutation(able)[:count].tolist()) if able else []
        masked = list(words)
        for place in chosen:
            before, _, behind = bare(words[place])
            masked[place] = f"{before}{mask}{behind}"
        given = self._tokenizer(
            glue.join(masked), truncation=True, max_length=self._max_length, return_tensors="pt"
        ).to(self._device)
        there = given["input_ids"][0] == self._tokenizer.mask_token_id
        logits = self._model(**given).logits[0, there].float().cpu()  # (m, V)
        allowed = torch.zeros(logits.shape[1], dtype=torch.bool)
        allowed[: len(self._allowed)] = self._allowed
        logits.masked_fill_(~allowed, -torch.inf)
        for place, scores in zip(chosen, logits, strict=False):
            before, core, behind = bare(words[place])
            words[place] = f"{before}{self._drawn(scores, core.lower(), rng)}{behind}"
        return glue.join(words)

    def _drawn(self, scores: torch.Tensor, word: str, rng: np.random.Generator) -> str:
        """One of the likeliest words, by its probability; the word itself where there is no other."""
        best = scores.topk(min(_OFFERED + 1, scores.numel()))
        offered: list[tuple[float, str]] = [
            (float(score), self._pieces[number])
            for score, number in zip(best.values, best.indices.tolist(), strict=True)
            if torch.isfinite(score) and self._pieces[number].lower() != word
        ][:_OFFERED]
        if not offered:
            return word
        weight = np.exp(np.array([score for score, _ in offered]) - offered[0][0])
        return offered[int(rng.choice(len(offered), p=weight / weight.sum()))][1]


class BackTranslator:
    """A text translated into another language and back, pieces drawn among the likeliest.

    Source: Sennrich et al. 2016, Improving neural machine translation models with monolingual data; drawn and
    not searched: Edunov et al. 2018; as augmentation: Xie et al. 2020.

    Args:
        there: Folder of the model that translates from the corpus's language.
        back: Folder of the model that translates into it.
        max_length: Pieces that are read of a text.
        device: Where to compute.

    Raises:
        ReActError: A model cannot be had or does not translate.
    """

    def __init__(self, there: str, back: str, max_length: int, device: torch.device) -> None:
        self._ways = [_load_translator(name, device) for name in (there, back)]
        self._max_length, self._device = max_length, device

    @torch.inference_mode()
    def rewrite(self, text: str, share: float, rng: np.random.Generator) -> str:
        """The text after both ways; the text itself where nothing comes back. ``share`` has no meaning."""
        found = text
        for model, tokenizer in self._ways:
            given = tokenizer(found, truncation=True, max_length=self._max_length, return_tensors="pt")
            size = given["input_ids"].shape[1]
            # generate draws from torch's global stream, which is not ours to move.
            devices: Sequence[Any] = [self._device] if self._device.type == "cuda" else []
            with torch.random.fork_rng(devices=devices):
                torch.manual_seed(int(rng.integers(2**62)))
                written = model.generate(
                    **given.to(self._device), do_sample=True, top_k=_OFFERED, num_beams=1,
                    max_new_tokens=int(_LONGER * size) + 8,
                )  # fmt: skip
            found = " ".join(str(tokenizer.decode(written[0], skip_special_tokens=True)).split())
            if not found:
                return text
        return found


def _load_translator(name: str, device: torch.device) -> tuple[Any, Any]:
    from transformers import AutoConfig, AutoModelForSeq2SeqLM, AutoTokenizer

    folder = locate(name)
    options = {"local_files_only": True, "trust_remote_code": False}
    with one_sentence(name), quiet_transformers(), torch.random.fork_rng(devices=[]):
        if not getattr(AutoConfig.from_pretrained(folder, **options), "is_encoder_decoder", False):
            raise ReActError(
                f"Model {name!r} does not translate: it is no encoder-decoder of transformers (MarianMT, T5)."
            )
        model = AutoModelForSeq2SeqLM.from_pretrained(folder, use_safetensors=True, **options)
        tokenizer = AutoTokenizer.from_pretrained(folder, **options)
    return model.float().eval().to(device), tokenizer
