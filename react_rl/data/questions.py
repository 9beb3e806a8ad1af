"""Corpora of questions about texts: SQuAD 1.1 and 2.0 files, and tables of questions, become a corpus.

A row is a question. Its target is the first and the last word of the answer in the context, counted from 1;
both are 0 where there is no answer. Of several given answers the first one is the target, and all count when
models are judged.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from react_rl.data.corpus import Corpus
from react_rl.data.passages import NO_ANSWER, Passages, span_of, word_borders
from react_rl.data.readers import missing_path, split_files
from react_rl.data.row_origin import RowOrigin
from react_rl.data.splits import DEFAULT_SHARES, Shares, draw_splits
from react_rl.data.stacked import ID_COLUMN, StackedTables
from react_rl.data.tables import decoded, file_content, file_head, first_keys, read_table, stem_and_format
from react_rl.documents import parse_json
from react_rl.errors import ReActError
from react_rl.seeding import entropy_of

_NESTED: Final = re.compile(r'"paragraphs"\s*:\s*\[')


@dataclass(frozen=True)
class Question:
    """A question as it is written in a file.

    Args:
        place: Where: ``row 3 of train.jsonl``, ``question 5733be (article 2, paragraph 1) of dev.json``.
        row: Its number in the file, from 1.
        id: Its own id, or an empty text.
        question: Its text.
        context: What it is about.
        answers: Text and first character of each answer; -1 where the file does not say.
    """

    place: str
    row: int
    id: str
    question: str
    context: str
    answers: tuple[tuple[str, int], ...]


def read_squad(path: Path, *, encoding: str = "utf-8") -> list[Question]:
    """Read a file in the format of SQuAD 1.1 or 2.0: articles, paragraphs, questions.

    Raises:
        ReActError: The file cannot be read, or something in it is missing; the place is named.
    """
    text = decoded(path.name, file_content(path), encoding)
    whole = parse_json(text, path.name, "fetch it again, or give JSON lines with a question in each")
    found: list[Question] = []
    articles = _list(whole, "data", f"The file {path.name}")
    for number, article in enumerate(articles, start=1):
        paragraphs = _list(article, "paragraphs", f"Article {number} of {path.name}")
        for place, paragraph in enumerate(paragraphs, start=1):
            where = f"paragraph {place} of article {number} of {path.name}"
            for own in _list(paragraph, "qas", where.capitalize()):
                name = str(own.get("id", "")) if isinstance(own, dict) else ""
                at = f"question {name or len(found) + 1} in {where}"
                entry = own | {"context": paragraph.get("context")} if isinstance(own, dict) else own
                found.append(_question(entry, at, len(found) + 1, name))
    if not found:
        raise ReActError(f"{path.name} has no questions.")
    return found


def read_question_table(
    path: Path,
    *,
    question: str = "question",
    context: str = "context",
    answers: str = "answers",
    id: str | None = None,
    format: str | None = None,
    encoding: str = "utf-8",
) -> list[Question]:
    """Read a table with a question in each row: JSON lines, JSON or Parquet.

    Answers are a list of ``{"text": ..., "answer_start": ...}``, or one such object that holds lists, as the
    hub has them. A row without answers is a question without an answer.

    Raises:
        ReActError: A column is missing, or an entry is no text or no answer; the row is named.
    """
    columns = (question, context, answers)
    wanted = {*columns, id or ID_COLUMN, "is_impossible"}
    table = read_table(path, wanted=wanted, format=format, encoding=encoding)
    roles = dict(zip(("question", "context", "answers"), columns, strict=True))
    values = [table.column(name, role) for role, name in roles.items()]
    ids = StackedTables([(None, table)]).ids(id, roles) or [""] * table.n_rows
    impossible = table.columns.get("is_impossible", [False] * table.n_rows)
    found = []
    for row, (own, about, given, name, never) in enumerate(
        zip(*values, ids, impossible, strict=True), start=1
    ):
        entry = {"question": own, "context": about, "answers": given, "is_impossible": never}
        found.append(_question(entry, f"row {row} of {table.where}", row, name))
    return found


def _list(value: Any, key: str, where: str) -> list[Any]:
    found = value.get(key) if isinstance(value, dict) else None
    if not isinstance(found, list):
        raise ReActError(
            f"{where} has no list {key!r}; the format of SQuAD is data > paragraphs > context and qas, "
            "each of qas with question and answers."
        )
    return found


def _question(entry: Any, place: str, row: int, id: str) -> Question:
    if not isinstance(entry, dict):
        raise ReActError(
            f"There is a {type(entry).__name__} for {place}; give an object with question, answers."
        )
    if "answers" not in entry and not entry.get("is_impossible"):
        raise ReActError(
            f"The {place} has no 'answers'; give them, or an empty list where the question has none."
        )
    for key in ("question", "context"):
        value = entry.get(key)
        if not isinstance(value, str) or not value.strip():
            shown = "empty" if isinstance(value, str) or value is None else f"a {type(value).__name__}"
            raise ReActError(f"The {key} of {place} is {shown}; give it a text, or leave the row out.")
    answers = _answers(entry.get("answers"), place)
    if entry.get("is_impossible") and answers:
        raise ReActError(
            f"The {place} is marked is_impossible and has the answer {answers[0][0]!r}; keep one of the two."
        )
    return Question(place, row, id, entry["question"], entry["context"], answers)


def _answers(given: Any, place: str) -> tuple[tuple[str, int], ...]:
    """Text and first character of each answer of one question."""
    if isinstance(given, dict):  # the hub keeps a list of texts and one of starts
        texts, starts = given.get("text", []), given.get("answer_start")
        if isinstance(texts, str):  # one answer
            texts, starts = [texts], None if starts is None else [starts]
        starts = [-1] * len(texts) if starts is None and isinstance(texts, list) else starts
        if not isinstance(texts, list) or not isinstance(starts, list) or len(texts) != len(starts):
            shown = f"{given!r:.60}"
            raise ReActError(
                f"The answers of {place} are {shown}; give a list of texts and one of answer_start, "
                "as many of each."
            )
        given = [{"text": text, "answer_start": start} for text, start in zip(texts, starts, strict=True)]
    found = []
    for one in [] if given is None else given if isinstance(given, list) else [given]:
        own = {"text": one} if isinstance(one, str) else one
        text, start = (own.get("text"), own.get("answer_start")) if isinstance(own, dict) else (None, None)
        start = -1 if start is None else start
        if not isinstance(text, str) or not text.strip() or not isinstance(start, int):
            raise ReActError(
                f"An answer of {place} is {one!r:.60}; give an object with a text and answer_start, its "
                "first character in the context."
            )
        found.append((text, start))
    return tuple(found)


def read_questions(
    path: str | Path,
    *,
    question: str = "question",
    context: str = "context",
    answers: str = "answers",
    id: str | None = None,
    name: str | None = None,
    format: str | None = None,
    max_rows: int | None = None,
    shares: Shares = DEFAULT_SHARES,
    seed: int = 0,
    encoding: str = "utf-8",
) -> Corpus:
    """Read a corpus for extractive question answering from one file, or a folder with a file for each split.

    Questions on one context stay in one split.

    Args:
        path: A file in the format of SQuAD 1.1 or 2.0; a JSON, JSON-lines or Parquet file with a question,
            its context and its answers in each row; or a folder with such files called train, dev
            (validation, valid, val) and test. All but Parquet may be gzipped.
        question: Column of the questions, in tables.
        context: Column of the contexts, in tables.
        answers: Column of the answers, in tables.
        id: Column of the questions' ids, in tables; None takes one called ``id`` where there is one.
        name: Name of the corpus; None takes the name of the file or folder.
        format: ``squad``, ``jsonl`` or ``parquet``; None goes by ending and content.
        max_rows: Keep contexts, drawn by ``seed``, until their questions would be more than this.
        shares: Shares of train, dev and test, for splits that the files do not give.
        seed: Decides the splits and the contexts that are kept.
        encoding: Encoding of text files.

    Raises:
        ReActError: A file, a column, a question or an answer is missing or wrong; file and place are named.
    """
    path = Path(path)
    if path.is_dir():
        files: list[tuple[int | None, Path]] = list(split_files(path))
    elif path.is_file():
        files = [(None, path)]
    else:
        raise missing_path(path)
    parts = []
    for code, file in files:
        if format == "squad" or (format is None and is_squad(file)):
            found = read_squad(file, encoding=encoding)
        else:
            found = read_question_table(
                file, question=question, context=context, answers=answers, id=id, format=format,
                encoding=encoding,
            )  # fmt: skip
        parts.append((code, file.name, found))
    stem = path.resolve().name if path.is_dir() else stem_and_format(path)[0]
    return question_corpus(
        parts, name=name or stem, source=path.resolve().name, max_rows=max_rows, shares=shares, seed=seed
    )


def holds_questions(path: Path) -> bool:
    """Whether a file or folder holds questions about contexts: SQuAD's format, or rows of such columns.

    Only the beginning of the first data file is looked at; what cannot be read holds none.
    """
    for file in sorted(path.iterdir()) if path.is_dir() else [path]:
        if file.is_file() and stem_and_format(file)[1] is not None:
            return {"question", "context", "answers"} <= first_keys(file) or is_squad(file)
    return False


def is_squad(path: Path) -> bool:
    """Whether a file has the nesting of SQuAD, as its beginning says."""
    if stem_and_format(path)[1] != "jsonl" or not path.is_file():
        return False
    head = file_head(path)
    return head.lstrip("\ufeff \r\n\t").startswith("{") and _NESTED.search(head) is not None


def question_corpus(
    parts: Sequence[tuple[int | None, str, Sequence[Question]]],
    *,
    name: str,
    source: str,
    max_rows: int | None = None,
    shares: Shares = DEFAULT_SHARES,
    seed: int = 0,
) -> Corpus:
    """Put the questions of several files one below the other, find their answers and draw the splits.

    Args:
        parts: Split code (None when it is not given), name and questions of each file.
        name: Name of the corpus.
        source: Where it came from.
        max_rows: Most questions to keep.
        shares: Shares of train, dev and test.
        seed: Decides splits and kept contexts.

    Raises:
        ReActError: An answer is not in its context, or no question has one.
    """
    every = [one for _, _, own in parts for one in own]
    if not any(one.answers for one in every):
        raise ReActError(f"No question of {source} has an answer; check which column holds the answers.")
    origin = RowOrigin.of_files([(file, [one.row for one in own]) for _, file, own in parts])
    official = None
    if all(code is not None for code, _, _ in parts):
        official = np.concatenate([np.full(len(own), code, np.uint8) for code, _, own in parts])
    notes: list[str] = []
    number: dict[str, int] = {}
    about = np.array([number.setdefault(one.context, len(number)) for one in every], np.int64)
    rows = np.arange(len(every))
    if max_rows is not None and max_rows < len(every):
        rows = _rows_of_contexts(about, max_rows, seed)
        notes.append(f"{len(rows)} of {len(every)} questions, by whole contexts drawn with seed {seed}")
    kept = [every[row] for row in rows.tolist()]
    contexts, of = np.unique(about[rows], return_inverse=True)
    texts = tuple(number)
    spans, found_notes = _spans(kept)
    passages = Passages(
        tuple(texts[context] for context in contexts.tolist()),
        of.astype(np.int64),
        tuple(tuple(text for text, _ in one.answers) for one in kept),
    )
    split, split_notes = draw_splits(
        passages.contexts(),
        (spans[:, 0] > 0).astype(np.int64),
        official=None if official is None else official[rows],
        shares=shares,
        seed=seed,
        source=source,
        noun="contexts",
    )
    ids = [one.id for one in every]
    return Corpus(
        name=name,
        task="question-answering",
        texts=tuple(one.question for one in kept),
        targets=spans,
        label_names=("no answer", "answer"),
        split=split,
        cost=np.ones(len(kept)),
        source=source,
        notes=(*notes, *found_notes, *split_notes),
        passages=passages,
        origin=(origin.with_ids(ids) if any(ids) else origin).take(rows),
    )


def _rows_of_contexts(about: npt.NDArray[np.int64], most: int, seed: int) -> npt.NDArray[np.int64]:
    """Questions of contexts drawn one after the other, ascending; at least one context."""
    if most < 1:
        raise ReActError(f"max_rows is {most}; it must be 1 or above, or left out.")
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy_of(seed, "max_rows"))))
    order = rng.permutation(int(about.max()) + 1)
    reached = np.bincount(about)[order].cumsum()
    chosen = order[: max(int(np.searchsorted(reached, most, side="right")), 1)]
    return np.flatnonzero(np.isin(about, chosen))


def _spans(questions: Sequence[Question]) -> tuple[npt.NDArray[np.int64], list[str]]:
    """First and last word of the first answer of each question ``(N, 2)``, and what had to be moved.

    Every answer is looked for, so that none is judged by that cannot be given.
    """
    borders: dict[str, npt.NDArray[np.int64]] = {}
    moved: list[str] = []
    spans, unplaced, inside = [], 0, 0
    for one in questions:
        if one.context not in borders:
            borders[one.context] = word_borders(one.context)
        own = borders[one.context]
        found = []
        for text, start in one.answers:
            begin = _nearest(one.context, text, start)
            if begin < 0:
                raise ReActError(
                    f"The answer {text[:60]!r} of {one.place} is not in its context; correct it, or "
                    "leave the row out."
                )
            moved += [one.place] * (start not in (-1, begin))
            unplaced += start == -1 and one.context.count(text) > 1
            span = span_of(own, begin, begin + len(text))
            if span == NO_ANSWER:
                raise ReActError(f"The answer {text[:60]!r} of {one.place} has no word; correct it.")
            found.append((span, begin, begin + len(text)))
        spans.append(found[0][0] if found else NO_ANSWER)
        if found:
            (first, last), begin, end = found[0]
            inside += int(own[first - 1, 0]) < begin or int(own[last - 1, 1]) > end
    notes = []
    if moved:
        notes.append(
            f"{len(moved)} answers were not at their answer_start, and taken where the text is nearest to "
            f"it; the first is of {moved[0]}"
        )
    if unplaced:
        notes.append(
            f"{unplaced} answers without answer_start occur several times; the first place was taken"
        )
    if inside:
        notes.append(f"{inside} answers begin or end within a word; the whole word was taken")
    return np.array(spans, np.int64).reshape(-1, 2), notes


def _nearest(context: str, text: str, start: int) -> int:
    """First character of the occurrence of a text that is nearest to ``start``; -1 where there is none."""
    if start >= 0 and context.startswith(text, start):
        return start
    begin = context.find(text)
    if start < 0:
        return begin
    best = begin
    while begin >= 0:
        best = min(best, begin, key=lambda place: abs(place - start))
        begin = context.find(text, begin + 1)
    return best
