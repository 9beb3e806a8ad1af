"""The linear tagger under recipes: each episode follows its own, as far as its equations allow.

Another l2, one that the dev rows choose in every round, and smoothed tags. What ``reasons`` says of the other
parts holds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import torch
from torch import Tensor

from react_rl.learners.linear.tagger import LinearTagger, TaggerSettings
from react_rl.learners.linear.token_fit import TokenLoss
from react_rl.learners.linear.token_store import TaggedRows
from react_rl.learners.protocol import LabelledRows
from react_rl.learners.recipes.registry import check_recipe, packed_recipes, unpacked_recipes
from react_rl.learners.recipes.settings import PLAIN, Recipe
from react_rl.tasks.tagging import Tagging

GRID: Final = (0.3, 0.1, 0.03, 0.01, 0.003)
"""Values of l2 that the dev rows choose from, the strongest first."""
_TASK: Final = Tagging()
_METRIC: Final = _TASK.default_metrics[0]
_TIE: Final = 1e-4
"""Weight of the dev loss beside F1: smaller than any step of it."""


class RecipeTagger(LinearTagger):
    """E linear taggers, each trained as its recipe says.

    Where the dev rows choose the l2, an episode keeps a tagger for each value, which goes on from where it
    stood; the episode's own is a copy of the chosen one. F1 chooses, and the loss only where it is equal:
    by itself it would choose far too strong an l2, because most words are outside of entities.

    Args:
        corpora: With token states, all of one dimension.
        labelled: The ledger, to be read only.
        settings: Regularisation and convergence.

    Attributes:
        recipes: What each episode's training has beyond the settings.

    Raises:
        ReActError: A corpus is not of tagging or has no token states.
    """

    def __init__(
        self, corpora: Sequence[TaggedRows], labelled: LabelledRows, settings: TaggerSettings | None = None
    ) -> None:
        super().__init__(corpora, labelled, settings)
        self.recipes: list[Recipe] = [PLAIN] * labelled.shape[0]
        self._rivals: dict[int, Tensor] = {}
        """By episode the weights ``(G, C, D + 1)`` under each l2, where the dev rows choose."""
        self._dev: list[Tensor] = [torch.empty(0, 0, dtype=torch.int64)] * labelled.shape[0]

    def place(self, episode: int, corpus: int, rows: Tensor, dev_targets: Tensor) -> None:
        """Note the rows of an episode's columns ``(W,)``, and the tags ``(W, L)`` of dev columns. Mutates."""
        super().place(episode, corpus, rows, dev_targets)
        self._dev[episode] = dev_targets.to(self.device)

    def start(self, episodes: Tensor, n_classes: Tensor, seeds: Sequence[int] = ()) -> None:
        """See ``LinearTagger.start``; episodes begin without a recipe. Mutates."""
        super().start(episodes, n_classes, seeds)
        for episode in episodes.tolist():
            self.recipes[episode] = PLAIN
            self._losses[episode] = self.settings.loss
            self._rivals.pop(episode, None)

    def choose(self, recipes: Sequence[Recipe | None]) -> None:
        """Set the recipe of each episode's next rounds; None leaves it as it is. Mutates.

        Raises:
            ReActError: A recipe is not for the tagger.
        """
        for recipe in {recipe for recipe in recipes if recipe is not None}:
            check_recipe(recipe, "tagger")
        for episode, then in enumerate(recipes):
            if then is not None:
                self.recipes[episode] = then
                self._losses[episode] = self._followed(episode).loss
                if not self._followed(episode).l2_on_dev:
                    self._rivals.pop(episode, None)

    def state(self) -> dict[str, Tensor]:
        """See ``LinearTagger.state``; recipes, and what the dev rows choose among, are part of it."""
        rivals = {f"rivals.{episode}": weights for episode, weights in self._rivals.items()}
        chosen = {f"l2.{episode}": torch.tensor(self._losses[episode].l2) for episode in self._rivals}
        return super().state() | packed_recipes(self.recipes, PLAIN) | rivals | chosen

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """See ``LinearTagger.load_state``. Mutates."""
        super().load_state(state)
        self.choose(unpacked_recipes(state) or self.recipes)
        for episode in range(len(self.recipes)):
            if f"rivals.{episode}" in state:
                self._rivals[episode] = state[f"rivals.{episode}"].to(self.device, copy=True)
                self._losses[episode] = self._loss(episode, float(state[f"l2.{episode}"]))

    def _followed(self, episode: int) -> TaggerSettings:
        return self.settings.following(self.recipes[episode])

    def _loss(self, episode: int, l2: float) -> TokenLoss:
        return TokenLoss(l2, self._followed(episode).label_smoothing)

    def _refit(self, episodes: list[int]) -> None:
        """Refit, where the dev rows choose under every l2. Mutates."""
        asking = [e for e in episodes if self._followed(e).l2_on_dev]
        if not asking:
            super()._refit(episodes)
            return
        super()._refit([e for e in episodes if e not in asking])
        for episode in asking:
            if episode not in self._rivals:
                self._rivals[episode] = self._weights[episode].repeat(len(GRID), 1, 1)
        wanting = []
        for place, l2 in enumerate(GRID):
            for episode in asking:
                self._weights[episode] = self._rivals[episode][place]
                self._losses[episode] = self._loss(episode, l2)
            super()._refit(asking)
            for episode in asking:
                self._rivals[episode][place] = self._weights[episode]
            wanting.append(self._wanting(asking))
        for episode, best in zip(asking, torch.stack(wanting).argmin(0).tolist(), strict=True):
            self._weights[episode] = self._rivals[episode][best]
            self._losses[episode] = self._loss(episode, GRID[best])

    def _wanting(self, episodes: Sequence[int]) -> Tensor:
        """What the dev rows of some episodes want small ``(R,)``: minus F1, or the loss where it is equal."""
        dev = torch.stack(self._dev)
        known = dev[:, :, 0] >= 0
        if not known.any():
            return torch.zeros(len(episodes))
        first = int(known.any(0).nonzero()[0])
        truth, scores = dev[:, first:], self.logits_of(slice(first, None))
        f1 = _TASK.judge([_METRIC], scores, truth, self._mask[:, :, 0] > -1.0)[_METRIC]
        found = []
        for episode in episodes:
            targets = torch.nn.functional.pad(truth[episode], (0, 0, 0, 1), value=-1)
            tags = targets[scores.column[episode], scores.place[episode]]
            loss = torch.nn.functional.cross_entropy(scores.logits[episode].T, tags, ignore_index=-1)
            found.append(_TIE * loss - f1[episode].to(loss).nan_to_num())
        return torch.stack(found)
