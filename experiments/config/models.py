"""The two configs, `train` and `compare`: frozen models, read from YAML, overridden on the command line."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar

import tyro
from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from react_rl.acquisition.stopping import StoppingSettings
from react_rl.agents.adjustment.settings import AdjustmentSettings
from react_rl.agents.imitation.settings import ImitationSettings
from react_rl.agents.settings import EXTRA_NAMES, AgentSettings
from react_rl.data.config import CorpusConfig
from react_rl.documents import parse_yaml
from react_rl.encoders.config import EncoderConfig
from react_rl.envs.rewards import RewardSettings
from react_rl.errors import ReActError, unknown
from react_rl.experiments.config.analysis import Analysis, RobustnessSettings
from react_rl.experiments.config.frozen import FolderName, Frozen
from react_rl.experiments.config.interface import ActionConfig, ObservationConfig
from react_rl.experiments.config.learners import AnyLearner, SoftmaxLearner
from react_rl.experiments.config.mappings import MAPPINGS
from react_rl.experiments.config.sources import check_command, read_config
from react_rl.experiments.config.tasks import TaskConfig, check_task_names, episode_of, without_empty_tasks
from react_rl.metrics.registry import METRICS
from react_rl.own_code import look_in
from react_rl.simulation.drawn_options import DrawSettings
from react_rl.simulation.options import EpisodeOptions
from react_rl.validation import Name, check_key, explain, validated

_UNREADABLE: Final = re.compile(r"^Error parsing --([\w.-]+): no type matching .* from \[(.*)\]")
_WRONG_VALUE: Final = re.compile(
    r"^Error parsing ([\w.-]+): 1 validation error for (\w+) (?!Value error)(\w[\w.]*) "
    r"(?:Value error, )?(.+?) \[type=\w+, input_value=(.+?), input_type="
)
"""What pydantic says of a value, in tyro's words around it."""
_EXTRA: Final = "--agent.extra."
_NO_BRACKETS: Final = "the parts of a list follow each other without brackets"
_KIND: Final = "--learner.kind"


