"""The masked-LM head of a checkpoint: what turns the state of a masked place into scores of words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from react_rl.encoders.transformer import one_sentence, quiet_transformers
from react_rl.errors import ReActError


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
