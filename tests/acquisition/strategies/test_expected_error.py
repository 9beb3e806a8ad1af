"""Expected error reduction against learners that really bought the rows."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from react_rl.acquisition import make_strategy
from react_rl.acquisition.strategies.look_ahead import ExpectedErrorReduction
from react_rl.acquisition.wide.narrow import NarrowView
from react_rl.errors import ReActError
from react_rl.learners.mlp.training import MlpSettings
from react_rl.seeding import Streams
from react_rl.simulation import EpisodeOptions, LabelingEngine, synthetic_encoded

OPTIONS = EpisodeOptions(pool_size=40, dev_size=20, initial_size=6, budget=20, batch_size=1)


def started() -> LabelingEngine:
    engine = LabelingEngine([synthetic_encoded(200, 3)], OPTIONS, 3)
    engine.reset([Streams(k) for k in range(3)])
    return engine


def entropy(logits: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
    found: torch.Tensor = torch.special.entr(torch.softmax(logits, 1)).sum(1).mean(1)
    return found


def test_a_supposed_label_that_is_true_gives_the_model_that_buying_brings() -> None:
    engine = started()
    view = engine.view
    columns = torch.stack([torch.nonzero(free)[:4, 0] for free in view.available])
    ids = view.ids.gather(1, columns)
    truth = torch.tensor(engine.corpora[0].corpus.targets)[ids]
    told = view.suppose(columns[:, :, None], truth[:, :, None], entropy)
    for k in range(4):
        other = started()
        other.step(ids[:, k : k + 1].contiguous())
        torch.testing.assert_close(told[:, k], entropy(other.view.logits, ids), atol=1e-5, rtol=0)
    assert torch.equal(engine.view.logits, started().view.logits), "nothing was learned"


@pytest.mark.parametrize("loss", ["log", "zero-one"])
def test_scores_are_means_over_labels_of_what_models_expect_of_themselves(loss: str) -> None:
    strategy = ExpectedErrorReduction(candidates=34, labels=2, loss=loss)  # type: ignore[arg-type]
    view = started().view
    scores = strategy.score(view)
    for e in range(3):
        free = view.available[e]
        column = int(torch.nonzero(free)[3, 0])
        p = view.probabilities[e, :, column]
        likely = p.topk(2)
        expected = 0.0
        for chance, label in zip(likely.values.tolist(), likely.indices.tolist(), strict=True):
            models: list[torch.Tensor] = []

            def keep(
                logits: torch.Tensor, _: torch.Tensor, into: list[torch.Tensor] = models
            ) -> torch.Tensor:
                into.append(torch.softmax(logits, 1))
                return logits.sum((1, 2))

            view.suppose(torch.full((3, 1, 1), column), torch.full((3, 1, 1), label), keep)
            q = models[0][e][:, free]
            error = torch.special.entr(q).sum(0) if loss == "log" else 1 - q.amax(0)
            expected += chance * float(error.mean())
        assert float(scores[e, column]) == pytest.approx(-expected / float(likely.values.sum()), abs=1e-5)


def test_the_short_list_holds_the_least_sure_rows_and_the_others_come_last() -> None:
    view = started().view
    scores = ExpectedErrorReduction(candidates=8).score(view)
    for e in range(3):
        tried = (scores[e] > scores[e].min() + 5e-4) & view.available[e]
        unsure = torch.where(view.available[e], view.margin[e], torch.inf).topk(4, largest=False).indices
        assert set(unsure.tolist()) <= set(torch.nonzero(tried)[:, 0].tolist())
        assert int(tried.sum()) in (7, 8), "the worst of the list may be hard to see"


def test_a_part_of_the_pool_supposes_what_the_whole_does() -> None:
    view = started().view
    episodes = torch.tensor([0, 2])
    columns = torch.arange(40).expand(2, -1)
    part = NarrowView(view, episodes, columns)
    places = torch.tensor([[[7], [9]], [[3], [30]]])
    answers = torch.tensor([[[0], [1]], [[2], [0]]])
    told = part.suppose(places, answers, entropy)
    everywhere = torch.zeros(3, 2, 1, dtype=torch.int64)
    everywhere[episodes] = places
    supposed = torch.full((3, 2, 1), -1)
    supposed[episodes] = answers
    torch.testing.assert_close(told, view.suppose(everywhere, supposed, entropy)[episodes])


def test_a_learner_that_cannot_be_copied_is_named() -> None:
    engine = LabelingEngine([synthetic_encoded(200, 3)], OPTIONS, 1, learner=MlpSettings())
    engine.reset([Streams(0)])
    with pytest.raises(ReActError, match=r"can be copied; set learner\.kind to softmax"):
        make_strategy("expected-error").select(engine.view, 1)


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ReActError, match="0 candidates"):
        ExpectedErrorReduction(candidates=0)
    with pytest.raises(ReActError, match="Unknown loss 'hinge'"):
        ExpectedErrorReduction(loss="hinge")  # type: ignore[arg-type]


def test_the_expected_error_falls_faster_than_by_chance() -> None:
    ends = {}
    for name in ("random", "expected-error"):
        engine = LabelingEngine([synthetic_encoded(200, 3)], OPTIONS, 12)
        engine.reset([Streams(k) for k in range(12)])
        for _ in range(5):
            engine.step(make_strategy(name).select(engine.view, 1))
        ends[name] = float(np.mean(engine.view.entropy[engine.view.available].numpy()))
    assert ends["expected-error"] < ends["random"]
