"""Prompts at 0, 8, 32 and 128 labels against a head without them and against SetFit.

The same random rows for all learners; test accuracy with 95 % intervals over the seeds, and paired gains over
the head on frozen embeddings. Learners that train a transformer take minutes, so they may have fewer seeds.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd

from react_rl.acquisition.registry import make_strategy
from react_rl.data.config import CorpusConfig
from react_rl.encoders.config import EncoderConfig
from react_rl.envs.batched import episode_streams
from react_rl.errors import unknown
from react_rl.experiments.run.episodes import TestSplit
from react_rl.experiments.studies.command import paired_seeds_or_none, run_study, say, study_parser
from react_rl.experiments.studies.gaps import half_interval
from react_rl.experiments.studies.growing import GrowingTable
from react_rl.files import write_atomically
from react_rl.learners.finetune.settings import ClozeSettings, ContrastiveSettings, FineTuneSettings
from react_rl.learners.linear.settings import SoftmaxSettings
from react_rl.learners.prompts.settings import PromptSettings
from react_rl.learners.registry import LearnerSettings, entry_of
from react_rl.simulation.corpora import prepare
from react_rl.simulation.encoded import EncodedCorpus
from react_rl.simulation.engine import LabelingEngine
from react_rl.simulation.options import EpisodeOptions

LABELS: Final = (0, 8, 32, 128)
FRESH: Final = "head alone"
_ROWS: Final = 3000
"""Most rows of a corpus."""
_POOL: Final = 500
_NAMES: Final = ("corpus", "learner")
_NUMBERS: Final = ("labels", "seed")


@dataclass(frozen=True)
class Prompt:
    """A template with the words of the classes.

    Args:
        template: The template.
        words: Words of each class.
    """

    template: str
    words: Mapping[str, tuple[str, ...]]


_REVIEW: Final = Prompt(
    "{text} It was {mask}.", {"positive": ("great", "good"), "negative": ("terrible", "bad")}
)
PROMPTS: Final = {
    "sst2": _REVIEW,
    "cr": _REVIEW,
    "mr": _REVIEW,
    "imdb": _REVIEW,
    "ag_news": Prompt("{mask} news: {text}", {"Sci/Tech": ("technology", "science")}),
    "bbc_news": Prompt("{mask} news: {text}", {"tech": ("technology",)}),
}
"""Prompts written before anything was measured, by the name of a corpus; others have their class names."""


def learners(corpus: str, model: str) -> dict[str, LearnerSettings]:
    """The learners that are compared on a corpus; the head without a prompt is the first.

    Args:
        corpus: Its name.
        model: Masked language model of the prompts.
    """
    prompt = PROMPTS.get(corpus, Prompt("{text} This is about {mask}.", {}))
    given = PromptSettings(model=model, templates=(prompt.template,), words=dict(prompt.words))

    def changed(**values: Any) -> PromptSettings:
        return given.model_copy(update=values)

    cloze = ClozeSettings(template=prompt.template, words=dict(prompt.words))
    return {
        FRESH: SoftmaxSettings(),
        "words alone": changed(train="nothing"),
        "words, texts without content": changed(train="nothing", calibration="content-free"),
        "words with head": given,
        "words with head on gaps": changed(train="gap"),
        "names with head": changed(words={}),
        "prompt tuning": FineTuneSettings(
            model=model, method="full", layers=3, prompt=cloze, steps=40, learning_rate=1e-4
        ),
        "setfit": FineTuneSettings(
            method="full", contrastive=ContrastiveSettings(loss="cosine"), steps=40, batch_size=32,
            learning_rate=2e-5,
        ),
    }  # fmt: skip


def at_labels(
    corpus: EncodedCorpus, learner: str, settings: LearnerSettings, seeds: int, test_rows: int
) -> pd.DataFrame:
    """Test accuracy of a learner on random rows, which are the same for all learners.

    Args:
        corpus: The corpus.
        learner: Name of the learner.
        settings: Its settings.
        seeds: Paired episodes.
        test_rows: Most test rows.

    Returns:
        Columns corpus, learner, labels, seed, accuracy, seconds: those of a round of all seeds.
    """
    options = EpisodeOptions(
        pool_size=_POOL, dev_size=2, initial_size=0, budget=LABELS[-1], batch_size=LABELS[1]
    )
    engine = LabelingEngine([corpus], options, seeds, learner=settings)
    engine.reset([episode_streams(seed, corpus.name) for seed in range(seeds)], None, [0] * seeds)
    test, random, lines = TestSplit(corpus, test_rows), make_strategy("random"), []
    for n in LABELS:
        started = time.process_time()
        if n > 0:
            engine.step(random.select(engine.view, n - int(engine.labels[0])))
        found = test.measure(engine, ["accuracy"])["accuracy"]
        seconds = time.process_time() - started
        lines += [(corpus.name, learner, n, seed, float(found[seed]), seconds) for seed in range(seeds)]
    return pd.DataFrame(lines, columns=[*_NAMES, *_NUMBERS, "accuracy", "seconds"])


def table(found: pd.DataFrame) -> pd.DataFrame:
    """Means, 95 % intervals over the seeds and paired gains over the head alone.

    Returns:
        Columns corpus, learner, labels, seeds, accuracy, error, gain, gain_error: errors are half widths of
        95 % intervals.
    """
    lines = []
    for (corpus, learner, labels), part in found.groupby(["corpus", "learner", "labels"], sort=False):
        mask = (found["corpus"] == corpus) & (found["labels"] == labels) & (found["learner"] == FRESH)
        fresh = found[mask].set_index("seed")["accuracy"]
        own = part.set_index("seed")["accuracy"]
        gain = own - fresh.reindex(own.index)
        lines.append((corpus, learner, labels, len(own), own.mean(), _half(own), gain.mean(), _half(gain)))
    columns = ["corpus", "learner", "labels", "seeds", "accuracy", "error", "gain", "gain_error"]
    return pd.DataFrame(lines, columns=columns)


def _half(values: pd.Series[float]) -> float:
    return float(half_interval(values)) if len(values) > 1 else float("nan")


def page(found: pd.DataFrame) -> str:
    """Markdown: one table for each corpus, accuracy with its interval at each number of labels."""
    measured = table(found)
    lines = [
        "Test accuracy on the same random rows, plus or minus half of the 95 % interval over the seeds; in",
        f"brackets the paired gain over `{FRESH}` with its own.",
    ]
    for corpus, part in measured.groupby("corpus", sort=False):
        labels = list(dict.fromkeys(part["labels"]))
        lines += [
            "",
            f"## {corpus}",
            "",
            f"| learner | seeds | {' | '.join(f'{n} labels' for n in labels)} |",
        ]
        lines += [f"| --- | ---: |{' --- |' * len(labels)}"]
        for learner, own in part.groupby("learner", sort=False):
            cells = [
                f"{r['accuracy']:.3f} ± {r['error']:.3f}"
                + ("" if learner == FRESH else f" ({r['gain']:+.3f} ± {r['gain_error']:.3f})")
                for r in own.to_dict("records")
            ]
            lines.append(f"| {learner} | {own['seeds'].iloc[0]} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def study(asked: argparse.Namespace) -> str:
    """Measure what is missing, and write the table."""
    settings = {"model": asked.model, "test_rows": asked.test_rows}
    scores = GrowingTable(asked.out / "scores.csv", _NAMES, _NUMBERS, digits=5, settings=settings)
    for path in asked.corpora:
        config = CorpusConfig(corpus=path, name=Path(path).name, max_rows=_ROWS)
        (corpus,) = prepare([config], EncoderConfig(max_length=128), "auto")
        compared = learners(corpus.name, asked.model)
        for name in asked.learners or compared:
            if name not in compared:
                raise unknown("learner", name, list(compared))
            seeds = asked.seeds if entry_of(compared[name]).cheap else asked.tuned_seeds
            if seeds and not scores.holds(seeds, corpus=corpus.name, learner=name, labels=LABELS[-1]):
                scores.add(at_labels(corpus, name, compared[name], seeds, asked.test_rows))
                say(f"{corpus.name}, {name}: measured")
    text = page(scores.frame)
    write_atomically(asked.out / "table.md", text)
    return text


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit status."""
    parser = study_parser(__doc__, "prompts", "results/prompts", seeds=32)
    parser.add_argument("--corpora", nargs="+", required=True, help="names or paths")
    parser.add_argument("--model", default="bert-base-uncased", help="masked language model of the prompts")
    parser.add_argument("--learners", nargs="+", help="some of the learners; the default is all")
    parser.add_argument(
        "--tuned-seeds",
        type=paired_seeds_or_none,
        default=3,
        help="those of learners that train a transformer",
    )
    parser.add_argument("--test-rows", type=int, default=500, help="most test rows")
    return run_study(parser, arguments, study)


if __name__ == "__main__":
    sys.exit(main())
