"""What the processor does is tried, decided once, and noted under the machine's fingerprint."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch

from react_rl.encoders import processor
from react_rl.encoders.transformer import resolve_precision

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache folder, and nothing remembered in this process."""
    monkeypatch.setenv("REACT_RL_CACHE", str(tmp_path))
    _forget()
    yield tmp_path
    _forget()


def _forget() -> None:
    for tried in (processor.bf16_pays, processor.rounding_pays, processor.rounds_products):
        tried.cache_clear()


def measured(monkeypatch: pytest.MonkeyPatch, ratio: float) -> list[Sequence[str]]:
    asked: list[Sequence[str]] = []

    def seconds(kinds: Sequence[str]) -> dict[str, float]:
        asked.append(kinds)
        return {kind: 1.0 if kind == "exact" else ratio for kind in kinds}

    monkeypatch.setattr(processor, "_seconds", seconds)
    return asked


@pytest.mark.parametrize(("ratio", "precision"), [(0.4, "bf16"), (0.9, "fp32"), (1.8, "fp32")])
def test_auto_precision_is_bf16_where_that_is_quicker_by_far(
    ratio: float, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured(monkeypatch, ratio)
    assert resolve_precision("auto", CPU) == precision


def test_a_machine_decides_once_whatever_it_measures_later(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = measured(monkeypatch, 0.4)
    assert processor.bf16_pays()
    _forget()
    measured(monkeypatch, 1.8)
    assert processor.bf16_pays()
    assert len(asked) == 1
    (file,) = (folder / "processor").iterdir()
    assert json.loads(file.read_text())["bf16"] is True


def test_one_name_on_two_kinds_of_processor_makes_two_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    found = set()
    for rounds in (True, False):
        with monkeypatch.context() as tried:
            tried.setattr(processor, "rounds_products", lambda rounds=rounds: rounds)
            found.add(processor.fingerprint())
    assert len(found) == 2


def test_what_was_decided_and_limited_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in processor.LIMITS:
        monkeypatch.delenv(name, raising=False)
    with monkeypatch.context() as decided:
        decided.setattr(processor, "rounding_pays", lambda: False)
        decided.setattr(processor, "bf16_pays", lambda: True)
        assert processor.arithmetic() == "bf16, exact products"
        decided.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
        assert processor.arithmetic() == "bf16, exact products; ONEDNN_MAX_CPU_ISA=AVX2"


def test_limits_on_instructions_make_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    before = processor.fingerprint()
    assert processor.fingerprint() == before
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2-or-other")
    assert processor.fingerprint() != before


@pytest.mark.parametrize("content", ["", "[]", "{", '{"bf16": true}'])
def test_a_damaged_note_is_measured_again(
    content: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder / "processor" / f"{processor.fingerprint()[:32]}.json"
    path.parent.mkdir()
    path.write_text(content)
    measured(monkeypatch, 1.8)
    assert processor.bf16_pays() is ("true" in content)


def test_a_folder_that_cannot_be_written_changes_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "processor").write_text("a file where a folder should be")
    measured(monkeypatch, 0.4)
    assert processor.bf16_pays()


def test_rounding_is_tried_and_ends_with_its_context() -> None:
    left, right = processor._factors()
    exact = left @ right
    with processor.rounding():
        rough = left @ right
    assert torch.equal(left @ right, exact)
    if processor.rounds_products():
        assert (rough - exact).abs().max() > 1e-3  # what rounding to 8 bits does, not another order of sums
    else:
        assert (rough - exact).abs().max() < 1e-3
    torch.testing.assert_close(rough, exact, rtol=0.05, atol=2.0)


def test_measuring_takes_every_kind_and_leaves_the_threads_alone() -> None:
    threads = torch.get_num_threads()
    seconds = processor._seconds(("exact", "bf16", "rounded"))
    assert set(seconds) == {"exact", "bf16", "rounded"}
    assert all(0 < taken < 60 for taken in seconds.values())
    assert torch.get_num_threads() == threads
    assert "fp32" in processor.processor_class()
