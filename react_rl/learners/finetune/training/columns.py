"""What the columns of E episodes stand for: corpus rows, the examples they are read as, bought answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from react_rl.data.corpus import Corpus
from react_rl.learners.finetune.methods.network import Texts
from react_rl.learners.finetune.training.layout import Grid, Layout
from react_rl.learners.finetune.training.prediction import Reading
from react_rl.learners.finetune.training.store import PieceStore, joined
from react_rl.learners.protocol import LabelledRows, Purchase
from react_rl.tasks.protocol import ScoredVectors, TrainsNetworks

_TIE: Final = 1e-4
"""Weight of the dev loss where early stopping goes by a metric: smaller than any step of it."""

_Ids = npt.NDArray[np.int64]


class Columns:
    """Columns of E episodes.

    Args:
        corpora: The corpora.
        stores: Examples of each corpus.
        labelled: The ledger, to be read only.

    Attributes:
        rows: ``(E, W)`` row ids, -1 for none.
        dev: For each episode the ids of its dev rows, and their targets ``(n, ...)``.
        pool: ``(E, W)`` bool, columns that hold a row that can be bought or was.
        layout: Where the scores of columns are kept.
        told: ``(E, slots, ...)`` int64 answers in slots of the ledger, -1 where there is none.
        used: By episode the slots ``(n,)`` bool that are learned from; all of them where there is no entry.
    """

    def __init__(
        self, corpora: Sequence[Corpus], stores: Sequence[PieceStore], labelled: LabelledRows
    ) -> None:
        n_episodes, _, n_columns = labelled.shape
        self.stores = stores
        self._corpora = corpora
        self.rows = np.full((n_episodes, n_columns), -1, np.int64)
        self.dev = [(np.empty(0, np.int64), torch.empty(0, dtype=torch.int64))] * n_episodes
        self.pool = np.zeros((n_episodes, n_columns), np.bool_)
        self.layout = Layout(n_episodes, n_columns, labelled.device)
        self.used: dict[int, Tensor] = {}
        self._placed = [self.dev[0]] * n_episodes
        self.told = torch.empty(n_episodes, 0, dtype=torch.int64, device=labelled.device)
        self._corpus = [0] * n_episodes
        self._labelled = labelled

    def place(self, episode: int, corpus: int, rows: Tensor, dev_targets: Tensor) -> None:
        """Note the rows of an episode's columns; see ``Learner.place``. Mutates."""
        self._corpus[episode] = corpus
        ids = rows.cpu().numpy()
        self.rows[episode] = ids
        self._placed[episode] = ids, dev_targets
        known = dev_targets.view(len(dev_targets), -1)[:, 0] >= 0
        self.pool[episode] = (ids >= 0) & ~known.cpu().numpy()
        self.dev[episode] = ids[known.cpu().numpy()], dev_targets[known]
        self.layout.place(episode, self.of(episode).n_vectors_of(ids))

    def narrow(self, episode: int, come: npt.NDArray[np.bool_]) -> None:
        """Keep to the columns ``(W,)`` of an episode that have come; see ``LearnsInPhases``. Mutates."""
        ids, targets = self._placed[episode]
        self.rows[episode] = np.where(come, ids, -1)
        known = (targets.view(len(targets), -1)[:, 0] >= 0).cpu().numpy()
        self.pool[episode] = (ids >= 0) & ~known & come
        known &= come
        self.dev[episode] = ids[known], targets[torch.from_numpy(known)]

    def of(self, episode: int) -> PieceStore:
        """The store of an episode's corpus."""
        return self.stores[self._corpus[episode]]

    def corpus_of(self, episode: int) -> int:
        """Position of an episode's corpus."""
        return self._corpus[episode]

    def note(self, bought: Purchase) -> None:
        """Keep the answers to rows that were just bought. Mutates."""
        missing = int(bought.slots.max()) + 1 - self.told.shape[1]
        if missing > 0:
            size = (len(self.told), max(missing, self.told.shape[1]), *bought.targets.shape[2:])
            told = self.told if self.told.shape[1] else self.told.new_empty(size[0], 0, *size[2:])
            self.told = torch.cat([told, told.new_full(size, -1)], 1)
        self.told[bought.episodes[:, None], bought.slots] = bought.targets

    def answered(self) -> npt.NDArray[np.bool_]:
        """Columns ``(E, W)`` whose label is known; a slot may also stand for a row that got none."""
        found = np.zeros(self.rows.shape, np.bool_)
        for episode in range(len(found)):
            found[episode, self._answered_by(episode)[0]] = True
        return found

    def _answered_by(self, episode: int) -> tuple[_Ids, Tensor]:
        """Columns that got a label, in order of purchase, and which slots hold one."""
        used = self._labelled.used[episode]
        live = self._labelled.live[episode, :used] > 0
        columns: _Ids = self._labelled.columns[episode, :used][live].cpu().numpy()
        return columns, live

    def answers(self, episode: int) -> tuple[_Ids, Tensor]:
        """Labelled row ids ``(n,)`` of an episode, and the answers to them ``(n, ...)``, -1 for none."""
        columns, live = self._answered_by(episode)
        if episode in self.used:
            used = self.used[episode]
            columns, live = columns[used[live].cpu().numpy()], live & used
        rows: _Ids = self.rows[episode, columns]
        return rows, self.told[episode, : len(live)][live]

    def unlabelled(self, episode: int) -> _Ids:
        """Row ids of an episode's pool that have no label; the labelled ones where there is no other."""
        free = self.pool[episode].copy()
        labelled = self._answered_by(episode)[0]
        free[labelled] = False
        found: _Ids = self.rows[episode, free if free.any() else labelled]
        return found

    def vectors(self, grid: Grid, rows: _Ids, episodes: Sequence[int]) -> ScoredVectors:
        """What the vectors of a grid belong to: columns with rows ``(E, n)`` of these episodes."""
        corpora = [self._corpora[self._corpus[e]] for e in episodes]
        repeated = None
        if any(self.of(e).shares_pieces for e in episodes):
            columns, places = grid.column.cpu().numpy(), grid.place.cpu().numpy()
            own = [self.of(e).repeated(*at) for e, *at in zip(episodes, rows, columns, places, strict=True)]
            repeated = torch.from_numpy(np.stack(own)).to(grid.column.device)
        return ScoredVectors(grid.column, grid.place, rows, corpora, repeated)

    def wanting(self, episode: int, logits: Tensor, task: TrainsNetworks, class_mask: Tensor) -> Tensor:
        """What early stopping wants small, from scores ``(C, U)`` of the vectors of an episode's dev rows.

        Args:
            episode: The episode.
            logits: The scores.
            task: Says what that is.
            class_mask: ``(C,)`` bool, classes that take part.
        """
        rows, targets = self.dev[episode]
        truth = targets.to(logits.device)
        grid = self.layout.grid_of([self.of(episode).n_vectors_of(rows)])
        vectors = self.vectors(grid, rows[None], [episode])
        repeated = None if vectors.repeated is None else vectors.repeated[0]
        loss = task.head.dev_loss(logits, grid.column[0], grid.place[0], truth, repeated)
        if not task.head.stops_by_metric:
            return loss
        name = task.default_metrics[0]
        scores = task.scores_of(logits[None], vectors)
        metric = task.judge([name], scores, truth[None], class_mask[None])[name][0]
        return _TIE * loss - metric.to(loss).nan_to_num()

    def examples(self, episodes: Sequence[int], rows: Sequence[_Ids]) -> list[_Ids]:
        """Examples of rows of each episode."""
        return [self.of(e).examples(own) for e, own in zip(episodes, rows, strict=True)]

    def lengths(self, episode: int, examples: _Ids) -> _Ids:
        """Tokens of an episode's examples."""
        found: _Ids = self.of(episode).lengths[examples].numpy()
        return found

    def rectangle(self, episodes: Sequence[int], examples: _Ids) -> Texts:
        """Examples ``(R, B)``; corpora may differ from episode to episode."""
        corpora = {self._corpus[e] for e in episodes}
        if len(corpora) == 1:
            return self.stores[corpora.pop()].rectangle(torch.from_numpy(examples.reshape(-1)))
        pairs = zip(episodes, examples, strict=True)
        return joined([self.of(e).rectangle(torch.from_numpy(one)) for e, one in pairs])

    def reading(self, episodes: Sequence[int]) -> Reading:
        """Where predictions of these episodes find their examples."""
        return Reading(
            lambda r, examples: self.lengths(episodes[r], examples),
            lambda chosen: self.rectangle(episodes, chosen),
            lambda r, examples: self.of(episodes[r]).n_vectors(examples),
            self.stores[0].lead,
        )
