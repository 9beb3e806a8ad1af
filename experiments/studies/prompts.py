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

import numpy as np
import pandas as pd

from react_rl.acquisition.registry import make_strategy
from react_rl.data.config import CorpusConfig
from react_rl.encoders.config import EncoderConfig
from react_rl.envs.batched import episode_streams
from react_rl.errors import ReActError
from react_rl.experiments.analysis.csv_files import read_csv
from react_rl.experiments.run.episodes import TestSplit
from react_rl.experiments.studies.command import run_study, study_parser
from react_rl.experiments.studies.finished_parts import FinishedParts, content_of
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
_KEY: Final = ("corpus", "learner", "labels", "seed")


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
    corpus: EncodedCorpus,
    compared: Mapping[str, LearnerSettings],
    seeds: int,
    tuned: int,
    test_rows: int,
    progress: FinishedParts | None = None,
) -> pd.DataFrame:
    """Test accuracy on the same random rows.

    Args:
        corpus: The corpus.
        compared: The learners by name.
        seeds: Paired episodes.
        tuned: Those of learners that train a transformer.
        test_rows: Most test rows.
        progress: Keeps what is finished; None keeps nothing.

    Returns:
        Columns corpus, learner, labels, seed, accuracy, seconds: those of a round of all seeds.
    """
    options = EpisodeOptions(
        pool_size=_POOL, dev_size=2, initial_size=0, budget=LABELS[-1], batch_size=LABELS[1]
    )
    test, random, lines, content = (
        TestSplit(corpus, test_rows),
        make_strategy("random"),
        [],
        content_of(corpus),
    )
    for name, settings in compared.items():
        count = seeds if entry_of(settings).cheap else tuned
        if count == 0:
            continue

        def compute(settings: LearnerSettings = settings, count: int = count) -> list[list[float]]:
            engine = LabelingEngine([corpus], options, count, learner=settings)
            engine.reset([episode_streams(seed, corpus.name) for seed in range(count)], None, [0] * count)
            measured: list[list[float]] = []
            for n in LABELS:
                started = time.process_time()
                if n > 0:
                    engine.step(random.select(engine.view, n - int(engine.labels[0])))
                found = test.measure(engine, ["accuracy"])["accuracy"]
                seconds = time.process_time() - started
                measured += [[n, seed, float(found[seed]), seconds] for seed in range(count)]
            return measured

        identity = [content, name, str(settings), count, test_rows, list(LABELS)]
        part = compute() if progress is None else progress.part(identity, compute)
        lines += [(corpus.name, name, *line) for line in part]
    return pd.DataFrame(lines, columns=[*_KEY, "accuracy", "seconds"])


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
    from scipy.stats import t

    n = len(values)
    return float(t.ppf(0.975, n - 1) * values.std(ddof=1) / np.sqrt(n)) if n > 1 else float("nan")


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
    """Measure what is missing, and write the table when each corpus is done."""
    scores = asked.out / "scores.csv"
    advice = "remove it, and what it holds is measured again"
    parts = (
        [read_csv(scores, _KEY[:2], (*_KEY[2:], "accuracy", "seconds"), advice)] if scores.exists() else []
    )
    progress = FinishedParts(asked.out)
    for name in asked.corpora:
        config = CorpusConfig(corpus=name, name=Path(name).name, max_rows=_ROWS)
        (corpus,) = prepare([config], EncoderConfig(max_length=128), "auto")
        compared = learners(corpus.name, asked.model)
        chosen = {n: s for n, s in compared.items() if asked.learners is None or n in asked.learners}
        if not chosen:
            raise ReActError(f"No learner is called so. Known: {', '.join(compared)}.")
        parts.append(at_labels(corpus, chosen, asked.seeds, asked.tuned_seeds, asked.test_rows, progress))
        found = pd.concat(parts, ignore_index=True)
        found = found.drop_duplicates(list(_KEY), keep="last")
        write_atomically(scores, found.round(5).to_csv(index=False, lineterminator="\n"))
        write_atomically(asked.out / "table.md", page(found))
    progress.clear()
    return page(found)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit status."""
    parser = study_parser(__doc__, "prompts", "results/prompts", seeds=32)
    parser.add_argument("--corpora", nargs="+", required=True, help="names or paths")
    parser.add_argument("--model", default="bert-base-uncased", help="masked language model of the prompts")
    parser.add_argument("--learners", nargs="+", help="some of the learners; the default is all")
    parser.add_argument(
        "--tuned-seeds", type=int, default=3, help="those of learners that train a transformer"
    )
    parser.add_argument("--test-rows", type=int, default=500, help="most test rows")
    return run_study(parser, arguments, study)


if __name__ == "__main__":
    sys.exit(main())
