"""Running a search for settings of a training: one trial after the other, judged by the validation area.

What was tried is in a journal, so that the same command goes on after a stop, with the training that was
under way, and finds what an undisturbed search finds.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import yaml

from react_rl.agents.training import TrainingProgress
from react_rl.errors import ReActError, first_line
from react_rl.experiments.config.frozen import check_config
from react_rl.experiments.config.models import TrainConfig
from react_rl.experiments.config.tuning import Range, TuneConfig, with_values
from react_rl.experiments.run.claim import claimed
from react_rl.experiments.run.sameness import as_read_now, differences, read_mapping, refuse_another
from react_rl.experiments.run.train import dry_run, run_training
from react_rl.files import canonical_json, write_atomically
from react_rl.seeding import entropy_of

if TYPE_CHECKING:
    import optuna

SEARCH: Final = "tune.json"
"""The config of a search, beside its journal."""
JOURNAL: Final = "journal.log"
BEST: Final = "best.yaml"
TRIALS: Final = "trials.csv"

_FOLDER: Final = "folder"
_REASON: Final = "reason"


@dataclass(frozen=True)
class TuningProgress:
    """Where a search stands, for those who show it.

    Args:
        trial: Trials finished.
        total: Trials asked for.
        best: Best validation area so far; None before there is one.
        training: Where the training under way stands.
    """

    trial: int
    total: int
    best: float | None
    training: TrainingProgress | None = None


@dataclass(frozen=True)
class Tuned:
    """A finished search.

    Args:
        folder: The search's folder.
        config: Config of the best training, in a file that ``react-rl train`` takes.
        policy: The policy that it made.
        values: What was found, by key.
        area: Validation area of that policy.
        areas: Validation area of each finished trial.
    """

    folder: Path
    config: Path
    policy: Path
    values: Mapping[str, Any]
    area: float
    areas: tuple[float, ...]


class _Pruned(Exception):
    """The trial under way is not worth going on with."""


def run_tuning(
    config: TuneConfig,
    results: str | Path,
    report: Callable[[TuningProgress], None] | None = None,
    progress: bool = True,
    overwrite: bool = False,
) -> Tuned:
    """Search as the config says; what is best so far is in ``results/NAME/best.yaml`` after each trial.

    Args:
        config: What to search.
        results: Folder that holds the folders of all experiments.
        report: Called after each trial and each report of a training.
        progress: Show the encoder's progress.
        overwrite: Replace another search that is in ``results/NAME``.

    Returns:
        What was found.

    Raises:
        ReActError: Optuna is not installed, the config does not fit, or no trial could be finished.
        WriteError: A file cannot be written; finished trials are kept.
    """
    check_config(config, TuneConfig)
    library = _optuna()
    folder = Path(results) / config.name
    dry_run(config.training, folder, True, lambda _: None)
    with claimed(folder):
        _begin(folder, config, overwrite)
        search = _Search(config, folder, library, report, progress)
        while len(search.done()) < config.trials:
            search.run_next()
        return search.result()


def _optuna() -> ModuleType:
    try:
        import optuna
    except ImportError:
        raise ReActError(
            "react-rl tune searches with Optuna, which is not installed: pip install 'react-rl[tune]'."
        ) from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _begin(folder: Path, config: TuneConfig, overwrite: bool) -> None:
    """Refuse a folder with another search; forget one that is to be replaced."""
    said = config.model_dump(mode="json")
    old = None if overwrite else read_mapping(folder / SEARCH)
    if old is not None:
        before, now = (
            {key: value for key, value in one.items() if key != "trials"}
            for one in (as_read_now(TuneConfig, old), said)
        )
        refuse_another(folder, "search", differences(before, now))
    elif (folder / JOURNAL).exists():
        (folder / JOURNAL).unlink()
    write_atomically(folder / SEARCH, canonical_json(said, indent=1) + "\n")


class _Search:
    """One search under way."""

    def __init__(
        self,
        config: TuneConfig,
        folder: Path,
        library: Any,
        report: Callable[[TuningProgress], None] | None,
        progress: bool,
    ) -> None:
        self._config, self._folder, self._report, self._progress = config, folder, report, progress
        self._library = library
        pruner: Any = library.pruners.NopPruner()
        if config.prune:
            # The first measurement is that of fresh weights.
            pruner = library.pruners.MedianPruner(n_startup_trials=config.startup, n_warmup_steps=1)
        try:
            self._study = self._opened(pruner)
            self._resume()
        except (ReActError, OSError):
            raise
        except Exception as error:  # Optuna reads whatever is in the journal
            raise ReActError(
                f"{folder / JOURNAL} is damaged ({first_line(error)}); remove it and run the same command: "
                "what finished trials have trained is kept."
            ) from error

    def _opened(self, pruner: Any) -> optuna.Study:
        library = self._library
        journal = library.storages.journal
        storage = library.storages.JournalStorage(journal.JournalFileBackend(str(self._folder / JOURNAL)))
        study: optuna.Study = library.create_study(
            storage=storage,
            study_name=self._config.name,
            direction="maximize",
            pruner=pruner,
            load_if_exists=True,
        )
        return study

    def _resume(self) -> None:
        """Ask for what was under way when the search was stopped once more, with the same settings."""
        state = self._library.trial.TrialState
        for trial in self._study.get_trials(states=(state.RUNNING,)):
            self._study.tell(trial.number, state=state.FAIL)
            folder = trial.user_attrs.get(_FOLDER)
            own = {} if folder is None else {_FOLDER: folder}
            self._study.enqueue_trial(trial.params, user_attrs=own)

    def done(self) -> list[optuna.trial.FrozenTrial]:
        """Trials that need not be run again: finished, given up, or impossible."""
        state = self._library.trial.TrialState
        ended = self._study.get_trials(states=(state.COMPLETE, state.PRUNED, state.FAIL))
        return [one for one in ended if one.state != state.FAIL or _REASON in one.user_attrs]

    def run_next(self) -> None:
        """Run one more trial."""
        number, config = len(self.done()), self._config
        state = self._library.trial.TrialState
        # What a trial tries follows from those before it and its number, however often it was stopped.
        seed = int(np.random.SeedSequence(entropy_of(config.seed, "trial", str(number))).generate_state(1)[0])
        self._study.sampler = self._library.samplers.TPESampler(seed=seed, n_startup_trials=config.startup)
        trial = self._study.ask()
        if _FOLDER not in trial.user_attrs:
            trial.set_user_attr(_FOLDER, f"{number:04d}")
        name = trial.user_attrs[_FOLDER]
        values = {key: _suggest(trial, key, space) for key, space in config.search.items()}
        folder = self._folder / "trials" / name
        try:
            training = with_values(config.training, values, name)
            trained = run_training(
                training,
                self._folder / "trials",
                lambda at: self._judge(trial, folder, at),
                self._progress,
            )
        except _Pruned:
            self._study.tell(trial, state=state.PRUNED)
        except ReActError as error:
            trial.set_user_attr(_REASON, str(error))
            self._study.tell(trial, state=state.FAIL)
        else:
            self._study.tell(trial, max(point["area"] for point in trained.card.validation))
        self._write()
        self._say()

    def _judge(self, trial: optuna.Trial, folder: Path, at: TrainingProgress) -> None:
        """Note the areas measured so far; give the trial up where they are low."""
        self._say(at)
        known = self._study.get_trials(deepcopy=False)[trial.number].intermediate_values
        for episodes, area in _curve(folder / "validation.csv"):
            if episodes not in known:
                trial.report(area, episodes)
        if at.episodes < at.total and trial.should_prune():
            raise _Pruned

    def _say(self, training: TrainingProgress | None = None) -> None:
        if self._report is not None:
            best = self._best()
            area = None if best is None else best.value
            self._report(TuningProgress(len(self.done()), self._config.trials, area, training))

    def _best(self) -> optuna.trial.FrozenTrial | None:
        """The finished trial with the largest area, the earliest of equal ones."""
        finished = [one for one in self.done() if one.value is not None]
        return max(finished, key=lambda one: (one.value or 0.0, -one.number), default=None)

    def _training(self, trial: optuna.trial.FrozenTrial) -> TrainConfig:
        return with_values(self._config.training, self._values(trial), f"{self._config.name}-best")

    def _values(self, trial: optuna.trial.FrozenTrial) -> dict[str, Any]:
        return {
            key: trial.params[key] if isinstance(space, Range) else json.loads(trial.params[key])
            for key, space in self._config.search.items()
            if key in trial.params
        }

    def _write(self) -> None:
        """Write the table of trials and the best config so far."""
        keys = list(self._config.search)
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(["trial", "state", "area", *keys, "reason"])
        for trial in self.done():
            values = self._values(trial)
            shown = [json.dumps(values.get(key)) for key in keys]
            state, reason = trial.state.name.lower(), trial.user_attrs.get(_REASON, "")
            area = "" if trial.value is None else round(trial.value, 6)
            table.writerow([trial.user_attrs[_FOLDER], state, area, *shown, reason])
        write_atomically(self._folder / TRIALS, text.getvalue())
        best = self._best()
        if best is not None:
            said = (
                f"# The best of {len(self.done())} trials of {self._config.name}, number "
                f"{best.user_attrs[_FOLDER]}: validation area {best.value:.4f}.\n"
            )
            body = yaml.safe_dump(self._training(best).model_dump(mode="json"), sort_keys=False)
            write_atomically(self._folder / BEST, said + body)

    def result(self) -> Tuned:
        """What was found.

        Raises:
            ReActError: No trial was finished.
        """
        best = self._best()
        if best is None or best.value is None:
            reason = next((one.user_attrs[_REASON] for one in self.done() if _REASON in one.user_attrs), "-")
            raise ReActError(f"No trial of {self._config.name} could be finished; the first said: {reason}")
        return Tuned(
            self._folder,
            self._folder / BEST,
            self._folder / "trials" / best.user_attrs[_FOLDER] / "policy",
            self._values(best),
            best.value,
            tuple(one.value for one in self.done() if one.value is not None),
        )


def _suggest(trial: optuna.Trial, key: str, space: Range | tuple[Any, ...]) -> Any:
    if not isinstance(space, Range):
        return json.loads(trial.suggest_categorical(key, [json.dumps(value) for value in space]))
    if space.whole:
        return trial.suggest_int(key, int(space.low), int(space.high), log=space.log)
    return trial.suggest_float(key, space.low, space.high, log=space.log)


def _curve(path: Path) -> list[tuple[int, float]]:
    """Episodes and area of each measurement of a training so far."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [(int(float(row["episodes"])), float(row["area"])) for row in csv.DictReader(file)]
