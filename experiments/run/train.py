"""Running a training: prepare corpora, build the environment, train, keep the best policy by validation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from react_rl.acquisition.registry import needs_surprisal
from react_rl.agents.evaluation import Validation
from react_rl.agents.settings import check_fit as check_algorithm
from react_rl.agents.start import starting_weights
from react_rl.agents.training import TrainingProgress, train
from react_rl.data.corpus import Corpus
from react_rl.envs.checks import by_task, check_tasks, dealt_slots
from react_rl.envs.interfaces import Interface, check_learner_of, make_interface
from react_rl.envs.many_worlds import labeling
from react_rl.envs.observations import Observation, make_observation
from react_rl.envs.paired import GROUP, check_equal_prices, check_pairing
from react_rl.envs.rewards import reward_form
from react_rl.errors import unknown
from react_rl.experiments.config.frozen import check_config
from react_rl.experiments.config.models import TrainConfig
from react_rl.experiments.config.tasks import learner_of, of_several
from react_rl.experiments.run.claim import claimed
from react_rl.experiments.run.training_folder import (
    Trained,
    begun_training,
    inspect_training,
    refuse_other_training,
)
from react_rl.files import remove_abandoned
from react_rl.learners.registry import LearnerSettings, check_models
from react_rl.metrics.registry import METRICS
from react_rl.own_code import import_modules
from react_rl.pulse import pulse
from react_rl.simulation.corpora import OnFacts, inspect_all, prepare
from react_rl.simulation.draw import check_fit
from react_rl.simulation.drawn_options import drawn_options, mean_price
from react_rl.simulation.encoded import EncodedCorpus
from react_rl.simulation.world import World, worlds_by_task
from react_rl.tasks.registry import TASK_METRIC


def observation_of(config: TrainConfig) -> Observation:
    """What the policy sees: unless told otherwise, the metric that it is paid for."""
    return make_observation(config.observation.name, config.observation.metric or config.reward.metric)


def check_training(config: TrainConfig) -> Interface:
    """Check what needs no corpus, and build the interface.

    Raises:
        ReActError: A metric, a feature or a strategy is unknown, rewards cannot be paired as asked for, the
            algorithm does not fit the space, or the policy to start from does not fit.
    """
    import_modules(config.modules)
    if config.reward.metric not in (TASK_METRIC, *METRICS):
        raise unknown("metric", config.reward.metric, METRICS)
    reward_form(config.reward.kind)
    action = config.action_space.settings()
    interface = make_interface(action.pop("name"), observation_of(config), **action)
    if not config.tasks:
        check_learner_of(interface, config.learner.settings())
        check_pairing(config.reward, interface, _slots(config), config.learner.settings())
    check_algorithm(config.agent, interface.observation_space, interface.action_space)
    starting_weights(config.agent, interface)
    return interface


def _slots(config: TrainConfig) -> int:
    """Training episodes side by side."""
    return min(config.agent.n_envs, config.agent.episodes)


def _learner_by_task(config: TrainConfig, corpora: Sequence[Corpus]) -> Callable[[str], LearnerSettings]:
    """The learner of each task that is among corpora."""
    several = of_several(config, list(dict.fromkeys(corpus.task for corpus in corpora)))
    return lambda task: (learner_of(config, task) if several else config.learner).settings()


def _check_tasks(config: TrainConfig, interface: Interface, corpora: Sequence[Corpus]) -> None:
    """Check that learners, actions and metrics fit the tasks of corpora, and that models are there."""
    learner = _learner_by_task(config, corpora)
    check_tasks(corpora, interface, config.reward.metric, learner)
    for task in by_task(corpora):
        check_models(learner(task))


def _check_training_corpora(config: TrainConfig, interface: Interface, corpora: Sequence[Corpus]) -> None:
    """The same, and that rewards can be paired and episodes of drawn sizes fit the training corpora."""
    _check_tasks(config, interface, corpora)
    learner, tasks, size = _learner_by_task(config, corpora), by_task(corpora), config.reward.group_size
    groups = config.draws.groups_among(_slots(config) // len(tasks), size) if config.draws.some else 1
    slots = dealt_slots(_slots(config), len(tasks) * groups, tasks, size)
    for place, (task, own) in enumerate(tasks.items()):
        for n in slots[place * groups : (place + 1) * groups]:
            check_pairing(config.reward, interface, n, learner(task))
        check_equal_prices(config.reward, own)
        if config.draws.some:
            for options in drawn_options(config.draws, config.episode_of(task), groups, mean_price(own)):
                for corpus in own:
                    check_fit(corpus, options)


def worlds_of(config: TrainConfig, corpora: Sequence[EncodedCorpus]) -> list[World]:
    """Corpora by their tasks, in the order in which the config names these, as they are played.

    Raises:
        ReActError: The config says something of a task that no corpus is of.
    """
    learner = _learner_by_task(config, [corpus.corpus for corpus in corpora])
    return worlds_by_task(corpora, config.episode_of, learner)


def dry_run(config: TrainConfig, results: Path, overwrite: bool, on_facts: OnFacts) -> None:
    """Check all that a training checks before it encodes; nothing is written.

    Args:
        config: What to train.
        results: Folder that holds the folders of all experiments.
        overwrite: Replace another training that is in ``results/NAME``.
        on_facts: Told what the training corpora hold.

    Raises:
        ReActError: Something in the config does not exist or does not fit.
    """
    interface = check_training(config)
    checks = (partial(one, config, interface) for one in (_check_training_corpora, _check_tasks))
    inspect_training(config, results, overwrite, on_facts, *checks, episode=config.episode_of)


def run_training(
    config: TrainConfig,
    results: str | Path,
    report: Callable[[TrainingProgress], None] | None = None,
    progress: bool = True,
    overwrite: bool = False,
    on_facts: OnFacts | None = None,
) -> Trained:
    """Train as the config says; the policy goes to ``results/NAME/policy``.

    Args:
        config: What to train.
        results: Folder that holds the folders of all experiments.
        report: Called after each rollout and each evaluation.
        progress: Show the encoder's progress.
        overwrite: Replace another training that is in ``results/NAME``.
        on_facts: Told what the training corpora hold, before anything is encoded; None logs it.

    Raises:
        ReActError: Something in the config does not exist or does not fit; nothing was written then.
        WriteError: A file of the training cannot be written; the best policy so far is kept.
    """
    check_config(config, TrainConfig)
    interface = check_training(config)  # before anything is touched
    results = Path(results)
    about = f"Training {config.name}: preparing the corpora"
    with claimed(results / config.name), pulse(__name__, about) as say:

        def tell(state: TrainingProgress) -> None:
            areas = f"validation area {state.validation:.4f}, best {state.best:.4f}"
            say(f"Training {config.name}: {state.episodes} of {state.total} episodes, {areas}")
            if report is not None:
                report(state)

        return _run(config, interface, results, tell, progress, overwrite, on_facts)


def _run(
    config: TrainConfig,
    interface: Interface,
    results: Path,
    report: Callable[[TrainingProgress], None],
    progress: bool,
    overwrite: bool,
    on_facts: OnFacts | None,
) -> Trained:
    folder = results / config.name
    remove_abandoned(folder)
    refuse_other_training(config, folder, overwrite)
    against = config.reward.against
    paired = () if against in (None, GROUP) else (against,)
    surprisal = needs_surprisal((*(config.action_space.strategies or ()), *paired))
    asked = (config.encoder, config.device, progress, config.episode_of, surprisal)
    if config.validation:  # nothing is encoded before all of it is checked
        place, check = (
            (config.encoder, config.device, config.episode_of),
            partial(_check_tasks, config, interface),
        )
        inspect_all(config.validation, *place, check=check)
    corpora = prepare(config.corpora, *asked, on_facts, partial(_check_training_corpora, config, interface))
    validation: list[EncodedCorpus] = corpora
    if config.validation:
        validation = prepare(config.validation, *asked, on_facts=lambda _: None)
    core = labeling(worlds_of(config, corpora), interface, config.reward, _slots(config), config.draws)
    episodes = Validation(
        worlds_of(config, validation),
        config.agent.evaluation_episodes,
        metric=config.reward.metric,
        observed=interface.metrics,
        priced=config.reward if config.reward.cost_weight > 0 else None,
    )
    with begun_training(config, folder, corpora[0].device, overwrite):
        card = train(
            core, episodes, config.agent, config.reward, folder, config.strategy or config.name, report
        )
    return Trained(folder / "policy", card)
