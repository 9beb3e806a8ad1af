"""The encoder as a config or an environment names it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from react_rl.encoders.transformer import EncoderSettings


class EncoderConfig(BaseModel):
    """How texts become vectors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    model: str = "minilm"
    """minilm (embedded), a local folder, a hub name, or one's own function, module:Name."""
    pooling: Literal["mean", "cls", "max"] = "mean"
    """How token vectors become one."""
    max_length: int = Field(default=256, ge=2, le=10**6)
    """Tokens kept of each text."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Arithmetic of the forward pass."""
    prefix: str = ""
    """Put before each text, e.g. 'query: ' for E5 models."""

    def settings(self, device: str) -> EncoderSettings:
        """Settings of the encoder on ``device``."""
        return EncoderSettings(**self.model_dump(), device=device)
