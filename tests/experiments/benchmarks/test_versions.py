"""Versions of the code play the same rounds; the page says how long each took and whether results agree."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from react_rl.errors import ReActError
from react_rl.experiments.benchmarks.version_rounds import Version
from react_rl.experiments.benchmarks.versions import NOW, ROOT, commit_of, main, save, table, take_out

MACHINE = {"processor": "some", "cores": 2, "torch": "2", "load_average": 1.0}


def _line(version: str, microseconds: list[float], digest: str = "a") -> dict[str, object]:
    own = {"corpus": "synthetic", "episodes": 1, "version": version}
    return own | {"microseconds": microseconds, "digests": [digest] * len(microseconds)}


def test_a_version_plays_seeds_the_same_way_twice(tmp_path: Path) -> None:
    asked = argparse.Namespace(pool_size=120, dev_size=40, strategy="margin")
    save("synthetic", asked, tmp_path / "corpus.npz")
    version = Version(str(take_out(NOW, tmp_path)), str(tmp_path / "corpus.npz"))
    first, again, other = (version.play(2, seeds, 0.0) for seeds in ([0, 1], [0, 1], [2, 3]))
    assert first["rounds"] == 2 * 16
    assert first["digest"] == again["digest"] != other["digest"]
    assert first["seconds"] > 0


def test_ratios_are_taken_turn_by_turn() -> None:
    page = table(
        [_line("old", [100.0, 200.0, 300.0]), _line("new", [150.0, 200.0, 330.0])], MACHINE, "make it"
    )
    assert "| synthetic, 1 episode | 200 | 200 | 1.10 (1.00 to 1.50) |" in page
    assert "the same to the bit" in page


def test_versions_that_choose_other_rows_are_said_to_differ() -> None:
    assert "DIFFER" in table([_line("old", [1.0]), _line("new", [1.0], "b")], MACHINE, "make it")


def test_bad_revisions_are_told_in_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ReActError, match="no-such-revision"):
        commit_of("no-such-revision")
    assert main(["--revisions", "no-such-revision", NOW, "--out", str(tmp_path)]) == 2
    assert "no-such-revision" in capsys.readouterr().err
    assert ROOT.joinpath("react_rl").is_dir()
