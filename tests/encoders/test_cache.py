"""The array cache: what goes in comes out, or is computed again; nothing half written is ever seen."""

from __future__ import annotations

import multiprocessing
import os
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from react_rl.encoders.cache import ArrayCache, default_folder
from react_rl.errors import ReActError
from react_rl.files import digest

KEY = digest("a")
META = {"kind": "embeddings", "corpus": "films"}


def numbers(seed: int = 0, count: int = 100) -> dict[str, npt.NDArray[Any]]:
    generator = np.random.default_rng(seed)
    return {"x": generator.random((count, 4), np.float32), "ids": generator.integers(0, 9, count)}


def test_arrays_come_back_bit_for_bit_and_writable(tmp_path: Path) -> None:
    cache = ArrayCache(tmp_path)
    stored = numbers() | {
        "flag": np.array([True, False]),
        "one": np.array(2.5),
        "none": np.zeros((0, 3), np.float32),
        "turned": np.arange(12.0).reshape(3, 4).T,
    }
    assert cache.get(KEY) is None
    cache.put(KEY, stored, META)
    found = ArrayCache(tmp_path).get(KEY)
    assert found is not None
    assert set(found) == set(stored)
    for name, array in stored.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        assert found[name].flags.writeable
    assert cache.get(digest("b")) is None


def test_a_hit_computes_nothing(tmp_path: Path) -> None:
    cache = ArrayCache(tmp_path)
    calls: list[int] = []

    def compute() -> dict[str, npt.NDArray[Any]]:
        calls.append(1)
        return numbers()

    first, second = (cache.cached(KEY, compute, META) for _ in range(2))
    assert len(calls) == 1
    np.testing.assert_array_equal(first["x"], second["x"])


