"""The sections of a training's config that say what the policy decides and what it sees."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
)

from react_rl.envs.interfaces import ACTION_SPACES
from react_rl.errors import unknown
from react_rl.experiments.config.frozen import Frozen
from react_rl.own_code import ACTION_SPACE, announced, is_outside

_UNSAID: Final = ("candidates", "proposers", "levels", "batch_sizes", "recipes", "arguments")
"""Settings of action spaces that are left out of a written config where they are not given."""


class ActionConfig(Frozen):
    """What the policy decides."""

    name: str = "weigh-scores"
    """weigh-scores: weigh acquisition features; choose-strategy: choose a query strategy in each round;
    pick-candidate: pick row by row among candidates; decision-units: choose strategy or weights, batch size,
    recipe and stopping, each by itself; or one's own, module:Name."""
    stop: bool = False
    """Offer an action that ends the episode (useful with reward.cost_weight above 0)."""
    features: tuple[str, ...] | None = None
    """weigh-scores: which features; the default is margin, entropy, density, novelty, balance.
    pick-candidate: what is seen of each candidate; decision-units: what is weighed instead of strategies."""
    center: dict[str, Annotated[float, Field(ge=-1000, le=1000)]] | None = None
    """weigh-scores: feature weights at action 0, e.g. those of the mixture."""
    reach: float | None = Field(default=None, gt=0, le=1000)
    """weigh-scores: how far an action moves the weights from the center."""
    strategies: tuple[str, ...] | None = None
    """choose-strategy and decision-units: the strategies to choose from."""
    candidates: int | None = Field(default=None, ge=2, le=10**6)
    """pick-candidate: how many rows there are to pick from; the default is 32."""
    proposers: tuple[str, ...] | None = None
    """pick-candidate: who puts rows forward: mixture, uncertainty, herding, spread, random, features by name,
    or all alone for every row; the default is mixture, uncertainty, herding, random."""
    levels: tuple[Annotated[float, Field(ge=-1000, le=1000)], ...] | None = None
    """decision-units with features: weights that a feature can be given; the default is 0, 0.5, 1."""
    batch_sizes: tuple[Annotated[int, Field(ge=1, le=10**6)], ...] | None = None
    """decision-units: batch sizes to choose from; None leaves the episode's."""
    recipes: tuple[str, ...] | None = None
    """decision-units: recipes to choose from, by name; None leaves the learner's."""
    arguments: dict[str, Any] | None = None
    """module:Name: settings of one's own action space."""

    @field_validator("name")
    @classmethod
    def _check_name(cls, value: str) -> str:
        if value not in ACTION_SPACES and not is_outside(value, ACTION_SPACE):
            options = [*ACTION_SPACES, *announced(ACTION_SPACE.group), "module:Name"]
            raise ValueError(str(unknown("action space", value, options)).rstrip("."))
        return value

    @model_serializer(mode="wrap")
    def _without_empty(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Configs without these settings read as if there were none.
        values: dict[str, Any] = handler(self)
        return {key: one for key, one in values.items() if key not in _UNSAID or one is not None}

    def settings(self) -> dict[str, Any]:
        """Settings for ``make_interface``, only those given."""
        given = {k: v for k, v in self.model_dump().items() if v is not None}
        if self.name not in ACTION_SPACES and not self.stop:
            del given["stop"]
        own: dict[str, Any] = given.pop("arguments", {})
        return given | own


class ObservationConfig(Frozen):
    """What the policy sees."""

    name: str = "context"
    """context: numbers that describe the episode and its pool; phases: and where it is in the phases of its
    corpus; context-and-task: and which task it is, for corpora of several; or one's own, module:Name."""
    metric: str | None = None
    """Dev metric among them; None takes the reward's."""
