"""Cheap learners that know the labels of E episodes, whatever learner those train: selection via proxy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

from react_rl.learners.ledger_view import LedgerView
from react_rl.learners.protocol import LabelledRows, Learner, Purchase, ScoresColumns
from react_rl.learners.registry import LearnerSettings, entry_of, make_learner
from react_rl.simulation.encoded import EncodedCorpus
from react_rl.simulation.geometry import Geometry
from react_rl.simulation.oracle import ABSTAINED, Oracle

_NO_SEEDS: Final = ()


class Proxies:
    """Learners on frozen states beside those of E episodes, fitted at once to the same bought labels.

    They begin again whenever they are taught, so nothing of them has to be kept between rounds.

    Source: Coleman et al. 2020, Selection via proxy: efficient data selection for deep learning.

    Args:
        corpora: The engine's corpora.
        geometry: Which rows the columns of each episode hold.
        ledger: What was bought.
        oracle: Asked again for the answers of bought rows, and for no others.
    """

    def __init__(
        self, corpora: Sequence[EncodedCorpus], geometry: Geometry, ledger: LabelledRows, oracle: Oracle
    ) -> None:
        self._corpora, self._geometry, self._oracle = corpora, geometry, oracle
        self._ledger = _Uneven(ledger)
        self._learners: dict[LearnerSettings, Learner] = {}
        self._placed: dict[LearnerSettings, tuple[list[int], Tensor]] = {}

    def taught(self, settings: LearnerSettings, n_classes: Tensor) -> ScoresColumns:
        """Learners that have just learned all that was bought. Those taught before are the same. Mutates.

        Args:
            settings: Their settings; learners that chance has no part in.
            n_classes: ``(E,)`` int64.
        """
        assert not entry_of(settings).random, "a proxy is decided by the labels alone"
        if settings not in self._learners:
            self._learners[settings] = make_learner(settings, self._corpora, self._ledger)
        learner = self._learners[settings]
        self._place(settings, learner)
        everyone = torch.arange(self._ledger.shape[0], device=self._ledger.device)
        learner.start(everyone, n_classes, _NO_SEEDS)
        if self._ledger.slots:
            learner.update(self._everything(everyone))
        return learner

    def _place(self, settings: LearnerSettings, learner: Learner) -> None:
        """Tell a learner what the columns stand for, where it has changed. Mutates."""
        corpus, rows = self._geometry.placed
        known = self._placed.get(settings)
        if known is not None and known[0] == corpus and torch.equal(known[1], rows):
            return
        shape = (rows.shape[1], *self._oracle.shape)
        unknown = torch.full(shape, ABSTAINED, dtype=torch.int64, device=rows.device)
        for episode, own in enumerate(rows):
            learner.place(episode, corpus[episode], own, unknown)
        self._placed[settings] = corpus, rows

    def _everything(self, everyone: Tensor) -> Purchase:
        """All labelled rows as one purchase."""
        ledger, n = self._ledger, self._ledger.slots
        columns, known = ledger.columns[:, :n], ledger.live[:, :n] > 0
        labels = torch.where(known, ledger.onehot[:, :, :n].argmax(1), ABSTAINED)
        # Slots without a label carry any column, whose answer nobody has bought.
        bought = known.view(*known.shape, *[1] * len(self._oracle.shape))
        targets = torch.where(bought, self._oracle.answer(everyone, columns), ABSTAINED)
        before = [0] * len(everyone)
        return Purchase(everyone, columns, labels, targets, ledger.rows[:, :n], before, everyone=True)


class _Uneven(LedgerView):
    """A ledger whose episodes may hold different numbers of labels, though none of them is missing."""

    @property
    def unanswered(self) -> bool:
        """Whether a slot of some episode carries no label."""
        return not bool(self.live[:, : self.slots].all())
