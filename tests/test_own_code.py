"""Parts from outside the package: ``module:Name`` beside the program, and names that packages announce."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch

from react_rl import own_code
from react_rl.acquisition import Margin, WeightedFeatures, make_strategy
from react_rl.agents.training import own_sources
from react_rl.data import load_corpus
from react_rl.encoders import EncoderSettings, make_encoder
from react_rl.envs import RewardSettings, build_environment, make_observation
from react_rl.errors import ReActError
from react_rl.experiments.cli.listings import show_learners
from react_rl.experiments.config.learners import learner_config
from react_rl.learners.registry import LEARNERS, learner_named
from react_rl.seeding import Streams

PARTS = '''
import gymnasium
import numpy as np
from dataclasses import dataclass
from react_rl.acquisition import Margin
from react_rl.data import synthetic_corpus

def length(view):
    """Words of the text."""
    return view.words.float()

def narrow(view):
    return view.words[:, :3].float()

def halved(played):
    return (played.value - played.before) / 2

def hopeless(played):
    return played.value * float("nan")

class Longest(Margin):
    def __init__(self):
        super().__init__("longest")

class Twin:
    def __init__(self, metric):
        self.metrics, self.space = (metric,), gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float32)
    def observe(self, view):
        progress = view.progress
        now = progress.metric(self.metrics[0]).now
        return np.stack([now, progress.spent], axis=1).astype(np.float32)
    def describe(self):
        return {"name": "my_parts:Twin", "metric": self.metrics[0]}

class Nameless(Twin):
    def describe(self):
        return {}

def small(n_classes=3):
    return synthetic_corpus(n_rows=120, n_classes=n_classes)

def vectors(texts):
    return [[len(text), text.count("e"), text.count("a")] for text in texts]

def flat(texts):
    return [len(text) for text in texts]

number = 7
'''


@pytest.fixture(autouse=True)
def beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The module ``my_parts`` is in the current folder."""
    (tmp_path / "my_parts.py").write_text(PARTS, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    own_code.announced.cache_clear()
    yield tmp_path
    own_code.announced.cache_clear()


def announce(folder: Path, lines: str) -> None:
    """Install a distribution that announces parts."""
    made = folder / "my_package-1.0.dist-info"
    made.mkdir()
    (made / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1.0\n")
    (made / "entry_points.txt").write_text(lines)
    sys.path.insert(0, str(folder))


def test_ones_own_feature_is_weighed_like_any_other() -> None:
    env = build_environment()
    env.reset([Streams(0)])
    view = env.parts[0].engine.view
    words = view.words.float().masked_fill(~view.available, -1.0)
    chosen = WeightedFeatures("longest", {"my_parts:length": 1.0}).select(view, 1)
    named = make_strategy("feature:my_parts:length").select(view, 1)
    for ids in (chosen, named):
        place = (view.ids[0] == ids[0, 0]).nonzero()[0, 0]
        assert words[0, place] == words[0].max()


def test_an_environment_takes_features_rewards_and_observations_of_ones_own() -> None:
    env = build_environment(
        features=["margin", "my_parts:length"],
        observation="my_parts:Twin",
        reward={"kind": "my_parts:halved", "metric": "macro_f1", "scale": "one"},
    )
    seen = env.reset([Streams(0)])
    before = env.parts[0].engine.current["macro_f1"].copy()
    assert seen.tolist() == [[pytest.approx(before[0]), 0.0]]
    played = env.step(np.zeros((1, 2), np.float32))
    assert played.rewards == pytest.approx((env.parts[0].engine.current["macro_f1"] - before) / 2)


def test_ones_own_corpus_takes_the_arguments_of_its_function() -> None:
    assert load_corpus("my_parts:small", n_classes=4).n_classes == 4
    with pytest.raises(ReActError, match=r"n_clases.*Did you mean 'n_classes'"):
        load_corpus("my_parts:small", n_clases=4)


def test_ones_own_encoder_is_known_by_its_source(beside: Path) -> None:
    settings = EncoderSettings("my_parts:vectors", prefix="e ")
    encoder = make_encoder(settings)
    assert encoder.encode(["ab", "ee"]).tolist() == [[4, 1, 1], [4, 3, 0]]
    first = encoder.fingerprint()
    assert make_encoder(settings).fingerprint() == first
    del sys.modules["my_parts"]
    (beside / "my_parts.py").write_text(PARTS.replace('"a")]', '"b")]'), encoding="utf-8")
    assert make_encoder(settings).fingerprint() != first


def test_an_installed_package_announces_parts_by_name(beside: Path) -> None:
    groups = {
        "strategies": "longest = my_parts:Longest",
        "features": "length = my_parts:length",
        "rewards": "halved = my_parts:halved",
        "corpora": "small = my_parts:small",
        "encoders": "vectors = my_parts:vectors",
    }
    announce(beside, "".join(f"[react_rl.{group}]\n{line}\n" for group, line in groups.items()))
    assert load_corpus("small").n_rows == 120
    assert make_strategy("longest").name == "longest"
    assert make_strategy("subsample:10:longest").name == "subsample:10:longest"
    assert make_encoder(EncoderSettings("vectors")).encode(["a"]).shape == (1, 3)
    env = build_environment(features=["length"], reward="halved")
    env.reset([Streams(0)])
    assert np.isfinite(env.step(np.zeros((1, 1), np.float32)).rewards).all()


LEARNER = """
from pydantic import BaseModel
from react_rl.learners import LearnerEntry

class Own(BaseModel, frozen=True):
    l2: float = 1.0

def build(settings, corpora, labelled):
    raise NotImplementedError

ENTRY = LearnerEntry(Own, build, "least squares of my own", cheap=True)
"""


def test_an_announced_learner_is_a_kind_like_any_other(
    beside: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (beside / "my_learner.py").write_text(LEARNER, encoding="utf-8")
    announce(beside, "[react_rl.learners]\nmine = my_learner:ENTRY\n")
    with patch.dict(LEARNERS):
        settings = learner_config({"kind": "mine", "own": {"l2": 2}}).settings()
        assert settings == LEARNERS["mine"].settings(l2=2.0)
        show_learners(beside)
    assert "least squares of my own" in capsys.readouterr().out
    with pytest.raises(ReActError, match=r"Unknown learner 'mien'\. Did you mean 'mine'"):
        learner_named("mien")
    sys.modules.pop("my_learner")


def test_a_package_that_cannot_be_loaded_is_named(beside: Path) -> None:
    announce(beside, "[react_rl.corpora]\nlost = nowhere_at_all:small\n")
    with pytest.raises(ReActError, match="'lost', which an installed package announces as 'nowhere_at_all:"):
        load_corpus("lost")


@pytest.mark.parametrize(
    ("use", "sentence"),
    [
        (lambda: load_corpus("no_such_module:small"), "'no_such_module' cannot be imported"),
        (lambda: load_corpus("my_parts:smal"), "has no 'smal'. Did you mean 'small'"),
        (lambda: load_corpus("my_parts:number"), "is of type int; it must be a function"),
        (lambda: load_corpus("my_parts:Twin"), "is of type type; it must be a function"),
        (lambda: WeightedFeatures("w", {"my_parts:number": 1.0}), "is of type int"),
        (lambda: RewardSettings(kind="halvd"), "Unknown reward 'halvd'"),
        (lambda: build_environment(reward="my_parts:number"), "is of type int"),
        (lambda: make_observation("my_parts:small"), "has no 'observe'"),
        (lambda: make_observation("my_parts:Nameless"), "describes itself as {}"),
        (
            lambda: make_encoder(EncoderSettings("my_parts:flat")).encode(["a", "b"]),
            r"shape \(2,\) for 2 texts",
        ),
        (lambda: make_encoder(EncoderSettings("my_parts:vectors", "cls")), "encoder.pooling is 'cls'"),
    ],
)
def test_what_is_no_such_part_is_refused_in_one_sentence(use: Callable[[], object], sentence: str) -> None:
    with pytest.raises((ReActError, ValueError), match=sentence):
        use()


def test_a_class_is_called_only_if_it_has_the_methods() -> None:
    with pytest.raises(ReActError, match="has no 'select'"):
        own_code.make_outside("os:abort", own_code.STRATEGY, ("select",))


@pytest.mark.parametrize(
    "name", ["my_parts:small", "feature:my_parts:length", "subsample:9:my_parts:A", "os:abort"]
)
def test_a_file_leads_to_no_code_that_nobody_imported(name: str) -> None:
    with pytest.raises(ReActError, match=r"card uses '\w+:\w+', code of your own"):
        own_code.require_imported(name, "The card")
    own_code.import_modules(["my_parts"])
    if name != "os:abort":
        own_code.require_imported(name, "The card")


@pytest.mark.parametrize(
    "name", ["margin", "feature:margin", "subsample:badge", "subsample:9:badge", "a.csv"]
)
def test_names_of_this_package_need_no_import(name: str) -> None:
    own_code.require_imported(name, "The card")


def test_wrong_numbers_of_ones_own_code_are_refused() -> None:
    env = build_environment(reward="my_parts:hopeless")
    env.reset([Streams(0)])
    with pytest.raises(ReActError, match=r"Reward 'my_parts:hopeless' gave .*nan"):
        env.step(np.zeros((1, 5), np.float32))
    env = build_environment(features=["my_parts:narrow"])
    env.reset([Streams(0)])
    with pytest.raises(ReActError, match=r"of shape \(1, 3\); it must give a tensor of shape \(1, 200\)"):
        env.step(np.zeros((1, 1), np.float32))


def test_a_training_knows_the_source_of_what_is_not_from_this_package(beside: Path) -> None:
    def sources() -> tuple[str, ...]:
        settings = RewardSettings(kind="my_parts:halved")
        core = build_environment(features=["margin", "my_parts:length"], observation="my_parts:Twin")
        return own_sources(core, settings)

    first = sources()
    assert len(first) == 3 * 4
    assert sources() == first
    del sys.modules["my_parts"]
    (beside / "my_parts.py").write_text(PARTS.replace(") / 2", ") / 3"), encoding="utf-8")
    assert sources() != first
    assert own_sources(build_environment(), RewardSettings()) == ()


def test_the_source_of_a_part_changes_with_its_code_and_its_values() -> None:
    assert own_code.source_of(Margin("a")) == own_code.source_of(Margin("a"))
    assert own_code.source_of(Margin("a")) != own_code.source_of(Margin("b"))
    assert own_code.source_of(torch.nn.Identity) != own_code.source_of(torch.nn.Linear)
