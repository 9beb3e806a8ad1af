"""A row scorer on disk: a policy folder like any other, with safetensors weights and a JSON card."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any, Final

import safetensors.torch
import torch
from torch import nn

from react_rl.agents.folder import (
    CARD,
    IMITATION,
    WEIGHTS,
    PolicyCard,
    check_parts,
    check_readable,
    read_card,
    save_card,
    versions_of,
)
from react_rl.agents.networks import PoolEnsemble, ScorerEnsemble
from react_rl.agents.networks.beside import ensemble
from react_rl.agents.networks.registry import SCORER, row_network
from react_rl.agents.scorer import SHORT, ScorerStrategy
from react_rl.errors import ReActError, first_line, unknown
from react_rl.files import write_atomically

PRETRAINED: Final = "react_rl.agents.pretrained"
"""Package whose folders hold the policies that ship."""

SCORER_PACKAGES: Final = ("react-rl", "torch", "numpy")
"""Packages that decide what a row scorer becomes."""

_SHAPE: Final = ("features", "context", "hidden", "members")


def scorer_card(scorer: ScorerStrategy, **about: Any) -> PolicyCard:
    """The card of a row scorer.

    Args:
        scorer: The scorer; its network is an ensemble.
        about: Where it comes from: the fields of ``PolicyCard`` that the scorer does not say itself.
    """
    network = scorer.network
    assert isinstance(network, ScorerEnsemble | PoolEnsemble), "row scorers are ensembles"
    kind = {"kind": "row-scorer"}
    if isinstance(network, PoolEnsemble):
        kind = {"kind": "pool-scorer", "name": network.name}
    return PolicyCard(
        name=scorer.name,
        algorithm=IMITATION,
        network={
            **kind,
            "features": len(scorer.features),
            "context": len(scorer.context),
            "hidden": network.hidden,
            "members": len(network.members),
        },
        observation={"name": "rows", "context": list(scorer.context)},
        action_space={"name": "score-rows", "features": list(scorer.features), "short": SHORT},
        versions=versions_of(SCORER_PACKAGES),
        **about,
    )


def save_scorer(folder: Path, network: nn.Module, card: PolicyCard) -> None:
    """Write weights and card; the card comes last, so a folder with a card is whole."""
    (folder / CARD).unlink(missing_ok=True)
    weights = {name: values.contiguous() for name, values in network.state_dict().items()}
    write_atomically(folder / WEIGHTS, safetensors.torch.save(weights))
    save_card(folder, card)


def load_scorer(folder: Path, name: str | None = None) -> ScorerStrategy:
    """Rebuild a row scorer; it is called ``name``, or what its card says.

    Raises:
        ReActError: The folder is no policy, holds one of another kind, or is damaged.
    """
    card = read_card(folder)
    if card.algorithm != IMITATION:
        raise ReActError(f"Policy {folder} was trained by {card.algorithm} and scores no rows.")
    check_parts(card, folder)
    network = _empty(folder, card)
    check_readable(folder / WEIGHTS)
    try:
        safetensors.torch.load_model(network, str(folder / WEIGHTS))
        wrong = [key for key, values in network.state_dict().items() if not values.isfinite().all()]
        if wrong:
            raise ValueError(f"{wrong[0]} holds values that are not finite")
    except (RuntimeError, ValueError, OSError, safetensors.SafetensorError) as error:
        raise ReActError(
            f"The weights of policy {folder} cannot be read ({first_line(error)}); "
            "train it again or copy it again."
        ) from error
    context = card.observation.get("context", ())
    features = card.action_space.get("features", ())
    if (len(features), len(context)) != (card.network["features"], card.network["context"]):
        raise ReActError(f"The card of policy {folder} is damaged: features and network do not fit.")
    return ScorerStrategy(name or card.name, network.eval(), features, context)


def network_of_card(card: PolicyCard) -> str:
    """Name of the networks of a row scorer."""
    return str(card.network.get("name", SCORER))


def _empty(folder: Path, card: PolicyCard) -> ScorerEnsemble | PoolEnsemble:
    """A network of the shape that a card says."""
    sizes = [card.network.get(key) for key in _SHAPE]
    if not all(isinstance(size, int) and 1 <= size <= 4096 for size in sizes):
        raise ReActError(f"The card of policy {folder} is damaged: its network lacks {', '.join(_SHAPE)}.")
    features, context, hidden, members = (int(size) for size in sizes if size is not None)
    with torch.random.fork_rng(devices=[]):  # first weights are drawn, though none of them stays
        name = network_of_card(card)
        return ensemble([row_network(name, features, context, hidden) for _ in range(members)])


def pretrained_policies() -> list[str]:
    """Names of the policies that come with the package."""
    return sorted(one.name for one in resources.files(PRETRAINED).iterdir() if one.joinpath(CARD).is_file())


def pretrained_folder(name: str) -> Path:
    """Folder of a policy that comes with the package.

    Raises:
        ReActError: There is none of that name.
    """
    folder = Path(str(resources.files(PRETRAINED).joinpath(name)))
    if not (folder / CARD).is_file():
        raise unknown("policy of this package", name, pretrained_policies())
    return folder
