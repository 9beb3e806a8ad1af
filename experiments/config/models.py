"""The two configs, `train` and `compare`: frozen models, read from YAML, overridden on the command line."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar

import tyro
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from react_rl.acquisition.stopping import StoppingSettings
from react_rl.agents.imitation.settings import ImitationSettings
from react_rl.agents.settings import EXTRA_NAMES, AgentSettings
from react_rl.data.config import CorpusConfig
from react_rl.documents import parse_yaml, read_text
from react_rl.encoders.config import EncoderConfig
from react_rl.envs.rewards import RewardSettings
from react_rl.errors import ReActError, unknown
from react_rl.files import unusual
from react_rl.learners.finetune.settings import FineTuneSettings
from react_rl.learners.linear.settings import SoftmaxSettings
from react_rl.learners.linear.tagger import TaggerSettings
from react_rl.learners.mlp.training import MlpSettings
from react_rl.learners.recipes import PLAIN, Recipe, check_recipe, make_recipe
from react_rl.learners.registry import LearnerSettings
from react_rl.metrics.registry import METRICS
from react_rl.own_code import look_in
from react_rl.simulation.options import EpisodeOptions
from react_rl.validation import Name, check_key, explain, validated

CONFIGS = "react_rl.experiments.presets"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


_EXTRA: Final = "--agent.extra."

APART: Final = ("mlp", "finetune", "tagger")
"""Kinds of learners whose settings stand in a field of their own, named like the kind."""


def _recipe_as_text(recipe: str | Recipe) -> list[str]:
    given = recipe if isinstance(recipe, str) else recipe.said
    return [given if isinstance(given, str) else yaml.safe_dump(given, default_flow_style=True).strip()]


_RECIPE_ON_COMMAND_LINE: Final = tyro.constructors.PrimitiveConstructorSpec[str | Recipe](
    nargs=1,
    metavar="NAME",
    instance_from_str=lambda words: parse_yaml(words[0], "Override --learner.recipe"),
    is_instance=lambda value: isinstance(value, str | Recipe),
    str_from_instance=_recipe_as_text,
)


class LearnerConfig(_Frozen):
    """The model that is trained on bought labels."""

    kind: Literal["softmax", "mlp", "finetune", "tagger"] = "softmax"
    """softmax: linear head on frozen embeddings; mlp: with a hidden layer; finetune: the transformer;
    tagger: linear tagger on frozen token states, for corpora of tagging."""
    recipe: Annotated[str | Recipe, _RECIPE_ON_COMMAND_LINE] = "plain"
    """How it is trained beyond its own settings: a name from `react-rl list recipes`, or settings."""
    finetune: FineTuneSettings = FineTuneSettings()
    """finetune: model, method and training."""
    mlp: MlpSettings = MlpSettings()
    """mlp: size, ensemble and training."""
    tagger: TaggerSettings = TaggerSettings()
    """tagger: regularisation and convergence."""
    class_weights: Literal["none", "balanced"] = "none"
    """softmax: balanced gives every class the same share in the loss, however few labels it has."""
    l2: float = Field(default=0.1, ge=1e-6, le=1e6)
    """Weight of the squared norm; 0.1 is C = 10 in scikit-learn."""
    bias: float = Field(default=0.1, ge=1e-6, le=1e6)
    """Scale of the penalised intercept; large values leave it free."""
    tolerance: float = Field(default=1e-2, gt=0, le=1)
    """A refit ends when no entry of the gradient exceeds this."""
    max_steps: int = Field(default=20, ge=1, le=10**5)
    """Most steps of one refit."""

    @field_validator("recipe", mode="before")
    @classmethod
    def _known_recipe(cls, value: Any) -> Any:
        try:
            recipe = make_recipe(value)
        except ReActError as error:
            raise ValueError(str(error).rstrip(".")) from None
        return value if isinstance(value, str) else recipe

    @model_validator(mode="after")
    def _check(self) -> LearnerConfig:
        try:
            check_recipe(make_recipe(self.recipe), self.kind)
            self.settings()
        except ReActError as error:
            raise ValueError(str(error).rstrip(".")) from None
        if self.kind != "softmax" and self.class_weights != "none":
            raise ValueError(
                f"class_weights {self.class_weights!r} beside kind {self.kind!r} is of no effect; "
                f"set {self.kind}.class_weights instead"
            )
        return self

    def settings(self) -> LearnerSettings:
        """Settings of the learner."""
        if self.kind == "finetune":
            return self.finetune.following(make_recipe(self.recipe))
        if self.kind == "mlp":
            return self.mlp
        if self.kind == "tagger":
            return self.tagger
        recipe = make_recipe(self.recipe)
        return SoftmaxSettings(self.l2, self.bias, self.tolerance, self.max_steps, self.class_weights, recipe)

    def identity(self) -> dict[str, Any]:
        """What determines the learner's results, the settings of the other kinds left out."""
        own = self.settings()
        if isinstance(own, BaseModel):
            return {"kind": self.kind, **own.model_dump(mode="json")}
        # Results are filed under this: a head without class weights is filed as before there were any.
        unsaid = {"kind", "recipe", *APART} | ({"class_weights"} if self.class_weights == "none" else set())
        recipe = make_recipe(self.recipe)
        said = {} if recipe == PLAIN else {"recipe": recipe.said}
        return self.model_dump(mode="json", exclude=unsaid) | said


