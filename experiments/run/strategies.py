"""From names in a config to query strategies: registered ones, one's own, and folders of trained policies."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path

from react_rl.acquisition.contract import LEARNED, QueryStrategy
from react_rl.acquisition.features import code_of_feature, feature_named, is_packaged_feature
from react_rl.acquisition.origin import added_by, base_of, is_packaged, parts_behind
from react_rl.acquisition.references import REFERENCES
from react_rl.acquisition.registry import (
    STRATEGIES,
    entry_of,
    is_strategy,
    made_of_one,
    make_strategy,
    needs_surprisal,
)
from react_rl.acquisition.strategies.weighted import FEATURE
from react_rl.acquisition.wide.proxy import PROXY
from react_rl.acquisition.wide.subsampling import SUBSAMPLE
from react_rl.agents.folder import CARD, IMITATION, WEIGHTS, PolicyCard, is_policy, named_by, read_card
from react_rl.agents.learned import load_strategy
from react_rl.agents.networks.registry import NETWORKS, network_named
from react_rl.agents.scorer_folder import pretrained_folder, pretrained_policies
from react_rl.envs.interfaces import ACTION_SPACES, interface_class
from react_rl.envs.observations import OBSERVATIONS
from react_rl.errors import ReActError, unknown
from react_rl.files import digest
from react_rl.learners.capabilities import SAID_OF_ROWS
from react_rl.learners.registry import LearnerSettings, check_needs, proxy_for
from react_rl.learners.registry import entry_of as learner_entry
from react_rl.own_code import OBSERVATION, STRATEGY, announced, load_outside, source_of


def resolve(name: str) -> QueryStrategy:
    """Make the strategy or reference that a config names.

    Raises:
        ReActError: It is neither a registered strategy nor a policy folder, or the policy is damaged.
    """
    made, folder = made_of_one(name), _policy_in(name)
    if made is not None and folder is not None:
        return made.make(label(name), resolve(made.base))
    if is_strategy(name):
        return make_strategy(name)
    if name in REFERENCES:
        return REFERENCES[name]()
    if folder is not None:
        return load_strategy(folder)
    if "/" in name or Path(name).exists():
        raise ReActError(f"{name} is no policy folder (no {CARD} in it); train one with `react-rl train`.")
    known = dict.fromkeys([*STRATEGIES, *announced(STRATEGY.group), *REFERENCES, *pretrained_policies()])
    raise unknown("strategy", name, known, "strategies")


def label(name: str) -> str:
    """Name of the strategy in tables and figures, without loading weights."""
    folder = _policy_in(name)
    if folder is not None:
        return name.removesuffix(base_of(name)) + read_card(folder).name
    if is_strategy(name) and not name.startswith(SUBSAMPLE) and name not in STRATEGIES:
        return make_strategy(name).name
    return name


def policies_of(names: Iterable[str]) -> dict[str, str]:
    """Folder of each trained policy among the names of a config, by its name in tables.

    Strategies that are made of a policy are not among them.
    """
    return {label(name): name for name in names if made_of_one(name) is None and _policy_in(name) is not None}


def identity(name: str) -> str:
    """What makes the strategy the one it is.

    Returns:
        Its name where it comes with this version of the package, the content of a policy's files, or a digest
        of the source of a strategy from elsewhere: changed code is another strategy.
    """
    folder = _policy_in(name)
    if folder is not None:
        card = read_card(folder)
        own = [source_of(part) for part in outside_parts(card)]
        around = [label(name)] if made_of_one(name) else []
        contents = (folder / WEIGHTS).read_bytes(), card.model_dump_json()
        return digest(*contents, *itertools.chain(*own), *around)
    if name in REFERENCES or is_packaged(name):
        return name
    return digest(name, *itertools.chain(*map(source_of, parts_behind(name))))


def outside_parts(card: PolicyCard) -> list[object]:
    """What a policy uses that does not come with this package."""
    named = named_by(card)
    parts = [part for name in named.strategies if not is_packaged(name) for part in parts_behind(name)]
    parts += [code_of_feature(name) for name in named.features if not is_packaged_feature(name)]
    if card.algorithm != IMITATION and named.observation not in OBSERVATIONS:
        parts.append(load_outside(named.observation, OBSERVATION))
    if card.algorithm != IMITATION and named.action_space not in ACTION_SPACES:
        parts.append(interface_class(named.action_space))
    if named.network not in NETWORKS:
        parts.append(network_named(named.network).extractor)
    return parts


def only_here(names: Iterable[str], modules: Collection[str] = ()) -> list[str]:
    """Strategies that this process alone knows, because a program registered them: workers do not.

    Args:
        names: Names in a config.
        modules: Modules that workers import, and which may register strategies.
    """
    alone = []
    for name in names:
        contained, folder = [name], _policy_in(name)
        if folder is not None:
            named = named_by(read_card(folder))
            contained = [*named.strategies, *(f"{FEATURE}{feature}" for feature in named.features)]
        added = [added_by(part) for part in contained if is_strategy(part)]
        alone += [name] if any(module not in (None, *modules) for module in added) else []
    return alone


def surprised(names: Iterable[str]) -> bool:
    """Whether a strategy among these, or one that a policy among these may choose, reads surprisal vectors.

    Raises:
        ReActError: The card of a policy is damaged.
    """
    named = list(names)
    policies = {name: folder for name in named if (folder := _policy_in(name)) is not None}
    chosen = [one for folder in policies.values() for one in named_by(read_card(folder)).strategies]
    return needs_surprisal([*(name for name in named if name not in policies), *chosen])


def check_learner(names: Iterable[str], learner: LearnerSettings, task: str | None = None) -> None:
    """Check that the learner can do what strategies, references and policies need.

    Args:
        names: The strategies.
        learner: Settings of the learner.
        task: Name of the task; None before corpora are loaded: then any that the learner can learn.

    Raises:
        ReActError: A strategy, or one that a policy among these may choose, or a feature that it reads, needs
            what the learner has not.
    """
    for name in names:
        try:
            _check_one(name, learner, task)
        except ReActError as error:
            fitting = _fitting_policies(name, learner, task)
            if not fitting:
                raise
            raise ReActError(
                f"{error} The policy {' or '.join(map(repr, fitting))}, which comes with the package, fits."
            ) from None


def _check_one(name: str, learner: LearnerSettings, task: str | None) -> None:
    """Check what one of the names needs; errors are those of ``check_learner``."""
    made, folder = made_of_one(name), _policy_in(name)
    if name in REFERENCES:
        check_needs(name, REFERENCES[name]().needs, learner, task)
    elif made is not None and folder is not None:
        if name.startswith(PROXY):
            _check_proxy(made.base, learner, task)
        else:
            check_learner([made.base], learner, task)
    elif folder is None and is_strategy(name):
        check_needs(name, entry_of(name).needs, learner, task)
    elif folder is not None:
        card = read_card(folder)
        named = named_by(card)
        check_learner(named.strategies, learner, task)
        if card.task in SAID_OF_ROWS:
            check_needs(card.name, {SAID_OF_ROWS[card.task]}, learner, task)
        for feature in named.features:
            if "classes" in feature_named(feature).needs:
                check_needs(f"{card.name} (feature {feature})", {"classes"}, learner, task)


def _check_proxy(base: str, learner: LearnerSettings, task: str | None) -> None:
    """Check that the proxy of the task, or of one that the learner can learn, does what a policy needs."""
    tasks = learner_entry(learner).tasks if task is None else (task,)
    for position, one in enumerate(tasks, 1):
        try:
            return check_learner([base], proxy_for(one), one)
        except ReActError:
            if position == len(tasks):
                raise


def _fitting_policies(name: str, learner: LearnerSettings, task: str | None) -> list[str]:
    """Policies of the package that could take the place of one, by name; none for other strategies."""
    folder = _policy_in(name)
    if folder is None and not (is_strategy(name) and entry_of(name).family == LEARNED):
        return []
    found = []
    for other in pretrained_policies():
        with suppress(ReActError):
            _check_one(other, learner, task)
            found.append(other)
    return found


def _policy_in(name: str) -> Path | None:
    """Folder of the policy that ``name`` is, or is made of; None where there is none.

    Policies that come with the package go by their names.
    """
    base = base_of(name)
    if is_strategy(base) or base in REFERENCES:
        return None
    if is_policy(Path(base)):
        return Path(base)
    return pretrained_folder(base) if base in pretrained_policies() else None
