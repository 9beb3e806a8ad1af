"""Fine-tuning from phase to phase: which labels a round is trained on, and what it is held to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from react_rl.data.corpus import Corpus
from react_rl.errors import ReActError
from react_rl.learners.finetune.learner import FineTune
from react_rl.learners.finetune.phase_adapters import PhaseAdapters
from react_rl.learners.finetune.settings import FineTuneSettings
from react_rl.learners.finetune.training.holding import Held, information
from react_rl.learners.finetune.training.material import RoundMaterial
from react_rl.learners.finetune.training.prediction import rows_of
from react_rl.learners.finetune.training.restarting import restarted
from react_rl.learners.protocol import LabelledRows, Purchase, part_of
from react_rl.learners.recipes.phases import reservoir_keys, used_rows
from react_rl.learners.recipes.settings import ContinualSettings

_Ids = npt.NDArray[np.int64]


class FineTuneInPhases(FineTune):
    """E fine-tuned transformers that go on from phase to phase as ``ContinualSettings`` say.

    Without phases, and in the first one, it is ``FineTune``. Past it, a kind other than ``joint`` begins its
    rounds from the weights with which the phase began wherever a round would begin from the pretrained ones;
    ``adapters`` begins with fresh weights, and those of earlier phases go on reading (``PhaseAdapters``).

    Raises:
        ReActError: As ``FineTune``; or pretraining would read texts of phases that are yet to come.
    """

    def __init__(
        self,
        corpora: Sequence[Corpus],
        labelled: LabelledRows,
        settings: FineTuneSettings,
        folder: Path | None = None,
    ) -> None:
        if settings.pretraining is not None and any(corpus.phases is not None for corpus in corpora):
            raise ReActError(
                "pretraining reads texts of phases that are yet to come; leave it out on corpora in phases."
            )
        super().__init__(corpora, labelled, settings, folder)
        n_episodes, n_classes = len(self._seeds), self._class_mask.shape[1]
        self._first = np.zeros(n_episodes, np.int64)  # first slot of the phase
        self._seen = torch.zeros(n_episodes, n_classes, dtype=torch.bool, device=self.device)
        self._arrived = torch.ones(n_episodes, labelled.shape[2], dtype=torch.bool)
        self._begun: dict[str, Tensor] = {}
        self._information: dict[str, Tensor] = {}
        self._adapters = PhaseAdapters(n_episodes)
        self._phase_of = [None if one.phases is None else one.phases.of.astype(np.int64) for one in corpora]

    def start(self, episodes: Tensor, n_classes: Tensor, seeds: Sequence[int] = ()) -> None:
        """See ``FineTune.start``."""
        super().start(episodes, n_classes, seeds)
        for episode in episodes.tolist():
            self._first[episode] = 0
            self._arrived[episode] = True
            self._columns.used.pop(episode, None)
        self._adapters.forget(episodes.tolist())
        self._seen[episodes] = False
        for array in self._information.values():
            array[episodes] = 0.0

    @torch.inference_mode(False)
    def enter_phase(self, episodes: Sequence[int], arrived: Tensor) -> None:
        """Keep the weights of some episodes, and the columns ``(R, W)`` that have come. Mutates."""
        ended = [e for e in episodes if self.labelled.used[e] > 0]
        if ended:
            self._inform([e for e in ended if self._continual(e).kind == "ewc"])
            for name, array in self._weights.items():
                self._begun.setdefault(name, torch.zeros_like(array))[ended] = array[ended]
            self._seen[ended] = self.labelled.onehot[ended].sum(2) > 0
            self._renew([e for e in ended if self._continual(e).kind == "adapters"])
            self._first[ended] = [self.labelled.used[e] for e in ended]
        self._adapters.phase[list(episodes)] += 1
        for episode, come in zip(episodes, arrived.cpu(), strict=True):
            self._arrive(episode, come)

    def update(self, bought: Purchase) -> None:
        """Train the episodes that got a label on what their recipe lets them see, in place."""
        for episode in bought.episodes.tolist():
            settings, n = self._continual(episode), self.labelled.used[episode]
            self._columns.used.pop(episode, None)
            if settings.kind != "joint" and self._first[episode] > 0:
                live = self.labelled.live[episode, :n][None]
                rows = torch.from_numpy(self._columns.rows[episode])[self.labelled.columns[episode, :n].cpu()]
                first = torch.tensor([int(self._first[episode])], device=live.device)
                used = used_rows(live, rows[None].to(live.device), first, settings)
                self._columns.used[episode] = used[0] > 0
        super().update(bought)

    def state(self) -> dict[str, Tensor]:
        """See ``FineTune.state``."""
        own: dict[str, Tensor] = {}
        if self._first.any() or not bool(self._arrived.all()):
            own = {"phases/first": torch.from_numpy(self._first), "phases/seen": self._seen}
            own["phases/arrived"] = self._arrived
            own["phases/number"] = torch.from_numpy(self._adapters.phase)
        parts = (("begun", self._begun), ("information", self._information))
        for part, arrays in (*parts, ("adapters", self._adapters.state())):
            own |= {f"{part}/{name}": array for name, array in arrays.items()}
        return super().state() | own

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """See ``FineTune.load_state``. Mutates."""
        phases = part_of(state, "phases")
        if phases:
            self._first = phases["first"].numpy().copy()
            self._adapters.phase = phases["number"].numpy().copy()
            self._seen = phases["seen"].to(self.device, copy=True)
            for episode, come in enumerate(phases["arrived"].cpu()):
                self._arrive(episode, come)
        with torch.inference_mode(False):
            for part, arrays in (("begun", self._begun), ("information", self._information)):
                arrays |= {n: a.to(self.device, copy=True) for n, a in part_of(state, part).items()}
            self._adapters.load_state(part_of(state, "adapters"), self.device)
        super().load_state(state)

    def _continual(self, episode: int) -> ContinualSettings:
        return self.settings.following(self.recipes[episode]).continual

    def _arrive(self, episode: int, come: Tensor) -> None:
        self._arrived[episode] = come
        self._columns.narrow(episode, come.numpy())

    def _begin_of_phase(self, episodes: list[int]) -> dict[str, Tensor]:
        """Weights that a round begins from, past the first phase those of its beginning."""
        share = self.settings.kept_share
        begin = restarted(self._begin, self._weights, episodes, share)
        later = [r for r, e in enumerate(episodes) if self._first[e] > 0]
        own = [episodes[r] for r in later]
        for name, array in begin.items():
            array[later] = torch.lerp(self._begun[name][own], self._weights[name][own], share)
        return begin

    def _goes_on(self, episode: int) -> bool:
        """Whether an episode is past its first phase and held to it in any way."""
        kind = self._continual(episode).kind
        return bool(self._first[episode] > 0) and kind not in ("joint", "adapters")

    def _renew(self, episodes: list[int]) -> None:
        """Keep the adapters of the phase that ends, and begin with fresh ones. Mutates."""
        if not episodes:
            return
        self._adapters.keep([e for e in episodes if self._taught_in_phase(e)], self._weights)
        for name, array in self._begin(episodes).items():
            self._weights[name][episodes] = array
        self._known[episodes] = False

    def _taught_in_phase(self, episode: int) -> bool:
        slots = slice(int(self._first[episode]), self.labelled.used[episode])
        return bool((self.labelled.live[episode, slots] > 0).any())

    def _predict(
        self, episodes: list[int], rows: Sequence[_Ids], keys: Tensor | None = None, features: bool = False
    ) -> list[Tensor]:
        """See ``ReadingTransformers``; each row is read by the adapter of one phase, features by the last."""
        if features or not any(self._adapters.has(e) for e in episodes):
            return super()._predict(episodes, rows, keys, features)

        def read(chosen: list[int], own: list[_Ids], weights: Mapping[str, Tensor]) -> list[Tensor]:
            return self._predict_with(weights, chosen, own, keys, False)

        known = [e for e in episodes if self._continual(e).rows == "known"]
        found: dict[int, Tensor] = {}
        for told in (True, False):
            some = [r for r, e in enumerate(episodes) if (e in known) is told]
            phases = [self._phases_of(episodes[r], rows[r]) for r in some] if told else None
            members = [episodes[r] for r in some]
            current = {e: self._taught_in_phase(e) or not self._adapters.has(e) for e in members}
            said = self._adapters.read(members, [rows[r] for r in some], phases, current, self._weights, read)
            found |= dict(zip(some, said, strict=True))
        return [found[r] for r in range(len(episodes))]

    def _phases_of(self, episode: int, rows: _Ids) -> _Ids:
        of = self._phase_of[self._columns.corpus_of(episode)]
        return np.zeros(len(rows), np.int64) if of is None else of[rows]

    def _held(
        self, episodes: list[int], materials: Sequence[RoundMaterial], settings: FineTuneSettings
    ) -> Held:
        """What holds episodes with one recipe in a round."""
        continual = settings.continual
        if not any(self._goes_on(e) for e in episodes):
            return Held()
        begin = self._begin_of_phase(episodes)
        begun = {name: rows_of(array, episodes) for name, array in self._begun.items()}
        if continual.kind == "ewc":
            # The loss is a mean over the labelled texts, and so is the penalty.
            scale = continual.strength / materials[0].size
            importance = {name: scale * rows_of(self._information[name], episodes) for name in begun}
            return Held(begin, begun, importance)
        if continual.kind == "lwf":
            narrow = {name: array.to(self.network.dtype) for name, array in begun.items()}
            with torch.inference_mode():
                scores = self._read(episodes, narrow, [one.examples for one in materials], None, False)
            teacher = torch.stack(scores).transpose(1, 2).clone()
            return Held(begin, teacher=teacher, classes=self._seen[episodes])
        return Held(begin)

    def _inform(self, episodes: list[int]) -> None:
        """Add the information of the labelled texts of the phase that ends. Mutates."""
        if not self._information:
            self._information = {name: torch.zeros_like(array) for name, array in self._weights.items()}
        if not episodes:
            return
        for episode in episodes:  # of the phase alone: those before it have been added
            slots = torch.arange(self.labelled.used[episode], device=self.device)
            self._columns.used[episode] = slots >= int(self._first[episode])
        taught = [self._columns.of(e).taught(*self._columns.answers(e))[0] for e in episodes]
        kept = [r for r, rows in enumerate(taught) if len(rows)]
        episodes, taught = [episodes[r] for r in kept], [taught[r] for r in kept]
        if not episodes:
            return
        most, counts = max(map(len, taught)), np.array([len(rows) for rows in taught])
        rows = np.stack([np.pad(one, (0, most - len(one)), mode="edge") for one in taught])
        with torch.enable_grad():
            found = information(
                self.network,
                {name: array[episodes] for name, array in self._weights.items()},
                self._class_mask[episodes].clone(),
                lambda chosen: self._columns.rectangle(episodes, np.take_along_axis(rows, chosen, 1)),
                counts,
                reservoir_keys(torch.from_numpy(rows)),
            )
        for name, array in found.items():
            self._information[name][episodes] += array
