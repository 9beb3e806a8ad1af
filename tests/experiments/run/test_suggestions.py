"""Rows of a file to label next: those that the same arrays give, whatever waits under the empty cells."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from react_rl.agents.bridges import pool_of_arrays, select_rows
from react_rl.encoders.transformer import TextEncoder
from react_rl.errors import ReActError
from react_rl.escaping import from_csv
from react_rl.experiments import suggest_rows
from react_rl.experiments.run.suggestions import COLUMNS, FIRST, write_suggestions

GOOD, BAD = ("fine", "lovely", "bright", "warm"), ("dull", "awful", "grim", "cold")
N = 60
TEXTS = [f"{(GOOD, BAD)[i % 2][i % 4]} film number {i} of {(GOOD, BAD)[i % 2][i // 4 % 4]}" for i in range(N)]
TRUTH = ["yes" if i % 2 == 0 else "no" for i in range(N)]


def vectors_of(texts: Sequence[str]) -> npt.NDArray[np.float32]:
    """Sums of a vector for each word, which follows from its letters."""

    def vector(word: str) -> npt.NDArray[np.float64]:
        seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8])
        return np.random.default_rng(seed).standard_normal(12)

    return np.stack([np.sum([vector(word) for word in text.split()], 0) for text in texts]).astype(np.float32)


@pytest.fixture(autouse=True)
def word_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TextEncoder, "fingerprint", lambda _: {"weights": "words"})
    monkeypatch.setattr(TextEncoder, "encode", lambda _, texts, *__: vectors_of(texts))


@pytest.fixture
def labelled(tmp_path: Path) -> Callable[..., Path]:
    """Writes a file in which some rows have their label."""

    def write(rows: Sequence[int], name: str = "mine.csv") -> Path:
        known = [TRUTH[i] if i in set(rows) else "" for i in range(N)]
        path = tmp_path / name
        if path.suffix == ".jsonl":
            lines = [{"text": text, "label": label or None} for text, label in zip(TEXTS, known, strict=True)]
            path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        else:
            mark = "\t" if path.suffix == ".tsv" else ","
            pairs = [("text", "label"), *zip(TEXTS, known, strict=True)]
            path.write_text("".join(f"{text}{mark}{label}\n" for text, label in pairs))
        return path

    return write


def known(rows: Sequence[int]) -> npt.NDArray[np.int64]:
    """Classes of the labelled rows, -1 elsewhere."""
    return np.array([["no", "yes"].index(TRUTH[i]) if i in set(rows) else -1 for i in range(N)])


def expected(strategy: str, rows: Sequence[int], n: int, **more: Any) -> list[int]:
    """What arrays of the same file give."""
    settings: dict[str, Any] = {"budget": 10 * n, "texts": TEXTS} | more
    return list(map(int, select_rows(strategy, vectors_of(TEXTS), known(rows), n, **settings)))


@pytest.mark.parametrize("name", ["mine.csv", "mine.tsv", "mine.jsonl"])
@pytest.mark.parametrize("strategy", [None, "margin", "maxherding"])
def test_the_rows_are_those_of_the_arrays(
    labelled: Callable[..., Path], name: str, strategy: str | None
) -> None:
    found = suggest_rows(labelled(range(8), name), n=5, strategy=strategy, device="cpu")
    assert found.strategy == (strategy or "learned")
    assert found.rows.tolist() == expected(strategy or "learned", range(8), 5)
    assert [line["row"] for line in found.lines()] == [row + 1 for row in found.rows.tolist()]
    assert [line["text"] for line in found.lines()] == [TEXTS[row] for row in found.rows.tolist()]


def test_budget_and_seed_are_handed_on_and_the_same_seed_gives_the_same(
    labelled: Callable[..., Path],
) -> None:
    path = labelled(range(8))
    for seed in (0, 1):
        found = [suggest_rows(path, n=6, strategy="random", seed=seed, device="cpu") for _ in range(2)]
        assert found[0].rows.tolist() == found[1].rows.tolist()
        assert found[0].rows.tolist() == expected("random", range(8), 6, seed=seed)
    assert expected("random", range(8), 6, seed=0) != expected("random", range(8), 6, seed=1)
    with_budget = suggest_rows(path, n=6, budget=7, device="cpu").rows.tolist()
    assert with_budget == expected("learned", range(8), 6, budget=7)


def test_predictions_are_those_of_a_model_that_is_fitted_to_the_given_labels(
    labelled: Callable[..., Path],
) -> None:
    found = suggest_rows(labelled(range(30)), n=30, strategy="random", device="cpu")
    view = pool_of_arrays(vectors_of(TEXTS), known(range(30)), 30)
    rows = found.rows.tolist()
    assert sorted(rows) == list(range(30, N))
    assert found.predictions is not None
    for row, (name, p) in zip(rows, found.predictions, strict=True):
        both = view.probabilities[0, :, row]
        assert name == ["no", "yes"][int(both.argmax())]
        assert p == pytest.approx(float(both.max()), abs=1e-4)
    right = [name == TRUTH[row] for row, (name, _) in zip(rows, found.predictions, strict=True)]
    assert np.mean(right) > 0.7


def test_first_rows_are_those_of_a_strategy_that_reads_embeddings_alone(
    labelled: Callable[..., Path], tmp_path: Path
) -> None:
    for rows in ((), (0, 2, 4)):  # no label; labels of one class
        found = suggest_rows(labelled(rows), n=5, device="cpu")
        assert found.strategy == FIRST
        assert found.predictions is None
        assert found.rows.tolist() == expected(FIRST, rows, 5)
        assert {line["prediction"] for line in found.lines()} == {""}
    texts = tmp_path / "texts.csv"
    texts.write_text("text\n" + "".join(f"{text}\n" for text in TEXTS))
    assert suggest_rows(texts, n=5, device="cpu").rows.tolist() == expected(FIRST, (), 5)


def test_first_rows_of_a_large_file_come_from_a_sample(
    labelled: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("react_rl.experiments.run.suggestions.MANY", N - 1)
    assert suggest_rows(labelled(()), n=5, device="cpu").strategy == "subsample:maxherding"
    assert suggest_rows(labelled(range(8)), n=5, device="cpu").strategy == "learned"


def test_repeated_texts_are_suggested_once_and_not_if_one_has_a_label(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("text,label\nfine a,x\ndull b,y\nFine  A,\nnew c,\nNew C,\nolder d,\n")
    assert sorted(suggest_rows(path, n=2, device="cpu").rows.tolist()) == [3, 5]


def test_the_file_of_suggestions_reads_back(tmp_path: Path) -> None:
    path, out = tmp_path / "mine.csv", tmp_path / "new" / "next.csv"
    path.write_text('id,text,label\n=A,fine a,x\n7,dull b,y\n=1+1,"=new\nline, c",\n-9,"an ""old"" d",\n')
    found = suggest_rows(path, n=2, device="cpu")
    write_suggestions(out, found)
    header, *rows = csv.reader(out.open(newline="", encoding="utf-8-sig"))
    assert tuple(header) == COLUMNS
    back = [dict(zip(header, map(from_csv, row), strict=True)) for row in rows]
    assert [{**line, "row": str(line["row"])} | {"probability": ""} for line in found.lines()] == [
        line | {"probability": ""} for line in back
    ]
    assert [float(line["probability"]) for line in back] == [line["probability"] for line in found.lines()]
    assert {line["id"] for line in back} == {"=1+1", "-9"}
    assert {line["text"] for line in back} == {"=new\nline, c", 'an "old" d'}


@pytest.mark.usefixtures("no_encoder")
@pytest.mark.parametrize(
    ("rows", "options", "sentence"),
    [
        (range(N), {}, "All 60 rows of mine.csv have a label; nothing is left to suggest."),
        (range(8), {"n": 53}, "n is 53, but 52 rows wait for a label in mine.csv; ask for 52 at most."),
        (range(8), {"n": 0}, "n is 0; ask for one row at least."),
        (range(8), {"n": "x"}, "n is 'x'; ask for one row at least."),
        (range(8), {"strategy": 3}, "A strategy is named by text, such as 'margin', and not by int."),
        (range(8), {"n": 20, "budget": 10}, "budget is 10, less than the 20 rows that are asked for"),
        (range(8), {"budget": float("nan")}, "budget is nan"),
        (range(8), {"strategy": "margn"}, "Did you mean 'margin'"),
        (range(8), {"strategy": "greedy-oracle"}, "looks at labels that nobody has given yet"),
        (range(8), {"strategy": "mnlp"}, "'mnlp' needs a corpus of tagging"),
        (range(8), {"strategy": "alps"}, "'alps' reads how surprising words are"),
        (range(8), {"strategy": "albl"}, "'albl' goes by the rounds before this one"),
        (range(8), {"strategy": "subsample:phase-switch"}, "goes by the rounds before this one"),
        (
            (),
            {"strategy": "margin"},
            "needs labels of two classes, and no row has one yet; without --strategy",
        ),
        ((0, 2), {"strategy": "learned"}, "labels of two classes, and all labels so far are 'yes'"),
        (range(8), {"device": "gpu"}, "Unknown device 'gpu'"),
    ],
)
def test_what_cannot_be_suggested_is_refused_before_anything_is_encoded(
    labelled: Callable[..., Path], rows: Sequence[int], options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ReActError) as refused:
        suggest_rows(labelled(rows), **{"device": "cpu"} | options)
    assert sentence in str(refused.value)


@pytest.mark.usefixtures("no_encoder")
def test_rows_that_only_repeat_are_told_apart_from_rows_that_are_labelled(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("text,label\na,x\nb,y\nA,\n")
    with pytest.raises(ReActError, match=r"Every row of mine\.csv without a label repeats a text"):
        suggest_rows(path, n=1, device="cpu")
    path.write_text("text,label\na,x\nb,y\nA,\nc,\n")
    with pytest.raises(ReActError, match=r"1 row waits for a label in mine\.csv \(1 more repeat a text\)"):
        suggest_rows(path, n=2, device="cpu")
