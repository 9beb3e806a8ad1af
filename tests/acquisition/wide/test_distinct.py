"""Batches without near-copies, and parts of pools of other tasks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from react_rl.acquisition import Margin, make_strategy
from react_rl.acquisition.origin import is_packaged
from react_rl.acquisition.registry import entry_of, is_strategy
from react_rl.acquisition.wide.distinct import Distinct, parse_distinct
from react_rl.acquisition.wide.subsampling import Subsampled
from react_rl.errors import ReActError
from react_rl.learners.linear.span import SpanSettings
from react_rl.learners.linear.tagger import TaggerSettings
from react_rl.seeding import Streams
from react_rl.simulation import (
    EncodedCorpus,
    EpisodeOptions,
    LabelingEngine,
    synthetic_asked,
    synthetic_encoded,
    synthetic_tagged,
)

OPTIONS = EpisodeOptions(pool_size=40, dev_size=20, initial="random", initial_size=5, budget=30, batch_size=4)


def repeated(spread: float) -> EncodedCorpus:
    """A corpus whose rows come in threes that are nearly equal."""
    data = synthetic_encoded(240, 3)
    rng = np.random.default_rng(0)
    vectors = data.embeddings.numpy()
    near = vectors[np.arange(240) // 3 * 3] + spread * rng.standard_normal(vectors.shape)
    return replace(
        data, embeddings=torch.nn.functional.normalize(torch.from_numpy(near.astype(np.float32)), dim=1)
    )


def started(corpus: EncodedCorpus, learner: object = None) -> LabelingEngine:
    engine = LabelingEngine([corpus], OPTIONS, 3, learner=learner)  # type: ignore[arg-type]
    engine.reset([Streams(seed) for seed in range(3)])
    return engine


def test_the_first_of_nearly_equal_rows_is_taken_in_the_order_of_the_base() -> None:
    corpus = repeated(0.005)
    view = started(corpus).view
    gram = (corpus.embeddings @ corpus.embeddings.T).numpy()
    found = make_strategy("distinct:margin").select(view, 8)
    several = 0
    for e in range(3):
        bought = view.ids[e][view.labelled[e]].tolist()
        order = sorted(
            view.ids[e][view.available[e]].tolist(),
            key=lambda row: float(view.margin[e][view.ids[e] == row][0]),
        )
        expected: list[int] = []
        for row in order:
            if all(gram[row, other] < 0.95 for other in [*bought, *expected]):
                expected.append(row)
        assert found[e].tolist() == expected[:8]
        several += expected[:8] != order[:8]
    assert several == 3, "near-copies would have come in"


def test_near_copies_come_last_where_nothing_else_is_left() -> None:
    view = started(repeated(0.005)).view
    strategy = Distinct("mine", Margin())
    found = strategy.select(view, 50)
    for e in range(3):
        assert sorted(row for row in found[e].tolist() if row >= 0) == view.ids[e][view.available[e]].tolist()
    scores = strategy.score(view)
    near = view.available & (view.nearest_labelled >= 0.95)
    have = torch.nonzero(near.any(1))[:, 0].tolist()
    assert len(have) >= 2
    for e in have:
        assert float(scores[e][near[e]].max()) < float(scores[e][view.available[e] & ~near[e]].min())


@pytest.mark.parametrize("base", ["k-means", "mixture", "typiclust"])
def test_a_base_that_spreads_its_batches_keeps_its_first_rows(base: str) -> None:
    view, again = started(synthetic_encoded(240, 3)).view, started(synthetic_encoded(240, 3)).view
    # Nothing is so alike here, so the batch is the base's own.
    expected = make_strategy(base).select(view, 5)
    assert torch.equal(make_strategy(f"distinct:1:{base}").select(again, 5), expected)


def test_names_say_base_and_similarity() -> None:
    assert parse_distinct("distinct:mnlp") == ("mnlp", 0.95)
    assert parse_distinct("distinct:0.9:subsample:20:mnlp") == ("subsample:20:mnlp", 0.9)
    assert entry_of("distinct:0.9:mnlp").needs == {"tokens"}
    assert is_strategy("distinct:margin")
    assert is_packaged("subsample:20:distinct:margin")
    for name, message in (
        ("distinct:", "names nothing to choose with"),
        ("distinct:7:margin", "take a number above 0, and at most 1"),
        ("distinct:margine", "Unknown strategy 'margine'"),
    ):
        with pytest.raises(ReActError, match=message):
            make_strategy(name)


def test_a_part_of_a_pool_has_what_its_task_says_of_rows() -> None:
    tagged, asked = synthetic_tagged(120), synthetic_asked(160)
    for corpus, learner, name in (
        (tagged, TaggerSettings(), "n-best-entropy"),
        (tagged, TaggerSettings(), "tag-count"),
        (asked, SpanSettings(), "span-entropy"),
        (asked, SpanSettings(), "spread-over-contexts"),
    ):
        view = started(corpus, learner).view
        whole, part = make_strategy(name).score(view), Subsampled("mine", make_strategy(name), 20)
        seen = part.score(view)
        drawn = seen > seen.amin(1, keepdim=True)
        torch.testing.assert_close(seen[drawn], whole.double()[drawn])
