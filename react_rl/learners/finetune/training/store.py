"""Texts ready for training: tokenised once, packed without padding, cut into rectangles of similar length.

Where the lower layers are frozen, the hidden states that leave them are computed once for every row, kept in
fp16 and mapped from disk, so that a round runs only the layers above.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from react_rl.encoders.batches import TokenTable, batches, check_texts, tokenise
from react_rl.encoders.cache import default_folder
from react_rl.encoders.checkpoints import locate, sha256_of, tokenizer_digest, weights_digest
from react_rl.encoders.progress import progress_bar
from react_rl.errors import ReActError
from react_rl.files import canonical_json, digest, write_atomically
from react_rl.learners.finetune.methods.network import Network, Texts

_Rows = npt.NDArray[np.int64]
_PREFIX_TOKENS: Final = 4096
"""Padded tokens of one batch through the frozen layers."""


class PieceStore:
    """Token ids (and hidden states) of the examples of one corpus: texts, or windows of what is too long.

    Args:
        table: Token ids of M examples; an example's id is a place in here.
        network: Whose lower layers are used.
        folder: Where hidden states are kept; None is the cache's own folder.
        kept: Whether they are kept at all.

    Attributes:
        lengths: ``(M,)`` tokens of each example.
        lead: Vectors of each example in front of those whose scores are kept; these are taken less the first.
    """

    lead = 0

    def __init__(
        self, table: TokenTable, network: Network, folder: Path | None = None, kept: bool = True
    ) -> None:
        self._network = network
        self._table = table
        # Examples of one token sequence share their place in the packed arrays.
        sizes = self._table.lengths
        starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
        self.lengths = torch.from_numpy(sizes[self._table.row_of])
        self._starts = torch.from_numpy(starts[self._table.row_of])
        flat = np.frombuffer(b"".join(self._table.distinct), np.int32)
        self._tokens = torch.from_numpy(flat.astype(np.int64))
        pad = network.tokenizer.pad_token_id
        self._pad = 0 if pad is None else int(pad)
        self._folder = default_folder() / "hidden" if folder is None else folder
        self._hidden = self._prefix(kept) if network.lower is not None else None
        self.real_tokens = 0
        self.padded_tokens = 0

    def examples(self, rows: _Rows) -> _Rows:
        """Examples of corpus rows, row after row; here every row is one."""
        return rows

    def n_vectors(self, examples: _Rows) -> _Rows:
        """How many vectors of each example are scored."""
        return np.ones_like(examples)

    def present(self, rows: _Rows) -> _Rows:
        """Of row ids, -1 for none, those that are scored: here any row takes the place of none."""
        return np.maximum(rows, 0)

    def n_vectors_of(self, rows: _Rows) -> _Rows:
        """How many vectors of each row are kept, -1 standing for none."""
        return np.ones_like(rows)

    @property
    def shares_pieces(self) -> bool:
        """Whether some vectors of a row are scored by one piece."""
        return False

    def repeated(self, rows: _Rows, column: _Rows, place: _Rows) -> npt.NDArray[np.bool_]:
        """Whether vectors ``(U,)`` have the piece of the one before; see ``tasks.protocol.ScoredVectors``.

        Args:
            rows: ``(n,)`` row ids, -1 for none.
            column: ``(U,)`` which of them each vector belongs to; n for none.
            place: ``(U,)`` its place in the row.
        """
        return np.zeros(column.shape, np.bool_)

    @property
    def padding_share(self) -> float:
        """Share of padding among all tokens that were served so far."""
        return 1.0 - self.real_tokens / self.padded_tokens if self.padded_tokens else 0.0

    def taught(self, rows: _Rows, told: Tensor) -> tuple[_Rows, Tensor]:
        """Examples ``(M,)`` of rows, and training targets ``(M, K)`` of their vectors, -1 for none.

        Args:
            rows: ``(n,)`` row ids.
            told: ``(n, ...)`` int64 answers to them.
        """
        examples = self.examples(rows)
        counts = torch.from_numpy(self.n_vectors(examples)).to(told.device)
        valid = torch.arange(int(counts.max()), device=counts.device) < counts[:, None]
        return examples, torch.full_like(valid, -1, dtype=torch.int64).masked_scatter_(valid, told[told >= 0])

    def vocabulary(self, rows: _Rows) -> npt.NDArray[np.int64]:
        """Token ids that occur in examples, ascending."""
        length = self.lengths[rows].numpy()
        starts = self._starts[rows].numpy()
        spans = [self._tokens[s : s + n].numpy() for s, n in zip(starts, length, strict=True)]
        return np.unique(np.concatenate([*spans, [self._pad]]).astype(np.int64))

    def rectangle(self, rows: Tensor) -> Texts:
        """The examples ``rows`` ``(B,)`` int64 on the network's device, padded to the longest."""
        length = self.lengths[rows]
        width = int(length.max())
        places = torch.arange(width)
        mask = places < length[:, None]
        index = (self._starts[rows][:, None] + places).clamp_(max=self._tokens.numel() - 1)
        self.real_tokens += int(length.sum())
        self.padded_tokens += mask.numel()
        device = self._network.device
        if self._hidden is not None:
            hidden = self._hidden[index].to(device, self._network.dtype)
            return Texts(mask.to(device), hidden=hidden)
        ids = torch.where(mask, self._tokens[index], self._pad)
        return Texts(mask.to(device), ids=ids.to(device))

    def _prefix(self, kept: bool) -> Tensor:
        """Hidden states of all tokens ``(tokens, H)`` fp16; ``kept`` ones are mapped from their file."""
        network, lower = self._network, self._network.lower
        assert lower is not None
        if not kept:
            return torch.from_numpy(self._compute(lower, (self._tokens.numel(), network.hidden_size)))
        folder = locate(network.settings.model)
        recipe = {
            "config": sha256_of(folder / "config.json"),
            "weights": weights_digest(folder),
            "tokenizer": tokenizer_digest(folder),
            "layers": str(network.settings.layers) if network.settings.method != "head" else "all",
            "dtype": str(network.dtype),
            "device": network.device.type,
            "max_length": str(network.settings.max_length),
        }
        key = digest("hidden", canonical_json(recipe), *self._table.distinct)
        path = self._folder / f"{key}.npy"
        shape = (self._tokens.numel(), network.hidden_size)
        states = _mapped(path, shape)
        if states is None:
            states = self._compute(lower, shape)
            try:
                _write(path, states)
            except OSError:
                return torch.from_numpy(states)  # a full disk costs memory, not the run
            states = _mapped(path, shape)
            if states is None:
                raise ReActError(f"The hidden states in {str(path)!r} cannot be read back; check the disk.")
        # Read only: nothing writes into what the store serves.
        return torch.from_numpy(states)

    @torch.inference_mode()
    def _compute(self, lower: torch.nn.Module, shape: tuple[int, int]) -> npt.NDArray[np.float16]:
        states = np.empty(shape, np.float16)
        starts = np.concatenate([[0], np.cumsum(self._table.lengths)])
        device = self._network.device
        with progress_bar("Frozen layers", float(shape[0])) as advance:
            for batch in batches(self._table, _PREFIX_TOKENS, self._pad):
                ids = torch.from_numpy(batch.ids).to(device)
                mask = torch.from_numpy(batch.mask).to(device)
                hidden = lower(input_ids=ids, attention_mask=mask.long()).last_hidden_state
                first, last = starts[batch.rows[0]], starts[batch.rows[-1] + 1]
                states[first:last] = hidden[mask].to(torch.float16).cpu().numpy()
                advance(float(last - first))
        if not np.isfinite(states).all():
            raise ReActError(
                f"Hidden states of {self._network.settings.model!r} do not fit into fp16; "
                "leave 'layers' out of the learner."
            )
        return states


