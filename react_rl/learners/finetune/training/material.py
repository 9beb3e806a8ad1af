"""What episodes train on in a round: labelled rows, copies made of them, rows without a label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from react_rl.data.corpus import Corpus
from react_rl.learners.augmentation.copying import Copier
from react_rl.learners.finetune.methods.network import Network, Texts
from react_rl.learners.finetune.settings import FineTuneSettings
from react_rl.learners.finetune.training.columns import Columns
from react_rl.learners.finetune.training.prediction import stacked
from react_rl.learners.finetune.training.store import PieceStore, TextStore, joined, reordered
from react_rl.learners.finetune.training.word_stores import QuestionStore, SentenceStore
from react_rl.learners.recipes.settings import AugmentationSettings
from react_rl.tasks.protocol import Scored

_Ids = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class RoundMaterial:
    """Examples of one episode: first those of labelled rows, then those of their copies.

    Args:
        store: Of the episode's corpus.
        examples: ``(n,)`` labelled examples in there.
        targets: ``(n + m, K)`` int64 targets of the vectors of all examples, -1 for none.
        copies: Store of the m copies; None where there are none.
        unlabelled: Examples in ``store`` that training may look at without a label.
    """

    store: PieceStore
    examples: _Ids
    targets: Tensor
    copies: PieceStore | None
    unlabelled: _Ids

    @property
    def size(self) -> int:
        """N + m."""
        return len(self.targets)

    @property
    def lengths(self) -> _Ids:
        """``(n + m,)`` tokens of each example."""
        own: _Ids = self.store.lengths[self.examples].numpy()
        return own if self.copies is None else np.concatenate([own, self.copies.lengths.numpy()])

    @property
    def vocabulary(self) -> _Ids:
        """Token ids that occur, ascending."""
        found = self.store.vocabulary(np.concatenate([self.examples, self.unlabelled]))
        if self.copies is not None:
            found = np.union1d(found, self.copies.vocabulary(np.arange(len(self.copies.lengths))))
        return found

    def parts(self, chosen: _Ids) -> list[tuple[PieceStore, _Ids, _Ids]]:
        """Chosen examples ``(B,)`` by store: the store, examples in there, their places in ``chosen``."""
        n = len(self.examples)
        places = np.arange(len(chosen))
        found = [(self.store, self.examples[chosen[chosen < n]], places[chosen < n])]
        if self.copies is not None:
            found.append((self.copies, chosen[chosen >= n] - n, places[chosen >= n]))
        return [part for part in found if len(part[1])]


class Materials:
    """Makes what episodes train on.

    Args:
        corpora: The engine's corpora.
        columns: What the columns of episodes stand for.
        network: The transformer.
        scored: What the task scores.
    """

    def __init__(self, corpora: Sequence[Corpus], columns: Columns, network: Network, scored: Scored) -> None:
        self._corpora, self._columns, self._network, self._scored = corpora, columns, network, scored
        self._copiers: dict[AugmentationSettings, Copier] = {}

    def prepare(self, settings: AugmentationSettings) -> Copier:
        """What makes copies under these settings; models are loaded once. Mutates the first time.

        Raises:
            ReActError: What they need is not there.
        """
        if settings not in self._copiers:
            own, device = self._network.settings, self._network.device
            self._copiers[settings] = Copier(settings, self._scored, own.model, own.max_length, device)
        return self._copiers[settings]

    def of(self, episode: int, seed: int, settings: FineTuneSettings) -> RoundMaterial:
        """What an episode trains on.

        Args:
            episode: The episode.
            seed: Its seed.
            settings: Those of its round.
        """
        columns, store = self._columns, self._columns.of(episode)
        rows, told = columns.answers(episode)
        examples, targets = store.taught(rows, told)
        none = np.empty(0, np.int64)
        looked_at = store.examples(columns.unlabelled(episode)) if settings.consistency.weight > 0 else none
        if settings.augmentation.kind == "none":
            return RoundMaterial(store, examples, targets, None, looked_at)
        copier = self.prepare(settings.augmentation)
        copies, answers = self._copied(episode, copier, rows, told, seed)
        both = [targets, copies.taught(np.arange(len(answers)), answers)[1]]
        most = max(part.shape[1] for part in both)
        wide = [torch.nn.functional.pad(part, (0, most - part.shape[1]), value=-1) for part in both]
        return RoundMaterial(store, examples, torch.cat(wide), copies, looked_at)

    def rectangle(self, episodes: Sequence[int], materials: Sequence[RoundMaterial], chosen: _Ids) -> Texts:
        """Examples ``(R, B)`` of R episodes, by place in their material."""
        if all(material.copies is None for material in materials):
            rows = np.stack([m.examples[own] for m, own in zip(materials, chosen, strict=True)])
            return self._columns.rectangle(episodes, rows)
        parts, order, count = [], np.empty(chosen.size, np.int64), 0
        for r, (material, own) in enumerate(zip(materials, chosen, strict=True)):
            for store, examples, places in material.parts(own):
                parts.append(store.rectangle(torch.from_numpy(examples)))
                order[r * chosen.shape[1] + places] = count + np.arange(len(examples))
                count += len(examples)
        return reordered(joined(parts), torch.from_numpy(order))

    def _copied(
        self, episode: int, copier: Copier, rows: _Ids, told: Tensor, seed: int
    ) -> tuple[PieceStore, Tensor]:
        """Store of the copies of labelled rows ``(n,)``, and the answers to them ``(m, ...)``."""
        corpus, network = self._corpora[self._columns.corpus_of(episode)], self._network
        if corpus.tokens is None:
            texts = copier.texts([corpus.texts[row] for row in rows], rows.tolist(), seed)
            each = len(texts) // len(rows)
            answers = told.repeat_interleave(each, 0)
            if corpus.passages is not None:
                about = corpus.passages.about(np.repeat(rows, each).tolist())
                return QuestionStore(corpus.name, texts, about, network, kept=False), answers
            return TextStore(texts, network, kept=False), answers
        sentences = [
            (corpus.tokens[row], [tag for tag in tags if tag >= 0])
            for row, tags in zip(rows.tolist(), told.tolist(), strict=True)
        ]
        copies = copier.sentences(sentences, rows.tolist(), seed)
        answers = stacked([torch.tensor(tags, device=told.device)[None] for _, tags in copies], -1)[:, 0]
        return SentenceStore([words for words, _ in copies], network, kept=False), answers
