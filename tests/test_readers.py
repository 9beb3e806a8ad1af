"""Whatever is in a file that somebody hands over: every reader reads it, or says one sentence."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from react_rl.agents.folder import PolicyCard, build_policy, find_policies, load_policy, save_policy
from react_rl.agents.logs import TrainingLog
from react_rl.agents.scorer_folder import load_scorer
from react_rl.data import load_corpus
from react_rl.encoders.cache import ArrayCache
from react_rl.encoders.checkpoints import _shards
from react_rl.encoders.precomputed import read_embeddings
from react_rl.encoders.processor import _noted
from react_rl.envs.interfaces import make_interface
from react_rl.envs.observations import make_observation
from react_rl.errors import ReActError
from react_rl.experiments import CompareConfig, read_frames, read_results, run_comparison, summarise
from react_rl.experiments.analysis.diagnostics import read_run_files
from react_rl.experiments.config.models import ImitateConfig, TrainConfig, load_config
from react_rl.experiments.run.bought import export_bought
from react_rl.experiments.run.planning import check_same
from react_rl.experiments.run.results import ResultFolder
from react_rl.experiments.run.sameness import read_mapping
from react_rl.simulation.checkpoint import Checkpoint

EXAMPLES = 15

NAMES = (
    "compare", "train", "imitate", "plan", "run file", "circumstances", "plan of another study", "mapping",
    "policy card", "scorer card", "policies below a folder", "index of weights", "JSON corpus",
    "JSON-lines corpus", "tagged corpus", "notes on the processor",
)  # fmt: skip

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([0, -1, 1, 2**63, 10**40, -(10**400)])
    | st.floats()
    | st.text(max_size=4)
    | st.sampled_from(
        ["", "a:b", "mine:Own", "../x", "\x1b[31m", "=1+1", "\ud800", "1e999", "accuracy", "synthetic"]
    )
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths to everything in a document, the document itself first."""
    keys = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    return [path, *(found for key in keys for found in places(value[key], (*path, key)))]


@st.composite
def damaged(draw: st.DrawFn, document: Any) -> Any:
    """A document in which one to three values are others, or missing, or under another key."""
    broken = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 3))):
        *parents, last = draw(st.sampled_from(places(broken))) or (None,)
        if last is None:
            return draw(VALUES)
        inner = broken
        for key in parents:
            inner = inner[key]
        change = draw(st.sampled_from(["replace", "replace", "remove", "rename"]))
        if change == "replace":
            inner[last] = draw(VALUES)
        elif change == "remove":
            del inner[last]
        elif isinstance(inner, dict):
            inner[draw(st.text(max_size=4))] = inner.pop(last)
    return broken


@dataclass(frozen=True)
class Case:
    """A file, what is right in it, and who reads it."""

    file: Path
    document: Any
    read: Callable[[], object]
    dump: Callable[[Any], str] = json.dumps


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished comparison on the corpus that is made in code."""
    folder = tmp_path_factory.mktemp("comparison")
    np.save(folder / "vectors.npy", np.random.default_rng(0).normal(size=(100, 4)).astype(np.float32))
    config = {
        "name": "small",
        "corpora": [
            {"corpus": "synthetic", "max_rows": 100, "embeddings": str(folder / "vectors.npy")}
        ],
        "strategies": ["random"],
        "seeds": 1,
        "jobs": 1,
        "device": "cpu",
        "full": "never",
        "episode": {"pool_size": 30, "dev_size": 15, "initial_size": 5, "budget": 8, "batch_size": 4},
    }  # fmt: skip
    run_comparison(CompareConfig.model_validate(config), folder, draw=False).check()
    return folder / "small"


def small_policy(folder: Path) -> Path:
    """A policy with weights, as small as they come."""
    observation = make_observation("context", "accuracy")
    interface = make_interface("weigh-scores", observation)
    policy = build_policy("PPO", {"net_arch": [4]}, interface.observation_space, interface.action_space)
    card = PolicyCard(
        name="mine", algorithm="PPO", network={"net_arch": [4]}, observation=observation.describe(),
        action_space=interface.describe(), reward={}, episode={}, trained_on={}, validated_on={}, settings={},
        validation=[{"episodes": 1.0, "area": 0.5}], baselines={"random": 0.4}, chosen_at=1, versions={},
    )  # fmt: skip
    save_policy(folder, policy, card)
    return folder


def results_of(folder: Path) -> None:
    """All that reads a comparison's folder."""
    for read in (results_and_summary, read_frames, lambda f: read_run_files(ResultFolder(f)), export_bought):
        try:
            read(folder)
        except ReActError as error:
            check_sentence(error)


def results_and_summary(folder: Path) -> None:
    summarise(read_results(folder))


