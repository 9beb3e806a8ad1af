"""The study of policies for tagging: each is trained once, and played on what it has not seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from react_rl.agents.imitation.settings import ImitationSettings
from react_rl.data.config import CorpusConfig
from react_rl.experiments.studies import tagging, tagging_policy
from react_rl.metrics import area_to_budget
from react_rl.simulation import EncodedCorpus, EpisodeOptions, synthetic_tagged

TINY = ImitationSettings(
    states=6,
    dagger_rounds=0,
    n_envs=3,
    candidates=6,
    networks=1,
    hidden=4,
    epochs=1,
    initial_sizes=(5,),
    batch_sizes=(3,),
    rounds=(2,),
    features=("margin",),
)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Everything small; gives the names of corpora in the order in which they are prepared."""
    prepared: list[str] = []

    def prepare(configs: Sequence[CorpusConfig], *_: Any) -> list[EncodedCorpus]:
        name = Path(configs[0].corpus).name
        prepared.append(name)
        made = synthetic_tagged(160, 2, seed=len(prepared))
        return [made.with_corpus(replace(made.corpus, name=name))]

    monkeypatch.setattr(tagging_policy, "prepare", prepare)
    monkeypatch.setattr(tagging, "POOL", 60)
    monkeypatch.setattr(tagging_policy, "SETTINGS", TINY)
    episode = EpisodeOptions(pool_size=50, dev_size=20, initial_size=5, budget=60, batch_size=3)
    monkeypatch.setattr(tagging_policy, "EPISODE", episode)
    monkeypatch.setattr(tagging_policy, "FOLDS", {"one": ("a", "b"), "two": ("c", "d")})
    monkeypatch.setattr(tagging_policy, "CHINESE", ("e",))
    monkeypatch.setattr(tagging_policy, "GAINS", {"per-token": "per-cost"})
    return prepared


@pytest.mark.slow
def test_policies_are_played_on_what_they_have_not_seen_and_not_twice(
    small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rivals = [
        (corpus, rival, seed, tokens, tokens / 300, 0.001 * tokens * (1 + seed))
        for corpus in "abcde"
        for rival in tagging_policy.RIVALS
        for seed in range(2)
        for tokens in (0.0, 40.0, 90.0)
    ]
    columns = ["corpus", "strategy", "seed", "tokens", "share", "f1"]
    pd.DataFrame(rivals, columns=columns).to_csv(tmp_path / "curves.csv", index=False)
    given = ["--out", str(tmp_path), "--policies", str(tmp_path / "policies"), "--seeds", "2"]
    assert tagging_policy.main(given) == 0
    table = pd.read_csv(tmp_path / "policy.csv")
    played = {name: set(own["corpus"]) for name, own in table.groupby("strategy")}
    assert played == {"one, per-token": set("cde"), "two, per-token": set("abe")}
    text = (tmp_path / "policy.md").read_text(encoding="utf-8")
    assert text.count("| minus `mixture` |") == 2
    curves = pd.concat([table, pd.DataFrame(rivals, columns=columns)])
    end = curves[curves["corpus"] == "c"].groupby(["strategy", "seed"])["tokens"].max().min()
    own = table[(table["strategy"] == "one, per-token") & (table["corpus"] == "c")]
    areas = [area_to_budget(o["tokens"].to_numpy(), o["f1"].to_numpy(), end) for _, o in own.groupby("seed")]
    assert f"| area | {sum(areas) / 2:.3f} |" in text
    before = len(small)
    assert tagging_policy.main(given) == 0
    assert len(small) == before  # nothing is prepared, trained or played again


def test_the_fixed_strategies_have_to_be_there(
    small: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tagging_policy.main(["--out", str(tmp_path)]) == 2
    assert "run the study of tagging first" in capsys.readouterr().err
