"""The masked-LM head of a checkpoint: what turns the state of a masked place into scores of words."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from react_rl.encoders.transformer import one_sentence, quiet_transformers
from react_rl.errors import ReActError

_CLOSE: Final = 1e-3
"""Largest difference between our scores and the model's own, as a share of the largest."""


def load_masked_lm(name: str, folder: Path, who: str) -> Any:
    """Load a checkpoint with its masked-LM head, in fp32 and evaluation mode.

    Args:
        name: Name of the model for messages.
        folder: Where its files are.
        who: What needs the head, for messages: "strategy 'alps'".

    Raises:
        ReActError: There is no such head in the checkpoint.
    """
    from transformers import AutoConfig, AutoModelForMaskedLM
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING

    options = {"local_files_only": True, "trust_remote_code": False}
    missing = ["all of its weights"]
    with one_sentence(name), quiet_transformers(), torch.random.fork_rng(devices=[]):
        config = AutoConfig.from_pretrained(folder, **options)
        if type(config) in MODEL_FOR_MASKED_LM_MAPPING:
            # Encoder-decoders and decoders carry heads of another kind.
            model, report = AutoModelForMaskedLM.from_pretrained(
                folder, use_safetensors=True, output_loading_info=True, **options
            )
            missing = sorted(report["missing_keys"])
    if missing:
        raise ReActError(
            f"Model {name!r} has no masked-LM head (it lacks {missing[0]}), and {who} needs one; "
            "leave it out, or use a checkpoint such as 'bert-base-uncased'."
        )
    return model.float().eval().requires_grad_(False)


@dataclass(frozen=True, eq=False)
class MaskedLmHead:
    """A dense layer, an activation, a norm, and the table of output words: V words of E numbers.

    Args:
        dense: Weights ``(E, H)`` and biases ``(E,)`` of the dense layer.
        activation: Between the two.
        norm: Scale ``(E,)`` and shift ``(E,)`` of the norm.
        epsilon: Of the norm.
        words: ``(V, E)`` output vectors.
        bias: ``(V,)`` their intercepts.
    """

    dense: tuple[Tensor, Tensor]
    activation: nn.Module
    norm: tuple[Tensor, Tensor]
    epsilon: float
    words: Tensor
    bias: Tensor

    @property
    def size(self) -> int:
        """E, numbers of an output vector."""
        return int(self.words.shape[1])

    def vectors(self, states: Tensor) -> Tensor:
        """From states of masked places ``(..., H)`` to vectors ``(..., E)`` that words are compared with."""
        hidden = self.activation(nn.functional.linear(states, *self.dense))
        return nn.functional.layer_norm(hidden, (self.size,), *self.norm, self.epsilon)

    def scores(self, vectors: Tensor) -> Tensor:
        """Scores ``(..., V)`` of all words."""
        return nn.functional.linear(vectors, self.words, self.bias)

    def to(self, device: torch.device) -> MaskedLmHead:
        """The same head on another device."""
        dense, norm = ((a.to(device), b.to(device)) for a, b in (self.dense, self.norm))
        return replace(self, dense=dense, norm=norm, words=self.words.to(device), bias=self.bias.to(device))


@torch.inference_mode()
def read_masked_lm_head(name: str, folder: Path, who: str) -> MaskedLmHead:
    """Read the head of a checkpoint and check that it gives the model's own scores.

    Args:
        name: Name of the model for messages.
        folder: Where its files are.
        who: What needs the head, for messages.

    Raises:
        ReActError: There is no head, or it is built in another way.
    """
    model = load_masked_lm(name, folder, who)
    decoder, trunk = model.get_output_embeddings(), model.base_model
    trunk_parts = {id(module) for module in trunk.modules()}
    own = [module for module in model.modules() if id(module) not in trunk_parts and module is not decoder]
    dense = [module for module in own if isinstance(module, nn.Linear)]
    norms = [module for module in own if isinstance(module, nn.LayerNorm)]
    known = len(dense) == 1 and len(norms) == 1 and isinstance(decoder, nn.Linear)
    if known:
        head = MaskedLmHead(
            (dense[0].weight, _or_zeros(dense[0].bias, dense[0].weight)),
            _activation(model.config),
            (norms[0].weight, _or_zeros(norms[0].bias, norms[0].weight)),
            float(norms[0].eps),
            decoder.weight,
            _or_zeros(decoder.bias, decoder.weight),
        )
        ids = torch.tensor([[5, 6, 7, 8, 9]]).clamp(max=len(decoder.weight) - 1)
        wanted = model(input_ids=ids).logits
        found = head.scores(head.vectors(trunk(input_ids=ids).last_hidden_state))
        known = bool(((found - wanted).abs() <= _CLOSE * wanted.abs().max()).all())
    if not known:
        raise ReActError(
            f"The masked-LM head of {name!r} ({type(model).__name__}) is no dense layer with a norm, which "
            f"{who} is built on; use a checkpoint such as 'bert-base-uncased' or 'roberta-base'."
        )
    return head


def _or_zeros(bias: Tensor | None, like: Tensor) -> Tensor:
    return torch.zeros(like.shape[0]) if bias is None else bias


def _activation(config: Any) -> nn.Module:
    """What comes between dense layer and norm, as the families of transformers call it."""
    from transformers.activations import ACT2FN

    for name in ("classifier_activation", "hidden_act", "activation"):
        value = getattr(config, name, None)
        if isinstance(value, str) and value in ACT2FN:
            found: nn.Module = ACT2FN[value]
            return found
    return nn.GELU()