def check_sentence(error: ReActError) -> None:
    """An error is for a person: one line of words that any terminal can show."""
    sentence = str(error)
    assert sentence.strip()
    assert "\n" not in sentence
    assert len(sentence) < 2000


def check(case: Case, text: str) -> None:
    """Read the file with another content, and put the old one back."""
    before = case.file.read_bytes() if case.file.exists() else None
    try:
        case.file.write_text(text, encoding="utf-8", errors="surrogatepass")
        case.read()
    except ReActError as error:
        check_sentence(error)
    finally:
        if before is not None:
            case.file.write_bytes(before)


def yaml_text(value: Any) -> str:
    return yaml.dump(value, allow_unicode=True)


def lines(value: Any) -> str:
    return "\n".join(map(json.dumps, value if isinstance(value, list) else [value]))


@pytest.fixture(scope="module")
def cases(comparison: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Case]:
    """Every reader of JSON and YAML, by name."""
    here = tmp_path_factory.mktemp("readers")
    plan, run = comparison / "plan.json", next((comparison / "runs").iterdir())
    around = comparison / "circumstances" / run.name
    policy = small_policy(here / "policy")
    card = json.loads((policy / "card.json").read_text())
    scorer = card | {"algorithm": "imitation"}
    tags = here / "tags.jsonl"
    index = here / "model.safetensors.index.json"
    rows = [{"id": n, "text": f"text number {n}", "label": n % 2} for n in range(12)]
    sentences = [{"tokens": ["Ann", str(n)], "tags": ["B-PER", "O"]} for n in range(12)]
    common = {
        "name": "a",
        "corpora": [{"corpus": "synthetic"}],
        "episode": {"budget": 12.0, "label_noise": 0.1},
    }
    kinds: list[tuple[type[Any], dict[str, Any]]] = [
        (CompareConfig, {"strategies": ["random", "margin"], "learner": {"kind": "softmax"}}),
        (TrainConfig, {"agent": {"episodes": 8}}),
        (ImitateConfig, {}),
    ]
    found = {}
    for name, (kind, more) in zip(NAMES, kinds, strict=False):
        file = here / f"{name}.yaml"
        found[name] = Case(file, common | more, partial(load_config, kind, str(file)), yaml_text)
    return found | {
        "plan": Case(plan, json.loads(plan.read_text()), lambda: results_of(comparison)),
        "run file": Case(run, json.loads(run.read_text()), lambda: results_of(comparison)),
        "circumstances": Case(around, json.loads(around.read_text()), lambda: results_of(comparison)),
        "plan of another study": Case(plan, json.loads(plan.read_text()), lambda: same_study(comparison)),
        "mapping": Case(here / "training.json", {"a": 1}, lambda: read_mapping(here / "training.json")),
        "policy card": Case(policy / "card.json", card, lambda: load_policy(policy)),
        "scorer card": Case(policy / "card.json", scorer, lambda: load_scorer(policy)),
        "policies below a folder": Case(policy / "card.json", card, lambda: find_policies([here])),
        "index of weights": Case(index, {"weight_map": {"a": "b.safetensors"}}, lambda: _shards(index)),
        "JSON corpus": Case(here / "rows.json", rows, lambda: load_corpus(here / "rows.json")),
        "JSON-lines corpus": Case(here / "rows.jsonl", rows, lambda: load_corpus(here / "rows.jsonl"), lines),
        "tagged corpus": Case(tags, sentences, lambda: load_corpus(tags), lines),
        "notes on the processor": Case(here / "p.json", {"bf16": True}, lambda: _noted(here / "p.json")),
    }  # fmt: skip


def same_study(folder: Path) -> None:
    config = CompareConfig(name="small", corpora=({"corpus": "synthetic"},))  # type: ignore[arg-type]
    check_same(config, ResultFolder(folder))


@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_document_is_read_or_refused_in_a_sentence(cases: dict[str, Case], name: str) -> None:
    case = cases[name]

    @settings(max_examples=EXAMPLES)
    @given(damaged(case.document) | VALUES)
    def play(document: Any) -> None:
        check(case, case.dump(document))

    play()
    check(case, case.dump(case.document))


def test_every_reader_is_played(cases: dict[str, Case]) -> None:
    assert set(cases) == set(NAMES)


