"""A frozen transformer that turns texts into vectors, and the fingerprint of everything that changes them."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal, get_args

import numpy as np
import numpy.typing as npt
import torch

from react_rl.encoders.batches import Batch, batches, check_texts, tokenise
from react_rl.encoders.checkpoints import EMBEDDED, locate, sha256_of, tokenizer_digest, weights_digest
from react_rl.encoders.processor import bf16_pays
from react_rl.encoders.progress import progress_bar
from react_rl.errors import ReActError, unknown

_LACKING: Final = re.compile(r"requires the (\w+) library but it was not found")
"""How transformers says that a package is missing: MarianTokenizer requires the SentencePiece library ..."""

Pooling = Literal["mean", "cls", "max"]
Precision = Literal["auto", "fp32", "bf16", "fp16"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EncoderSettings:
    """How texts become vectors.

    Attributes:
        model: ``"minilm"`` (the embedded default), a local folder, or a Hugging Face hub name.
        pooling: How token vectors become one: mean, the first token's (``cls``), or the largest by dimension.
        max_length: Tokens kept of each text, special tokens included.
        normalise: Scale every vector to length one.
        precision: Arithmetic of the forward pass. ``auto`` takes bf16 on GPUs that have it and on processors
            where it is quicker, fp16 on older GPUs, fp32 elsewhere.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or ``"mps"``.
        batch_tokens: Most padded tokens in one batch; None means 2,048 on a CPU (fits its caches) and
            65,536 on a GPU.
        prefix: Put before each text, e.g. ``"query: "`` for E5 models.
    """

    model: str = EMBEDDED
    pooling: Pooling = "mean"
    max_length: int = 256
    normalise: bool = True
    precision: Precision = "auto"
    device: str = "auto"
    batch_tokens: int | None = None
    prefix: str = ""

    def __post_init__(self) -> None:
        """Check the values before any file is read."""
        if self.pooling not in get_args(Pooling):
            raise unknown("pooling", self.pooling, get_args(Pooling))
        if self.precision not in get_args(Precision):
            raise unknown("precision", self.precision, get_args(Precision))
        if self.max_length < 1:
            raise ReActError(f"max_length is {self.max_length}; it must be at least 1 token.")
        if self.batch_tokens is not None and self.batch_tokens < 1:
            raise ReActError(f"batch_tokens is {self.batch_tokens}; it must be at least 1 token.")


class TextEncoder:
    """A pretrained transformer, frozen, with pooling.

    Nothing is read or downloaded until the first ``encode``, ``fingerprint`` or ``dimension``; the
    fingerprint reads files only and loads no weights.

    Args:
        settings: How texts become vectors.

    Attributes:
        device: Where the forward pass runs.
        precision: The arithmetic really used: ``fp32``, ``bf16`` or ``fp16``.
        padding_share: Share of padding among the tokens of the last ``encode``, 0 to 1.

    Raises:
        ReActError: The machine has no such device, or the device no such precision.
    """

    def __init__(self, settings: EncoderSettings | None = None) -> None:
        self.settings = settings if settings is not None else EncoderSettings()
        self.device = resolve_device(self.settings.device)
        self.precision = resolve_precision(self.settings.precision, self.device)
        self.padding_share = 0.0

    @cached_property
    def dimension(self) -> int:
        """Numbers per text, D."""
        from transformers import AutoConfig

        with one_sentence(self.settings.model):
            config = AutoConfig.from_pretrained(self._folder, local_files_only=True, trust_remote_code=False)
            return int(config.hidden_size)

    def fingerprint(self) -> dict[str, str]:
        """Return everything that changes the result, as text: the content of the files and the settings.

        The device type and the batch size are in it because they change the rounding.
        """
        return {
            **self._file_digests,
            "batch_tokens": str(self.batch_tokens),
            "device": self.device.type,
            "max_length": str(self.settings.max_length),
            "normalise": str(self.settings.normalise),
            "pooling": self.settings.pooling,
            "precision": self.precision,
            "prefix": self.settings.prefix,
        }

    def encode(self, texts: Sequence[str], progress: bool = True) -> npt.NDArray[np.float32]:
        """Return one vector per text.

        The order of the texts changes nothing: batches are made by length and content.

        Args:
            texts: N texts.
            progress: Show a bar on a terminal when the work lasts.

        Returns:
            (N, D) float32, rows of length one if the settings say so.

        Raises:
            ReActError: The model cannot be had, or a text cannot be tokenised.
        """
        check_texts(texts)
        if not texts:
            return np.zeros((0, self.dimension), np.float32)
        table = tokenise(self.tokenizer, texts, self.settings.max_length, self.settings.prefix)
        real = int(table.lengths.sum())
        padded = 0
        pooled = torch.empty(len(table.distinct), self.dimension)
        with progress_bar("Encoding", real, progress) as advance:
            for batch, hidden in self.hidden_states(batches(table, self.batch_tokens, self.padding)):
                mask = torch.from_numpy(batch.mask).to(self.device)
                pooled[torch.from_numpy(batch.rows)] = pool(hidden, mask, self.settings.pooling).cpu()
                padded += batch.mask.size
                advance(int(batch.mask.sum()))
        if self.settings.normalise:
            pooled = torch.nn.functional.normalize(pooled, dim=1)
        self.padding_share = 1 - real / padded
        _log.info(
            "encoded %d texts (%d distinct, %d tokens, %.1f %% padding) in %s on %s",
            len(texts), len(table.distinct), real, 100 * self.padding_share, self.precision, self.device,
        )  # fmt: skip
        result: npt.NDArray[np.float32] = pooled.numpy()[table.row_of]
        return result

    @torch.inference_mode()
    def hidden_states(self, rectangles: Iterable[Batch]) -> Iterator[tuple[Batch, torch.Tensor]]:
        """Yield each batch of token ids with the last layer's states ``(B, L, D)``, on the device."""
        model, _ = self._loaded
        low = torch.float16 if self.precision == "fp16" else torch.bfloat16
        # One autocast region around all batches, so that it casts each weight once.
        with torch.autocast(self.device.type, dtype=low, enabled=self.precision != "fp32"):
            for batch in rectangles:
                ids = torch.from_numpy(batch.ids).to(self.device)
                mask = torch.from_numpy(batch.mask).to(self.device)
                yield batch, model(input_ids=ids, attention_mask=mask.long()).last_hidden_state

    @property
    def padding(self) -> int:
        """Token id that fills rectangles."""
        return int(self.tokenizer.pad_token_id)

    @property
    def tokenizer(self) -> Any:
        """The model's own tokenizer; cost models count tokens with it."""
        return self._loaded[1]

    @cached_property
    def _folder(self) -> Path:
        return locate(self.settings.model)

    @cached_property
    def _file_digests(self) -> dict[str, str]:
        return {
            "config": sha256_of(self._folder / "config.json"),
            "tokenizer": tokenizer_digest(self._folder),
            "weights": weights_digest(self._folder),
        }

    @property
    def batch_tokens(self) -> int:
        """Most padded tokens of a batch."""
        # Measured on two Xeon cores: in bf16, batches of 8,192 tokens take a third longer than of 2,048.
        return self.settings.batch_tokens or (2048 if self.device.type == "cpu" else 65536)

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        """The model in evaluation mode on its device, and its tokenizer."""
        settings = self.settings
        model, tokenizer = load_checkpoint(settings.model, self._folder, settings.max_length)
        if tokenizer.pad_token_id is None:
            raise ReActError(
                f"The tokenizer of {settings.model!r} has no padding token; choose an encoder model."
            )
        return model.to(self.device), tokenizer


