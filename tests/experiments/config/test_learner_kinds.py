"""The learner of a config is one of several models, and ``kind`` says which."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from react_rl.errors import ReActError
from react_rl.experiments import CompareConfig, load_config
from react_rl.experiments.config.learners import LEARNER_CONFIGS, MlpLearner, SoftmaxLearner, learner_config
from react_rl.experiments.run.sameness import as_read_now, comparison_differences
from react_rl.learners.registry import LEARNERS, entry_of
from react_rl.simulation.corpora import load

Build = Callable[..., Path]


def test_every_kind_of_learner_can_be_named_in_a_config() -> None:
    assert set(LEARNER_CONFIGS) == set(LEARNERS)
    for kind in LEARNERS:
        assert entry_of(learner_config({"kind": kind}).settings()) is LEARNERS[kind]


def test_what_belongs_to_other_kinds_may_stand_beside_and_is_not_read() -> None:
    both: dict[str, Any] = {"l2": 0.5, "mlp": {"hidden": 9}, "finetune": {"epochs": 3}}
    assert learner_config(both) == SoftmaxLearner(l2=0.5)
    found = learner_config({"kind": "mlp", **both})
    assert isinstance(found, MlpLearner)
    assert found.mlp.hidden == 9
    assert "l2" not in found.model_dump()


@pytest.mark.parametrize("learner", [3, "softmax", [1]])
def test_what_is_no_learner_is_refused_in_a_sentence(config_file: Build, learner: Any) -> None:
    with pytest.raises(ReActError, match=r"learner is .*it should hold keys and values") as caught:
        load_config(CompareConfig, str(config_file(learner=learner)))
    assert "\n" not in str(caught.value)


def test_the_command_line_switches_the_kind(config_file: Build) -> None:
    path = str(config_file(learner={"mlp": {"hidden": 9}}))
    assert isinstance(load_config(CompareConfig, path).learner, SoftmaxLearner)
    for flags in (["--learner.kind", "mlp"], ["--learner.kind=mlp"]):
        found = load_config(CompareConfig, path, [*flags, "--learner.mlp.members", "2"]).learner
        assert isinstance(found, MlpLearner)
        assert (found.mlp.hidden, found.mlp.members) == (9, 2)


@pytest.mark.parametrize(
    ("learner", "flags", "sentence"),
    [
        ({"kind": "mpl"}, [], "learner: unknown kind 'mpl'. Did you mean 'mlp'?"),
        ({}, ["--learner.kind", "mpl"], "learner: unknown kind 'mpl'. Did you mean 'mlp'?"),
        ({}, ["--learner.kind"], "--learner.kind needs a kind"),
        ({}, ["--learner.mlp.hidden", "3"], "unknown key 'learner.mlp.hidden'"),
        ({"kind": "mlp", "mlp": {"hiden": 3}}, [], "unknown key 'learner.mlp.hiden'. Did you mean 'hidden'?"),
        ({"kind": "mlp", "mlp": {"hidden": 0}}, [], "learner.mlp.hidden is 0"),
        ({"kind": "mlp", "class_weights": "balanced"}, [], "set mlp.class_weights instead"),
    ],
    ids=str,
)
def test_a_mistake_is_named_where_it_was_made(
    config_file: Build, learner: dict[str, Any], flags: list[str], sentence: str
) -> None:
    with pytest.raises(ReActError) as caught:
        load_config(CompareConfig, str(config_file(learner=learner)), flags)
    assert sentence in str(caught.value)


def test_a_plan_that_holds_the_settings_of_all_kinds_is_the_same_study(config_file: Build) -> None:
    config = load_config(CompareConfig, str(config_file(learner={"l2": 0.5})))
    now = config.model_dump(mode="json")
    other_kinds = {kind: LEARNER_CONFIGS[kind].model_validate({}).model_dump(mode="json")[kind]
                   for kind in ("mlp", "finetune")}  # fmt: skip
    before = now | {"learner": {"l2": 0.5, "kind": "softmax"} | other_kinds}
    assert comparison_differences(as_read_now(CompareConfig, before), now) == []
    changed = now | {"learner": {"l2": 0.25} | other_kinds}
    assert comparison_differences(as_read_now(CompareConfig, changed), now) == ["learner.l2 was 0.25, is 0.5"]


def test_a_written_config_leaves_the_price_to_the_task(tmp_path: Path, config_file: Build) -> None:
    path = tmp_path / "people.conll"
    path.write_text("".join(f"Ann B-PER\nlives O\nin O\ntown{n} O\n\n" for n in range(20)))
    config = load_config(CompareConfig, str(config_file(corpora=[{"corpus": str(path), "name": "people"}])))
    again = CompareConfig.model_validate(config.model_dump(mode="json"))
    assert load(again.corpora[0]).cost.tolist() == load(config.corpora[0]).cost.tolist() == [4.0] * 20


def test_a_plan_that_cannot_be_read_any_more_is_compared_as_it_stands() -> None:
    assert as_read_now(CompareConfig, {"name": "old", "gone": 1}) == {"name": "old", "gone": 1}
