"""The embeddings of a corpus: encoded once, then read from the cache."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from react_rl.encoders.batches import check_texts
from react_rl.encoders.cache import ArrayCache
from react_rl.encoders.transformer import EncoderSettings
from react_rl.errors import ReActError
from react_rl.files import canonical_json, digest


class TextSource(Protocol):
    """What of a corpus is read here: ``react_rl.data`` has the real one."""

    @property
    def name(self) -> str:
        """What to call it."""
        ...

    @property
    def texts(self) -> Sequence[str]:
        """One text per row id."""
        ...


class Encoder(Protocol):
    """Turns texts into vectors and can name everything that its result depends on."""

    @property
    def settings(self) -> EncoderSettings:
        """How texts become vectors."""
        ...

    def encode(self, texts: Sequence[str], progress: bool = True) -> npt.NDArray[np.float32]:
        """Return (N, D) vectors."""
        ...

    def fingerprint(self) -> dict[str, str]:
        """Return everything that changes the result."""
        ...


def encode_corpus(
    corpus: TextSource, encoder: Encoder, cache: ArrayCache | None = None, progress: bool = True
) -> npt.NDArray[np.float32]:
    """Return the vector of every row of ``corpus``, from the cache if it is there.

    Args:
        corpus: Names its rows by position in ``texts``.
        encoder: Its fingerprint and the texts, in order, make the cache key.
        cache: Where to look and store; None for neither.
        progress: Show a bar on a terminal when the work lasts.

    Returns:
        (N, D) float32; line i belongs to row id i.

    Raises:
        ReActError: A text is not text, the model cannot be had, or an embedding is not finite.
    """
    check_texts(corpus.texts)

    def compute() -> dict[str, npt.NDArray[np.float32]]:
        embeddings = encoder.encode(corpus.texts, progress)
        _require_finite(embeddings, corpus.name)
        return {"embeddings": embeddings}

    if cache is None:
        return compute()["embeddings"]
    key = digest("embeddings", canonical_json(encoder.fingerprint()), *corpus.texts)
    meta = {
        "kind": "embeddings",
        "corpus": corpus.name,
        "model": encoder.settings.model,
        "rows": str(len(corpus.texts)),
    }
    return cache.cached(key, compute, meta)["embeddings"]


def _require_finite(embeddings: npt.NDArray[np.float32], name: str) -> None:
    # A sum per row is finite only if all its numbers are, and needs no second array of their size.
    broken = np.flatnonzero(~np.isfinite(embeddings.sum(1)))
    if broken.size:
        raise ReActError(
            f"The embeddings of {broken.size} rows of corpus {name!r} are not finite, the first is row id "
            f"{broken[0]}; check that text, or encode with precision 'fp32'."
        )
