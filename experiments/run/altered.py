"""Disturbed copies of test rows, encoded once for a corpus: what robustness is measured on.

They are further rows of the corpus that belong to no split, so that nothing is drawn from them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from react_rl.data.corpus import UNUSED, Corpus
from react_rl.data.disturbances import DISTURBANCES
from react_rl.data.phases import PhaseRows
from react_rl.encoders.cache import ArrayCache
from react_rl.encoders.embedding import Encoder, encode_corpus
from react_rl.encoders.paraphrase import KIND, paraphrases
from react_rl.encoders.transformer import EncoderSettings, TextEncoder
from react_rl.errors import ReActError
from react_rl.experiments.config.analysis import RobustnessSettings
from react_rl.simulation.encoded import EncodedCorpus

Ids = npt.NDArray[np.int64]

CLEAN: Final = "clean"
"""The rows as they are."""


@dataclass(frozen=True, eq=False)
class Altered:
    """A corpus with disturbed copies of some test rows.

    Args:
        encoded: The corpus with the copies behind its rows.
        rows: Row ids by kind of disturbance, ``clean`` first, ``(T,)`` each: the same texts in one order.
    """

    encoded: EncodedCorpus
    rows: dict[str, Ids]

    def arrays(self) -> dict[str, Any]:
        """Its parts on the CPU; another process makes it of them by ``of_arrays``."""
        return {"encoded": self.encoded.arrays(), "rows": self.rows}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, Any], device: str | torch.device = "cpu") -> Altered:
        """The corpus whose parts these are."""
        return cls(EncodedCorpus.of_arrays(arrays["encoded"], device), dict(arrays["rows"]))


@dataclass(frozen=True, eq=False)
class Ground:
    """What a block of runs is played on.

    Args:
        corpus: The corpus.
        altered: Disturbed copies of its test rows, where a config asks for them.
    """

    corpus: EncodedCorpus
    altered: Altered | None = None

    def arrays(self) -> dict[str, Any]:
        """Its parts on the CPU; another process makes it of them by ``of_arrays``."""
        return {
            "corpus": self.corpus.arrays(),
            "altered": None if self.altered is None else self.altered.arrays(),
        }

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, Any], device: str | torch.device = "cpu") -> Ground:
        """The ground whose parts these are."""
        altered = arrays["altered"]
        return cls(
            EncodedCorpus.of_arrays(arrays["corpus"], device),
            None if altered is None else Altered.of_arrays(altered, device),
        )


def alter(
    corpus: EncodedCorpus,
    rows: Ids,
    settings: RobustnessSettings,
    encoder: Encoder,
    device: str = "auto",
    progress: bool = True,
) -> Altered:
    """Disturb test rows in every way, and encode the copies (or read them from the cache).

    Args:
        corpus: The corpus.
        rows: Its test rows; of more than ``settings.rows`` so many are drawn, always the same ones.
        settings: How much is disturbed.
        encoder: The encoder of the corpus.
        device: Where a model for paraphrases works.
        progress: Show the encoder's progress.

    Raises:
        ReActError: The embeddings are from a file, so that no other text has one; or the model for
            paraphrases cannot be had.
    """
    if corpus.given is not None:
        raise ReActError(
            f"The embeddings of corpus {corpus.name!r} are from a file, so disturbed texts have none; "
            "leave 'robustness' out of 'analysis', or 'embeddings' out of the corpus."
        )
    if rows.size > settings.rows:
        rows = np.sort(np.random.default_rng(0).choice(rows, settings.rows, replace=False))
    texts = [corpus.corpus.texts[row] for row in rows.tolist()]
    kinds = disturbed(texts, settings, device)
    added = [text for kind in kinds.values() for text in kind]
    vectors = encode_corpus(_Texts(f"{corpus.name} disturbed", added), encoder, ArrayCache(), progress)
    vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    first, count = corpus.corpus.n_rows, len(texts)
    places = {kind: np.arange(first + i * count, first + (i + 1) * count) for i, kind in enumerate(kinds)}
    longer = _with_copies(corpus.corpus, np.tile(rows, len(kinds)), added)
    surprisal = corpus.surprisal
    wide = EncodedCorpus(
        longer,
        torch.cat([corpus.embeddings, torch.from_numpy(vectors.astype(np.float32)).to(corpus.device)]),
        torch.cat([corpus.density, corpus.density.new_zeros(len(added))]),
        torch.from_numpy(longer.cost.copy()).to(corpus.device),
        None if surprisal is None else torch.cat([surprisal, surprisal[: len(added)] * 0.0]),
    )
    return Altered(wide, {CLEAN: rows} | places)


def disturbed(
    texts: Sequence[str], settings: RobustnessSettings, device: str = "auto"
) -> dict[str, list[str]]:
    """The texts under every kind of disturbance that was asked for, in order."""
    found = {
        kind: [function(text, settings.share, settings.seed) for text in texts]
        for kind, function in DISTURBANCES.items()
    }
    if settings.paraphrase is not None:
        encoder = TextEncoder(EncoderSettings(model=settings.paraphrase, device=device))
        found[KIND] = paraphrases(texts, encoder, settings.share, settings.seed)
    return found


@dataclass(frozen=True)
class _Texts:
    """Texts with a name, as an encoder reads them."""

    name: str
    texts: Sequence[str]


def _with_copies(corpus: Corpus, rows: Ids, texts: Sequence[str]) -> Corpus:
    """The corpus with further rows that have the targets of ``rows`` and belong to no split."""
    extra = rows.size
    confidence, phases = corpus.confidence, corpus.phases
    if phases is not None:
        last = np.full(extra, len(phases) - 1, dtype=np.uint8)
        phases = PhaseRows(np.concatenate([phases.of, last]), phases.names)
    return replace(
        corpus,
        texts=(*corpus.texts, *texts),
        targets=np.concatenate([corpus.targets, corpus.targets[rows]]),
        split=np.concatenate([corpus.split, np.full(extra, UNUSED, dtype=np.uint8)]),
        cost=np.concatenate([corpus.cost, corpus.cost[rows]]),
        confidence=None if confidence is None else np.concatenate([confidence, confidence[rows]]),
        origin=None,
        phases=phases,
    )
