"""Prompt-based fine-tuning: the transformer is trained with its own masked-LM head over the words of classes.

Each text goes through the network in a template; the vector of the gap goes through the head of the
checkpoint, and scores of classes begin at the vectors of their words, even over the pool. So an episode
predicts before it has a label, and all methods of fine-tuning train it.

Source: Schick & Schütze 2021, Exploiting cloze questions for few-shot text classification (PET); Gao et al.
2021, Making pre-trained language models better few-shot learners (LM-BFF).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from react_rl.data.corpus import Corpus
from react_rl.encoders.cache import ArrayCache
from react_rl.encoders.checkpoints import locate
from react_rl.encoders.masked_lm import read_masked_lm_head
from react_rl.errors import ReActError
from react_rl.learners.finetune.asking import check_network
from react_rl.learners.finetune.methods.network import HEAD, Network, Texts
from react_rl.learners.finetune.phases import FineTuneInPhases
from react_rl.learners.finetune.settings import FineTuneSettings
from react_rl.learners.finetune.training.store import PieceStore
from react_rl.learners.prompts.parsing import WordScores
from react_rl.learners.prompts.reading import GapReader
from react_rl.learners.prompts.settings import PromptSettings
from react_rl.learners.prompts.templates import Filled
from react_rl.learners.prompts.verbaliser import Verbaliser, check_words
from react_rl.learners.protocol import INVALID_LOGIT

_WHO = "learner.finetune.prompt"


class ClozeNetwork(Network):
    """A transformer whose vectors are those of gaps and go through its masked-LM head."""

    def __init__(self, settings: FineTuneSettings, n_classes: int, device: str = "cpu") -> None:
        self._masked = read_masked_lm_head(settings.model, locate(settings.model), _WHO)
        super().__init__(settings, n_classes, device)

    def _head_sizes(self) -> dict[str, tuple[int, ...]]:
        head, size = self._masked, self._masked.size
        return {
            f"{HEAD}.dense.weight": tuple(head.dense[0].shape),
            f"{HEAD}.dense.bias": (size,),
            f"{HEAD}.norm.weight": (size,),
            f"{HEAD}.norm.bias": (size,),
            f"{HEAD}.out.weight": (self.n_classes, size),
            f"{HEAD}.out.bias": (self.n_classes,),
        }

    def pretrained(self, name: str) -> Tensor | None:
        """Where an array begins; those of the words are an episode's own, see ``ClozeTune``."""
        parts = {"dense": self._masked.dense, "norm": self._masked.norm}
        part, _, last = name.removeprefix(f"{HEAD}.").partition(".")
        if name.startswith(f"{HEAD}.") and part in parts:
            weight, bias = parts[part]
            return weight if last == "weight" else bias
        return super().pretrained(name)

    def classify(self, features: Tensor, class_mask: Tensor) -> Tensor:
        """Class scores ``(R, B, C)`` float32 of the vectors of gaps ``(R B, 1, H)``; see ``Network``."""
        weights, episodes = self.mounted.weights, class_mask.shape[0]

        def linear(rows: Tensor, name: str) -> Tensor:
            weight, bias = weights[f"{HEAD}.{name}.weight"], weights[f"{HEAD}.{name}.bias"]
            return torch.baddbmm(bias[:, None], rows, weight.transpose(1, 2))

        rows = self._masked.activation(linear(features.view(episodes, -1, features.shape[-1]), "dense"))
        rows = functional.layer_norm(rows, rows.shape[-1:], eps=self._masked.epsilon)
        rows = rows * weights[f"{HEAD}.norm.weight"][:, None] + weights[f"{HEAD}.norm.bias"][:, None]
        rows = self._head_dropout(rows.flatten(0, 1)).view(rows.shape)
        return linear(rows, "out").float().masked_fill(~class_mask[:, None], INVALID_LOGIT)


class ClozeStore(PieceStore):
    """Texts in a template, of which the gap is scored.

    Args:
        filled: The template with each text in it.
        network: Whose lower layers are used.
        folder: See ``PieceStore``.
    """

    def __init__(self, filled: Filled, network: Network, folder: Path | None = None) -> None:
        super().__init__(filled.table, network, folder)
        self._gaps = torch.from_numpy(filled.gap_of)

    def rectangle(self, rows: Tensor) -> Texts:
        """The texts ``rows`` ``(B,)``, with the places of their gaps."""
        texts = super().rectangle(rows)
        return replace(texts, words=self._gaps[rows][:, None].to(texts.mask.device))


