"""E transformers with weights of their own that score rows lazily, and none twice with the same weights.

How they come to their weights is said in ``learner``.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from react_rl.data.corpus import Corpus
from react_rl.learners.finetune.adaptation import pretrained
from react_rl.learners.finetune.backbone.dropout import step_keys
from react_rl.learners.finetune.methods.network import Network
from react_rl.learners.finetune.methods.words import Words
from react_rl.learners.finetune.settings import FineTuneSettings
from react_rl.learners.finetune.training.columns import Columns
from react_rl.learners.finetune.training.memory import asking_less, free_memory, keep_freed_memory
from react_rl.learners.finetune.training.prediction import drawn_candidates, predict, rows_of, stacked
from react_rl.learners.finetune.training.store import PieceStore
from react_rl.learners.finetune.training.word_stores import store_of
from react_rl.learners.protocol import INVALID_LOGIT, LabelledRows, part_of
from react_rl.learners.scores import ColumnScores
from react_rl.tasks.protocol import ScoredVectors, Scores, TrainsNetworks
from react_rl.tasks.registry import task_of

_TOKENS: Final = {"cpu": 1024, "cuda": 65536}
_SAMPLE: Final = 7919
"""Counter that sets the masks of Monte Carlo samples apart from those of training."""

_log = logging.getLogger(__name__)
_Ids = npt.NDArray[np.int64]
_Mask = npt.NDArray[np.bool_]


class ReadingTransformers(ColumnScores):
    """E transformers that read and score rows.

    Args:
        corpora: The engine's corpora.
        labelled: The ledger, to be read only; the network computes on its device.
        settings: Model, method, training.
        folder: Where hidden states of frozen layers are kept; None is the cache.

    Attributes:
        failures: Reasons why episodes cannot go on, by episode.

    Raises:
        ReActError: The model cannot be had.
    """

    network_class: ClassVar[type[Network]] = Network
    fewest_labels: ClassVar[int] = 1  # from which on scores say something

    def __init__(
        self,
        corpora: Sequence[Corpus],
        labelled: LabelledRows,
        settings: FineTuneSettings,
        folder: Path | None = None,
    ) -> None:
        super().__init__(labelled)
        task = task_of(corpora)
        assert isinstance(task, TrainsNetworks), "the registry says which tasks can be fine-tuned"
        self._task = task
        n_episodes, most_classes, n_columns = labelled.shape
        n_classes = self._task.n_outputs(corpora, most_classes)
        self._classes = torch.arange(n_classes, device=self.device)
        self._logits = torch.zeros(n_episodes, n_classes, n_columns, device=self.device)
        self.settings = settings
        if self.device.type == "cpu":
            keep_freed_memory()
        with torch.inference_mode(False):
            adapted = pretrained(settings, corpora, self.device)
            self.network = self.network_class(adapted, n_classes, str(self.device))
            self.stores = self._stores(corpora, folder)
        self._columns = Columns(corpora, self.stores, labelled)
        self._known = np.zeros((n_episodes, n_columns), np.bool_)
        self._seeds = torch.zeros(n_episodes, dtype=torch.int64)
        self._rounds = np.zeros(n_episodes, np.int64)
        self._class_mask = torch.zeros(n_episodes, n_classes, dtype=torch.bool, device=self.device)
        self._weights: dict[str, Tensor] = {}
        self._words = Words(self.network, n_episodes)
        # peft holds one set of weights at a time.
        self._at_once = 1 if settings.method == "peft" else settings.episodes_at_once or n_episodes
        self._pieces = settings.accumulate
        self._tokens = settings.predict_tokens or _TOKENS.get(self.device.type, _TOKENS["cpu"])

    def _stores(self, corpora: Sequence[Corpus], folder: Path | None) -> list[PieceStore]:
        return [store_of(corpus, self._task.head.scored, self.network, folder) for corpus in corpora]

    def _begin(self, episodes: list[int]) -> dict[str, Tensor]:
        """Weights ``(R, ...)`` of episodes before any training, the word table left out."""
        return self.network.begin(self._seeds[episodes])

    def place(self, episode: int, corpus: int, rows: Tensor, dev_targets: Tensor) -> None:
        """Note the rows of an episode's columns ``(W,)`` and the targets of its dev columns. Mutates."""
        self._columns.place(episode, corpus, rows, dev_targets)

    @torch.inference_mode(False)
    def start(self, episodes: Tensor, n_classes: Tensor, seeds: Sequence[int] = ()) -> None:
        """Forget the given episodes ``(R,)`` and begin again with fresh heads drawn from ``seeds``."""
        chosen = episodes.tolist()
        valid = self._classes[None, :] < n_classes.to(self.device)[:, None]
        self._class_mask[episodes] = valid
        missing = max(0, self._columns.layout.width - self._logits.shape[2])
        self._logits = torch.nn.functional.pad(self._logits, (0, missing))
        self._logits[episodes] = torch.where(valid, 0.0, INVALID_LOGIT)[:, :, None]
        self._known[chosen] = False
        self._rounds[chosen] = 0
        self._seeds[episodes.cpu()] = torch.tensor(seeds, dtype=torch.int64)
        for episode in chosen:
            self.failures.pop(episode, None)
            self._words.forget(episode)
        begin = self._begin(chosen)
        if not self._weights:
            self._weights = {
                name: torch.zeros(len(self._seeds), *array.shape[1:], device=self.device)
                for name, array in begin.items()
            }
        for name, array in begin.items():
            self._weights[name][episodes] = array

    def state(self) -> dict[str, Tensor]:
        """See ``ColumnScores.state``; what memory allows is part of it, so that batches stay the same."""
        parts = {"weights": self._weights, "words": self._words.state()}
        own = {f"{part}/{name}": array for part, arrays in parts.items() for name, array in arrays.items()}
        own["known"], own["rounds"] = torch.from_numpy(self._known), torch.from_numpy(self._rounds)
        own["told"] = self._columns.told
        own["limits"] = torch.tensor([self._at_once, self._pieces, self._tokens])
        return super().state() | own

    @torch.inference_mode(False)
    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """See ``ColumnScores.load_state``. Mutates."""
        super().load_state(state)
        for name in self._weights:
            self._weights[name] = state[f"weights/{name}"].to(self.device, copy=True)
        self._words.load_state(part_of(state, "words"))
        self._columns.told = state["told"].to(self.device, copy=True)
        self._known, self._rounds = state["known"].numpy().copy(), state["rounds"].numpy().copy()
        self._at_once, self._pieces, self._tokens = state["limits"].tolist()

    def candidates(self, available: Tensor) -> Tensor | None:
        """Of the rows ``(E, P)`` that can be bought, those that are scored in this round; None for all."""
        most = self.settings.candidates
        return None if most is None else drawn_candidates(available, most, self._seeds, self._rounds)

    def logits_of(self, columns: slice, wanted: Tensor | None = None) -> Scores:
        """Scores of a range of columns, as the task reads them.

        Rows that were labelled keep the score they had, as do pool columns not ``wanted`` ``(E, P)``.
        """
        missing = (self._columns.rows >= 0) & ~self._columns.answered()
        if wanted is not None:
            missing[:, : wanted.shape[1]] &= wanted.cpu().numpy()
        missing[np.array(self.labelled.used) < self.fewest_labels] = False
        outside = np.ones(missing.shape[1], np.bool_)
        outside[columns] = False
        missing[:, outside] = False
        self._score(missing)
        grid = self._columns.layout.grid(columns)
        vectors = self._columns.vectors(grid, self._columns.rows[:, columns], range(len(self._seeds)))
        return self._as_scores(grid.take(self._logits), vectors)

    def _as_scores(self, logits: Tensor, vectors: ScoredVectors) -> Scores:
        return self._task.scores_of(logits, vectors)

    def fitted_logits(self) -> Tensor:
        """Scores of the labelled rows themselves under the present weights, ``(E, C, n)``."""
        self._score(self._columns.answered())
        return super().fitted_logits()

    def _score(self, columns: _Mask) -> None:
        """Score those columns ``(E, W)`` that the present weights have not scored yet. Mutates."""
        missing = columns & ~self._known
        wanted = np.flatnonzero(missing.any(1)).tolist()
        places = [np.flatnonzero(missing[e]) for e in wanted]
        rows = [self._columns.rows[e, place] for e, place in zip(wanted, places, strict=True)]
        for e, place, scores in zip(wanted, places, self._predict(wanted, rows), strict=True):
            there = torch.from_numpy(self._columns.layout.places(e, place)).to(self.device)
            self._logits[e][:, there] = scores
            self._known[e, place] = True

    def logits_of_rows(self, rows: Sequence[_Ids]) -> Scores:
        """Scores of other rows, T for each episode, e.g. of a test split; see ``logits_of``."""
        columns, everyone = self._columns, list(range(len(self._seeds)))
        counts = [columns.of(e).n_vectors_of(rows[e]) for e in everyone]
        grid = columns.layout.grid_of(counts)
        vectors = columns.vectors(grid, np.stack(list(rows)), everyone)
        return self._as_scores(stacked(self._predict(everyone, rows)), vectors)

    def features_of(self, columns: slice) -> Tensor:
        """Vectors that are scored ``(E, ., H)`` float32 of a range of columns under the present weights."""
        everyone = list(range(len(self._seeds)))
        found = self._predict(everyone, self._present(columns), features=True)
        return stacked(found).transpose(1, 2)

    def dropout_logits(self, columns: slice, samples: int) -> Tensor:
        """Scores of Monte Carlo samples ``(E, M, C, .)``, each with other units dropped."""
        everyone, rows = list(range(len(self._seeds))), self._present(columns)
        drawn = []
        for sample in range(samples):
            seeds = self._seeds + torch.from_numpy(self._rounds)
            drawn.append(stacked(self._predict(everyone, rows, step_keys(seeds, _SAMPLE, sample))))
        return torch.stack(drawn, 1)

    def _present(self, columns: slice) -> list[_Ids]:
        return [self._columns.of(e).present(ids[columns]) for e, ids in enumerate(self._columns.rows)]

    def head(self) -> tuple[Tensor, Tensor]:
        """Weights ``(E, C, H)`` and intercepts ``(E, C)`` of the last layer."""
        return self._weights["head.out.weight"], self._weights["head.out.bias"]

    def _make_do(self, error: RuntimeError, episodes: int, most_pieces: int) -> None:
        """After running out of memory, ask for less at a time; any other error goes on its way. Mutates."""
        self._at_once, self._pieces = asking_less(error, episodes, self._at_once, self._pieces, most_pieces)

    def _predict(
        self, episodes: list[int], rows: Sequence[_Ids], keys: Tensor | None = None, features: bool = False
    ) -> list[Tensor]:
        """Scores (or pooled vectors) of rows of each episode under the weights that read them."""
        return self._predict_with(self._weights, episodes, rows, keys, features)

    def _predict_with(
        self, own_weights: Mapping[str, Tensor], episodes: list[int], rows: Sequence[_Ids],
        keys: Tensor | None, features: bool,
    ) -> list[Tensor]:  # fmt: skip
        """Scores (or pooled vectors) under weights ``(E, ...)``, as many side by side as memory allows."""
        found: list[Tensor] = []
        with torch.inference_mode():
            while len(found) < len(episodes):
                part = slice(len(found), len(found) + self._at_once)
                chunk = episodes[part]
                try:
                    weights = {
                        n: rows_of(array, chunk).to(self.network.dtype) for n, array in own_weights.items()
                    } | self._words.tables(chunk)
                    own = None if keys is None else keys[chunk].to(self.device)
                    examples = self._columns.examples(chunk, rows[part])
                    found += self._read(chunk, weights, examples, own, features)
                except RuntimeError as error:
                    self._make_do(error, len(chunk), 0)
        return found

    def _read(
        self, episodes: list[int], weights: dict[str, Tensor], rows: Sequence[_Ids], keys: Tensor | None,
        features: bool
    ) -> list[Tensor]:  # fmt: skip
        reading = self._columns.reading(episodes)
        mask, fewest = self._class_mask[episodes], len(episodes) * self.settings.max_length
        while True:
            try:
                return predict(self.network, weights, mask, rows, reading, self._tokens, keys, features)
            except RuntimeError as error:
                if self._tokens <= fewest:
                    raise
                free_memory(error)
                self._tokens = max(self._tokens // 2, fewest)
                _log.warning("Out of memory: predictions of %d tokens at a time from now on.", self._tokens)
