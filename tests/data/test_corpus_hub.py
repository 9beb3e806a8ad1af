"""The hub reader: label names, parts, folders, and a hub that is out of reach. Nothing is fetched."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from react_rl.data import DEV, SPLITS, TEST, TRAIN, load_corpus, load_hub
from react_rl.data import hub as hub_module
from react_rl.errors import ReActError

datasets: Any = pytest.importorskip("datasets")
huggingface_hub: Any = pytest.importorskip("huggingface_hub")


def part(n: int, prefix: str, names: list[str] | None = None, labels: list[Any] | None = None) -> Any:
    values = labels if labels is not None else [row % 3 for row in range(n)]
    label = datasets.ClassLabel(names=names) if names else datasets.Value("string")
    return datasets.Dataset.from_dict(
        {
            "text": [f"{prefix} {row}" for row in range(n)],
            "label": values if names else [str(v) for v in values],
        },
        features=datasets.Features({"text": datasets.Value("string"), "label": label}),
    )


NAMES = ["world", "sport", "business"]


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], list[tuple[Any, ...]]]:
    """Let ``load_dataset`` return a given dataset, and record how it was called."""

    def replace(result: Any) -> list[tuple[Any, ...]]:
        calls: list[tuple[Any, ...]] = []

        def load(*args: Any, **options: Any) -> Any:
            calls.append((*args, options))
            if isinstance(result, Exception):
                raise result
            return result

        monkeypatch.setattr(datasets, "load_dataset", load)
        monkeypatch.setattr(hub_module, "_reach", lambda name, revision: None)
        return calls

    return replace


def test_class_label_names_keep_their_order(loaded: Callable[[Any], Any]) -> None:
    calls = loaded(datasets.DatasetDict(train=part(30, "a", NAMES), test=part(9, "b", NAMES)))
    corpus = load_hub("owner/ag_news", config="small", revision="v2")
    assert corpus.label_names == ("world", "sport", "business")
    assert corpus.targets[:4].tolist() == [0, 1, 2, 0]
    assert (corpus.name, corpus.source) == ("ag_news-small", "hub:owner/ag_news@v2 (small)")
    assert [len(corpus.ids(split)) for split in SPLITS] == [23, 7, 9]
    assert calls == [("owner/ag_news", "small", {"revision": "v2"})]


def test_no_code_of_the_hub_is_trusted(loaded: Callable[[Any], Any]) -> None:
    calls = loaded(datasets.DatasetDict(train=part(30, "a", NAMES)))
    load_hub("owner/news")
    assert "trust_remote_code" not in calls[0][-1]


def test_hidden_test_labels_leave_the_part_out(loaded: Callable[[Any], Any]) -> None:
    loaded(
        datasets.DatasetDict(
            train=part(30, "a", NAMES), validation=part(9, "b", NAMES), test=part(9, "c", NAMES, [-1] * 9)
        )
    )
    corpus = load_hub("glue")
    assert corpus.n_rows == 39
    assert corpus.split[30:].tolist() == [DEV] * 9
    assert corpus.notes[0] == "test left out: it has no labels"
    assert len(corpus.ids("test")) > 0


def test_one_hidden_label_is_an_error(loaded: Callable[[Any], Any]) -> None:
    loaded(datasets.DatasetDict(train=part(6, "a", NAMES, [0, 1, -1, 2, 0, 1])))
    with pytest.raises(ReActError, match=r"1 of 6 rows have no label .* row 3 of glue \(train\)"):
        load_hub("glue")


def test_parts_can_be_named(loaded: Callable[[Any], Any]) -> None:
    loaded(
        datasets.DatasetDict(
            train=part(30, "a", NAMES), matched=part(9, "b", NAMES), other=part(9, "c", NAMES)
        )
    )
    corpus = load_hub("mnli", splits={"train": "train", "test": "matched"})
    assert corpus.split[30:].tolist() == [TEST] * 9
    assert corpus.notes[0] == "parts not used: other"


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        (
            {"train": "train", "dev": "validaton"},
            r"Unknown part of 'mnli' 'validaton'\. Did you mean 'validation_x'",
        ),
        ({"trian": "train"}, r"Unknown split 'trian'\. Did you mean 'train'"),
        ({"dev": "train"}, "no train rows"),
    ],
)
def test_unknown_parts_are_refused(
    loaded: Callable[[Any], Any], splits: dict[str, str], message: str
) -> None:
    loaded(datasets.DatasetDict(train=part(30, "a", NAMES), validation_x=part(9, "b", NAMES)))
    with pytest.raises(ReActError, match=message):
        load_hub("mnli", splits=splits)


def test_a_dataset_without_known_parts_says_what_it_has(loaded: Callable[[Any], Any]) -> None:
    loaded(datasets.DatasetDict(en=part(30, "a", NAMES), de=part(30, "b", NAMES)))
    with pytest.raises(ReActError, match="no part named after a split, only en, de"):
        load_hub("owner/many")


def test_a_missing_column_names_the_nearest(loaded: Callable[[Any], Any]) -> None:
    loaded(datasets.DatasetDict(train=part(30, "a", NAMES)))
    with pytest.raises(
        ReActError, match=r"no label column 'lable'\. Did you mean 'label'\? Columns: text, label"
    ):
        load_hub("owner/news", label="lable")


def test_an_error_of_the_library_becomes_one_sentence(loaded: Callable[[Any], Any]) -> None:
    loaded(ValueError("Config name is missing.\nPlease pick one:\n- a\n- b"))
    with pytest.raises(ReActError, match="'owner/news' cannot be loaded: Config name is missing") as caught:
        load_hub("owner/news")
    assert "\n" not in str(caught.value)


def test_a_saved_folder_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "saved news"
    datasets.DatasetDict(train=part(30, "a", NAMES), test=part(9, "b", NAMES)).save_to_disk(str(folder))
    corpus = load_corpus(str(folder))
    assert corpus.label_names == tuple(NAMES)
    assert (corpus.name, corpus.source) == ("saved news", "saved news")
    assert corpus.split[30:].tolist() == [TEST] * 9


def test_a_saved_single_part_is_split(tmp_path: Path) -> None:
    part(30, "a").save_to_disk(str(tmp_path / "single"))
    corpus = load_hub(tmp_path / "single")
    assert corpus.label_names == ("0", "1", "2")
    assert set(corpus.split.tolist()) == {TRAIN, DEV, TEST}


def test_a_damaged_saved_folder_is_refused(tmp_path: Path) -> None:
    part(30, "a").save_to_disk(str(tmp_path / "single"))
    (tmp_path / "single" / "state.json").write_text("{")
    with pytest.raises(ReActError, match="cannot be loaded"):
        load_corpus(tmp_path / "single")


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port at which nobody listens, and that nobody else can take."""
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        yield int(door.getsockname()[1])


