"""Bad input of every kind through the command: one sentence on stderr, status 2, nothing written or lost."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest

from react_rl.encoders.transformer import TextEncoder
from react_rl.errors import ReActError
from react_rl.experiments import CorpusConfig, run_comparison
from react_rl.experiments.cli import main
from react_rl.simulation import EncodedCorpus, synthetic_encoded
from react_rl.simulation.corpora import load

Build = Callable[..., Path]
Shown = pytest.CaptureFixture[str]


@pytest.fixture
def refusal(tmp_path: Path, capsys: Shown) -> Callable[..., str]:
    """Runs a command that must be refused, and returns its one sentence."""

    def run(*arguments: str) -> str:
        before = {path: path.lstat().st_mtime_ns for path in tmp_path.rglob("*")}
        assert main(list(arguments)) == 2
        shown = capsys.readouterr()
        # What is found while encoding comes after the table of the corpora.
        *_, last = shown.err.strip().splitlines()
        assert shown.err.count("react-rl: ") == 1, shown.err
        assert last.startswith("react-rl: ")
        assert shown.out == ""
        assert {path: path.lstat().st_mtime_ns for path in tmp_path.rglob("*")} == before
        return last

    return run


def rows(n: int, text: str = "text number {i}", label: str = "{c}") -> str:
    return "".join(f"{text.format(i=i)},{label.format(c='ab'[i % 2])}\n" for i in range(n))


@pytest.mark.usefixtures("no_encoder")
@pytest.mark.parametrize(
    ("content", "keys", "sentence"),
    [
        ("text,label\n" + rows(60), {"text": "txt"}, "no text column 'txt'. Did you mean 'text'?"),
        ("text,label\n" + rows(60), {"label": "lable"}, "no label column 'lable'. Did you mean 'label'?"),
        (
            "text|label\n" + rows(60).replace(",", "|"),
            {},
            "has one column, 'text|label', and 'text' is a part of its name; say what separates the columns",
        ),
        ("text,label\n" + rows(60), {"splits": "part"}, "no splits column 'part'"),
        ("text,label\n" + rows(60), {"cost": "column:minutes"}, "no cost column 'minutes'"),
        ("text,label\n" + rows(60), {"cost": "wrods"}, "Did you mean 'words'?"),
        ("text,label\n" + rows(60, label="same"), {}, "one class only ('same'); at least two"),
        ("text,label\n" + rows(60) + "more,\n", {}, "1 of 61 rows have no label"),
        ("text,label\n" + rows(60) + "  ,a\n", {}, "1 of 61 rows have an empty text"),
        ("text,label\n" + rows(2), {}, "too few"),
        ("text,label\n" + rows(9), {}, "pool_size 40 is larger than the"),
        ("", {}, "is empty"),
        ("text,label\na,b,c\n", {}, "3 fields under a header of 2"),
    ],
)
def test_a_bad_file(
    config_file: Build,
    refusal: Callable[..., str],
    tmp_path: Path,
    content: str,
    keys: dict[str, str],
    sentence: str,
) -> None:
    (tmp_path / "mine.csv").write_text(content)
    config = config_file(corpora=[{"corpus": str(tmp_path / "mine.csv")} | keys])
    assert sentence in refusal("compare", str(config))


@pytest.mark.usefixtures("no_encoder")
@pytest.mark.parametrize(
    ("corpus", "sentence"),
    [
        ({"corpus": "bbc_new"}, "Unknown corpus 'bbc_new'. Did you mean 'bbc_news'?"),
        ({"corpus": "revews.csv"}, "There is no file or folder 'revews.csv'. Did you mean 'reviews.csv'?"),
        ({"corpus": "hub:"}, "lacks the name of the dataset"),
        ({"corpus": "hub:a/b", "splits": "part"}, "leave 'splits' out"),
        ({"corpus": "synthetic", "cost": "column:price"}, "has no column 'price'"),
        ({"corpus": "."}, "has no train file"),
    ],
)
def test_a_corpus_that_is_not_there(
    config_file: Build, refusal: Callable[..., str], reviews: Path, corpus: dict[str, str], sentence: str
) -> None:
    assert sentence in refusal("compare", str(config_file(corpora=[corpus])))
    assert sentence in refusal("compare", str(config_file(corpora=[{"corpus": str(reviews)}, corpus])))


@pytest.mark.usefixtures("no_encoder")
def test_two_corpora_of_one_name(config_file: Build, refusal: Callable[..., str]) -> None:
    twice = config_file(corpora=[{"corpus": "synthetic"}, {"corpus": "synthetic"}])
    assert "Two corpora are called 'synthetic'; give one of them another 'name'" in refusal(
        "compare", str(twice)
    )


@pytest.mark.usefixtures("no_encoder")
@pytest.mark.parametrize(
    ("episode", "sentence"),
    [
        ({"budget": 36}, "budget 36 is larger than the cost of the whole pool"),
        ({"pool_size": 4000}, "pool_size 4000 is larger than the 360 train rows"),
        ({"dev_size": 4000}, "dev_size 4000 is larger than the 120 dev rows"),
        (
            {"pool_size": 400, "dev_size": 300},
            "pool_size 400 is larger than the 360 train rows of corpus 'synthetic', and dev_size 300 than "
            "the 120 dev rows; use at most 360 and 120.",
        ),
        ({"batch_size": 36}, "batch_size 36 is larger than the 35 unlabelled rows"),
        ({"initial_size": 40}, "initial_size 40 leaves nothing to query in a pool of 40"),
        ({"classes": [2, 9]}, "A subset of 9 classes is asked of corpus"),
        ({"classes": [3, 2]}, "classes (3, 2) must be two numbers"),
    ],
)
@pytest.mark.parametrize("command", ["compare", "train"])
def test_episodes_that_do_not_fit(
    config_file: Build,
    train_file: Build,
    refusal: Callable[..., str],
    episode: dict[str, Any],
    sentence: str,
    command: str,
) -> None:
    small = {"pool_size": 40, "dev_size": 20, "initial_size": 5, "budget": 12, "batch_size": 4}
    config = (config_file if command == "compare" else train_file)(episode=small | episode)
    assert sentence in refusal(command, str(config))


def test_embeddings_that_are_no_numbers() -> None:
    corpus = synthetic_encoded(100, 2).corpus
    for value in (np.nan, np.inf):
        vectors = np.ones((corpus.n_rows, 4), dtype=np.float32)
        vectors[17, 2] = value
        with pytest.raises(ReActError, match=r"embedding of row 17 of corpus 'synthetic' is not finite"):
            EncodedCorpus.build(corpus, vectors)


def test_an_encoder_that_gives_no_numbers(
    config_file: Build,
    refusal: Callable[..., str],
    reviews: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cache = tmp_path_factory.mktemp("own")
    monkeypatch.setenv("REACT_RL_CACHE", str(cache))
    monkeypatch.setattr(TextEncoder, "fingerprint", lambda _: {"weights": "broken"})
    monkeypatch.setattr(
        TextEncoder, "encode", lambda _, texts, *__: np.full((len(texts), 8), np.nan, np.float32)
    )
    config = config_file(corpora=[{"corpus": str(reviews)}])
    assert "embeddings of 150 rows of corpus 'reviews' are not finite" in refusal("compare", str(config))
    assert list(cache.iterdir()) == [], "what is broken is not kept either"


def test_a_damaged_cache_entry_is_told_and_computed_again(
    config_file: Build,
    reviews: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    run_files: Callable[[Path], dict[str, bytes]],
    capsys: Shown,
) -> None:
    cache = tmp_path_factory.mktemp("own")
    monkeypatch.setenv("REACT_RL_CACHE", str(cache))
    monkeypatch.setattr(TextEncoder, "fingerprint", lambda _: {"weights": "made up"})
    encoded = []

    def encode(_: TextEncoder, texts: Any, *__: Any) -> Any:
        encoded.append(len(texts))
        return np.random.default_rng(0).standard_normal((len(texts), 8)).astype(np.float32)

    monkeypatch.setattr(TextEncoder, "encode", encode)
    config = str(config_file(corpora=[{"corpus": str(reviews)}]))
    assert main(["compare", config, "--results", "one"]) == 0
    assert main(["compare", config, "--results", "two"]) == 0
    assert encoded == [150], "the second time it comes from the cache"
    (entry,) = cache.glob("*.safetensors")
    damaged = bytearray(entry.read_bytes())
    damaged[-5] ^= 1
    entry.write_bytes(damaged)
    capsys.readouterr()
    assert main(["compare", config, "--results", "three"]) == 0
    assert re.search(
        "Warning: .* is damaged .*; it was removed and is computed again", capsys.readouterr().err
    )
    assert encoded == [150, 150]
    runs = [run_files(Path(name) / "small") for name in ("one", "two", "three")]
    assert len(runs[0]) == 4
    assert runs[0] == runs[1] == runs[2]


def unreachable(*_: Any, **__: Any) -> Any:
    raise ConnectionError("no route to host")


def test_a_hub_encoder_that_cannot_be_reached(
    config_file: Build, refusal: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def snapshot(name: str, local_files_only: bool = False, **_: Any) -> str:
        raise FileNotFoundError(name) if local_files_only else ConnectionError("no route to host")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    config = config_file(encoder={"model": "someone/some-encoder"})
    said = refusal("compare", str(config))
    assert "'someone/some-encoder' is no local folder and the Hugging Face hub cannot be reached" in said


@pytest.mark.usefixtures("no_encoder")
def test_a_model_for_paraphrases_that_is_not_there_is_told_by_its_key_before_anything_is_encoded(
    config_file: Build, refusal: Callable[..., str], tmp_path: Path
) -> None:
    empty = tmp_path / "no-model"
    empty.mkdir()
    config = config_file(analysis=["robustness"], robustness={"paraphrase": str(empty)})
    assert refusal("compare", str(config)).startswith("react-rl: robustness.paraphrase: ")


@pytest.mark.usefixtures("no_encoder")
def test_a_hub_corpus_that_cannot_be_reached(
    config_file: Build, refusal: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("datasets")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", unreachable)
    config = config_file(corpora=[{"corpus": "hub:someone/some-data"}])
    assert "'someone/some-data' cannot be fetched, because the hub does not answer" in refusal(
        "compare", str(config)
    )


@pytest.mark.usefixtures("no_encoder")
@pytest.mark.parametrize(
    ("device", "sentence"), [("gpu", "Did you mean 'cpu'?"), ("cuda:99", "is not here"), ("meta", "Known")]
)
def test_a_device_that_is_not_there(
    config_file: Build, refusal: Callable[..., str], device: str, sentence: str
) -> None:
    assert sentence in refusal("compare", str(config_file(device=device)))


@pytest.mark.usefixtures("made_corpora")
def test_a_damaged_policy_is_refused_and_no_run_is_lost(
    train_file: Build, config_file: Build, refusal: Callable[..., str], capsys: Shown
) -> None:
    assert main(["train", str(train_file(name="mine"))]) == 0
    config = str(config_file(strategies=["random", "results/mine/policy"]))
    assert main(["compare", config]) == 0
    capsys.readouterr()
    policy = Path("results/mine/policy")
    whole = (policy / "policy.safetensors").read_bytes()
    (policy / "policy.safetensors").write_bytes(whole[:100])
    assert "The weights of policy results/mine/policy cannot be read" in refusal("compare", config)
    (policy / "policy.safetensors").write_bytes(whole)
    card = (policy / "card.json").read_text()
    (policy / "card.json").write_text(card[:-20])
    assert "card.json is no valid JSON" in refusal("compare", config)
    (policy / "card.json").write_text(card.replace('"format": 1', '"format": 2'))
    assert "has format 2; this version reads format 1" in refusal("compare", config)
    (policy / "card.json").write_text(card)
    assert main(["compare", config]) == 0
    assert "0 runs played, 4 kept" in capsys.readouterr().out
    shutil.rmtree(policy)
    assert "results/mine/policy is no policy folder" in refusal("compare", config)


def test_a_corpus_without_test_rows(
    comparison: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded = synthetic_encoded(200, 3)
    split = np.where(encoded.corpus.split == 2, 0, encoded.corpus.split).astype(np.uint8)
    untested = encoded.with_corpus(replace(encoded.corpus, split=split))
    monkeypatch.setattr("react_rl.experiments.run.compare.prepare", lambda *_, **__: [untested])
    with pytest.raises(ReActError, match="has no test rows; a comparison reports on them"):
        run_comparison(comparison(), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_config_that_is_no_readable_file_says_what_it_is(
    refusal: Callable[..., str], tmp_path: Path
) -> None:
    loop, folder, wide = tmp_path / "loop.yaml", tmp_path / "folder.yaml", tmp_path / "wide.yaml"
    loop.symlink_to(loop)
    folder.mkdir()
    wide.write_bytes("name: wide".encode("utf-16"))
    for path, what in ((loop, "leads back to itself"), (folder, "is a folder"), (wide, "it is UTF-16")):
        assert what in refusal("compare", str(path))


def test_encoding_and_separator_belong_to_files(tmp_path: Path) -> None:
    lines = "".join(f"café {i}|{'ab'[i % 2]}\n" for i in range(60))
    (tmp_path / "x.csv").write_bytes(("text|label\n" + lines).encode("cp1252"))
    values = {"corpus": str(tmp_path / "x.csv"), "encoding": "cp1252", "separator": "|"}
    assert load(CorpusConfig.model_validate(values)).texts[2] == "café 2"
    with pytest.raises(ReActError, match="'synthetic' is no file of columns, so 'encoding' has no meaning"):
        load(CorpusConfig(corpus="synthetic", encoding="cp1252"))


@pytest.mark.usefixtures("no_encoder")
@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({}, "is of tagging, which the learner (softmax regression on frozen embeddings) does not learn"),
        ({"learner": {"kind": "tagger"}, "strategies": ["random", "learned"]}, "'learned'"),
        ({"learner": {"kind": "tagger"}, "strategies": ["random", "badge"]}, "'badge' needs"),
    ],
)
def test_what_does_not_fit_the_task_is_refused_before_anything_is_encoded(
    config_file: Build, refusal: Callable[..., str], changes: dict[str, Any], sentence: str
) -> None:
    path = config_file(corpora=[{"corpus": "synthetic_sentences"}], metrics=None, **changes)
    assert sentence in refusal("compare", str(path))
