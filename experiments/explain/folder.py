"""An explanation on disk: a folder of CSV tables and one JSON file that says what they are about."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

import pandas as pd
from pydantic import BaseModel, ConfigDict

from react_rl.documents import read_json, read_text
from react_rl.errors import ReActError
from react_rl.escaping import from_csv
from react_rl.experiments.analysis.csv_files import csv_text
from react_rl.files import canonical_json, digest, write_atomically
from react_rl.validation import Name, validated

FACTS: Final = "explanation.json"
EXPLANATIONS: Final = "explanations"
"""Folder in a comparison's that holds the explanations of its policies."""

_DIGITS: Final = 6
_CHECKSUM: Final = "checksum"


class Facts(BaseModel):
    """What an explanation is about.

    Attributes:
        policy: Name of the policy.
        identity: Digest of its weights and card: another policy of the same name has another.
        kind: scorer, weights, candidates or choice.
        corpora: Names of the corpora that it was played on.
        seeds: Paired seeds of the areas, from ``first_seed``.
        first_seed: The first of them.
        explained_seeds: Further seeds whose choices are explained.
        situations: Choices that are explained.
        metric: Whose curves the areas are under.
        episode: Sizes and budget.
        linear_share: Share of the variance of a scorer's scores that its linear part explains.
        formula: The longest formula, as a strategy.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    policy: Name
    identity: str
    kind: str
    corpora: tuple[Name, ...]
    seeds: int
    first_seed: int
    explained_seeds: int
    situations: int
    metric: str
    episode: dict[str, Any]
    linear_share: float | None
    formula: str


@dataclass(frozen=True)
class Explanation:
    """What was found out about a policy.

    Args:
        facts: What it is about.
        decisions: Weights, or shares of choices, by corpus and cost.
        drivers: Effects of taking each number away, by corpus and phase.
        picks: Typical picks of each phase.
        formulas: Formulas of one term and more: how near they come and what they lose, over all corpora.
        fidelity: How near the longest formula comes, by corpus and phase.
        areas: Areas of policy, formulas and strategies beside them, by corpus.
    """

    facts: Facts
    decisions: pd.DataFrame
    drivers: pd.DataFrame
    picks: pd.DataFrame
    formulas: pd.DataFrame
    fidelity: pd.DataFrame
    areas: pd.DataFrame


_TABLES: Final = tuple(field.name for field in fields(Explanation) if field.name != "facts")


def write_explanation(folder: Path, explanation: Explanation) -> None:
    """Write the tables, and last the file of facts, so that a folder with one is whole.

    Raises:
        WriteError: A file cannot be written.
    """
    (folder / FACTS).unlink(missing_ok=True)
    texts = [csv_text(getattr(explanation, name).round(_DIGITS)) for name in _TABLES]
    for name, text in zip(_TABLES, texts, strict=True):
        write_atomically(folder / f"{name}.csv", text)
    facts = explanation.facts.model_dump(mode="json")
    written = {**facts, _CHECKSUM: _checksum(facts, texts)}
    write_atomically(folder / FACTS, canonical_json(written, indent=1) + "\n")


def read_explanation(folder: Path) -> Explanation:
    """Read an explanation.

    Raises:
        ReActError: There is none, or a file is damaged.
    """
    path, advice = folder / FACTS, "run `react-rl explain` again"
    if not path.is_file():
        raise ReActError(f"{folder} holds no explanation (no {FACTS}); {advice}.")
    written = read_json(path, advice)
    known = written.pop(_CHECKSUM, None) if isinstance(written, dict) else None
    facts = validated(Facts, written, str(path))
    texts = [read_text(folder / f"{name}.csv", str(folder / f"{name}.csv"), advice) for name in _TABLES]
    if known != _checksum(facts.model_dump(mode="json"), texts):
        raise ReActError(f"{path} and the tables beside it are not as they were written; {advice}.")
    tables = {}
    for name, text in zip(_TABLES, texts, strict=True):
        table = pd.read_csv(io.StringIO(text), keep_default_na=False, na_values=[""])
        for column in table.select_dtypes(exclude="number"):
            table[column] = [from_csv(cell) if isinstance(cell, str) else cell for cell in table[column]]
        tables[name] = table
    return Explanation(facts, **tables)


def refuse_other_policy(folder: Path, policy: str, identity: str) -> None:
    """Check that a folder holds no explanation of another policy; what cannot be read counts for nothing.

    Args:
        folder: Where an explanation is to be written.
        policy: Name of the policy.
        identity: Digest of its weights and card.

    Raises:
        ReActError: It does.
    """
    try:
        there = read_explanation(folder).facts
    except ReActError:
        return
    if there.identity != identity:
        called = "another policy that is" if there.policy == policy else f"{there.policy!r}, not of a policy"
        raise ReActError(
            f"{folder} holds the explanation of {called} called {policy!r}. Choose another folder with "
            "--output, or replace it with --overwrite."
        )


def _checksum(facts: Mapping[str, Any], texts: Sequence[str]) -> str:
    """What an explanation's files are known by: facts and tables belong together as they are."""
    return digest(canonical_json(facts), *texts)


def explanations_in(folder: Path) -> list[Path]:
    """Folders of the explanations beside a comparison, by name."""
    inside = folder / EXPLANATIONS
    return sorted(path.parent for path in inside.glob(f"*/{FACTS}")) if inside.is_dir() else []
