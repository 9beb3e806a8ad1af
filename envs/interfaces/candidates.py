"""Candidate rows of a pick: stated proposers put forward rows, each with its features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import torch
from torch import Tensor

from react_rl.acquisition.features import FEATURES, NOVELTY
from react_rl.acquisition.strategies.weighted import MIXTURE
from react_rl.envs.interfaces.contract import each_once
from react_rl.errors import ReActError, unknown
from react_rl.simulation.basket import chosen_columns
from react_rl.simulation.view import PoolView

ALL: Final = "all"
"""Proposes every row that can be bought."""

PROPOSERS: Final[Mapping[str, Mapping[str, float]]] = {
    "mixture": MIXTURE,
    "uncertainty": {"margin": 1.0},
    "herding": {"unsure_herding": 1.0},
    "spread": {NOVELTY: 1.0},
    "random": {},
    ALL: {},
}
"""Proposers by name: weights of standardised features, kept up to date within a batch. Those without any are
random and all. The name of a feature is a proposer, too."""

_TIE: Final = 1e-5
"""Random part of a proposer's scores: it decides between rows that are equal otherwise."""


def weights_of(proposer: str) -> Mapping[str, float]:
    """Feature weights of a proposer.

    Raises:
        ReActError: There is none of that name; the nearest is given.
    """
    if proposer in PROPOSERS:
        return PROPOSERS[proposer]
    if proposer not in FEATURES:
        raise unknown("proposer", proposer, [*PROPOSERS, *FEATURES])
    return {proposer: 1.0}


class Proposals:
    """K candidate columns for each episode, shared evenly among proposers, none twice.

    Args:
        proposers: Names of the proposers.
        candidates: K.

    Raises:
        ReActError: A proposer is unknown, named twice, or left without a candidate.
    """

    def __init__(self, proposers: Sequence[str], candidates: int) -> None:
        for proposer in proposers:
            weights_of(proposer)
        each_once("Proposers", proposers)
        if ALL in proposers and len(proposers) > 1:
            raise ReActError(f"Proposer 'all' proposes every row; leave the others of {list(proposers)} out.")
        if candidates < max(len(proposers), 2):
            raise ReActError(
                f"candidates is {candidates}; it must be at least {max(len(proposers), 2)}, "
                "and one for each proposer."
            )
        self.proposers = tuple(proposers)
        self.candidates = candidates
        self.features = tuple(dict.fromkeys(name for one in proposers for name in weights_of(one)))
        """Features that proposers weigh."""

    def columns(self, view: PoolView, names: Sequence[str], values: Tensor) -> Tensor:
        """Candidates ``(E, K)``, first those that there are; -1 for none.

        Args:
            view: The pools as they stand.
            names: Names of the features in ``values``.
            values: ``(E, P, F)`` standardised features.

        Raises:
            ReActError: All rows are wanted, and there are more than K.
        """
        free, most = view.available, min(self.candidates, view.width)
        if self.proposers == (ALL,):
            rows = int(view.n_available.max())
            if rows > self.candidates:
                raise ReActError(
                    f"Proposer 'all' has {rows} rows to propose, but candidates is {self.candidates}; "
                    f"set candidates to {rows} or more, or name other proposers."
                )
            columns = (~free).to(torch.int8).argsort(stable=True, dim=1)[:, :most]
            return self._filled(torch.where(free.gather(1, columns), columns, -1))
        noise = view.random_of_pick().float()
        found, left = [], most
        for place, proposer in enumerate(self.proposers):
            scores = noise if proposer == "random" else _TIE * noise + self._score(proposer, names, values)
            share = -(-left // (len(self.proposers) - place))
            scores = torch.where(free, scores, -torch.inf)
            columns = scores.topk(share, dim=1).indices
            columns = torch.where(free.gather(1, columns), columns, -1)
            free = free & ~chosen_columns(columns, view.width)
            found.append(columns)
            left -= share
        columns = torch.cat(found, 1)
        order = (columns < 0).to(torch.int8).argsort(stable=True, dim=1)
        return self._filled(columns.gather(1, order))

    def _score(self, proposer: str, names: Sequence[str], values: Tensor) -> Tensor:
        given = weights_of(proposer)
        weights = torch.tensor([given.get(name, 0.0) for name in names], device=values.device)
        return values @ weights

    def _filled(self, columns: Tensor) -> Tensor:
        missing = self.candidates - columns.shape[1]
        return columns if missing == 0 else torch.nn.functional.pad(columns, (0, missing), value=-1)
