"""What a comparison bought, as a file that leads back to the user's rows."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from react_rl.errors import ReActError
from react_rl.escaping import from_csv
from react_rl.experiments import CompareConfig, run_comparison
from react_rl.experiments.cli import main
from react_rl.experiments.run import bought
from react_rl.experiments.run.bought import export_bought
from react_rl.simulation.encoded import synthetic_encoded

Run = Callable[..., tuple[Path, list[dict[str, str]]]]


def text_of(n: int) -> str:
    """Some begin as formulas do, some hold separators and line breaks."""
    return f"{'=' if n % 5 == 0 else ''}question, number {n}{chr(10) if n % 7 == 0 else ''}!"


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    """A user's file: 120 questions with ids from 1,000 on, in three classes."""
    path = tmp_path / "q.csv"
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["id", "text", "label"])
        table.writerows([1000 + n, text_of(n), f"kind {n % 3}"] for n in range(120))
    return path


@pytest.fixture
def run(questions: Path, comparison: Callable[..., CompareConfig], vectors: Path, tmp_path: Path) -> Run:
    """Plays a comparison on 100 of the questions and reads what it bought."""

    def play(**changes: Any) -> tuple[Path, list[dict[str, str]]]:
        corpus = {"corpus": str(questions), "max_rows": 100, "embeddings": str(vectors)}
        config = comparison(name="q", corpora=[corpus], seeds=2, full="never", **changes)
        outcome = run_comparison(config, tmp_path / "results")
        outcome.check()
        folder = outcome.folder.folder
        return folder, read(folder) if outcome.bought else []

    return play


@pytest.fixture
def vectors(tmp_path: Path) -> Path:
    import numpy as np

    path = tmp_path / "vectors.npy"
    np.save(path, synthetic_encoded(100, 3).embeddings.numpy())
    return path


def read(folder: Path) -> list[dict[str, str]]:
    with (folder / "bought.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_every_bought_row_leads_back_to_its_row_of_the_file(run: Run) -> None:
    folder, lines = run()
    for line in lines:
        number = int(line["id"]) - 1000
        assert line["file"] == "q.csv"
        assert int(line["row"]) == number + 1
        assert from_csv(line["text"]) == text_of(number)
        assert line["label"] == f"kind {number % 3}"
    assert any(line["text"].startswith("'=") for line in lines)  # no formula for a spreadsheet
    assert list(lines[0]) == ["id", "file", "row", "text", "label", "round", "seed", "strategy", "corpus"]
    runs = [json.loads(path.read_text()) for path in (folder / "runs").glob("*.json")]
    assert len(runs) == 4
    for played in runs:
        own = [
            line
            for line in lines
            if (line["strategy"], line["seed"]) == (played["strategy"], str(played["seed"]))
        ]
        rounds = [played["initial"], *played["batches"]]
        assert [int(line["round"]) for line in own] == [r for r, ids in enumerate(rounds) for _ in ids]


def test_labels_are_the_answers_that_were_bought(run: Run) -> None:
    noisy = {"label_noise": 0.4, "abstention": 0.3}
    _, lines = run(episode=noisy)
    answers: dict[tuple[str, str], set[str]] = {}
    for line in lines:
        number = int(line["id"]) - 1000
        assert line["true_label"] == f"kind {number % 3}"
        answers.setdefault((line["seed"], line["id"]), set()).add(line["label"])
    given = [next(iter(found)) for found in answers.values()]
    assert all(len(found) == 1 for found in answers.values())  # both strategies heard the same
    wrong = [line for line in lines if line["label"] not in ("", line["true_label"])]
    assert 0.1 < len(wrong) / len(lines) < 0.5
    assert "" in given
    assert all(line["label"] for line in lines if line["round"] == "0")  # somebody has labelled them before


def test_the_answers_are_those_that_the_learner_was_trained_on(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from react_rl.simulation.oracle import Oracle

    heard: list[int] = []
    answer = Oracle.answer

    def spy(oracle: Oracle, episodes: Any, columns: Any) -> Any:
        found = answer(oracle, episodes, columns)
        if oracle.cost.shape[0] == 2:  # not the one-episode oracle that draws them again
            heard.extend(found.flatten().tolist())
        return found

    monkeypatch.setattr(Oracle, "answer", spy)
    _, lines = run(strategies=["random"], episode={"label_noise": 0.4})
    kinds = [int(line["label"].removeprefix("kind ")) for line in lines]
    assert sorted(heard) == sorted(kinds)


def test_rows_of_a_corpus_without_files_go_by_their_number(
    made_corpora: None, comparison: Callable[..., CompareConfig], tmp_path: Path
) -> None:
    outcome = run_comparison(comparison(strategies=["random"], seeds=1), tmp_path)
    lines = read(outcome.folder.folder)
    [played] = [json.loads(path.read_text()) for path in outcome.folder.runs.glob("*.json")]
    assert [int(line["row"]) for line in lines] == [
        row for batch in [played["initial"], *played["batches"]] for row in batch
    ]
    assert {line["file"] for line in lines} == {line["id"] for line in lines} == {""}


def test_more_than_a_comparison_lists_is_exported_by_a_command(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, lines = run()
    monkeypatch.setattr(bought, "MOST_ROWS", 10)
    again, none = run()
    assert (again, none) == (folder, [])
    assert not (folder / "bought.csv").exists()
    assert main(["export", str(folder)]) == 0
    assert "bought.csv" in capsys.readouterr().out
    assert read(folder) == lines


@pytest.mark.parametrize(("column", "value"), [("text", "another text"), ("label", "kind 2")])
def test_one_cell_that_has_changed_is_noticed(run: Run, questions: Path, column: str, value: str) -> None:
    folder, lines = run()
    with questions.open(newline="") as file:
        table = list(csv.DictReader(file))
    [row] = [row for row in table if row["id"] == lines[0]["id"]]
    row[column] = value if row[column] != value else "kind 1"
    with questions.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(row))
        writer.writeheader()
        writer.writerows(table)
    with pytest.raises(ReActError, match=r"corpus 'q' is not the one that .*seed0000.* was played on"):
        export_bought(folder)
    assert read(folder) == lines, "the table of what was played stays"


def test_a_corpus_that_has_changed_is_noticed(run: Run, questions: Path) -> None:
    folder, _ = run()
    content = questions.read_text().splitlines()
    questions.write_text("\n".join([*content[:1], *content[40:], *content[1:40]]) + "\n")
    with pytest.raises(ReActError, match=r"corpus 'q' is not the one that .*seed0000.* was played on"):
        export_bought(folder)


def test_an_id_column_may_be_named_afterwards(run: Run, questions: Path, tmp_path: Path) -> None:
    content = questions.read_text()
    questions.write_text(content.replace("id,text", "key,text", 1))
    _, lines = run()
    assert {line["id"] for line in lines} == {""}
    config = json.loads((tmp_path / "results/q/plan.json").read_text())["config"]
    config["corpora"][0]["id"] = "key"
    outcome = run_comparison(CompareConfig.model_validate(config), tmp_path / "results")
    assert outcome.played == 0
    assert all(line["id"].startswith("1") for line in read(tmp_path / "results/q"))
