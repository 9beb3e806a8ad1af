"""Paired differences over seeds and corpora: mean, 95 % t-interval, pairs won, corpora ahead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from react_rl.errors import ReActError
from react_rl.experiments.analysis.summary import TIE
from react_rl.experiments.studies.scores import Floats, ScoreTable
from react_rl.metrics.distributions import student_t_critical

ALPHA: Final = 0.05
"""Level of the studies' tests and intervals."""


def half_interval(values: npt.ArrayLike) -> Floats:
    """Half of the 95 % t-interval of means ``(...)`` over seeds, of what each seed gave ``(S, ...)``.

    Raises:
        ReActError: There is only one seed.
    """
    found = np.asarray(values, np.float64)
    seeds = len(found)
    if seeds < 2:
        raise ReActError(f"An interval needs at least 2 seeds; here there are {seeds}.")
    critical = student_t_critical(ALPHA, seeds - 1)
    return np.asarray(critical * found.std(0, ddof=1) / np.sqrt(seeds))


@dataclass(frozen=True)
class Gap:
    """What one thing has over another on the same seeds.

    Args:
        mean: Mean difference over seeds and corpora.
        half: Half of its 95 % t-interval over seeds.
        won: Share of pairs (one seed on one corpus) that the first wins; ties (``TIE``) count half.
        corpora: Corpora in the mean.
        ahead: Of these, where the mean difference is above 0.
        surely_ahead: Where the interval of the corpus is above 0.
        surely_behind: Where it is below 0.
    """

    mean: float
    half: float
    won: float
    corpora: int
    ahead: int
    surely_ahead: int
    surely_behind: int

    @classmethod
    def of(cls, gaps: npt.ArrayLike) -> Gap:
        """Read off differences ``(S, T)``, seeds by corpora.

        Raises:
            ReActError: There is only one seed.
        """
        each = np.asarray(gaps, np.float64)
        mean, half = each.mean(0), half_interval(each)
        return cls(
            mean=float(each.mean()),
            half=float(half_interval(each.mean(1))),
            won=float(((each > TIE) + 0.5 * (np.abs(each) <= TIE)).mean()),
            corpora=each.shape[1],
            ahead=int((mean > 0).sum()),
            surely_ahead=int((mean - half > 0).sum()),
            surely_behind=int((mean + half < 0).sum()),
        )

    @classmethod
    def paired(cls, one: pd.Series[float], other: pd.Series[float]) -> Gap:
        """Read off scores on the corpora that both have and on the seeds that are whole on these.

        Args:
            one: Scores with ``corpus`` and ``seed`` in the index.
            other: Likewise, of what it is compared with.

        Raises:
            ReActError: There is only one such seed.
        """
        return cls.of((one - other).dropna().unstack("corpus").dropna())

    @property
    def low(self) -> float:
        """Lower end of the interval."""
        return self.mean - self.half

    @property
    def high(self) -> float:
        """Upper end of the interval."""
        return self.mean + self.half

    @property
    def star(self) -> str:
        """A star where the interval excludes 0."""
        return "*" if abs(self.mean) > self.half else ""

    @property
    def plain(self) -> str:
        """The difference with its interval."""
        return f"{self.mean:+.4f} [{self.low:+.4f}, {self.high:+.4f}]"

    @property
    def cells(self) -> str:
        """What a table over all corpora says of it: difference, pairs won, corpora ahead, and surely so."""
        return (
            f"{self.plain} | {self.won:.3f} | {self.ahead} of {self.corpora} "
            f"| {self.surely_ahead}, {self.surely_behind}"
        )

    @property
    def brief(self) -> str:
        """What one cell says of it: difference, pairs won, corpora on which it is surely ahead and behind."""
        return f"{self.plain}, {self.won:.2f}; {self.surely_ahead}, {self.surely_behind}"

    @property
    def short(self) -> str:
        """The difference x 1,000, * where the interval excludes 0."""
        return f"{1000 * self.mean:+.1f}{self.star}"

    @property
    def long(self) -> str:
        """The difference x 1,000 with its interval, * where that excludes 0."""
        return f"{1000 * self.mean:+.1f} [{1000 * self.low:+.1f}, {1000 * self.high:+.1f}]{self.star}"


def gap(table: ScoreTable, strategy: str, rival: str, corpora: Sequence[str] | None = None) -> Gap:
    """Compare two strategies of a table on some corpora; None takes all.

    Raises:
        ReActError: One of them was not compared, or there is only one seed.
    """
    some = table.corpora if corpora is None else corpora
    return Gap.of(np.stack([table.of(strategy, one) - table.of(rival, one) for one in some], axis=1))


def mean_gap(tables: Sequence[ScoreTable], strategy: str, rival: str) -> Gap:
    """Compare two strategies by their mean over several tables with the same seeds and corpora.

    Raises:
        ReActError: There is only one seed.
    """
    return Gap.of(np.mean([table.values[strategy] - table.values[rival] for table in tables], axis=0))


def gap_to_best(table: ScoreTable, strategy: str, rivals: Sequence[str]) -> Gap:
    """Compare a strategy with the rival that is best on each corpus, in hindsight.

    On seeds of even place it is the best rival of those of odd place, and the other way round, so that nobody
    is chosen by the seeds on which it is judged.

    Raises:
        ReActError: One of them was not compared, or there are fewer than two seeds.
    """
    own, others = table.values[strategy], np.stack([table.values[rival] for rival in rivals])
    gaps, even = np.empty_like(own), np.arange(len(own)) % 2 == 0
    for judged in (even, ~even):
        best = others[:, ~judged].mean(1).argmax(0)  # one rival for each corpus
        gaps[judged] = own[judged] - others[best, :, np.arange(own.shape[1])].T[judged]
    return Gap.of(gaps)
