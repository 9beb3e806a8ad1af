"""The learned choice of recipes: what is seen, what is fitted, how rivals are judged, and the command."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from react_rl.experiments.studies import recipe_choice as study
from react_rl.experiments.studies.recipe_evidence import (
    CONTEXT,
    MENU,
    SIGNALS,
    LinearChoice,
    Watch,
    WatchedRounds,
    fit_choice,
    worth,
)
from react_rl.learners.capabilities import choose_recipes
from react_rl.simulation import EpisodeOptions, synthetic_encoded

SMALL = EpisodeOptions(pool_size=40, dev_size=20, initial_size=6, budget=8, batch_size=4)
R = len(MENU)


def rounds(corpus: str, n: int = 60, seed: int = 0) -> WatchedRounds:
    """Rounds in which the first column says what a recipe gains, the others nothing."""
    rng = np.random.default_rng(seed)
    design = rng.standard_normal((n, R, 5))
    return WatchedRounds(corpus, design, 0.7 + 0.02 * design[:, :, 0], rng.random((n, R)))


def test_the_choice_finds_what_foretells_the_gain() -> None:
    choice = fit_choice([rounds("a"), rounds("b", seed=1)], 1e-6)
    np.testing.assert_allclose(choice.weights / choice.scale, [0.02, 0, 0, 0, 0], atol=1e-4)
    other = rounds("c", seed=2)
    assert worth(choice, [other]) == pytest.approx(other.gain.max(1).mean())


def test_a_corpus_is_judged_by_a_choice_that_has_not_seen_it_nor_tasks_over_its_texts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fitted: list[list[str]] = []

    def noted(seen: list[WatchedRounds], ridge: float) -> LinearChoice:
        fitted.append([one.corpus for one in seen])
        return fit_choice(seen, ridge)

    monkeypatch.setattr(study, "fit_choice", noted)
    study.learned([rounds("a"), rounds("b")], [rounds("a", seed=3), rounds("b", seed=4)])
    assert fitted[:2] == [["b", "b"], ["a", "a"]]
    assert fitted[-1] == ["a", "b", "a", "b"]


def test_evidence_is_of_each_recipe_less_the_plain_one_and_leaves_recipes_alone() -> None:
    engine = study.begun(synthetic_encoded(200, 3), range(2), SMALL)
    watch = Watch(engine, list(MENU.values()))
    seen = watch.look()
    assert seen.signals.shape == (2, R, len(SIGNALS))
    assert seen.context.shape == (2, len(CONTEXT))
    assert (seen.signals[:, 0] == 0).all()
    before = [MENU["plain"]] * 2
    assert list(engine.learner.recipes) == before  # type: ignore[attr-defined]
    accuracy = engine.current["accuracy"]
    for place, recipe in enumerate(MENU.values()):
        choose_recipes(engine.learner, [recipe] * 2)
        own = engine.learn(recipes=[recipe] * 2).metrics["accuracy"]
        np.testing.assert_allclose(seen.signals[:, place, 0], own - accuracy, atol=1e-6)


def test_every_way_to_choose_is_judged_on_the_same_labels() -> None:
    seen = rounds("a", n=6)
    choice = fit_choice([seen], 1e-6)
    found = study.judged(seen, choice, "smooth", episodes=2)
    assert found["seed"].tolist() == [0, 1]
    own = seen.accuracy[[0, 2, 4]]
    assert found["plain"][0] == pytest.approx(own[:, 0].mean())
    assert found["fixed"][0] == pytest.approx(own[:, list(MENU).index("smooth")].mean())
    assert found["dev"][0] == pytest.approx(own[range(3), seen.dev[[0, 2, 4]].argmax(1)].mean())
    assert (found[study.LEARNED] <= found["best on test"]).all()


def test_the_command_learns_and_judges(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(study, "load", lambda name, _: synthetic_encoded(200, 3, seed=len(name)))
    for name, value in (("TRAINING", ("one", "three")), ("UNSEEN", ("other",)), ("_TASKS", 1)):
        monkeypatch.setattr(study, name, value)
    monkeypatch.setattr(study, "_TRAINING_SEEDS", 2)
    monkeypatch.setattr(study.collect, "__defaults__", (None, SMALL, MENU))
    arguments = ["--seeds", "2", "--out", str(tmp_path / "out"), "--kept", str(tmp_path / "kept")]
    assert study.main(arguments) == 0
    found = pd.read_csv(tmp_path / "out" / "choice.csv")
    assert (found["best on test"] >= found[["plain", "fixed", "dev", study.LEARNED]].max(axis=1)).all()
    assert (tmp_path / "out" / "choice_table.md").read_text() in capsys.readouterr().out
    monkeypatch.setattr(study, "collect", None)
    assert study.main(arguments) == 0, "what was seen is kept"
