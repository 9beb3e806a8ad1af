"""From settings to an encoder: a checkpoint, or a function of one's own that turns texts into vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Final

import numpy as np
import numpy.typing as npt

from react_rl.encoders.embedding import Encoder
from react_rl.encoders.transformer import EncoderSettings, TextEncoder
from react_rl.errors import ReActError
from react_rl.files import digest
from react_rl.own_code import ENCODER, is_outside, load_outside, source_of

_OTHERS: Final = ("model", "prefix", "device")
"""Settings that an encoder of one's own has too."""


class FunctionEncoder:
    """A function from texts to vectors, as an encoder.

    Its fingerprint holds the source of its module. What else its result depends on, such as weights that it
    reads, is its own affair: give the function an attribute ``version``, a text, and change it with them.

    Args:
        settings: Whose ``model`` names the function.
        function: From N texts to ``(N, D)`` numbers.

    Raises:
        ReActError: A setting is given that only checkpoints have.
    """

    def __init__(self, settings: EncoderSettings, function: Callable[[Sequence[str]], npt.ArrayLike]) -> None:
        default = EncoderSettings()
        for setting in (field.name for field in fields(settings)):
            if setting not in _OTHERS and getattr(settings, setting) != getattr(default, setting):
                raise ReActError(
                    f"encoder.{setting} is {getattr(settings, setting)!r}, but {settings.model!r} is a "
                    "function that turns texts into vectors by itself; leave the setting out."
                )
        self.settings = settings
        self._function = function

    def encode(self, texts: Sequence[str], progress: bool = True) -> npt.NDArray[np.float32]:
        """Return (N, D) vectors.

        Raises:
            ReActError: The function gave something else.
        """
        vectors = np.asarray(self._function([self.settings.prefix + text for text in texts]), np.float32)
        if vectors.ndim != 2 or vectors.shape[0] != len(texts):
            raise ReActError(
                f"Encoder {self.settings.model!r} gave numbers of shape {vectors.shape} for {len(texts)} "
                "texts; it must give a vector for each."
            )
        return vectors

    def fingerprint(self) -> dict[str, str]:
        """Return everything that changes the result, as far as it can be known."""
        return {
            "function": self.settings.model,
            "source": digest(*source_of(self._function)),
            "version": str(getattr(self._function, "version", "")),
            "prefix": self.settings.prefix,
        }


def make_encoder(settings: EncoderSettings) -> Encoder:
    """The encoder that settings name: a checkpoint, ``module:Name``, or what a package announces.

    Raises:
        ReActError: The function cannot be imported, or the machine has no such device or precision.
    """
    if not is_outside(settings.model, ENCODER):
        return TextEncoder(settings)
    found = load_outside(settings.model, ENCODER)
    if isinstance(found, type) or not callable(found):
        raise ReActError(
            f"Encoder {settings.model!r} is of type {type(found).__name__}; it must be a function from texts "
            "to vectors."
        )
    return FunctionEncoder(settings, found)


def checkpoint_of(encoder: Encoder, purpose: str) -> TextEncoder:
    """The encoder, which must be a checkpoint.

    Raises:
        ReActError: It is a function of one's own, which does not do for ``purpose``.
    """
    if isinstance(encoder, TextEncoder):
        return encoder
    raise ReActError(
        f"{purpose} needs the transformer of an encoder, and {encoder.settings.model!r} is a function; name "
        "a checkpoint as encoder.model."
    )
