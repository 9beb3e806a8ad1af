"""Ways of fine-tuning: adversarial steps and divergence by hand, averages, episodes side by side."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from react_rl.data.corpus import Corpus
from react_rl.errors import ReActError
from react_rl.experiments.config.learners import learner_config
from react_rl.learners.finetune.backbone.nudging import Nudge
from react_rl.learners.finetune.settings import FineTuneSettings
from react_rl.learners.finetune.training.adversarial import ascend, train_against
from react_rl.learners.finetune.training.averaging import WeightAverage
from react_rl.learners.recipes import (
    RECIPES,
    AdversarialSettings,
    AverageSettings,
    ConsistencySettings,
    Recipe,
    make_recipe,
)
from react_rl.tasks.heads import divergence

Settings = Callable[..., FineTuneSettings]
NEEDING = {"eda-wordnet", "masked-words", "back-translation", "mentions"}
"""What needs data or a model of its own, or tags."""
TUNING = [name for name, entry in RECIPES.items() if "finetune" in entry.kinds and name not in NEEDING]
SHORT = {"steps": 3, "dropout": 0.2}


class Line:
    """Two texts of two tokens, scored by one weight on the sum of their squares: gradients are known."""

    def __init__(self) -> None:
        self.weight = torch.tensor(2.0, requires_grad=True)
        self.vectors = torch.tensor([[[1.0], [2.0]], [[3.0], [4.0]]])
        self.seen: list[Tensor] = []

    def loss(self, nudge: Nudge) -> Tensor:
        nudge.mask = torch.ones(2, 2, dtype=torch.bool)
        moved = nudge.on(self.vectors)
        self.seen.append(moved.detach().clone())
        return self.weight * moved.square().sum((1, 2))


def test_an_fgm_step_by_hand() -> None:
    line = Line()
    loss = train_against(line.loss, AdversarialSettings(kind="fgm", epsilon=0.1))
    # The loss is w |x|^2, so a text moves along itself: by a tenth of its own length.
    assert loss.tolist() == [10.0, 50.0]
    torch.testing.assert_close(line.seen[1], 1.1 * line.vectors)
    assert line.weight.grad is not None
    assert float(line.weight.grad) == pytest.approx((5.0 + 25.0) * (1.0 + 1.1**2), rel=1e-5)


def test_a_pgd_step_by_hand() -> None:
    line = Line()
    train_against(line.loss, AdversarialSettings(kind="pgd", epsilon=0.1, steps=3))
    lengths = [float(one.norm() / line.vectors.norm()) for one in line.seen]
    assert lengths == pytest.approx([1.0, 1.05, 1.1, 1.1]), "half the way, then the rim, then held there"
    assert line.weight.grad is not None
    assert float(line.weight.grad) == pytest.approx(30.0 * (1.0 + 1.1**2), rel=1e-5), "the last alone counts"


def test_a_freelb_step_by_hand() -> None:
    line = Line()
    train_against(line.loss, AdversarialSettings(kind="freelb", epsilon=0.1, steps=3))
    assert line.weight.grad is not None
    mean = (1.0 + 1.05**2 + 1.1**2) / 3.0
    assert float(line.weight.grad) == pytest.approx(30.0 * mean, rel=1e-5)


def test_a_text_without_a_gradient_is_not_moved() -> None:
    move = ascend(
        torch.zeros(2, 1, 2), torch.tensor([[[0.0, 0.0]], [[3.0, 4.0]]]), torch.ones(2), torch.ones(2)
    )
    torch.testing.assert_close(move, torch.tensor([[[0.0, 0.0]], [[0.6, 0.8]]]))


def test_the_divergence_of_two_passes_is_that_of_their_predictions_both_ways() -> None:
    one, other = torch.tensor([[[0.2, 0.3, 0.5]]]), torch.tensor([[[0.6, 0.3, 0.1]]])
    expected = sum(float((p * (p / q).log()).sum()) for p, q in ((one, other), (other, one)))
    outside = torch.full((1, 1, 1), -1e30)
    found = divergence(*(torch.cat([p.log(), outside], 2) for p in (one, other)))
    assert found.tolist() == [[pytest.approx(expected, rel=1e-5)]]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (AverageSettings(kind="ema", decay=0.5), 3.125),
        (AverageSettings(kind="swa", share=0.5), 3.5),
        (AverageSettings(kind="swa", share=1.0), 2.5),
    ],
    ids=["ema", "second half", "all"],
)
def test_weights_are_averaged_along_the_steps(settings: AverageSettings, expected: float) -> None:
    average = WeightAverage(settings, 4)
    for step in range(4):
        average.note(step, {"w": torch.full((1, 2), step + 1.0)})
    assert average.weights["w"].tolist() == [[pytest.approx(expected)] * 2]


@pytest.mark.parametrize(
    ("name", "method"),
    [
        *((name, "full" if name == "mixout" else "lora") for name in TUNING),
        *(("fgm", method) for method in ("full", "head")),
        *((name, "full") for name in ("l2-sp", "mixup-layer")),
    ],
)
def test_a_recipe_gives_in_a_mixed_batch_what_it_gives_alone(
    name: str,
    method: str,
    classroom: Any,
    finetuning: Settings,
    tiny_corpus: Callable[..., Corpus],
) -> None:
    corpora = [tiny_corpus()]
    room = classroom(finetuning(method=method, **SHORT), corpora, [0, 0], [0, 1])
    recipe = make_recipe(name)
    if name == "consistency":  # in three steps a model does not become sure
        recipe = Recipe(consistency=ConsistencySettings(weight=1.0, threshold=0.0))
    room.learner.choose([make_recipe("plain"), recipe])
    room.teach([0, 1], np.tile(np.arange(6), (2, 1)))
    alone = classroom(finetuning(method=method, **SHORT), corpora, [0], [1])
    alone.learner.choose([recipe])
    alone.teach([0], np.arange(6)[None])
    torch.testing.assert_close(room.logits()[1], alone.logits()[0], atol=2e-4, rtol=1e-3)
    plain = classroom(finetuning(method=method, **SHORT), corpora, [0], [1])
    plain.teach([0], np.arange(6)[None])
    same = RECIPES[name].family in ("plain", "continual")  # there are no phases here
    assert torch.allclose(plain.logits(), alone.logits(), atol=1e-4) == same


def test_settings_and_recipe_train_alike(
    classroom: Any, finetuning: Settings, tiny_corpus: Callable[..., Corpus]
) -> None:
    corpora, recipe = [tiny_corpus()], Recipe(r_drop=2.0, adversarial=AdversarialSettings(kind="fgm"))
    given = classroom(finetuning(layers=1, method="full", **SHORT, **recipe.said), corpora, [0], [4])
    chosen = classroom(finetuning(layers=1, method="full", **SHORT), corpora, [0], [4])
    chosen.learner.choose([recipe])
    for room in (given, chosen):
        room.teach([0], np.arange(5)[None])
    assert torch.equal(given.logits(), chosen.logits())


def test_an_interrupted_episode_goes_on_with_its_recipe(
    classroom: Any, finetuning: Settings, tiny_corpus: Callable[..., Corpus], tmp_path: Path
) -> None:
    rooms = [classroom(finetuning(**SHORT), [tiny_corpus()], [0], [1]) for _ in range(2)]
    rooms[0].learner.choose([make_recipe("ema")])
    rooms[0].teach([0], np.arange(5)[None])
    rooms[1].learner.load_state(rooms[0].learner.state())
    assert rooms[1].learner.recipes == [make_recipe("ema")]


def test_recipes_of_fine_tuning_from_yaml() -> None:
    config = learner_config({"kind": "finetune", "recipe": "fgm"})
    settings = config.settings()
    assert isinstance(settings, FineTuneSettings)
    assert settings.adversarial.kind == "fgm"
    assert config.identity()["adversarial"] == settings.adversarial.model_dump()
    plain = learner_config({"kind": "finetune"}).identity()
    assert set(config.identity()) - set(plain) == {"adversarial"}, "what is off is not in the name"


@pytest.mark.parametrize(
    ("learner", "message"),
    [
        ({"recipe": "smooth"}, "the learner is finetune"),
        ({"recipe": "r-drop", "finetune": {"dropout": 0.0}}, "set dropout above 0"),
        ({"recipe": "fgm", "finetune": {"method": "peft"}}, "reaches no input vectors under method peft"),
        ({"recipe": "swa", "finetune": {"patience": 2}}, "leave one out"),
        ({"recipe": "mixup", "finetune": {"accumulate": 2}}, "set accumulate to 1"),
        ({"recipe": "mixup-layer", "finetune": {"method": "head"}}, "leave mixup.layer out"),
        ({"recipe": "mixout"}, "method lora trains none of them"),
        ({"recipe": "l2-sp", "finetune": {"method": "head"}}, "method head trains none"),
    ],
    ids=str,
)
def test_recipes_that_do_not_go_with_the_settings_are_refused(learner: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        learner_config({"kind": "finetune", **learner})


def test_a_recipe_of_the_linear_head_is_refused_by_fine_tuning(
    classroom: Any, finetuning: Settings, tiny_corpus: Callable[..., Corpus]
) -> None:
    room = classroom(finetuning(dropout=0.0), [tiny_corpus()], [0], [0])
    with pytest.raises(ReActError, match="the learner is finetune"):
        room.learner.choose([make_recipe("smooth")])
    with pytest.raises(ReActError, match="set dropout above 0"):
        room.learner.choose([make_recipe("r-drop")])
