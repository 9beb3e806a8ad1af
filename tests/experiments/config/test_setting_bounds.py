"""Every number of every config has a smallest and a largest value, and what exceeds them is one sentence."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import annotated_types
import pytest
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from react_rl.errors import ReActError
from react_rl.experiments import CompareConfig, TrainConfig, run_comparison, run_training, run_tuning
from react_rl.experiments.cli import main
from react_rl.experiments.config.frozen import Frozen
from react_rl.experiments.config.models import AdjustConfig, ImitateConfig
from react_rl.experiments.config.sources import read_config
from react_rl.simulation.options import EpisodeOptions
from react_rl.validation import validated

CHECKED_BY_HAND = ("episode.label_noise", "episode.confusion", "learner.recipe.l2", "tasks.learner.recipe.l2")
"""Their validators give the range in words of their own."""


def numbers(model: type[BaseModel]) -> Iterator[tuple[str, type, list[Any]]]:
    """Path, type and limits of each number in ``model``."""
    for name, field in model.model_fields.items():
        yield from leaves(name, field.annotation, list(field.metadata))


def leaves(path: str, annotation: Any, limits: list[Any]) -> Iterator[tuple[str, type, list[Any]]]:
    if get_origin(annotation) is Annotated:
        inner, *more = get_args(annotation)
        flat = [m for one in more for m in (one.metadata if isinstance(one, FieldInfo) else [one])]
        yield from leaves(path, inner, limits + flat)
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        for below, kind, own in numbers(annotation):
            yield f"{path}.{below}", kind, own
    elif annotation in (int, float):
        yield path, annotation, limits
    elif get_origin(annotation) in (Union, UnionType, tuple, dict):
        for argument in get_args(annotation):
            yield from leaves(path, argument, limits)


NUMBERS = sorted(
    {(kind.__name__, path, number): limits for kind in (CompareConfig, TrainConfig, AdjustConfig)
     for path, number, limits in numbers(kind) if path not in CHECKED_BY_HAND}.items(), key=str
)  # fmt: skip


def test_the_numbers_are_found() -> None:
    paths = {path for (_, path, _), _ in NUMBERS}
    assert {
        "learner.l2",
        "agent.layers",
        "action_space.center",
        "episode.classes",
        "corpora.max_rows",
    } <= paths
    assert len(NUMBERS) > 60


@pytest.mark.parametrize(("place", "limits"), NUMBERS, ids=str)
def test_a_number_has_both_bounds(place: tuple[str, str, type], limits: list[Any]) -> None:
    lows = [m for m in limits if isinstance(m, annotated_types.Ge | annotated_types.Gt)]
    highs = [m for m in limits if isinstance(m, annotated_types.Le | annotated_types.Lt)]
    assert lows, f"{place[1]} has no smallest value"
    assert highs, f"{place[1]} has no largest value"
    assert all(math.isfinite(float(getattr(m, "le", getattr(m, "lt", 0)))) for m in highs)


@pytest.mark.usefixtures("made_corpora")
@pytest.mark.parametrize("value", ["inf", "-inf", "nan", "1e300", "9" * 400, "-1"])
@pytest.mark.parametrize(
    ("command", "key"),
    [
        ("compare", "learner.l2"),
        ("compare", "learner.tolerance"),
        ("compare", "episode.budget"),
        ("compare", "first-seed"),
        ("train", "agent.seed"),
        ("train", "agent.layers"),
        ("train", "agent.learning-rate"),
        ("train", "reward.cost-weight"),
    ],
)
def test_an_absurd_number_is_one_sentence(
    config_file: Callable[..., Path],
    train_file: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
    command: str,
    key: str,
    value: str,
) -> None:
    file = (config_file if command == "compare" else train_file)()
    assert main([command, str(file), f"--{key}={value}"]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


@pytest.mark.usefixtures("made_corpora")
@pytest.mark.parametrize(("key", "value"), [("l2", 1e-300), ("l2", math.inf), ("bias", math.nan)])
def test_an_absurd_number_in_yaml_is_one_sentence(
    config_file: Callable[..., Path], capsys: pytest.CaptureFixture[str], key: str, value: float
) -> None:
    assert main(["compare", str(config_file(learner={key: value}))]) == 2
    assert f"learner.{key}" in capsys.readouterr().err


def numbers_given(values: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Place of each number in what YAML holds."""
    if isinstance(values, int | float) and not isinstance(values, bool):
        yield path
    parts = (
        values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    )
    for key, value in parts:
        yield from numbers_given(value, (*path, key))


def with_number(values: Any, path: tuple[Any, ...], change: Callable[[Any], Any]) -> Any:
    if not path:
        return change(values)
    copy = values.copy()
    copy[path[0]] = with_number(values[path[0]], path[1:], change)
    return copy


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        (CompareConfig, "demo-compare"),
        (CompareConfig, "demo-finetune"),
        (TrainConfig, "demo-train"),
        (ImitateConfig, "imitated"),
    ],
)
def test_every_number_may_be_quoted_and_none_may_be_true(kind: type[Frozen], config: str) -> None:
    values = read_config(config)
    as_it_is = validated(kind, values, config)
    places = list(numbers_given(values))
    assert len(places) > 5
    for path in places:
        assert validated(kind, with_number(values, path, str), config) == as_it_is
        with pytest.raises(ReActError) as caught:
            validated(kind, with_number(values, path, lambda _: True), config)
        assert str(caught.value).startswith(f"{config}: {'.'.join(map(str, path))} is True: ")


def test_true_is_no_number_for_one_task_or_all(
    config_file: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    file = config_file(tasks={"classification": {"episode": {"budget": True}}})
    assert main(["compare", str(file)]) == 2
    assert "budget is True: it should be a number." in capsys.readouterr().err
    assert main(["compare", str(config_file(seeds=True)), "--dry-run"]) == 2
    assert "seeds is True: it should be a number." in capsys.readouterr().err


def test_a_config_shows_only_what_is_not_at_its_default() -> None:
    config = CompareConfig.model_validate({"name": "x", "corpora": [{"corpus": "synthetic"}], "seeds": 4})
    assert repr(config) == "CompareConfig(name='x', corpora=(CorpusConfig(corpus='synthetic'),), seeds=4)"


@pytest.mark.parametrize("values", [{"budget": True}, {"phases": (True, 1)}, {"abstention": False}])
def test_true_is_no_number_in_a_program_either(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="it should be a number"):
        EpisodeOptions(**values)
    EpisodeOptions(budget=1, abstention=0)


@pytest.mark.parametrize(
    ("run", "kind"),
    [(run_comparison, "CompareConfig"), (run_training, "TrainConfig"), (run_tuning, "TuneConfig")],
)
@pytest.mark.parametrize("config", ["my.yaml", {"name": "mine"}, 3])
def test_a_program_gives_configs_and_not_what_they_are_read_from(
    tmp_path: Path, run: Callable[..., Any], kind: str, config: object
) -> None:
    with pytest.raises(
        ReActError, match=rf"The config is .*; give a {kind}: load_config\({kind}, 'my.yaml'\)"
    ):
        run(config, tmp_path)
    assert not list(tmp_path.iterdir())