class ActionConfig(_Frozen):
    """What the policy decides."""

    name: Literal["weigh-scores", "choose-strategy"] = "weigh-scores"
    """Weigh acquisition features, or choose a query strategy in each round."""
    stop: bool = False
    """Offer an action that ends the episode (useful with reward.cost_weight above 0)."""
    features: tuple[str, ...] | None = None
    """weigh-scores: which features; the default is all of margin, entropy, density, novelty, balance."""
    center: dict[str, Annotated[float, Field(ge=-1000, le=1000)]] | None = None
    """weigh-scores: feature weights at action 0, e.g. those of the mixture."""
    reach: float | None = Field(default=None, gt=0, le=1000)
    """weigh-scores: how far an action moves the weights from the center."""
    strategies: tuple[str, ...] | None = None
    """choose-strategy: the strategies to choose from."""

    def settings(self) -> dict[str, Any]:
        """Settings for ``make_interface``, only those given."""
        return {k: v for k, v in self.model_dump().items() if v is not None}


class ObservationConfig(_Frozen):
    """What the policy sees."""

    name: str = "context"
    """context: numbers that describe the episode and its pool; or one's own, module:Name."""
    metric: str | None = None
    """Dev metric among them; None takes the reward's."""

    @model_validator(mode="after")
    def _check(self) -> ObservationConfig:
        if self.metric is not None and self.metric not in METRICS:
            raise ValueError(str(unknown("metric", self.metric, METRICS)).rstrip("."))
        return self


class TrainConfig(_Frozen):
    """Train a policy."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
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
    learner: LearnerConfig = LearnerConfig()
    """Model trained on bought labels."""
    episode: EpisodeOptions = EpisodeOptions()
    """Sizes, budget and annotator of one episode."""
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


class ImitateConfig(_Frozen):
    """Train a row scorer by imitating a look-ahead expert."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """Results go to results/NAME."""
    corpora: tuple[CorpusConfig, ...] = Field(min_length=1)
    """Corpora whose texts the training tasks are made of."""
    validation: tuple[CorpusConfig, ...] = ()
    """Corpora on which the policy is measured; empty means the training corpora under their own labels."""
    strategy: Name | None = None
    """Name of the policy in tables and figures; the default is the name of the training."""
    encoder: EncoderConfig = EncoderConfig()
    """Frozen encoder."""
    learner: LearnerConfig = LearnerConfig()
    """Model trained on bought labels; the expert tries rows with kind softmax."""
    episode: EpisodeOptions = EpisodeOptions()
    """Sizes and annotator of an episode; imitation says how initial sets, batches and rounds are drawn."""
    imitation: ImitationSettings = ImitationSettings()
    """States, candidates and networks."""
    evaluation_episodes: int = Field(default=64, ge=1, le=10**5)
    """Validation episodes, shared evenly among the validation corpora."""
    device: str = "cpu"
    """auto, cpu or cuda."""
    threads: int = Field(default=1, ge=1, le=1024)
    """Threads of the simulation; its products are small, so one is usually fastest."""


class CompareConfig(_Frozen):
    """Compare query strategies: strategies x corpora x seeds with common random numbers."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
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
    """Strategy that differences are taken to."""
    metrics: tuple[str, ...] = ("accuracy", "macro_f1")
    """Metrics of dev and test after each round; the first one is tabled and plotted."""
    test_size: int | None = Field(default=2000, ge=2, le=10**9)
    """Most test rows to measure on; None takes all."""
    encoder: EncoderConfig = EncoderConfig()
    """Frozen encoder."""
    learner: LearnerConfig = LearnerConfig()
    """Model trained on bought labels."""
    episode: EpisodeOptions = EpisodeOptions()
    """Sizes, budget and annotator of one episode."""
    stopping: StoppingSettings = StoppingSettings()
    """Rule that ends an episode before its budget does."""
    full: Literal["auto", "never", "always"] = "auto"
    """Measure once for each corpus and seed what the learner reaches with the labels of the whole pool; auto
    does it for the linear head, where it costs next to nothing."""
    device: str = "auto"
    """auto, cpu or cuda."""
    jobs: int | None = Field(default=None, ge=1, le=1024)
    """Worker processes; None takes one for each core, or one for each GPU."""

    @model_validator(mode="after")
    def _check(self) -> CompareConfig:
        for metric in self.metrics:
            if metric not in METRICS:
                raise ValueError(str(unknown("metric", metric, METRICS)).rstrip("."))
        if not self.metrics or len(set(self.strategies)) != len(self.strategies) or not self.strategies:
            raise ValueError("give at least one metric, and at least one strategy, each once")
        return self


