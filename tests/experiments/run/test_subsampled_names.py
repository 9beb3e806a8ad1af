"""A config names a subsampled strategy like any other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from react_rl.acquisition.wide.subsampling import Subsampled
from react_rl.agents.scorer_folder import pretrained_folder
from react_rl.errors import ReActError
from react_rl.experiments import CompareConfig
from react_rl.experiments.analysis.about import about
from react_rl.experiments.analysis.summary import read_results
from react_rl.experiments.cli.comparison import run_comparison
from react_rl.experiments.run.strategies import check_learner, identity, label, resolve
from react_rl.learners.finetune.settings import FineTuneSettings
from react_rl.learners.linear.settings import SoftmaxSettings
from react_rl.learners.linear.span import SpanSettings
from react_rl.learners.linear.tagger import TaggerSettings
from react_rl.learners.mlp.training import MlpSettings


@pytest.mark.usefixtures("made_corpora")
def test_a_comparison_plays_it(
    comparison: Callable[..., CompareConfig], tmp_path: Path, runs_of: Callable[[Path], list[dict[str, Any]]]
) -> None:
    names = ["random", "margin", "subsample:margin", "subsample:8:margin", "alps"]
    run_comparison(comparison(strategies=names, seeds=3), tmp_path)
    bought: dict[str, list[Any]] = {name: [] for name in names}
    for run in runs_of(tmp_path / "small"):
        bought[run["strategy"]].append(run["batches"])
    assert [len(runs) for runs in bought.values()] == [3] * 5
    assert bought["subsample:margin"] == bought["margin"], "the part is the whole of a small pool"
    assert bought["subsample:8:margin"] != bought["margin"]


def test_a_policy_is_subsampled_and_played_by_proxy_by_its_folder(
    comparison: Callable[..., CompareConfig], tmp_path: Path, runs_of: Callable[[Path], list[dict[str, Any]]]
) -> None:
    folder = str(pretrained_folder("imitated"))
    names = ["random", folder, f"subsample:{folder}", f"subsample:8:{folder}", f"proxy:subsample:8:{folder}"]
    labels = [
        "random",
        "imitated",
        "subsample:imitated",
        "subsample:8:imitated",
        "proxy:subsample:8:imitated",
    ]
    assert [label(name) for name in names] == labels
    assert len({identity(name) for name in names}) == len(names)
    done = run_comparison(comparison(strategies=names, seeds=2, reference="subsample:imitated"), tmp_path)
    bought: dict[str, list[Any]] = {name: [] for name in labels}
    for run in runs_of(tmp_path / "small"):
        bought[run["strategy"]].append(run["batches"])
    assert bought["subsample:imitated"] == bought["imitated"], "the part is the whole of a small pool"
    assert bought["subsample:8:imitated"] != bought["imitated"]
    results = read_results(done.folder.folder)
    assert results.policies == {"imitated": folder}
    assert about("proxy:subsample:8:imitated", results.policies).family == "learned"


def test_a_policy_needs_of_its_proxy_what_it_was_trained_on() -> None:
    folder = pretrained_folder("imitated")
    check_learner([f"proxy:{folder}"], MlpSettings(dropout=0.0), "classification")
    with pytest.raises(ReActError, match="needs a corpus of classification"):
        check_learner([f"proxy:{folder}"], TaggerSettings(), "tagging")
    tuned = FineTuneSettings()
    check_learner(["proxy:learned-tagging", "proxy:mixture", "proxy:mnlp"], tuned, "tagging")
    check_learner(["proxy:learned-tagging", f"proxy:{folder}"], tuned)
    with pytest.raises(ReActError, match="needs a corpus of classification"):
        check_learner([f"proxy:{folder}"], tuned, "tagging")
    with pytest.raises(ReActError, match="no/such/policy"):
        resolve("proxy:no/such/policy")


@pytest.mark.parametrize("name", ["learned-tagging", "subsample:learned-tagging", "proxy:learned-tagging"])
def test_a_policy_plays_on_the_task_of_its_card_alone(name: str) -> None:
    check_learner([name], TaggerSettings(), "tagging")
    for learner, task in ((SoftmaxSettings(), "classification"), (SpanSettings(), "question-answering")):
        for asked in (task, None):
            with pytest.raises(ReActError, match="'learned-tagging' needs a corpus of tagging"):
                check_learner([name], learner, asked)
    with pytest.raises(ReActError, match="needs a corpus of classification") as refused:
        check_learner(["learned"], SpanSettings(), "question-answering")
    assert "learned-tagging" not in str(refused.value)


def test_it_goes_by_its_name() -> None:
    name = "subsample:500:badge"
    assert isinstance(resolve(name), Subsampled)
    assert (label(name), identity(name)) == (name, name)
    assert about(name).summary == "badge on 500 random rows"
    with pytest.raises(ReActError, match="Did you mean 'badge'"):
        resolve("subsample:500:bagde")
