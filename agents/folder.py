"""A policy on disk: a folder with safetensors weights and a JSON card. Nothing in it is ever unpickled."""

from __future__ import annotations

import importlib.metadata
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import gymnasium
import numpy as np
import numpy.typing as npt
import safetensors
import safetensors.torch
from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, field_validator, model_serializer
from stable_baselines3.common.policies import BasePolicy
from torch import Tensor

from react_rl.agents.extra import parameters_of
from react_rl.agents.networks.registry import PLAIN, assembled
from react_rl.agents.settings import Algorithm
from react_rl.documents import read_json
from react_rl.envs.interfaces import Interface, make_interface
from react_rl.envs.observations import make_observation
from react_rl.errors import ReActError, first_line
from react_rl.files import canonical_json, write_atomically
from react_rl.own_code import require_imported
from react_rl.validation import Name, validated

CARD: Final = "card.json"
WEIGHTS: Final = "policy.safetensors"
IMITATION: Final = "imitation"
"""What cards of row scorers name as their algorithm."""

FORMAT: Final = 1
"""Version of the folder's layout; a folder with another number is refused."""


class PolicyCard(BaseModel):
    """What is needed to rebuild a policy, and what is known about how it came to be."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = FORMAT
    name: Name
    algorithm: Algorithm | Literal["imitation"]
    network: dict[str, Any]
    """Arguments of the policy's network."""
    observation: dict[str, Any]
    action_space: dict[str, Any]
    reward: dict[str, Any]
    episode: dict[str, Any]
    trained_on: dict[Name, str]
    """Content digest of each training corpus by name."""
    validated_on: dict[Name, str]
    """Content digest of each validation corpus by name."""
    settings: dict[str, Any]
    """Settings of the agent."""
    validation: list[dict[str, float]]
    """Mean area under the dev curve on the validation episodes, by training episodes."""
    baselines: dict[str, float]
    """The same number for fixed strategies on the same episodes."""
    chosen_at: int
    """Training episodes after which the kept weights were measured."""
    task: str | None = None
    """Task whose rows a row scorer has learned to score; None where that is not known."""
    versions: dict[str, str]

    @model_serializer(mode="wrap")
    def _without_unknown_task(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # The content of a card identifies a policy in results.
        values: dict[str, Any] = handler(self)
        if self.task is None:
            values.pop("task", None)
        return values

    @field_validator("observation", "action_space")
    @classmethod
    def _check_named(cls, value: dict[str, Any]) -> dict[str, Any]:
        if not isinstance(value.get("name"), str):
            raise ValueError("it has no 'name'")
        for key in ("strategies", "features"):
            names = value.get(key, [])
            if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
                raise ValueError(f"its {key!r} is no list of names")
        return value

    @field_validator("validation")
    @classmethod
    def _check_points(cls, value: list[dict[str, float]]) -> list[dict[str, float]]:
        for number, point in enumerate(value, start=1):
            for key in ("episodes", "area"):
                if key not in point:
                    raise ValueError(f"measurement {number} has no {key!r}")
        return value


def curve_point(episodes: float, areas: npt.NDArray[np.float64]) -> dict[str, float]:
    """A point of ``PolicyCard.validation``: mean area ``(V,)`` and its standard error over the episodes."""
    error = float(areas.std(ddof=1) / math.sqrt(areas.size)) if areas.size > 1 else 0.0
    return {"episodes": float(episodes), "area": round(float(areas.mean()), 6), "error": round(error, 6)}


def versions_of(packages: Sequence[str]) -> dict[str, str]:
    """Installed versions of packages by name."""
    return {package: importlib.metadata.version(package) for package in packages}


def build_policy(
    algorithm: str,
    network: dict[str, Any],
    observation_space: gymnasium.Space[Any],
    action_space: gymnasium.Space[Any],
) -> BasePolicy:
    """Make a policy with fresh weights."""
    kind, arguments = assembled(algorithm, network, observation_space, action_space, imports=False)
    if "lr_schedule" in parameters_of(kind):
        arguments["lr_schedule"] = lambda _: 0.0
    policy: BasePolicy = kind(observation_space, action_space, **arguments)
    policy.set_training_mode(False)
    return policy


def save_policy(folder: Path, policy: BasePolicy, card: PolicyCard) -> None:
    """Write weights and card; the card comes last, so a folder with a card is whole."""
    if is_policy(folder) and not _same_training(folder, card):
        # Killed between the two files, the folder must not pair these weights with another training's card.
        (folder / CARD).unlink()
    # Stable-Baselines3 lists shared extractors under several names; load_model understands one of them.
    weights: dict[int, tuple[str, Tensor]] = {}
    for name, values in policy.state_dict().items():
        weights.setdefault(values.data_ptr() if values.numel() else id(values), (name, values.contiguous()))
    write_atomically(folder / WEIGHTS, safetensors.torch.save(dict(weights.values())))
    save_card(folder, card)


def _same_training(folder: Path, card: PolicyCard) -> bool:
    try:
        old = read_card(folder)
    except ReActError:
        return False
    progress = {"validation", "chosen_at"}
    return old.model_dump(exclude=progress) == card.model_dump(exclude=progress)


def save_card(folder: Path, card: PolicyCard) -> None:
    """Write the card alone."""
    write_atomically(folder / CARD, canonical_json(card.model_dump(mode="json"), indent=2) + "\n")


def is_policy(folder: Path) -> bool:
    """Whether ``folder`` looks like a saved policy."""
    return (folder / CARD).is_file()


def load_policy(folder: Path) -> tuple[BasePolicy, Interface, PolicyCard]:
    """Rebuild a policy with its interface.

    Raises:
        ReActError: The folder is no policy, is damaged, or was made for another observation.
    """
    card = read_card(folder)
    if card.algorithm == IMITATION:
        raise ReActError(f"Policy {folder} scores rows and has no actions; load it with load_strategy.")
    check_parts(card, folder)
    try:
        seen = card.observation
        observation = make_observation(str(seen.get("name", "")), str(seen.get("metric", "")))
        settings = dict(card.action_space)
        interface = make_interface(str(settings.pop("name", "")), observation, **settings)
    except (ReActError, TypeError, ValueError) as error:
        raise ReActError(f"The card of policy {folder} is damaged: {error}") from error
    if observation.describe() != card.observation:
        raise ReActError(
            f"Policy {folder} expects the observation {card.observation}, this version makes "
            f"{observation.describe()}; train it again."
        )
    check_readable(folder / WEIGHTS)
    try:
        policy = build_policy(
            card.algorithm, card.network, interface.observation_space, interface.action_space
        )
        safetensors.torch.load_model(policy, str(folder / WEIGHTS))
        wrong = [name for name, values in policy.state_dict().items() if not values.isfinite().all()]
        if wrong:
            raise ValueError(f"{wrong[0]} holds values that are not finite")
    # What a card says of the network goes into code that raises whatever it likes.
    except Exception as error:
        raise ReActError(
            f"The weights of policy {folder} cannot be read ({first_line(error)}); train it again or copy it "
            "again."
        ) from error
    return policy, interface, card


def check_readable(path: Path) -> None:
    """Check that a file of weights can be opened.

    Raises:
        ReActError: It cannot.
    """
    # safetensors calls every file that it cannot open missing.
    try:
        path.open("rb").close()
    except OSError as error:
        raise ReActError(f"The weights {path} cannot be read: {error.strerror}; copy them again.") from error


def check_parts(card: PolicyCard, folder: Path) -> None:
    """Check that what a card names as ``module:Name`` has been imported: a file must not have code run.

    Raises:
        ReActError: A module has not.
    """
    named = named_by(card)
    for name in (named.action_space, named.observation, named.network, *named.strategies, *named.features):
        require_imported(name, f"Policy {folder}")


@dataclass(frozen=True)
class Named:
    """Names of the parts that a policy is made of.

    Args:
        action_space: What its actions mean.
        observation: What it sees.
        network: What it computes.
        strategies: Strategies that it may choose.
        features: Features that it weighs.
    """

    action_space: str
    observation: str
    network: str
    strategies: tuple[str, ...]
    features: tuple[str, ...]


def named_by(card: PolicyCard) -> Named:
    """The names in a card."""
    space = card.action_space
    return Named(
        space["name"],
        card.observation["name"],
        str(card.network.get("name", PLAIN)),
        tuple(space.get("strategies", ())),
        tuple(space.get("features", ())),
    )


def read_card(folder: Path) -> PolicyCard:
    """Read and check the card of a policy folder.

    Raises:
        ReActError: There is no card, or it is damaged or of another format.
    """
    path = folder / CARD
    if not path.exists():
        raise ReActError(f"{folder} is no policy: it has no {CARD}; name one that `react-rl train` wrote.")
    what, advice = f"Policy card {path}", "train the policy again or restore the file"
    raw = read_json(path, advice, what)
    if isinstance(raw, dict) and raw.get("format") != FORMAT:
        raise ReActError(
            f"Policy {folder} has format {raw.get('format')!r}; this version reads format {FORMAT}."
        )
    return validated(PolicyCard, raw, f"{what} is damaged")


@dataclass(frozen=True)
class FoundPolicies:
    """What is below some folders.

    Attributes:
        whole: Folder and card of each policy, by path.
        damaged: What is wrong with the others, one sentence each.
    """

    whole: list[tuple[Path, PolicyCard]]
    damaged: list[str]


def find_policies(folders: Sequence[Path]) -> FoundPolicies:
    """Look for policies below the given folders."""
    found = FoundPolicies([], [])
    for folder in folders:
        for card in sorted(folder.rglob(CARD)) if folder.is_dir() else []:
            try:
                found.whole.append((card.parent, read_card(card.parent)))
            except ReActError as error:
                found.damaged.append(str(error))
    return found
