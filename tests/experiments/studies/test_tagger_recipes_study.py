"""The study of the tagger's recipes on sentences made in code: gains by hand, and the page."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from react_rl.experiments.studies import tagger_recipes, tagging
from react_rl.learners.recipes import make_recipe
from react_rl.simulation import synthetic_tagged


def test_gains_are_paired_and_the_mean_is_that_of_the_corpora() -> None:
    values = {("a", "plain"): (0.1, 0.3), ("a", "l2-dev"): (0.2, 0.3), ("b", "plain"): (0.5, 0.5)}
    values["b", "l2-dev"] = (0.5, 0.4)
    lines = [
        {"corpus": corpus, "strategy": strategy, "recipe": recipe, "seed": seed, "area": f1}
        | {"early": f1, "final": f1}
        for strategy in tagger_recipes.STRATEGIES
        for (corpus, recipe), own in values.items()
        for seed, f1 in enumerate(own)
    ]
    runs = pd.DataFrame(lines)
    found = tagger_recipes.gains(runs)
    own = found[(found["recipe"] == "l2-dev") & (found["strategy"] == "mnlp") & (found["measure"] == "area")]
    by_corpus = own.set_index("corpus")["gain"]
    assert by_corpus.to_dict() == pytest.approx({"a": 0.05, "b": -0.05, "mean": 0.0})
    page = tagger_recipes.page(runs, found, 2)
    assert "| l2-dev | +0.0000 ± " in page
    assert page.count("| plain |") == 2
    partly = runs[(runs["corpus"] == "a") | (runs["recipe"] == "plain")]
    assert "l2-dev" not in tagger_recipes.page(partly, tagger_recipes.gains(partly), 2)


def test_a_curve_is_read_early_and_at_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tagging, "POOL", 80)
    corpus = synthetic_tagged(300, 2)
    found = tagger_recipes.measure(corpus, "random", make_recipe("plain"), 2)
    curves = tagging.measure(corpus, ["random"], 2)
    for seed, own in enumerate(found.to_dict("records")):
        curve = curves[(curves["strategy"] == "random") & (curves["seed"] == seed)]
        assert own["seed"] == seed
        assert own["final"] == curve["f1"].iloc[-1]
        early = np.interp(tagger_recipes.EARLY, curve["share"], curve["f1"])
        assert own["early"] == pytest.approx(early)
        assert curve["f1"].min() < own["area"] < curve["f1"].max()
