"""A comparison whose episodes begin without labels, from YAML to the table, and again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from react_rl.experiments import CompareConfig, load_config, run_comparison
from react_rl.experiments.cli import main
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


def test_the_command_ranks_templates_suggests_words_and_keeps_traces(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["prompts", str(config), "--labels", "12", "--traces", "2", "--results", str(tmp_path / "r")]
    assert main([*arguments, "--templates", "{mask} : {text}"]) == 0
    shown = capsys.readouterr().out
    (path,) = (tmp_path / "r" / "gaps" / "prompts").iterdir()
    found = json.loads(path.read_text())
    losses = [one["log_loss"] for one in found["templates"]]
    assert losses == sorted(losses)
    assert {"{text} it was {mask} .", "{mask} : {text}"} < {one["template"] for one in found["templates"]}
    assert len(found["rows"]) == 12
    assert set(found["words"]) == {"negative", "good"}
    assert len(found["traces"]) == 2
    assert all(one["template"] in shown for one in found["templates"])
    assert main([*arguments, "--labels", "0"]) == 2
    assert "leaves nothing to look at" in capsys.readouterr().err
    assert main([*arguments, "--learner.kind", "softmax"]) == 2
    assert "reads no template" in capsys.readouterr().err
