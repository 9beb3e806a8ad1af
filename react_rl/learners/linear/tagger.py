"""A linear tagger on frozen token states: softmax regression over tokens in primal form, E episodes at once.

A few sentences have more tokens than a state has dimensions, so weights are kept and not multipliers.
What states are to the tagger is in ``token_store``, how models are fitted in ``token_fit``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
import numpy.typing as npt
import torch
from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer
from torch import Tensor

from react_rl.learners.linear.tagger_copies import TaggerCopies
from react_rl.learners.linear.token_fit import BranchedTokens, LabelledTokens, TokenLoss, refit
from react_rl.learners.linear.token_store import TaggedRows, TokenStore
from react_rl.learners.protocol import INVALID_LOGIT, LabelledRows, Purchase
from react_rl.learners.recipes.settings import Recipe
from react_rl.tasks.tagging import TokenScores

NEAR: Final = 1 << 21
"""Bytes of labelled token states that are refitted together on a processor."""

HELD: Final = 1 << 30
"""Bytes of gathered token states that are kept between rounds."""

Ids = npt.NDArray[np.int64]


class TaggerSettings(BaseModel):
    """Settings of the linear tagger."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    l2: float = Field(default=0.1, ge=1e-6, le=1e6)
    """Weight of the squared norm, for unit-norm token states."""
    bias: float = Field(default=1.0, ge=1e-6, le=1e6)
    """Scale of the intercept, which is penalised: large values leave it free."""
    tolerance: float = Field(default=1.0, gt=0, le=10)
    """A refit ends when a step changes no score of a labelled token by more than this."""
    max_steps: int = Field(default=6, ge=1, le=10**5)
    """Most steps of one refit."""
    l2_on_dev: bool = False
    """Fit under several values of l2 in every round, and take the one with the best F1 on the dev rows; l2
    then says nothing."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """Share of each tag that is spread over all tags."""

    @model_serializer(mode="wrap")
    def _without_what_is_off(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = handler(self)
        for name in ("l2_on_dev", "label_smoothing"):
            if not values.get(name):
                values.pop(name, None)
        return values

    def following(self, recipe: Recipe) -> TaggerSettings:
        """These settings with what a recipe sets."""
        found = self
        if recipe.l2 is not None:
            own = {"l2": recipe.l2} if isinstance(recipe.l2, float) else {}
            found = found.model_copy(update={"l2_on_dev": recipe.l2 == "dev", **own})
        if recipe.label_smoothing > 0:
            found = found.model_copy(update={"label_smoothing": recipe.label_smoothing})
        return found

    @property
    def loss(self) -> TokenLoss:
        """What models are fitted by, where l2 is a number."""
        return TokenLoss(self.l2, self.label_smoothing)


@dataclass(frozen=True, eq=False)
class _Grid:
    """Tokens of some columns of E episodes, one behind the other, padded at the end; E is 1 where all share.

    Args:
        tokens: ``(E, T)`` int64 token, -1 for none.
        column: ``(E, T)`` int64; as many as there are columns where there is no token.
        place: ``(E, T)`` int64 place in the sentence.
        gathered: States and scales of the tokens of each line, where they are kept.
    """

    tokens: Tensor
    column: Tensor
    place: Tensor
    gathered: list[tuple[Tensor, Tensor]] | None


class LinearTagger:
    """E linear taggers that are refitted from where they stood.

    Args:
        corpora: With token states, all of one dimension.
        labelled: The ledger, to be read only.
        settings: Regularisation and convergence.

    Raises:
        ReActError: A corpus is not of tagging or has no token states.
    """

    copies_read_ledger: ClassVar[bool] = False

    def __init__(
        self, corpora: Sequence[TaggedRows], labelled: LabelledRows, settings: TaggerSettings | None = None
    ) -> None:
        self.settings = settings or TaggerSettings()
        self.device = labelled.device
        self.failures: dict[int, str] = {}
        self.steps = 0
        """Solver steps since construction, for profiling."""
        self._store = TokenStore(corpora, self.device, self.settings.bias)
        n_episodes = labelled.shape[0]
        n_tags, width = max(corpus.corpus.n_classes for corpus in corpora), self._store.width
        self._corpus = [0] * n_episodes
        self._rows: list[npt.NDArray[np.int64]] = [np.empty(0, np.int64)] * n_episodes
        self._grids: dict[tuple[int, int], _Grid] = {}
        self._weights = torch.zeros(n_episodes, n_tags, width, device=self.device)
        self._mask = torch.zeros(n_episodes, n_tags, 1, device=self.device)
        self._used = [0] * n_episodes
        self._losses = [self.settings.loss] * n_episodes
        self._tokens = torch.full((n_episodes, 0), -1, dtype=torch.int64, device=self.device)
        self._tags = torch.full((n_episodes, 0), -1, dtype=torch.int64, device=self.device)
        self._states = torch.zeros(n_episodes, 0, width - 1, device=self.device, dtype=self._store.dtype)
        self._scale = torch.zeros(n_episodes, 0, device=self.device)

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
        for episode in episodes.tolist():
            self._used[episode] = 0
        self._tokens[episodes] = -1
        self._tags[episodes] = -1
        self._states[episodes] = 0
        self._scale[episodes] = 0.0

    @property
    def weights(self) -> Tensor:
        """Weights ``(E, C, D + 1)`` as they stand, the last of the constant."""
        return self._weights

    def replicate(self, labelled: LabelledRows, times: int) -> TaggerCopies:
        """Copies of every episode, side by side, that share the states of what they learned from."""
        return TaggerCopies(self, times)

    def update(self, bought: Purchase) -> None:
        """Refit the given episodes from where they stood, in place."""
        self._refit(self._note(bought))

    def _note(self, bought: Purchase) -> list[int]:
        """Add the tokens of bought sentences; returns the episodes that got any. Mutates."""
        answered = bought.live.cpu().numpy()
        columns, targets = bought.columns.cpu().numpy(), bought.targets.cpu()
        changed, tokens = [], []
        for line, episode in enumerate(bought.episodes.tolist()):
            if answered[line].any():
                rows = self._rows[episode][columns[line][answered[line]]]
                tokens.append(self._store.tokens_of(self._corpus[episode], rows)[0])
                changed.append(episode)
        if not changed:
            return []
        counts = np.array([own.size for own in tokens])
        self._reserve(
            max(self._used[episode] + n for episode, n in zip(changed, counts.tolist(), strict=True))
        )
        first = np.array([self._used[episode] for episode in changed])
        where = np.arange(counts.sum()) + np.repeat(first - (counts.cumsum() - counts), counts)
        index = torch.from_numpy(np.repeat(changed, counts)).to(self.device)
        slot, token = (torch.from_numpy(own).to(self.device) for own in (where, np.concatenate(tokens)))
        # Episode after episode, sentence after sentence, token after token, as the tokens are.
        told = targets[bought.live.cpu()].to(self.device)
        self._tokens[index, slot], self._tags[index, slot] = token, told[told >= 0]
        self._states[index, slot], self._scale[index, slot] = self._store.gather(token)
        for episode, n in zip(changed, counts.tolist(), strict=True):
            self._used[episode] += n
        return changed

    def _refit(self, episodes: list[int]) -> None:
        """Refit in groups whose tokens stay in the cache while they are read again and again. Mutates."""
        while episodes:
            n, taken = 0, 0
            for episode in episodes:
                if self._losses[episode] != self._losses[episodes[0]]:
                    break
                n = max(n, self._used[episode])
                if taken and self.device.type == "cpu" and (taken + 1) * n * self._store.bytes_each > NEAR:
                    break
                taken += 1
            self._refit_group(episodes[:taken], n)
            episodes = episodes[taken:]

    def _refit_group(self, episodes: list[int], n: int) -> None:
        """Refit episodes of at most n tokens. Mutates."""
        first, behind = episodes[0], episodes[-1] + 1
        # Neighbours are looked at where they are, others are copied.
        own: slice | list[int] = slice(first, behind) if behind - first == len(episodes) else episodes
        self._weights[own] = self._fit(
            self._weights[own], self._learned(own, episodes, n), self._losses[first], self.settings.tolerance
        )

    def _learned(self, own: slice | list[int], episodes: Sequence[int], n: int) -> LabelledTokens:
        """What some episodes learn from, n tokens each."""
        corpora = [self._corpus[episode] for episode in episodes]
        return LabelledTokens(
            self._states[own, :n],
            self._scale[own, :n],
            self.settings.bias,
            self._tags[own, :n],
            self._mask[own],
            self._store.spread[corpora][:, None],
        )

    def _fit(
        self, weights: Tensor, data: LabelledTokens | BranchedTokens, loss: TokenLoss, tolerance: float
    ) -> Tensor:
        """Weights refitted from where they stand. Mutates the count of steps."""
        found = refit(weights, data, loss, tolerance, self.settings.max_steps)
        self.steps += found[1]
        return found[0]

    def branched(self, episode: int, columns: Ids, targets: Tensor, weights: Tensor) -> Tensor:
        """Weights of K models of an episode that have each bought some rows more; the episode stays.

        A model that has bought nothing is refitted too, and all take the most steps that a refit may, so that
        what others gain beyond it is what their rows bring, and not the descent that was due anyway.

        Args:
            episode: The episode.
            columns: ``(K, b)``, -1 for none.
            targets: ``(K, b, L)`` int64 tags.
            weights: ``(K, C, D + 1)`` where they stand.
        """
        size = columns.shape[1]
        rows = np.where(columns >= 0, self._rows[episode][columns], -1).ravel()
        token, line, place = self._store.tokens_of(self._corpus[episode], rows)
        model = line // size
        counts = np.bincount(model, minlength=len(columns))
        slot = np.arange(len(model)) - np.repeat(counts.cumsum() - counts, counts)
        tokens = np.full((len(columns), max(counts.max(initial=0), 1)), -1)
        tokens[model, slot] = token
        index = [torch.from_numpy(own).to(self.device) for own in (model, slot, line, place)]
        tags = torch.full(tokens.shape, -1, device=self.device)
        tags[index[0], index[1]] = targets.flatten(0, 1)[index[2], index[3]]
        states, scale = self._store.gather(torch.from_numpy(tokens).flatten().to(self.device))
        shared = self._learned(slice(episode, episode + 1), [episode], self._used[episode])
        own = LabelledTokens(
            states.float().view(*tokens.shape, -1),
            scale.view(tokens.shape),
            self.settings.bias,
            tags,
            shared.mask.expand(len(tokens), -1, -1),
            shared.spread,
        )
        return self._fit(weights, BranchedTokens(shared, own), self._losses[episode], 0.0)

    def logits_of(self, columns: slice, wanted: Tensor | None = None) -> TokenScores:
        """Scores of the tokens of a range of columns."""
        return self.scored(columns, self._weights)

    def scored(self, columns: slice, weights: Tensor) -> TokenScores:
        """Scores of the tokens of a range of columns by k models of each episode ``(E k, C, D + 1)``."""
        return self._score(self._grid(columns), weights)

    def logits_of_rows(self, rows: Sequence[npt.NDArray[np.int64]]) -> TokenScores:
        """Scores of the tokens of other rows, as many for each episode."""
        shared = all(one is rows[0] for one in rows) and len(set(self._corpus)) == 1
        return self._score(self._grid_of(rows[:1] if shared else rows, held=False), self._weights)

    def _score(self, grid: _Grid, weights: Tensor) -> TokenScores:
        """Scores of the tokens of a grid that has a line for as many models each."""
        n_models, lines = len(weights), len(grid.tokens)
        logits = torch.empty(*weights.shape[:2], grid.tokens.shape[1], device=self.device)
        mask = _for_each(self._mask, n_models)
        together = n_models // lines
        for line, tokens in enumerate(grid.tokens):
            own = slice(line * together, (line + 1) * together)
            gathered = self._store.gather(tokens) if grid.gathered is None else grid.gathered[line]
            factors, shift, out = (of[own].flatten(0, 1) for of in (weights, mask, logits))
            self._store.score(factors, *gathered, shift, out)
        return TokenScores(logits, _for_each(grid.column, n_models), _for_each(grid.place, n_models))

    def state(self) -> dict[str, Tensor]:
        """All that ``update`` has changed, by name; states of tokens are looked up again."""
        return {
            "weights": self._weights,
            "tokens": self._tokens,
            "tags": self._tags,
            "used": torch.tensor(self._used),
        }

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Put learners that have just been started where ``state`` was taken. Mutates."""
        self._weights = state["weights"].to(self.device, copy=True)
        self._used = state["used"].tolist()
        self._tokens, self._tags = (state[name].to(self.device, copy=True) for name in ("tokens", "tags"))
        self._states = self._states.new_zeros(*self._tokens.shape, self._store.width - 1)
        self._scale = self._scale.new_zeros(self._tokens.shape)
        for episode, used in enumerate(self._used):
            own = self._store.gather(self._tokens[episode, :used])
            self._states[episode, :used], self._scale[episode, :used] = own

    def _reserve(self, tokens: int) -> None:
        """Make room for ``tokens`` labelled tokens. Mutates."""
        room = self._tokens.shape[1]
        if tokens <= room:
            return
        extra = max(tokens, 2 * room) - room
        pad = torch.nn.functional.pad
        self._tokens, self._tags = (pad(own, (0, extra), value=-1) for own in (self._tokens, self._tags))
        self._states, self._scale = pad(self._states, (0, 0, 0, extra)), pad(self._scale, (0, extra))

    def _grid(self, columns: slice) -> _Grid:
        """Tokens of a range of columns, found once until an episode is placed."""
        begin, end, _ = columns.indices(len(self._rows[0]))
        if (begin, end) not in self._grids:
            self._grids[begin, end] = self._grid_of([rows[begin:end] for rows in self._rows], held=True)
        return self._grids[begin, end]

    def _grid_of(self, rows: Sequence[npt.NDArray[np.int64]], held: bool) -> _Grid:
        """Tokens of rows of the first episodes, with their states where these are to be held and not many."""
        parts = [self._store.tokens_of(corpus, own) for corpus, own in zip(self._corpus, rows, strict=False)]
        most = max(len(tokens) for tokens, _, _ in parts)
        tokens, column, place = (
            torch.stack(
                [
                    torch.from_numpy(np.pad(part[kind], (0, most - len(part[kind])), constant_values=fill))
                    for part in parts
                ]
            ).to(self.device)
            for kind, fill in enumerate((-1, len(rows[0]), 0))
        )
        kept = None
        if held and tokens.numel() * self._store.bytes_each <= HELD:
            kept = [self._store.gather(own) for own in tokens]
        return _Grid(tokens, column, place, kept)


def _for_each(values: Tensor, models: int) -> Tensor:
    """Values with a line for each of so many models, as many side by side for each line ``(L, ...)``."""
    if len(values) == 1:
        return values.expand(models, *values.shape[1:])
    times = models // len(values)
    return values if times == 1 else values.repeat_interleave(times, 0)
