"""Questions about contexts from SQuAD's format and from tables: what they become, and what is refused."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from react_rl.data import inspect_corpus, load_corpus
from react_rl.data.costs import apply_question_cost
from react_rl.data.passages import span_of, word_borders
from react_rl.data.questions import read_questions
from react_rl.data.synthetic_questions import synthetic_questions
from react_rl.errors import ReActError


def row(n: int, **changes: Any) -> dict[str, Any]:
    """A question on one of the contexts, three on each."""
    context = f"Ann{n // 3} lives in Oslo, near the sea."
    answers = [{"text": "Oslo", "answer_start": context.index("Oslo")}]
    return {"id": f"q{n}", "question": f"Where is {n}?", "context": context, "answers": answers} | changes


def rows(n: int = 30) -> list[dict[str, Any]]:
    return [row(k) for k in range(n)]


def write(path: Path, found: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(one) + "\n" for one in found), encoding="utf-8")
    return path


def squad(found: list[dict[str, Any]]) -> str:
    paragraphs = [
        {
            "context": one["context"],
            "qas": [
                {key: own[key] for key in own if key != "context"}
                for own in found
                if own["context"] == one["context"]
            ],
        }
        for one in found[::3]
    ]
    return json.dumps({"version": "1.1", "data": [{"title": "some", "paragraphs": paragraphs}]})


def test_words_are_runs_of_letters_han_characters_and_marks() -> None:
    text = "In 1990, 《战国3》 (ok)"
    words = [text[begin:end] for begin, end in word_borders(text).tolist()]
    assert words == ["In", "1990", ",", "《", "战", "国", "3", "》", "(", "ok", ")"]
    borders = word_borders("the red car")
    assert span_of(borders, 4, 7) == (2, 2)
    assert span_of(borders, 5, 9) == (2, 3)  # whole words
    assert span_of(borders, 3, 4) == (0, 0)  # a blank


def test_a_table_and_the_same_questions_in_squads_format_are_one_corpus(tmp_path: Path) -> None:
    table = load_corpus(write(tmp_path / "some.jsonl", rows()))
    nested = tmp_path / "nested" / "some.json.gz"
    nested.parent.mkdir()
    nested.write_bytes(gzip.compress(squad(rows()).encode()))
    corpus = load_corpus(nested)
    for own in (table, corpus):
        assert own.task == "question-answering"
        assert own.passages is not None
        assert own.texts[4] == "Where is 4?"
        assert own.targets[4].tolist() == [4, 4]
        assert own.passages.answer(4, 4, 4) == "Oslo"
        assert own.passages.answers[4] == ("Oslo",)
        assert own.cost.tolist() == [1.0] * 30
        assert own.origin is not None
        assert own.origin.ids is not None
        assert own.origin.ids[4] == "q4"
    assert table.digest() == corpus.digest()


def test_questions_on_one_context_stay_in_one_split_and_one_half(tmp_path: Path) -> None:
    corpus = load_corpus(write(tmp_path / "some.jsonl", rows(90)))
    assert corpus.passages is not None
    sides = [corpus.half("first").split, corpus.half("second").split]
    for context in range(30):
        own = corpus.passages.of == context
        assert np.unique(corpus.split[own]).size == 1
        assert all(np.unique(side[own]).size == 1 for side in sides)


def test_whole_contexts_are_kept_up_to_max_rows(tmp_path: Path) -> None:
    corpus = read_questions(write(tmp_path / "some.jsonl", rows(90)), max_rows=40)
    assert corpus.n_rows == 39
    assert corpus.passages is not None
    assert (np.bincount(corpus.passages.of) == 3).all()
    assert "39 of 90 questions" in corpus.notes[0]


def test_answers_as_the_hub_has_them_and_none_at_all(tmp_path: Path) -> None:
    found = rows()
    found[0]["answers"] = {"text": ["the sea", "sea"], "answer_start": [24, 28]}
    found[1] |= {"answers": [], "is_impossible": True}
    found[2]["answers"] = ["Oslo"]
    found[3]["answers"] = {"text": "Oslo", "answer_start": found[3]["context"].index("Oslo")}
    corpus = load_corpus(write(tmp_path / "some.jsonl", found))
    assert corpus.passages is not None
    assert corpus.targets[:4].tolist() == [[7, 8], [0, 0], [4, 4], [4, 4]]
    assert corpus.passages.answers[:2] == (("the sea", "sea"), ())
    assert corpus.passages.has_unanswerable
    assert corpus.passages.score(1, 0, 0) == (1.0, 1.0)
    assert corpus.passages.score(0, 8, 8) == (1.0, 1.0)  # any given answer counts
    facts = inspect_corpus(corpus)
    assert (facts.rows, facts.classes, facts.smallest) == (30, 2, 1)


def test_passages_of_some_questions_hold_their_contexts_each_once() -> None:
    passages = synthetic_questions(40, 0.3).passages
    assert passages is not None
    rows = [9, 2, 9, 11]
    found = passages.about(rows)
    assert found.contexts() == [passages.contexts()[row] for row in rows]
    assert found.answers == tuple(passages.answers[row] for row in rows)
    assert len(found.texts) == len(set(found.texts)) == len({int(passages.of[row]) for row in rows})


def test_what_had_to_be_moved_is_counted(tmp_path: Path) -> None:
    found = rows()
    found[0]["answers"] = [{"text": "Oslo", "answer_start": 3}]
    found[1]["answers"] = [{"text": "Osl", "answer_start": 14}]
    found[2] |= {"context": "a b a", "answers": [{"text": "a", "answer_start": None}]}
    corpus = load_corpus(write(tmp_path / "some.jsonl", found))
    said = " ".join(corpus.notes)
    assert "1 answers were not at their answer_start" in said
    assert "the first is of row 1 of some.jsonl" in said
    assert "1 answers begin or end within a word" in said
    assert "1 answers without answer_start occur several times" in said
    assert corpus.targets[:3].tolist() == [[4, 4], [4, 4], [1, 1]]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"question": " "}, "The question of row 2 of some.jsonl is empty"),
        ({"context": None}, "The context of row 2 of some.jsonl is empty"),
        ({"answers": [{"text": "Rome", "answer_start": 0}]}, "'Rome' of row 2 of some.jsonl is not in"),
        ({"answers": [{"answer_start": 0}]}, "An answer of row 2 of some.jsonl is"),
        ({"is_impossible": True}, "row 2 of some.jsonl is marked is_impossible and has the answer 'Oslo'"),
        ({"answers": {"text": ["Oslo"], "answer_start": []}}, "The answers of row 2 of some.jsonl are"),
        ({"answers": {"text": None, "answer_start": [0]}}, "give a list of texts and one of answer_start"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, changes: dict[str, Any], sentence: str) -> None:
    found = rows()
    found[1] |= changes
    with pytest.raises(ReActError, match=sentence):
        load_corpus(write(tmp_path / "some.jsonl", found))


def test_a_hole_in_squads_format_is_named(tmp_path: Path) -> None:
    path = tmp_path / "some.json"
    whole = json.loads(squad(rows()))
    own = whole["data"][0]["paragraphs"][1]["qas"][0]
    given = own.pop("answers")
    path.write_text(json.dumps(whole))
    with pytest.raises(
        ReActError, match=r"question q3 in paragraph 2 of article 1 of some\.json has no 'ans"
    ):
        load_corpus(path)
    own |= {"question": "", "answers": given}
    path.write_text(json.dumps(whole))
    with pytest.raises(ReActError, match=r"question q3 in paragraph 2 of article 1 of some\.json is empty"):
        load_corpus(path)
    del whole["data"][0]["paragraphs"][1]["qas"]
    path.write_text(json.dumps(whole))
    with pytest.raises(ReActError, match=r"Paragraph 2 of article 1 of some\.json has no list 'qas'"):
        load_corpus(path)


def test_questions_without_any_answer_or_about_one_context_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ReActError, match=r"No question of some\.jsonl has an answer"):
        load_corpus(write(tmp_path / "some.jsonl", [row | {"answers": []} for row in rows()]))
    one = [found for found in rows() if found["context"] == rows()[0]["context"]] * 4
    with pytest.raises(ReActError, match="12 rows with 1 different contexts are too few"):
        load_corpus(write(tmp_path / "some.jsonl", one))
    with pytest.raises(ReActError, match="has no id column 'key'"):
        load_corpus(write(tmp_path / "some.jsonl", rows()), id="key")


def test_a_context_is_paid_once_by_all_its_questions(tmp_path: Path) -> None:
    corpus = load_corpus(write(tmp_path / "some.jsonl", rows()))
    priced = apply_question_cost(corpus, "context+question")
    assert priced.cost[:3].sum() == pytest.approx(9 + 3 * 4)
    assert apply_question_cost(priced, "uniform").cost.tolist() == [1.0] * 30
    with pytest.raises(ReActError, match=r"use uniform or context\+question"):
        apply_question_cost(corpus, "tokens")


def test_synthetic_questions_are_answered_by_their_contexts() -> None:
    corpus = synthetic_questions(80, unanswerable=0.25)
    assert corpus.passages is not None
    none = [not answers for answers in corpus.passages.answers]
    assert 0.1 < np.mean(none) < 0.4
    for number, (first, last) in enumerate(corpus.targets.tolist()):
        found = corpus.passages.answer(number, first, last)
        assert found == "".join(corpus.passages.answers[number])
    assert synthetic_questions(80, unanswerable=0.25).digest() == corpus.digest()
    with pytest.raises(ReActError, match="take 40 or more"):
        synthetic_questions(10)


def test_a_folder_may_hold_squads_own_names_of_one_version(tmp_path: Path) -> None:
    for name, part in (("train", rows()[:18]), ("dev", rows()[18:])):
        (tmp_path / f"{name}-v1.1.json").write_text(squad(part))
    corpus = load_corpus(tmp_path)
    assert corpus.task == "question-answering"
    assert set(corpus.ids("dev").tolist()) == set(range(18, 30))
    (tmp_path / "train-v2.0.json").write_text(squad(rows()[:18]))
    with pytest.raises(ReActError, match=r"two files for one split, train-v1\.1\.json and train-v2\.0\.json"):
        load_corpus(tmp_path)


def test_answers_that_no_model_gives_are_counted(tmp_path: Path) -> None:
    def asked(n: int, words: int) -> dict[str, Any]:
        answer = " ".join(f"w{k}" for k in range(words))
        return row(n, context=f"Context {n}: {answer}.", answers=[{"text": answer, "answer_start": -1}])

    path = write(tmp_path / "mine.jsonl", [asked(n, {3: 41, 4: 45}.get(n, 40)) for n in range(30)])
    said = "2 answers have more than 40 words, and no model gives an answer that long"
    assert said in inspect_corpus(read_questions(path)).warnings
    write(path, [asked(n, 40) for n in range(30)])
    assert not any("40 words" in one for one in inspect_corpus(read_questions(path)).warnings)