class TextStore(PieceStore):
    """Texts that are scored as a whole.

    Args:
        texts: N texts, cut off where the network reads no further; a row id is a place in here.
        network: Whose tokenizer and lower layers are used.
        folder: See ``PieceStore``.
        kept: See ``PieceStore``.
    """

    def __init__(
        self, texts: Sequence[str], network: Network, folder: Path | None = None, kept: bool = True
    ) -> None:
        check_texts(texts)
        table = tokenise(network.tokenizer, texts, network.settings.max_length)
        super().__init__(table, network, folder, kept)


def _write(path: Path, states: npt.NDArray[np.float16]) -> None:
    buffer = io.BytesIO()
    np.save(buffer, states, allow_pickle=False)
    write_atomically(path.with_suffix(".sha256"), digest(states.tobytes()))
    write_atomically(path, buffer.getvalue())


def _mapped(path: Path, shape: tuple[int, int]) -> npt.NDArray[np.float16] | None:
    """The array in that file, mapped copy-on-write, or None if it is absent or damaged."""
    try:
        # np.load would take other kinds of file too, each with its own errors.
        states = np.lib.format.open_memmap(path, mode="c")
        known = path.with_suffix(".sha256").read_text()
    # A damaged header goes through Python's own parser, which raises whatever it likes.
    except Exception:
        return None
    if states.shape != shape or states.dtype != np.float16 or digest(states.tobytes()) != known:
        return None
    result: npt.NDArray[np.float16] = states
    return result