def load_checkpoint(name: str, folder: Path, max_length: int) -> tuple[Any, Any]:
    """Load the transformer without a task head, in fp32 and evaluation mode, and its tokenizer.

    Args:
        name: Name of the model for messages.
        folder: Where its files are (see ``checkpoints.locate``).
        max_length: Tokens of the longest text that it will read.

    Raises:
        ReActError: The files are broken, lack weights, or the model cannot read texts of that length.
    """
    # Heads that a checkpoint lacks are drawn from torch's global stream, which is not ours to move.
    with one_sentence(name), quiet_transformers(), torch.random.fork_rng(devices=[]):
        from transformers import AutoModel, AutoTokenizer

        options = {"local_files_only": True, "trust_remote_code": False}
        tokenizer = AutoTokenizer.from_pretrained(folder, **options)
        # Attention is not named here: transformers takes SDPA itself wherever the model has it.
        model, report = AutoModel.from_pretrained(
            folder, use_safetensors=True, output_loading_info=True, **options
        )
    missing = sorted(
        key for key in report["missing_keys"] if "pooler" not in key and not key.startswith("decoder.")
    )
    if missing:
        raise ReActError(
            f"The checkpoint {name!r} lacks {len(missing)} weights of its encoder, e.g. {missing[0]!r}; "
            "choose a checkpoint of the same architecture as its config.json."
        )
    if getattr(model.config, "is_encoder_decoder", False):
        model = model.get_encoder()
    marks = tokenizer.num_special_tokens_to_add(pair=False)
    if max_length <= marks:
        raise ReActError(f"max_length is {max_length}, but {name!r} itself adds {marks}; raise it.")
    limit = _longest_text(model, tokenizer)
    if max_length > limit:
        raise ReActError(f"max_length is {max_length}, but {name!r} reads {limit} at most; lower it.")
    return model.float().eval(), tokenizer


