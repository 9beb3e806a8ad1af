"""Annotators that err: how often, on which rows, and which class they name instead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from pydantic import ValidationError

from react_rl.acquisition import make_strategy
from react_rl.data.corpus import Corpus
from react_rl.errors import ReActError
from react_rl.files import canonical_json
from react_rl.seeding import Streams
from react_rl.simulation import EncodedCorpus, EpisodeOptions, LabelingEngine, synthetic_encoded
from react_rl.simulation.draw import check_fit
from react_rl.tasks.noise import noise_of

NAMES = ("a", "b", "c", "d")


def corpus_of(confidence: npt.NDArray[np.float64] | None = None, n_classes: int = 4) -> EncodedCorpus:
    made = synthetic_encoded(400, n_classes, seed=n_classes)
    corpus = replace(made.corpus, label_names=NAMES[:n_classes], confidence=confidence)
    return EncodedCorpus.build(corpus, made.embeddings.numpy())


def options(**changes: Any) -> EpisodeOptions:
    sizes = {"pool_size": 200, "dev_size": 40, "initial_size": 10, "budget": 180, "batch_size": 20}
    return EpisodeOptions.model_validate(sizes | changes)


def answers(
    encoded: EncodedCorpus, chosen: EpisodeOptions, seeds: Sequence[int], strategy: str = "random"
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Row ids and answered classes of everything that is labelled at the end, -1 for no answer."""
    engine = LabelingEngine([encoded], chosen, len(seeds))
    engine.reset([Streams(seed) for seed in seeds])
    while not engine.finished.all():
        engine.step(make_strategy(strategy).select(engine.view, chosen.batch_size))
    _, onehot, live = engine.view.labelled_geometry
    rows, given = [], []
    for e in range(len(seeds)):
        columns = engine.view.labelled_columns[0][e]
        classes = torch.from_numpy(engine.draw_of(e).classes)
        said = torch.where(live[e] > 0, classes[onehot[e].argmax(0)], -1)
        rows.append(engine.view.ids[e][columns])
        given.append(said)
    return torch.cat(rows).numpy(), torch.cat(given).numpy()


def counted(corpus: Corpus, rows: npt.NDArray[np.int64], given: npt.NDArray[np.int64]) -> Any:
    """Share of each answer to each true class ``(K, K)``."""
    table = np.zeros((corpus.n_classes, corpus.n_classes))
    np.add.at(table, (corpus.targets[rows], given), 1)
    return table / table.sum(1, keepdims=True)


def test_uniform_noise_and_abstention_draw_the_answers_they_always_drew() -> None:
    chosen = EpisodeOptions(
        pool_size=30, dev_size=20, initial_size=5, budget=15, batch_size=4, label_noise=0.4, abstention=0.2
    )
    expected = {
        None: "1 2 0 -1 1 -1 2 0 1 1 0 -1 1 -1 0 1 2 -1 2 1 -1 0 2 2 1 -1 1 1 0 2",
        (2, 3): "-1 1 -1 -1 1 1 0 -1 0 -1 1 1 0 1 1 1 1 1 -1 0 -1 0 1 1 0 1 -1 1 0 0",
    }
    for (classes, line), size in zip(expected.items(), (3, 5), strict=True):
        encoded = synthetic_encoded(200, size, seed=size)
        engine = LabelingEngine([encoded], chosen.model_copy(update={"classes": classes}))
        engine.reset([Streams(7)])
        given = engine.oracle.answer(torch.zeros(1, dtype=torch.int64), torch.arange(30)[None])
        assert given[0].tolist() == [int(word) for word in line.split()]