class ClozeTune(FineTuneInPhases):
    """E transformers that are tuned to fill gaps; see ``FineTuneInPhases``.

    Words are made even over the pool rows that have come by now.
    """

    network_class: ClassVar[type[Network]] = ClozeNetwork
    fewest_labels: ClassVar[int] = 0

    def _stores(self, corpora: Sequence[Corpus], folder: Path | None) -> list[PieceStore]:
        settings, prompt = self.settings, self.settings.prompt
        check_network(self.network, settings, self._task.head.scored)
        check_words(prompt.words, [corpus.label_names for corpus in corpora])
        self._even: dict[int, WordScores] = {}
        self._pools: dict[int, tuple[int, Tensor, Tensor]] = {}
        self._spoken: list[tuple[str, WordScores, Tensor]] = []
        reader = GapReader(
            PromptSettings(
                model=self.network.settings.model, templates=(prompt.template,),
                max_length=settings.max_length,
                precision=settings.precision,
            ),
            str(self.device),
        )  # fmt: skip
        found: list[PieceStore] = []
        for corpus in corpora:
            verbaliser = Verbaliser.of(corpus.label_names, prompt.words, corpus.name)
            words = WordScores(*verbaliser.head(reader.head, reader.tokenizer, corpus.name))
            gaps = torch.from_numpy(reader.vectors(corpus.texts, ArrayCache(), corpus.name, progress=True))
            self._spoken.append((corpus.name, words, gaps))
            found.append(ClozeStore(reader.templates[0].fill(corpus.texts), self.network, folder))
        return found

    @torch.inference_mode(False)
    def place(self, episode: int, corpus: int, rows: Tensor, dev_targets: Tensor) -> None:
        """Note the rows of an episode's columns, and what makes its words even over the pool. Mutates."""
        super().place(episode, corpus, rows, dev_targets)
        name, words, _ = self._spoken[corpus]
        self._pools[episode] = corpus, rows.cpu(), ((rows >= 0) & (dev_targets < 0)).cpu()
        self._make_even(episode, torch.ones(len(rows), dtype=torch.bool))
        if words.intercepts.numel() > len(self._classes):
            raise _some_classes(name, words, len(self._classes))

    def _make_even(self, episode: int, come: Tensor) -> None:
        """Calibrate the words of an episode by the pool rows of columns ``(W,)`` that have come. Mutates."""
        corpus, rows, pool = self._pools[episode]
        _, words, gaps = self._spoken[corpus]
        seen = gaps[rows[pool & come.cpu()]]
        self._even[episode] = words.adjusted("pool", None, seen, seen)

    def _arrive(self, episode: int, come: Tensor) -> None:
        super()._arrive(episode, come)
        self._make_even(episode, come)

    @torch.inference_mode(False)
    def enter_phase(self, episodes: Sequence[int], arrived: Tensor) -> None:
        """See ``LearnsInPhases``; an episode without a label begins at what its words say by now. Mutates."""
        super().enter_phase(episodes, arrived)
        fresh = [e for e in episodes if self.labelled.used[e] == 0]
        for name, array in (self._begin(fresh) if fresh else {}).items():
            self._weights[name][fresh] = array

    def start(self, episodes: Tensor, n_classes: Tensor, seeds: Sequence[int] = ()) -> None:
        """Forget the given episodes and begin again at what the words say.

        Raises:
            ReActError: An episode has only some classes of its corpus.
        """
        for episode, count in zip(episodes.tolist(), n_classes.tolist(), strict=True):
            words = self._even[episode]
            if count != words.intercepts.numel():
                raise _some_classes("the corpus", words, count)
        super().start(episodes, n_classes, seeds)

    def _begin(self, episodes: list[int]) -> dict[str, Tensor]:
        begin = super()._begin(episodes)
        for r, episode in enumerate(episodes):
            words = self._even[episode]
            n_classes = words.intercepts.numel()
            for name, own in (("weight", words.weights), ("bias", words.intercepts)):
                begin[f"{HEAD}.out.{name}"][r, :n_classes] = own.to(self.device)
        return begin


def _some_classes(corpus: str, words: WordScores, count: int) -> ReActError:
    return ReActError(
        f"Words stand for all {words.intercepts.numel()} classes of {corpus}, but an episode has {count} of "
        "them; leave episode.classes out, or learner.finetune.prompt."
    )
