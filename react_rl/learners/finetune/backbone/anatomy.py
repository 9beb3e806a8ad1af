"""Where the parts of a transformer are: layers, word table, final norm, pooler. Nothing is trained here."""

from __future__ import annotations

import copy
from typing import Any, Final

import torch
from torch import Tensor, nn

from react_rl.errors import ReActError
from react_rl.learners.finetune.backbone.episodic import is_linear, is_norm

_QUERY_VALUE: Final = (
    "query", "value", "q_proj", "v_proj", "q_lin", "v_lin", "query_proj", "value_proj",
    "q", "v", "c_attn", "qkv_proj", "query_key_value", "in_proj", "Wqkv",
)  # fmt: skip
"""Names of query and value layers, or of layers that hold both, in the architectures of transformers."""


def layers_path(model: Any) -> str | None:
    """Name of the list of layers, or None where there is none (layers that share their weights)."""
    for name, module in model.named_modules():
        if isinstance(module, nn.ModuleList) and len(module) == model.config.num_hidden_layers:
            return str(name)
    return None


def layers_of(model: Any, name: str) -> nn.ModuleList:
    """The list of layers.

    Raises:
        ReActError: The architecture has none.
    """
    path = layers_path(model)
    if path is None:
        raise ReActError(
            f"{name!r} ({type(model).__name__}) has no list of layers; leave 'layers' out of the learner."
        )
    found = model.get_submodule(path)
    assert isinstance(found, nn.ModuleList)
    return found


def above_attention(model: Any, path: str | None) -> nn.Module:
    """Where states leave the last attention and meet those that entered it, in relatives of BERT.

    Args:
        model: The model.
        path: Of its list of layers.
    """
    found: nn.Module = model.get_submodule(f"{path}.{len(model.get_submodule(path)) - 1}.attention.output")
    return found


def word_table(model: Any) -> nn.Module:
    """The embedding table of the words."""
    table: nn.Module = model.get_input_embeddings()
    return table


def place(model: nn.Module, name: str, module: nn.Module) -> None:
    """Put ``module`` where the submodule of that name is. Mutates."""
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, module)


def cast(model: nn.Module, device: torch.device, dtype: torch.dtype) -> None:
    """Move a model. Rotary frequencies stay in fp32: their rounding would turn late tokens. Mutates."""
    exact = [(m, n, b) for m in model.modules() for n, b in m.named_buffers(recurse=False) if "inv_freq" in n]
    model.to(device, dtype)
    for module, name, buffer in exact:
        setattr(module, name, buffer.to(device))


def takes_update(name: str, module: nn.Module, targets: str) -> bool:
    """Whether a layer gets a low-rank update: a linear one, and with ``query-value`` one of attention's."""
    return is_linear(module) and (targets == "all" or name.split(".")[-1] in _QUERY_VALUE)


def take_pooler(model: Any) -> dict[str, Tensor] | None:
    """Remove the pooler from the model and return its ``weight`` and ``bias``, or None. Mutates."""
    pooler = getattr(model, "pooler", None)
    if not isinstance(pooler, nn.Module):
        return None
    model.pooler = None
    dense = getattr(pooler, "dense", None)
    if not isinstance(dense, nn.Linear):
        return None
    return {"weight": dense.weight.detach().float(), "bias": dense.bias.detach().float()}


def cut(model: Any, n_layers: int, name: str) -> nn.Module:
    """Cut embedding tables and the lowest layers off a model, which then takes hidden states instead of ids.

    Args:
        model: The model; afterwards ``inputs_embeds`` enter its remaining layers. Mutates.
        n_layers: Layers to cut off; with all of them the model keeps nothing but its shell.
        name: Name for messages.

    Returns:
        A model that maps ids to these states.

    Raises:
        ReActError: The architecture has no list of layers.
    """
    layers = layers_of(model, name)
    lower: nn.Module = copy.deepcopy(model)
    if n_layers < len(layers):
        del layers_of(lower, name)[n_layers:]
        for child, module in lower.named_children():
            if is_norm(module):
                setattr(lower, child, nn.Identity())
    if isinstance(getattr(model, "embeddings", None), nn.Module):
        model.embeddings = _Passthrough()
    for child, module in list(model.named_children()):
        if isinstance(module, nn.Embedding):
            setattr(model, child, _Nothing())
    del layers[:n_layers]
    return lower


class _Passthrough(nn.Module):
    """Takes the place of the embedding tables: the states that are given go through unchanged."""

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        states = [x for x in (*args, *kwargs.values()) if isinstance(x, Tensor) and x.is_floating_point()]
        return next(x for x in states if x.dim() == 3)


class _Nothing(nn.Module):
    """Takes the place of a table of positions that the states hold already."""

    def forward(self, ids: Tensor) -> Tensor:
        return torch.zeros((), device=ids.device)  # without axes it does not change the type of a sum