def test_options_without_confusion_are_written_as_before() -> None:
    # Finished runs are found by these words.
    assert canonical_json(EpisodeOptions().model_dump(mode="json")) == (
        '{"abstention":0.0,"batch_size":5,"budget":80.0,"classes":null,"dev_size":300,"initial":"random",'
        '"initial_size":10,"label_noise":0.0,"pool_size":500}'
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"label_noise": 0.3, "confusion": "similar"},
        {"label_noise": "crowd"},
        {"confusion": {"a": {"b": 0.5}}},
    ],
)
def test_options_come_back_from_what_they_are_written_as(changes: dict[str, Any]) -> None:
    chosen = options(**changes)
    assert EpisodeOptions.model_validate_json(chosen.model_dump_json()) == chosen


@pytest.mark.parametrize(
    ("noise", "confusion"),
    [(0.4, None), (0.4, "similar"), ("crowd", None), ("crowd", "similar"), (0, {"a": {"b": 0.5, "c": 0.2}})],
)
def test_seed_k_gives_every_strategy_the_same_answers(noise: Any, confusion: Any) -> None:
    confidence = np.random.default_rng(0).uniform(0.2, 1.0, 400)
    encoded = corpus_of(confidence)
    chosen = options(label_noise=noise, confusion=confusion, abstention=0.2, budget=100)
    heard = [dict(zip(*answers(encoded, chosen, [5], name), strict=True)) for name in ("random", "margin")]
    both = heard[0].keys() & heard[1].keys()
    assert 20 < len(both) < len(heard[0]), "the strategies must differ for this to say anything"
    assert all(heard[0][row] == heard[1][row] for row in both)
    assert any(heard[0][row] not in (-1, encoded.corpus.targets[row]) for row in both)


def test_named_confusions_come_at_their_rates_and_no_others() -> None:
    encoded = corpus_of()
    chosen = options(confusion={"a": {"b": 0.3, "d": 0.1}, "c": {"a": 1.0}})
    shares = counted(encoded.corpus, *answers(encoded, chosen, range(48)))
    expected = [[0.6, 0.3, 0.0, 0.1], [0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1]]
    assert shares == pytest.approx(np.array(expected), abs=0.04)
    assert ((shares > 0) == (np.array(expected) > 0)).all()


def test_similar_confusions_err_at_the_rate_and_fall_with_the_squared_distance_of_the_class_means() -> None:
    encoded = corpus_of()
    corpus = encoded.corpus
    shares = counted(corpus, *answers(encoded, options(label_noise=0.4, confusion="similar"), range(24)))
    assert np.diag(shares) == pytest.approx(np.full(4, 0.6), abs=0.04)
    train = corpus.ids("train")
    vectors = encoded.embeddings.numpy()
    means = [vectors[train[corpus.targets[train] == k]].mean(0) for k in range(4)]
    for a in range(4):
        odds = np.array([0.0 if a == b else 1 / ((means[a] - means[b]) ** 2).sum() for b in range(4)])
        wrong = shares[a] * (np.arange(4) != a) / 0.4
        assert wrong == pytest.approx(odds / odds.sum(), abs=0.06)


def test_similar_confusions_never_name_a_class_without_train_rows() -> None:
    made = corpus_of()
    kept = made.corpus.restrict((made.corpus.targets != 3) | (made.corpus.split != 0))
    noise = noise_of(kept, made.embeddings, options(label_noise=0.4, confusion="similar"))
    assert noise is not None
    assert noise.confusion is not None
    assert (noise.confusion[:, 3] == 0).all()
    assert (noise.confusion[:3, :3] + np.eye(3) > 0).all()


def test_crowd_noise_is_one_minus_the_confidence_of_the_row() -> None:
    levels = np.array([1.0, 0.8, 0.5, np.nan])
    confidence = np.resize(levels, 400)
    encoded = corpus_of(confidence)
    rows, given = answers(encoded, options(label_noise="crowd"), range(24))
    wrong = given != encoded.corpus.targets[rows]
    kind = rows % 4
    found = [wrong[kind == k].mean() for k in range(4)]
    mean = 1 - np.nanmean(confidence)
    assert found == pytest.approx([0.0, 0.2, 0.5, mean], abs=0.04)
    assert found[0] == 0.0
    other = (given - encoded.corpus.targets[rows])[wrong] % 4
    assert np.bincount(other, minlength=4)[1:] / wrong.sum() == pytest.approx([1 / 3] * 3, abs=0.05)


