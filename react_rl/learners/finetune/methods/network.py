"""A pretrained transformer made ready for many episodes: frozen parts shared, trained parts one per episode.

`Network` loads the checkpoint, exchanges the layers that are trained, cuts off the frozen lower layers, and
maps batches of texts to class scores. It trains nothing itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn

from react_rl.encoders.checkpoints import locate
from react_rl.encoders.transformer import load_checkpoint, pool, resolve_device, resolve_precision
from react_rl.errors import ReActError
from react_rl.learners.finetune.backbone import anatomy
from react_rl.learners.finetune.backbone.attention import ATTENTION, register
from react_rl.learners.finetune.backbone.between import Between
from react_rl.learners.finetune.backbone.dropout import EpisodeDropout, token_numbers
from react_rl.learners.finetune.backbone.episodic import (
    EpisodeEmbedding,
    EpisodeLinear,
    EpisodeLora,
    EpisodeNorm,
    Mounted,
    is_linear,
    is_norm,
)
from react_rl.learners.finetune.backbone.nudging import Nudge
from react_rl.learners.finetune.backbone.packing import Narrowing, Packing, first_position, worth_packing
from react_rl.learners.finetune.backbone.probe import Probe
from react_rl.learners.finetune.methods.adapters import Adapter, make_adapter
from react_rl.learners.finetune.settings import FineTuneSettings
from react_rl.learners.protocol import INVALID_LOGIT

HEAD: Final = "head"
_HEAD_STD: Final = 0.02


@dataclass(frozen=True)
class Texts:
    """A rectangle of texts, R episodes with B texts each.

    Args:
        mask: ``(R B, T)`` bool, True where there is a token; padded on the right.
        ids: ``(R B, T)`` int64 token ids, or None where hidden states are given.
        hidden: ``(R B, T, H)`` hidden states that enter the trained layers, or None.
        words: ``(R B, K)`` int64 tokens whose vectors are scored, -1 for none; None where texts are scored.
    """

    mask: Tensor
    ids: Tensor | None = None
    hidden: Tensor | None = None
    words: Tensor | None = None


class Network:
    """A transformer whose trained parts exist once for each episode.

    Args:
        settings: Model, method and layers.
        n_classes: Largest number of classes C.
        device: Where to compute.

    Raises:
        ReActError: The checkpoint cannot be had or its architecture does not allow what the settings ask for.
    """

    def __init__(self, settings: FineTuneSettings, n_classes: int, device: str = "cpu") -> None:
        self.settings = settings
        self.n_classes = n_classes
        self.device = resolve_device(device)
        precision = resolve_precision(settings.precision, self.device)
        self.dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
        model, self.tokenizer = load_checkpoint(settings.model, locate(settings.model), settings.max_length)
        self.model = model
        model.config.use_cache = False
        self.hidden_size = int(model.config.hidden_size)
        self._pooler = anatomy.take_pooler(model)
        probe = Probe(model)
        if self.device.type == "cpu":
            register()
            usual = model.config._attn_implementation
            model.set_attn_implementation(ATTENTION)
            if not probe.same(model):  # an attention that does more than these products
                model.set_attn_implementation(usual)
        self.lower: nn.Module | None = None
        """Frozen tables and layers whose states never change; None where the trained part reads ids."""
        self.whole = settings.method == "head"
        """Whether nothing above the lower part is left to run."""
        self._path = None if self.whole else anatomy.layers_path(model)  # found while all layers are there
        if settings.layers is not None or self.whole:
            count = self._frozen_layers()
            if count > 0:
                self.lower = anatomy.cut(model, count, settings.model)
                if not self.whole and not probe.same(model, self.lower):
                    raise ReActError(
                        f"The top layers of {settings.model!r} ({type(model).__name__}) cannot be run apart "
                        "from those below; leave 'layers' out of the learner."
                    )
        self.n_upper = 0 if self._path is None else len(model.get_submodule(self._path))
        """Layers that are run, not counting those of the lower part."""
        self.mounted = Mounted()
        self._narrowing = Narrowing(self.mounted)
        self._nudge: Nudge | None = None
        self._between: Between | None = None
        self.words: str | None = None
        """Name of the word table where it is trained."""
        self._begin: dict[str, Tensor] = {}
        self._loras: list[EpisodeLora] = []
        self._depth: dict[str, int] = {}
        self._head_dropout = EpisodeDropout(settings.dropout, 0, self.mounted)
        self.adapter: Adapter | None = None
        """What peft runs; None for other methods."""
        self._first_position: int | None = None
        """Where the table of positions begins, for texts without padding; None where they are not read so."""
        self._exchange()
        if self._depth and self.adapter is None:
            self._check(probe)
        for part in (model, *([] if self.lower is None else [self.lower])):
            anatomy.cast(part.requires_grad_(False).eval(), self.device, self.dtype)
            for module in part.modules():
                if isinstance(module, EpisodeDropout):
                    module.prepare(self.device, self.dtype)
        if self.lower is None and self.adapter is None and not settings.compile:
            model.get_input_embeddings().register_forward_hook(self._nudged)
        self._forward = torch.compile(model, dynamic=True) if settings.compile else model

    def _nudged(self, module: nn.Module, given: Any, vectors: Tensor) -> Tensor:
        """Move word vectors as they leave their table."""
        return vectors if self._nudge is None else self._nudge.on(vectors)

    def _check(self, probe: Probe) -> None:
        """Raise a ReActError unless the exchanged layers give what the model's own gave."""
        device, self.device = self.device, torch.device("cpu")
        weights = self.begin(torch.zeros(1, dtype=torch.int64))
        if self.words is not None:
            weights[self.words] = self._begin[self.words][None]
        self.device, self.mounted.texts = device, probe.texts
        other = "head" if self.settings.method == "lora" else "lora"
        with self.mount(weights):
            if not probe.same(self.model, self.lower):
                raise ReActError(
                    f"Method {self.settings.method!r} does not work with {self.settings.model!r} "
                    f"({type(self.model).__name__}); use {other}."
                )
            if self.model.config._attn_implementation == ATTENTION and not self.settings.compile:
                self._first_position = first_position(self.model.config)
            if self._first_position is not None and not probe.same(self.model, self.lower, self._packed):
                self._first_position = None
        if self._first_position is not None:
            anatomy.above_attention(self.model, self._path).register_forward_pre_hook(self._narrowing.before)

    def _frozen_layers(self) -> int:
        settings = self.settings
        count = len(anatomy.layers_of(self.model, settings.model))
        if settings.method == "head":
            return count
        assert settings.layers is not None
        if settings.layers > count:
            raise ReActError(
                f"layers is {settings.layers}, but {settings.model!r} has {count} layers; lower it."
            )
        return count - settings.layers

    def _exchange(self) -> None:
        """Put episode layers where something is trained, episode dropout everywhere. Mutates."""
        settings, model = self.settings, self.model
        sites = [name for name, module in model.named_modules() if isinstance(module, nn.Dropout)]
        for site, name in enumerate(sites, 1):
            anatomy.place(model, name, EpisodeDropout(settings.dropout, site, self.mounted))
        if settings.method == "head":
            return
        if settings.method == "peft":
            self.adapter = make_adapter(model, settings)
            self._depth = {name: self._distance(Adapter.place_of(name)) for name in self.adapter.shapes}
            return
        trained: set[int] = set()
        words = None if self.lower is not None else anatomy.word_table(model)
        for name, module in list(model.named_modules()):
            new = self._exchanged(name, module, words)
            if new is None:
                continue
            trained.update(id(parameter) for parameter in module.parameters())
            if isinstance(new, EpisodeLora):
                self._loras.append(new)
                arrays = list(new.sizes)
            else:
                self._begin.update(new.begin)
                arrays = list(new.begin)
                if isinstance(new, EpisodeEmbedding) and new.words:
                    self.words = new.name
            self._depth.update(dict.fromkeys(arrays, self._distance(name)))
            anatomy.place(model, name, new)
        if not self._depth:
            raise ReActError(
                f"Method {settings.method!r} finds nothing to train in {settings.model!r}; use another one."
            )
        left = [name for name, parameter in model.named_parameters() if id(parameter) not in trained]
        if settings.method == "full" and left:
            raise ReActError(
                f"Method 'full' does not know the layer of {left[0]!r} in {settings.model!r}; use lora."
            )

    def _exchanged(
        self, name: str, module: nn.Module, words: nn.Module | None
    ) -> EpisodeLinear | EpisodeLora | EpisodeNorm | EpisodeEmbedding | None:
        """The episode layer that takes the place of ``module``, or None where nothing changes."""
        settings, mounted = self.settings, self.mounted
        full, biased = settings.method == "full", getattr(module, "bias", None) is not None
        if settings.method == "lora":
            if anatomy.takes_update(name, module, settings.targets):
                return EpisodeLora(module, name, mounted, settings.rank, settings.alpha)
            return None
        if is_linear(module) and (full or biased):
            return EpisodeLinear(module, name, mounted, matrix=full)
        if is_norm(module) and (full or biased):
            return EpisodeNorm(module, name, mounted, scale=full)
        if isinstance(module, nn.Embedding) and full:
            return EpisodeEmbedding(module, name, mounted, words=module is words)
        return None

    def _distance(self, name: str) -> int:
        """Layers between a module and the head: 1 for the top layer, one more below the lowest."""
        if self._path is None or not name.startswith(f"{self._path}."):
            return self.n_upper + 1 if "embed" in name or "wte" in name or "wpe" in name else 0
        return self.n_upper - int(name[len(self._path) + 1 :].split(".")[0])

    @property
    def names(self) -> list[str]:
        """Names of all trained arrays, in a fixed order."""
        return [*self._depth, *self._head_sizes()]

    def depth_of(self, name: str) -> int:
        """Layers between an array and the head: 0 for the head itself."""
        return self._depth.get(name, 0)

    def _head_sizes(self) -> dict[str, tuple[int, ...]]:
        sizes: dict[str, tuple[int, ...]] = {}
        if self.settings.head == "dense":
            sizes[f"{HEAD}.dense.weight"] = (self.hidden_size, self.hidden_size)
            sizes[f"{HEAD}.dense.bias"] = (self.hidden_size,)
        sizes[f"{HEAD}.out.weight"] = (self.n_classes, self.hidden_size)
        sizes[f"{HEAD}.out.bias"] = (self.n_classes,)
        return sizes

    def pretrained(self, name: str) -> Tensor | None:
        """Where the array of that name begins, ``(...)`` float32, or None if chance decides."""
        if name in self._begin:
            return self._begin[name]
        if name.startswith(f"{HEAD}.dense") and self._pooler is not None:
            return self._pooler[name.split(".")[-1]]
        return None

    def begin(self, seeds: Tensor) -> dict[str, Tensor]:
        """Weights ``(R, ...)`` float32 before any training; the word table is left out (see ``words``).

        Args:
            seeds: ``(R,)`` int64; what is not pretrained is drawn from them, an episode's from its own.
        """
        drawn: dict[str, list[Tensor]] = {}
        sizes = self._head_sizes()
        for seed in seeds.tolist():
            generator = torch.Generator().manual_seed(seed % 2**63)
            one: dict[str, Tensor] = {}
            for source in self._loras if self.adapter is None else [self.adapter]:
                one |= source.begin(generator)
            for name, size in sizes.items():
                matrix = torch.randn(size, generator=generator) * _HEAD_STD
                one[name] = matrix if len(size) > 1 else torch.zeros(size)
            for name, array in one.items():
                drawn.setdefault(name, []).append(array)
        weights = {name: torch.stack(arrays).to(self.device) for name, arrays in drawn.items()}
        for name in self.names:
            known = self.pretrained(name)
            if known is not None and name != self.words:
                weights[name] = known.to(self.device).expand(len(seeds), *known.shape).clone()
        return {name: weights[name] for name in self.names if name in weights}

    def anchors(self, seeds: Tensor) -> dict[str, Tensor]:
        """What weights that stay near the pretrained ones stay near, ``(R, ...)`` by name; see ``begin``.

        A head that chance decides stays near zero.
        """
        begin = self.begin(seeds)
        drawn = [name for name in begin if name.startswith(f"{HEAD}.") and self.pretrained(name) is None]
        return begin | {name: torch.zeros_like(begin[name]) for name in drawn}

    @contextmanager
    def mount(
        self,
        weights: dict[str, Tensor],
        vocabulary: Tensor | None = None,
        keys: Tensor | None = None,
        nudge: Nudge | None = None,
        between: Between | None = None,
    ) -> Iterator[None]:
        """Context in which the layers read these weights.

        Args:
            weights: ``(R, ...)`` each, in ``dtype``.
            vocabulary: See ``Mounted``.
            keys: ``(R,)`` int32 keys of the dropout masks; None drops nothing.
            nudge: Moves the vectors that enter the trained layers; texts keep their padding then.
            between: Changes the states that leave one of them; the same holds.
        """
        mounted = self.mounted
        mounted.weights, mounted.vocabulary, mounted.keys = weights, vocabulary, keys
        mounted.episodes, self._nudge = next(iter(weights.values())).shape[0], nudge
        self._between, hook = between, None
        if between is not None:
            layer = self.model.get_submodule(f"{self._path}.{between.layer - 1}")
            hook = layer.register_forward_hook(between.on)
        try:
            yield
        finally:
            mounted.weights, mounted.vocabulary, mounted.keys = {}, None, None
            self._nudge, self._between = None, None
            if hook is not None:
                hook.remove()

    def features(self, texts: Texts, first: int = 0) -> Tensor:
        """Vectors of texts under the mounted weights: pooled ``(R B, H)``, or of their words ``(R B, K, H)``.

        Args:
            texts: The texts.
            first: Place of their first row in the batch that they are a piece of: it decides what is dropped.
        """
        self.mounted.texts, self.mounted.first = texts.mask.shape[0], first
        entering = texts.hidden
        if self._nudge is not None:
            self._nudge.mask = texts.mask
            entering = None if texts.hidden is None else self._nudge.on(texts.hidden)
        if self._between is not None:
            self._between.mask = texts.mask
        if self.whole:
            assert entering is not None
            hidden = entering
        elif self.adapter is not None:
            assert texts.ids is not None
            hidden = self.adapter.hidden(self.mounted.weights, texts.ids, texts.mask)
        else:
            arrays = {"input_ids": texts.ids, "inputs_embeds": entering}
            given = {name: array for name, array in arrays.items() if array is not None}
            packed = self._first_position is not None and self._nudge is None and self._between is None
            if packed and texts.words is not None:
                return self._packed(given, texts.mask, texts.words).to(self.dtype)
            if packed and worth_packing(texts.mask):
                hidden = self._packed(given, texts.mask)
            else:
                hidden = self._forward(**given, attention_mask=texts.mask.long()).last_hidden_state
        if texts.words is not None:
            place = texts.words.clamp_min(0)[:, :, None].expand(-1, -1, hidden.shape[2])
            return hidden.gather(1, place).to(self.dtype)
        if self.settings.pooling == "last":
            last = texts.mask.sum(1) - 1
            return hidden[torch.arange(len(last), device=hidden.device), last]
        return pool(hidden, texts.mask, self.settings.pooling).to(self.dtype)

    def _packed(self, given: dict[str, Tensor], mask: Tensor, words: Tensor | None = None) -> Tensor:
        """States ``(R B, T, H)`` that leave the top layer, or words' ``(R B, K, H)``; see ``packing``."""
        mounted, place = self.mounted, self._first_position
        assert place is not None, "only architectures with a known place are read so"
        packing = Packing(mask, mounted.episodes, mounted.first)
        scored = self._narrowing.to(packing, words)
        mounted.texts = 1
        if mounted.keys is not None:
            mounted.tokens = token_numbers(mounted.keys, packing.places)
        try:
            states = self.model(
                **{name: packing.pack(array) for name, array in given.items()},
                position_ids=packing.positions + place,
                attention_mask=packing.shift,
                packing=packing,
            ).last_hidden_state
        finally:
            mounted.texts, mounted.tokens = mask.shape[0], None
            self._narrowing.to(packing, None)
        return packing.spread(states) if scored is None else scored.vectors(states)

    def classify(self, features: Tensor, class_mask: Tensor) -> Tensor:
        """Class scores ``(R, U, C)`` float32 of the U vectors of each episode, under the mounted weights.

        Args:
            features: Vectors of texts ``(R B, H)``, or of words ``(R B, K, H)``.
            class_mask: ``(R, C)`` True for the classes of an episode.
        """
        weights = self.mounted.weights
        rows = features.view(class_mask.shape[0], -1, features.shape[-1])
        if self.settings.head == "dense":
            dense, shift = weights[f"{HEAD}.dense.weight"], weights[f"{HEAD}.dense.bias"]
            rows = torch.tanh(torch.baddbmm(shift[:, None], rows, dense.transpose(1, 2)))
        rows = self._head_dropout(rows.view(features.shape)).view(rows.shape)
        out, shift = weights[f"{HEAD}.out.weight"], weights[f"{HEAD}.out.bias"]
        scores = torch.baddbmm(shift[:, None], rows, out.transpose(1, 2)).float()
        return scores.masked_fill(~class_mask[:, None], INVALID_LOGIT)