def pool(hidden: torch.Tensor, mask: torch.Tensor, pooling: Pooling) -> torch.Tensor:
    """Turn token vectors into one vector per text.

    Args:
        hidden: (B, L, D) token vectors, padded on the right.
        mask: (B, L) True where there is a token; at least one in each row.
        pooling: ``mean``, ``cls`` or ``max``.

    Returns:
        (B, D) float32.
    """
    if pooling == "cls":
        return hidden[:, 0].float()
    tokens = hidden.float()
    if pooling == "max":
        return tokens.masked_fill(~mask[..., None], -torch.inf).amax(1)
    # where, and not a product, because a padded position may hold NaN.
    return torch.where(mask[..., None], tokens, 0).sum(1) / mask.sum(1, keepdim=True)


def resolve_device(name: str) -> torch.device:
    """Return the device of that name; ``auto`` prefers a CUDA GPU, then Apple's, then the CPU.

    Raises:
        ReActError: The name is unknown or the machine has no such device.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise unknown("device", name, ("auto", "cpu", "cuda", "mps")) from None
    if device.type not in ("cpu", "cuda", "mps"):
        raise unknown("device", name, ("auto", "cpu", "cuda", "mps"))
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ReActError(
            f"Device {name!r} is not here: {torch.cuda.device_count()} CUDA GPUs found; use 'auto'."
        )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise ReActError(f"Device {name!r} is not here; use 'auto'.")
    return device


def resolve_precision(precision: Precision, device: torch.device) -> Literal["fp32", "bf16", "fp16"]:
    """Return the arithmetic to use on ``device``.

    ``auto`` on a CPU is what is quicker, by a measurement that is made and noted once (see ``processor``):
    the answer is part of cache keys, and must not change on one machine.

    Raises:
        ReActError: fp16 on a CPU, which is slower than fp32 there.
    """
    if precision == "fp16" and device.type == "cpu":
        raise ReActError("Precision 'fp16' needs a GPU; use 'auto', 'bf16' or 'fp32' on a CPU.")
    if precision != "auto":
        return precision
    if device.type == "cuda":
        return "bf16" if torch.cuda.get_device_capability(device) >= (8, 0) else "fp16"
    return "bf16" if device.type == "cpu" and bf16_pays() else "fp32"


def _longest_text(model: Any, tokenizer: Any) -> int:
    """Return the most tokens that the model's table of positions, or else its tokenizer, allows."""
    for name, module in model.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, torch.nn.Embedding):
            # RoBERTa's family counts positions from padding_idx + 1.
            unused = 0 if module.padding_idx is None else module.padding_idx + 1
            return int(module.num_embeddings) - unused
    return int(tokenizer.model_max_length)


@contextmanager
def one_sentence(model: str) -> Iterator[None]:
    """Turn what transformers raises on broken or foreign files into one sentence."""
    try:
        yield
    except (ReActError, MemoryError):
        raise
    # transformers and its Rust libraries raise a dozen types, some of them bare Exceptions.
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        lacking = _LACKING.search(reason) if isinstance(error, ImportError) else None
        if lacking is not None:
            package = lacking[1].lower()
            raise ReActError(
                f"The tokenizer or model {model!r} needs {package}, which is not installed; run: pip install "
                f"{package}."
            ) from None
        raise ReActError(f"Encoder {model!r} cannot be loaded: {type(error).__name__}: {reason}") from error


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Silence transformers' loading bars and reports, and give its settings back."""
    from transformers.utils import logging as transformers_logging

    verbosity, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()