@pytest.mark.parametrize("confusion", ["similar", {"a": {"b": 0.4, "d": 0.3}, "b": {"a": 0.7}}])
def test_answers_stay_within_the_classes_of_the_episode(confusion: Any) -> None:
    encoded = corpus_of()
    rate = 0.7 if confusion == "similar" else 0.0
    chosen = options(
        confusion=confusion, label_noise=rate, classes=(2, 3), pool_size=80, budget=60, dev_size=20
    )
    engine = LabelingEngine([encoded], chosen, 16)
    engine.reset([Streams(seed) for seed in range(16)])
    everyone = torch.arange(16)
    given = engine.oracle.answer(everyone, torch.arange(80).expand(16, -1)).numpy()
    noisy = 0
    for e in range(16):
        draw = engine.draw_of(e)
        size = draw.pool.size
        assert (given[e, :size] >= 0).all()
        assert (given[e, :size] < draw.classes.size).all()
        wrong = draw.classes[given[e, :size]] != encoded.corpus.targets[draw.pool]
        noisy += wrong.any()
        if confusion != "similar" and 0 not in draw.classes:
            assert not wrong.any(), "without class a nothing is confused"
    assert noisy > 2


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"label_noise": "crowd"}, "carries no confidence; give a rate, or name the column"),
        ({"confusion": {"a": {"bb": 0.1}}}, "Unknown class of corpus .* 'bb'. Did you mean 'b'"),
        (
            {"confusion": {"A": {"b": 0.1}}},
            "Unknown class of corpus .* 'A'. Did you mean 'a'|Known: a, b, c, d",
        ),
    ],
)
def test_an_annotator_that_does_not_fit_the_corpus_is_refused(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ReActError, match=sentence):
        check_fit(corpus_of().corpus, options(**changes))
    with pytest.raises(ReActError, match=sentence):
        LabelingEngine([corpus_of()], options(**changes))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"label_noise": "crwd"},
            r"'crwd' is no noise \(did you mean 'crowd'\?\); give a number from 0 to less",
        ),
        ({"label_noise": -0.1}, "-0.1 is no noise; give a number"),
        ({"label_noise": float("nan")}, "nan is no noise"),
        ({"label_noise": True}, "True is no noise"),
        (
            {"label_noise": 0.1, "confusion": "similr"},
            r"'similr' is no confusion \(did you mean 'similar'\?\)",
        ),
        ({"confusion": "similar"}, "label_noise is 0; set label_noise to a rate or to 'crowd'"),
        ({"confusion": {"a": {"b": 0.1}}, "label_noise": 0.1}, "label_noise must be 0, not 0.1"),
        ({"confusion": {"a": {"b": 0.1}}, "label_noise": "crowd"}, "label_noise must be 0, not 'crowd'"),
        ({"confusion": {"a": {"b": 1.1}}}, "'a' is taken for 'b' at rate 1.1; give a number from 0 to 1"),
        ({"confusion": {"a": {"b": "x"}}}, "'a' is taken for 'b' at rate 'x'"),
        ({"confusion": {"a": {"b": 0.6, "c": 0.5}}}, "sum to 1.1; they may sum to at most 1"),
        ({"confusion": {"a": {"a": 0.6}}}, "taken for itself"),
        ({"confusion": {"a": 0.6}}, "class 'a' is given 0.6; give the rates of the classes"),
    ],
)
def test_annotators_that_make_no_sense_are_refused(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        options(**changes)


def test_classes_may_be_named_by_numbers_as_yaml_reads_them() -> None:
    assert options(confusion={0: {1: 0.25}}).confusion == {"0": {"1": 0.25}}