@pytest.mark.parametrize("place", ["payload", "header", "half", "empty"])
def test_damage_is_reported_removed_and_mended(tmp_path: Path, place: str) -> None:
    cache = ArrayCache(tmp_path)
    cache.put(KEY, numbers(), META)
    (path,) = tmp_path.iterdir()
    data = bytearray(path.read_bytes())
    if place == "payload":
        data[-5] ^= 1
    elif place == "header":
        data[12] ^= 255
    kept = {"half": len(data) // 2, "empty": 0}.get(place, len(data))
    path.write_bytes(data[:kept])
    with pytest.warns(UserWarning, match="is damaged") as caught:
        assert cache.get(KEY) is None
    assert len(caught) == 1
    assert "\n" not in str(caught[0].message)
    assert not path.exists()
    repaired = cache.cached(KEY, numbers, META)
    np.testing.assert_array_equal(repaired["x"], numbers()["x"])
    assert cache.get(KEY) is not None


def test_an_entry_under_another_key_counts_as_damaged(tmp_path: Path) -> None:
    cache = ArrayCache(tmp_path)
    cache.put(KEY, numbers(), META)
    (path,) = tmp_path.iterdir()
    path.rename(path.with_stem(digest("b")))
    with pytest.warns(UserWarning, match="the checksum differs"):
        assert cache.get(digest("b")) is None


def test_the_least_recently_used_entry_leaves_first(tmp_path: Path) -> None:
    cache = ArrayCache(tmp_path, max_bytes=10_000)
    keys = [digest(name) for name in "abc"]
    for age, key in zip((300, 200), keys, strict=False):
        cache.put(key, numbers(), META)
        stamp = time.time() - age
        os.utime(tmp_path / f"{key}.safetensors", (stamp, stamp))
    assert cache.get(keys[0]) is not None  # now the second is the older one
    cache.max_bytes = sum(entry.bytes for entry in cache.entries()) + 100
    cache.put(keys[2], numbers(), META)
    assert {entry.key for entry in cache.entries()} == {keys[0], keys[2]}
    assert sum(entry.bytes for entry in cache.entries()) <= cache.max_bytes


def test_the_entry_just_stored_stays_even_if_the_clock_went_back(tmp_path: Path) -> None:
    cache = ArrayCache(tmp_path, max_bytes=4_000)
    cache.put(KEY, numbers(), META)
    os.utime(tmp_path / f"{KEY}.safetensors", (time.time() + 1000,) * 2)
    cache.put(digest("b"), numbers(), META)
    assert [entry.key for entry in cache.entries()] == [digest("b")]


def test_an_entry_above_the_bound_is_not_stored_and_drives_nothing_out(tmp_path: Path) -> None:
    cache = ArrayCache(tmp_path, max_bytes=5_000)
    cache.put(KEY, numbers(), META)
    with pytest.warns(UserWarning, match="larger than the cache's bound"):
        big = cache.cached(digest("b"), lambda: numbers(count=1000), META)
    assert big["x"].shape == (1000, 4)
    assert [entry.key for entry in cache.entries()] == [KEY]


def test_a_crash_while_writing_leaves_the_old_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = ArrayCache(tmp_path)
    cache.put(KEY, numbers(0), META)

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    for step in ("fsync", "replace"):
        monkeypatch.setattr(os, step, die)
        for key in (KEY, digest("b")):
            with pytest.raises(KeyboardInterrupt):
                cache.put(key, numbers(1), META)
        monkeypatch.undo()
        assert [path.name for path in tmp_path.iterdir()] == [f"{KEY}.safetensors"]
        found = cache.get(KEY)
        assert found is not None
        np.testing.assert_array_equal(found["x"], numbers(0)["x"])


def test_remains_of_a_killed_process_are_never_read_and_swept_when_old(tmp_path: Path) -> None:
    cache = ArrayCache(tmp_path)
    old, new = (tmp_path / f".{digest(age)}.safetensors.x.part" for age in ("old", "new"))
    for part in (old, new):
        part.write_bytes(b"half")
    os.utime(old, (0, 0))
    assert cache.entries() == []
    assert cache.get(digest("old")) is None
    cache.put(KEY, numbers(), META)
    assert not old.exists()
    assert new.exists()


def test_a_folder_that_cannot_be_written_loses_no_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.warns(UserWarning, match="could not be stored: .*No space left"):
        found = ArrayCache(tmp_path).cached(KEY, numbers, META)
    np.testing.assert_array_equal(found["x"], numbers()["x"])
    assert list(tmp_path.iterdir()) == []


def test_entries_tell_what_is_stored_latest_first(tmp_path: Path) -> None:
    cache = ArrayCache(tmp_path)
    assert cache.entries() == []
    cache.put(KEY, numbers(), META)
    os.utime(tmp_path / f"{KEY}.safetensors", (1000, 1000))
    cache.put(digest("b"), numbers(), {"kind": "neighbours"})
    (tmp_path / f"{digest('c')}.safetensors").write_bytes(b"?")
    os.utime(tmp_path / f"{digest('c')}.safetensors", (10, 10))
    newest, older, damaged = cache.entries()
    assert (newest.kind, older.kind, damaged.kind) == ("neighbours", "embeddings", "damaged")
    assert (older.key, older.last_used, older.meta["corpus"]) == (KEY, 1000, "films")
    assert older.bytes == (tmp_path / f"{KEY}.safetensors").stat().st_size
    assert abs(newest.last_used - time.time()) < 60


def test_clearing_and_evicting_touch_only_the_caches_own_files(tmp_path: Path) -> None:
    model = tmp_path / "model.safetensors"
    model.write_bytes(b"x" * 100_000)
    cache = ArrayCache(tmp_path, max_bytes=10_000)
    cache.put(KEY, numbers(), META)
    size = cache.entries()[0].bytes
    assert cache.clear() == size
    assert cache.entries() == []
    assert model.exists()


def _hammer(folder: Path, rounds: int) -> None:
    warnings.simplefilter("error")
    cache = ArrayCache(folder, max_bytes=9_000)
    for turn in range(rounds):
        name = turn % 5
        found = cache.cached(digest(str(name)), lambda name=name: numbers(name), META)  # type: ignore[misc]
        assert np.array_equal(found["x"], numbers(name)["x"])
        if turn % 17 == 0:
            cache.clear()
        cache.entries()


def test_two_processes_share_a_folder(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_hammer, args=(tmp_path, 100)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(300)
    assert [worker.exitcode for worker in workers] == [0, 0]


def test_the_folder_comes_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REACT_RL_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_folder() == tmp_path / ".cache" / "react-rl"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert default_folder() == tmp_path / "xdg" / "react-rl"
    monkeypatch.setenv("REACT_RL_CACHE", "~/own")
    assert ArrayCache().folder == tmp_path / "own"
    assert not (tmp_path / "own").exists()


def test_a_file_in_the_folders_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("")
    with pytest.raises(ReActError, match="is a file; set REACT_RL_CACHE"):
        ArrayCache(tmp_path / "cache")


@pytest.mark.parametrize("key", ["../../etc", "", "model", "A" * 64])
def test_keys_are_digests(tmp_path: Path, key: str) -> None:
    with pytest.raises(ValueError, match="not a digest"):
        ArrayCache(tmp_path).get(key)
