"""A linear tagger on frozen token states: softmax regression over tokens in primal form, E episodes at once.

States of some encoders are nearly parallel (mean cosine .87 in multilingual-e5), which hides what they differ
in. So what is learned from is each state less the mean of all tokens of the train split, at unit norm.

A few sentences have more tokens than a state has dimensions, so weights are kept and not multipliers. The
model minimises  sum_t cross_entropy(W x_t, y_t) + l2/2 |W|^2  over the tokens of the bought sentences, x with
a column of ``bias``. The softmax Hessian is at most X^T X / 2 + l2 (Böhning 1992, Multinomial logistic
regression algorithm), at most twice M = X^T X / 4 + l2, so the step W <- W - G M^-1 never increases the loss.
Steps are accelerated as Nesterov does, from where the last round stood; an episode whose loss would rise
loses its momentum (O'Donoghue & Candès 2015, by the gradient).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from react_rl.data.corpus import Corpus
from react_rl.encoders.token_states import TokenStates
from react_rl.errors import ReActError
from react_rl.learners.protocol import INVALID_LOGIT, LabelledRows, Purchase
from react_rl.tasks.tagging import TokenScores

CURVATURE: Final = 0.25
"""Half of the bound on the curvature of the softmax."""

NEAR: Final = 1 << 19
"""Numbers of labelled token states that are refitted together on a processor (2 MiB)."""

_AT_ONCE: Final = 1 << 15
"""Token states that are centred at a time."""

HELD: Final = 1 << 28
"""Numbers of gathered token states that are kept between rounds (1 GiB)."""


class TaggerSettings(BaseModel):
    """Settings of the linear tagger."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    l2: float = Field(default=0.1, ge=1e-6, le=1e6)
    """Weight of the squared norm, for unit-norm token states."""
    bias: float = Field(default=1.0, ge=1e-6, le=1e6)
    """Scale of the intercept, which is penalised: large values leave it free."""
    tolerance: float = Field(default=0.02, gt=0, le=10)
    """A refit ends when a step changes no score of a labelled token by more than this."""
    max_steps: int = Field(default=10, ge=1, le=10**5)
    """Most steps of one refit."""


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
class _Store:
    """Token states of one corpus: ``(T, D)`` float16, first token of each row ``(N + 1,)``."""

    states: Tensor
    starts: npt.NDArray[np.int64]
    n_tags: int

    def rows(self, tokens: Tensor, bias: float) -> Tensor:
        """Inputs ``(..., D + 1)`` float32 of tokens; -1 gives a row that no score depends on."""
        found = self.states[tokens.clamp_min(0)].float()
        return torch.nn.functional.pad(found, (0, 1), value=bias)


@dataclass(frozen=True, eq=False)
class _Grid:
    """Tokens of some columns of E episodes, one behind the other, padded at the end; E is 1 where all share.

    Args:
        tokens: ``(E, T)`` int64 token of the corpus, -1 for none.
        column: ``(E, T)`` int64; as many as there are columns where there is no token.
        place: ``(E, T)`` int64 place in the sentence.
        inputs: ``(E, T, D + 1)``, where they are kept.
    """

    tokens: Tensor
    column: Tensor
    place: Tensor
    inputs: Tensor | None


