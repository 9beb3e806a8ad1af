"""The stage infer: a frozen masked language model reads filled templates and gives the vector of each gap.

Vectors of a corpus are computed once and cached by content, like embeddings.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from react_rl.encoders.batches import batches
from react_rl.encoders.cache import ArrayCache
from react_rl.encoders.checkpoints import locate
from react_rl.encoders.masked_lm import read_masked_lm_head
from react_rl.encoders.progress import progress_bar
from react_rl.encoders.transformer import EncoderSettings, TextEncoder
from react_rl.errors import ReActError
from react_rl.files import canonical_json, digest
from react_rl.learners.prompts.settings import PromptSettings
from react_rl.learners.prompts.templates import Filled, Template

WHO: Final = "learner.kind prompt"
_POOLED: Final = ("normalise", "pooling", "prefix")
"""Settings of embeddings that a gap knows nothing of."""


class GapReader:
    """A masked language model and the templates that it reads.

    Args:
        settings: Model, templates and lengths.
        device: Where it computes.

    Attributes:
        head: The masked-LM head, on the CPU.
        templates: The templates, ready to be filled.

    Raises:
        ReActError: The model cannot be had, has no masked-LM head, or a template does not fit.
    """

    def __init__(self, settings: PromptSettings, device: str = "cpu") -> None:
        self.settings = settings
        self.encoder = TextEncoder(
            EncoderSettings(
                settings.model, max_length=settings.max_length, precision=settings.precision, device=device
            )
        )
        self.head = read_masked_lm_head(settings.model, locate(settings.model), WHO)
        self.tokenizer = self.encoder.tokenizer
        self.templates = [
            Template(one, self.tokenizer, settings.max_length, settings.model) for one in settings.templates
        ]

    def vectors(
        self,
        texts: Sequence[str],
        cache: ArrayCache | None = None,
        name: str = "",
        progress: bool = False,
        leads: Sequence[Sequence[int]] | None = None,
    ) -> npt.NDArray[np.float32]:
        """Vectors of the gap ``(N, E)``, the mean over the templates: scores of words are linear in it.

        Args:
            texts: N texts.
            cache: Where to look and store; None for neither.
            name: Name of the corpus, for notes in the cache.
            progress: Show a bar on a terminal when the work lasts.
            leads: For each template tokens that come before every text.
        """
        parts = []
        for template, lead in zip(self.templates, leads or [()] * len(self.templates), strict=True):
            filled = template.fill(texts, lead)

            def compute(filled: Filled = filled) -> dict[str, npt.NDArray[np.float32]]:
                return {"vectors": self.read(filled, progress)}

            if cache is None:
                found = compute()
            else:
                model = {k: v for k, v in self.encoder.fingerprint().items() if k not in _POOLED}
                gaps = ",".join(map(str, filled.gaps.tolist()))
                key = digest("gaps", canonical_json(model), gaps, *filled.table.distinct)
                meta = {"kind": "gap vectors", "corpus": name, "model": self.settings.model}
                found = cache.cached(key, compute, meta)
            parts.append(found["vectors"][filled.table.row_of])
        mean: npt.NDArray[np.float32] = np.mean(parts, axis=0, dtype=np.float32)
        return mean

    def read(self, filled: Filled, progress: bool = False) -> npt.NDArray[np.float32]:
        """Vectors of the gaps of the distinct sequences ``(U, E)``.

        Raises:
            ReActError: A vector is not finite in this precision.
        """
        table = filled.table
        states: Tensor | None = None
        with progress_bar("Reading gaps", int(table.lengths.sum()), progress) as advance:
            rectangles = batches(table, self.encoder.batch_tokens, self.encoder.padding)
            for batch, hidden in self.encoder.hidden_states(rectangles):
                gaps = torch.from_numpy(filled.gaps[batch.rows]).to(hidden.device)
                own = hidden[torch.arange(len(gaps), device=hidden.device), gaps].float().cpu()
                if states is None:
                    states = torch.zeros(len(table.distinct), own.shape[1])
                states[torch.from_numpy(batch.rows)] = own
                advance(int(batch.mask.sum()))
        if states is None:
            return np.zeros((0, self.head.size), np.float32)
        with torch.inference_mode():
            vectors = self.head.vectors(states).numpy()
        if not np.isfinite(vectors).all():
            raise ReActError(
                f"The gaps of {self.settings.model!r} are not finite in {self.encoder.precision}; "
                "set learner.prompt.precision to fp32."
            )
        found: npt.NDArray[np.float32] = vectors
        return found
