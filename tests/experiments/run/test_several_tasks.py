"""Corpora of classification and of tagging in one comparison: each task as it would be alone."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from react_rl.encoders.transformer import TextEncoder
from react_rl.errors import ReActError
from react_rl.experiments import (
    CompareConfig,
    CorpusConfig,
    TrainConfig,
    read_frames,
    run_comparison,
    run_training,
)
from react_rl.experiments.analysis.summary import read_results, read_tasks, summarise, write_tables
from react_rl.experiments.cli import main
from react_rl.experiments.figures.drawing import figures_of
from react_rl.experiments.figures.page import Page
from react_rl.experiments.report.text import markdown, report_tables
from react_rl.experiments.report.writing import build_report
from react_rl.experiments.run.compare import play_comparison
from react_rl.simulation import EncodedCorpus, synthetic_encoded
from react_rl.simulation.encoded import synthetic_tagged

MADE = {
    name: one.with_corpus(replace(one.corpus, name=name))
    for name, one in (
        ("one", synthetic_encoded(200, 3, seed=1)),
        ("two", synthetic_encoded(200, 2, seed=2)),
        ("sentences", synthetic_tagged(160, n_types=2)),
    )
}
CORPORA = [
    {"corpus": "synthetic", "name": "one"},
    {"corpus": "synthetic_sentences", "name": "sentences"},
    {"corpus": "synthetic", "name": "two"},
]
TAGGING: dict[str, Any] = {"learner": {"kind": "tagger"}, "episode": {"budget": 60}}


EPISODE = {"pool_size": 40, "dev_size": 20, "initial_size": 5, "budget": 12, "batch_size": 4}


def prepare(configs: Sequence[CorpusConfig], *_: Any, **_more: Any) -> list[EncodedCorpus]:
    """Corpora of both tasks with vectors made in code."""
    return [MADE[config.name or ""] for config in configs]


def without_texts(patch: pytest.MonkeyPatch) -> None:
    for module in ("compare", "train"):
        patch.setattr(f"react_rl.experiments.run.{module}.prepare", prepare)
    patch.setattr(TextEncoder, "fingerprint", lambda _: {"weights": "made in code"})


@pytest.fixture(autouse=True)
def no_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    without_texts(monkeypatch)


def both(**changes: Any) -> CompareConfig:
    values: dict[str, Any] = {
        "name": "both",
        "corpora": CORPORA,
        "strategies": ["random", "margin", "mixture"],
        "seeds": 3,
        "jobs": 1,
        "episode": EPISODE,
        "tasks": {"tagging": TAGGING},
    }
    return CompareConfig.model_validate(values | changes)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        without_texts(patch)
        outcome = play_comparison(both(), tmp_path_factory.mktemp("results"), progress=False)
        assert (outcome.played, outcome.failures) == (27, [])
        yield outcome.folder.folder


@pytest.fixture
def folder(played: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(played, tmp_path / "both"))


def test_runs_are_those_of_a_comparison_of_their_task_alone(folder: Path, tmp_path: Path) -> None:
    texts = both(name="texts", corpora=[CORPORA[0], CORPORA[2]], tasks={})
    learner = {"learner": TAGGING["learner"], "episode": EPISODE | TAGGING["episode"]}
    tagged = both(name="tagged", corpora=[CORPORA[1]], tasks={}, **learner)
    alone: dict[str, bytes] = {}
    for config in (texts, tagged):
        run_comparison(config, tmp_path)
        alone |= {file.name: file.read_bytes() for file in (tmp_path / config.name / "runs").iterdir()}
    assert alone == {file.name: file.read_bytes() for file in (folder / "runs").iterdir()}
    assert "tasks" not in (tmp_path / "texts" / "plan.json").read_text()


def test_each_task_has_its_metrics_and_its_budget_and_nothing_is_averaged_over_tasks(folder: Path) -> None:
    texts, tagged = read_tasks(folder)
    assert [(one.task, one.metric, one.budget, one.corpora) for one in (texts, tagged)] == [
        ("classification", "accuracy", 12.0, ["one", "two"]),
        ("tagging", "entity_f1", 60.0, ["sentences"]),
    ]
    write_tables(folder, [(one, summarise(one)) for one in read_tasks(folder)])
    table = pd.read_csv(folder / "summary.csv")
    groups = [("classification", "one"), ("classification", "two")]
    groups += [("classification", "(mean of classification corpora)"), ("tagging", "sentences")]
    assert list(dict.fromkeys(zip(table["task"], table["corpus"], strict=True))) == groups
    assert table.groupby("task")["metric"].unique().map(list).to_dict() == {
        "classification": ["accuracy"],
        "tagging": ["entity_f1"],
    }
    by = table.set_index(["corpus", "strategy"])
    mean = np.mean([by.loc[(corpus, "margin"), "difference"] for corpus in ("one", "two")])
    assert by.loc[("(mean of classification corpora)", "margin"), "difference"] == pytest.approx(
        mean, abs=1e-6
    )
    frames = read_frames(folder)
    assert frames.areas.groupby("corpus")["metric"].first().to_dict()["sentences"] == "entity_f1"
    assert len(frames.areas) == 27
    with (folder / "bought.csv").open(encoding="utf-8") as file:
        assert {line["corpus"] for line in csv.DictReader(file)} == set(MADE)


def test_the_results_of_one_task_are_read_by_its_name(folder: Path) -> None:
    assert read_results(folder, task="tagging").corpora == ["sentences"]
    assert read_results(folder, metric="macro_f1").task == "classification"
    with pytest.raises(ReActError, match="corpora of classification and tagging; name one of these"):
        read_results(folder)
    with pytest.raises(ReActError, match=r"this comparison 'taging'\. Did you mean 'tagging'"):
        read_results(folder, task="taging")


@pytest.mark.parametrize("width", [None, 7.0])
def test_a_panel_shows_the_metric_and_the_budget_of_its_corpus(folder: Path, width: float | None) -> None:
    found = [(results, summarise(results)) for results in read_tasks(folder)]
    figures = figures_of(found, Page(width))
    assert list(figures) == ["learning_curves", "areas"]
    panels = [(ax.get_title(), ax.get_ylabel(), ax.get_xlim()) for ax in figures["learning_curves"].axes]
    again = "test accuracy" if width is None else ""
    assert [(title, label.replace("\n", " ")) for title, label, _ in panels] == [
        ("one", "test accuracy"),
        ("two", again),
        ("sentences", "test entity F1"),
    ]
    assert [limits for *_, limits in panels] == [(0.0, 12.0), (0.0, 12.0), (0.0, 60.0)]
    titles = [ax.get_title().replace("\n", " ") for ax in figures["areas"].axes]
    assert titles == ["one", "two", "(mean of classification corpora)", "sentences"]
    below = figures["areas"].axes[-1].get_xlabel().replace("\n", " ")
    assert below == "area under the test entity F1 curve"


def test_tables_and_report_keep_the_tasks_apart_and_say_so(folder: Path) -> None:
    page = build_report(folder)
    ids = re.findall(r'<[^>]*\sid="([^"]*)"', page)
    assert len(ids) == len(set(ids))
    referred = re.findall(r'<[^>]*(?:href="#|url\(#)([^")]*)', page)
    referred += [one for all_ in re.findall(r'aria-[a-z]*by="([^"]*)"', page) for one in all_.split()]
    assert set(referred) <= set(ids)
    assert {"classification-curves", "tagging-curves", "tagging-numbers", "setup", "machine"} <= set(ids)
    assert "On the mean of 2 classification corpora" in page
    assert "paired differences are pooled over those of classification, of tagging, never over all" in page
    assert "<dt>Budget (tagging)</dt><dd>60 cost units" in page
    assert page.count("<dt>Encoder</dt>") == 1
    text = markdown(report_tables(folder))
    assert text.count("mean of classification corpora") == 1
    assert "sentences: entity F1, 3 paired seeds" in text


def test_what_a_task_lacks_is_said_before_anything_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def touched(*_: Any, **__: Any) -> Any:
        raise AssertionError("corpora were loaded")

    monkeypatch.setattr("react_rl.experiments.run.compare.prepare", touched)
    for changes, message in (
        ({"strategies": ["random", "badge"]}, "'badge' needs a corpus of classification"),
        ({"strategies": ["random", "mnlp"]}, "'mnlp' needs a corpus of tagging"),
        ({"metrics": ["macro_f1"]}, "'sentences' is of tagging, and none of the metrics macro_f1 is"),
        ({"metrics": ["accuracy", "entity_f1", "exact_match"]}, "Unknown metric of classification and tagg"),
        ({"tasks": {"question-answering": {}}}, "settings for question-answering, which no corpus is of"),
        ({"tasks": {"tagging": {"learner": {"kind": "mlp"}}}}, "set learner.kind to finetune or tagger"),
    ):
        with pytest.raises(ReActError) as caught:
            run_comparison(both(**changes), tmp_path)
        assert message in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_analyses_are_of_the_corpora_that_have_classes_and_change_no_other_run(
    folder: Path, tmp_path: Path
) -> None:
    config = both(analysis=["calibration"], strategies=["random"])
    runs = play_comparison(config, tmp_path / "other", progress=False).folder.folder / "runs"
    found = {file.name: json.loads(file.read_text()) for file in runs.iterdir()}
    assert {run["corpus"] for run in found.values() if "analysis" in run} == {"one", "two"}
    for name, run in found.items():
        if run["corpus"] == "sentences":
            assert (runs / name).read_bytes() == (folder / "runs" / name).read_bytes()
    report = build_report(runs.parent)
    assert 'id="classification-calibration"' in report
    assert 'id="tagging-calibration"' not in report


def test_metrics_that_are_asked_for_go_to_the_tasks_that_have_them(tmp_path: Path) -> None:
    changes = {"metrics": ["entity_recall", "macro_f1", "accuracy"], "seeds": 1, "strategies": ["random"]}
    store = run_comparison(both(**changes), tmp_path).folder
    measured = {run.corpus: list(store.read_run(run)["test"]) for run in store.read_plan()[1]}
    texts = ["accuracy", "macro_f1"]
    assert measured == {"one": texts, "two": texts, "sentences": ["entity_recall"]}
    assert [one.metric for one in read_tasks(store.folder)] == ["macro_f1", "entity_recall"]


def test_a_comparison_goes_on_grows_by_a_task_and_is_not_replaced(tmp_path: Path) -> None:
    few = {"seeds": 2, "strategies": ["random", "margin"]}
    texts = both(corpora=[CORPORA[0]], tasks={}, **few)
    assert run_comparison(texts, tmp_path).played == 2 * 2
    grown = run_comparison(both(**few), tmp_path)
    assert (grown.played, grown.kept) == (8, 4)
    runs = {file: file.read_bytes() for file in sorted((tmp_path / "both" / "runs").iterdir())}
    for file in list(runs)[::3]:
        file.unlink()
    assert run_comparison(both(**few), tmp_path).played == len(list(runs)[::3])
    assert runs == {file: file.read_bytes() for file in sorted((tmp_path / "both" / "runs").iterdir())}
    shorter = {"tagging": TAGGING | {"episode": {"budget": 40}}}
    with pytest.raises(ReActError, match=r"another comparison: tagging: episode\.budget was 60\.0, is 40\.0"):
        run_comparison(both(tasks=shorter, **few), tmp_path)
    heads = {"tagging": TAGGING, "classification": {"learner": {"l2": 0.2}}}
    with pytest.raises(ReActError, match=r"classification: learner\.l2 was 0\.1, is 0\.2"):
        run_comparison(both(tasks=heads, **few), tmp_path)


def test_curves_that_were_kept_of_runs_are_read_by_task(folder: Path) -> None:
    write_tables(folder, [(one, summarise(one)) for one in read_tasks(folder)])
    before = [summarise(one) for one in read_tasks(folder)]
    for file in (folder / "runs").iterdir():
        file.unlink()
    for one, table in zip(read_tasks(folder), before, strict=True):
        pd.testing.assert_frame_equal(
            summarise(one)[["corpus", "area"]], table[["corpus", "area"]], rtol=1e-4
        )


def test_a_policy_of_several_tasks_is_compared_on_both(tmp_path: Path) -> None:
    training = {
        "name": "trained",
        "corpora": CORPORA[:2],
        "observation": {"name": "context-and-task"},
        "reward": {"metric": "task"},
        "episode": EPISODE,
        "tasks": {"tagging": TAGGING},
        "action_space": {"name": "weigh-scores", "features": ["margin", "density"]},
        "agent": {"episodes": 4, "n_envs": 2, "evaluations": 1, "evaluation_episodes": 2},
    }
    run_training(TrainConfig.model_validate(training), tmp_path, progress=False)
    policy = str(tmp_path / "trained" / "policy")
    outcome = run_comparison(both(strategies=["random", policy], seeds=1), tmp_path)
    assert (outcome.played, outcome.failures) == (6, [])
    drawn = figures_of([(results, summarise(results)) for results in read_tasks(outcome.folder.folder)])
    titles = [ax.get_title() for ax in drawn["policy_weights"].axes]
    assert titles == ["trained on one", "trained on two", "trained on sentences"]


def test_a_dry_run_says_what_is_played_of_each_task(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "both.yaml"
    path.write_text(
        "name: both\ncorpora: [{corpus: synthetic}, {corpus: synthetic_sentences}]\nseeds: 2\n"
        "strategies: [random, margin]\nepisode: {pool_size: 100, dev_size: 40}\n"
        "tasks: {tagging: {learner: {kind: tagger}, episode: {budget: 400}}}\n",
        encoding="utf-8",
    )
    assert main(["compare", str(path), "--dry-run", "--results", str(tmp_path / "results")]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "Would play 8 runs" in said
    assert "classification: accuracy, macro_f1, 80 cost units, learner softmax" in said
    assert "tagging: entity_f1, token_accuracy, 400 cost units, learner tagger" in said
    assert not (tmp_path / "results").exists()
