"""Whatever is in the folders that commands read: it is read, refused in a sentence, or made again."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from react_rl.acquisition.registry import make_strategy
from react_rl.agents.folder import load_policy
from react_rl.agents.imitation.states import States
from react_rl.data import load_corpus
from react_rl.documents import parse_json
from react_rl.encoders.masked_pretraining import _whole
from react_rl.errors import ReActError
from react_rl.experiments import CompareConfig
from react_rl.experiments.benchmarks.measured import read_rows
from react_rl.experiments.benchmarks.selection import outcome_of
from react_rl.experiments.config.models import TrainConfig, load_config
from react_rl.experiments.explain.folder import Explanation, Facts, read_explanation, write_explanation
from react_rl.experiments.run.results import ResultFolder, RunId
from react_rl.experiments.run.sameness import as_read_now, read_mapping, training_differences
from react_rl.experiments.studies.scores import read_scores
from react_rl.learners.finetune.training.store import _mapped, _write
from tests.test_readers import VALUES, Case, check, check_sentence, damaged, lines, small_policy, yaml_text

EXAMPLES = 15

LETTERS = st.lists(
    st.sampled_from(["a", ",", "\n", '"', "\x00", "1", "-", "=", "é", "nan", "inf", "1e999", "corpus"]),
    max_size=30,
).map("".join)


def squad(number: int) -> dict[str, Any]:
    """A document of SQuAD with one question."""
    asked = {"id": f"{number}", "question": "who", "answers": [{"text": "Ann", "answer_start": 0}]}
    paragraph = {"context": f"Ann {number} went home", "qas": [asked]}
    return {"data": [{"title": "t", "paragraphs": [paragraph]}]}


def question(number: int) -> dict[str, Any]:
    answers = {"text": ["Ann"], "answer_start": [0]}
    return {"question": f"who {number}", "context": f"Ann {number} went", "answers": answers}


FOLDERS: dict[str, tuple[str, Callable[[int], Any]]] = {
    "JSON lines": ("jsonl", lambda n: [{"text": f"text {n + i}", "label": i % 2} for i in range(6)]),
    "CSV": ("csv", lambda n: [["text", "label"], *([f"text {n + i}", "ab"[i % 2]] for i in range(6))]),
    "tagged lines": (
        "jsonl",
        lambda n: [{"tokens": ["Ann", f"{n + i}"], "tags": ["B-PER", "O"]} for i in range(4)],
    ),
    "columns": ("conll", lambda n: [["Ann", "B-PER"], [f"went{n}", "O"], [""]]),
    "questions": ("jsonl", lambda n: [question(n + i) for i in range(4)]),
    "SQuAD": ("json", squad),
}
"""Corpora in folders: ending, and the content of a file by a number that makes its texts its own."""


def cells(separator: str) -> Callable[[Any], str]:
    """Writes rows of cells; what is no row is one cell."""

    def text(value: Any) -> str:
        rows = value if isinstance(value, list) else [value]
        return "\n".join(separator.join(map(str, row if isinstance(row, list) else [row])) for row in rows)

    return text


@pytest.mark.parametrize("kind", FOLDERS)
def test_a_damaged_file_in_a_folder_of_splits_is_read_or_refused(tmp_path: Path, kind: str) -> None:
    ending, content = FOLDERS[kind]
    dumps: dict[str, Callable[[Any], str]] = {
        "jsonl": lines,
        "json": json.dumps,
        "csv": cells(","),
        "conll": cells(" "),
    }
    splits = {"train": 0, "dev": 100, "test": 200}
    for split, number in splits.items():
        (tmp_path / f"{split}.{ending}").write_text(dumps[ending](content(number)), encoding="utf-8")
    assert load_corpus(tmp_path).n_rows >= 3

    @settings(max_examples=EXAMPLES)
    @given(st.sampled_from(sorted(splits)), st.data())
    def play(split: str, data: st.DataObject) -> None:
        document = data.draw(damaged(content(splits[split])) | VALUES)
        file = tmp_path / f"{split}.{ending}"
        check(Case(file, None, lambda: load_corpus(tmp_path)), dumps[ending](document))

    play()


LEARNERS: dict[str, dict[str, Any]] = {
    "prompt": {
        "kind": "prompt",
        "prompt": {
            "templates": ["{text} It was {mask}."],
            "words": {"a": ["good"]},
            "strength": 0.7,
            "train": "both",
        },
    },
    "continual": {"kind": "softmax", "recipe": {"continual": {"kind": "replay", "share": 0.2}}},
    "finetune": {
        "kind": "finetune",
        "finetune": {
            "model": "minilm",
            "method": "lora",
            "layers": 2,
            "prompt": {"template": "{text} {mask}", "words": {"a": ["x"]}},
            "pretraining": {"steps": 5, "share": 0.1},
        },
    },
    "chosen on dev": {"kind": "softmax", "recipe": {"best_on_dev": ["plain", "smooth"]}},
    "mlp": {"kind": "mlp", "mlp": {"members": 2, "steps": 3}},
}


@pytest.mark.parametrize("kind", LEARNERS)
def test_damaged_settings_of_a_learner_are_read_or_refused(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "x.yaml"
    document = {
        "name": "a",
        "corpora": [{"corpus": "synthetic", "phases": 2, "drift": 0.5}],
        "learner": LEARNERS[kind],
        "analysis": ["calibration"],
        "robustness": {"strength": 0.1},
    }
    case = Case(file, document, partial(load_config, CompareConfig, str(file)), yaml_text)

    @settings(max_examples=EXAMPLES)
    @given(damaged(document) | VALUES)
    def play(damage: Any) -> None:
        check(case, case.dump(damage))

    play()


PIECES = st.lists(
    st.sampled_from(
        [
            *(
                "feature:",
                "weights:",
                "subsample:",
                "distinct:",
                "proxy:",
                "per-cost:",
                ":",
                "=",
                ",",
                "margin",
                "novelty",
                "badge",
            ),
            *("1", "1e999", "nan", "-", "0.9", "learned", "tuned-mixture", "../", "x"),
        ]
    ),
    max_size=6,
).map("".join)


@settings(max_examples=4 * EXAMPLES)
@given(PIECES | st.text(max_size=8))
def test_any_name_of_a_strategy_is_known_or_refused_in_a_sentence(name: str) -> None:
    try:
        make_strategy(name)
    except ReActError as error:
        check_sentence(error)


@settings(max_examples=EXAMPLES)
@given(damaged({"name": "a", "agent": {"episodes": 8, "seed": 0}, "episode": {"budget": 12.0}}) | VALUES)
def test_whatever_training_was_there_before_is_told_apart_in_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, document: Any
) -> None:
    file = tmp_path_factory.getbasetemp() / "train.json"
    config = TrainConfig(name="a", corpora=({"corpus": "synthetic"},))  # type: ignore[arg-type]

    def read() -> None:
        old = read_mapping(file)
        if old is not None:
            training_differences(as_read_now(TrainConfig, old), config.model_dump(mode="json"))

    check(Case(file, None, read), json.dumps(document))


RUN = {
    "corpus": "c", "strategy": "random", "seed": 0, "key": "k" * 64,
    "cost": [0.0, 4.0], "labels": [5, 9], "dev": {"accuracy": [0.5, 0.6]}, "test": {"accuracy": [0.5, 0.6]},
    "initial": [1, 2], "batches": [[3, 4]],
    "phases": {
        "names": ["a", "b"], "classes": 2, "ended": [1, 2], "test": {"accuracy": [[0.5, 0.4], [0.6, 0.7]]}
    },
    "analysis": {
        "classes": ["x", "y"],
        "calibration": {
            "temperature": 1.0,
            "before": {"rows": [3, 4], "confidence": [0.2, 0.8], "correct": [1, 4]},
            "after": {"rows": [3, 4], "confidence": [0.2, 0.8], "correct": [1, 4]},
        },
        "per-class": {
            "rows": [3, 4], "predicted": [4, 3], "correct": [1, 3],
            "groups": {"short": {"rows": 3, "correct": 1}},
        },
        "robustness": {
            "clean": {"rows": [3, 4], "predicted": [4, 3], "correct": [1, 3], "groups": {}, "changed": 0},
            "typos": {"rows": [3, 4], "predicted": [4, 3], "correct": [1, 3], "groups": {}, "changed": 1},
        },
    },
}  # fmt: skip


def read_everything(folder: Path) -> None:
    """Read what a run file says of phases and of its last model."""
    from react_rl.experiments.analysis.final_models import (
        FinalRun,
        calibration_table,
        class_table,
        robustness_table,
    )
    from react_rl.experiments.analysis.phases import phase_run

    run = ResultFolder(folder).read_run(RunId("c", "random", 0, "k" * 64))
    phase_run(run, "accuracy")
    kept = run.get("analysis") or {}
    found = [FinalRun("c", "random", 0, kept)]
    tables = {"calibration": calibration_table, "per-class": class_table, "robustness": robustness_table}
    for name, table in tables.items():
        if kept.get(name) is not None:
            table(found)


@settings(max_examples=2 * EXAMPLES)
@given(damaged(RUN))
def test_what_run_files_say_of_phases_and_last_models_is_right_or_refused(
    tmp_path_factory: pytest.TempPathFactory, document: Any
) -> None:
    folder = tmp_path_factory.getbasetemp() / "phases"
    (folder / "runs").mkdir(parents=True, exist_ok=True)
    file = folder / "runs" / RunId("c", "random", 0, "k" * 64).file
    check(Case(file, None, lambda: read_everything(folder)), json.dumps(document))


def test_a_whole_run_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / RunId("c", "random", 0, "k" * 64).file).write_text(json.dumps(RUN))
    read_everything(tmp_path)


@dataclass(frozen=True)
class Store:
    """A file that is made again where it is damaged.

    Args:
        file: The file.
        read: Reads it.
        checked: Whether one changed byte is noticed too.
    """

    file: Path
    read: Callable[[], object]
    checked: bool = True


def states_in(folder: Path) -> Store:
    rows, beside = torch.ones(2, 3, 4).half(), torch.ones(2, 0, 4).half()
    states = States(rows, torch.ones(2, 5), torch.ones(2, 3), torch.ones(2, 3), beside)
    states.save(folder / "s.safetensors")
    return Store(folder / "s.safetensors", lambda: States.load(folder / "s.safetensors"), checked=False)


def pieces_in(folder: Path) -> Store:
    states = np.ones((3, 4), np.float16)
    _write(folder / "a.npy", states)

    def read() -> bool:
        found = _mapped(folder / "a.npy", (3, 4))
        # Another blank in the header leaves the array what it is.
        return found is not None and not np.array_equal(found, states)

    return Store(folder / "a.npy", read)


def digest_in(folder: Path) -> Store:
    pieces_in(folder)
    return Store(folder / "a.sha256", lambda: _mapped(folder / "a.npy", (3, 4)) is not None)


def pretrained_in(folder: Path) -> Store:
    (folder / "made.json").write_text(json.dumps({"weights": "0" * 64}))
    return Store(folder / "made.json", lambda: _whole(folder))


STORES = {
    "states": states_in,
    "pieces": pieces_in,
    "digest": digest_in,
    "note": pretrained_in,
}


@pytest.mark.parametrize("name", STORES)
def test_a_damaged_file_of_a_store_counts_as_none(tmp_path: Path, name: str) -> None:
    store = STORES[name](tmp_path)
    whole = store.file.read_bytes()

    @settings(max_examples=EXAMPLES)
    @given(
        st.binary(max_size=20)
        | st.integers(0, len(whole) - 1).map(lambda n: whole[:n])
        | st.tuples(st.integers(0, len(whole) - 1), st.integers(1, 255)).map(
            lambda at: whole[: at[0]] + bytes([whole[at[0]] ^ at[1]]) + whole[at[0] + 1 :]
        )
    )
    def play(content: bytes) -> None:
        store.file.write_bytes(content)
        found = store.read()
        assert not found or (not store.checked and len(content) == len(whole))

    play()


EXPLAINED = Explanation(
    Facts(
        policy="p", identity="1", kind="scorer", corpora=("c",), seeds=2, first_seed=0, explained_seeds=2,
        situations=4,
        metric="accuracy", episode={"budget": 12.0}, linear_share=0.5, formula="weights:margin=1",
    ),
    *(pd.DataFrame({"corpus": ["c"], "value": [0.5]}) for _ in range(6)),
)  # fmt: skip


@pytest.mark.parametrize("name", ["explanation.json", "picks.csv"])
def test_an_explanation_that_was_changed_is_refused_in_a_sentence(tmp_path: Path, name: str) -> None:
    write_explanation(tmp_path, EXPLAINED)
    assert read_explanation(tmp_path).facts == EXPLAINED.facts
    whole = (tmp_path / name).read_text()

    @settings(max_examples=EXAMPLES)
    @given(LETTERS | st.integers(0, len(whole) - 1).map(lambda n: whole[:n]))
    def play(text: str) -> None:
        (tmp_path / name).write_text(text, encoding="utf-8")
        if text.strip() != whole.strip():
            with pytest.raises(ReActError) as caught:
                read_explanation(tmp_path)
            check_sentence(caught.value)

    play()


@settings(max_examples=2 * EXAMPLES)
@given(
    LETTERS,
    st.sampled_from(["corpus,seed,random\nc,0,0.5\n", "corpus,seed\n", "seed,corpus,a,a\n1,c,1,2\n", ""]),
)
def test_a_damaged_table_of_scores_is_refused_in_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, text: str, head: str
) -> None:
    out = tmp_path_factory.getbasetemp()
    file = out / "scores" / "batch-1.csv"
    file.parent.mkdir(exist_ok=True)
    check(Case(file, None, lambda: read_scores(out, "batch-1")), head + text)


def test_damaged_weights_of_a_policy_are_refused_in_a_sentence(tmp_path: Path) -> None:
    policy = small_policy(tmp_path / "policy")
    whole = (policy / "policy.safetensors").read_bytes()

    @settings(max_examples=EXAMPLES // 2)
    @given(st.binary(max_size=20) | st.integers(0, len(whole) - 1).map(lambda n: whole[:n]))
    def play(content: bytes) -> None:
        (policy / "policy.safetensors").write_bytes(content)
        with pytest.raises(ReActError) as caught:
            load_policy(policy)
        check_sentence(caught.value)

    play()


def test_a_document_of_thousands_of_digits_or_brackets_is_refused() -> None:
    for text in ("[" * 10**5, "9" * 5000, '{"a": "\\ud800"}'):
        with pytest.raises(ReActError, match="no valid JSON"):
            parse_json(text, "x", "fix it")


CELLS = [
    {"corpus": "a", "method": "lora", "labels": 50, "rate": 0.001, "accuracy": [0.5, 0.6]},
    {"corpus": "a", "method": "full", "labels": 50, "rate": None, "accuracy": [0.5, 0.6]},
]


@pytest.mark.parametrize("name", ["cells.jsonl", "cells.json", "outcome.json"])
def test_a_damaged_measurement_of_a_benchmark_is_refused_in_a_sentence(tmp_path: Path, name: str) -> None:
    file, outcome = tmp_path / name, {"status": "done", "seconds": 1.5, "runs": 3, "ids": [1, 2]}
    whole: Any = outcome if name == "outcome.json" else CELLS

    def read() -> None:
        if name == "outcome.json":
            found = parse_json(file.read_text(encoding="utf-8"), name, "measure again")
            outcome_of(found if isinstance(found, dict) else {}, file)
        else:
            read_rows(file, ("corpus", "method"), ("labels",), ("accuracy",))

    file.write_text(lines(whole) if name.endswith("l") else json.dumps(whole))
    read()

    @settings(max_examples=EXAMPLES)
    @given(damaged(whole) | VALUES)
    def play(document: Any) -> None:
        check(Case(file, None, read), lines(document) if name.endswith("l") else json.dumps(document))

    play()