class LinearTagger:
    """E linear taggers that are refitted from where they stood.

    Args:
        corpora: With token states, all of one dimension.
        labelled: The ledger, to be read only.
        settings: Regularisation and convergence.

    Raises:
        ReActError: A corpus is not of tagging or has no token states.
    """

    def __init__(
        self, corpora: Sequence[TaggedRows], labelled: LabelledRows, settings: TaggerSettings | None = None
    ) -> None:
        self.settings = settings or TaggerSettings()
        self.device = labelled.device
        self.failures: dict[int, str] = {}
        self.steps = 0
        """Solver steps since construction, for profiling."""
        self._stores = [_store_of(corpus, self.device) for corpus in corpora]
        n_episodes = labelled.shape[0]
        n_tags = max(store.n_tags for store in self._stores)
        width = self._stores[0].states.shape[1] + 1
        self._corpus = [0] * n_episodes
        self._rows: list[npt.NDArray[np.int64]] = [np.empty(0, np.int64)] * n_episodes
        self._grids: dict[tuple[int, int], _Grid] = {}
        self._weights = torch.zeros(n_episodes, n_tags, width, device=self.device)
        self._mask = torch.zeros(n_episodes, n_tags, 1, device=self.device)
        self._curvature = torch.zeros(n_episodes, width, width, device=self.device)
        self._used = [0] * n_episodes
        self._tokens = torch.full((n_episodes, 0), -1, dtype=torch.int64, device=self.device)
        self._tags = torch.full((n_episodes, 0), -1, dtype=torch.int64, device=self.device)
        self._inputs = torch.zeros(n_episodes, 0, width, device=self.device)

    def place(self, episode: int, corpus: int, rows: Tensor, dev_targets: Tensor) -> None:
        """Note the rows of an episode's columns ``(W,)``. Mutates."""
        self._corpus[episode] = corpus
        self._rows[episode] = rows.cpu().numpy()
        self._grids.clear()

    def start(self, episodes: Tensor, n_classes: Tensor, seeds: Sequence[int] = ()) -> None:
        """Forget the given episodes ``(R,)`` and begin again. Nothing is left to chance here. Mutates."""
        invalid = torch.arange(self._mask.shape[1], device=self.device) >= n_classes.to(self.device)[:, None]
        self._mask[episodes] = torch.where(invalid, INVALID_LOGIT, 0.0)[:, :, None]
        self._weights[episodes] = 0.0
        self._curvature[episodes] = 0.0
        self._curvature.diagonal(dim1=1, dim2=2)[episodes] = self.settings.l2
        for episode in episodes.tolist():
            self._used[episode] = 0
        self._tokens[episodes] = -1
        self._tags[episodes] = -1
        self._inputs[episodes] = 0.0

    def update(self, bought: Purchase) -> None:
        """Refit the given episodes from where they stood, in place."""
        changed = self._note(bought)
        self._refit(changed.tolist())

    def _note(self, bought: Purchase) -> npt.NDArray[np.int64]:
        """Add the tokens of bought sentences; returns the episodes that got any. Mutates."""
        fresh: dict[int, tuple[Tensor, Tensor]] = {}
        answered = bought.live.cpu().numpy()
        columns, targets = bought.columns.cpu().numpy(), bought.targets.cpu()
        for line, episode in enumerate(bought.episodes.tolist()):
            store, own = self._stores[self._corpus[episode]], answered[line]
            if not own.any():
                continue
            rows = self._rows[episode][columns[line][own]]
            places = np.concatenate([np.arange(store.starts[r], store.starts[r + 1]) for r in rows])
            told = targets[line][torch.from_numpy(own)]
            fresh[episode] = torch.from_numpy(places).to(self.device), told[told >= 0].to(self.device)
        if not fresh:
            return np.empty(0, np.int64)
        most = max(self._used[episode] + tokens.numel() for episode, (tokens, _) in fresh.items())
        self._reserve(most)
        for episode, (tokens, tags) in fresh.items():
            used = slice(self._used[episode], self._used[episode] + tokens.numel())
            self._tokens[episode, used], self._tags[episode, used] = tokens, tags
            inputs = self._stores[self._corpus[episode]].rows(self._tokens[episode, used], self.settings.bias)
            self._inputs[episode, used] = inputs
            self._curvature[episode].addmm_(inputs.T, inputs, alpha=CURVATURE)
            self._used[episode] += tokens.numel()
        return np.fromiter(fresh, np.int64)

    def _refit(self, episodes: list[int]) -> None:
        """Refit in groups whose tokens stay in the cache while they are read again and again. Mutates."""
        width = self._inputs.shape[2]
        while episodes:
            n, taken = 0, 0
            for episode in episodes:
                n = max(n, self._used[episode])
                if taken and self.device.type == "cpu" and (taken + 1) * n * width > NEAR:
                    break
                taken += 1
            self._refit_group(torch.tensor(episodes[:taken], device=self.device))
            episodes = episodes[taken:]

    def _refit_group(self, episodes: Tensor) -> None:
        """Take accelerated steps until they are small. Mutates."""
        settings = self.settings
        n = max(self._used[episode] for episode in episodes.tolist())
        inputs, tags = self._inputs[episodes, :n], self._tags[episodes, :n]
        weights, mask = self._weights[episodes], self._mask[episodes]
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(self._curvature[episodes]))
        live = (tags >= 0).to(inputs)[:, None, :]
        places = torch.arange(weights.shape[1], device=self.device)[:, None]
        target = (tags[:, None, :] == places).to(inputs)
        across = inputs.transpose(1, 2)
        # Scores (E, C, n) of the point that a step starts from: momentum moves them as it moves the weights.
        fitted = torch.bmm(weights, across)
        ahead, ahead_fitted = weights, fitted
        age = torch.ones(len(weights), 1, 1, device=self.device)
        moving = torch.ones(len(weights), 1, 1, dtype=torch.bool, device=self.device)
        for _ in range(settings.max_steps):
            self.steps += 1
            wrong = torch.softmax(ahead_fitted + mask, 1).sub_(target).mul_(live)
            gradient = torch.bmm(wrong, inputs).add_(ahead, alpha=settings.l2)
            # A converged episode stands still, so that its result does not depend on its neighbours.
            new = ahead - torch.bmm(gradient, inverse) * moving
            new_fitted = torch.bmm(new, across)
            move, fitted_move = new - weights, new_fitted - fitted
            uphill = (gradient * move).sum((1, 2), keepdim=True) > 0
            older = torch.where(uphill, 1.0, age)
            age = (1.0 + (1.0 + 4.0 * older.square()).sqrt()) / 2.0
            momentum = torch.where(uphill, 0.0, (older - 1.0) / age)
            weights, fitted = torch.where(moving, new, weights), torch.where(moving, new_fitted, fitted)
            ahead = torch.where(moving, weights + momentum * move, ahead)
            ahead_fitted = torch.where(moving, fitted + momentum * fitted_move, ahead_fitted)
            change = (fitted_move * live).abs_().amax((1, 2), keepdim=True)
            moving = moving & (change > settings.tolerance)
            if not moving.any():
                break
        self._weights[episodes] = weights

    def logits_of(self, columns: slice, wanted: Tensor | None = None) -> TokenScores:
        """Scores of the tokens of a range of columns."""
        return self._score(self._grid(columns))

    def logits_of_rows(self, rows: Sequence[npt.NDArray[np.int64]]) -> TokenScores:
        """Scores of the tokens of other rows, as many for each episode."""
        shared = all(one is rows[0] for one in rows) and len(set(self._corpus)) == 1
        return self._score(self._grid_of(rows[:1] if shared else rows, held=shared))

    def _score(self, grid: _Grid) -> TokenScores:
        """Scores of the tokens of a grid that has a line for each episode, or one for all."""
        n_episodes, lines = len(self._weights), len(grid.tokens)
        logits = torch.empty(*self._weights.shape[:2], grid.tokens.shape[1], device=self.device)
        for episode, weights in enumerate(self._weights):
            line = episode % lines
            if grid.inputs is None:
                inputs = self._stores[self._corpus[episode]].rows(grid.tokens[line], self.settings.bias)
            else:
                inputs = grid.inputs[line]
            torch.mm(weights, inputs.T, out=logits[episode])
        logits += self._mask
        return TokenScores(logits, grid.column.expand(n_episodes, -1), grid.place.expand(n_episodes, -1))

    def state(self) -> dict[str, Tensor]:
        """All that ``update`` has changed, by name; states of tokens are looked up again."""
        return {
            "weights": self._weights,
            "tokens": self._tokens,
            "tags": self._tags,
            "used": torch.tensor(self._used),
            "curvature": self._curvature,  # summed up again in another order it would differ in last bits
        }

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Put learners that have just been started where ``state`` was taken. Mutates."""
        self._weights = state["weights"].to(self.device, copy=True)
        self._used = state["used"].tolist()
        self._tokens, self._tags = (state[name].to(self.device, copy=True) for name in ("tokens", "tags"))
        self._inputs = self._inputs.new_zeros(*self._tokens.shape, self._weights.shape[2])
        for episode, used in enumerate(self._used):
            store = self._stores[self._corpus[episode]]
            inputs = store.rows(self._tokens[episode, :used], self.settings.bias)
            self._inputs[episode, :used] = inputs
        self._curvature.copy_(state["curvature"])

    def _reserve(self, tokens: int) -> None:
        """Make room for ``tokens`` labelled tokens. Mutates."""
        room = self._tokens.shape[1]
        if tokens <= room:
            return
        extra = max(tokens, 2 * room) - room
        pad = torch.nn.functional.pad
        self._tokens, self._tags = (
            pad(self._tokens, (0, extra), value=-1),
            pad(self._tags, (0, extra), value=-1),
        )
        self._inputs = pad(self._inputs, (0, 0, 0, extra))

    def _grid(self, columns: slice) -> _Grid:
        """Tokens of a range of columns, found once until an episode is placed."""
        begin, end, _ = columns.indices(len(self._rows[0]))
        if (begin, end) not in self._grids:
            self._grids[begin, end] = self._grid_of([rows[begin:end] for rows in self._rows], held=True)
        return self._grids[begin, end]

    def _grid_of(self, rows: Sequence[npt.NDArray[np.int64]], held: bool) -> _Grid:
        """Tokens of rows of the first episodes, with their inputs where these are to be held and not many."""
        stores = [self._stores[corpus] for corpus in self._corpus[: len(rows)]]
        parts = [_tokens_of(own, store.starts) for own, store in zip(rows, stores, strict=True)]
        most = max(len(tokens) for tokens, _, _ in parts)
        blank = (-1, len(rows[0]), 0)
        arrays = [
            torch.stack(
                [
                    torch.from_numpy(np.pad(part[kind], (0, most - len(part[kind])), constant_values=fill))
                    for part in parts
                ]
            ).to(self.device)
            for kind, fill in enumerate(blank)
        ]
        tokens, column, place = arrays
        kept = None
        if held and tokens.numel() * self._weights.shape[2] <= HELD:
            kept = torch.stack(
                [store.rows(own, self.settings.bias) for own, store in zip(tokens, stores, strict=True)]
            )
        return _Grid(tokens, column, place, kept)


def _tokens_of(
    rows: npt.NDArray[np.int64], starts: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Tokens, columns and places of the tokens of rows; -1 is no row."""
    real = np.flatnonzero(rows >= 0)
    first, lengths = starts[rows[real]], starts[rows[real] + 1] - starts[rows[real]]
    column = np.repeat(real, lengths)
    place = np.arange(lengths.sum()) - np.repeat(lengths.cumsum() - lengths, lengths)
    return np.repeat(first, lengths) + place, column, place


def _store_of(corpus: TaggedRows, device: torch.device) -> _Store:
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
    states = torch.from_numpy(centred_states(corpus.corpus, corpus.tokens)).to(device)
    return _Store(states, corpus.tokens.starts, corpus.corpus.n_classes)


def centred_states(corpus: Corpus, tokens: TokenStates) -> npt.NDArray[np.float16]:
    """States ``(T, D)`` less the mean over the tokens of the train split, at unit norm."""
    train = np.repeat(np.isin(np.arange(corpus.n_rows), corpus.ids("train")), np.diff(tokens.starts))
    total = np.zeros(tokens.states.shape[1])
    parts = [slice(first, first + _AT_ONCE) for first in range(0, len(tokens.states), _AT_ONCE)]
    for part in parts:
        total += tokens.states[part][train[part]].sum(0, dtype=np.float64)
    mean = (total / max(train.sum(), 1)).astype(np.float32)
    found = np.empty_like(tokens.states)
    for part in parts:
        own = tokens.states[part].astype(np.float32) - mean
        found[part] = own / np.maximum(np.linalg.norm(own, axis=1, keepdims=True), 1e-12)
    return found
