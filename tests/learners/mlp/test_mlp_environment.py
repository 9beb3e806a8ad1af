"""MLP heads inside engine, strategies, checkpoints and environments: only the settings differ."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from react_rl.acquisition import make_strategy, suited
from react_rl.acquisition.committees import bootstrap_committee, dropout_committee
from react_rl.acquisition.wide.narrow import NarrowView
from react_rl.envs import LabelingVecEnv
from react_rl.errors import ReActError
from react_rl.learners import MlpHead, MlpSettings
from react_rl.seeding import Streams
from react_rl.simulation import EncodedCorpus, EpisodeOptions, LabelingEngine, synthetic_encoded
from react_rl.simulation.checkpoint import Checkpoint, Notes
from react_rl.simulation.with_answers import values_with_answers

OPTIONS = EpisodeOptions(pool_size=40, dev_size=20, initial_size=5, budget=12, batch_size=4)
SMALL = MlpSettings(hidden=8, members=3, steps=15)
LINEAR_ONLY = {"calibrated-entropy", "calibrated-margin", "expected-error"}
COMMITTEES = ("bald", "bald-dropout", "variation-ratio", "mean-std", "vote-entropy", "qbc-kl", "batch-bald")
GRADIENTS = ("badge", "egl", "cal")


@cache
def corpora() -> tuple[EncodedCorpus, ...]:
    return tuple(synthetic_encoded(200, size, seed=size) for size in (2, 5))


def engine_of(
    seeds: list[int], settings: MlpSettings = SMALL, which: list[int] | None = None, n: int = 2
) -> LabelingEngine:
    engine = LabelingEngine(corpora()[:n], OPTIONS, len(seeds), learner=settings)
    engine.reset([Streams(seed) for seed in seeds], None, which)
    return engine


def history(engine: LabelingEngine, name: str) -> tuple[npt.NDArray[np.int64], Tensor]:
    """Ids bought (T, E, b) and scores (T + 1, E, C, P)."""
    strategy = make_strategy(name)
    ids, scores = [], [engine.view.logits.clone()]
    while not engine.finished.all():
        ids.append(engine.step(strategy.select(engine.view, OPTIONS.batch_size)).ids)
        scores.append(engine.view.logits.clone())
    return np.stack(ids), torch.stack(scores)


@pytest.mark.parametrize("name", ["margin", "bald", "bald-dropout", "badge"])
def test_episodes_side_by_side_are_what_each_is_alone(name: str) -> None:
    ids, scores = history(engine_of([1, 2, 3, 4]), name)
    for e in range(4):
        alone, own = history(engine_of([e + 1]), name)
        assert (alone[:, 0] == ids[:, e]).all()
        torch.testing.assert_close(own[:, 0], scores[:, e], atol=1e-3, rtol=1e-3)


def test_a_corpus_with_more_classes_beside_it_changes_nothing() -> None:
    ids, scores = history(engine_of([1, 2], which=[0, 1]), "margin")
    alone, own = history(engine_of([1], which=[0], n=1), "margin")
    assert (alone[:, 0] == ids[:, 0]).all()
    torch.testing.assert_close(own[:, 0], scores[:, 0, :2], atol=1e-3, rtol=1e-3)


def test_a_seed_decides_every_bit_and_no_global_state_moves() -> None:
    before = torch.random.get_rng_state()
    ids, scores = history(engine_of([1, 2]), "bald-dropout")
    assert torch.equal(before, torch.random.get_rng_state())
    torch.manual_seed(77)
    again, same = history(engine_of([1, 2]), "bald-dropout")
    torch.random.set_rng_state(before)
    assert (ids == again).all()
    assert torch.equal(scores, same)
    _, other = history(engine_of([3, 4]), "bald-dropout")
    assert not torch.allclose(scores, other, atol=1e-2)


@pytest.mark.parametrize("name", sorted(suited()))
def test_every_strategy_buys_what_it_may_or_says_what_it_needs(name: str) -> None:
    engine = engine_of([1, 2])
    strategy = make_strategy(name)
    if name in LINEAR_ONLY:
        with pytest.raises(ReActError, match=r"linear learner|learner\.kind to softmax"):
            strategy.select(engine.view, 4)
        return
    scores = strategy.score(engine.view)
    assert torch.isfinite(scores[engine.view.available]).all()
    ids, _ = history(engine, name)
    for e in range(2):
        taken = ids[:, e].ravel().tolist()
        assert len(set(taken)) == len(taken) == 12
        assert set(taken) <= set(engine.draw_of(e).pool.tolist()) - set(engine.draw_of(e).initial.tolist())


@pytest.mark.parametrize("name", [*COMMITTEES, *GRADIENTS])
def test_what_looks_at_members_or_the_last_layer_sees_the_mlp(name: str) -> None:
    deep, linear = engine_of([1, 2]), LabelingEngine(corpora(), OPTIONS, 2)
    linear.reset([Streams(1), Streams(2)])
    strategy = make_strategy(name)
    ours, theirs = strategy.score(deep.view), strategy.score(linear.view)
    free = deep.view.available
    assert float(ours[free].std()) > 0
    assert not torch.allclose(ours[free], theirs[free])


def test_the_committee_is_the_ensemble_and_its_mean_score_the_learners() -> None:
    view = engine_of([1, 2]).view
    committee = bootstrap_committee(view, members=10)
    assert committee.members == 3
    p = committee.probabilities()
    assert (p.amax(1) - p.amin(1)).max() > 0.05, "the members differ"
    mean = p.clamp_min(1e-30).log().mean(1)
    torch.testing.assert_close(torch.softmax(mean, 1), view.probabilities, atol=1e-5, rtol=1e-4)


def test_dropout_samples_take_turns_among_the_members_and_each_is_one_function() -> None:
    engine = engine_of([1, 2])
    learner, view = engine.learner, engine.view
    assert isinstance(learner, MlpHead)
    p = dropout_committee(view, members=6).probabilities()
    active = view.features.transpose(1, 2).reshape(2, 3, 8, -1)  # (E, M, H, P)
    for sample in range(6):
        out = learner._out[:, sample % 3]  # (E, C, H)
        given = view.dropout_logits(6)[:, sample]
        for e in range(2):
            n_classes = engine.draw_of(e).classes.size
            # Of the factors 0 and 1 / .8 on each unit, those that reproduce the scores of a few rows ...
            units, target = active[e, sample % 3], given[e, :n_classes]
            design = (out[e, :n_classes, :, None] * units[None]).permute(0, 2, 1).flatten(0, 1)
            kept = torch.linalg.lstsq(design, target.flatten()[:, None], driver="gelsd").solution[:, 0]
            used = (units.amax(1) > 1e-3).nonzero()[:, 0]
            close = torch.minimum(kept[used].abs(), (kept[used] - 1.25).abs())
            assert close.max() < 0.02  # ... reproduce them all
            torch.testing.assert_close(p[e, sample], torch.softmax(given[e], 0), atol=1e-5, rtol=1e-4)


def test_a_narrow_view_shows_the_same_committee() -> None:
    view = engine_of([1, 2, 3]).view
    episodes = torch.tensor([0, 2])
    columns = torch.arange(0, 40)[None].expand(2, -1)
    narrow = NarrowView(view, episodes, columns)
    for make in (bootstrap_committee, dropout_committee):
        torch.testing.assert_close(
            make(narrow, 4).probabilities(), make(view, 4).probabilities()[episodes], atol=1e-5, rtol=1e-4
        )


def test_one_member_and_no_dropout_have_nobody_to_disagree_and_say_so() -> None:
    view = engine_of([1], MlpSettings(hidden=8, members=1, steps=5, dropout=0.0)).view
    with pytest.raises(ReActError, match="members to 2 or more"):
        make_strategy("bald").select(view, 2)
    with pytest.raises(ReActError, match="dropout above 0"):
        make_strategy("bald-dropout").select(view, 2)


def test_trying_batches_out_needs_the_linear_learner() -> None:
    engine = engine_of([1])
    with pytest.raises(ReActError, match="needs a learner that can be copied"):
        values_with_answers(engine, engine.view.ids[:, None, :3])


def test_scores_of_a_test_split_come_from_the_present_model() -> None:
    engine = engine_of([1, 2], which=[1, 1])
    engine.step(make_strategy("margin").select(engine.view, 4))
    view = engine.view
    rows = view.ids[0][view.available[0]]
    found = engine.scores(rows.numpy())
    torch.testing.assert_close(found[0], view.logits[0][:, view.available[0]], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("restart", ["reset", "warm"])
@pytest.mark.parametrize("name", ["margin", "bald-dropout"])
def test_a_run_that_goes_on_from_a_file_ends_where_an_undisturbed_one_ends(
    restart: Any, name: str, tmp_path: Path
) -> None:
    settings = SMALL.model_copy(update={"restart": restart})
    ids, scores = history(engine_of([1, 2, 3], settings), name)
    engine = engine_of([1, 2, 3], settings)
    engine.step(make_strategy(name).select(engine.view, 4))
    file = Checkpoint(tmp_path / "run.safetensors", "key")
    file.save([engine], Notes())
    resumed = LabelingEngine(corpora(), OPTIONS, 3, learner=settings)
    assert file.restore([resumed], [Streams(seed) for seed in (1, 2, 3)]) is not None
    rest, later = history(resumed, name)
    assert (rest == ids[1:]).all()
    assert torch.equal(later, scores[1:])


def test_one_episode_begins_anew_while_others_go_on() -> None:
    engine, fresh = engine_of([1, 2]), engine_of([9])
    engine.step(make_strategy("margin").select(engine.view, 4))
    before = engine.view.logits[1].clone()
    engine.reset([Streams(9)], [0])
    assert torch.equal(engine.view.logits[1], before)
    torch.testing.assert_close(engine.view.logits[0], fresh.view.logits[0], atol=1e-4, rtol=1e-4)


def test_environments_of_stable_baselines_run_on_it() -> None:
    env = LabelingVecEnv(corpus=[corpora()[1]], episode=OPTIONS.model_dump(), learner=SMALL, n_episodes=3)
    env.reset()
    rewards = [env.step(np.stack([env.action_space.sample() for _ in range(3)]))[1] for _ in range(3)]
    assert np.isfinite(rewards).all()


def test_it_learns() -> None:
    engine = engine_of([1, 2, 3, 4], MlpSettings(), which=[1] * 4)
    start = engine.current["accuracy"].mean()
    history(engine, "random")
    assert engine.current["accuracy"].mean() > max(start, 0.5)


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["margin", "bald", "bald-dropout", "badge"])
def test_a_gpu_gives_scores_like_the_processor_s(name: str, cuda: str) -> None:
    ours = engine_of([1, 2], which=[1, 1])
    theirs = LabelingEngine(
        [synthetic_encoded(200, size, seed=size, device=cuda) for size in (2, 5)], OPTIONS, 2, learner=SMALL
    )
    theirs.reset([Streams(1), Streams(2)], None, [1, 1])
    assert theirs.view.logits.is_cuda
    torch.testing.assert_close(theirs.view.logits.cpu(), ours.view.logits, atol=1e-2, rtol=1e-2)
    ids, scores = history(theirs, name)
    assert ids.shape == (3, 2, 4)
    assert torch.isfinite(scores).all()
    assert torch.isfinite(theirs.scores(np.arange(5))).all()
