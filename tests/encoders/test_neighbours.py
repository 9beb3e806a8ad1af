"""The neighbour graph equals brute force, in row ids, whatever the blocks."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from react_rl.encoders.neighbours import nearest_neighbours
from react_rl.errors import ReActError

# Unit vectors whose products are exact in float32, so that ties are ties.
EXACT = np.concatenate(
    [np.eye(4), -np.eye(4), [[0.5, 0.5, 0.5, 0.5], [0.5, -0.5, 0.5, -0.5], [-0.5, -0.5, 0.5, 0.5]]]
).astype(np.float32)


def unit(count: int, dimension: int, seed: int = 0) -> npt.NDArray[np.float32]:
    rows = np.random.default_rng(seed).standard_normal((count, dimension)).astype(np.float32)
    normed: npt.NDArray[np.float32] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return normed


def brute_force(
    embeddings: npt.NDArray[np.float32], k: int, rows: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    ids = np.empty((len(rows), k), np.int64)
    similarity = np.empty((len(rows), k), np.float32)
    for line, row in enumerate(rows):
        others = [(-float(embeddings[row] @ embeddings[other]), int(other)) for other in rows if other != row]
        nearest = sorted(others)[:k]
        ids[line] = [other for _, other in nearest]
        similarity[line] = [-negative for negative, _ in nearest]
    return ids, similarity


@pytest.mark.parametrize("block", [1, 7, 64, 1024])
def test_random_rows_equal_brute_force(block: int) -> None:
    embeddings = unit(300, 24)
    graph = nearest_neighbours(embeddings, 10, block=block, device="cpu")
    ids, similarity = brute_force(embeddings, 10, np.arange(300))
    np.testing.assert_array_equal(graph.ids, ids)
    np.testing.assert_allclose(graph.similarity, similarity, atol=1e-6)
    np.testing.assert_array_equal(graph.rows, np.arange(300))
    assert graph.ids.dtype == np.int64
    assert graph.similarity.dtype == np.float32
    np.testing.assert_allclose(graph.density, similarity.mean(1), atol=1e-6)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.integers(0, len(EXACT) - 1), min_size=2, max_size=40),
    st.data(),
)
def test_ties_and_duplicates_go_by_id_for_every_block_and_subset(
    kinds: list[int], data: st.DataObject
) -> None:
    embeddings = EXACT[kinds]
    chosen = data.draw(
        st.lists(st.sampled_from(range(len(kinds))), min_size=2, max_size=len(kinds), unique=True)
    )
    rows = np.array(chosen, np.int64)
    k = data.draw(st.integers(1, len(rows) - 1))
    block = data.draw(st.integers(1, 12))
    graph = nearest_neighbours(embeddings, k, rows=rows, block=block, device="cpu")
    ids, similarity = brute_force(embeddings, k, rows)
    np.testing.assert_array_equal(graph.rows, rows)
    np.testing.assert_array_equal(graph.ids, ids)
    np.testing.assert_array_equal(graph.similarity, similarity)


def test_a_subset_keeps_the_row_ids_of_the_corpus() -> None:
    embeddings = unit(60, 8)
    rows = np.array([41, 3, 17, 59, 22, 5])
    graph = nearest_neighbours(embeddings, 2, rows=rows, device="cpu")
    assert set(graph.ids.ravel()) <= set(rows)
    order = np.argsort(rows)
    again = nearest_neighbours(embeddings, 2, rows=rows[order], device="cpu")
    np.testing.assert_array_equal(again.ids, graph.ids[order])


def test_copies_of_one_text_are_each_others_neighbours_lowest_id_first() -> None:
    embeddings = unit(50, 32)
    embeddings[[4, 9, 20, 33]] = embeddings[9]
    graph = nearest_neighbours(embeddings, 3, block=8, device="cpu")
    assert graph.ids[[4, 9, 20, 33]].tolist() == [[9, 20, 33], [4, 20, 33], [4, 9, 33], [4, 9, 20]]
    np.testing.assert_allclose(graph.similarity[[4, 9, 20, 33]], 1, atol=1e-6)


def test_a_corpus_of_one_text_repeated_is_no_special_case() -> None:
    embeddings = np.repeat(unit(1, 6), 30, axis=0)
    graph = nearest_neighbours(embeddings, 4, block=4, device="cpu")
    assert graph.ids[0].tolist() == [1, 2, 3, 4]
    assert graph.ids[2].tolist() == [0, 1, 3, 4]
    assert graph.ids[29].tolist() == [0, 1, 2, 3]


def test_similarities_stay_within_one() -> None:
    embeddings = np.repeat(unit(40, 384), 2, axis=0)
    graph = nearest_neighbours(embeddings, 1, device="cpu")
    assert graph.similarity.max() <= 1


@pytest.mark.parametrize("k", [0, -1, 5, 6])
def test_k_must_leave_a_neighbour_for_each_place(k: int) -> None:
    with pytest.raises(ReActError, match=rf"k is {k}, but there are 5 rows; choose k from 1 to 4"):
        nearest_neighbours(unit(5, 3), k)
    assert nearest_neighbours(unit(5, 3), 4, device="cpu").ids.shape == (5, 4)


def test_rows_that_repeat_or_do_not_exist_are_named() -> None:
    with pytest.raises(ReActError, match="Row id 9 does not exist; the embeddings have rows 0 to 4"):
        nearest_neighbours(unit(5, 3), 1, rows=np.array([1, 9]))
    with pytest.raises(ReActError, match="Row id 3 is asked for twice"):
        nearest_neighbours(unit(5, 3), 1, rows=np.array([3, 1, 3]))


@pytest.mark.parametrize("value", [np.nan, 2.0])
def test_rows_that_are_not_finite_or_not_of_length_one_are_named(value: float) -> None:
    embeddings = unit(6, 3)
    embeddings[4, 1] = value
    with pytest.raises(ReActError, match="The embedding of row id 4 has length"):
        nearest_neighbours(embeddings, 1, rows=np.array([5, 4, 0]))


@pytest.mark.gpu
def test_a_gpu_finds_the_same_neighbours(cuda: str) -> None:
    embeddings = EXACT[np.random.default_rng(0).integers(0, len(EXACT), 500)]
    gpu, cpu = (nearest_neighbours(embeddings, 20, block=64, device=device) for device in (cuda, "cpu"))
    np.testing.assert_array_equal(gpu.ids, cpu.ids)
    np.testing.assert_array_equal(gpu.similarity, cpu.similarity)


MEMORY_TRIAL = """
from pathlib import Path
import numpy as np, torch
import react_rl.encoders.neighbours as module
torch.set_num_threads(1)
generator = np.random.default_rng(0)
rows = generator.standard_normal((100_000, 384), dtype=np.float32)
for part in np.split(rows, 100):
    part /= np.linalg.norm(part, axis=1, keepdims=True)
# Only the first two blocks are computed: later ones use the same memory, and take a minute.
whole, calls = module._top_points, []
def first_two(points, start, stop, m, width):
    calls.append(1)
    if len(calls) <= 2:
        return whole(points, start, stop, m, width)
    return np.zeros((stop - start, m), np.float32), np.tile(np.arange(m), (stop - start, 1))
module._top_points = first_two
graph = module.nearest_neighbours(rows, 10, device="cpu")
assert graph.ids.shape == (100_000, 10)
# Not the peak of getrusage, which begins at what the parent had.
(peak,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
print(peak.split()[1])
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads peak memory as Linux tells it")
def test_a_hundred_thousand_rows_fit_in_two_gigabytes() -> None:
    # A process of its own, because peak memory never falls.
    trial = subprocess.run([sys.executable, "-c", MEMORY_TRIAL], check=True, capture_output=True, text=True)
    assert int(trial.stdout.split()[-1]) * 1024 < 2e9
