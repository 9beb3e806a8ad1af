"""Tagged sentences from a file to curves: the whole way, with the encoder that comes with the package."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

from react_rl.agents.folder import read_card
from react_rl.agents.networks import RowScorer, ScorerEnsemble
from react_rl.agents.scorer import ROW_CONTEXT
from react_rl.agents.scorer_folder import pretrained_folder, save_scorer
from react_rl.data.synthetic import synthetic_sentences
from react_rl.errors import ReActError
from react_rl.experiments import CompareConfig, read_results, run_comparison, summarise
from react_rl.experiments.report.writing import build_report
from react_rl.experiments.run.bought import export_bought
from react_rl.experiments.run.results import ResultFolder


@pytest.fixture(scope="module")
def sentences(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A column file of 240 short sentences."""
    corpus = synthetic_sentences(240, 2)
    assert corpus.tokens is not None
    lines = []
    for tokens, tags in zip(corpus.tokens, corpus.targets, strict=True):
        lines += [f"{token} {corpus.label_names[tag]}" for token, tag in zip(tokens, tags, strict=True)]
        lines.append("")
    path = tmp_path_factory.mktemp("sentences") / "people.conll"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def config(comparison: Callable[..., CompareConfig], path: Path, **changes: object) -> CompareConfig:
    given: dict[str, object] = {
        "corpora": [{"corpus": str(path)}],
        "strategies": ["random", "mnlp"],
        "learner": {"kind": "tagger"},
        "episode": {"budget": 60, "pool_size": 60},
        "seeds": 2,
    }
    return comparison(**(given | changes))


def test_sentences_are_compared_by_the_metrics_of_tagging_and_paid_by_the_token(
    comparison: Callable[..., CompareConfig], sentences: Path, tmp_path: Path
) -> None:
    wanted = config(comparison, sentences)
    outcome = run_comparison(wanted, tmp_path)
    assert not outcome.failures
    folder = ResultFolder(tmp_path / "small")
    for run in folder.read_plan()[1]:
        played = folder.read_run(run)
        assert set(played["test"]) == {"entity_f1", "token_accuracy"}
        assert 50 < played["cost"][-1] <= 60
    with (tmp_path / "small" / "bought.csv").open(encoding="utf-8") as file:
        for line in csv.DictReader(file):
            assert len(line["label"].split()) == len(line["text"].split())
    assert "Class balance on people" in build_report(tmp_path / "small")
    bought = (tmp_path / "small" / "bought.csv").read_bytes()
    assert export_bought(tmp_path / "small").read_bytes() == bought
    again = run_comparison(wanted, tmp_path)
    assert (again.played, again.kept) == (0, 4)


def test_rules_that_go_by_a_metric_take_the_usual_one_of_the_task(
    comparison: Callable[..., CompareConfig], sentences: Path, tmp_path: Path
) -> None:
    for name, rule in (("at-once", {"rule": "metric-target", "threshold": 0.0}), ("slope", _FLAT)):
        outcome = run_comparison(config(comparison, sentences, name=name, stopping=rule), tmp_path)
        assert not outcome.failures
        folder = ResultFolder(tmp_path / name)
        rounds = {len(folder.read_run(run)["cost"]) - 1 for run in folder.read_plan()[1]}
        assert rounds == {0 if name == "at-once" else 1}


_FLAT = {"rule": "predicted-gain", "threshold": 9.0, "window": 1, "metric": "entity_precision"}
"""Stops after the first round: no precision rises by 9 a token."""


def test_what_does_not_fit_tagging_is_refused_in_one_sentence(
    comparison: Callable[..., CompareConfig], sentences: Path, tmp_path: Path
) -> None:
    for changes, message in (
        ({"learner": {}, "strategies": ["random"]}, "set learner.kind to finetune or tagger"),
        ({"strategies": ["badge"], "reference": "badge"}, "'badge' needs a corpus of classification"),
        ({"strategies": ["random", str(pretrained_folder("learned"))]}, "needs a corpus of classification"),
        ({"strategies": ["random", "learned"]}, "'learned-tagging', which comes with the package, fits"),
        ({"metrics": ["macro_f1"]}, "Unknown metric of tagging 'macro_f1'"),
        ({"stopping": {"rule": "kappa"}}, "'stopping.rule kappa' needs a corpus of classification"),
        (
            {"stopping": {"rule": "metric-target", "threshold": 0.5, "metric": "accuracy"}},
            "Unknown metric of tagging 'accuracy'",
        ),
        ({"corpora": [{"corpus": str(sentences), "label": "x"}]}, "holds tagged sentences, so 'label'"),
        ({"corpora": [{"corpus": str(sentences), "cost": "words"}]}, "cannot cost 'words'"),
    ):
        with pytest.raises(ReActError) as caught:
            run_comparison(config(comparison, sentences, **changes), tmp_path)
        assert message in str(caught.value), message


def test_annotators_of_sentences_err_and_entities_can_have_a_price(
    comparison: Callable[..., CompareConfig], sentences: Path, tmp_path: Path
) -> None:
    noisy = config(
        comparison,
        sentences,
        corpora=[{"corpus": str(sentences), "cost": "tokens+2*entities"}],
        episode={"budget": 60, "pool_size": 60, "label_noise": 0.5},
    )
    assert not run_comparison(noisy, tmp_path).failures
    with (tmp_path / "small" / "bought.csv").open(encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert any(line["label"] != line["true_label"] for line in lines)


def test_a_policy_whose_features_need_no_classes_buys_sentences(
    comparison: Callable[..., CompareConfig], sentences: Path, tmp_path: Path
) -> None:
    features = ["margin", "density", "novelty", "unsure_herding", "even_reduction"]
    network = ScorerEnsemble([RowScorer(len(features), len(ROW_CONTEXT), 4)])
    card = read_card(pretrained_folder("learned"))
    shape = card.network | {"features": len(features), "hidden": 4, "members": 1, "context": len(ROW_CONTEXT)}
    changes = {
        "name": "class-free",
        "network": shape,
        "action_space": card.action_space | {"features": features},
        "observation": {"name": "rows", "context": list(ROW_CONTEXT)},
    }
    save_scorer(tmp_path / "policy", network, card.model_copy(update=changes))
    wanted = config(comparison, sentences, strategies=["random", str(tmp_path / "policy")], seeds=1)
    outcome = run_comparison(wanted, tmp_path)
    assert not outcome.failures
    assert outcome.played == 2


def test_a_policy_of_the_package_goes_by_its_name_and_a_reference_by_its_folder(
    comparison: Callable[..., CompareConfig], sentences: Path, tmp_path: Path
) -> None:
    named = config(comparison, sentences, strategies=["random", "learned-tagging"], seeds=1)
    folder = run_comparison(named, tmp_path).folder.folder
    assert read_results(folder).policies == {"learned-tagging": "learned-tagging"}
    own = str(pretrained_folder("learned-tagging"))
    again = config(comparison, sentences, strategies=["random", own], seeds=1, reference=own)
    assert run_comparison(again, tmp_path).kept == 2
    assert read_results(folder).reference == "learned-tagging"
    assert summarise(read_results(folder)).set_index("strategy")["difference"].notna()["random"]
