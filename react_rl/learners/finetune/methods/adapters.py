"""Adapters of the peft library on a frozen transformer: LoRA, AdaLoRA, IA3, prefix and prompt tuning.

peft builds the layers and runs them. The weights are an episode's own and enter at each call, so the model
itself keeps no state and episodes may take turns on it.
"""

from __future__ import annotations

import copy
import importlib.metadata
import importlib.util
import math
import re
import warnings
from typing import Any, Final, get_args

import torch
from torch import Tensor, nn

from react_rl.errors import ReActError
from react_rl.learners.finetune.backbone.anatomy import takes_update
from react_rl.learners.finetune.backbone.episodic import is_linear
from react_rl.learners.finetune.settings import AdapterKind, FineTuneSettings

_TASK: Final = "FEATURE_EXTRACTION"
_SVD_STD: Final = 0.02
"""adalora: deviation of the singular vectors at the start, as in peft."""
_SPARE_RANK: Final = 1.5
"""adalora: rank at the start in units of the rank that is left at the end, as published."""
_EXPLORE: Final = 0.1
"""adalora: share of the steps before the first rank is taken away."""
_SETTLE: Final = 0.3
"""adalora: share of the steps after the last rank is taken away."""
_VECTORS: Final = ("ia3_l", "lora_E")
"""Arrays that are vectors, although peft keeps them as matrices of one row or column."""
_KEYS_VALUES: Final = (
    "key", "value", "k", "v", "k_proj", "v_proj", "k_lin", "v_lin", "key_proj", "value_proj",
    "c_attn", "qkv_proj", "query_key_value", "in_proj", "Wqkv",
)  # fmt: skip
"""ia3: names of key and value layers, or of layers that hold them together with the queries."""
_DOWN: Final = re.compile(
    r"(?<!attention\.)output\.dense$|mlp\.(c_proj|Wo)$"
    r"|(^|\.)(down_proj|fc2|lin2|dense_4h_to_h|wo|fc_out|w2|ffn_output)$"
)
"""ia3: names of the second layer of a feed-forward block."""
_TOLERANCE: Final = 1e-3


class TooLongError(Exception):
    """Texts and virtual tokens together are more than a model reads."""


