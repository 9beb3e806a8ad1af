"""Stopping and resuming a training: weights, optimiser, random states and the episodes still to come.

A checkpoint is taken between two rollouts, when the policy has just been measured. Where every episode has
just begun (fixed costs, no stop action), a resumed training is the undisturbed one to the last bit;
elsewhere the episodes under way are begun anew. Safetensors and JSON, nothing is unpickled.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import safetensors.torch
import torch
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

from react_rl.envs.sb3 import LabelingVecEnv
from react_rl.files import canonical_json, digest, write_atomically

STATE: Final = "state.json"


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


def save_checkpoint(
    folder: Path, key: str, model: OnPolicyAlgorithm, environment: LabelingVecEnv, point: Point
) -> None:
    """Write a checkpoint; the state file comes last and names the tensors that belong to it."""
    tensors = {f"policy/{name}": value for name, value in model.policy.state_dict().items()}
    # Stable-Baselines3 lists a shared extractor under several names; safetensors wants own memory for each.
    tensors = {name: value.detach().clone().contiguous() for name, value in tensors.items()}
    for index, state in model.policy.optimizer.state_dict()["state"].items():
        for name, value in state.items():
            tensors[f"optimizer/{index}/{name}"] = torch.as_tensor(value).detach().clone().contiguous()
    tensors["random/torch"] = torch.get_rng_state()
    content = safetensors.torch.save(tensors)
    name = f"{digest(content)[:16]}.safetensors"
    write_atomically(folder / name, content)
    kind, keys, position, has_gauss, cached = np.random.get_state(legacy=True)  # noqa: NPY002
    state = {
        "key": key,
        "tensors": name,
        "steps": model.num_timesteps,
        "updates": model._n_updates,
        "drawn": environment.drawn,
        "numpy": [str(kind), [int(k) for k in keys], int(position), int(has_gauss), float(cached)],
        "finished": point.finished,
        "due": point.due,
        "curve": point.curve,
        "best": point.best,
        "chosen_at": point.chosen_at,
    }
    write_atomically(folder / STATE, canonical_json(state) + "\n")
    for other in folder.glob("*.safetensors"):
        if other.name != name:
            other.unlink(missing_ok=True)


def restore_checkpoint(
    folder: Path, key: str, model: OnPolicyAlgorithm, environment: LabelingVecEnv
) -> Point | None:
    """Put a model and its environment where the checkpoint of the same training left them; mutates both.

    Returns:
        Where the training stood, or None if there is no usable checkpoint of this training.
    """
    try:
        state: dict[str, Any] = json.loads((folder / STATE).read_text(encoding="utf-8"))
        if state["key"] != key:
            return None
        tensors = safetensors.torch.load_file(folder / state["tensors"])
        point = Point(state["finished"], state["due"], state["curve"], state["best"], state["chosen_at"])
    except (OSError, ValueError, KeyError, TypeError, safetensors.SafetensorError):
        return None
    weights = {n.removeprefix("policy/"): v for n, v in tensors.items() if n.startswith("policy/")}
    model.policy.load_state_dict(weights)
    optimizer = model.policy.optimizer.state_dict()
    optimizer["state"] = {}
    for name, value in tensors.items():
        if name.startswith("optimizer/"):
            _, index, field = name.split("/")
            optimizer["state"].setdefault(int(index), {})[field] = value
    model.policy.optimizer.load_state_dict(optimizer)
    model.num_timesteps, model._n_updates = state["steps"], state["updates"]
    environment.resume(state["drawn"])
    torch.set_rng_state(tensors["random/torch"])
    kind, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((kind, np.array(keys, dtype=np.uint32), position, has_gauss, cached))  # noqa: NPY002
    return point


def clear_checkpoint(folder: Path) -> None:
    """Remove the checkpoint of a finished training."""
    (folder / STATE).unlink(missing_ok=True)
    for tensors in folder.glob("*.safetensors"):
        tensors.unlink(missing_ok=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
