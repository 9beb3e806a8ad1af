"""Corpora on the Hugging Face hub, and folders that ``datasets`` saved or can read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from react_rl.data.corpus import SPLITS, Corpus
from react_rl.data.labels import is_missing
from react_rl.data.readers import corpus_from_tables, split_words
from react_rl.data.splits import DEFAULT_SHARES, Shares
from react_rl.data.stacked import ID_COLUMN
from react_rl.data.tables import Table
from react_rl.errors import ReActError, first_line, unknown

_REACH_SECONDS: Final = 5.0


def load_hub(
    name: str | Path,
    *,
    config: str | None = None,
    revision: str | None = None,
    text: str = "text",
    label: str = "label",
    splits: Mapping[str, str] | None = None,
    cost: str | None = None,
    confidence: str | None = None,
    id: str | None = None,
    max_rows: int | None = None,
    shares: Shares = DEFAULT_SHARES,
    seed: int = 0,
) -> Corpus:
    """Load a classification corpus through the ``datasets`` library. No code from the hub is ever run.

    A ``ClassLabel`` column keeps its names and their order. A part without labels, as hidden test sets have,
    is left out with a note.

    Args:
        name: Name on the hub (``owner/name``), a folder written by ``save_to_disk``, or a folder of data
            files. An existing folder goes before the hub.
        config: Configuration of the dataset, if it has several.
        revision: Branch, tag or commit on the hub.
        text: Column of the texts.
        label: Column of the labels.
        splits: Which part of the dataset is which split, such as ``{"dev": "validation_matched"}``. None
            takes those that are named after a split.
        cost: Column of the costs, in cost units.
        confidence: Column of the annotators' agreement.
        id: Column of the rows' ids; None takes a column called ``id`` where there is one.
        max_rows: Keep this many rows.
        shares: Shares of train, dev and test, for splits that the dataset lacks.
        seed: Decides splits and kept rows.

    Raises:
        ReActError: If ``datasets`` is not installed, the hub cannot be reached, or the data are wrong.
    """
    path = Path(name)
    where = path.resolve().name if path.is_dir() else str(name)
    parts = _load(str(name), path if path.is_dir() else None, config, revision)
    chosen = _chosen(where, parts, splits)
    named = (text, label, cost, confidence, id or ID_COLUMN)
    wanted = {column for column in named if column is not None}
    notes = []
    tables: list[tuple[int | None, Table]] = []
    label_names: list[str] | None = None
    for code, word in sorted(chosen.items()):
        part = parts[word]
        table = _table(f"{where} ({word})", part, wanted)
        names = getattr(part.features.get(label), "names", None)
        if names is not None and label in table.columns:
            label_names = list(names)
            table.columns[label][:] = [
                None if is_missing(value) or value < 0 else label_names[value]
                for value in table.columns[label]
            ]
        labels = table.columns.get(label)
        if labels is not None and all(is_missing(value) for value in labels):
            notes.append(f"{SPLITS[code]} left out: it has no labels")
            continue
        tables.append((code, table))
    left = sorted(set(parts) - set(chosen.values()))
    if left:
        notes.append(f"parts not used: {', '.join(left)}")
    if not tables:
        raise ReActError(f"No part of {where!r} has labels in column {label!r}.")
    suffix = f" ({config})" if config else ""
    return corpus_from_tables(
        tables,
        name=where.rsplit("/", 1)[-1] + (f"-{config}" if config else ""),
        source=(where if path.is_dir() else f"hub:{where}{f'@{revision}' if revision else ''}") + suffix,
        text=text,
        label=label,
        cost=cost,
        confidence=confidence,
        id=id,
        max_rows=max_rows,
        shares=shares,
        seed=seed,
        label_names=label_names,
        notes=notes,
    )


def is_saved_dataset(folder: Path) -> bool:
    """Return whether ``save_to_disk`` of the ``datasets`` library wrote ``folder``."""
    return (folder / "dataset_dict.json").is_file() or (folder / "state.json").is_file()


def _load(name: str, folder: Path | None, config: str | None, revision: str | None) -> dict[str, Any]:
    """Return the parts of a dataset by name: a mapping to ``datasets.Dataset``."""
    try:
        import datasets
    except ImportError:
        raise ReActError(
            f"Loading {name!r} needs the datasets library, which is not installed;"
            " run: pip install 'react-rl[hub]'."
        ) from None
    if folder is None:
        _reach(name, revision)
    # The library raises its own, the file system's, the network's and the parsers' errors alike.
    try:
        if folder is not None and is_saved_dataset(folder):
            loaded = datasets.load_from_disk(str(folder))
        else:
            loaded = datasets.load_dataset(name if folder is None else str(folder), config, revision=revision)
    except Exception as error:
        raise ReActError(f"The dataset {name!r} cannot be loaded: {first_line(error)}.") from error
    return dict(loaded) if isinstance(loaded, Mapping) else {"train": loaded}


def _reach(name: str, revision: str | None) -> None:
    """Ask the hub once whether it knows ``name``, because ``load_dataset`` tries for minutes.

    Raises:
        ReActError: If the hub does not answer in a few seconds or does not know the name.
    """
    import huggingface_hub
    from huggingface_hub import errors

    if huggingface_hub.constants.HF_HUB_OFFLINE:
        return
    try:
        huggingface_hub.HfApi().dataset_info(name, revision=revision, timeout=_REACH_SECONDS)
    except errors.GatedRepoError:
        raise ReActError(
            f"The dataset {name!r} is gated: accept its terms on the hub and log in with 'hf auth login'."
        ) from None
    except errors.RevisionNotFoundError:
        raise ReActError(f"The dataset {name!r} has no revision {revision!r} on the hub.") from None
    except (errors.RepositoryNotFoundError, errors.HFValidationError):
        raise ReActError(
            f"The hub knows no dataset {name!r}, or it is private; check the name (owner/name) or log in."
        ) from None
    # Which error means no connection depends on the version of the library and its transport.
    except Exception as error:
        raise ReActError(
            f"The dataset {name!r} cannot be fetched, because the hub does not answer"
            f" ({type(error).__name__}); check the connection, name a local file or folder, or set"
            " HF_HUB_OFFLINE=1 to use what was downloaded before."
        ) from error


def _chosen(where: str, parts: Mapping[str, Any], splits: Mapping[str, str] | None) -> dict[int, str]:
    if splits is None:
        found = split_words(parts)
        if not found:
            raise ReActError(
                f"{where!r} has no part named after a split, only {', '.join(parts)};"
                " name them with splits={'train': ...}."
            )
        return found
    chosen = {}
    for split, word in splits.items():
        if split not in SPLITS:
            raise unknown("split", split, SPLITS)
        if word not in parts:
            raise unknown(f"part of {where!r}", word, parts)
        chosen[SPLITS.index(split)] = word
    return chosen


def _table(where: str, part: Any, wanted: set[str]) -> Table:
    names = tuple(str(column) for column in part.column_names)
    columns = {column: list(part[column]) for column in names if column in wanted}
    return Table(where, names, columns, len(part))