class Adapter:
    """A transformer with an adapter whose weights come from outside.

    AdaLoRA begins every round with half as much rank again as is left at its end, and takes it away where it
    matters least: for this ``plan``, ``allocate`` and ``penalty`` are called in training. They do nothing for
    the others.

    Source: Hu et al. 2022, LoRA; Zhang et al. 2023, AdaLoRA; Liu et al. 2022, Few-shot parameter-efficient
    fine-tuning is better and cheaper than in-context learning (IA3); Li & Liang 2021, Prefix-tuning; Lester
    et al. 2021, The power of scale for parameter-efficient prompt tuning.

    Args:
        model: The transformer, in fp32 on the CPU; afterwards it holds the adapter's layers. Mutates.
        settings: Which adapter.

    Attributes:
        shapes: Shape of each trained array, by the name that peft gives it.
    """

    def __init__(self, model: Any, settings: FineTuneSettings) -> None:
        import peft

        self._kind = settings.peft.kind
        self._skip = settings.peft.tokens if self._kind == "prompt" else 0
        # peft draws from torch's global stream and warns of what transformers will change.
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            config = _config(peft, model, settings)
            self._model: Any = peft.get_peft_model(model, config, autocast_adapter_dtype=False)
        self._model.eval()
        self._held = {name: array for name, array in self._model.named_parameters() if array.requires_grad}
        self._sizes = {name: tuple(array.shape) for name, array in self._held.items()}
        self.shapes = {
            name: (math.prod(size),) if _part(name) in _VECTORS else size
            for name, size in self._sizes.items()
        }
        orthogonal = ("lora_A", "lora_B") if self._kind == "adalora" else ()
        self._orthogonal = [name for name in self.shapes if _part(name) in orthogonal]
        self._step = 0

    def begin(self, generator: torch.Generator) -> dict[str, Tensor]:
        """Fresh weights of one episode, by name, float32 on the CPU, from peft's own distributions."""
        return {name: self._fresh(name, shape, generator) for name, shape in self.shapes.items()}

    def _fresh(self, name: str, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        part = _part(name)
        if part == "ia3_l":
            return torch.ones(shape)
        if part == "lora_E" or (part == "lora_B" and self._kind == "lora"):
            return torch.zeros(shape)
        if part == "lora_A" and self._kind == "lora":
            bound = 1.0 / math.sqrt(shape[1])
            return torch.empty(shape).uniform_(-bound, bound, generator=generator)
        if part in ("lora_A", "lora_B"):
            return torch.randn(shape, generator=generator) * _SVD_STD
        return torch.randn(shape, generator=generator)

    @staticmethod
    def place_of(name: str) -> str:
        """Where in the transformer an array belongs, without the names of peft's wrappers."""
        return name.removeprefix("base_model.model.")

    def hidden(self, weights: dict[str, Tensor], ids: Tensor, mask: Tensor) -> Tensor:
        """Hidden states ``(B, T, H)`` of texts, virtual tokens left out.

        Args:
            weights: ``(1, ...)`` by name, in the type that the model computes in; other names are ignored.
            ids: ``(B, T)`` int64.
            mask: ``(B, T)`` bool.
        """
        own = {name: weights[name].view(size) for name, size in self._sizes.items()}
        given = {"input_ids": ids, "attention_mask": mask.long()}
        states: Tensor = torch.func.functional_call(self._model, own, (), given).last_hidden_state
        return states[:, self._skip :]

    def plan(self, steps: int) -> None:
        """Begin a round of so many optimiser steps. Mutates."""
        if self._kind == "adalora":
            self._step = 0
            config = self._model.active_peft_config
            config.total_step = steps
            config.tinit, config.tfinal = int(_EXPLORE * steps), math.ceil(_SETTLE * (steps - 1))
            config.rank_pattern = None
            self._model.base_model.rankallocator.reset_ipt()

    def allocate(self, masters: dict[str, Tensor]) -> None:
        """Take rank away where it matters least, after a step and with its gradients. Mutates ``masters``.

        Args:
            masters: ``(1, ...)`` float32 by name, with ``grad``.
        """
        if self._kind != "adalora":
            return
        for name, held in self._held.items():
            master = masters[name]
            grad = torch.zeros_like(master) if master.grad is None else master.grad
            # peft changes its own parameters in place; these share the storage of the masters.
            held.grad = None
            held.data = master.detach().view(self._sizes[name])
            held.grad = grad.view(self._sizes[name])
        self._model.base_model.update_and_allocate(self._step)
        for held in self._held.values():
            held.grad = None
        self._step += 1

    def penalty(self, weights: dict[str, Tensor]) -> Tensor | float:
        """What AdaLoRA adds to the loss: how far singular vectors are from being orthogonal; 0 elsewhere."""
        if not self._orthogonal:
            return 0.0
        norms = []
        for name in self._orthogonal:
            vectors = weights[name].view(self._sizes[name]).float()
            gram = vectors @ vectors.T if _part(name) == "lora_A" else vectors.T @ vectors
            norms.append(torch.linalg.matrix_norm(gram - torch.eye(gram.shape[0], device=gram.device)))
        weight: float = self._model.active_peft_config.orth_reg_weight
        return torch.stack(norms).mean() * weight

    def check(self, longest: int) -> None:
        """Run the adapter on two short texts and, where it brings virtual tokens, on a long one.

        Args:
            longest: Tokens of the longest text.

        Raises:
            TooLongError: The long text and the virtual tokens are more than the model reads.
            Exception: Nothing can be learned, padding changes a text, or whatever else an architecture raises
                that does not know such adapters.
        """
        model = self._model.get_base_model()
        pad = getattr(model.config, "pad_token_id", None)
        known = [token for token in range(model.config.vocab_size) if token != pad][:4]
        ids = torch.tensor([known, known[::-1]])
        mask = torch.ones_like(ids, dtype=torch.bool)
        mask[1, -1] = False
        fresh = self.begin(torch.Generator().manual_seed(0))
        weights = {name: array[None].requires_grad_() for name, array in fresh.items()}
        with torch.enable_grad():
            states = self.hidden(weights, ids, mask)
            spread = torch.linspace(-1, 1, states.numel()).view(states.shape) * mask[..., None]
            grads = torch.autograd.grad((states * spread).sum(), list(weights.values()), allow_unused=True)
        if not any(grad is not None and bool(grad.any()) for grad in grads):
            raise RuntimeError("the output does not depend on the adapter")
        with torch.no_grad():
            short = self.hidden(weights, ids[1:, :-1], mask[1:, :-1])
            allowed = _TOLERANCE * float(short.abs().max())
            if not torch.allclose(states[1:, :-1], short, rtol=0.0, atol=allowed):
                raise RuntimeError("padding changes the hidden states of a text")
            if self._kind in ("prefix", "prompt"):
                ids = ids[:1, :1].expand(1, longest)
                try:
                    self.hidden(weights, ids, torch.ones_like(ids, dtype=torch.bool))
                except (IndexError, RuntimeError) as error:
                    raise TooLongError from error


def make_adapter(model: Any, settings: FineTuneSettings) -> Adapter:
    """Put the adapter of the settings onto a transformer and try it out.

    Args:
        model: The transformer, in fp32 on the CPU. Mutates.
        settings: Which adapter; ``max_length`` is tried too.

    Raises:
        ReActError: peft is not installed, or the adapter does not work with this architecture.
    """
    if importlib.util.find_spec("peft") is None:
        raise ReActError(
            "Method 'peft' needs the package peft, which is not installed; pip install peft, or use lora."
        )
    outcome = _tried(model, settings)
    if isinstance(outcome, Adapter):
        return outcome
    kind, length = settings.peft.kind, settings.max_length
    if isinstance(outcome, TooLongError):
        raise ReActError(
            f"Adapter {kind!r} puts {settings.peft.tokens} virtual tokens before max_length {length} tokens, "
            f"together more than {settings.model!r} reads; lower one of them."
        ) from outcome
    works = [other for other in get_args(AdapterKind) if other != kind and _works(model, settings, other)]
    raise ReActError(
        f"Adapter {kind!r} does not work with {settings.model!r} ({type(model).__name__} of transformers "
        f"{importlib.metadata.version('transformers')}); use {' or '.join(works) or 'another method'}."
    ) from outcome


def _tried(model: Any, settings: FineTuneSettings) -> Adapter | Exception:
    """The adapter, or what it raised when it was tried out. Mutates the model."""
    try:
        adapter = Adapter(model, settings)
        adapter.check(settings.max_length)
    # Architectures fail in their own ways: wrong shapes, unknown arguments, missing entries of a config.
    except Exception as error:
        return error
    return adapter


def _works(model: Any, settings: FineTuneSettings, kind: AdapterKind) -> bool:
    """Whether an adapter works on an untouched model of the same architecture, with random weights."""
    chosen = settings.model_copy(update={"peft": settings.peft.model_copy(update={"kind": kind})})
    try:
        with torch.random.fork_rng(devices=[]):
            fresh = type(model)(copy.deepcopy(model.config))
    except TypeError:
        return False
    return isinstance(_tried(fresh.eval(), chosen), Adapter)


def _part(name: str) -> str:
    """Which of an adapter's arrays a name means: lora_A, lora_B, lora_E, ia3_l or embedding."""
    return next((part for part in ("lora_A", "lora_B", *_VECTORS) if f".{part}." in name), "embedding")


def _config(peft: Any, model: Any, settings: FineTuneSettings) -> Any:
    """What peft is asked for, given the layers of this model."""
    chosen = settings.peft
    linear = [(name, module) for name, module in model.named_modules() if is_linear(module)]
    turned = any(not isinstance(module, nn.Linear) for _, module in linear)
    if chosen.kind in ("prefix", "prompt"):
        make = peft.PrefixTuningConfig if chosen.kind == "prefix" else peft.PromptTuningConfig
        return make(
            task_type=_TASK,
            num_virtual_tokens=chosen.tokens,
            token_dim=int(model.config.hidden_size),
            num_attention_heads=int(model.config.num_attention_heads),
        )
    if chosen.kind == "ia3":
        down = [name for name, _ in linear if _DOWN.search(name)]
        sites = [name for name, _ in linear if name.split(".")[-1] in _KEYS_VALUES] + down
        return peft.IA3Config(
            task_type=_TASK, target_modules=sites, feedforward_modules=down, fan_in_fan_out=turned
        )
    sites = [name for name, module in linear if takes_update(name, module, settings.targets)]
    shared = {
        "task_type": _TASK, "target_modules": sites, "lora_alpha": chosen.alpha, "fan_in_fan_out": turned
    }  # fmt: skip
    if chosen.kind == "lora":
        return peft.LoraConfig(r=chosen.rank, **shared)
    first = math.ceil(_SPARE_RANK * chosen.rank)
    return peft.AdaLoraConfig(init_r=first, target_r=chosen.rank, total_step=1, **shared)
