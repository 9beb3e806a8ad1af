"""Questions from a file to curves: the whole way, with the encoder that comes with the package."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from react_rl.data.synthetic_questions import synthetic_questions
from react_rl.errors import ReActError
from react_rl.experiments import CompareConfig, run_comparison
from react_rl.experiments.run.results import ResultFolder


@pytest.fixture(scope="module")
def questions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """JSON lines with 200 questions, a fifth without an answer."""
    corpus = synthetic_questions(200, 0.2)
    assert corpus.passages is not None
    contexts, answers = corpus.passages.contexts(), corpus.passages.answers
    lines = [
        {"id": f"q{row}", "question": text, "context": contexts[row], "answers": answers[row]}
        for row, text in enumerate(corpus.texts)
    ]  # fmt: skip
    path = tmp_path_factory.mktemp("questions") / "facts.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def config(comparison: Callable[..., CompareConfig], path: Path, **changes: object) -> CompareConfig:
    given: dict[str, object] = {
        "corpora": [{"corpus": str(path)}],
        "strategies": ["random", "no-answer-doubt"],
        "learner": {"kind": "span"},
        "episode": {"budget": 20, "pool_size": 60},
        "seeds": 2,
    }
    return comparison(**(given | changes))


def test_questions_are_compared_by_exact_match_and_f1_and_bought_with_their_answers(
    comparison: Callable[..., CompareConfig], questions: Path, tmp_path: Path
) -> None:
    wanted = config(comparison, questions)
    outcome = run_comparison(wanted, tmp_path)
    assert not outcome.failures
    folder = ResultFolder(tmp_path / "small")
    for run in folder.read_plan()[1]:
        played = folder.read_run(run)
        assert set(played["test"]) == {"answer_f1", "exact_match"}
        assert played["cost"][-1] == 20
    lines = [json.loads(line) for line in questions.read_text(encoding="utf-8").splitlines()]
    asked = {line["id"]: line for line in lines}
    with (tmp_path / "small" / "bought.csv").open(encoding="utf-8") as file:
        for line in csv.DictReader(file):
            own = asked[line["id"]]
            assert line["text"] == own["question"]
            assert line["label"] == (own["answers"] or ["(no answer)"])[0]
    again = run_comparison(wanted, tmp_path)
    assert (again.played, again.kept) == (0, 4)


def test_what_does_not_fit_questions_is_refused_in_one_sentence(
    comparison: Callable[..., CompareConfig], questions: Path, tmp_path: Path
) -> None:
    for changes, message in (
        ({"learner": {}, "strategies": ["random"]}, "set learner.kind to finetune or span"),
        ({"strategies": ["badge"], "reference": "badge"}, "'badge' needs a corpus of classification"),
        ({"metrics": ["macro_f1"]}, "Unknown metric of question-answering 'macro_f1'"),
        ({"corpora": [{"corpus": str(questions), "label": "x"}]}, "holds questions about contexts"),
        ({"corpora": [{"corpus": str(questions), "cost": "words"}]}, "cannot cost 'words'"),
    ):  # fmt: skip
        with pytest.raises(ReActError) as caught:
            run_comparison(config(comparison, questions, **changes), tmp_path)
        assert message in str(caught.value), message
