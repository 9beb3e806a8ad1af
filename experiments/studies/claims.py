"""Published claims beside the reference comparison: whether each holds here, and how sure that is.

python -m react_rl.experiments.studies.claims

reads the comparisons that are in ``results`` (or the score tables that were kept of them) and writes the
findings, score tables, summaries and figures into ``results/baselines``. The rule is in ``judging``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from react_rl.experiments.analysis.csv_files import csv_text
from react_rl.experiments.analysis.summary import SUMMARY
from react_rl.experiments.cli.status import program
from react_rl.experiments.studies import batch_sizes, few_seeds
from react_rl.experiments.studies.claims_page import Judged, markdown, table_rows
from react_rl.experiments.studies.judging import Claim, Comparison, judge
from react_rl.experiments.studies.scores import MEASURES, collect, read_scores
from react_rl.files import write_atomically

_UNCERTAINTY: Final = ("least-confidence", "margin", "entropy", "egl", "bald-dropout")

CLAIMS: Final = (
    Claim(
        "Schröder et al. 2022",
        "Margin is above random on TREC-6, Subj and AG News.",
        "Their sizes: 25 initial labels, 20 rounds of 25. Area under the accuracy curve.",
        (
            Comparison(("margin",), "random", "schroeder", corpus="trec6"),
            Comparison(("margin",), "random", "schroeder", corpus="subj"),
            Comparison(("margin",), "random", "schroeder", corpus="ag_news"),
            Comparison(("margin",), "random", "schroeder", corpus="mr", detail=True),
            Comparison(("margin",), "random", "schroeder", corpus="cr", detail=True),
        ),
    ),
    Claim(
        "Schröder et al. 2022",
        "The same with fewer labels.",
        "10 initial labels, 20 rounds of 5. Area under the accuracy curve.",
        (
            Comparison(("margin",), "random", "batch-5", corpus="trec6"),
            Comparison(("margin",), "random", "batch-5", corpus="subj"),
            Comparison(("margin",), "random", "batch-5", corpus="ag_news"),
        ),
    ),
    Claim(
        "CDALBench (Werner et al. 2024)",
        "Least confidence and entropy fall to or below random at large batches.",
        "10 initial labels, 6 rounds of 50. Area under the accuracy curve.",
        (
            Comparison(("least-confidence",), "random", "batch-50", says="at or below"),
            Comparison(("entropy",), "random", "batch-50", says="at or below"),
            Comparison(("least-confidence",), "random", "batch-20", says="at or below", detail=True),
            Comparison(("entropy",), "random", "batch-20", says="at or below", detail=True),
        ),
    ),
    Claim(
        "CDALBench (Werner et al. 2024)",
        "BADGE edges ahead of margin at large batches.",
        "10 initial labels, 10 rounds of 20, and 6 rounds of 50. Area under the accuracy curve.",
        (
            Comparison(("badge",), "margin", "batch-20"),
            Comparison(("badge",), "margin", "batch-50"),
            Comparison(("badge",), "margin", "batch-1", detail=True),
            Comparison(("badge",), "margin", "batch-5", detail=True),
        ),
    ),
    Claim(
        "CDALBench (Werner et al. 2024)",
        "One label at a time, the greedy oracle is above margin, and margin above random.",
        "10 initial labels, 50 rounds of 1. Area under the accuracy curve.",
        (
            Comparison(("greedy-oracle",), "margin", "batch-1"),
            Comparison(("margin",), "random", "batch-1"),
        ),
    ),
    Claim(
        "Ein-Dor et al. 2020",
        "Imbalance widens the gain over random.",
        "The gain where the largest class has 9 times the rows of the smallest, minus the gain where classes "
        "are equal. 25 initial labels, 20 rounds of 5. Area under the macro F1 curve; the deciding line "
        "averages five uncertainty strategies.",
        (
            Comparison(_UNCERTAINTY, "random", "skewed", control="balanced"),
            *(Comparison((s,), "random", "skewed", control="balanced", detail=True) for s in _UNCERTAINTY),
            *(
                Comparison((s,), "random", "skewed", control="balanced", detail=True)
                for s in ("k-center", "badge", "typicality", "mixture")
            ),
        ),
    ),
    Claim(
        "TypiClust (Hacohen et al. 2022)",
        "Representativeness wins at the smallest budgets.",
        "1 initial label, rounds of 2. Area under the accuracy curve of the first 10 labels bought.",
        (
            Comparison(("typiclust",), "random", "cold-10"),
            Comparison(("typiclust",), "margin", "cold-10"),
            Comparison(("typicality",), "margin", "cold-10", detail=True),
            Comparison(("maxherding",), "margin", "cold-10", detail=True),
            Comparison(("probcover",), "margin", "cold-10", detail=True),
        ),
    ),
    Claim(
        "TypiClust (Hacohen et al. 2022)",
        "At larger budgets uncertainty is ahead of representativeness.",
        "10 initial labels, 20 rounds of 5. Accuracy at the end; details: after 10 rounds of 20.",
        (
            Comparison(("margin",), "typiclust", "batch-5-final"),
            Comparison(("margin",), "typiclust", "batch-20-final", detail=True),
            Comparison(("margin",), "typicality", "batch-20-final", detail=True),
        ),
    ),
)
"""The claims. What had been seen when they were written down: results/README.md."""


def keep_summaries(results: Path, out: Path) -> None:
    """Copy the summary of each comparison to ``out``."""
    for comparison in sorted({measure.comparison for measure in MEASURES.values()}):
        source = results / comparison / SUMMARY
        if source.is_file():
            write_atomically(out / "summaries" / f"{comparison}.csv", source.read_text(encoding="utf-8"))


def write_claims(out: Path) -> list[Judged]:
    """Judge every claim from the tables in ``out`` and write ``claims.md`` and ``claims.csv`` there.

    Raises:
        ReActError: A table is missing.
    """
    names = {name for c in CLAIMS for line in c.lines for name in (line.measure, line.control) if name}
    tables = {name: read_scores(out, name) for name in sorted(names)}
    judged = [(claim, *judge(claim, tables)) for claim in CLAIMS]
    write_atomically(out / "claims.csv", csv_text(table_rows(judged).round(6)))
    write_atomically(out / "claims.md", markdown(judged))
    return judged


@program("claims")
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status (2 for a mistake in the input)."""
    parser = argparse.ArgumentParser(description="Judge published claims by the reference comparison.")
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder of the comparisons")
    parser.add_argument(
        "--out", type=Path, default=Path("results/baselines"), help="folder of what is written"
    )
    chosen = parser.parse_args(arguments)
    print(f"Tables made again: {', '.join(collect(chosen.results, chosen.out)) or 'none'}")
    keep_summaries(chosen.results, chosen.out)
    for claim, whole, _ in write_claims(chosen.out):
        print(f"{whole:15} {claim.source}: {claim.statement}")
    few_seeds.write(chosen.out)
    batch_sizes.write(chosen.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
