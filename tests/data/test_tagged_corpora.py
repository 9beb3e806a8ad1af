"""Tagged sentences from column files and tables: what they become, and what is refused with its place."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from react_rl.data import load_corpus
from react_rl.data.config import CorpusConfig
from react_rl.data.sentences import entity_strata, read_tagged
from react_rl.errors import ReActError
from react_rl.simulation.corpora import load, task_by_name

CONLL = """-DOCSTART- -X- O O

EU NNP I-ORG
rejects VBZ O
German JJ I-MISC
call NN O

Peter NNP I-PER
Blackburn NNP I-PER

"""


def sentences(n: int) -> list[dict[str, Any]]:
    """Sentences of two to four tokens, half of them with an entity."""
    rows = []
    for k in range(n):
        words = [f"word{k}", *["filler"] * (k % 3 + 1)]
        tags = ["B-PER" if k % 4 == 0 else "B-LOC" if k % 4 == 1 else "O", *["O"] * (k % 3 + 1)]
        rows.append({"tokens": words, "tags": tags})
    return rows


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_conll(path: Path, rows: list[dict[str, Any]]) -> Path:
    blocks = ["".join(f"{w} {t}\n" for w, t in zip(r["tokens"], r["tags"], strict=True)) for r in rows]
    path.write_text("\n".join(blocks), encoding="utf-8")
    return path


def test_a_column_file_in_iob1_becomes_iob2_and_documents_are_no_sentences(tmp_path: Path) -> None:
    for part in ("train", "dev", "test"):
        text = CONLL.replace("EU", f"EU{part}").replace("Peter", f"Peter{part}")
        (tmp_path / f"{part}.conll").write_text(text, encoding="utf-8")
    corpus = load_corpus(tmp_path)
    assert corpus.task == "tagging"
    assert corpus.label_names == ("O", "B-MISC", "I-MISC", "B-ORG", "I-ORG", "B-PER", "I-PER")
    assert corpus.tokens is not None
    assert corpus.tokens[:2] == (("EUtrain", "rejects", "German", "call"), ("Petertrain", "Blackburn"))
    assert [target.tolist() for target in corpus.targets[:2]] == [[3, 0, 1, 0], [5, 6]]
    assert corpus.cost.tolist() == [4, 2] * 3
    assert corpus.texts[1] == "Petertrain Blackburn"


def test_tables_and_column_files_give_the_same_corpus_gzipped_or_not(tmp_path: Path) -> None:
    rows = sentences(60)
    plain = load_corpus(write_jsonl(tmp_path / "one.jsonl", rows))
    columns = load_corpus(write_conll(tmp_path / "two.bio", rows))
    packed = tmp_path / "three.jsonl.gz"
    packed.write_bytes(gzip.compress((tmp_path / "one.jsonl").read_bytes()))
    assert plain.digest() == columns.digest() == load_corpus(packed).digest()
    assert {plain.name, columns.name} == {"one", "two"}
    assert all(plain.ids(split).size for split in ("train", "dev", "test"))


def test_tokens_may_hold_blanks_in_columns_between_tabs_and_tags_may_come_first(tmp_path: Path) -> None:
    rows = [{"tokens": ["New York", f"n{k}"], "tags": ["B-LOC", "O"]} for k in range(20)]
    tabs, first, spaced = tmp_path / "a.conll", tmp_path / "b.conll", tmp_path / "c.conll"
    tabs.write_text("".join(f"New York\tNNP\tB-LOC\nn{k}\tCD\tO\n\n" for k in range(20)))
    first.write_text("".join(f"B-LOC\tNew York\r\nO\tn{k}\r\n\r\n" for k in range(20)))
    spaced.write_text("".join(f"NewYork  NNP B-LOC \nn{k} CD O\n \n" for k in range(20)))
    table = load_corpus(write_jsonl(tmp_path / "d.jsonl", rows))
    assert load_corpus(tabs).digest() == load_corpus(first, column=0).digest() == table.digest()
    assert load_corpus(spaced).tokens[0] == ("NewYork", "n0")  # type: ignore[index]


def test_a_config_says_the_task_by_the_columns_that_it_names(tmp_path: Path) -> None:
    rows = [{"key": f"s{k}", "words": ["Oslo", f"n{k}"], "ner": ["B-LOC", "O"]} for k in range(20)]
    path = write_jsonl(tmp_path / "a.jsonl", rows)
    config = CorpusConfig(corpus=str(path), tokens="words", tags="ner", id="key")
    assert task_by_name(config) == "tagging"
    corpus = load(config)
    assert corpus.origin is not None
    assert corpus.origin.ids == tuple(f"s{k}" for k in range(20))
    tagged_first = tmp_path / "train.txt"
    tagged_first.write_text("".join(f"B-LOC Oslo\nO n{k}\n\n" for k in range(20)))
    for where in (tagged_first, tmp_path):
        read = load(CorpusConfig(corpus=str(where), column=0))
        assert read.tokens == corpus.tokens
        assert [own.tolist() for own in read.targets] == [[1, 0]] * 20
    with pytest.raises(ReActError, match="holds tagged sentences, so 'answers' has no meaning"):
        load(CorpusConfig(corpus=str(path), tags="ner", answers="x"))


def test_ids_of_sentences_are_kept_or_said_to_be_missing(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"id": k, **row} for k, row in enumerate(sentences(60))]
    rows[7].pop("id")
    path = write_jsonl(tmp_path / "a.jsonl", rows)
    corpus = load_corpus(path, max_rows=50)
    assert corpus.origin is not None
    assert corpus.origin.ids is not None
    for row, own in enumerate(corpus.origin.ids):
        at = int(corpus.origin.row[row]) - 1
        assert own == ("" if at == 7 else str(at))
        assert corpus.tokens is not None
        assert list(corpus.tokens[row]) == rows[at]["tokens"]
    with pytest.raises(ReActError, match="has no id column 'key'"):
        load_corpus(path, id="key")
    with pytest.raises(ReActError, match="column of the tokens with tokens="):
        load_corpus(path, id="tokens")
    with pytest.raises(ReActError, match=r"two\.bio is a column file and has no ids"):
        load_corpus(write_conll(tmp_path / "two.bio", sentences(60)), id="key")


def test_max_rows_keeps_whole_sentences_under_their_own_tags(tmp_path: Path) -> None:
    rows = sentences(80)
    corpus = load_corpus(write_jsonl(tmp_path / "a.jsonl", rows), max_rows=50)
    by_text = {" ".join(row["tokens"]): row["tags"] for row in rows}
    for text, target in zip(corpus.texts, corpus.targets, strict=True):
        assert [corpus.label_names[tag] for tag in target] == by_text[text]
    assert corpus.n_rows == 50


def test_columns_decide_the_task_and_a_task_decides_over_them(tmp_path: Path) -> None:
    rows = [row | {"text": " ".join(row["tokens"]), "label": row["tags"][0]} for row in sentences(60)]
    path = write_jsonl(tmp_path / "both.jsonl", rows)
    assert load_corpus(path).task == "tagging"
    assert load_corpus(path, task="classification").task == "classification"
    with pytest.raises(ReActError, match="Unknown task 'taging'"):
        load_corpus(path, task="taging")


def test_strata_are_the_rarest_type_of_a_sentence() -> None:
    targets = np.empty(4, dtype=object)
    for row, tags in enumerate(([0, 0], [1, 2], [1, 3], [1, 0])):
        targets[row] = np.array(tags)
    assert entity_strata(targets, 2).tolist() == [0, 1, 2, 1]


def test_tags_that_break_the_scheme_are_counted_or_refused_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "broken.conll"
    text = "".join(f"word{k} B-PER\nmore{k} I-PER\nof O\n\n" for k in range(30))
    path.write_text(text + "a O\nb I-LOC\n", encoding="utf-8")
    corpus = read_tagged(path)
    assert "1 tags break the scheme IOB2" in corpus.notes[0]
    assert "'I-LOC' of line 122 of broken.conll" in corpus.notes[0]
    with pytest.raises(ReActError, match="The tag 'I-LOC' of line 122 of broken"):
        read_tagged(path, strict=True)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("word B-PER\nalone\n", r"Line 2 of bad.conll has 1 column \('alone'\)"),
        ("word XYZ\n", "The tag 'XYZ' of line 1 of bad.conll has no known form"),
        ("word O\n", "No entity is tagged in bad.conll"),
        ("\n\n-DOCSTART- O\n\n", "bad.conll has no sentences"),
    ],
)
def test_a_bad_column_file_is_one_sentence_with_its_line(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "bad.conll"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ReActError, match=said):
        load_corpus(path)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"tokens": ["a", "b"], "tags": ["O"]}, "row 2 of bad.jsonl has 2 tokens and 1 tags"),
        ({"tokens": [], "tags": []}, "row 2 of bad.jsonl has no tokens"),
        ({"tokens": ["a", " "], "tags": ["O", "O"]}, "empty token in token 2 in row 2 of bad.jsonl"),
        ({"tokens": "a b", "tags": ["O", "O"]}, "tokens in column 'tokens', row 2 of bad.jsonl, are a str"),
        ({"tokens": ["a"], "tags": [1]}, "tags in column 'tags', row 2 of bad.jsonl, are a list of other"),
        ({"tokens": ["a"], "tags": ["B-"]}, "The tag 'B-' of token 1 in row 2 of bad.jsonl"),
    ],
)
def test_a_bad_row_is_one_sentence_with_its_place(tmp_path: Path, row: dict[str, Any], said: str) -> None:
    rows = [{"tokens": ["x"], "tags": ["B-PER"]}, row]
    path = write_jsonl(tmp_path / "bad.jsonl", rows)
    with pytest.raises(ReActError, match=said):
        load_corpus(path)
