"""The folder of a training: what is written before it begins, and whether another one is there already."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch

from react_rl.agents.folder import PolicyCard
from react_rl.errors import ReActError
from react_rl.experiments.config.models import AdjustConfig, ImitateConfig, TrainConfig
from react_rl.experiments.run.claim import LOCK
from react_rl.experiments.run.results import circumstances
from react_rl.experiments.run.sameness import (
    as_read_now,
    read_mapping,
    refuse_another,
    training_differences,
)
from react_rl.files import canonical_json, write_atomically

TRAINING: Final = "train.json"
"""The config of a training, beside its policy."""

_CIRCUMSTANCES: Final = "train-circumstances.json"


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

    Args:
        config: What is to be trained.
        folder: ``results/NAME``.
        overwrite: Whether another training there may be replaced.

    Raises:
        ReActError: It does; what differs is named.
    """
    old = None if overwrite else read_mapping(folder / TRAINING)
    if old is not None:
        now = config.model_dump(mode="json")
        refuse_another(folder, "training", training_differences(as_read_now(type(config), old), now))


@contextmanager
def begun_training(
    config: TrainConfig | ImitateConfig | AdjustConfig, folder: Path, device: torch.device
) -> Iterator[None]:
    """Write config and circumstances; in the context, torch has the threads of the config.

    A training that is refused before it wrote anything leaves nothing behind: the corrected config would
    be refused as another training; ``claimed`` removes the empty folder.
    """
    write_atomically(folder / TRAINING, canonical_json(config.model_dump(mode="json"), indent=1) + "\n")
    about = canonical_json(circumstances(str(device)), indent=1) + "\n"
    write_atomically(folder / _CIRCUMSTANCES, about)
    before = torch.get_num_threads()
    torch.set_num_threads(config.threads)
    try:
        yield
    except ReActError:
        if {path.name for path in folder.iterdir()} <= {TRAINING, _CIRCUMSTANCES, LOCK}:
            (folder / TRAINING).unlink(missing_ok=True)
            (folder / _CIRCUMSTANCES).unlink(missing_ok=True)
        raise
    finally:
        torch.set_num_threads(before)
