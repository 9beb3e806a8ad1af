"""Corpora that come in phases: several one after the other, or one whose class shares drift."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from react_rl.data import Corpus, CorpusConfig, PhaseRows, drifting, in_phases, synthetic_corpus
from react_rl.errors import ReActError


def named(name: str, *labels: str) -> Corpus:
    made = synthetic_corpus(n_rows=60, n_classes=len(labels), seed=len(name))
    return replace(made, name=name, label_names=labels)


def test_corpora_one_after_the_other_share_the_classes_of_one_name() -> None:
    films, news, shops = (
        named("films", "bad", "good"),
        named("news", "sport", "art"),
        named("shops", "good", "bad"),
    )
    whole = in_phases([films, news, shops])
    assert whole.name == "films then news then shops"
    assert whole.label_names == ("bad", "good", "sport", "art")
    assert whole.phases is not None
    assert whole.phases.names == ("films", "news", "shops")
    for phase, own in enumerate((films, news, shops)):
        rows = np.flatnonzero(whole.phases.of == phase)
        assert [whole.texts[row] for row in rows] == list(own.texts)
        assert [whole.label_names[c] for c in whole.targets[rows]] == [
            own.label_names[c] for c in own.targets
        ]
        assert whole.split[rows].tolist() == own.split.tolist()


def test_phases_are_part_of_what_a_corpus_holds() -> None:
    parts = [named("a", "x", "y"), named("b", "x", "y")]
    whole = in_phases(parts)
    assert whole.digest() != replace(whole, phases=None).digest()
    assert whole.digest() == in_phases(parts, "another name").digest()


@pytest.mark.parametrize("share", [1.0, 0.75, 0.25])
def test_so_large_a_share_of_a_class_is_at_home_in_one_phase(share: float) -> None:
    corpus = synthetic_corpus(n_rows=1600, n_classes=4, seed=3)
    drifted = drifting(corpus, 4, share)
    assert drifted.phases is not None
    assert sorted(drifted.texts) == sorted(corpus.texts)
    for label in range(4):
        rows = drifted.targets == label
        counts = np.bincount(drifted.phases.of[rows & (drifted.split == 0)], minlength=4)
        assert counts.max() / counts.sum() == pytest.approx(share, abs=0.02)
        assert np.delete(counts, counts.argmax()) / counts.sum() == pytest.approx((1 - share) / 3, abs=0.02)


def test_every_row_keeps_its_text_its_class_and_its_split() -> None:
    corpus = synthetic_corpus(n_rows=200, n_classes=3, seed=1)
    drifted = drifting(corpus, 3, 0.6)
    before = {
        text: (int(c), int(s)) for text, c, s in zip(corpus.texts, corpus.targets, corpus.split, strict=True)
    }
    after = {
        text: (int(c), int(s))
        for text, c, s in zip(drifted.texts, drifted.targets, drifted.split, strict=True)
    }
    assert before == after


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: drifting(named("a", "x", "y"), 3), "at most as many as there are classes"),
        (lambda: drifting(named("a", "x", "y"), 2, 0.2), "give 0.5 "),
        (lambda: in_phases([named("a", "x", "y")]), "name 2 to 255 phases"),
        (lambda: in_phases([named("a", "x", "y"), named("a", "x", "y")]), "each differently"),
        (lambda: PhaseRows(np.array([1, 0], np.uint8), ("a", "b")), "in the order of their phases"),
        (lambda: PhaseRows(np.array([0, 0], np.uint8), ("a", "b")), "needs rows"),
    ],
)
def test_what_makes_no_phases_is_refused(make: object, said: str) -> None:
    with pytest.raises(ReActError, match=said):
        make()  # type: ignore[operator]


@pytest.mark.parametrize(
    "values",
    [{"then": ["b"], "phases": 2}, {"drift": 0.5}, {"phases": 2, "embeddings": "v.npy"}],
    ids=["two ways", "no phases", "vectors"],
)
def test_keys_that_contradict_each_other_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        CorpusConfig.model_validate({"corpus": "synthetic", **values})


def test_a_corpus_without_phases_is_filed_as_before_there_were_any() -> None:
    assert not {"then", "phases", "drift"} & CorpusConfig(corpus="synthetic").model_dump().keys()
