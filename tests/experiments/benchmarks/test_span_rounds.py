"""The benchmark of the span scorer gives milliseconds for each strategy, and errors in a sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from react_rl.data.synthetic_questions import synthetic_questions
from react_rl.experiments.benchmarks.span_rounds import main

SMALL = ["--pool-size", "40", "--dev-size", "5", "--budget", "20", "--episodes", "2", "--repeats", "1"]


@pytest.fixture
def questions(tmp_path: Path) -> str:
    """A file of 70 questions."""
    corpus = synthetic_questions(70)
    passages = corpus.passages
    assert passages is not None
    lines = []
    for row, question in enumerate(corpus.texts):
        context, answer = passages.texts[passages.of[row]], passages.answers[row][0]
        answers = {"text": [answer], "answer_start": [context.index(answer)]}
        lines.append(json.dumps({"question": question, "context": context, "answers": answers}))
    path = tmp_path / "questions.jsonl"
    path.write_text("\n".join(lines))
    return str(path)


def test_each_strategy_gets_a_line(questions: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--corpus", questions, "--strategies", "random", "span-margin", *SMALL]) == 0
    lines = [line.split("|") for line in capsys.readouterr().out.splitlines() if line.startswith("| `")]
    assert [line[1].strip() for line in lines] == ["`random`", "`span-margin`"]
    assert all(float(line[2]) > 0 for line in lines)


def test_what_cannot_be_measured_is_named(questions: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--corpus", questions, "--strategies", "span-margn", *SMALL]) == 2
    assert "span-margin" in capsys.readouterr().err
    assert main(["--corpus", "synthetic", *SMALL]) == 2
    assert "holds no questions" in capsys.readouterr().err
