"""The stage infer with a decoder: how likely each class's words are as the answer to a filled template.

The template ends with the gap. A text's prompt is read once, and all answers go on from what was kept of it.

Source: Brown et al. 2020, Language models are few-shot learners (the sum, and the mean over tokens).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from react_rl.encoders.batches import check_texts
from react_rl.encoders.cache import ArrayCache
from react_rl.encoders.checkpoints import locate, tokenizer_digest, weights_digest
from react_rl.encoders.progress import progress_bar
from react_rl.encoders.token_states import marks_around
from react_rl.encoders.transformer import one_sentence, quiet_transformers
from react_rl.errors import ReActError
from react_rl.files import digest
from react_rl.learners.prompts.settings import PromptSettings
from react_rl.learners.prompts.templates import MASK, TEXT
from react_rl.learners.prompts.verbaliser import Verbaliser

_TOKENS: Final = 4096
"""Most tokens of one forward pass, those of answers included."""


def load_decoder(name: str, folder: Path) -> tuple[Any, Any]:
    """A decoder with its language-model head, in fp32 and evaluation mode, and its tokenizer.

    Raises:
        ReActError: The checkpoint is no decoder.
    """
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING,
        MODEL_FOR_MASKED_LM_MAPPING,
    )

    options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    missing = ["all of its weights"]
    with one_sentence(name), quiet_transformers(), torch.random.fork_rng(devices=[]):
        config = AutoConfig.from_pretrained(folder, **options)
        kind = type(config)
        if kind in MODEL_FOR_CAUSAL_LM_MAPPING and kind not in MODEL_FOR_MASKED_LM_MAPPING:
            model, report = AutoModelForCausalLM.from_pretrained(
                folder, use_safetensors=True, output_loading_info=True, **options
            )
            missing = sorted(report["missing_keys"])
            tokenizer = AutoTokenizer.from_pretrained(folder, **options)
    if missing:
        raise ReActError(
            f"Model {name!r} is no decoder that gives answers (it lacks {missing[0]}); "
            "use a checkpoint such as 'gpt2', or set learner.prompt.answers to gap for a masked model."
        )
    return model.float().eval().requires_grad_(False), tokenizer


class AnswerReader:
    """A decoder and the answers that it may give.

    Args:
        settings: Model, templates, words and lengths; ``answers`` is sum or mean.
        label_names: Names of the C classes.
        corpus: Name of the corpus, for messages.
        device: Where it computes.

    Raises:
        ReActError: The model is no decoder, a template does not end with its gap or leaves no room, or the
            model does not know a word.
    """

    def __init__(
        self, settings: PromptSettings, label_names: Sequence[str], corpus: str, device: str = "cpu"
    ) -> None:
        self.settings = settings
        self._corpus = corpus
        folder = locate(settings.model)
        self._model, self._tokenizer = load_decoder(settings.model, folder)
        self._model.to(device)
        self._device = torch.device(device)
        self._files = weights_digest(folder), tokenizer_digest(folder)
        pieces = Verbaliser.of(label_names, settings.words, corpus).pieces(self._tokenizer, corpus)
        self._answers = [word for words in pieces for word in words]
        self._class_of = torch.tensor([c for c, words in enumerate(pieces) for _ in words])
        self._start = list(marks_around(self._tokenizer)[0])
        longest = max(map(len, self._answers))
        limit = getattr(self._model.config, "max_position_embeddings", settings.max_length)
        self._room = min(settings.max_length, int(limit)) - longest - len(self._start)
        self._frames = [self._frame(template) for template in settings.templates]

    def _frame(self, template: str) -> tuple[list[int], bool, list[int]]:
        """Tokens before and after the text, and whether a space is before it."""
        before, after = template.split(TEXT)
        if not after.endswith(MASK):
            raise ReActError(
                f"Template {template!r} does not end with {MASK}, where a decoder's answer begins; "
                f"write for example '{TEXT} It was {MASK}'."
            )
        head, tail = self._ids(before.rstrip()), self._ids(after.removesuffix(MASK).rstrip())
        if self._room - len(head) - len(tail) < 1:
            raise ReActError(
                f"Template {template!r} leaves no room for a text; raise max_length "
                f"({self.settings.max_length})."
            )
        return head, before[-1:].isspace(), tail

    def _ids(self, text: str) -> list[int]:
        found: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"] if text else []
        return found

    def prompts(self, texts: Sequence[str], template: int = 0) -> list[list[int]]:
        """Token ids of a template with each text in it, up to where the answer begins."""
        head, space, tail = self._frames[template]
        room = self._room - len(head) - len(tail)
        return [
            [*self._start, *head, *self._ids(f" {text}" if space else text)[:room], *tail] for text in texts
        ]

    def vectors(
        self, texts: Sequence[str], cache: ArrayCache | None = None, progress: bool = False
    ) -> npt.NDArray[np.float32]:
        """Log-probabilities of the classes' words as the answer ``(N, C)``, means over words and templates.

        Args:
            texts: N texts.
            cache: Where to look and store; None for neither.
            progress: Show a bar on a terminal when the work lasts.
        """
        check_texts(texts)
        parts = []
        for template in range(len(self._frames)):
            prompts = self.prompts(texts, template)

            def compute(prompts: list[list[int]] = prompts) -> dict[str, npt.NDArray[np.float32]]:
                return {"answers": self.read(prompts, progress)}

            if cache is None:
                parts.append(compute()["answers"])
                continue
            content = [np.asarray(ids, np.int32).tobytes() for ids in (*prompts, *self._answers)]
            key = digest("answers", *self._files, self._device.type, *content)
            meta = {"kind": "answers", "corpus": self._corpus, "model": self.settings.model}
            parts.append(cache.cached(key, compute, meta)["answers"])
        each = torch.from_numpy(np.mean(parts, axis=0, dtype=np.float32))  # (N, A)
        if self.settings.answers == "mean":
            each = each / torch.tensor([len(ids) for ids in self._answers])
        classes = int(self._class_of.max()) + 1
        share = torch.nn.functional.one_hot(self._class_of, classes).float()
        found: npt.NDArray[np.float32] = (each @ (share / share.sum(0))).numpy()
        return found

    @torch.inference_mode()
    def read(self, prompts: Sequence[Sequence[int]], progress: bool = False) -> npt.NDArray[np.float32]:
        """Sum of the log-probabilities of each answer's tokens behind each prompt ``(N, A)``.

        Prompts of one length are read together, so that nothing is padded in front of an answer.
        """
        found = torch.zeros(len(prompts), len(self._answers))
        order = sorted(range(len(prompts)), key=lambda row: len(prompts[row]))
        longest = max(map(len, self._answers))
        with progress_bar("Reading prompts", sum(map(len, prompts)), progress) as advance:
            for length, group in groupby(order, key=lambda row: len(prompts[row])):
                rows = list(group)
                step = max(1, _TOKENS // (length + longest * len(self._answers)))
                for first in range(0, len(rows), step):
                    some = rows[first : first + step]
                    found[some] = self._read_alike([prompts[row] for row in some])
                    advance(length * len(some))
        if not bool(torch.isfinite(found).all()):
            raise ReActError(f"The answers of {self.settings.model!r} are not finite; use another model.")
        return found.numpy()

    def _read_alike(self, prompts: Sequence[Sequence[int]]) -> Tensor:
        """The same ``(B, A)`` for prompts of one length."""
        ids = torch.tensor([list(one) for one in prompts], device=self._device)
        answers, count = self._answers, len(self._answers)
        kept = self._model(input_ids=ids, use_cache=True)
        begun = torch.log_softmax(kept.logits[:, -1].float(), -1)  # (B, V)
        found = torch.stack([begun[:, own[0]] for own in answers], 1)
        longest = max(map(len, answers))
        if longest == 1:
            return found.cpu()
        padded = torch.tensor(
            [[*own, *[own[-1]] * (longest - len(own))] for own in answers], device=self._device
        )
        memory = kept.past_key_values
        memory.batch_repeat_interleave(count)
        # The last token of an answer predicts nothing that is asked; what pads shorter ones does not count.
        given = padded[:, :-1].repeat(len(prompts), 1)
        said = self._model(input_ids=given, past_key_values=memory, use_cache=True).logits
        log = torch.log_softmax(said.float(), -1).view(len(prompts), count, longest - 1, -1)
        wanted = padded[None, :, 1:, None].expand(len(prompts), -1, -1, 1)
        later = log.gather(3, wanted)[..., 0]
        lengths = torch.tensor([len(own) for own in answers], device=self._device)
        counting = torch.arange(1, longest, device=self._device) < lengths[:, None]
        return (found + (later * counting).sum(2)).cpu()
