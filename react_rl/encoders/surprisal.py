"""Surprisal vectors: how little a masked language model expected each token of a text.

Computed once for each text, like embeddings; only models with a masked-LM head can.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from react_rl.encoders.batches import batches, check_texts, tokenise
from react_rl.encoders.cache import ArrayCache
from react_rl.encoders.checkpoints import locate
from react_rl.encoders.embedding import TextSource
from react_rl.encoders.masked_lm import load_masked_lm
from react_rl.encoders.progress import progress_bar
from react_rl.encoders.transformer import TextEncoder
from react_rl.errors import ReActError
from react_rl.files import canonical_json, digest

_POOLED = ("max_length", "normalise", "pooling", "prefix")
"""Settings of embeddings that surprisal knows nothing of."""


@dataclass(frozen=True)
class SurprisalSettings:
    """What of a text becomes its vector.

    Args:
        max_length: S, tokens kept of each text, special tokens included.
        share: Chance of each token to count; the others are 0 in the vector.
        seed: Which tokens count, together with the text itself.
    """

    max_length: int = 128
    share: float = 0.15
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the values before any file is read."""
        if self.max_length < 1:
            raise ReActError(f"max_length is {self.max_length}; it must be at least 1 token.")
        if not 0 < self.share <= 1:
            raise ReActError(f"share is {self.share}; it must be above 0 and at most 1.")


def surprisal_vectors(
    corpus: TextSource,
    encoder: TextEncoder,
    cache: ArrayCache | None = None,
    progress: bool = True,
    settings: SurprisalSettings | None = None,
) -> npt.NDArray[np.float32]:
    """Return the surprisal vector of every row of ``corpus``, from the cache if it is there.

    The text goes through the model as it is, nothing masked. Entry t of the vector is the cross-entropy
    ``-log p(x_t | x)`` of the model's masked-LM head for about 15 % of the tokens (special ones apart),
    and 0 for the others; then the vector is scaled to length one. Which tokens count depends on the text
    alone, so equal texts have equal vectors and other rows change nothing.

    Source: Yuan et al. 2020, Cold-start active learning through self-supervised language modeling, section
    3 (ALPS).

    Args:
        corpus: Names its rows by position in ``texts``.
        encoder: Whose model, device and precision to use; its pooling and prefix do not matter.
        cache: Where to look and store; None for neither.
        progress: Show a bar on a terminal when the work lasts.
        settings: Lengths and chances.

    Returns:
        (N, S) float32 unit-norm vectors; line i belongs to row id i.

    Raises:
        ReActError: The model has no masked-LM head, a text is not text, or a surprisal is not finite.
    """
    settings = settings or SurprisalSettings()
    check_texts(corpus.texts)

    def compute() -> dict[str, npt.NDArray[np.float32]]:
        return {"surprisal": _compute(corpus, encoder, progress, settings)}

    if cache is None:
        return compute()["surprisal"]
    model = {name: value for name, value in encoder.fingerprint().items() if name not in _POOLED}
    # The encoder's own limit bounds the texts, too.
    recipe = model | {name: str(value) for name, value in asdict(settings).items()}
    recipe["limit"] = str(encoder.settings.max_length)
    key = digest("surprisal", canonical_json(recipe), *corpus.texts)
    meta = {
        "kind": "surprisal",
        "corpus": corpus.name,
        "model": encoder.settings.model,
        "rows": str(len(corpus.texts)),
    }
    return cache.cached(key, compute, meta)["surprisal"]


def _compute(
    corpus: TextSource, encoder: TextEncoder, progress: bool, settings: SurprisalSettings
) -> npt.NDArray[np.float32]:
    if not corpus.texts:
        return np.zeros((0, settings.max_length), np.float32)
    name, tokenizer = encoder.settings.model, encoder.tokenizer
    model = load_masked_lm(name, locate(name), "strategy 'alps'").to(encoder.device)
    table = tokenise(tokenizer, corpus.texts, min(settings.max_length, encoder.settings.max_length))
    vectors = torch.zeros(len(table.distinct), settings.max_length)
    special = np.asarray(tokenizer.all_special_ids, np.int64)
    low = torch.float16 if encoder.precision == "fp16" else torch.bfloat16
    room = int(encoder.fingerprint()["batch_tokens"])
    with (
        progress_bar("Surprisal", int(table.lengths.sum()), progress) as advance,
        torch.inference_mode(),
        torch.autocast(encoder.device.type, dtype=low, enabled=encoder.precision != "fp32"),
        _only_chosen(model) as choose,
    ):
        for batch in batches(table, room, tokenizer.pad_token_id):
            counted = np.zeros(batch.mask.shape, np.bool_)
            for line, row in enumerate(batch.rows.tolist()):
                tokens = batch.ids[line, batch.mask[line]]
                counted[line, : tokens.size] = _counted(tokens, table.distinct[row], special, settings)
            places = torch.from_numpy(counted)
            ids = torch.from_numpy(batch.ids).to(encoder.device)
            choose(places.to(encoder.device))
            mask = torch.from_numpy(batch.mask).to(encoder.device).long()
            logits = model(input_ids=ids, attention_mask=mask).logits  # (M, V)
            loss = torch.nn.functional.cross_entropy(
                logits.float(), ids[places.to(encoder.device)], reduction="none"
            )
            lines, positions = places.nonzero(as_tuple=True)
            vectors[torch.from_numpy(batch.rows)[lines], positions] = loss.cpu()
            advance(int(batch.mask.sum()))
    if not torch.isfinite(vectors).all():
        raise ReActError(
            f"The surprisal of corpus {corpus.name!r} is not finite in {encoder.precision}; "
            "use precision 'fp32'."
        )
    # A text whose tokens are all certain surprises nowhere; its vector still needs a direction.
    vectors[vectors.amax(1) == 0, 0] = 1.0
    found: npt.NDArray[np.float32] = torch.nn.functional.normalize(vectors, dim=1).numpy()
    return found[table.row_of]


def _counted(
    tokens: npt.NDArray[np.int64], key: bytes, special: npt.NDArray[np.int64], settings: SurprisalSettings
) -> npt.NDArray[np.bool_]:
    """Which tokens ``(L,)`` of a text count: at least one, and a special one only if there is no other."""
    state = hashlib.sha256(settings.seed.to_bytes(8, "little", signed=True) + key).digest()
    stream = np.random.default_rng(np.frombuffer(state, np.uint32))
    ordinary = ~np.isin(tokens, special)
    if not ordinary.any():
        ordinary[:] = True
    numbers = np.where(ordinary, stream.random(tokens.size), np.inf)
    chosen: npt.NDArray[np.bool_] = numbers < settings.share
    chosen[numbers.argmin()] = True
    return chosen


@contextmanager
def _only_chosen(model: Any) -> Iterator[Any]:
    """Let the head score chosen tokens only: a vocabulary's scores for all of them are most of the work.

    Yields a function that takes the mask ``(B, L)`` of the next batch's tokens; the model's logits are then
    ``(M, V)``.
    """
    chosen: list[torch.Tensor] = []

    def choose(mask: torch.Tensor) -> None:
        chosen[:] = [mask]

    def cut(_: Any, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        return (inputs[0][chosen[0]], *inputs[1:])

    hook = model.get_output_embeddings().register_forward_pre_hook(cut)
    try:
        yield choose
    finally:
        hook.remove()
