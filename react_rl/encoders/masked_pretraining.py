"""Domain-adaptive pretraining: masked-LM steps of a checkpoint on the texts of a corpus, before any label.

What comes of it is a checkpoint in the cache, under the digest of all that decides about it, so that it is
made once for a corpus. Words are masked whole.

Source: Gururangan et al. 2020, Don't stop pretraining: adapt language models to domains and tasks; Devlin et
al. 2019, BERT, with whole-word masking.
"""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from react_rl.documents import read_json
from react_rl.encoders.cache import default_folder
from react_rl.encoders.checkpoints import locate, sha256_of, tokenizer_digest, weights_digest
from react_rl.encoders.masked_lm import load_masked_lm
from react_rl.encoders.progress import progress_bar
from react_rl.encoders.token_states import unknown_piece
from react_rl.encoders.transformer import one_sentence, quiet_transformers, resolve_device, resolve_precision
from react_rl.errors import ReActError
from react_rl.files import canonical_json, digest, make_folder, unfinished, write_errors

_MADE: Final = "made.json"
"""File of a finished checkpoint that says what its weights are."""
_IGNORED: Final = -100
_CLIP: Final = 1.0


class PretrainingSettings(BaseModel):
    """How a checkpoint goes on with masked-LM steps on unlabelled texts."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    steps: int = Field(default=500, ge=1, le=10**7)
    """Optimiser steps."""
    batch_size: int = Field(default=16, ge=1, le=10**6)
    """Texts of one step."""
    learning_rate: float = Field(default=5e-5, gt=0, le=1)
    """Peak rate: up over the first tenth of the steps, then down to zero."""
    share: float = Field(default=0.15, gt=0, lt=1)
    """Share of the words that are masked, one at least."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    """Decides order, masks and dropout."""


@dataclass(frozen=True)
class WordPieces:
    """A text in pieces.

    Args:
        ids: ``(T,)`` int64, the model's marks included.
        words: ``(T,)`` int64 number of each piece's word, -1 for marks.
    """

    ids: npt.NDArray[np.int64]
    words: npt.NDArray[np.int64]


def masked(
    pieces: WordPieces, share: float, mask: int, ordinary: npt.NDArray[np.int64], rng: np.random.Generator
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """What a model reads of a text, and what it is to say there; -100 where nothing.

    All pieces of a chosen word are to be said; of these 80 % are read as the mask, 10 % as any piece, the
    others as they are.

    Args:
        pieces: The text.
        share: Of its words.
        mask: Piece of the mask.
        ordinary: Pieces that are no marks.
        rng: What the draw is taken from.
    """
    count = int(pieces.words.max(initial=-1)) + 1
    chosen = rng.permutation(count)[: max(1, round(share * count))]
    there = np.isin(pieces.words, chosen) & (pieces.words >= 0)
    fate = rng.random(pieces.ids.size)
    drawn = ordinary[rng.integers(len(ordinary), size=pieces.ids.size)]
    read = np.where(there & (fate < 0.8), mask, pieces.ids)
    read = np.where(there & (fate >= 0.8) & (fate < 0.9), drawn, read)
    return read, np.where(there, pieces.ids, _IGNORED)


def adapted(
    model: str,
    texts: Sequence[str],
    settings: PretrainingSettings,
    max_length: int,
    device: str = "auto",
    folder: Path | None = None,
) -> Path:
    """The folder of a checkpoint that has gone on with masked-LM steps on texts; made once.

    Args:
        model: The checkpoint to begin with.
        texts: What to read; equal ones count once.
        settings: How.
        max_length: Pieces kept of each text.
        device: Where to compute.
        folder: Where such checkpoints are kept; None is the cache's own folder.

    Raises:
        ReActError: There is no masked-LM head, or the tokenizer does not know words or a mask.
    """
    where, source = resolve_device(device), locate(model)
    recipe = {
        "config": sha256_of(source / "config.json"),
        "weights": weights_digest(source),
        "tokenizer": tokenizer_digest(source),
        "settings": canonical_json(settings.model_dump()),
        "max_length": str(max_length),
        "precision": resolve_precision("auto", where),
        "device": where.type,
    }
    distinct = list(dict.fromkeys(texts))
    key = digest("pretraining", canonical_json(recipe), *distinct)
    made = (default_folder() / "pretrained" if folder is None else folder) / key
    if _whole(made):
        return made
    make_folder(made.parent)
    begin = partial(tempfile.mkdtemp, dir=made.parent, prefix=".part-")
    with write_errors(made.parent, made), unfinished(begin) as part:
        fresh = part / "checkpoint"
        _train(model, source, distinct, settings, max_length, where, recipe["precision"], fresh)
        (fresh / _MADE).write_text(canonical_json({"weights": weights_digest(fresh)}), encoding="utf-8")
        if not _whole(made):  # another process may have been quicker
            shutil.rmtree(made, ignore_errors=True)
            fresh.rename(made)
    return made


def _whole(folder: Path) -> bool:
    """Whether the folder holds a finished checkpoint with the weights that were written."""
    try:
        said = read_json(folder / _MADE, "")
        return isinstance(said, dict) and said.get("weights") == weights_digest(folder)
    except (ReActError, OSError):
        return False


def _train(
    name: str,
    source: Path,
    texts: Sequence[str],
    settings: PretrainingSettings,
    max_length: int,
    device: torch.device,
    precision: str,
    folder: Path,
) -> None:
    """Train, and write model and tokenizer into a folder."""
    from transformers import AutoTokenizer

    with one_sentence(name), quiet_transformers():
        tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=True, trust_remote_code=False)
    model = load_masked_lm(name, source, "pretraining").requires_grad_(True).to(device)
    unknown_piece(tokenizer, name)  # says so where words are not known
    if tokenizer.mask_token_id is None:
        raise ReActError(f"The tokenizer of {name!r} has no mask token; leave pretraining out.")
    pieces = _in_pieces(tokenizer, texts, max_length)
    if not pieces:
        raise ReActError("Pretraining needs texts with a word in them; there is none.")
    loss = _optimise(model, tokenizer, pieces, settings, device, precision)
    if not math.isfinite(loss):
        raise ReActError(
            f"Pretraining of {name!r} went astray: its loss is not finite; lower pretraining.learning_rate."
        )
    with quiet_transformers():
        model.eval().cpu().save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def _optimise(
    model: Any,
    tokenizer: Any,
    pieces: Sequence[WordPieces],
    settings: PretrainingSettings,
    device: torch.device,
    precision: str,
) -> float:
    """Take the steps that the settings ask for; the loss of the last one. Mutates the model."""
    special = set(tokenizer.all_special_ids)
    ordinary = np.array([piece for piece in range(len(tokenizer)) if piece not in special])
    optimiser = torch.optim.AdamW(model.parameters(), lr=settings.learning_rate)
    rng = np.random.default_rng(settings.seed)
    order: list[int] = []
    low, warmup = torch.float16 if precision == "fp16" else torch.bfloat16, max(1, settings.steps // 10)
    with (
        torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),
        progress_bar("Pretraining", float(settings.steps)) as advance,
        torch.inference_mode(False),
        torch.enable_grad(),
    ):
        torch.manual_seed(settings.seed)
        model.train()
        for step in range(settings.steps):
            while len(order) < settings.batch_size:
                order += rng.permutation(len(pieces)).tolist()
            batch, order = order[: settings.batch_size], order[settings.batch_size :]
            drawn = [
                masked(pieces[i], settings.share, int(tokenizer.mask_token_id), ordinary, rng) for i in batch
            ]
            ids = _padded([read for read, _ in drawn], int(tokenizer.pad_token_id or 0)).to(device)
            labels = _padded([said for _, said in drawn], _IGNORED).to(device)
            mask = _padded([np.ones_like(read) for read, _ in drawn], 0).to(device)
            factor = min((step + 1) / warmup, (settings.steps - step) / max(1, settings.steps - warmup))
            for group in optimiser.param_groups:
                group["lr"] = settings.learning_rate * min(1.0, factor)
            with torch.autocast(device.type, dtype=low, enabled=precision != "fp32"):
                loss = model(input_ids=ids, attention_mask=mask, labels=labels).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), _CLIP)
            optimiser.step()
            optimiser.zero_grad()
            advance(1.0)
    return float(loss.item())


def _in_pieces(tokenizer: Any, texts: Sequence[str], max_length: int) -> list[WordPieces]:
    """Texts in pieces; those without a word are left out."""
    encoded = tokenizer(list(texts), truncation=True, max_length=max_length, verbose=False)
    found = []
    for row, ids in enumerate(encoded["input_ids"]):
        words = np.array([-1 if word is None else word for word in encoded.word_ids(row)], np.int64)
        if (words >= 0).any():
            found.append(WordPieces(np.array(ids, np.int64), words))
    return found


def _padded(rows: Sequence[npt.NDArray[np.int64]], fill: int) -> Tensor:
    return torch.nn.utils.rnn.pad_sequence([torch.from_numpy(row) for row in rows], True, float(fill))
