"""The study of recipes for everyone: folds, best fixed recipes, a choice in every round, and the command."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from react_rl.acquisition import make_strategy
from react_rl.data.config import CorpusConfig
from react_rl.errors import ReActError
from react_rl.experiments.studies import recipes_for_all as study
from react_rl.experiments.studies.packaged_corpora import packaged_configs
from react_rl.experiments.studies.played import TransferCorpora
from react_rl.learners.linear.settings import SoftmaxSettings
from react_rl.simulation import EpisodeOptions, synthetic_encoded

SMALL = EpisodeOptions(pool_size=40, dev_size=20, initial_size=6, budget=8, batch_size=4)


@pytest.fixture
def ground() -> TransferCorpora:
    """Three invented corpora in the place of the comparison's."""
    made = TransferCorpora(Path("data"), [])
    made.config = made.config.model_copy(update={"episode": SMALL, "test_size": 30})
    made.corpora = [
        replace(one, corpus=replace(one.corpus, name=f"of {one.corpus.n_classes}"))
        for one in (synthetic_encoded(150, classes, seed=classes) for classes in (2, 3, 4))
    ]
    return made


def areas_of(best: dict[str, str], seeds: int = 4) -> pd.DataFrame:
    """Areas of two strategies under two recipes; ``best`` says which one is .1 better on a corpus."""
    return pd.DataFrame(
        [
            (corpus, strategy, recipe, seed, 0.5 + 0.1 * (recipe == name) + 0.01 * seed)
            for corpus, name in best.items()
            for strategy in ("learned", "mixture")
            for recipe in ("plain", "smooth")
            for seed in range(seeds)
        ],
        columns=["corpus", "strategy", "recipe", "seed", "area"],
    )


def test_a_corpus_gets_the_recipe_that_is_best_on_the_other_folds() -> None:
    areas = areas_of({"a": "smooth", "b": "plain", "c": "plain", "d": "smooth"})
    found = study.with_best_fixed(areas, ["a", "b", "c", "d"])
    taken = found[found["strategy"] == "mixture"].groupby("corpus")["taken"].first()
    assert taken.to_dict() == {"a": "plain", "b": "smooth", "c": "smooth", "d": "plain"}, "d is in a's fold"
    worse = found[(found["corpus"] == "a") & (found["seed"] == 0)]["area"]
    assert worse.tolist() == [0.5, 0.5], "what is best on the corpus itself does not count"


def test_gaps_are_of_the_seeds_that_both_have() -> None:
    lines = [(corpus, seed, seed * 0.1 + (corpus == "b")) for corpus in "ab" for seed in range(6)]
    one = pd.DataFrame(lines, columns=["corpus", "seed", "area"])
    other = one[one["seed"] < 3].assign(area=lambda frame: frame["area"] - 0.02)
    found = study.gap(one, other)
    assert found.mean == pytest.approx(0.02)
    assert found.half == pytest.approx(0.0)
    assert (found.won, found.corpora, found.surely_ahead) == (1.0, 2, 2)


@pytest.mark.parametrize("strategy", ["mixture", "learned"])
def test_a_choice_that_never_changes_is_the_fixed_recipe(ground: TransferCorpora, strategy: str) -> None:
    corpus, place = ground.corpora[1], list(study.RECIPES).index("strong")
    chosen = study.chosen_areas(ground, corpus, lambda _: np.full(2, place), 2, study.RECIPES, strategy)
    learner = SoftmaxSettings(recipe=study.RECIPES["strong"])
    fixed = ground.areas(corpus, make_strategy(strategy), strategy, 2, learner)
    np.testing.assert_allclose(chosen, fixed["area"], atol=1e-6)


def test_the_command_plays_judges_and_goes_on(
    ground: TransferCorpora, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study, "TransferCorpora", lambda *_, **__: ground)
    some = {name: study.RECIPES[name] for name in ("plain", "smooth")}
    for name, value in (("RIVALS", ("mixture",)), ("FAR_RIVALS", ("random",)), ("_TRAINING_SEEDS", 2)):
        monkeypatch.setattr(study, name, value)
    monkeypatch.setattr(study, "RECIPES", some)
    arguments = ["--seeds", "3", "--out", str(tmp_path / "out"), "--kept", str(tmp_path / "kept")]
    assert study.main(arguments) == 0
    found = pd.read_csv(tmp_path / "out" / "recipes_for_all.csv")
    assert set(found[found["strategy"] == "learned"]["recipe"]) == {*some, study.ON_DEV, study.CHOSEN}
    assert set(found[found["strategy"] == "mixture"]["recipe"]) == {*some, study.ON_DEV}
    assert found.groupby("strategy")["seed"].max().to_dict() == {"learned": 2, "mixture": 2, "random": 1}
    first = (tmp_path / "out" / "recipes_for_all.md").read_text()
    monkeypatch.setattr(ground, "areas", None)
    monkeypatch.setattr(study, "chosen_areas", None)
    assert study.main(arguments) == 0, "what was played is kept"
    assert (tmp_path / "out" / "recipes_for_all.md").read_text() == first
    monkeypatch.setattr(study, "make_strategy", lambda name: f"another {name}")
    with pytest.raises(ReActError, match="was measured with learned"):
        study.study(argparse.Namespace(data=tmp_path, packaged=None, corpora=None, out=tmp_path / "out"))


def test_packaged_corpora_are_played_in_place_of_the_comparisons(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[CorpusConfig] = []

    def asked_for(*_: object, others: Sequence[CorpusConfig]) -> TransferCorpora:
        seen.extend(others)
        raise ReActError("that is enough")

    monkeypatch.setattr(study, "TransferCorpora", asked_for)
    arguments = ["--packaged", str(tmp_path), "--corpora", "friends", "reuters"]
    assert study.main(arguments) != 0
    assert [(one.name, one.corpus, one.max_rows) for one in seen] == [
        (name, str(tmp_path / f"{name}.csv"), 2500) for name in ("friends", "reuters")
    ]
    with pytest.raises(ReActError, match="reuters"):
        packaged_configs(tmp_path, ["reuter"])