def test_a_closed_hub_is_one_quick_sentence(closed_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = huggingface_hub.HfApi.dataset_info
    local = huggingface_hub.HfApi(endpoint=f"http://127.0.0.1:{closed_port}")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(
        huggingface_hub.HfApi, "dataset_info", lambda self, name, **options: seen(local, name, **options)
    )
    start = time.monotonic()
    with pytest.raises(ReActError, match="'owner/news' cannot be fetched, because the hub does not answer"):
        load_corpus("hub:owner/news")
    assert time.monotonic() - start < 5


def test_a_silent_hub_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = huggingface_hub.HfApi.dataset_info
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        door.listen(5)
        local = huggingface_hub.HfApi(endpoint=f"http://127.0.0.1:{door.getsockname()[1]}")
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(hub_module, "_REACH_SECONDS", 0.5)
        monkeypatch.setattr(
            huggingface_hub.HfApi, "dataset_info", lambda self, name, **options: seen(local, name, **options)
        )
        start = time.monotonic()
        with pytest.raises(ReActError, match=r"does not answer .*HF_HUB_OFFLINE=1"):
            load_hub("owner/news")
        assert time.monotonic() - start < 10


def test_a_name_that_cannot_be_one_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    with pytest.raises(ReActError, match="knows no dataset 'bad name!!'"):
        load_hub("bad name!!")


def test_offline_mode_does_not_ask_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*args: Any, **options: Any) -> None:
        raise AssertionError("the hub was asked")

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", never)
    monkeypatch.setattr(
        datasets, "load_dataset", lambda *args, **options: datasets.DatasetDict(train=part(30, "a", NAMES))
    )
    assert load_hub("owner/cached").n_rows == 30


def test_a_missing_library_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    with pytest.raises(ReActError, match=r"pip install 'react-rl\[hub\]'"):
        load_hub("owner/news")
