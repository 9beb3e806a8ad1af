"""What runs of fine-tuning say of its recipes: paired gains over plain training, and how sure they are.

Pages are made of tables of runs here; what is trained and measured is in ``finetune_recipes``.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from react_rl.experiments.studies.gaps import ALPHA, half_interval
from react_rl.metrics.distributions import student_t_two_sided
from react_rl.metrics.significance import holm

LONGER: Final = "twice the epochs"
"""What every recipe is compared with besides plain training: it needs nothing new and costs twice."""


def table(runs: pd.DataFrame) -> pd.DataFrame:
    """Paired gains with 95 % intervals (Student's t over seeds) and cost ratios.

    Args:
        runs: Columns corpus, recipe, at, seed, accuracy, seconds. Seeds that were not played everywhere with
            a number of labels do not count there.

    Returns:
        Columns recipe, corpus, at, seeds (how many), plain (accuracy), gain, half (of the interval), cost:
        processor time of training over plain's, seconds: processor time of one training. A line with
        ``corpus`` ``mean`` for each recipe and number of labels is the mean over the corpora on which it was
        measured; its column ``p`` is that of the gain being 0 (Student's t over seeds, two-sided), ``longer``
        the gain less that of ``LONGER`` on the same corpora, where that was measured on all of them, and
        ``longer_half`` half its interval.
    """
    lines: list[dict[str, object]] = []
    for at, own in sorted(runs.groupby("at", sort=False), key=lambda one: int(str(one[0]))):
        lines += [{"at": at} | line for line in _gains(own)]
    columns = ["recipe", "corpus", "at", "seeds", "plain", "gain", "half", "cost", "seconds"]
    columns += ["p", "longer", "longer_half"]
    return pd.DataFrame(lines).reindex(columns=columns)


def _gains(runs: pd.DataFrame) -> list[dict[str, object]]:
    """Lines of ``table`` of one number of labels."""
    accuracy, seconds = {}, {}
    each = runs.groupby(["recipe", "corpus"], sort=False)
    seeds = sorted(set.intersection(*(set(one["seed"]) for _, one in each)))
    for (recipe, corpus), one in each:
        accuracy[str(recipe), str(corpus)] = one.set_index("seed")["accuracy"][seeds].to_numpy(np.float64)
        seconds[str(recipe), str(corpus)] = float(one["seconds"].iloc[0]) / len(one)
    corpora = [corpus for recipe, corpus in accuracy if recipe == "plain"]
    lines: list[dict[str, object]] = []
    for recipe in dict.fromkeys(recipe for recipe, _ in accuracy):
        own = [corpus for corpus in corpora if (recipe, corpus) in accuracy]
        for corpus in own:
            plain, taken = accuracy["plain", corpus], seconds[recipe, corpus]
            line = {"recipe": recipe, "corpus": corpus, "plain": plain.mean(), "seconds": taken}
            line["cost"] = taken / seconds["plain", corpus]
            lines.append(line | _gain(accuracy[recipe, corpus] - plain, "gain", "half"))
        whole, base = (_mean_of(accuracy, name, own) for name in (recipe, "plain"))
        mean: dict[str, object] = {"recipe": recipe, "corpus": "mean", "plain": base.mean()}
        mean["seconds"] = np.mean([seconds[recipe, corpus] for corpus in own])
        mean["cost"] = np.mean([seconds[recipe, one] / seconds["plain", one] for one in own])
        mean |= _gain(whole - base, "gain", "half") | {"p": _p_value(whole - base)}
        if all((LONGER, corpus) in accuracy for corpus in own):
            mean |= _gain(whole - _mean_of(accuracy, LONGER, own), "longer", "longer_half")
        lines.append(mean)
    return [{"seeds": len(seeds)} | line for line in lines]


def _mean_of(
    accuracy: Mapping[tuple[str, str], npt.NDArray[np.float64]], recipe: str, corpora: Sequence[str]
) -> npt.NDArray[np.float64]:
    """Mean accuracy over corpora, of each seed."""
    return np.asarray(np.mean([accuracy[recipe, corpus] for corpus in corpora], axis=0), np.float64)


def _gain(by_seed: npt.NDArray[np.float64], name: str, half: str) -> dict[str, object]:
    return {name: float(by_seed.mean()), half: float(half_interval(by_seed))}


def _p_value(by_seed: npt.NDArray[np.float64]) -> float:
    """Of the mean of paired differences being 0: Student's t over the seeds, two-sided."""
    mean, spread = float(by_seed.mean()), float(by_seed.std(ddof=1))
    if spread == 0:
        return 1.0 if mean == 0 else 0.0
    return student_t_two_sided(mean / (spread / math.sqrt(len(by_seed))), len(by_seed) - 1)


def page(found: pd.DataFrame, said: str) -> str:
    """Markdown of ``table``: for each number of labels lines of recipes and columns of corpora."""
    lines = [
        f"Gain over `plain` in test accuracy, paired seeds, 95 % interval over them; {said}.",
        "Mean: of the corpora on which the recipe was measured.",
        f"Beyond longer: mean gain less that of {LONGER}, on the same corpora. Cost: processor time of",
        "training over that of `plain`; s: processor seconds of one training; both are means of the corpora.",
    ]
    for at, own in found.groupby("at", sort=False):
        corpora = [name for name in dict.fromkeys(own["corpus"]) if name != "mean"]
        first = f"{at} labels, {own['seeds'].iloc[0]} seeds"
        lines += [
            "",
            f"| {first} | {' | '.join(corpora)} | mean | beyond longer | cost | s |",
            "| --- |" + " ---: |" * (len(corpora) + 4),
        ]
        for recipe, part in own.groupby("recipe", sort=False):
            of = {str(line["corpus"]): line for line in part.to_dict("records")}
            mean, is_plain = of.get("mean"), recipe == "plain"
            what = "plain" if is_plain else "gain"
            cells = [_cell(of.get(place), what, "half") for place in [*corpora, "mean"]]
            known = mean is not None and not is_plain and recipe != LONGER and np.isfinite(mean["longer"])
            cells.append(_cell(mean if known else None, "longer", "longer_half"))
            each = part[part["corpus"] != "mean"]
            cells += [f"{each['cost'].mean():.1f}", f"{each['seconds'].mean():.1f}"]
            lines.append(f"| {recipe!s} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(line: Mapping[Hashable, Any] | None, name: str, half: str) -> str:
    if line is None:
        return "-"
    return f"{line[name]:.3f}" if name == "plain" else f"{line[name]:+.3f} ± {line[half]:.3f}"


def summary(found: pd.DataFrame) -> str:
    """Markdown of ``table`` for a reader in a hurry: one line for each recipe, and what the page can claim.

    A cell is the mean gain over the corpora on which the recipe was measured, with its 95 % interval over
    seeds, and how many corpora these are; bold where the interval excludes 0. Below the table: how many such
    cells there are, how many of them are bold, and which remain after Holm's correction over all of them.
    """
    means = found[(found["corpus"] == "mean") & (found["recipe"] != "plain")]
    numbers = list(dict.fromkeys(means["at"]))
    count = found[found["corpus"] != "mean"].groupby(["recipe", "at"], sort=False).size()
    lines = [
        f"| recipe | {' | '.join(f'{at} labels' for at in numbers)} | cost |",
        "| --- |" + " ---: |" * (len(numbers) + 1),
    ]
    for recipe, own in means.groupby("recipe", sort=False):
        at_each = {line["at"]: line for line in own.to_dict("records")}
        cells = ["-" if at not in at_each else _judged(at_each[at], count[recipe, at]) for at in numbers]
        lines.append(f"| {recipe} | {' | '.join(cells)} | {own['cost'].mean():.1f} |")
    apart = means[means["gain"].abs() > means["half"]]
    corrected = holm(means["p"])
    sure = [
        f"{line['recipe']} at {line['at']} ({line['gain']:+.3f})"
        for line, p in zip(means.to_dict("records"), corrected, strict=True)
        if p < ALPHA
    ]
    lines += [
        "",
        f"{len(means)} comparisons, {ALPHA * len(means):.1f} of them expected to exclude 0 by chance; "
        f"{(apart['gain'] > 0).sum()} are above 0, {(apart['gain'] < 0).sum()} below. "
        f"After Holm's correction over all of them: {', '.join(sure) or 'none'}.",
    ]
    return "\n".join(lines) + "\n"


def _judged(line: Mapping[Hashable, Any], corpora: int) -> str:
    """A cell of ``summary``."""
    said = f"{line['gain']:+.3f} ± {line['half']:.3f}"
    return f"{f'**{said}**' if abs(line['gain']) > line['half'] else said} ({corpora})"
