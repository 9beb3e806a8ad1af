"""A checkpoint that cannot be loaded, or lacks a head that is needed, is told before anything is encoded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from react_rl.encoders.checkpoints import locate
from react_rl.errors import ReActError
from react_rl.experiments import CompareConfig, run_comparison
from react_rl.experiments.cli.comparison import dry_run
from react_rl.experiments.config.models import TrainConfig
from react_rl.experiments.run.train import run_training
from react_rl.learners.checkpoints import check_checkpoints
from react_rl.learners.finetune.settings import FineTuneSettings
from react_rl.learners.prompts.settings import PromptSettings
from react_rl.learners.registry import LEARNERS
from react_rl.simulation import corpora

Build = Callable[..., CompareConfig]


@pytest.fixture(autouse=True)
def _nothing_is_encoded(monkeypatch: pytest.MonkeyPatch) -> None:
    def encode(*_: Any, **_more: Any) -> None:
        raise AssertionError("a corpus was encoded")

    monkeypatch.setattr(corpora, "encode", encode)


@pytest.fixture
def bare(tmp_path: Path, save_bert: Callable[[Path, Sequence[str]], Path]) -> str:
    """A checkpoint without a masked-LM head."""
    return str(save_bert(tmp_path / "bare", ["red", "green"]))


@pytest.mark.parametrize(
    ("learner", "message"),
    [
        ({"model": "EMPTY"}, r"^learner\.finetune\.model: Encoder folder .* holds no config\.json"),
        ({"model": "./nowhere"}, r"^learner\.finetune\.model: Encoder folder './nowhere' does not exist"),
        (
            {"model": "BARE", "prompt": {"template": "{text}{mask}"}},
            r"no masked-LM head .* learner\.finetune\.prompt",
        ),
        ({"model": "BARE", "pretraining": {"steps": 1}}, r"has no masked-LM head .* pretraining needs one"),
        (
            {"model": "BARE", "augmentation": {"kind": "masked-lm"}},
            r"no masked-LM head .* augmentation needs one",
        ),
        (
            {"model": "BARE", "augmentation": {"kind": "masked-lm", "models": ["EMPTY"]}},
            r"^learner\.finetune\.augmentation\.models: .* holds no config\.json",
        ),
        (
            {"model": "BARE", "augmentation": {"kind": "translation", "models": ["BARE", "./back"]}},
            r"^learner\.finetune\.augmentation\.models: Encoder folder './back' does not exist",
        ),
    ],
)
def test_a_comparison_says_so_first(
    comparison: Build, tmp_path: Path, bare: str, learner: dict[str, Any], message: str
) -> None:
    (tmp_path / "empty").mkdir()
    named = {"BARE": bare, "EMPTY": str(tmp_path / "empty")}

    def there(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: there(one) for key, one in value.items()}
        return [there(one) for one in value] if isinstance(value, list) else named.get(value, value)

    config = comparison(learner={"kind": "finetune", "finetune": there(learner)})
    with pytest.raises(ReActError, match=message):
        run_comparison(config, tmp_path / "results")
    with pytest.raises(ReActError, match=message):
        dry_run(config, tmp_path / "results", False, lambda _: None)
    assert not (tmp_path / "results" / "small").exists()


def test_a_training_says_so_first(bare: str, tmp_path: Path) -> None:
    config = TrainConfig.model_validate(
        {
            "name": "mine",
            "corpora": [{"corpus": "synthetic"}],
            "learner": {"kind": "prompt", "prompt": {"model": bare}},
            "episode": {"pool_size": 60, "dev_size": 30, "initial_size": 6, "budget": 12, "batch_size": 4},
        }
    )
    with pytest.raises(
        ReActError, match=r"^learner\.prompt\.model: .* masked-LM head .* learner\.kind prompt"
    ):
        run_training(config, tmp_path)
    assert not (tmp_path / "mine").exists()


def test_what_is_as_it_should_be_passes_and_most_learners_load_nothing(bare: str) -> None:
    for entry in LEARNERS.values():
        settings = entry.settings()
        named = [settings.model] if isinstance(settings, FineTuneSettings | PromptSettings) else []
        assert [one.name for one in entry.checkpoints(settings)] == named
    check_checkpoints(LEARNERS["finetune"].checkpoints(FineTuneSettings(model=bare)))
    assert locate(bare) == Path(bare)
