"""The pick-candidate interface: an action picks one of K candidate rows; the learner waits for the batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import gymnasium
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from react_rl.acquisition.batching.row_features import CLIP, ROW_FEATURES, RowFeatures
from react_rl.acquisition.features import feature_named
from react_rl.envs.interfaces.candidates import Proposals
from react_rl.envs.interfaces.contract import Decision, Frame, Interface, each_once, needs_of_features
from react_rl.envs.observations import Observation
from react_rl.errors import ReActError
from react_rl.simulation.view import PoolView

USUAL_PROPOSERS: Final = ("mixture", "uncertainty", "herding", "random")
"""Proposers of pick-candidate unless told otherwise."""


@dataclass
class _Round:
    """What is carried from pick to pick of a round.

    Args:
        rows: Features of all rows, with the picks so far in the batch.
        context: ``(E, G)`` observation at the round's start.
        picks: Picks that ``rows`` knows.
        exact: Whether all episodes were at the same pick.
    """

    rows: RowFeatures
    context: npt.NDArray[np.float32]
    picks: int = 0
    exact: bool = True


class PickCandidate(Interface):
    """``Discrete(K [+ 1])`` with a mask: which of K candidate rows is bought next, or (last action) no more.

    The observation is a dict: ``context``, the numbers of the observation at the round's start and the share
    of the batch that is picked; ``candidates`` ``(K, F)``, standardised features of each candidate, with the
    picks so far counted as labelled; ``mask`` ``(K,)``, which candidates there are. The learner is refitted
    when the batch is whole. To stop at a round's start ends the episode; after a pick, it ends the batch.

    An action that the mask forbids picks the first candidate.

    Args:
        candidates: K.
        proposers: Who puts rows forward, in equal shares: mixture, uncertainty, herding, spread, random, the
            names of features, or all, for every row (then K is the most that there are).
        features: Features of a candidate, F of them.
        stop: Add a last action that stops.
        observation: What the policy sees of episode and pool; None is the context observation.

    Raises:
        ReActError: A feature or proposer is unknown or named twice, or the observation is no array.
    """

    def __init__(
        self,
        candidates: int = 32,
        proposers: Sequence[str] = USUAL_PROPOSERS,
        features: Sequence[str] = ROW_FEATURES,
        stop: bool = False,
        *,
        observation: Observation | None = None,
    ) -> None:
        super().__init__(observation=observation)
        for feature in features:
            feature_named(feature)
        self.features = each_once("Features", features)
        self.proposals = Proposals(proposers, candidates)
        self.stop = stop
        self._columns = tuple(dict.fromkeys((*self.features, *self.proposals.features)))
        self.needs = needs_of_features(self._columns)
        seen = self.observation.space
        if not isinstance(seen, gymnasium.spaces.Box) or len(seen.shape) != 1:
            raise ReActError(f"pick-candidate needs an observation of G numbers, not {seen}.")
        boxes = gymnasium.spaces
        low, high = np.append(seen.low, np.float32(0.0)), np.append(seen.high, np.float32(1.0))
        self.observation_space = boxes.Dict(
            {
                "context": boxes.Box(low, high, dtype=np.float32),
                "candidates": boxes.Box(-CLIP, CLIP, (candidates, len(self.features)), np.float32),
                "mask": boxes.MultiBinary(candidates),
            }
        )
        self.action_space = boxes.Discrete(candidates + stop)

    def expected_actions(self, rows: float, batch_size: int) -> float:
        """One for each row."""
        return rows

    def frame(self, view: PoolView, last: Frame | None = None) -> Frame:
        """Propose candidates, with the picks of the round counted as labelled."""
        memory = self._memory(view, last)
        columns = self.proposals.columns(view, self._columns, memory.rows.values)
        there, places = columns >= 0, columns.clamp_min(0)
        index = places[:, :, None].expand(-1, -1, len(self.features))
        rows = memory.rows.values[:, :, : len(self.features)].gather(1, index) * there[:, :, None]
        picked = (view.picks >= 0).sum(1).cpu().numpy() / view.progress.batch_size
        mask = there.cpu().numpy()
        observation = {
            "context": np.concatenate(
                [memory.context, np.minimum(picked, 1.0)[:, None]], 1, dtype=np.float32
            ),
            "candidates": rows.cpu().numpy(),
            "mask": mask.astype(np.int8),
        }
        allowed = np.concatenate([mask, np.ones((len(mask), int(self.stop)), dtype=np.bool_)], 1)
        ids = torch.where(there, view.ids.gather(1, places), -1)
        return Frame(view, observation, view.progress.batch_size, allowed, ids, memory)

    def decide(self, frame: Frame, actions: npt.NDArray[Any]) -> Decision:
        """Buy the candidate."""
        assert frame.candidates is not None
        actions, most = np.asarray(actions).reshape(-1), self.proposals.candidates
        largest = most - 1 + self.stop
        outside = (actions < 0) | (actions > largest)
        if outside.any():
            raise ReActError(
                f"Action {actions[outside][0]} is outside the action space; choose 0 to {largest}."
            )
        stop = actions == most
        chosen = torch.from_numpy(np.where(stop, 0, actions)).to(frame.candidates.device)[:, None]
        ids = frame.candidates.gather(1, chosen)
        ids = torch.where(ids >= 0, ids, frame.candidates[:, :1])
        return Decision(ids, stop, np.full(len(actions), frame.batch_size))

    def describe(self) -> dict[str, Any]:
        """Name and settings from which ``make_interface`` builds the same."""
        return {
            "name": "pick-candidate",
            "candidates": self.proposals.candidates,
            "proposers": list(self.proposals.proposers),
            "features": list(self.features),
            "stop": self.stop,
        }

    def _memory(self, view: PoolView, last: Frame | None) -> _Round:
        """The features of all rows now: those of the last pick with this one, or the whole round again."""
        if last is not None and last.view.start is view.start and last.memory.exact:
            memory: _Round = last.memory
            picks = view.picks[:, memory.picks :]
        else:
            rows = RowFeatures(view.start, self._columns)
            memory = _Round(rows, self.observation.observe(view.start))
            # Episodes may be at different picks; each one's own come first.
            order = (view.picks < 0).to(torch.int8).argsort(stable=True, dim=1)
            picks = view.picks.gather(1, order)
        for pick in picks.unbind(1):
            memory.exact &= _add(memory.rows, pick, view.n_available)
        memory.picks = view.picks.shape[1]
        return memory


def _add(rows: RowFeatures, pick: Tensor, available: Tensor) -> bool:
    """Count a pick ``(E,)`` (-1 for none) as labelled; False if an episode that goes on had none. Mutates."""
    waiting = (pick < 0) & (available > 0)
    if not bool(waiting.any()):
        rows.add(pick.clamp_min(0))
        return True
    kept = rows.values[waiting]
    rows.add(pick.clamp_min(0))
    rows.values[waiting] = kept
    return False
