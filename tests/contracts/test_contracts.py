"""The parts of the package keep their contracts, and each check finds the fault that it is there for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from torch import Tensor

from react_rl.acquisition import Margin, make_strategy
from react_rl.contracts import (
    INTERFACE_CHECKS,
    LEARNER_CHECKS,
    TASK_CHECKS,
    ContractBroken,
    check_interface,
    check_learner,
    check_strategy,
    check_task,
)
from react_rl.contracts.learners import bench_of
from react_rl.contracts.tasks import Example
from react_rl.envs import ACTION_SPACES, Decision, Interface, make_interface
from react_rl.errors import ReActError
from react_rl.learners.linear.settings import SoftmaxSettings
from react_rl.learners.linear.softmax import SoftmaxRegression
from react_rl.learners.linear.tagger import LinearTagger, TaggerSettings
from react_rl.learners.mlp.training import MlpSettings
from react_rl.learners.registry import LearnerSettings
from react_rl.simulation import synthetic_encoded, synthetic_tagged
from react_rl.simulation.view import PoolView
from react_rl.tasks import TASKS, Classification, Tagging

LEARNERS: dict[str, LearnerSettings] = {
    "softmax": SoftmaxSettings(),
    "mlp": MlpSettings(hidden=8),
    "ensemble": MlpSettings(hidden=8, members=3),
    "tagger": TaggerSettings(),
}
EXAMPLES = {
    "classification": Example(Classification(), synthetic_encoded(200, 3)),
    "tagging": Example(Tagging(), synthetic_tagged(200, n_types=2), TaggerSettings()),
}


@pytest.mark.parametrize("check", sorted(LEARNER_CHECKS))
@pytest.mark.parametrize("learner", sorted(LEARNERS))
def test_a_learner_keeps_its_contract(learner: str, check: str) -> None:
    LEARNER_CHECKS[check](bench_of(LEARNERS[learner]))


@pytest.mark.parametrize("check", sorted(INTERFACE_CHECKS))
@pytest.mark.parametrize("space", sorted(ACTION_SPACES))
def test_an_interface_keeps_its_contract(space: str, check: str) -> None:
    INTERFACE_CHECKS[check](lambda: make_interface(space))


@pytest.mark.parametrize("check", sorted(TASK_CHECKS))
@pytest.mark.parametrize("task", sorted(EXAMPLES))
def test_a_task_keeps_its_contract(task: str, check: str) -> None:
    TASK_CHECKS[check](EXAMPLES[task])


class Wrong:
    """Margin sampling with one fault."""

    name = "wrong"

    def __init__(self, fault: str) -> None:
        self._fault = fault
        self._margin = make_strategy("margin")
        self._calls = 0

    def score(self, view: PoolView) -> Tensor:
        scores = self._margin.score(view)
        if self._fault == "scores the wrong way":
            return -scores
        return scores

    def select(self, view: PoolView, n: int) -> Tensor:
        fault = self._fault
        ids = self._margin.select(view, n)
        if fault == "picks twice" and n > 1:
            ids[:, 1] = ids[:, 0]
        elif fault == "picks what is labelled":
            labelled = view.labelled.float().argmax(1)
            ids[:, 0] = view.ids.gather(1, labelled[:, None])[:, 0]
        elif fault == "gives other numbers":
            ids = ids.int()
        elif fault == "draws from NumPy":
            np.random.random()  # noqa: NPY002
        elif fault == "changes the view":
            view.density[0, 0] += 1
        elif fault == "looks at its neighbours":
            ids = ids if len(ids) == 1 or n > 4 else ids.flip(1)
        elif fault == "needs two classes" and (view.class_counts > 0).sum(1).min() < 2:
            ids = torch.full_like(ids, -1)
        return ids


FAULTS = {
    "picks twice": "Rows were picked twice",
    "picks what is labelled": "not available",
    "gives other numbers": "int64",
    "draws from NumPy": "global random state moved",
    "changes the view": "changed view.density",
    "scores the wrong way": "not the row with the largest score",
    "looks at its neighbours": "largest score|Alone an episode picks",
    "needs two classes": "With labels of one class",
}


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_a_fault_of_a_strategy_is_found(fault: str) -> None:
    with pytest.raises(ContractBroken, match=FAULTS[fault]):
        check_strategy(lambda: Wrong(fault))


class Odd(Interface):
    """One action, with one fault."""

    def __init__(self, fault: str = "", *, observation: Any = None) -> None:
        super().__init__(observation=observation)
        self.action_space = gymnasium.spaces.Discrete(2)
        self.fault = fault
        if fault == "observes beyond":
            self.observation_space = gymnasium.spaces.Box(-1e-6, 1e-6, self.observation_space.shape)

    def decide(self, frame: Any, actions: Any) -> Decision:
        ids = make_strategy("margin").select(frame.view, 3)
        if self.fault == "names rows twice":
            ids[:, 1] = ids[:, 0]
        stop = np.zeros(len(actions), dtype=np.bool_)
        return Decision(ids, stop[:1] if self.fault == "stops for one" else stop)

    def describe(self) -> dict[str, Any]:
        return {} if self.fault == "says nothing" else {"name": "nowhere_at_all:Odd"}


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("observes beyond", "An observation is not in"),
        ("names rows twice", "names rows twice"),
        ("stops for one", "must be bool of shape"),
        ("says nothing", "must name the action space"),
    ],
)
def test_a_fault_of_an_interface_is_found(fault: str, message: str) -> None:
    check_interface(Odd)
    with pytest.raises(ContractBroken, match=message):
        check_interface(lambda: Odd(fault))


def test_a_learner_that_keeps_part_of_its_state_to_itself_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = LinearTagger.load_state

    def forgetful(self: LinearTagger, state: dict[str, Tensor]) -> None:
        whole(self, state | {"weights": torch.zeros_like(state["weights"])})

    monkeypatch.setattr(LinearTagger, "load_state", forgetful)
    with pytest.raises(ContractBroken, match="Resumed from its state"):
        check_learner(TaggerSettings())


def test_a_learner_that_mixes_episodes_up_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    learn = SoftmaxRegression.update

    def mixed_up(self: Any, bought: Any) -> None:
        learn(self, bought)
        self._dual[1:] += 0.1 * self._dual[:1]

    monkeypatch.setattr(SoftmaxRegression, "update", mixed_up)
    with pytest.raises(ContractBroken, match=r"Alone and beside others|changed when its neighbour"):
        check_learner(SoftmaxSettings())


@pytest.mark.parametrize(
    ("name", "instead", "message"),
    [
        ("strata_names", lambda *_: ("one",), "Strata go to"),
        ("kinds", lambda self, targets: targets * 0, "kind of no target"),
        ("annotator", lambda *_: None, "With noise annotator"),
        ("written", lambda *_: 3, "must give text"),
        ("default_metrics", ("accuracy", "acuracy"), "does not have"),
    ],
)
def test_a_fault_of_a_task_is_found(
    name: str, instead: Callable[..., Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Classification, name, instead)
    with pytest.raises(ContractBroken, match=message):
        check_task(TASKS["classification"], EXAMPLES["classification"].corpus)


def test_a_strategy_in_place_of_what_makes_one_is_said_to_be_that() -> None:
    with pytest.raises(ReActError, match="got a Margin; give its class"):
        check_strategy(Margin())  # type: ignore[arg-type]
