"""A corpus together with what is computed once for it: embeddings, neighbour density, inner products.

Everything here is shared by all episodes on the corpus. Nothing here depends on an episode.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from react_rl.data.corpus import Corpus
from react_rl.data.generated import LabelInventor
from react_rl.data.generated_tags import TagInventor
from react_rl.data.synthetic import (
    synthetic_corpus,
    synthetic_embeddings,
    synthetic_sentences,
    synthetic_surprisal,
    synthetic_token_vectors,
)
from react_rl.data.synthetic_questions import synthetic_answer_states, synthetic_questions
from react_rl.data.word_counts import count_words
from react_rl.encoders.cache import ArrayCache
from react_rl.encoders.copies import first_copies, row_keys
from react_rl.encoders.embedding import Encoder, encode_corpus
from react_rl.encoders.named import checkpoint_of
from react_rl.encoders.neighbours import nearest_neighbours
from react_rl.encoders.precomputed import read_embeddings
from react_rl.encoders.question_states import encode_questions
from react_rl.encoders.surprisal import surprisal_vectors
from react_rl.encoders.token_states import TokenStates, encode_tokens
from react_rl.errors import ReActError
from react_rl.files import digest
from react_rl.tasks.registry import task_of

DENSITY_NEIGHBOURS: Final = 20
"""Neighbours whose mean cosine similarity is the density of a row (TypiClust uses 20)."""

GRAM_ROWS: Final = 4096
"""Largest number of used rows for which all inner products are kept (64 MiB)."""


@dataclass(frozen=True, eq=False)
class EncodedCorpus:
    """A corpus with unit-norm embeddings and neighbour densities, on one device.

    Args:
        corpus: The corpus; row ids index every array here.
        embeddings: ``(N, D)`` float32, unit norm.
        density: ``(N,)`` float32, mean cosine similarity to the nearest train rows (of the same phase); 0
            outside train.
        cost: ``(N,)`` float64 cost units.
        surprisal: ``(N, S)`` float32 unit-norm surprisal vectors of a masked language model; None where
            nothing asked for them.
        given: Digest of embeddings that a file gave; None where an encoder did.
        tokens: States of all tokens in tagging; in question answering of the mark in front and the words of
            each question's context; None in classification.
    """

    corpus: Corpus
    embeddings: Tensor
    density: Tensor
    cost: Tensor
    surprisal: Tensor | None = None
    given: str | None = None
    tokens: TokenStates | None = None

    def __repr__(self) -> str:
        """One line: the name, sizes and the device."""
        rows, dimensions = self.embeddings.shape
        return f"EncodedCorpus({self.name!r}, {rows} rows, {dimensions} dimensions, {self.device})"

    @property
    def name(self) -> str:
        """Name of the corpus."""
        return self.corpus.name

    @property
    def device(self) -> torch.device:
        """Device that holds the arrays."""
        return self.embeddings.device

    @cached_property
    def targets(self) -> Tensor:
        """Classes ``(N,)`` int64, or what stands for them in other tasks (``Task.strata``)."""
        return torch.from_numpy(task_of([self.corpus]).strata(self.corpus).copy()).to(self.device)

    @cached_property
    def copied(self) -> Tensor:
        """A number for each row ``(N,)`` int64 that its copies share; -1 for rows without a copy."""
        _, number, counts = torch.unique(row_keys(self.embeddings), return_inverse=True, return_counts=True)
        return torch.where(counts[number] > 1, number, -1)

    @cached_property
    def has_copies(self) -> bool:
        """Whether two rows have the same embedding."""
        return bool((self.copied >= 0).any())

    @cached_property
    def gram(self) -> Tensor | None:
        """All inner products ``(N, N)`` float32 where they are worth their memory, otherwise None."""
        if self.corpus.n_rows > GRAM_ROWS:
            return None
        return self.embeddings @ self.embeddings.T

    @cached_property
    def words(self) -> Tensor:
        """Words of each text ``(N,)`` int64, one at least."""
        counts = [max(count_words(text), 1) for text in self.corpus.texts]
        return torch.tensor(counts, dtype=torch.int64, device=self.device)

    @cached_property
    def inventor(self) -> LabelInventor:
        """Invents labels over these embeddings."""
        return LabelInventor(self.embeddings.cpu().numpy(), self.corpus.targets)

    @cached_property
    def tag_inventor(self) -> TagInventor:
        """Invents types for the entities of these sentences."""
        assert self.tokens is not None, "tagged sentences have token states"
        return TagInventor(self.corpus.targets, self.tokens.states)

    def with_corpus(self, corpus: Corpus) -> EncodedCorpus:
        """The same rows and embeddings under other splits (a half, some of the classes) or labels."""
        other = replace(self, corpus=corpus)
        for name in ("gram", "words"):
            if name in self.__dict__:
                other.__dict__[name] = getattr(self, name)
        return other

    def arrays(self) -> dict[str, Any]:
        """The corpus and its arrays on the CPU by name; another process makes them one by ``of_arrays``."""
        surprisal = None if self.surprisal is None else self.surprisal.cpu().numpy()
        return {
            "corpus": self.corpus,
            "embeddings": self.embeddings.cpu().numpy(),
            "density": self.density.cpu().numpy(),
            "surprisal": surprisal,
            "given": self.given,
            "tokens": self.tokens,
        }

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, Any], device: str | torch.device = "cpu") -> EncodedCorpus:
        """The encoded corpus whose arrays these are; on the CPU they are used where they are."""
        corpus, surprisal = arrays["corpus"], arrays["surprisal"]
        return cls(
            corpus,
            torch.from_numpy(arrays["embeddings"]).to(device),
            torch.from_numpy(arrays["density"]).to(device),
            torch.from_numpy(corpus.cost.copy()).to(device),
            None if surprisal is None else torch.from_numpy(surprisal).to(device),
            arrays["given"],
            arrays["tokens"],
        )

    @classmethod
    def of_file(
        cls,
        corpus: Corpus,
        path: str | Path,
        cache: ArrayCache | None = None,
        device: str | torch.device = "cpu",
    ) -> EncodedCorpus:
        """Build it from embeddings that were computed elsewhere (see ``read_embeddings``).

        Raises:
            ReActError: The file cannot be read or does not fit the corpus.
        """
        embeddings = read_embeddings(path, corpus.n_rows, corpus.name)
        built = cls.build(corpus, embeddings, cache=cache, device=device)
        return replace(built, given=digest("given", str(embeddings.shape), embeddings.tobytes()))

    @classmethod
    def build(
        cls,
        corpus: Corpus,
        embeddings: npt.NDArray[np.float32],
        cache: ArrayCache | None = None,
        device: str | torch.device = "cpu",
        progress: bool = False,
        surprisal: npt.NDArray[np.float32] | None = None,
        tokens: TokenStates | None = None,
    ) -> EncodedCorpus:
        """Check the embeddings, compute the density over the train rows, and move all to ``device``.

        Raises:
            ReActError: Wrong shape or a value that is not finite.
        """
        if embeddings.shape[0] != corpus.n_rows:
            raise ReActError(
                f"Corpus {corpus.name!r} has {corpus.n_rows} rows but {embeddings.shape[0]} embeddings; "
                "give one embedding per row."
            )
        finite = np.isfinite(embeddings).all(axis=1)
        if not finite.all():
            raise ReActError(
                f"The embedding of row {int(np.flatnonzero(~finite)[0])} of corpus {corpus.name!r} "
                "is not finite; check the encoder's precision and weights."
            )
        task_of([corpus])  # refuses what cannot be simulated
        norms = np.linalg.norm(embeddings, axis=1, keepdims=True)
        unit = np.ascontiguousarray(embeddings / np.maximum(norms, 1e-12), dtype=np.float32)
        density = _train_density(corpus, unit, cache, device, progress)
        return cls(
            corpus=corpus,
            embeddings=torch.from_numpy(unit).to(device),
            density=torch.from_numpy(density).to(device),
            cost=torch.from_numpy(corpus.cost.copy()).to(device),
            surprisal=None if surprisal is None else torch.from_numpy(surprisal).to(device),
            tokens=tokens,
        )


def _train_density(
    corpus: Corpus,
    unit: npt.NDArray[np.float32],
    cache: ArrayCache | None,
    device: str | torch.device,
    progress: bool,
) -> npt.NDArray[np.float32]:
    density = np.zeros(corpus.n_rows, dtype=np.float32)
    rows, phases = corpus.ids("train"), corpus.phases
    # Rows of a phase do not know what later ones bring.
    groups = [rows] if phases is None else [rows[phases.of[rows] == p] for p in range(len(phases))]
    for group in groups:
        density[group] = _density_among(corpus, unit, group, cache, device, progress)
    return density


def _density_among(
    corpus: Corpus,
    unit: npt.NDArray[np.float32],
    rows: npt.NDArray[np.int64],
    cache: ArrayCache | None,
    device: str | torch.device,
    progress: bool,
) -> npt.NDArray[np.float32]:
    """Density ``(n,)`` of some rows among themselves."""
    k = min(DENSITY_NEIGHBOURS, rows.size - 1)
    if k < 1:
        return np.zeros(rows.size, dtype=np.float32)

    def compute() -> dict[str, npt.NDArray[np.float32]]:
        graph = nearest_neighbours(unit, k, rows=rows, device=str(device), progress=progress)
        return {"density": graph.similarity.mean(axis=1).astype(np.float32)}

    # Small graphs are quicker to compute than to look up.
    if cache is None or rows.size <= GRAM_ROWS:
        found = compute()
    else:
        key = digest("density", unit.tobytes(), rows.tobytes(), str(k))
        found = cache.cached(key, compute, meta={"kind": "density", "corpus": corpus.name})
    # Copies have one density, however their products were rounded.
    keys = row_keys(torch.from_numpy(unit[rows]))[None]
    first = first_copies(keys, torch.ones_like(keys, dtype=torch.bool))[0].numpy()
    dense: npt.NDArray[np.float32] = found["density"][first]
    return dense


def check_dimensions(corpora: Sequence[EncodedCorpus]) -> None:
    """Check that corpora can share an engine.

    Raises:
        ReActError: There is none, or their embeddings have several dimensions.
    """
    if not corpora:
        raise ReActError("An engine needs at least one corpus; none was given.")
    dimensions = {corpus.embeddings.shape[1] for corpus in corpora}
    if len(dimensions) > 1:
        raise ReActError(
            f"All corpora of one engine need embeddings of one dimension, found {sorted(dimensions)}; "
            "encode them with one encoder."
        )


def encode(
    corpus: Corpus,
    encoder: Encoder,
    cache: ArrayCache | None = None,
    device: str | torch.device = "cpu",
    progress: bool = True,
    surprisal: bool = False,
) -> EncodedCorpus:
    """Encode every row of ``corpus`` (or read it from the cache) and build what episodes share.

    Args:
        corpus: The corpus.
        encoder: Its model.
        cache: Where to look and store; None for neither.
        device: Where the arrays go.
        progress: Show a bar on a terminal when the work lasts.
        surprisal: Compute surprisal vectors too, which the strategy ``alps`` needs.

    Raises:
        ReActError: The encoder cannot be had, or has no masked-LM head for the surprisal.
    """
    # First what may turn out to be impossible.
    surprise = None
    if surprisal:
        model = checkpoint_of(encoder, "A surprisal")
        surprise = surprisal_vectors(corpus, model, cache, progress=progress)
    tokens = None
    if corpus.task == "tagging":
        model = checkpoint_of(encoder, "A corpus of tagging")
        tokens = encode_tokens(corpus.name, corpus.tokens or (), model, cache, progress=progress)
    if corpus.passages is not None:
        model = checkpoint_of(encoder, "A corpus of question answering")
        tokens, embeddings = encode_questions(
            corpus.name, corpus.texts, corpus.passages, model, cache, progress=progress
        )
    else:
        # A study of phases plays the same texts in several orders.
        in_phases = corpus.phases is not None
        embeddings = encode_corpus(corpus, encoder, cache, progress=progress, any_order=in_phases)
    return EncodedCorpus.build(
        corpus, embeddings, cache, device, progress=progress, surprisal=surprise, tokens=tokens
    )


def synthetic_encoded(
    n_rows: int = 600, n_classes: int = 3, seed: int = 0, device: str | torch.device = "cpu"
) -> EncodedCorpus:
    """Build the tiny corpus that is generated in code, with generated embeddings: no model needed."""
    corpus = synthetic_corpus(n_rows=n_rows, n_classes=n_classes, seed=seed)
    embeddings, surprisal = synthetic_embeddings(corpus, seed=seed), synthetic_surprisal(corpus, seed=seed)
    return EncodedCorpus.build(corpus, embeddings, device=device, surprisal=surprisal)


def synthetic_tagged(
    n_rows: int = 400, n_types: int = 3, seed: int = 0, device: str | torch.device = "cpu"
) -> EncodedCorpus:
    """Build tagged sentences that are made in code, with generated token states: no model needed.

    The embedding of a sentence is the mean of its tokens' states.
    """
    corpus = synthetic_sentences(n_rows=n_rows, n_types=n_types, seed=seed)
    states = synthetic_token_vectors(corpus, seed=seed)
    starts = np.concatenate([[0], np.cumsum([len(tags) for tags in corpus.targets])]).astype(np.int64)
    sums = np.add.reduceat(states.astype(np.float32), starts[:-1])
    means = np.divide(sums, np.diff(starts)[:, None], dtype=np.float32)
    return EncodedCorpus.build(corpus, means, device=device, tokens=TokenStates(states, starts, 0))


def synthetic_asked(
    n_rows: int = 400, unanswerable: float = 0.0, seed: int = 0, device: str | torch.device = "cpu"
) -> EncodedCorpus:
    """Build questions about facts that are made in code, with generated states: no model needed."""
    corpus = synthetic_questions(n_rows=n_rows, unanswerable=unanswerable, seed=seed)
    states, questions = synthetic_answer_states(corpus, seed=seed)
    assert corpus.passages is not None
    starts = np.concatenate([[0], np.cumsum(corpus.passages.lengths + 1)]).astype(np.int64)
    return EncodedCorpus.build(corpus, questions, device=device, tokens=TokenStates(states, starts, 0))
