"""Embeddings that somebody computed elsewhere: read from a file and checked, in place of an encoder's."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from react_rl.errors import ReActError, first_line

SUFFIXES: Final = (".npy", ".safetensors")
"""Endings of files that embeddings can be read from."""

TENSOR: Final = "embeddings"
"""Name of the array in a safetensors file that holds several."""

_KINDS: Final = ("float16", "float32", "float64", "bfloat16")


def read_embeddings(path: str | Path, n_rows: int, corpus: str) -> npt.NDArray[np.float32]:
    """Read the embeddings of a corpus; nothing in the file is unpickled.

    Args:
        path: A ``.npy`` file, or a ``.safetensors`` file with one array or one called ``embeddings``.
        n_rows: Rows of the corpus, N.
        corpus: Its name, for messages.

    Returns:
        ``(N, D)`` float32; line i belongs to row id i. Lengths are as in the file.

    Raises:
        ReActError: The file cannot be read, or does not hold N rows of finite floating-point numbers.
    """
    path = Path(path).expanduser()
    if path.suffix not in SUFFIXES:
        raise ReActError(f"Embeddings {path} must be a {' or '.join(SUFFIXES)} file.")
    if not path.is_file():
        raise ReActError(f"There is no file {str(path)!r} with the embeddings of corpus {corpus!r}.")
    kind, found = _read_npy(path) if path.suffix == ".npy" else _read_safetensors(path)
    if kind not in _KINDS:
        raise ReActError(f"Embeddings {path} hold {kind}; they must be one of {', '.join(_KINDS)}.")
    if found.ndim != 2 or found.shape[1] < 1:
        raise ReActError(f"Embeddings {path} have shape {found.shape}; it must be (rows, dimensions).")
    if found.shape[0] != n_rows:
        raise ReActError(
            f"Embeddings {path} have {found.shape[0]} rows and corpus {corpus!r} has {n_rows}; give one for "
            "each row of the corpus, in the order of its file, and leave out max_rows."
        )
    with np.errstate(over="ignore"):
        embeddings = np.ascontiguousarray(found, dtype=np.float32)
    finite = np.isfinite(embeddings).all(axis=1)
    if not finite.all():
        raise ReActError(
            f"Embeddings {path} are not finite in {int((~finite).sum())} rows, the first is row "
            f"{int(np.argmin(finite)) + 1}; compute these again."
        )
    return embeddings


def _read_npy(path: Path) -> tuple[str, npt.NDArray[Any]]:
    try:
        found = np.load(path, allow_pickle=False)
    # A damaged header goes through Python's own parser, which raises whatever it likes.
    except Exception as error:
        raise ReActError(f"Embeddings {path} cannot be read as .npy: {first_line(error)}.") from None
    if not isinstance(found, np.ndarray):
        raise ReActError(f"Embeddings {path} hold several arrays; save one with numpy.save.")
    return found.dtype.name, found


def _read_safetensors(path: Path) -> tuple[str, npt.NDArray[Any]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            names = sorted(file.keys())
            if len(names) != 1 and TENSOR not in names:
                raise ReActError(
                    f"Embeddings {path} hold the arrays {', '.join(names) or 'none'}; call one {TENSOR!r}."
                )
            tensor = file.get_tensor(TENSOR if TENSOR in names else names[0])
    except (OSError, SafetensorError) as error:
        raise ReActError(f"Embeddings {path} cannot be read as .safetensors: {first_line(error)}.") from None
    kind = str(tensor.dtype).removeprefix("torch.")
    return kind, (tensor.float() if kind == "bfloat16" else tensor).numpy()
