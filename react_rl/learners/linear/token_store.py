"""Token states as a linear tagger reads them: centred, turned, rounded to 8 bits, multiplied quickly.

States of some encoders are nearly parallel (mean cosine .87 in multilingual-e5), which hides what they differ
in. So each state is taken less the mean of all tokens of the train split, at unit norm. Then all are turned
into the principal axes of the train split, which changes nothing a model with one penalty can learn, but lets
the solver know how far states spread along each axis. Last they are rounded to bytes, with a scale for each
token: a product reads a quarter of what it read in fp32, which is what its time goes on. The model is fitted
to the rounded states, so fit and prediction agree.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from react_rl.data.corpus import Corpus
from react_rl.encoders.token_states import TokenStates
from react_rl.errors import ReActError
from react_rl.files import digest
from react_rl.learners.linear.byte_products import MOST, multiplies_bytes, times_states

_AT_ONCE: Final = 1 << 15
"""Token states that are prepared at a time, and most of those that the axes are computed from."""

_SCORED: Final = 1 << 13
"""Token states that are multiplied at a time: what comes of them stays in the processor's cache."""


class TaggedRows(Protocol):
    """A corpus of tagging with the states of its tokens."""

    @property
    def corpus(self) -> Corpus:
        """Sentences and tags."""
        ...

    @property
    def tokens(self) -> TokenStates | None:
        """States of all tokens."""
        ...

    @property
    def device(self) -> torch.device:
        """Where episodes are computed."""
        ...


@dataclass(frozen=True, eq=False)
class RoundedStates:
    """Token states of one corpus.

    Args:
        states: ``(T, D)`` int8.
        scale: ``(T,)`` float32; a state is its bytes times its scale.
        spread: ``(D,)`` float32 mean square of the train split along each axis, the largest first.
    """

    states: npt.NDArray[np.int8]
    scale: npt.NDArray[np.float32]
    spread: npt.NDArray[np.float32]

    def whole(self) -> npt.NDArray[np.float32]:
        """The states ``(T, D)`` that a model learns from."""
        found: npt.NDArray[np.float32] = self.states.astype(np.float32) * self.scale[:, None]
        return found


