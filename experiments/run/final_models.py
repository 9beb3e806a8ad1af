"""What the models at the end of the runs do: calibration, classes and groups, disturbed texts.

Kept in the run files as counts, where a config asks for it. Temperatures are fitted on dev rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from react_rl.errors import ReActError
from react_rl.experiments.config.models import CompareConfig
from react_rl.experiments.run.altered import CLEAN, Altered, Ground
from react_rl.learners.linear.calibration import inverse_temperature
from react_rl.metrics.reliability import reliability
from react_rl.seeding import Streams
from react_rl.simulation.encoded import EncodedCorpus
from react_rl.simulation.engine import LabelingEngine
from react_rl.tasks.classification import Classification
from react_rl.tasks.protocol import Task
from react_rl.tasks.registry import TASKS

Ids = npt.NDArray[np.int64]

LENGTHS: Final = ("short texts", "medium texts", "long texts")
"""Thirds of the test rows by the number of their words."""

AGREED, DISPUTED = "annotators agreed", "annotators disagreed"

_DIGITS: Final = 6


class FinalModels:
    """Analyses of the models at the end of a block of runs.

    Args:
        wanted: Names of the analyses.
        corpus: What was played on.
        rows: ``(T,)`` its test rows.
        altered: Disturbed copies of test rows; needed for robustness.

    Raises:
        ReActError: The corpus is not one of classification.
    """

    def __init__(
        self, wanted: Sequence[str], corpus: EncodedCorpus, rows: Ids, altered: Altered | None = None
    ) -> None:
        check_analyses(wanted, {corpus.corpus.task: corpus.name})
        self._wanted = tuple(wanted)
        self._corpus = corpus
        self._rows = rows
        self._altered = altered

    @torch.no_grad()
    def of(self, engine: LabelingEngine, streams: Sequence[Streams]) -> list[dict[str, Any]]:
        """What run files keep of each episode's model.

        Args:
            engine: The episodes at their end; not changed.
            streams: Fresh streams of the episodes.
        """
        found: list[dict[str, Any]] = [
            {"classes": list(self._corpus.corpus.label_names)} for _ in range(engine.n_episodes)
        ]
        scores = engine.scores(self._rows).float()
        if "calibration" in self._wanted:
            _add(found, "calibration", self._calibration(engine, scores))
        if "per-class" in self._wanted:
            _add(found, "per-class", self._counts(engine, scores.max(1).indices, self._rows))
        if "robustness" in self._wanted:
            assert self._altered is not None
            _add(found, "robustness", self._robustness(engine, streams, self._altered))
        return found

    def _calibration(self, engine: LabelingEngine, scores: Tensor) -> list[dict[str, Any]]:
        dev = engine.learner.logits_of(slice(engine.options.pool_size, None)).float()
        found = []
        for e in range(engine.n_episodes):
            draw = engine.draw_of(e)
            truth = self._truth(self._rows, draw.classes)
            known = torch.from_numpy(self._truth(draw.dev, draw.classes)).to(dev.device)
            onehot = torch.nn.functional.one_hot(known.clamp_min(0), dev.shape[1]).T * (known >= 0)
            beta = float(inverse_temperature(dev[e : e + 1, :, : known.numel()], onehot[None].float())[0])
            own: dict[str, Any] = {"temperature": round(1.0 / beta, _DIGITS)}
            for name, factor in (("before", 1.0), ("after", beta)):
                sure, predicted = torch.softmax(scores[e] * factor, 0).cpu().max(0)
                judged = truth >= 0
                right = (predicted.numpy() == truth)[judged]
                bins = reliability(sure.double().clamp(0.0, 1.0).numpy()[judged], right)
                own[name] = {
                    "rows": bins.rows.astype(int).tolist(),
                    "confidence": bins.confidence.round(_DIGITS).tolist(),
                    "correct": bins.correct.astype(int).tolist(),
                }
            found.append(own)
        return found

    def _counts(self, engine: LabelingEngine, predicted: Tensor, rows: Ids) -> list[dict[str, Any]]:
        """Rows, predictions and right ones of each class, and rows and right ones of each group."""
        groups = text_groups_of(self._corpus, self._rows)
        own = {name: np.isin(rows, members) for name, members in groups.items()}
        return [
            self._counted(predicted[e].cpu().numpy(), rows, engine.draw_of(e).classes, own)
            for e in range(engine.n_episodes)
        ]

    def _counted(
        self, predicted: Ids, rows: Ids, classes: Ids, groups: dict[str, npt.NDArray[np.bool_]]
    ) -> dict[str, Any]:
        truth, size = self._truth(rows, classes), self._corpus.corpus.n_classes
        judged = truth >= 0
        right = judged & (predicted == truth)
        named = classes[np.where(judged, truth, 0)]

        def count(which: npt.NDArray[np.bool_], values: Ids) -> list[int]:
            return [int(one) for one in np.bincount(values[which], minlength=size)]

        return {
            "rows": count(judged, named),
            "predicted": count(judged, classes[predicted]),
            "correct": count(right, named),
            "groups": {
                name: {"rows": int((judged & inside).sum()), "correct": int((right & inside).sum())}
                for name, inside in groups.items()
            },
        }

    def _robustness(
        self, engine: LabelingEngine, streams: Sequence[Streams], altered: Altered
    ) -> list[dict[str, Any]]:
        """Counts under each disturbance; ``changed`` are the rows that are predicted as another class."""
        again = LabelingEngine(
            [altered.encoded], engine.options, engine.n_episodes, engine.metrics, engine.learner_settings
        )
        again.resume(streams, [0] * engine.n_episodes, engine.state())
        found: list[dict[str, Any]] = [{} for _ in range(engine.n_episodes)]
        clean = again.scores(altered.rows[CLEAN]).max(1).indices
        for kind, rows in altered.rows.items():
            predicted = clean if kind == CLEAN else again.scores(rows).max(1).indices
            changed = (predicted != clean).sum(1).tolist()
            for e, counts in enumerate(self._counts(engine, predicted, altered.rows[CLEAN])):
                found[e][kind] = counts | {"changed": changed[e]}
        return found

    def _truth(self, rows: Ids, classes: Ids) -> Ids:
        """Classes of rows as the episode numbers them, -1 for those that it lacks."""
        return Classification().targets(self._corpus.corpus, rows, classes, ())


def analyses_key(config: CompareConfig) -> dict[str, Any]:
    """What of the analyses belongs to the key of a run; nothing where there are none."""
    disturbed = {"robustness": config.robustness.model_dump()} if "robustness" in config.analysis else {}
    return {"analysis": sorted(config.analysis), **disturbed} if config.analysis else {}


def final_models_of(config: CompareConfig, ground: Ground, rows: Ids) -> FinalModels | None:
    """The analyses that a config asks for; None where it asks for none.

    Args:
        config: The comparison.
        ground: What is played on.
        rows: Its test rows.
    """
    return FinalModels(config.analysis, ground.corpus, rows, ground.altered) if config.analysis else None


def has_analyses(task: Task) -> bool:
    """Whether final models of a task can be analysed."""
    return task.has_classes


def check_analyses(wanted: Sequence[str], corpora: Mapping[str, str]) -> None:
    """Check that analyses of the final models can be had.

    Args:
        wanted: Names of the analyses.
        corpora: Tasks, each with the name of a corpus that is of it.

    Raises:
        ReActError: No corpus is of classification.
    """
    if wanted and not any(has_analyses(TASKS[task]) for task in corpora if task in TASKS):
        task, name = next(iter(corpora.items()))
        raise ReActError(
            f"Analyses ({', '.join(wanted)}) are of classes, and corpus {name!r} is of "
            f"{task}; leave 'analysis' out."
        )


def text_groups_of(corpus: EncodedCorpus, rows: Ids) -> dict[str, Ids]:
    """Groups of test rows by name: thirds by length, and whether annotators agreed where that is known."""
    words = corpus.words.cpu().numpy()[rows]
    low, high = np.quantile(words, [1 / 3, 2 / 3])
    place = (words > low).astype(int) + (words > high)
    groups = {name: rows[place == number] for number, name in enumerate(LENGTHS)}
    confidence = corpus.corpus.confidence
    if confidence is not None:
        known = confidence[rows]
        groups |= {AGREED: rows[known >= 1.0], DISPUTED: rows[known < 1.0]}
    return {name: members for name, members in groups.items() if members.size}


def _add(found: list[dict[str, Any]], name: str, values: Sequence[dict[str, Any]]) -> None:
    for record, value in zip(found, values, strict=True):
        record[name] = value
