"""Which learning rate each method of fine-tuning wants with few labels, and what the methods are worth.

Small on purpose, as the study of recipes: a small encoder, short texts, random rows. What is measured is
written at once, and a run that was cut short goes on where it stopped.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, Final

import pandas as pd

from react_rl.experiments.studies.command import run_study, say, study_parser
from react_rl.experiments.studies.finetune_recipes import add_ground, at_labels, corpora_of
from react_rl.experiments.studies.gaps import half_interval
from react_rl.experiments.studies.growing import GrowingTable, this_machine
from react_rl.files import write_atomically
from react_rl.learners.finetune.settings import FineTuneSettings

TRIED: Final[Mapping[str, tuple[Mapping[str, Any], tuple[float, ...]]]] = {
    "full": ({"method": "full"}, (3e-5, 1e-4, 3e-4, 1e-3)),
    "full, top 2": ({"method": "full", "layers": 2}, (1e-4, 3e-4, 1e-3, 3e-3)),
    "lora": ({"method": "lora"}, (3e-4, 1e-3, 3e-3, 1e-2)),
    "lora, top 2": ({"method": "lora", "layers": 2}, (3e-4, 1e-3, 3e-3, 1e-2)),
    "bitfit": ({"method": "bitfit"}, (1e-3, 3e-3, 1e-2, 3e-2)),
    "head": ({"method": "head"}, (1e-3, 3e-3, 1e-2, 3e-2)),
}
"""What is trained, by name: settings of the learner, and the rates at which it is tried."""
COMPARED: Final = 1e-3
"""The rate that every method is compared with."""
_NAMES: Final = ("corpus", "way")
_NUMBERS: Final = ("at", "rate", "seed")


def table(runs: pd.DataFrame) -> pd.DataFrame:
    """Accuracy of each method at each rate, and its paired gain over the rate that all are compared with.

    Args:
        runs: Columns corpus, way, at (number of labels), rate, seed, accuracy; what was not played at every
            rate of a method does not count for it.

    Returns:
        Columns way, rate, accuracy (mean of corpora, numbers of labels and seeds), one more for each number
        of labels, gain over ``COMPARED``, half (of its 95 % interval, Student's t over seeds), seeds (how
        many). A method that was played in several ways, such as ``lora`` and ``lora, top 2``, has lines of
        its own after them, with the mean of its ways at the rates that all of them were played at.
    """
    lines: list[dict[str, object]] = []
    for name, ways in _groups(runs["way"].unique()).items():
        own = runs[runs["way"].isin(ways)]
        everywhere = own.groupby("rate")["way"].transform("nunique") == len(ways)
        wide = own[everywhere].pivot_table("accuracy", ["way", "at", "corpus", "seed"], "rate").dropna()
        for rate in wide:
            by_seed = (wide[rate] - wide[COMPARED]).groupby("seed").mean().to_numpy()
            line: dict[str, object] = {"way": name, "rate": rate, "accuracy": wide[rate].mean()}
            line |= {f"at {at}": mean for at, mean in wide[rate].groupby("at").mean().items()}
            line |= {"gain": by_seed.mean(), "half": half_interval(by_seed), "seeds": len(by_seed)}
            lines.append(line)
    return pd.DataFrame(lines)


def _groups(ways: Iterable[str]) -> dict[str, list[str]]:
    """Each way by itself; then the ways of each method that has several."""
    alone = {way: [way] for way in ways}
    of_method: dict[str, list[str]] = {}
    for way in alone:
        of_method.setdefault(way.partition(",")[0], []).append(way)
    return alone | {f"{method}, mean": own for method, own in of_method.items() if len(own) > 1}


def page(found: pd.DataFrame, said: str) -> str:
    """Markdown of ``table``: the rate with the highest accuracy of each method in bold."""
    numbers = [name for name in map(str, found) if name.startswith("at ")]
    lines = [
        f"Test accuracy by method and peak learning rate, mean of corpora and paired seeds; {said}.",
        f"Gain over {COMPARED:g}: paired, 95 % interval over seeds. Bold: the best rate of a method.",
        "",
        f"| method | rate | {' | '.join(f'{name[3:]} labels' for name in numbers)} | mean | gain |",
        "| --- | ---: |" + " ---: |" * (len(numbers) + 2),
    ]
    best = set(found.groupby("way")["accuracy"].idxmax())
    for place, line in enumerate(found.to_dict("records")):
        mean = f"{line['accuracy']:.3f}"
        cells = [f"{line[name]:.3f}" for name in numbers]
        cells.append(f"**{mean}**" if place in best else mean)
        cells.append("-" if line["rate"] == COMPARED else f"{line['gain']:+.3f} ± {line['half']:.3f}")
        lines.append(f"| {line['way']} | {line['rate']:g} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def study(asked: argparse.Namespace) -> str:
    """Train with every method at every rate where that was not done yet; write the table after each."""
    corpora = corpora_of(asked)
    common = {name: getattr(asked, name) for name in ("epochs", "max_length")}
    measured = common | {name: getattr(asked, name) for name in ("rows", "test_rows")}
    measured |= {"model": Path(asked.model).name} | this_machine()
    runs = GrowingTable(asked.out / "runs.csv", _NAMES, _NUMBERS, digits=5, settings=measured)
    said = (
        f"{measured['model']}, {asked.epochs} epochs, {asked.max_length} tokens, {asked.test_rows} test rows"
    )
    text = ""
    for way in asked.methods:
        changes, rates = TRIED[way]
        for rate, corpus, labels in product(rates, corpora, asked.labels):
            place = {"corpus": corpus.name, "way": way, "at": labels, "rate": rate}
            if not runs.holds(asked.seeds, **place):
                settings = FineTuneSettings(model=asked.model, learning_rate=rate, **changes, **common)
                part = at_labels(corpus, settings, range(asked.seeds), asked.test_rows, labels)
                runs.add(part.drop(columns="seconds").assign(**place))
                say(f"{way} at {rate:g}, {corpus.name}, {labels}: {part['seconds'][0]:.0f} s of training")
        text = page(table(runs.frame), said)
        write_atomically(asked.out / "table.md", text)
    return text


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit status."""
    parser = study_parser(__doc__, "finetune_methods", "results/recipes/methods", seeds=5)
    add_ground(parser, epochs=10, labels=(20, 100), rows=4000)
    parser.add_argument("--methods", nargs="+", default=list(TRIED), choices=list(TRIED), help="names")
    return run_study(parser, arguments, study)


if __name__ == "__main__":
    sys.exit(main())
