"""A linear scorer of answers on frozen states: which word of a context is the first one, which the last.

A word with state h, asked a question with state q, has the features x = [h; h * q; overlap of words]. Start
and end are softmax regressions over the words of a context (conditional logits; "no answer" is a word too):
they minimise  sum_i [logsumexp_t(w x_it) - w x_i,answer] + l2/2 |w|^2  over the bought questions, by L-BFGS
from where the last round stood. States are projected on their first principal axes and whitened, which needs
no label.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
import numpy.typing as npt
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from react_rl.data.passages import Passages
from react_rl.encoders.shared_pieces import SharedPieces, repeated_states
from react_rl.errors import ReActError
from react_rl.learners.linear.minimise import minimise
from react_rl.learners.linear.overlap import OVERLAPS, overlaps
from react_rl.learners.protocol import LabelledRows, Purchase, Rows
from react_rl.tasks.heads import FAINT, NEVER
from react_rl.tasks.questions import SpanScores

_SAMPLE: Final = 50_000
"""States from which principal axes are computed."""

_BLOCK: Final = 1 << 22
"""Numbers of states that are scored at a time."""

_TOGETHER: Final = 16
"""Episodes whose pools are scored in one product."""

Ids = npt.NDArray[np.int64]


class SpanSettings(BaseModel):
    """Settings of the span scorer."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    l2: float = Field(default=1.0, ge=1e-6, le=1e6)
    """Weight of the squared norm of the weights."""
    dimensions: int = Field(default=32, ge=1, le=10**5)
    """Principal axes of the states that are kept; as many as they have where that is fewer."""
    tolerance: float = Field(default=0.05, gt=0, le=10)
    """A refit ends when a step changes no score of a labelled question's word by more than this."""
    max_steps: int = Field(default=50, ge=1, le=10**5)
    """Most steps of one refit."""


@dataclass(frozen=True, eq=False)
class _Store:
    """What is known of the words of one corpus of T words in all (and a "no answer" for each question).

    Args:
        states: ``(T, d)`` float16, projected and whitened.
        overlap: ``(T, K)`` float16.
        questions: ``(N, d)`` float32, projected likewise.
        starts: ``(N + 1,)`` first place of each row.
        passages: The contexts.
        shared: Words of one piece, which have one state.
    """

    states: Tensor
    overlap: Tensor
    questions: Tensor
    starts: Ids
    passages: Passages
    shared: SharedPieces

    def inputs(self, row: int) -> Tensor:
        """Features of one question's words ``(n + 1, F)`` float32."""
        own = slice(int(self.starts[row]), int(self.starts[row + 1]))
        states = self.states[own].float()
        return torch.cat([states, states * self.questions[row], self.overlap[own].float()], 1)


