"""The folder of a training: whether another one is there already, a dry run, and what is written first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch

from react_rl.agents.finished import FINISHED
from react_rl.agents.folder import PolicyCard
from react_rl.errors import ReActError
from react_rl.experiments.config.models import AdjustConfig, EncodedCorpora, ImitateConfig, TrainConfig
from react_rl.experiments.run.claim import LOCK
from react_rl.experiments.run.results import circumstances
from react_rl.experiments.run.sameness import (
    as_read_now,
    read_mapping,
    refuse_another,
    training_differences,
)
from react_rl.files import canonical_json, write_atomically
from react_rl.simulation.corpora import Check, OnFacts, inspect_all
from react_rl.simulation.options import EpisodeOptions

TRAINING: Final = "train.json"
"""The config of a training, beside its policy."""

_CIRCUMSTANCES: Final = "train-circumstances.json"

_FIRST: Final = frozenset({TRAINING, _CIRCUMSTANCES, LOCK})
"""What is in the folder before anything is learned."""


@dataclass(frozen=True)
class Trained:
    """A finished training.

    Args:
        folder: The policy's folder.
        card: Its card.
    """

    folder: Path
    card: PolicyCard


def refuse_other_training(
    config: TrainConfig | ImitateConfig | AdjustConfig, folder: Path, overwrite: bool
) -> None:
    """Check that the folder holds no training of another config, unless that may be replaced.

    One that was killed before it kept anything but its logs is none.

    Args:
        config: What is to be trained.
        folder: ``results/NAME``.
        overwrite: Whether another training there may be replaced.

    Raises:
        ReActError: It does; what differs is named.
    """
    old = None if overwrite else read_mapping(folder / TRAINING)
    if old is not None and not _kept_nothing(folder):
        now = config.model_dump(mode="json")
        refuse_another(folder, "training", training_differences(as_read_now(type(config), old), now))


def groups_of(config: TrainConfig | ImitateConfig | AdjustConfig) -> list[EncodedCorpora]:
    """The training corpora of a config by the encoder that they are under."""
    first = EncodedCorpora(corpora=config.corpora, encoder=config.encoder)
    return [first, *config.further] if isinstance(config, AdjustConfig) else [first]


def inspect_training(
    config: TrainConfig | ImitateConfig | AdjustConfig,
    results: Path,
    overwrite: bool,
    on_facts: OnFacts,
    check: Check | None = None,
    check_validation: Check | None = None,
    *,
    episode: Callable[[str], EpisodeOptions] | None = None,
) -> None:
    """What every dry run of a training does: look at its folder, and load and check its corpora.

    Args:
        config: What is to be trained.
        results: Folder that holds the folders of all experiments.
        overwrite: Whether another training there may be replaced.
        on_facts: Told what the training corpora hold.
        check: Called with the corpora of each encoder.
        check_validation: Called with those of the validation; None is ``check``.
        episode: Episodes by task, which corpora must be large enough for; None checks no sizes.

    Raises:
        ReActError: The folder holds another training, or something in the config does not exist or fit.
    """
    refuse_other_training(config, results / config.name, overwrite)
    for one in groups_of(config):
        inspect_all(one.corpora, one.encoder, config.device, episode, on_facts, check)
    validation = () if isinstance(config, AdjustConfig) else config.validation
    if validation:
        inspect_all(validation, config.encoder, config.device, episode, None, check_validation or check)


@contextmanager
def begun_training(
    config: TrainConfig | ImitateConfig | AdjustConfig, folder: Path, device: torch.device, overwrite: bool
) -> Iterator[None]:
    """Write config and circumstances; in the context, torch has the threads of the config.

    With ``overwrite`` a training that is finished there is trained again.

    A training that is refused before it wrote anything leaves nothing behind: the corrected config would
    be refused as another training; ``claimed`` removes the empty folder.
    """
    if overwrite:
        (folder / FINISHED).unlink(missing_ok=True)
    write_atomically(folder / TRAINING, canonical_json(config.model_dump(mode="json"), indent=1) + "\n")
    about = canonical_json(circumstances(str(device)), indent=1) + "\n"
    write_atomically(folder / _CIRCUMSTANCES, about)
    before = torch.get_num_threads()
    torch.set_num_threads(config.threads)
    try:
        yield
    except ReActError:
        if {path.name for path in folder.iterdir()} <= _FIRST:
            (folder / TRAINING).unlink(missing_ok=True)
            (folder / _CIRCUMSTANCES).unlink(missing_ok=True)
        raise
    finally:
        torch.set_num_threads(before)


def _kept_nothing(folder: Path) -> bool:
    """Whether what began here ended before anything was kept that it could go on from."""
    kept = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return all(
        path.name in _FIRST
        or path.suffix == ".part"
        or path.parts[0] == "logs"
        or path.parts == ("states", "key")
        for path in kept
    )