class TrainConfig(Frozen):
    """Train a policy."""

    name: FolderName
    """Results go to results/NAME."""
    corpora: tuple[CorpusConfig, ...] = Field(min_length=1)
    """Corpora that training episodes are drawn from."""
    validation: tuple[CorpusConfig, ...] = ()
    """Corpora that choose the best policy; empty means fresh episodes of the training corpora."""
    modules: tuple[Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*$")], ...] = ()
    """Modules to import first, such as those that register parts."""
    strategy: Name | None = None
    """Name of the learned strategy in tables and figures; None takes the training's name."""
    encoder: EncoderConfig = EncoderConfig()
    """Frozen encoder."""
    learner: AnyLearner = SoftmaxLearner()
    """Model trained on bought labels."""
    episode: EpisodeOptions = EpisodeOptions()
    """Sizes, budget and annotator of one episode."""
    tasks: Annotated[dict[str, TaskConfig], tyro.conf.Suppress] = Field(default={})
    """With corpora of several tasks: by the name of a task, its own learner and keys of its episodes."""
    draws: DrawSettings = DrawSettings()
    """Sizes that groups of training episodes have in place of those of episode; validation keeps episode."""
    action_space: ActionConfig = ActionConfig()
    """What the policy decides."""
    observation: ObservationConfig = ObservationConfig()
    """What the policy sees."""
    reward: RewardSettings = RewardSettings()
    """What the policy is paid for."""
    agent: AgentSettings = AgentSettings()
    """Algorithm and length of training."""
    device: str = "auto"
    """auto, cpu or cuda."""
    threads: int = Field(default=1, ge=1, le=1024)
    """Threads of the simulation; its products are small, so one is usually fastest."""

    @model_validator(mode="after")
    def _check(self) -> TrainConfig:
        check_task_names(self)
        return self

    @model_serializer(mode="wrap")
    def _written(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values = without_empty_tasks(handler(self))
        return {key: one for key, one in values.items() if key != "draws" or one}

    def episode_of(self, task: str) -> EpisodeOptions:
        """Episodes of a task."""
        return episode_of(self, task)


class ImitateConfig(Frozen):
    """Train a row scorer by imitating a look-ahead expert."""

    name: FolderName
    """Results go to results/NAME."""
    corpora: tuple[CorpusConfig, ...] = Field(min_length=1)
    """Corpora whose texts the training tasks are made of."""
    validation: tuple[CorpusConfig, ...] = ()
    """Corpora on which the policy is measured; empty means the training corpora under their own labels."""
    strategy: Name | None = None
    """Name of the policy in tables and figures; the default is the name of the training."""
    encoder: EncoderConfig = EncoderConfig()
    """Frozen encoder."""
    learner: AnyLearner = SoftmaxLearner()
    """Model trained on bought labels, which the expert must be able to copy; a cheap one where it does not
    learn the task."""
    episode: EpisodeOptions = EpisodeOptions()
    """Sizes and annotator of an episode; imitation says what is drawn in place of them."""
    imitation: ImitationSettings = ImitationSettings()
    """States, candidates and networks."""
    evaluation_episodes: int = Field(default=64, ge=1, le=10**5)
    """Validation episodes, shared evenly among the validation corpora."""
    device: str = "cpu"
    """auto, cpu or cuda."""
    threads: int = Field(default=1, ge=1, le=1024)
    """Threads of the simulation; its products are small, so one is usually fastest."""


class EncodedCorpora(Frozen):
    """Corpora under one encoder."""

    corpora: tuple[CorpusConfig, ...] = Field(min_length=1)
    """The corpora."""
    encoder: EncoderConfig = EncoderConfig()
    """Frozen encoder."""


class AdjustConfig(Frozen):
    """Adjust a row scorer by the area of whole episodes."""

    name: FolderName
    """Results go to results/NAME."""
    corpora: tuple[CorpusConfig, ...] = Field(min_length=1)
    """Corpora that the tasks are made of."""
    encoder: EncoderConfig = EncoderConfig()
    """Frozen encoder."""
    further: Annotated[tuple[EncodedCorpora, ...], tyro.conf.Suppress] = ()
    """The same corpora or others under further encoders, whose embeddings have as many dimensions."""
    strategy: Name | None = None
    """Name of the policy in tables and figures; the default is the name of the adjustment."""
    learner: AnyLearner = SoftmaxLearner()
    """Model trained on bought labels."""
    episode: EpisodeOptions = EpisodeOptions()
    """Size of the dev set and annotator of an episode; adjustment says how the other sizes are drawn."""
    adjustment: AdjustmentSettings = AdjustmentSettings()
    """What is changed, tasks and steps."""
    device: str = "cpu"
    """auto, cpu or cuda."""
    threads: int = Field(default=1, ge=1, le=1024)
    """Threads of the simulation; its products are small, so one is usually fastest."""


class CompareConfig(Frozen):
    """Compare query strategies: strategies x corpora x seeds with common random numbers."""

    name: FolderName
    """Results go to results/NAME."""
    corpora: tuple[CorpusConfig, ...] = Field(min_length=1)
    """Corpora to compare on."""
    strategies: tuple[str, ...] = ("random", "margin", "entropy", "k-center", "typicality", "mixture")
    """Names of query strategies, one's own (module:Name), or folders of trained policies."""
    modules: tuple[Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*$")], ...] = ()
    """Modules to import first, in every process: those that register parts, or that policies use."""
    seeds: int = Field(default=32, ge=1, le=10**5)
    """Episodes of each strategy on each corpus; seed k is the same draw for all strategies."""
    first_seed: int = Field(default=0, ge=0, le=2**32 - 1)
    """Number of the first seed."""
    reference: str = "random"
    """Strategy that differences are taken to: its name, or the folder of a policy."""
    metrics: tuple[str, ...] = ("accuracy", "macro_f1")
    """Metrics of dev and test after each round; the first one of a corpus's task is tabled and plotted."""
    test_size: int | None = Field(default=2000, ge=2, le=10**9)
    """Most test rows to measure on; None takes all."""
    encoder: EncoderConfig = EncoderConfig()
    """Frozen encoder."""
    learner: AnyLearner = SoftmaxLearner()
    """Model trained on bought labels."""
    episode: EpisodeOptions = EpisodeOptions()
    """Sizes, budget and annotator of one episode."""
    tasks: Annotated[dict[str, TaskConfig], tyro.conf.Suppress] = Field(default={})
    """With corpora of several tasks: by the name of a task, its own learner and keys of its episodes."""
    stopping: StoppingSettings = StoppingSettings()
    """Rule that ends an episode before its budget does."""
    full: Literal["auto", "never", "always"] = "auto"
    """Measure once for each corpus and seed what the learner reaches with the labels of the whole pool; auto
    does it for the linear head, where it costs next to nothing."""
    analysis: tuple[Analysis, ...] = ()
    """What to keep of each run's last model for the report: robustness, calibration, per-class."""
    robustness: RobustnessSettings = RobustnessSettings()
    """Disturbed test texts, where analysis names robustness."""
    device: str = "auto"
    """auto, cpu or cuda."""
    jobs: int | None = Field(default=None, ge=1, le=1024)
    """Worker processes; None takes one for each core, or one for each GPU."""

    @model_validator(mode="after")
    def _check(self) -> CompareConfig:
        for metric in self.metrics:
            # Modules may register tasks, which have metrics of their own; ``by_task`` knows these.
            if metric not in METRICS and not self.modules:
                raise ValueError(str(unknown("metric", metric, METRICS)).rstrip("."))
        for what, names in (("metric", self.metrics), ("strategy", self.strategies)):
            if not names:
                raise ValueError(f"give at least one {what}")
            for name in names:
                if names.count(name) > 1:
                    raise ValueError(f"{what} {name!r} is named twice; name each once")
        if len(set(self.analysis)) != len(self.analysis):
            raise ValueError("name each analysis once")
        check_task_names(self)
        return self

    @model_serializer(mode="wrap")
    def _written(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return without_empty_tasks(handler(self))

    def episode_of(self, task: str) -> EpisodeOptions:
        """Episodes of a task."""
        return episode_of(self, task)


Config = TypeVar("Config", bound=Frozen)


def load_config(kind: type[Config], source: str, overrides: Sequence[str] = ()) -> Config:
    """Read a config from a YAML file, or a packaged one by name, and apply command-line overrides.

    Args:
        kind: TrainConfig, ImitateConfig, AdjustConfig, TuneConfig or CompareConfig.
        source: Path of a YAML file, or a name from ``packaged_configs``.
        overrides: Arguments like ``--agent.episodes 100``.

    Raises:
        ReActError: The file is missing or no YAML mapping, or a key or value is wrong.
        SystemExit: Help was asked for.
    """
    if Path(source).parent.is_dir():
        look_in(Path(source).parent)  # one's own modules may be beside the config
    values = read_config(source)
    check_command(kind.model_fields, values, f"Config {source}")
    overrides = _take_kind(values, _take_extra(values, overrides))
    config = validated(kind, values, f"Config {source}")
    return overridden(config, overrides, f"config {source}")


def overridden(config: Config, overrides: Sequence[str], what: str) -> Config:
    """Apply command-line overrides to a config.

    Args:
        config: The config.
        overrides: Arguments like ``--agent.episodes 100``.
        what: What it is, for messages: "config demo.yaml".

    Raises:
        ReActError: A key or value is wrong.
        SystemExit: Help was asked for.
    """
    if not overrides:
        return config
    kind = type(config)
    for argument in overrides:
        if argument.startswith("--") and argument not in ("--help", "--helpfull"):
            key = argument.removeprefix("--").split("=")[0].replace("-", "_")
            *sections, last = key.split(".")
            if sections == ["agent"] and last in EXTRA_NAMES and last not in AgentSettings.model_fields:
                raise ReActError(f"Override {argument}: write {_EXTRA}{last}, as Stable-Baselines3 calls it.")
            # Switches come in pairs: --action-space.stop and --action-space.no-stop.
            check_key(config, ".".join([*sections, last.removeprefix("no_")]), f"Override {argument}")
        elif argument.startswith("["):
            raise ReActError(f"Override of {what}: {_NO_BRACKETS} ({argument}).")
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(
                kind,
                args=list(overrides),
                default=config,
                prog=f"react-rl ... {what.removeprefix('config ')}",
                config=(tyro.conf.AvoidSubcommands,),  # the learner's kind is settled already
                registry=MAPPINGS,
            )
    except ValidationError as error:
        raise ReActError(f"{what[0].upper()}{what[1:]} with overrides: {explain(kind, error)}") from None
    except SystemExit as stopped:
        if stopped.code in (0, None):
            raise
        raise ReActError(f"Override of {what}: {_complaint(said.getvalue())}") from None


def _take_extra(values: Any, overrides: Sequence[str]) -> list[str]:
    """Put ``--agent.extra.KEY VALUE`` into the values of a config, and return the other overrides. Mutates.

    What an algorithm takes is known to its own signature only, so no parser has these keys.

    Raises:
        ReActError: A value is missing or cannot be read.
    """
    rest: list[str] = []
    waiting = iter(overrides)
    for argument in waiting:
        if not argument.startswith(_EXTRA):
            rest.append(argument)
            continue
        key, equals, text = argument.removeprefix(_EXTRA).partition("=")
        if not equals:
            text = next(waiting, "")
        if not key or not text:
            raise ReActError(f"Override {argument} needs a key and a value: {_EXTRA}clip_range 0.1.")
        if isinstance(values, dict) and isinstance(values.setdefault("agent", {}), dict):
            *parents, last = key.split(".")
            place = values["agent"]
            for parent in ("extra", *parents):
                place = place.setdefault(parent, {})
                if not isinstance(place, dict):
                    raise ReActError(f"Override {argument}: {parent!r} holds no keys.")
            place[last] = parse_yaml(text, f"Override {argument}")
    return rest


def _take_kind(values: Any, overrides: Sequence[str]) -> list[str]:
    """Put ``--learner.kind KIND`` into the values of a config, and return the other overrides. Mutates.

    The kind decides which further keys there are, so it has to be known before they are read.

    Raises:
        ReActError: No kind is given.
    """
    rest: list[str] = []
    waiting = iter(overrides)
    for argument in waiting:
        name, equals, kind = argument.partition("=")
        if name != _KIND:
            rest.append(argument)
            continue
        if not (kind or (kind := "" if equals else next(waiting, ""))):
            raise ReActError(f"Override {_KIND} needs a kind: {_KIND} mlp.")
        if isinstance(values, dict):
            learner = values.setdefault("learner", {})
            if isinstance(learner, dict):
                learner["kind"] = kind
    return rest


def _complaint(box: str) -> str:
    """The first paragraph of an error that tyro drew as a box, in one line."""
    words: list[str] = []
    for line in box.splitlines()[1:]:
        text = line.strip("│| ")
        if not text or set(text) <= set("─╰╯-"):
            if words:
                break
            continue  # where the box is drawn in ASCII, a rule is below its title
        words += text.split()
    sentence = " ".join(words)
    wrong = _WRONG_VALUE.search(sentence)
    if wrong is not None:
        place, kind, key, said, value = wrong.groups()
        where = key if place == kind else f"{place}.{key}"
        return f"{where} is {value}: {said[0].lower()}{said[1:].rstrip('.')}."
    unread = _UNREADABLE.search(sentence)
    if unread is not None:
        return (
            f"{unread[1]} cannot be read from {unread[2]}: {_NO_BRACKETS}, and mappings go into the YAML "
            "file."
        )
    sentence = re.sub(r"1 validation error for \w+ ", "", sentence).split(" [type=")[0]
    sentence = re.sub(r"^Error parsing [\w.-]+: Value error, ", "", sentence)
    return f"{sentence.rstrip('.') or 'it cannot be read'}."
