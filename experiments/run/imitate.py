"""Running an imitation: prepare corpora, let the expert judge, fit, measure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from react_rl.agents.evaluation import Validation
from react_rl.agents.imitation.training import ImitationProgress, imitate
from react_rl.data.corpus import Corpus
from react_rl.errors import ReActError
from react_rl.experiments.config.models import ImitateConfig
from react_rl.experiments.run.results import circumstances
from react_rl.experiments.run.sameness import (
    as_read_now,
    read_mapping,
    refuse_another,
    training_differences,
)
from react_rl.experiments.run.train import TRAINING, Trained
from react_rl.files import canonical_json, write_atomically
from react_rl.learners.registry import check_needs
from react_rl.pulse import pulse
from react_rl.simulation.corpora import OnFacts, prepare
from react_rl.simulation.world import World


def check_imitable(corpora: Sequence[Corpus]) -> None:
    """Check that rows of corpora can be tried out, before anything is encoded.

    Raises:
        ReActError: A corpus has no classes, and so no learner that can be copied.
    """
    for corpus in corpora:
        if corpus.task != "classification":
            raise ReActError(
                f"Corpus {corpus.name!r} is of {corpus.task}, whose learners cannot be copied to try rows "
                "out; imitate on corpora of classification, with imitation.features that need no classes "
                f"(see react-rl list features), and the policy can be compared on {corpus.name!r}."
            )


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
    old = None if overwrite else read_mapping(folder / TRAINING)
    if old is not None:
        written = as_read_now(ImitateConfig, old)
        refuse_another(folder, "training", training_differences(written, config.model_dump(mode="json")))
    with pulse(__name__, f"Imitation {config.name}: preparing the corpora") as say:

        def tell(state: ImitationProgress) -> None:
            area = "" if np.isnan(state.validation) else f", validation area {state.validation:.4f}"
            where = f"{state.stage}, {state.states} of {state.total} states"
            say(f"Imitation {config.name}: {where}{area}")
            if report is not None:
                report(state)

        asked = (config.encoder, config.device, progress)
        corpora = prepare(config.corpora, *asked, on_facts=on_facts, check=check_imitable)
        validation = corpora
        if config.validation:
            validation = prepare(config.validation, *asked, check=check_imitable)
        learner = config.learner.settings()
        measured = min(config.episode.dev_size, *(len(one.corpus.ids("dev")) for one in validation))
        options = config.episode.model_copy(update={"dev_size": measured})
        episodes = Validation([World(validation, options, learner)], config.evaluation_episodes)
        write_atomically(folder / TRAINING, canonical_json(config.model_dump(mode="json"), indent=1) + "\n")
        write_atomically(
            folder / "train-circumstances.json",
            canonical_json(circumstances(str(corpora[0].device)), indent=1) + "\n",
        )
        before = torch.get_num_threads()
        torch.set_num_threads(config.threads)
        try:
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
        finally:
            torch.set_num_threads(before)
    return Trained(folder / "policy", card)