class SpanScorer:
    """E span scorers that are refitted from where they stood.

    Args:
        corpora: With states of the words of contexts, all of one dimension.
        labelled: The ledger, to be read only.
        settings: Regularisation and convergence.

    Raises:
        ReActError: A corpus is not of question answering or has no states of words.
    """

    copies_read_ledger: ClassVar[bool] = False

    def __init__(
        self, corpora: Sequence[Rows], labelled: LabelledRows, settings: SpanSettings | None = None
    ) -> None:
        self.settings = settings or SpanSettings()
        self.device = labelled.device
        self.failures: dict[int, str] = {}
        self._stores = [_store_of(corpus, self.settings.dimensions, self.device) for corpus in corpora]
        n_episodes = labelled.shape[0]
        width = 2 * self._stores[0].states.shape[1] + len(OVERLAPS)
        self._corpus = [0] * n_episodes
        self._rows: list[Ids] = [np.empty(0, np.int64)] * n_episodes
        self._weights = torch.zeros(n_episodes, 2, width, device=self.device)
        self._bought: list[list[tuple[int, int, int]]] = [[] for _ in range(n_episodes)]  # row, first, last
        self._inputs = torch.zeros(n_episodes, 0, width, device=self.device)
        self._used = [0] * n_episodes

    def replicate(self, labelled: LabelledRows, times: int) -> SpanScorer:
        """Copy every episode ``times`` times, side by side; see ``capabilities.TriesBatches``."""
        scratch = copy.copy(self)
        scratch._corpus = [own for own in self._corpus for _ in range(times)]
        scratch._rows = [own for own in self._rows for _ in range(times)]
        scratch._used = [own for own in self._used for _ in range(times)]
        scratch._bought = [[*own] for own in self._bought for _ in range(times)]
        scratch._weights = self._weights.repeat_interleave(times, 0)
        scratch._inputs = self._inputs[:, : max(self._used)].repeat_interleave(times, 0)
        return scratch

    def place(self, episode: int, corpus: int, rows: Tensor, dev_targets: Tensor) -> None:
        """Note the rows of an episode's columns ``(W,)``. Mutates."""
        self._corpus[episode] = corpus
        self._rows[episode] = rows.cpu().numpy()

    def start(self, episodes: Tensor, n_classes: Tensor, seeds: Sequence[int] = ()) -> None:
        """Forget the given episodes ``(R,)`` and begin again. Nothing is left to chance here. Mutates."""
        self._weights[episodes] = 0.0
        self._inputs[episodes] = 0.0
        for episode in episodes.tolist():
            self._bought[episode], self._used[episode] = [], 0

    def update(self, bought: Purchase) -> None:
        """Refit the given episodes from where they stood, in place."""
        answered = bought.live.cpu().numpy()
        columns, targets = bought.columns.cpu().numpy(), bought.targets.cpu().numpy()
        changed = []
        for line, episode in enumerate(bought.episodes.tolist()):
            own = answered[line]
            rows = self._rows[episode][columns[line][own]]
            store = self._stores[self._corpus[episode]]
            spans = store.shared.widened(targets[line][own], store.starts[rows] + 1)
            fresh = [(int(row), int(a), int(b)) for row, (a, b) in zip(rows, spans, strict=True)]
            if fresh:
                self._note(episode, fresh)
                changed.append(episode)
        if changed:
            self._refit(changed)

    def _note(self, episode: int, fresh: Sequence[tuple[int, int, int]]) -> None:
        """Add questions with their answers to what an episode learns from. Mutates."""
        inputs = torch.cat([self._stores[self._corpus[episode]].inputs(row) for row, _, _ in fresh])
        used = self._used[episode]
        self._reserve(used + len(inputs))
        self._inputs[episode, used : used + len(inputs)] = inputs
        self._used[episode] += len(inputs)
        self._bought[episode].extend(fresh)

    def _reserve(self, words: int) -> None:
        """Make room for ``words`` words. Mutates."""
        room = self._inputs.shape[1]
        if words > room:
            extra = max(words, 3 * room // 2) - room
            self._inputs = torch.nn.functional.pad(self._inputs, (0, 0, 0, extra))

    def _refit(self, episodes: list[int]) -> None:
        """Minimise the losses of episodes. Mutates."""
        settings, n_words = self.settings, max(self._used[episode] for episode in episodes)
        layout = _Layout.of(
            [self._bought[e] for e in episodes], [self._stores[self._corpus[e]] for e in episodes], n_words
        )
        everyone = len(episodes) == len(self._used)
        inputs = self._inputs[:, :n_words] if everyone else self._inputs[episodes, :n_words]
        self._weights[episodes] = minimise(
            self._weights[episodes],
            inputs,
            layout.loss,
            layout.residual,
            settings.l2,
            settings.tolerance,
            settings.max_steps,
        )

    def logits_of(self, columns: slice, wanted: Tensor | None = None) -> SpanScores:
        """Scores of the borders for a range of columns."""
        return self.logits_of_rows([rows[columns] for rows in self._rows])

    def logits_of_rows(self, rows: Sequence[Ids]) -> SpanScores:
        """Scores of the borders for other rows, as many for each episode."""
        asked = np.stack(list(rows))
        longest = max(
            int(self._stores[corpus].passages.lengths[own[own >= 0]].max(initial=1))
            for own, corpus in zip(asked, self._corpus, strict=True)
        )
        found = torch.full((2, *asked.shape, longest + 1), NEVER, device=self.device)
        for corpus in sorted(set(self._corpus)):
            own = [e for e, of in enumerate(self._corpus) if of == corpus]
            for first in range(0, len(own), _TOGETHER):
                self._score(corpus, own[first : first + _TOGETHER], asked, found)
        passages = [self._stores[corpus].passages for corpus in self._corpus]
        return SpanScores(found[0], found[1], asked, passages)

    def _score(self, corpus: int, episodes: list[int], asked: Ids, found: Tensor) -> None:
        """Fill in the scores of some episodes of one corpus. Mutates ``found``."""
        store, own = self._stores[corpus], asked[episodes]
        union = np.unique(own[own >= 0])
        if not union.size:
            return
        union = union[np.argsort(store.passages.lengths[union], kind="stable")]
        lengths = store.passages.lengths[union] + 1
        size = store.states.shape[1]
        weights = self._weights[episodes].transpose(0, 1).flatten(0, 1)  # (2R, F), starts first
        plain, crossed, overlap = weights[:, :size], weights[:, size : 2 * size], weights[:, 2 * size :]
        table = torch.full((union.size, len(weights), int(lengths[-1])), NEVER, device=self.device)
        # Of words of one piece the first can begin an answer, the last end it: the others (2, T) cannot.
        within = None
        if store.shared.present:
            sides = np.stack([store.shared.repeated, store.shared.continued])
            within = torch.from_numpy(sides).to(self.device)
        begin = 0
        while begin < union.size:
            block = max(_BLOCK // (int(lengths[begin]) * size), 1)
            # Of rows in order of length the last one is the longest: shrink until the block fits.
            while block > 1 and int(lengths[min(begin + block, union.size) - 1]) * size * block > _BLOCK:
                block = (block + 1) // 2
            rows = union[begin : begin + block]
            width = int(lengths[begin + len(rows) - 1])
            offset = np.arange(width)
            inside = torch.from_numpy(offset < lengths[begin : begin + len(rows), None]).to(self.device)
            at = torch.from_numpy(store.starts[rows, None] + offset).clamp_(max=len(store.states) - 1)
            at = at.to(self.device)
            turned = plain + store.questions[torch.from_numpy(rows).to(self.device), None] * crossed
            scores = torch.bmm(turned, store.states[at].float().transpose(1, 2))  # (rows, 2R, words)
            scores += overlap @ store.overlap[at].float().transpose(1, 2)
            if within is not None:
                here = within[:, at].transpose(0, 1)  # (rows, 2, words)
                scores.masked_fill_(here.repeat_interleave(len(episodes), 1), NEVER)
            table[begin : begin + len(rows), :, :width] = scores.masked_fill_(~inside[:, None], NEVER)
            begin += len(rows)
        if not store.passages.has_unanswerable:
            table[:, :, 0] = NEVER
        place = np.zeros(len(store.starts), np.int64)
        place[union] = np.arange(union.size)
        for line, episode in enumerate(episodes):
            real = torch.from_numpy(np.flatnonzero(own[line] >= 0)).to(self.device)
            taken = torch.from_numpy(place[own[line][own[line] >= 0]]).to(self.device)
            for side in range(2):
                part = table[taken, side * len(episodes) + line]
                found[side, episode, real, : part.shape[1]] = part

    def state(self) -> dict[str, Tensor]:
        """All that ``update`` has changed, by name; states of words are looked up again."""
        most = max(len(own) for own in self._bought)
        table = torch.full((len(self._bought), most, 3), -1, dtype=torch.int64)
        for episode, own in enumerate(self._bought):
            if own:
                table[episode, : len(own)] = torch.tensor(own)
        return {"weights": self._weights, "bought": table}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Put learners that have just been started where ``state`` was taken. Mutates."""
        self._weights = state["weights"].to(self.device, copy=True)
        for episode, own in enumerate(state["bought"].tolist()):
            self._bought[episode], self._used[episode] = [], 0
            fresh = [(row, first, last) for row, first, last in own if row >= 0]
            if fresh:
                self._note(episode, fresh)


@dataclass(frozen=True, eq=False)
class _Layout:
    """Where the words of n bought questions of R episodes are among T inputs, question by question.

    Args:
        padded: ``(R, n * L)`` int64 input of each place of each question, T where there is none.
        place: ``(R, T)`` int64 place of each input among these; n * L for inputs of none.
        truth: ``(R, n, 2)`` int64 place of the first and the last word, -1 where there is no question.
        within: ``(R, n, L, 2)`` bool, words inside a piece, no places of borders; None without any.
        shape: n and L.
    """

    padded: Tensor
    place: Tensor
    truth: Tensor
    within: Tensor | None
    shape: tuple[int, int]

    @classmethod
    def of(
        cls, bought: Sequence[Sequence[tuple[int, int, int]]], stores: Sequence[_Store], n_words: int
    ) -> _Layout:
        """Lay out what R episodes have bought."""
        lengths = [
            store.passages.lengths[[row for row, _, _ in own]] + 1
            for own, store in zip(bought, stores, strict=True)
        ]
        n, longest = max(map(len, bought)), max(int(own.max()) for own in lengths)
        padded = np.full((len(bought), n * longest), n_words)
        place = np.full((len(bought), n_words), n * longest)
        truth = np.full((len(bought), n, 2), -1)
        within = np.zeros((len(bought), n * longest, 2), np.bool_)
        for line, (own, sizes, store) in enumerate(zip(bought, lengths, stores, strict=True)):
            question = np.repeat(np.arange(len(own)), sizes)
            offset = np.arange(sizes.sum()) - np.repeat(sizes.cumsum() - sizes, sizes)
            here = np.arange(sizes.sum())
            if store.shared.present:
                word = store.starts[[row for row, _, _ in own]][question] + offset
                sides = store.shared.repeated[word], store.shared.continued[word]
                within[line, question * longest + offset] = np.stack(sides, 1)
            if not store.passages.has_unanswerable:
                question, offset, here = (part[offset > 0] for part in (question, offset, here))
            padded[line, question * longest + offset] = here
            place[line, here] = question * longest + offset
            truth[line, : len(own)] = [span for _, *span in own]
        device = stores[0].states.device
        arrays = [torch.from_numpy(part).to(device) for part in (padded, place, truth)]
        inside = None
        if within.any():
            inside = torch.from_numpy(within).to(device).view(len(bought), n, longest, 2)
        return cls(arrays[0], arrays[1], arrays[2], inside, (n, longest))

    def _by_question(self, scores: Tensor) -> Tensor:
        """Scores ``(R, T, 2)`` as ``(R, n, L, 2)``, ``NEVER`` where no answer can begin and end."""
        spare = torch.nn.functional.pad(scores, (0, 0, 0, 1), value=NEVER)
        found = spare.gather(1, self.padded[:, :, None].expand(-1, -1, 2)).view(len(scores), *self.shape, 2)
        return found if self.within is None else found.masked_fill(self.within, NEVER)

    def loss(self, scores: Tensor) -> Tensor:
        """Summed loss of each episode ``(R,)`` for scores of the inputs ``(R, T, 2)``."""
        table = self._by_question(scores)
        own = table.gather(2, self.truth.clamp_min(0)[:, :, None, :])[:, :, 0]
        largest = table.amax(2, keepdim=True)
        total = table.sub_(largest).clamp_min_(FAINT).exp_().sum(2).log_() + largest[:, :, 0]
        return torch.where(self.truth >= 0, total - own, 0.0).sum((1, 2))

    def residual(self, scores: Tensor) -> Tensor:
        """Gradient of the loss by the scores ``(R, T, 2)``."""
        table = torch.softmax(self._by_question(scores), 2)
        live = self.truth >= 0
        one = live.to(table)[:, :, None, :]
        table = (table * one).scatter_add_(2, self.truth.clamp_min(0)[:, :, None, :], -one)
        flat = torch.nn.functional.pad(table.flatten(1, 2), (0, 0, 0, 1))
        return flat.gather(1, self.place[:, :, None].expand(-1, -1, 2))


def _store_of(corpus: Rows, dimensions: int, device: torch.device) -> _Store:
    passages = corpus.corpus.passages
    if passages is None:
        raise ReActError(
            f"The span scorer answers questions, but corpus {corpus.corpus.name!r} is of "
            f"{corpus.corpus.task}; set learner.kind to one that learns it."
        )
    if corpus.tokens is None:
        raise ReActError(
            f"Corpus {corpus.corpus.name!r} has no states of the words of its contexts, which the span "
            "scorer learns from; encode it with a transformer."
        )
    states, questions = torch.from_numpy(corpus.tokens.states), corpus.embeddings.cpu()
    size = min(dimensions, states.shape[1])
    every = max(len(states) // _SAMPLE, 1)
    projected = torch.empty(len(states), size, dtype=torch.float16)
    mean, axes = _axes(states[::every].double(), size)
    for first in range(0, len(states), _SAMPLE):
        part = slice(first, first + _SAMPLE)
        projected[part] = ((states[part].float() - mean) @ axes).half()
    asked = (questions - questions.mean(0)) @ axes
    asked = asked / asked.square().mean().sqrt().clamp_min(1e-6)
    overlap = torch.from_numpy(overlaps(passages, corpus.corpus.texts)).half()
    starts, shared = corpus.tokens.starts, SharedPieces(repeated_states(corpus.tokens.states))
    return _Store(projected.to(device), overlap.to(device), asked.to(device), starts, passages, shared)


def _axes(sample: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Mean ``(D,)`` and whitening axes ``(D, d)`` of states; projections have a mean square norm of 1."""
    mean = sample.mean(0)
    centred = sample - mean
    values, vectors = torch.linalg.eigh(centred.T @ centred / len(centred))
    values, vectors = values[-size:].flip(0), vectors[:, -size:].flip(1)
    # Signs are free: the largest entry of each axis is made positive, so that machines agree.
    largest = vectors.abs().argmax(0)
    vectors = vectors * vectors[largest, torch.arange(size)].sign()
    scale = (values.clamp_min(values[0] * 1e-6) * size).rsqrt()
    return mean.float(), (vectors * scale).float()
