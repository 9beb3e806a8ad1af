"""The study of the adjusted policy: folds share nothing, and it is played where it was not adjusted."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from react_rl.acquisition.contract import QueryStrategy
from react_rl.errors import ReActError
from react_rl.experiments.config.models import AdjustConfig, load_config
from react_rl.experiments.studies import adjusted
from react_rl.experiments.studies.growing import GrowingTable
from react_rl.experiments.studies.recorded import NAMES, areas
from react_rl.experiments.studies.scores import ScoreTable, read_scores
from react_rl.experiments.studies.transfer import CHOICES, MEASURES

RESULTS = Path(__file__).parents[3] / "results"


@pytest.mark.parametrize("fold", ["a", "b"])
@pytest.mark.parametrize("search", ["adjusted", "adjusted-longer"])
def test_the_config_of_a_fold_names_no_corpus_of_the_other(search: str, fold: str) -> None:
    config = load_config(AdjustConfig, str(RESULTS / "transfer" / f"{search}-{fold}.yaml"))
    parts = (config.corpora, *(part.corpora for part in config.further))
    named = {corpus.name for corpora in parts for corpus in corpora if corpus.name}
    assert named == set(adjusted.FOLDS[fold])
    assert not named & set(adjusted.FOLDS[adjusted.OTHER[fold]])


def test_the_folds_are_the_corpora_of_the_comparison() -> None:
    preset = yaml.safe_load((RESULTS.parent / "experiments" / "presets" / "transfer.yaml").read_text())
    both = [*adjusted.FOLDS["a"], *adjusted.FOLDS["b"]]
    assert sorted(both) == sorted(corpus["name"] for corpus in preset["corpora"])
    assert set(CHOICES) <= set(both)


class _Ground:
    """Corpora that are not there."""

    def __init__(self, data: Path, names: Sequence[str], **_: object) -> None:
        self.corpora = list(names)

    def areas(self, corpus: str, strategy: QueryStrategy, name: str, seeds: int) -> pd.DataFrame:
        """What is played is the folder of the policy."""
        area = 0.6 if str(strategy) == adjusted.OTHER[adjusted.fold_of(corpus)] else 0.0
        return pd.DataFrame({"corpus": corpus, "strategy": name, "seed": range(seeds), "area": area})


@pytest.fixture
def played_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is played: areas follow from the folders of the policies."""
    monkeypatch.setattr(adjusted, "TransferCorpora", _Ground)
    monkeypatch.setattr(adjusted, "load_strategy", lambda folder, name: str(folder))


@pytest.mark.usefixtures("played_by_name")
def test_a_policy_is_played_on_the_fold_that_it_was_not_adjusted_on(tmp_path: Path) -> None:
    asked = Namespace(data=tmp_path, out=tmp_path, policies=["a=a", "b=b"], own_fold=False)
    here = adjusted.HeldOutPlay(asked)
    rivals = pd.concat([
        pd.DataFrame({"corpus": corpus, "strategy": rival, "seed": range(3), "area": 0.5})
        for corpus in ("cr", "cola") for rival in adjusted.RIVALS
    ])  # fmt: skip
    for setting in adjusted.EPISODES:
        here.play(setting, rivals, 3)
    table = here.tables["batch-5"]
    assert (table.of("adjusted") == 0.6).all()
    page = adjusted.markdown(here.tables)
    assert "| mean of the three | 2, 3 | 0.6000 | imitated | +0.1000 [+0.1000, +0.1000] | 1.000 |" in page
    assert "| cola | a | 0.6000 | +100.0*" in page
    assert len(pd.read_csv(tmp_path / "adjusted.csv")) == 18


@pytest.mark.usefixtures("played_by_name")
def test_on_its_own_fold_a_policy_is_played_where_it_was_adjusted(tmp_path: Path) -> None:
    asked = Namespace(data=tmp_path, out=tmp_path, policies=["a=b", "b=a"], own_fold=True)
    here = adjusted.HeldOutPlay(asked)  # the stub knows the policies of the other fold by their folders
    rivals = pd.DataFrame({"corpus": "cr", "strategy": "mixture", "seed": range(3), "area": 0.5})
    here.play("batch-5", rivals, 3)
    assert (here.tables["batch-5"].of("adjusted") == 0.6).all()
    assert here.made_on["a"] == "a"


def test_areas_of_rivals_are_those_of_all_eighteen_corpora() -> None:
    found = adjusted.areas_of_rivals(RESULTS, "batch-25", 5)
    assert len(found) == 18 * len(adjusted.RIVALS) * 5
    assert set(found["strategy"]) == set(adjusted.RIVALS)


def test_the_oracle_played_the_same_episodes() -> None:
    table = read_scores(RESULTS / "transfer", "batch-5", MEASURES)
    curves = GrowingTable(RESULTS / "ablations" / "curves.csv", NAMES).frame
    again = areas(curves[curves["strategy"] == "random"])
    for corpus in table.corpora:
        same = again[again["corpus"] == corpus].sort_values("seed")["area"].to_numpy()
        np.testing.assert_allclose(table.of("random", corpus)[: len(same)], same, atol=1e-3)
    values = dict.fromkeys((adjusted.ADJUSTED, *adjusted.RIVALS), table.values["mixture"])
    values["random"] = table.values["random"]
    corpora = ScoreTable(table.corpora, table.seeds, values)
    assert "| adjusted | 0." in adjusted.oracle_shares(corpora, RESULTS)


def test_the_mean_of_three_tables_is_judged_seed_by_seed() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(6, 1))
    tables = {
        name: ScoreTable(("cr",), tuple(range(6)), {"adjusted": 0.6 + sign * noise, **dict.fromkeys(
            adjusted.RIVALS, np.full((6, 1), 0.5)
        )})
        for name, sign in zip(adjusted.EPISODES, (1, -1, 0), strict=True)
    }  # fmt: skip
    assert "| mixture | +0.1000 [+0.1000, +0.1000] |" in adjusted.markdown(tables)


def test_a_fold_without_policy_is_refused() -> None:
    with pytest.raises(ReActError, match="must name one for each fold"):
        adjusted.policies_of(["a=here"])
