"""What run files keep of the last models: counts by brute force, whatever the learner; nothing unasked."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch

from react_rl.acquisition import make_strategy
from react_rl.encoders.transformer import EncoderSettings, TextEncoder
from react_rl.envs.batched import episode_streams
from react_rl.errors import ReActError
from react_rl.experiments import CompareConfig, run_comparison
from react_rl.experiments.analysis.final_models import (
    calibration_table,
    class_table,
    read_final_runs,
    robustness_table,
)
from react_rl.experiments.config.analysis import Analysis, RobustnessSettings
from react_rl.experiments.config.learners import learner_config
from react_rl.experiments.report.writing import build_report
from react_rl.experiments.run.altered import Altered, alter, disturbed
from react_rl.experiments.run.episodes import TestSplit, play
from react_rl.experiments.run.final_models import FinalModels, text_groups_of
from react_rl.experiments.run.results import ResultFolder
from react_rl.learners.linear.calibration import inverse_temperature
from react_rl.seeding import Streams
from react_rl.simulation import EncodedCorpus, EpisodeOptions, LabelingEngine, synthetic_tagged
from tests.experiments.conftest import made

Compare = Callable[..., CompareConfig]
RunFiles = Callable[[Path], dict[str, bytes]]
ANALYSES = get_args(Analysis)
OPTIONS = EpisodeOptions(pool_size=40, dev_size=30, initial_size=6, budget=8, batch_size=4)
LEARNERS = ("softmax", "mlp", "recipes")


class LetterEncoder:
    """Vectors from the letters of a text."""

    settings = EncoderSettings()

    def __init__(self, dimensions: int) -> None:
        self._dimensions = dimensions

    def encode(self, texts: Any, progress: bool = True) -> Any:
        return np.array(
            [[float(text.count(chr(97 + d))) + 0.1 for d in range(self._dimensions)] for text in texts],
            np.float32,
        )

    def fingerprint(self) -> dict[str, str]:
        return {"weights": "letters"}


def altered(corpus: EncodedCorpus, rows: int = 20) -> Altered:
    encoder = LetterEncoder(corpus.embeddings.shape[1])
    settings = RobustnessSettings(rows=rows)
    return alter(corpus, corpus.corpus.ids("test"), settings, encoder, progress=False)


def ended(corpus: EncodedCorpus, kind: str) -> LabelingEngine:
    """Three episodes at their end."""
    settings = {"kind": "softmax", "recipe": "smooth"} if kind == "recipes" else {"kind": kind}
    learner = learner_config(settings).settings()
    engine = LabelingEngine([corpus], OPTIONS, 3, ("accuracy",), learner)
    engine.reset(streams(corpus), None, [0] * 3)
    while not engine.finished.all():
        engine.step(make_strategy("margin").select(engine.view, 4))
    return engine


def streams(corpus: EncodedCorpus) -> list[Streams]:
    return [episode_streams(seed, corpus.name) for seed in range(3)]


@pytest.mark.parametrize("kind", LEARNERS)
def test_counts_are_those_of_brute_force(kind: str) -> None:
    corpus = made(2)
    engine, rows = ended(corpus, kind), corpus.corpus.ids("test")
    found = FinalModels(ANALYSES, corpus, rows, altered(corpus)).of(engine, streams(corpus))
    scores, truth = engine.scores(rows), corpus.corpus.targets[rows]
    words = np.array([len(corpus.corpus.texts[row].split()) for row in rows])
    for e, kept in enumerate(found):
        predicted = scores[e].argmax(0).numpy()
        own = kept["per-class"]
        for c in range(corpus.corpus.n_classes):
            assert own["rows"][c] == (truth == c).sum()
            assert own["correct"][c] == ((truth == c) & (predicted == c)).sum()
            assert own["predicted"][c] == (predicted == c).sum()
        long = words > np.quantile(words, 2 / 3)
        group = own["groups"].get("long texts", {"rows": 0, "correct": 0})
        assert group == {"rows": long.sum(), "correct": (long & (predicted == truth)).sum()}
        assert sum(group["rows"] for group in own["groups"].values()) == rows.size
        confidence = torch.softmax(scores[e], 0).max(0).values.double().numpy()
        before = kept["calibration"]["before"]
        assert sum(before["rows"]) == rows.size
        assert sum(before["correct"]) == (predicted == truth).sum()
        assert sum(before["confidence"]) == pytest.approx(confidence.sum(), abs=1e-4)
        assert sum(kept["calibration"]["after"]["correct"]) == sum(before["correct"]), "no prediction changes"
        dev = torch.from_numpy(corpus.corpus.targets[engine.draw_of(e).dev])
        logits = engine.learner.logits_of(slice(OPTIONS.pool_size, None))[e : e + 1]
        onehot = torch.nn.functional.one_hot(dev, logits.shape[1]).T[None].float()
        beta = float(inverse_temperature(logits, onehot)[0])
        assert kept["calibration"]["temperature"] == pytest.approx(1 / beta, rel=1e-4)


@pytest.mark.parametrize("kind", LEARNERS)
def test_a_model_scores_disturbed_rows_as_if_they_had_been_there_all_along(kind: str) -> None:
    corpus = made(2)
    engine, copies = ended(corpus, kind), altered(corpus)
    rows = copies.rows["clean"]
    again = LabelingEngine([copies.encoded], OPTIONS, 3, ("accuracy",), engine.learner_settings)
    again.resume(streams(corpus), [0] * 3, engine.state())
    torch.testing.assert_close(again.scores(rows), engine.scores(rows), atol=1e-4, rtol=1e-4)
    kept = FinalModels(["robustness"], corpus, corpus.corpus.ids("test"), copies).of(engine, streams(corpus))
    for e, own in enumerate(kept):
        clean = engine.scores(rows)[e].argmax(0)
        typed = again.scores(copies.rows["typos"])[e].argmax(0)
        truth = corpus.corpus.targets[rows]
        assert sum(own["robustness"]["typos"]["correct"]) == (typed.numpy() == truth).sum()
        assert own["robustness"]["typos"]["changed"] == (typed != clean).sum()
        assert own["robustness"]["clean"]["changed"] == 0


def test_copies_keep_labels_and_belong_to_no_split() -> None:
    corpus = made(2)
    copies = altered(corpus, rows=15)
    wide = copies.encoded.corpus
    assert wide.n_rows == corpus.corpus.n_rows + 2 * 15
    assert list(copies.rows) == ["clean", "typos", "deletions"]
    texts = disturbed([corpus.corpus.texts[row] for row in copies.rows["clean"]], RobustnessSettings())
    for kind in ("typos", "deletions"):
        ids = copies.rows[kind]
        assert wide.targets[ids].tolist() == corpus.corpus.targets[copies.rows["clean"]].tolist()
        assert [wide.texts[row] for row in ids] == texts[kind]
    for split in ("train", "dev", "test"):
        assert wide.ids(split).tolist() == corpus.corpus.ids(split).tolist()
    assert torch.equal(copies.encoded.density[: corpus.corpus.n_rows], corpus.density)
    again = Altered.of_arrays(copies.arrays())
    assert torch.equal(again.encoded.embeddings, copies.encoded.embeddings)


def test_what_is_played_does_not_change_when_the_last_model_is_analysed() -> None:
    corpus = made(2)
    final = FinalModels(ANALYSES, corpus, TestSplit(corpus, None).rows, altered(corpus))
    plain, analysed = (
        play(corpus, make_strategy("margin"), range(2), OPTIONS, ("accuracy",), final=one).results
        for one in (None, final)
    )
    kept = [run.pop("analysis") for run in analysed]
    assert analysed == plain
    for run, own in zip(analysed, kept, strict=True):
        share = sum(own["per-class"]["correct"]) / sum(own["per-class"]["rows"])
        assert share == pytest.approx(run["test"]["accuracy"][-1], abs=1e-6)


@pytest.mark.usefixtures("made_corpora")
def test_a_comparison_keeps_it_where_the_config_asks_and_its_other_bytes_stay(
    comparison: Compare, tmp_path: Path, run_files: RunFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        TextEncoder, "encode", lambda self, texts, progress=True: LetterEncoder(16).encode(texts)
    )
    run_comparison(comparison(name="plain", seeds=2), tmp_path).check()
    run_comparison(comparison(name="asked", analysis=ANALYSES, jobs=2, seeds=2), tmp_path).check()
    run_comparison(comparison(name="again", analysis=ANALYSES, seeds=2), tmp_path).check()
    plain, asked, again = (run_files(tmp_path / name) for name in ("plain", "asked", "again"))
    assert asked == again, "workers and one process keep the same"
    assert not plain.keys() & asked.keys(), "an analysed run has a key of its own"
    for before, after in zip(plain.values(), asked.values(), strict=True):
        own = json.loads(after)
        assert own.pop("analysis").keys() == {"classes", *ANALYSES}
        assert {k: v for k, v in own.items() if k != "key"} == {
            k: v for k, v in json.loads(before).items() if k != "key"
        }

    report = build_report(tmp_path / "asked")
    for name in ANALYSES:
        assert f'<section id="{name}"' in report
    tables_agree_with_the_runs(tmp_path / "asked", [json.loads(text) for text in asked.values()])


def tables_agree_with_the_runs(folder: Path, files: list[dict[str, Any]]) -> None:
    """Means over seeds are those of the run files, by hand."""
    runs = read_final_runs(ResultFolder(folder))
    own = [one["analysis"] for one in files if one["strategy"] == "margin"]
    (row,) = [r for r in calibration_table(runs).to_dict("records") if r["strategy"] == "margin"]
    errors = []
    for kept in own:
        bins = kept["calibration"]["before"]
        gaps = [abs(c - s) for c, s in zip(bins["correct"], bins["confidence"], strict=True)]
        errors.append(sum(gaps) / sum(bins["rows"]))
    assert row["before"] == pytest.approx(np.mean(errors))
    assert row["before_low"] <= row["before"] <= row["before_high"]
    name = own[0]["classes"][1]
    classes = class_table(runs)
    (accuracy,) = classes[(classes["strategy"] == "margin") & (classes["name"] == name)]["accuracy"]
    recalls = [kept["per-class"]["correct"][1] / kept["per-class"]["rows"][1] for kept in own]
    assert accuracy == pytest.approx(np.mean(recalls))
    table = robustness_table(runs)
    typed = table[(table["strategy"] == "margin") & (table["kind"] == "typos") & (table["group"] == "all")]
    lost = [
        sum(kept["robustness"]["clean"]["correct"]) - sum(kept["robustness"]["typos"]["correct"])
        for kept in own
    ]
    rows = sum(own[0]["robustness"]["clean"]["rows"])
    assert typed["lost"].tolist() == pytest.approx([np.mean(lost) / rows])


def test_groups_are_thirds_by_length_and_agreement_where_it_is_known() -> None:
    corpus = made(2)
    rows = corpus.corpus.ids("test")
    assert sorted(np.concatenate(list(text_groups_of(corpus, rows).values())).tolist()) == rows.tolist()
    sure = np.where(np.arange(corpus.corpus.n_rows) % 2, 1.0, 0.5)
    known = corpus.with_corpus(replace(corpus.corpus, confidence=sure))
    groups = text_groups_of(known, rows)
    assert groups["annotators agreed"].tolist() == [row for row in rows if row % 2]


def test_what_cannot_be_analysed_is_refused() -> None:
    tagged = synthetic_tagged(60)
    with pytest.raises(ReActError, match="is of tagging; leave 'analysis' out"):
        FinalModels(["calibration"], tagged, tagged.corpus.ids("test"))
    with pytest.raises(ReActError, match="are from a file"):
        altered(replace(made(1), given="digest"))
