"""Arguments of a Stable-Baselines3 algorithm that have no key of their own here, and what they may be.

Classes are written ``module:Name`` (``torch.nn:ReLU``), so that configs and policy cards stay plain text.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final, get_args, get_origin

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import BasePolicy

from react_rl.errors import ReActError, suggestion
from react_rl.validation import checked_value

POLICY: Final = "policy_kwargs"
"""Argument that holds those of the policy's network."""

OURS: Final = {
    "learning_rate": "agent.learning_rate",
    "gamma": "agent.gamma",
    "seed": "agent.seed",
    "verbose": "-v",
    "tensorboard_log": "logs, which go to the folder of the training",
    "device": "the processor, where small networks are quickest",
    "policy": "the network for this observation",
    "env": "the environment",
    "_init_setup_model": "the training",
}
"""Arguments of every algorithm that are set elsewhere, and where."""

_ON_POLICY: Final = {
    "n_steps": "agent.episodes_per_update",
    "gae_lambda": "agent.gae_lambda",
    "ent_coef": "agent.entropy_weight",
    "batch_size": "agent.minibatches",
    "n_epochs": "agent.epochs",
}
_OF_FAMILY: Final = {"rollouts": _ON_POLICY, "replay": {"n_steps": "agent.n_steps"}}
_NETWORK: Final = {
    "net_arch": "agent.layers",
    "observation_space": "the observation",
    "action_space": "the action space",
    "lr_schedule": "agent.learning_rate",
}


def set_elsewhere(family: str) -> dict[str, str]:
    """Arguments of an algorithm that are set elsewhere, and where.

    Args:
        family: rollouts, replay or search.
    """
    return OURS | _OF_FAMILY.get(family, {})


def network_elsewhere(family: str) -> dict[str, str]:
    """Arguments of the network of an algorithm that are set elsewhere, and where.

    Args:
        family: How the algorithm learns: rollouts, replay or search.
    """
    return _NETWORK | ({"log_std_init": "agent.log_std"} if family == "rollouts" else {})


def plain(value: Any) -> Any:
    """The same value as text, numbers, lists and mappings: a class becomes ``module:Name``.

    Raises:
        ValueError: It is something else.
    """
    if isinstance(value, type):
        return f"{value.__module__}:{value.__qualname__}"
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ValueError(
        f"{value!r:.80} is {type(value).__name__}; give a number, a text, a list, a mapping or a class"
    )


def check_extra(
    name: str,
    algorithm: type[BaseAlgorithm],
    policy: type[BasePolicy],
    extra: Mapping[str, Any],
    family: str,
) -> None:
    """Check arguments against the signatures of an algorithm and its policy, and what is set here.

    Args:
        name: Name of the algorithm.
        algorithm: Its class.
        policy: Class of its policy.
        extra: The arguments, plain.
        family: How the algorithm learns: rollouts, replay or search.

    Raises:
        ReActError: One is unknown (the nearest is named), set elsewhere, or of the wrong type.
    """
    _check(name, "agent.extra", algorithm, extra, set_elsewhere(family))
    network = extra.get(POLICY)
    if network:
        where = f"agent.extra.{POLICY}"
        _check(f"The network of {name}", where, policy, network, network_elsewhere(family))


def parameters_of(made_by: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Arguments of a constructor by name, those that it hands on to the class above included."""
    if not isinstance(made_by, type):
        return dict(inspect.signature(made_by).parameters)
    found: dict[str, inspect.Parameter] = {}
    passes = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    for kind in made_by.__mro__:
        if "__init__" not in vars(kind):
            continue
        _, *own = inspect.signature(vars(kind)["__init__"]).parameters.values()
        for one in own:
            if one.kind not in passes:
                found.setdefault(one.name, one)
        if not any(one.kind is inspect.Parameter.VAR_KEYWORD for one in own):
            break
    return found


def made(callable_: Callable[..., Any], arguments: Mapping[str, Any], imports: bool) -> dict[str, Any]:
    """The arguments as a constructor takes them: classes for their names, tuples where it wants them.

    Args:
        callable_: The constructor.
        arguments: Plain arguments, checked.
        imports: Whether modules may be imported; names in files that came from elsewhere must not do that.

    Raises:
        ReActError: A class cannot be had.
    """
    hints = _hints(callable_)
    return {key: _object(value, hints.get(key), key, imports) for key, value in arguments.items()}


def _check(
    who: str, where: str, made_by: type, given: Mapping[str, Any], elsewhere: Mapping[str, str]
) -> None:
    hints = _hints(made_by)
    known = [key for key in hints if key not in elsewhere]
    for key, value in given.items():
        if key in elsewhere and (key in hints or key in OURS):
            raise ReActError(f"{where}.{key} is set by {elsewhere[key]}; leave it out of {where}.")
        if key not in hints:
            raise ReActError(
                f"{who} has no argument {key!r} ({where}).{suggestion(key, known)} "
                f"It has: {', '.join(known)}."
            )
        checked_value(f"{where}.{key}", _object(value, hints[key], key, True), hints[key])


def _hints(made_by: Any) -> dict[str, Any]:
    """Names of the arguments of a constructor with their types; None where there is no type."""
    parameters = parameters_of(made_by)
    return {
        name: None
        if one.annotation is inspect.Parameter.empty or isinstance(one.annotation, str)
        else one.annotation
        for name, one in parameters.items()
    }


def _base(hint: Any) -> type | None:
    """The class that a class given for ``hint`` must be derived from; None where no class is wanted."""
    for one in (hint, *get_args(hint)):
        if get_origin(one) is type:
            base = get_args(one)[0]
            return base if isinstance(base, type) else object
    return None


def _object(value: Any, hint: Any, key: str, imports: bool) -> Any:
    base = _base(hint)
    if base is not None and isinstance(value, str):
        return _class(value, base, key, imports)
    if isinstance(value, list) and any(get_origin(one) is tuple for one in (hint, *get_args(hint))):
        return tuple(value)
    return value


def _class(name: str, base: type, key: str, imports: bool) -> type:
    module_name, _, attribute = name.partition(":")
    module = sys.modules.get(module_name)
    if module is None and imports and attribute:
        try:
            module = importlib.import_module(module_name)
        except ImportError as error:
            raise ReActError(f"{key} {name!r} cannot be imported: {error}.") from None
    found = getattr(module, attribute, None) if attribute else None
    if not isinstance(found, type) or not issubclass(found, base):
        near = suggestion(attribute, dir(module)) if module is not None and attribute else ""
        raise ReActError(
            f"{key} is {name!r}; it must be a {base.__name__} written module:Name, such as "
            f"{'torch.optim:AdamW' if 'optim' in key else 'torch.nn:ReLU'}.{near}"
        )
    return found