Config = TypeVar("Config", TrainConfig, ImitateConfig, CompareConfig)


def packaged_configs() -> list[str]:
    """Names of the configs that come with the package."""
    files = resources.files(CONFIGS).iterdir()
    return sorted(file.name.removesuffix(".yaml") for file in files if file.name.endswith(".yaml"))


def load_config(kind: type[Config], source: str, overrides: Sequence[str] = ()) -> Config:
    """Read a config from a YAML file, or a packaged one by name, and apply command-line overrides.

    Args:
        kind: TrainConfig, ImitateConfig or CompareConfig.
        source: Path of a YAML file, or a name from ``packaged_configs``.
        overrides: Arguments like ``--agent.episodes 100``.

    Raises:
        ReActError: The file is missing or no YAML mapping, or a key or value is wrong.
        SystemExit: Help was asked for.
    """
    if Path(source).parent.is_dir():
        look_in(Path(source).parent)  # one's own modules may be beside the config
    values = _read_yaml(source)
    overrides = _take_extra(values, overrides)
    config = validated(kind, values, f"Config {source}")
    if not overrides:
        return config
    for argument in overrides:
        if argument.startswith("--") and argument not in ("--help", "--helpfull"):
            key = argument.removeprefix("--").split("=")[0].replace("-", "_")
            *sections, last = key.split(".")
            if sections == ["agent"] and last in EXTRA_NAMES and last not in AgentSettings.model_fields:
                raise ReActError(f"Override {argument}: write {_EXTRA}{last}, as Stable-Baselines3 calls it.")
            # Switches come in pairs: --action-space.stop and --action-space.no-stop.
            check_key(kind, ".".join([*sections, last.removeprefix("no_")]), f"Override {argument}")
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(kind, args=list(overrides), default=config, prog=f"react-rl ... {source}")
    except ValidationError as error:
        raise ReActError(f"Config {source} with overrides: {explain(kind, error)}") from None
    except SystemExit as stopped:
        if stopped.code in (0, None):
            raise
        raise ReActError(f"Override of config {source}: {_complaint(said.getvalue())}") from None


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


def _complaint(box: str) -> str:
    """The first paragraph of an error that tyro drew as a box, in one line."""
    words: list[str] = []
    for line in box.splitlines()[1:]:
        text = line.strip("│ ")
        if not text or set(text) <= set("─╰╯"):
            break
        words += text.split()
    sentence = re.sub(r"1 validation error for \w+ ", "", " ".join(words)).split(" [type=")[0]
    sentence = re.sub(r"^Error parsing [\w.-]+: Value error, ", "", sentence)
    return f"{sentence.rstrip('.') or 'it cannot be read'}."


def _read_yaml(source: str) -> Any:
    path = Path(source)
    if path.suffix in (".yaml", ".yml"):
        if not path.is_file():
            what = "is a folder" if path.is_dir() else unusual(path) or "does not exist"
            raise ReActError(f"Config file {source} {what}; check the path.")
        text = read_text(path, f"Config {source}", "it must be UTF-8 text")
    elif source in packaged_configs():
        text = resources.files(CONFIGS).joinpath(f"{source}.yaml").read_text(encoding="utf-8")
    else:
        raise unknown("config (a .yaml file or a packaged name)", source, packaged_configs())
    return parse_yaml(text, f"Config {source}")
