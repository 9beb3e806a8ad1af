"""Which texts a model is pretrained on before it is fine-tuned: those of the train split, unlabelled."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from react_rl.data.corpus import Corpus
from react_rl.encoders.masked_pretraining import adapted
from react_rl.learners.finetune.settings import FineTuneSettings


def pretrained(
    settings: FineTuneSettings, corpora: Sequence[Corpus], device: torch.device
) -> FineTuneSettings:
    """The settings with the model pretrained on the corpora's train texts, where they ask for it.

    Args:
        settings: Model, and how it is pretrained.
        corpora: Those that share the model; of questions the contexts are read. Dev and test texts are not.
        device: Where to compute.

    Raises:
        ReActError: The model has no masked-LM head.
    """
    if settings.pretraining is None:
        return settings
    texts: list[str] = []
    for corpus in corpora:
        whole = corpus.texts if corpus.passages is None else corpus.passages.contexts()
        texts += [whole[row] for row in corpus.ids("train")]
    made = adapted(settings.model, texts, settings.pretraining, settings.max_length, str(device))
    return settings.model_copy(update={"model": str(made)})
