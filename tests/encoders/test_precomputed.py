"""Embeddings from a file: what is read, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.torch import save_file

from react_rl.encoders import read_embeddings
from react_rl.errors import ReActError

ROWS = np.arange(12, dtype=np.float32).reshape(4, 3)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_numpy_files_of_every_floating_type_are_read(tmp_path: Path, dtype: str) -> None:
    np.save(tmp_path / "a.npy", ROWS.astype(dtype))
    read = read_embeddings(tmp_path / "a.npy", 4, "a")
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, ROWS)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_safetensors_of_every_floating_type_are_read(tmp_path: Path, dtype: torch.dtype) -> None:
    save_file({"any name": torch.from_numpy(ROWS).to(dtype)}, tmp_path / "a.safetensors")
    np.testing.assert_array_equal(read_embeddings(str(tmp_path / "a.safetensors"), 4, "a"), ROWS)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (ROWS[:3], r"have 3 rows and corpus 'a' has 4.*leave out max_rows"),
        (ROWS[:, 0], r"shape \(4,\); it must be \(rows, dimensions\)"),
        (ROWS.astype(np.int64), r"hold int64; they must be one of float16"),
        (np.where(ROWS == 5, np.nan, ROWS), r"not finite in 1 rows, the first is row 2"),
        (np.where(ROWS == 5, 1e300, ROWS.astype(np.float64)), r"not finite in 1 rows"),
        (np.array([[1], None], dtype=object), r"cannot be read as .npy"),
    ],
)
def test_wrong_arrays_are_refused(tmp_path: Path, array: npt.NDArray[np.generic], message: str) -> None:
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    with pytest.raises(ReActError, match=message):
        read_embeddings(tmp_path / "a.npy", 4, "a")


def test_wrong_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY broken")
    (tmp_path / "a.safetensors").write_bytes(b"broken")
    save_file({"x": torch.zeros(4, 2), "y": torch.zeros(4, 2)}, tmp_path / "two.safetensors")
    for name, message in (
        ("a.npy", r"cannot be read as .npy"),
        ("a.safetensors", r"cannot be read as .safetensors"),
        ("two.safetensors", r"hold the arrays x, y; call one 'embeddings'"),
        ("none.npy", r"no file .*none.npy"),
        ("a.csv", r"must be a .npy or .safetensors file"),
    ):
        with pytest.raises(ReActError, match=message):
            read_embeddings(tmp_path / name, 4, "a")
