"""Recipes from YAML and the command line: comparisons, and names under which results are filed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from react_rl.acquisition import make_strategy
from react_rl.encoders.transformer import TextEncoder
from react_rl.errors import ReActError
from react_rl.experiments import CompareConfig
from react_rl.experiments.cli import main
from react_rl.experiments.config.learners import learner_config
from react_rl.experiments.config.models import load_config
from react_rl.experiments.run.episodes import play
from react_rl.learners import SoftmaxSettings
from react_rl.learners.recipes import RECIPES, Recipe, SmoothingSettings
from react_rl.simulation import synthetic_encoded

Write = Callable[..., str]
LINEAR = [name for name, entry in RECIPES.items() if "softmax" in entry.kinds]


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes a config into an empty working folder; the corpus is made in code."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("react_rl.experiments.run.compare.prepare", lambda *_: [synthetic_encoded(200, 3)])
    monkeypatch.setattr(TextEncoder, "fingerprint", lambda _: {"weights": "made in code"})
    episode = {"pool_size": 40, "dev_size": 20, "initial_size": 5, "budget": 8, "batch_size": 4}

    def write(learner: Any, name: str = "x") -> str:
        values = {
            "name": name, "corpora": [{"corpus": "synthetic"}], "device": "cpu", "episode": episode,
            "learner": learner, "strategies": ["random", "margin"], "seeds": 2, "jobs": 1,
        }  # fmt: skip
        path = tmp_path / "my.yaml"
        path.write_text(yaml.safe_dump(values))
        return str(path)

    return write


def runs_of(name: str) -> dict[str, str]:
    """Texts of run files by their names."""
    return {path.name: path.read_text() for path in sorted(Path("results", name, "runs").rglob("*.json"))}


@pytest.mark.parametrize("name", LINEAR)
def test_a_config_with_a_recipe_plays_the_same_as_one_with_its_settings(name: str, written: Write) -> None:
    found = []
    for recipe in (name, RECIPES[name].settings.said):
        config = load_config(CompareConfig, written({"recipe": recipe}))
        strategy, corpus = make_strategy("margin"), synthetic_encoded(200, 3)
        learner = config.learner.settings()
        found.append(play(corpus, strategy, [0, 1], config.episode, config.metrics, learner=learner).results)
    assert found[0] == found[1]
    assert len(found[0][0]["test"]["accuracy"]) == 3, "measured before and after each round"


def test_a_plain_recipe_leaves_run_files_and_their_keys_as_they_were(written: Write) -> None:
    assert main(["compare", written({}, "first")]) == 0
    before = runs_of("first")
    assert main(["compare", written({"recipe": "plain"}, "first")]) == 0, "the same comparison"
    assert before
    assert runs_of("first") == before
    assert main(["compare", written({"recipe": "smooth"}, "first")]) == 2, "another comparison"
    assert learner_config({"recipe": "plain"}).identity() == learner_config({}).identity()
    assert learner_config({"recipe": "smooth"}).identity() == {
        **learner_config({}).identity(), "recipe": {"smoothing": SmoothingSettings().model_dump()},
    }  # fmt: skip


def test_a_recipe_is_named_or_spelt_out_on_the_command_line(written: Write) -> None:
    path = written({})
    smooth = load_config(CompareConfig, path, ["--learner.recipe", "smooth"]).learner
    assert smooth.settings() == SoftmaxSettings(recipe=RECIPES["smooth"].settings)
    own = load_config(CompareConfig, path, ["--learner.recipe", "{smoothing: {share: 0.2}}"]).learner
    assert own.settings() == SoftmaxSettings(recipe=Recipe(smoothing=SmoothingSettings(share=0.2)))
    other = load_config(CompareConfig, path, ["--learner.l2", "0.3"]).learner
    assert other.settings() == SoftmaxSettings(l2=0.3)


def test_a_recipe_that_the_learner_cannot_follow_is_refused_on_the_command_line(written: Write) -> None:
    path = written({"kind": "mlp"})
    with pytest.raises(ReActError) as caught:
        load_config(CompareConfig, path, ["--learner.recipe", "smooth"])
    assert str(caught.value).startswith(f"Override of config {path}: The recipe's 'smoothing' is for ")


@pytest.mark.parametrize(
    ("learner", "message"),
    [
        ({"recipe": "smoth"}, "Did you mean 'smooth'"),
        ({"recipe": {"smothing": {}}}, "Did you mean 'smoothing'"),
        ({"recipe": {"smoothing": {"share": 2}}}, "smoothing.share is 2"),
        ({"kind": "mlp", "recipe": "smooth"}, "for learner.kind softmax, and the learner is mlp"),
    ],
    ids=str,
)
def test_a_wrong_recipe_is_one_sentence(learner: Any, message: str, written: Write) -> None:
    with pytest.raises(ReActError, match=message) as caught:
        load_config(CompareConfig, written(learner))
    assert "\n" not in str(caught.value)
