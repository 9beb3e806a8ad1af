"""A query strategy that scores rows with a network and takes batches greedily, features kept up to date."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain
from typing import Final, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from react_rl.acquisition.batching.heats import CANDIDATES, WHOLE, close_rows
from react_rl.acquisition.batching.row_features import ROW_FEATURES, RowFeatures
from react_rl.acquisition.batching.selection import best_column, to_ids
from react_rl.acquisition.features import feature_named
from react_rl.agents.networks.beside import within_pool
from react_rl.envs.context import POOL, PROGRESS, pool_numbers, progress_numbers
from react_rl.errors import ReActError
from react_rl.files import digest
from react_rl.simulation.view import PoolView

Network = Callable[[Tensor, Tensor], Tensor]
"""From features ``(E, R, F)`` and context ``(E, G)`` to scores ``(E, R)``."""


@runtime_checkable
class Prepares(Protocol):
    """A network that can make itself ready for many calls while its weights stay."""

    def prepared(self) -> Network:
        """The function that the network computes."""
        ...


PICKED: Final = "share of the batch picked"
"""Number of the context that grows while a batch is picked; that of pick-candidate, too."""

ROW_CONTEXT: Final = (*PROGRESS, *POOL, PICKED)
"""Context that a scorer sees: no number of the dev set is among it."""

BATCH: Final = "rows of a batch, log scale"
"""Number of the context that a policy sees only if its card says so."""

KNOWN_CONTEXT: Final = (*ROW_CONTEXT, BATCH)
"""All that a scorer may see of a pool."""

CONTEXT_CLIP: Final = 5.0
"""Numbers of the context end here."""

SHORT: Final = 64
"""Rows that stay in the race at least once the first row of a batch is picked."""

SHORT_PER_PICK: Final = 12
"""And for each row of the batch: the last picks of a large one are far from the first in score."""


HEAT: Final = 34
"""Rows of a large pool that are picked before all rows that got a close look are brought up to date."""

LEADERS: Final = 256
"""Rows that are in the race for them."""


def rows_in_race(n: int) -> int:
    """Rows that stay in the race for the picks of a batch of ``n`` after the first."""
    return max(SHORT, SHORT_PER_PICK * n)


def row_context(view: PoolView, names: Sequence[str] = ROW_CONTEXT, picked: float = 0.0) -> Tensor:
    """The numbers that all rows of a pool share ``(E, G)``; nothing of the dev set.

    Args:
        view: The pools.
        names: Which numbers, from ``KNOWN_CONTEXT``.
        picked: Share of the batch that is picked.
    """
    progress = torch.from_numpy(progress_numbers(view)).float().to(view.device)
    share = torch.full((view.n_episodes, 1), picked, device=view.device)
    batch = torch.full_like(share, math.log(view.progress.batch_size) / 4.0)
    numbers = torch.cat([progress, pool_numbers(view), share, batch], 1)
    numbers = numbers.nan_to_num().clamp(-CONTEXT_CLIP, CONTEXT_CLIP)
    return numbers[:, [KNOWN_CONTEXT.index(name) for name in names]]


class ScorerStrategy:
    """Takes the rows with the highest scores of a network, one after the other.

    After the first pick the best ``rows_in_race`` rows stay in the race; after each pick their features are
    those of a batch that holds it. Of large pools ``close_rows`` says which rows are looked at, and every
    ``HEAT`` picks have a race of their own: of the ``LEADERS`` best of these rows as they are by then.

    Args:
        name: Name in tables and figures.
        network: From features ``(E, R, F)`` and context ``(E, G)`` to scores ``(E, R)``.
        features: What it sees of each row.
        context: What it sees of each pool.
        whole: Rows of a pool that are all looked at.
        candidates: Rows of a larger pool that are; at least four times as many as are wanted.
        heat: Rows of a larger pool that are picked before all that were looked at are brought up to date.

    Raises:
        ReActError: A feature or a number of the context is unknown.
    """

    def __init__(
        self,
        name: str,
        network: nn.Module,
        features: Sequence[str] = ROW_FEATURES,
        context: Sequence[str] = ROW_CONTEXT,
        whole: int = WHOLE,
        candidates: int = CANDIDATES,
        heat: int = HEAT,
    ) -> None:
        for feature in features:
            feature_named(feature)
        for number in context:
            if number not in KNOWN_CONTEXT:
                raise ReActError(f"A scorer knows no number {number!r} of the context; see KNOWN_CONTEXT.")
        self.name = name
        self.network = network
        self.features = tuple(features)
        self.context = tuple(context)
        self.whole, self.candidates, self.heat = whole, candidates, heat

    def __repr__(self) -> str:
        weights = [values.cpu().numpy().tobytes() for values in self.network.state_dict().values()]
        seen = (*self.features, *self.context)
        return f"ScorerStrategy({self.name!r}, weights {digest(*weights, *seen)[:16]})"

    def on(self, device: torch.device) -> nn.Module:
        """The network on a device, to which it is moved. Mutates."""
        held = next(chain(self.network.parameters(), self.network.buffers()), None)
        if held is not None and held.device != device:
            with torch.inference_mode(False):  # parameters made in inference mode could not be trained again
                self.network.to(device)
        return self.network

    @torch.inference_mode()
    def score(self, view: PoolView) -> Tensor:
        """Scores of all rows as the first pick ``(E, P)``."""
        features, context = RowFeatures(view, self.features), row_context(view, self.context)
        return _first_score(self.on(view.device), features, context)

    @torch.inference_mode()
    def select(self, view: PoolView, n: int) -> Tensor:
        """Choose ``n`` rows greedily."""
        context, network = row_context(view, self.context), self._prepared(view.device)
        if view.width <= self.whole:
            return self._race(network, RowFeatures(view, self.features), context, n, n, rows_in_race(n))
        ids = torch.full((view.n_episodes, n), -1, device=view.device)
        for episode in torch.nonzero(view.n_available)[:, 0].tolist():
            own = context[episode : episode + 1]
            score = partial(_first_score, network, context=own)
            many = max(self.candidates, 4 * n)
            features = close_rows(view, episode, self.features, score, many)
            ids[episode] = self._race(network, features, own, n, self.heat, LEADERS)[0]
        return ids

    def _prepared(self, device: torch.device) -> Network:
        """The network for many calls while its weights stay. May move it to the device."""
        network = self.on(device)
        return network.prepared() if isinstance(network, Prepares) else network

    def _race(
        self, network: Network, features: RowFeatures, context: Tensor, n: int, heat: int, leaders: int
    ) -> Tensor:
        """Row ids ``(E, n)`` chosen among the rows that features are of. Mutates these and the context.

        Args:
            network: Scores rows.
            features: What it sees of them.
            context: What it sees of the pools ``(E, G)``.
            n: Rows wanted.
            heat: Picks after which all rows are brought up to date; until then only the leaders are.
            leaders: Rows that can be picked until then.
        """
        network = _of_pool(network, features)
        free = features.view.available
        picks: list[Tensor] = []
        for start in range(0, n, heat):
            if picks:
                # An episode without free rows picks nothing more, so what its row 0 does here is idle.
                last = picks[-1].clamp_min(0)
                free = free.scatter(1, last, False)
                features.absorb(last)
            few = min(heat, n - start)
            picks.append(self._heat(network, features, context, free, range(start, start + few), leaders))
        return to_ids(features.view, torch.cat(picks, 1))

    def _heat(
        self,
        network: Network,
        features: RowFeatures,
        context: Tensor,
        free: Tensor,
        turns: range,
        leaders: int,
    ) -> Tensor:
        """Columns ``(E, k)`` of the picks at some turns of a batch, among free rows ``(E, P)``."""
        view = features.view
        self._say_share(context, turns[0], view.progress.batch_size)
        scores = _score(network, features, context)
        column = best_column(view, scores, free)
        picks = [column]
        if len(turns) > 1:
            masked = torch.where(free, scores, -torch.inf)
            # Of many equal rows the first pick may be any, and is one of those that stay.
            masked.scatter_(1, column.clamp_min(0)[:, None], torch.inf)
            rows = masked.topk(min(leaders, view.width), dim=1).indices.sort(1).values
            free = free.gather(1, rows)
            features = features.narrowed(rows)
        for turn in turns[1:]:
            self._say_share(context, turn, view.progress.batch_size)
            chosen = column.clamp_min(0)
            free &= rows != chosen[:, None]
            features.add(chosen)
            place = best_column(view, _score(network, features, context), free)
            column = torch.where(place >= 0, rows.gather(1, place.clamp_min(0)[:, None])[:, 0], -1)
            picks.append(column)
        return torch.stack(picks, 1)

    def _say_share(self, context: Tensor, picked: int, batch: int) -> None:
        """Write into the context ``(E, G)`` which share of the batch is picked. Mutates."""
        if PICKED in self.context:
            context[:, self.context.index(PICKED)] = min(picked / batch, 1.0)


def _score(network: Network, features: RowFeatures, context: Tensor) -> Tensor:
    """Scores ``(E, R)`` of the rows that the features are of, equal for copies."""
    return features.growth.level(network(features.values, context))


def _first_score(network: Network, features: RowFeatures, context: Tensor) -> Tensor:
    """Scores ``(E, R)`` at a round's start, by a network that may look at other rows of the pool."""
    return _score(_of_pool(network, features), features, context)


def _of_pool(network: Network, features: RowFeatures) -> Network:
    """What the network computes in the pools that the features are of, as they are now."""
    return within_pool(network, features.values, features.counted)
