"""Running an imitation: prepare corpora, let the expert judge, fit, measure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from react_rl.agents.evaluation import Validation
from react_rl.agents.imitation.training import ImitationProgress, check_task, imitate
from react_rl.data.corpus import Corpus
from react_rl.experiments.config.models import ImitateConfig
from react_rl.experiments.run.claim import claimed
from react_rl.experiments.run.training_folder import (
    Trained,
    begun_training,
    inspect_training,
    refuse_other_training,
)
from react_rl.learners.registry import check_needs, learner_for
from react_rl.pulse import pulse
from react_rl.simulation.corpora import OnFacts, inspect_all, prepare
from react_rl.simulation.world import World
from react_rl.tasks.registry import TASK_METRIC, task_of


def _check(config: ImitateConfig, corpora: Sequence[Corpus]) -> None:
    """Raise a ReActError unless the expert can try rows of these corpora out."""
    task = task_of(corpora).name
    check_task(config.imitation, corpora, learner_for(task, config.learner.settings()))


def dry_run(config: ImitateConfig, results: Path, overwrite: bool, on_facts: OnFacts) -> None:
    """Check all that an imitation checks before it encodes; nothing is written.

    Args:
        config: What to train.
        results: Folder that holds the folders of all experiments.
        overwrite: Replace another training that is in ``results/NAME``.
        on_facts: Told what the training corpora hold.

    Raises:
        ReActError: Something in the config does not exist or does not fit.
    """
    check_needs("imitation", {"trials"}, config.learner.settings())
    inspect_training(config, results, overwrite, on_facts, check=partial(_check, config))


def run_imitation(
    config: ImitateConfig,
    results: Path,
    report: Callable[[ImitationProgress], None] | None = None,
    progress: bool = True,
    overwrite: bool = False,
    on_facts: OnFacts | None = None,
) -> Trained:
    """Train a row scorer as the config says; the policy goes to ``results/NAME/policy``.

    Args:
        config: What to train.
        results: Folder that holds the folders of all experiments.
        report: Called after each group of episodes and each fit.
        progress: Show the encoder's progress.
        overwrite: Replace another training that is in ``results/NAME``.
        on_facts: Told what the corpora hold, before anything is encoded; None logs it.

    Raises:
        ReActError: Something in the config does not exist or does not fit; nothing was written then.
    """
    check_needs("imitation", {"trials"}, config.learner.settings())
    folder = results / config.name
    about = f"Imitation {config.name}: preparing the corpora"
    with claimed(folder), pulse(__name__, about) as say:
        refuse_other_training(config, folder, overwrite)

        def tell(state: ImitationProgress) -> None:
            area = "" if np.isnan(state.validation) else f", validation area {state.validation:.4f}"
            where = f"{state.stage}, {state.states} of {state.total} states"
            say(f"Imitation {config.name}: {where}{area}")
            if report is not None:
                report(state)

        check = partial(_check, config)
        asked = (config.encoder, config.device, progress)
        if config.validation:  # nothing is encoded before all of it is checked
            inspect_all(config.validation, config.encoder, config.device, check=check)
        corpora = prepare(config.corpora, *asked, on_facts=on_facts, check=check)
        validation = corpora
        if config.validation:
            validation = prepare(config.validation, *asked, on_facts=lambda _: None)
        task = task_of([one.corpus for one in (*corpora, *validation)])
        learner = learner_for(task.name, config.learner.settings())
        measured = min(config.episode.dev_size, *(len(one.corpus.ids("dev")) for one in validation))
        options = config.episode.model_copy(update={"dev_size": measured})
        episodes = Validation(
            [World(validation, options, learner)], config.evaluation_episodes, metric=TASK_METRIC
        )
        with begun_training(config, folder, corpora[0].device, overwrite):
            card = imitate(
                corpora,
                episodes,
                config.episode,
                config.imitation,
                folder,
                config.strategy or config.name,
                tell,
                learner,
            )
    return Trained(folder / "policy", card)