def joined(parts: Sequence[Texts]) -> Texts:
    """One rectangle from several, one under the other, padded to the widest."""
    width = max(part.mask.shape[1] for part in parts)

    def wide(array: Tensor) -> Tensor:
        missing = width - array.shape[1]
        return torch.nn.functional.pad(array, (0, 0) * (array.dim() - 2) + (0, missing))

    def stacked(arrays: Sequence[Tensor | None]) -> Tensor | None:
        given = [wide(array) for array in arrays if array is not None]
        return torch.cat(given) if given else None

    masks = torch.cat([wide(part.mask) for part in parts])
    given = [part.words for part in parts if part.words is not None]
    most = max((words.shape[1] for words in given), default=0)
    padded = [torch.nn.functional.pad(words, (0, most - words.shape[1]), value=-1) for words in given]
    return Texts(
        masks,
        stacked([part.ids for part in parts]),
        stacked([part.hidden for part in parts]),
        torch.cat(padded) if padded else None,
    )


def reordered(texts: Texts, order: Tensor) -> Texts:
    """The texts ``order`` ``(B,)`` of a rectangle, by place."""
    order = order.to(texts.mask.device)
    return Texts(
        texts.mask[order],
        None if texts.ids is None else texts.ids[order],
        None if texts.hidden is None else texts.hidden[order],
        None if texts.words is None else texts.words[order],
    )


def shortened(texts: Texts, kept: Tensor) -> Texts:
    """A rectangle without some tokens; those that are left move up. Words that go are scored no more.

    Args:
        texts: The texts.
        kept: ``(R B, T)`` bool, tokens that stay; one at least in each text.
    """
    stays = kept & texts.mask
    order = torch.argsort((~stays).to(torch.int8), dim=1, stable=True)
    order = order[:, : int(stays.sum(1).max())]
    hidden = texts.hidden
    if hidden is not None:
        hidden = hidden.gather(1, order[:, :, None].expand(-1, -1, hidden.shape[2]))
    words = texts.words
    if words is not None:
        place = words.clamp_min(0)
        left = (words >= 0) & stays.gather(1, place)
        words = torch.where(left, (stays.cumsum(1) - 1).gather(1, place), -1)
    ids = None if texts.ids is None else texts.ids.gather(1, order)
    return Texts(stays.gather(1, order), ids, hidden, words)


def padding_share(stores: Sequence[PieceStore]) -> float:
    """Share of padding among all tokens that stores have served."""
    padded = sum(store.padded_tokens for store in stores)
    return 1.0 - sum(store.real_tokens for store in stores) / padded if padded else 0.0
