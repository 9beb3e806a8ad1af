"""How a published claim is judged: comparisons of a claim, the rule, and the numbers behind a verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Final, Literal

import numpy as np

from react_rl.errors import ReActError
from react_rl.experiments.studies.gaps import ALPHA
from react_rl.experiments.studies.scores import Floats, ScoreTable
from react_rl.metrics.significance import holm, wilcoxon_signed_rank
from react_rl.metrics.statistics import paired_difference

HOLDS: Final = "holds"
FAILS: Final = "does not hold"
OPEN: Final = "undecided"

LEVEL: Final = 0.005
"""A strategy is "at or below" another if the interval of its difference ends below this: half a point of
accuracy, averaged over the curve."""


RULE: Final = f"""\
**Rule.** A number is read off each run, averaged over the corpora of a comparison, and compared seed by seed:
mean difference with its 95 % bootstrap interval, Wilcoxon signed-rank test, Holm's correction over the lines
of a claim.

- "A above B" *holds* if p < {ALPHA:g} and the interval is above 0, *does not hold* if p < {ALPHA:g} and it
  is below 0, and is *undecided* otherwise.
- "A at or below B" *does not hold* if p < {ALPHA:g} and the interval is above 0, *holds* if not and the
  interval ends below {LEVEL:g}, and is *undecided* otherwise.
- A claim holds if all its lines hold, does not hold if one of them does not, and is undecided otherwise.
  Lines marked "detail" do not decide, and have no part in the correction.

"Corpora" counts those whose own interval (uncorrected) is above, across and below 0. "Three seeds" is how
often the sign on a single corpus is another one with three of the seeds than with all of them, over all
triples, averaged over the corpora."""


@dataclass(frozen=True)
class Comparison:
    """One comparison of a claim.

    Args:
        left: Strategies whose mean score is compared; several are averaged run by run.
        right: What with.
        measure: Name of the table of scores.
        says: What the claim says of left and right.
        corpus: One corpus, or None for the mean over all of the table.
        control: A table in which the same difference is taken off, or None.
        detail: Listed, but no part of the verdict.
    """

    left: tuple[str, ...]
    right: str
    measure: str
    says: Literal["above", "at or below"] = "above"
    corpus: str | None = None
    control: str | None = None
    detail: bool = False


@dataclass(frozen=True)
class Claim:
    """What a paper says, and the comparisons that test it here."""

    source: str
    statement: str
    setting: str
    lines: tuple[Comparison, ...]


@dataclass(frozen=True)
class Finding:
    """Numbers and verdict of one line.

    Args:
        line: The comparison.
        estimate: Mean difference over seeds (and corpora).
        low: Lower end of its 95 % interval.
        high: Upper end.
        p: Wilcoxon p-value, corrected by Holm over the deciding lines of the claim; uncorrected for details.
        seeds: Paired seeds.
        above: Corpora whose own interval is above 0.
        across: Corpora whose own interval holds 0.
        below: Corpora whose own interval is below 0.
        three_seeds: Share of triples of seeds whose mean on a corpus has the other sign, mean over corpora.
        verdict: ``holds``, ``does not hold`` or ``undecided``.
    """

    line: Comparison
    estimate: float
    low: float
    high: float
    p: float
    seeds: int
    above: int
    across: int
    below: int
    three_seeds: float
    verdict: str


def differences(line: Comparison, tables: Mapping[str, ScoreTable]) -> Floats:
    """``(S, T)`` differences that a line is about: seeds by corpora (one column for a single corpus).

    Raises:
        ReActError: The control has other corpora or seeds.
    """
    found = _difference(line, tables[line.measure])
    if line.control is None:
        return found
    table, control = tables[line.measure], tables[line.control]
    if (table.corpora, table.seeds) != (control.corpora, control.seeds):
        raise ReActError(
            f"{line.measure} and {line.control} have other corpora or seeds; run both to their end."
        )
    return found - _difference(line, control)


def _difference(line: Comparison, table: ScoreTable) -> Floats:
    corpora = table.corpora if line.corpus is None else (line.corpus,)
    return np.column_stack(
        [np.mean([table.of(s, c) for s in line.left], axis=0) - table.of(line.right, c) for c in corpora]
    )


def other_sign(values: Floats) -> float:
    """Share of all triples of seeds whose mean has another sign than the mean of ``values`` (S,)."""
    if values.size <= 3:
        return float("nan")
    triples = np.array(list(combinations(range(values.size), 3)))
    return float((np.sign(values[triples].mean(axis=1)) != np.sign(values.mean())).mean())


def verdict(says: str, low: float, high: float, p: float) -> str:
    """The rule for one line; see ``RULE``."""
    if says == "above":
        if p < ALPHA and low > 0:
            return HOLDS
        return FAILS if p < ALPHA and high < 0 else OPEN
    if p < ALPHA and low > 0:
        return FAILS
    return HOLDS if high < LEVEL else OPEN


def judge(claim: Claim, tables: Mapping[str, ScoreTable]) -> tuple[str, list[Finding]]:
    """Verdict of a claim and the findings on its lines."""
    values = [differences(line, tables) for line in claim.lines]
    tests = [wilcoxon_signed_rank(v.mean(axis=1), np.zeros(len(v))).p_value for v in values]
    decide = [i for i, line in enumerate(claim.lines) if not line.detail]
    for i, corrected in zip(decide, holm([tests[i] for i in decide]), strict=True):
        tests[i] = float(corrected)
    findings = [_finding(line, v, p) for line, v, p in zip(claim.lines, values, tests, strict=True)]
    verdicts = [findings[i].verdict for i in decide]
    whole = FAILS if FAILS in verdicts else HOLDS if set(verdicts) == {HOLDS} else OPEN
    return whole, findings


def _finding(line: Comparison, values: Floats, p: float) -> Finding:
    seeds = len(values)
    mean = values.mean(axis=1)
    whole = paired_difference(mean, np.zeros(seeds), np.random.default_rng(0))
    each = paired_difference(values, np.zeros_like(values), np.random.default_rng(0))
    above, below = int((each.low > 0).sum()), int((each.high < 0).sum())
    low, high = float(whole.low), float(whole.high)
    return Finding(
        line, float(whole.estimate), low, high, p, seeds,
        above, values.shape[1] - above - below, below,
        float(np.mean([other_sign(column) for column in values.T])),
        verdict(line.says, low, high, p),
    )  # fmt: skip
