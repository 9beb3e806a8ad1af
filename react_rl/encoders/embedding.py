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
    corpus: TextSource,
    encoder: Encoder,
    cache: ArrayCache | None = None,
    progress: bool = True,
    any_order: bool = False,
) -> npt.NDArray[np.float32]:
    """Return the vector of every row of ``corpus``, from the cache if it is there.

    Args:
        corpus: Names its rows by position in ``texts``.
        encoder: Its fingerprint and the texts, in order, make the cache key.
        cache: Where to look and store; None for neither.
        progress: Show a bar on a terminal when the work lasts.
        any_order: Store them under the sorted texts, so that the same texts in another order are found.

    Returns:
        (N, D) float32; line i belongs to row id i.

    Raises:
        ReActError: A text is not text, the model cannot be had, or an embedding is not finite.
    """
    check_texts(corpus.texts)
    texts, rows = corpus.texts, np.arange(len(corpus.texts))
    if any_order:
        rows = np.array(sorted(rows.tolist(), key=texts.__getitem__), dtype=np.int64)
        texts = [texts[row] for row in rows.tolist()]

    def compute() -> dict[str, npt.NDArray[np.float32]]:
        embeddings = encoder.encode(texts, progress)
        _require_finite(embeddings, rows, corpus.name)
        return {"embeddings": embeddings}

    def by_row(embeddings: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return embeddings[np.argsort(rows)] if any_order else embeddings

    if cache is None:
        return by_row(compute()["embeddings"])
    key = digest("embeddings", canonical_json(encoder.fingerprint()), *texts)
    meta = {
        "kind": "embeddings",
        "corpus": corpus.name,
        "model": encoder.settings.model,
        "rows": str(len(corpus.texts)),
    }
    return by_row(cache.cached(key, compute, meta)["embeddings"])


def _require_finite(embeddings: npt.NDArray[np.float32], rows: npt.NDArray[np.int64], name: str) -> None:
    # A sum per row is finite only if all its numbers are, and needs no second array of their size.
    broken = np.flatnonzero(~np.isfinite(embeddings.sum(1)))
    if broken.size:
        raise ReActError(
            f"The embeddings of {broken.size} rows of corpus {name!r} are not finite, the first is row id "
            f"{rows[broken].min()}; check that text, or encode with precision 'fp32'."
        )
