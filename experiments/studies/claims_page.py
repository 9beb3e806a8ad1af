"""The findings on published claims as a page in Markdown and as a table."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from react_rl.experiments.studies.judging import RULE, Claim, Comparison, Finding

Judged = tuple[Claim, str, list[Finding]]
"""A claim, its verdict, and the findings on its lines."""


def describe(line: Comparison) -> str:
    """A line in words."""
    left = line.left[0] if len(line.left) == 1 else f"mean of {len(line.left)} strategies"
    word = "above" if line.says == "above" else "at or below"
    gain = f"gain of {left} over {line.right}" if line.control else f"{left} {word} {line.right}"
    where = "" if line.corpus is None else f" on {line.corpus}"
    return f"{gain}{where}" + (f", {line.measure} minus {line.control}" if line.control else "")


def table_rows(judged: Sequence[Judged]) -> pd.DataFrame:
    """All findings as a table, one row for each line."""
    return pd.DataFrame(
        [
            {
                "source": claim.source,
                "claim": claim.statement,
                "claim_verdict": whole,
                "line": describe(f.line),
                "table": f.line.measure,
                "detail": f.line.detail,
                "difference": f.estimate,
                "difference_low": f.low,
                "difference_high": f.high,
                "p": f.p,
                "seeds": f.seeds,
                "corpora_above": f.above,
                "corpora_across": f.across,
                "corpora_below": f.below,
                "three_seeds_other_sign": f.three_seeds,
                "verdict": f.verdict,
            }
            for claim, whole, findings in judged
            for f in findings
        ]
    )


def markdown(judged: Sequence[Judged]) -> str:
    """The page ``claims.md``: an overview, the rule, and a table for each claim."""
    parts = [
        "# Do published claims hold here?",
        "A frozen all-MiniLM-L6-v2 encoder with a linear head, paired seeds. What holds with this learner "
        "may not hold with another.",
        "| claim | source | verdict |\n| --- | --- | --- |\n"
        + "\n".join(f"| {c.statement} | {c.source} | **{whole}** |" for c, whole, _ in judged),
        RULE,
    ]
    for claim, whole, findings in judged:
        parts.append(
            f"## {claim.source}: {claim.statement}\n\n{claim.setting} Verdict: **{whole}**.\n\n"
            "| | table | difference [95 %] | p | seeds | corpora above / across / below 0 | three seeds "
            "| verdict |\n"
            "| --- | --- | ---: | ---: | ---: | ---: | ---: | --- |\n" + "\n".join(_row(f) for f in findings)
        )
    return "\n\n".join(parts) + "\n"


def _row(f: Finding) -> str:
    words = f"{describe(f.line)} (detail)" if f.line.detail else describe(f.line)
    return (
        f"| {words} | {f.line.measure} | {f.estimate:+.4f} [{f.low:+.4f}, {f.high:+.4f}] | {f.p:.1g} "
        f"| {f.seeds} | {f.above} / {f.across} / {f.below} | {f.three_seeds:.0%} | {f.verdict} |"
    )
