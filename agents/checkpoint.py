"""Stopping and resuming a training: networks, optimisers, replay buffer, random states, episodes under way.

A checkpoint is taken between two rollouts, when the policy has just been measured. A resumed training is the
undisturbed one to the last bit. One file of safetensors with JSON in its header; nothing is unpickled.
"""

from __future__ import annotations

import functools
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from torch import Tensor

from react_rl.agents.logs import TrainingLog
from react_rl.envs.sb3 import LabelingVecEnv
from react_rl.errors import ReActError
from react_rl.learners.protocol import part_of
from react_rl.simulation.checkpoint import Checkpoint, Notes
from react_rl.simulation.engine import LabelingEngine

FILE: Final = "checkpoint.safetensors"
_NUMBERS: Final = (
    "num_timesteps",
    "exploration_rate",
    "_n_updates",
    "_n_calls",
    "_episode_num",
    "_current_progress_remaining",
)
"""What algorithms count; each has some of them."""


@dataclass(frozen=True)
class Point:
    """Where a training stood.

    Args:
        finished: Training episodes finished.
        due: Finished episodes at which the policy is measured next.
        curve: Validation curve so far.
        best: Best validation area so far.
        chosen_at: Training episodes at which it was measured.
    """

    finished: int
    due: int
    curve: list[dict[str, float]]
    best: float
    chosen_at: int


@dataclass(frozen=True)
class Resumed:
    """What a training goes on from.

    Args:
        point: Where it stood.
        log: State of its logs.
        seconds: Seconds that it had taken.
    """

    point: Point
    log: dict[str, Any]
    seconds: float


@dataclass(frozen=True)
class TrainingCheckpoint:
    """The checkpoint of one training.

    Args:
        folder: The training's folder.
        key: Stands for all that determines the training; a checkpoint with another key is as good as none.
        model: The algorithm.
        environment: Its environment.
    """

    folder: Path
    key: str
    model: BaseAlgorithm
    environment: LabelingVecEnv

    def save(self, point: Point, log: TrainingLog) -> None:
        """Write where the training stands; the file before is replaced at once or not at all.

        Raises:
            WriteError: There is no room for it.
        """
        model, environment = self.model, self.environment
        kind, keys, position, has_gauss, cached = np.random.get_state(legacy=True)  # noqa: NPY002
        generator = model.action_space.np_random.bit_generator.state
        values: dict[str, Any] = {
            "point": asdict(point),
            "log": log.state(),
            "seconds": (time.time_ns() - model.start_time) / 1e9,
            "numbers": {name: getattr(model, name) for name in _NUMBERS if hasattr(model, name)},
            "episodes": [{"r": float(info["r"]), "l": int(info["l"])} for info in model.ep_info_buffer or ()],
            "numpy": [str(kind), [int(k) for k in keys], int(position), int(has_gauss), float(cached)],
            "actions": generator,
            "environment": environment.notes(),
        }
        arrays = dict(_tensors_of(model))
        arrays |= {f"environment/{name}": array for name, array in environment.state().items()}
        arrays |= dict(_flat("observations", model._last_obs))
        arrays |= dict(_flat("starts", model._last_episode_starts))
        arrays |= dict(_cells_of(model))
        arrays["random"] = torch.get_rng_state()
        if isinstance(model, OffPolicyAlgorithm):
            buffer = model.replay_buffer
            assert buffer is not None, "the algorithm has been set up"
            values["buffer"] = {"position": buffer.pos, "full": buffer.full}
            arrays |= dict(_buffer_of(model))
        self._file.save(self._engines, Notes(values, arrays))

    def restore(self) -> Resumed | None:
        """Put model, environment and the global random states where the checkpoint left them. Mutates.

        Returns:
            Where the training stood, or None if there is no usable checkpoint of this training; then nothing
            was changed.

        Raises:
            ReActError: Somebody changed the file while it was read.
        """
        model, environment = self.model, self.environment
        values = self._file.values()
        if values is None:
            return None
        streams = environment.resume(values["environment"])
        notes = self._file.restore(self._engines, streams)
        if notes is None:
            raise ReActError(f"{self._file.path} changed while it was read; start the training again.")
        environment.load_state(part_of(notes.arrays, "environment"))
        _load_tensors(model, notes.arrays)
        for name, number in values["numbers"].items():
            setattr(model, name, number)
        model.ep_info_buffer = deque(values["episodes"], maxlen=model._stats_window_size)
        model.ep_success_buffer = deque(maxlen=model._stats_window_size)
        model._last_obs = _unflat("observations", notes.arrays)
        model._last_episode_starts = _unflat("starts", notes.arrays)
        for name, array in _cells_of(model):
            array.copy_(notes.arrays[name])
        if isinstance(model, OffPolicyAlgorithm):
            assert model.replay_buffer is not None, "the algorithm has been set up"
            for name, array in _buffer_of(model, whole=True):
                kept = notes.arrays[name]
                array[: kept.shape[0]] = kept
            model.replay_buffer.pos = values["buffer"]["position"]
            model.replay_buffer.full = values["buffer"]["full"]
        model.action_space.np_random.bit_generator.state = values["actions"]
        torch.set_rng_state(notes.arrays["random"])
        kind, keys, position, has_gauss, cached = values["numpy"]
        state = (kind, np.array(keys, dtype=np.uint32), position, has_gauss, cached)
        np.random.set_state(state)  # noqa: NPY002
        return Resumed(Point(**values["point"]), values["log"], values["seconds"])

    def remove(self) -> None:
        """Delete the checkpoint of a finished training."""
        self._file.remove()

    @property
    def _engines(self) -> list[LabelingEngine]:
        return [part.engine for part in self.environment.core.parts]

    @property
    def _file(self) -> Checkpoint:
        return Checkpoint(self.folder / FILE, self.key)