@pytest.mark.parametrize("name", ["x.csv", "x.tsv", "x.jsonl", "x.json", "x.conll", "x.yaml", "plan.json"])
def test_any_text_is_read_or_refused_in_a_sentence(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    pieces = st.sampled_from(
        ["text", "label", ",", "\t", "\n", '"', "{", "}", "[", "]", ": ", "a", "B-PER", "\x00", "\r"]
    )

    def read() -> object:
        if name == "plan.json":
            results_of(tmp_path)
            return None
        return load_config(CompareConfig, str(file)) if name == "x.yaml" else load_corpus(file)

    @settings(max_examples=EXAMPLES)
    @given(st.lists(pieces | st.text(max_size=3), max_size=40).map("".join))
    def play(text: str) -> None:
        check(Case(file, None, read), text)

    play()


@settings(max_examples=EXAMPLES // 3)  # the parser of the command line is slow
@given(
    key=st.sampled_from(["seeds", "episode.budget", "episode", "corpora", "strategies", "x", "learner.kind"]),
    value=VALUES,
)
def test_any_override_is_taken_or_refused_in_a_sentence(key: str, value: Any) -> None:
    text = value if isinstance(value, str) else json.dumps(value)
    try:
        load_config(CompareConfig, "baselines", [f"--{key}", text])
    except ReActError as error:
        check_sentence(error)


@pytest.mark.parametrize("name", ["x.npy", "x.safetensors", "x.parquet", "x.csv.gz"])
def test_any_bytes_are_read_or_refused_in_a_sentence(tmp_path: Path, name: str) -> None:
    import gzip

    import pandas as pd

    file = tmp_path / name
    frame = pd.DataFrame({"text": [f"text {n}" for n in range(12)], "label": ["a", "b"] * 6})
    if name == "x.npy":
        np.save(file, np.ones((12, 3), np.float32))
    elif name == "x.safetensors":
        safetensors.torch.save_file({"embeddings": torch.ones(12, 3)}, file)
    elif name == "x.parquet":
        pytest.importorskip("pyarrow")
        frame.to_parquet(file)
    else:
        file.write_bytes(gzip.compress(frame.to_csv(index=False).encode()))
    whole = file.read_bytes()

    def read() -> object:
        return (
            read_embeddings(file, 12, "x") if file.suffix in (".npy", ".safetensors") else load_corpus(file)
        )

    read()

    @settings(max_examples=EXAMPLES)
    @given(
        st.lists(st.tuples(st.integers(0, len(whole) - 1), st.integers(0, 255)), max_size=4),
        st.integers(0, len(whole)),
    )
    def play(changes: list[tuple[int, int]], length: int) -> None:
        content = bytearray(whole)
        for place, byte in changes:
            content[place] = byte
        file.write_bytes(content[: length if not changes else len(content)])
        try:
            read()
        except ReActError as error:
            check_sentence(error)

    play()


@settings(max_examples=EXAMPLES)
@given(header=damaged({"key": "k", "streams": [], "failures": [], "values": {"a": 1}}) | VALUES)
def test_the_header_of_a_checkpoint_is_good_or_as_good_as_none(
    tmp_path_factory: pytest.TempPathFactory, header: Any
) -> None:
    file = tmp_path_factory.getbasetemp() / "checkpoint.safetensors"
    checkpoint = Checkpoint(file, "k")
    if isinstance(header, dict) and "key" in header:
        header["key"] = checkpoint._full_key
    text = json.dumps(header).encode("utf-8", "replace").decode()
    safetensors.torch.save_file({"engine/a": torch.ones(1)}, file, {"state": text, "checksum": "0" * 64})
    assert checkpoint.values() is None


@pytest.mark.filterwarnings("ignore:.*:UserWarning")
@settings(max_examples=EXAMPLES)
@given(meta=damaged({"kind": "embeddings"}) | VALUES)
def test_a_damaged_entry_of_the_cache_is_listed_and_computed_again(
    tmp_path_factory: pytest.TempPathFactory, meta: Any
) -> None:
    folder = tmp_path_factory.getbasetemp() / "cache"
    folder.mkdir(exist_ok=True)
    cache, key = ArrayCache(folder), "ab" * 32
    text = json.dumps(meta).encode("utf-8", "replace").decode()
    safetensors.torch.save_file(
        {"a": torch.ones(1)}, folder / f"{key}.safetensors", {"meta": text, "checksum": "0"}
    )
    assert len(cache.entries()) == 1
    assert cache.get(key) is None


@settings(max_examples=EXAMPLES)
@given(st.lists(st.sampled_from(["a", "b", ",", "\n", '"', "\x00", "1", "=", "é"]), max_size=30).map("".join))
def test_a_damaged_log_does_not_stop_a_training(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    folder = tmp_path_factory.getbasetemp() / "logs"
    folder.mkdir(exist_ok=True)
    (folder / "progress.csv").write_text(text)
    log = TrainingLog(folder, {"rows": 2, "bytes": 0, "iterations": 1, "pending": {}})
    log.record("a", 1.0)
    log.dump(1)
    log.close()