def rounded_states(corpus: Corpus, tokens: TokenStates) -> RoundedStates:
    """Centre, turn and round the states of a corpus; see the top of the module."""
    train = np.repeat(np.isin(np.arange(corpus.n_rows), corpus.ids("train")), np.diff(tokens.starts))
    mean = _mean(tokens.states, train)
    some = np.flatnonzero(train)
    some = some[:: max(1, -(-some.size // _AT_ONCE))]
    # In double precision, so that the number of threads moves no byte.
    sample = _centred(tokens.states[some], mean).astype(np.float64)
    _, axes = np.linalg.eigh(sample.T @ sample)
    axes = np.ascontiguousarray(axes[:, ::-1], dtype=np.float32)
    found = np.empty(tokens.states.shape, np.int8)
    scale = np.empty(len(found), np.float32)
    for part in _parts(len(found)):
        turned = _centred(tokens.states[part], mean) @ axes
        own = np.abs(turned).max(1) / MOST
        own[own == 0] = 1.0
        scale[part] = own
        np.rint(turned / own[:, None], out=turned)
        found[part] = turned
    spread = np.square(found[some].astype(np.float32) * scale[some, None]).mean(0)
    return RoundedStates(found, scale, spread)


def _parts(n: int) -> Iterator[slice]:
    return (slice(first, first + _AT_ONCE) for first in range(0, n, _AT_ONCE))


def _mean(states: npt.NDArray[np.float16], train: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    total = np.zeros(states.shape[1])
    for part in _parts(len(states)):
        total += states[part][train[part]].sum(0, dtype=np.float64)
    mean: npt.NDArray[np.float32] = (total / max(train.sum(), 1)).astype(np.float32)
    return mean


def _centred(states: npt.NDArray[np.float16], mean: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """States less the mean, at unit norm."""
    own = states.astype(np.float32) - mean
    own /= np.maximum(np.linalg.norm(own, axis=1, keepdims=True), 1e-12)
    return own


class TokenStore:
    """Token states of corpora, one behind the other: a token is one number over all of them.

    Args:
        corpora: With token states, all of one dimension.
        device: Where they are kept.
        bias: Scale of the constant that is added to each state.

    Raises:
        ReActError: A corpus is not of tagging or has no token states.
    """

    def __init__(self, corpora: Sequence[TaggedRows], device: torch.device, bias: float) -> None:
        found = [_rounded(corpus) for corpus in corpora]
        # Tasks over the same sentences have the same states, which are held once.
        once = {id(own): own for own in found}
        ends = np.cumsum([0, *(len(own.states) for own in once.values())])
        first = dict(zip(once, ends.tolist(), strict=False))
        self.states = torch.cat([torch.from_numpy(own.states) for own in once.values()]).to(device)
        self.scale = torch.cat([torch.from_numpy(own.scale) for own in once.values()]).to(device)
        self.spread = torch.from_numpy(np.stack([np.append(own.spread, bias**2) for own in found])).to(
            device, torch.float32
        )
        """``(K, D + 1)`` mean squares of the inputs of each corpus."""
        self.bias = bias
        self._starts = [
            _starts_of(corpus) + first[id(own)] for corpus, own in zip(corpora, found, strict=True)
        ]
        self._quick = multiplies_bytes(device)

    @property
    def width(self) -> int:
        """Numbers of an input: those of a state, and the constant."""
        return self.states.shape[1] + 1

    @property
    def dtype(self) -> torch.dtype:
        """Of gathered states."""
        return torch.int8 if self._quick else torch.float32

    @property
    def bytes_each(self) -> int:
        """Bytes of a gathered state."""
        return self.states.shape[1] * (1 if self._quick else 4)

    def tokens_of(
        self, corpus: int, rows: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Tokens of rows, the place of their row among ``rows``, their place in it; -1 is no row."""
        starts, real = self._starts[corpus], np.flatnonzero(rows >= 0)
        first, lengths = starts[rows[real]], starts[rows[real] + 1] - starts[rows[real]]
        place = np.arange(lengths.sum()) - np.repeat(lengths.cumsum() - lengths, lengths)
        return np.repeat(first, lengths) + place, np.repeat(real, lengths), place

    def gather(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """States ``(n, D)`` and scales ``(n,)`` of tokens ``(n,)``, ready to be scored; any for -1."""
        own = tokens.clamp_min(0)
        states = self.states.index_select(0, own)
        return (states if self._quick else states.float()), self.scale[own]

    def score(self, weights: Tensor, states: Tensor, scale: Tensor, shift: Tensor, out: Tensor) -> None:
        """Scores of many models for the same tokens.

        Args:
            weights: ``(M, D + 1)``.
            states: Gathered, ``(n, D)``.
            scale: Gathered, ``(n,)``.
            shift: ``(M, 1)``, added to every score.
            out: ``(M, n)``, which the scores are written to.
        """
        constant = weights[:, -1:] * self.bias + shift
        for first in range(0, len(states), _SCORED):
            part = slice(first, first + _SCORED)
            found = times_states(weights[None, :, :-1], states[None, part], across=True)[0]
            torch.addcmul(constant, found, scale[part], out=out[:, part])


def _starts_of(corpus: TaggedRows) -> npt.NDArray[np.int64]:
    assert corpus.tokens is not None
    return corpus.tokens.starts


def _rounded(corpus: TaggedRows) -> RoundedStates:
    if corpus.corpus.task != "tagging":
        raise ReActError(
            f"The tagger tags tokens, but corpus {corpus.corpus.name!r} is of {corpus.corpus.task}; "
            "set learner.kind to softmax, mlp or finetune."
        )
    if corpus.tokens is None:
        raise ReActError(
            f"Corpus {corpus.corpus.name!r} has no token states, which the tagger learns from; "
            "encode it with a transformer."
        )
    tokens, train = corpus.tokens, corpus.corpus.ids("train")
    return tokens.kept(f"rounded {digest(train.tobytes())}", lambda: rounded_states(corpus.corpus, tokens))