def _part(model: BaseAlgorithm, name: str) -> Any:
    """What a name such as ``actor.optimizer`` stands for."""
    return functools.reduce(getattr, name.split("."), model)


def _tensors_of(model: BaseAlgorithm) -> Iterator[tuple[str, Tensor]]:
    """What the algorithm itself would save, by name: networks, targets, optimisers, learned coefficients."""
    parts, variables = model._get_torch_save_params()
    for name in parts:
        part = _part(model, name)
        if isinstance(part, torch.optim.Optimizer):
            for index, state in part.state_dict()["state"].items():
                for field, value in state.items():
                    yield f"{name}/{index}/{field}", torch.as_tensor(value).detach().clone()
        else:
            # Extractors that networks share have several names; safetensors wants own memory for each.
            for field, value in part.state_dict().items():
                yield f"{name}/{field}", value.detach().clone()
    for name in variables:
        yield name, _part(model, name).detach().clone()


def _load_tensors(model: BaseAlgorithm, arrays: Mapping[str, Tensor]) -> None:
    parts, variables = model._get_torch_save_params()
    for name in parts:
        part, kept = _part(model, name), part_of(arrays, name)
        if isinstance(part, torch.optim.Optimizer):
            state = part.state_dict()
            state["state"] = {}
            for field, value in kept.items():
                index, entry = field.split("/")
                state["state"].setdefault(int(index), {})[entry] = value
            part.load_state_dict(state)
        else:
            part.load_state_dict(kept)
    for name in variables:
        _part(model, name).data.copy_(arrays[name])


def _buffer_of(model: OffPolicyAlgorithm, whole: bool = False) -> Iterator[tuple[str, Tensor]]:
    """Arrays of the replay buffer by name, as far as they are filled or whole; views, no copies."""
    buffer = model.replay_buffer
    assert buffer is not None, "the algorithm has been set up"
    size = buffer.buffer_size if whole else buffer.size()
    for name, value in vars(buffer).items():
        for key, array in _flat(f"buffer/{name}", value):
            if array.ndim and array.shape[0] == buffer.buffer_size:
                yield key, array[:size]


def _cells_of(model: BaseAlgorithm) -> Iterator[tuple[str, Tensor]]:
    """What a recurrent policy remembers of the episodes under way, by name; the arrays are its own."""
    states = getattr(model, "_last_lstm_states", None)
    for part in ("pi", "vf") if states is not None else ():
        for place, array in enumerate(getattr(states, part)):
            yield f"cells/{part}/{place}", array


def _flat(name: str, value: Any) -> Iterator[tuple[str, Tensor]]:
    """An array, or a mapping of arrays, by name; nothing for anything else."""
    if isinstance(value, np.ndarray):
        yield name, torch.from_numpy(value)
    elif isinstance(value, Mapping):
        for key, array in value.items():
            yield from _flat(f"{name}/{key}", array)


def _unflat(name: str, arrays: Mapping[str, Tensor]) -> Any:
    if name in arrays:
        return arrays[name].numpy().copy()
    return {key: array.numpy().copy() for key, array in part_of(arrays, name).items()}
