"""A comparison whose episodes begin without labels, from YAML to the table, and again."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from react_rl.experiments import CompareConfig, load_config, run_comparison
from react_rl.experiments.config.learners import PromptLearner
from react_rl.experiments.run.results import ResultFolder
from react_rl.simulation.encoded import EncodedCorpus


@pytest.fixture
def config(tmp_path: Path, masked_lm: Path, reviews: EncodedCorpus) -> Path:
    corpus = reviews.corpus
    lines = [f"{t},{corpus.label_names[y]}" for t, y in zip(corpus.texts, corpus.targets, strict=True)]
    (tmp_path / "reviews.csv").write_text("text,label\n" + "\n".join(lines) + "\n", encoding="utf-8")
    prompt = {"model": str(masked_lm), "templates": "{text} it was {mask} .", "words": {"negative": "bad"}}
    wanted = {
        "name": "gaps",
        "corpora": [{"corpus": str(tmp_path / "reviews.csv")}],
        "strategies": ["random", "margin"],
        "seeds": 1,
        "jobs": 1,
        "device": "cpu",
        "learner": {"kind": "prompt", "prompt": {**prompt, "max_length": 24, "precision": "fp32"}},
        "encoder": {"model": str(masked_lm), "max_length": 24, "precision": "fp32"},
        "episode": {"pool_size": 40, "dev_size": 15, "initial_size": 0, "budget": 8, "batch_size": 4},
    }
    path = tmp_path / "gaps.yaml"
    path.write_text(yaml.safe_dump(wanted), encoding="utf-8")
    return path


def test_runs_begin_without_labels_and_are_kept(config: Path, tmp_path: Path) -> None:
    wanted = load_config(CompareConfig, str(config))
    outcome = run_comparison(wanted, tmp_path / "results", draw=False)
    assert not outcome.failures
    folder = ResultFolder(tmp_path / "results" / "gaps")
    for run in folder.read_plan()[1]:
        played = folder.read_run(run)
        assert (played["initial"], played["labels"]) == ([], [0, 4, 8])
    again = run_comparison(wanted, tmp_path / "results", draw=False)
    assert (again.played, again.kept) == (0, 2)


def test_words_can_be_given_on_the_command_line(config: Path) -> None:
    flags = [
        "--learner.prompt.words",
        "{negative: [bad, film], good: great}",
        "--learner.prompt.strength",
        "2",
    ]
    found = load_config(CompareConfig, str(config), flags).learner
    assert isinstance(found, PromptLearner)
    assert found.prompt.words == {"negative": ("bad", "film"), "good": ("great",)}
    assert found.prompt.strength == 2
