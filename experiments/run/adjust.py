"""Running an adjustment: prepare corpora under their encoders, search, write the policy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from react_rl.agents.adjustment.search import SearchProgress
from react_rl.agents.adjustment.training import adjust, starting_scorer
from react_rl.data.corpus import Corpus
from react_rl.experiments.config.models import AdjustConfig
from react_rl.experiments.run.claim import claimed
from react_rl.experiments.run.training_folder import (
    Trained,
    begun_training,
    groups_of,
    inspect_training,
    refuse_other_training,
)
from react_rl.learners.registry import check_needs
from react_rl.pulse import pulse
from react_rl.simulation.corpora import OnFacts, prepare


def check_adjustable(config: AdjustConfig, corpora: Sequence[Corpus]) -> None:
    """Check that tasks can be made of corpora, before anything is encoded.

    Raises:
        ReActError: A corpus has no classes.
    """
    for corpus in corpora:
        check_needs(f"adjust on {corpus.name}", {"classes"}, config.learner.settings(), corpus.task)


def dry_run(config: AdjustConfig, results: Path, overwrite: bool, on_facts: OnFacts) -> None:
    """Check all that an adjustment checks before it encodes; nothing is written.

    Args:
        config: What to adjust.
        results: Folder that holds the folders of all experiments.
        overwrite: Replace another training that is in ``results/NAME``.
        on_facts: Told what the training corpora hold.

    Raises:
        ReActError: Something in the config does not exist or does not fit.
    """
    starting_scorer(config.adjustment.start)
    inspect_training(config, results, overwrite, on_facts, check=partial(check_adjustable, config))


def run_adjustment(
    config: AdjustConfig,
    results: Path,
    report: Callable[[SearchProgress], None] | None = None,
    progress: bool = True,
    overwrite: bool = False,
    on_facts: OnFacts | None = None,
) -> Trained:
    """Adjust a row scorer as the config says; the policy goes to ``results/NAME/policy``.

    Args:
        config: What to adjust, on which tasks.
        results: Folder that holds the folders of all experiments.
        report: Called after each step.
        progress: Show the encoder's progress.
        overwrite: Replace another training that is in ``results/NAME``.
        on_facts: Told what the corpora hold, before anything is encoded; None logs it.

    Raises:
        ReActError: Something in the config does not exist or does not fit; nothing was written then.
    """
    learner = config.learner.settings()
    starting_scorer(config.adjustment.start)
    folder = results / config.name
    about = f"Adjustment {config.name}: preparing the corpora"
    with claimed(folder), pulse(__name__, about) as say:
        refuse_other_training(config, folder, overwrite)

        def tell(state: SearchProgress) -> None:
            gain = "" if np.isnan(state.gain) else f", validation area {state.gain:+.4f} over the start's"
            say(f"Adjustment {config.name}: step {state.step} of {state.total}{gain}")
            if report is not None:
                report(state)

        corpora, check = [], partial(check_adjustable, config)
        for one in groups_of(config):
            asked = (one.corpora, one.encoder, config.device, progress)
            corpora += prepare(*asked, on_facts=on_facts, check=check)
        with begun_training(config, folder, corpora[0].device, overwrite):
            card = adjust(
                corpora,
                config.episode,
                config.adjustment,
                folder,
                config.strategy or config.name,
                tell,
                learner,
            )
    return Trained(folder / "policy", card)
