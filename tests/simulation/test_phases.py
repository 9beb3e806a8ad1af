"""Episodes that go from phase to phase: what is offered and judged when, going on from a file."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from react_rl.acquisition import make_strategy
from react_rl.data import CorpusConfig, drifting, synthetic_corpus
from react_rl.data.synthetic import synthetic_embeddings
from react_rl.encoders import ArrayCache, EncoderSettings
from react_rl.envs.rewards import Reward, RewardSettings
from react_rl.errors import ReActError
from react_rl.seeding import Streams
from react_rl.simulation import EncodedCorpus, EpisodeOptions, LabelingEngine
from react_rl.simulation.checkpoint import Checkpoint, Notes
from react_rl.simulation.corpora import load
from react_rl.simulation.encoded import encode
from react_rl.simulation.held_out import HeldOut
from react_rl.simulation.play import play

PHASES = 3


@cache
def stream(share: float = 1.0) -> EncodedCorpus:
    """600 rows of six classes in three phases, two classes at home in each."""
    corpus = drifting(synthetic_corpus(n_rows=600, n_classes=6, seed=4), PHASES, share)
    return EncodedCorpus.build(corpus, synthetic_embeddings(corpus, seed=4))


def options(**changes: Any) -> EpisodeOptions:
    sizes = {"pool_size": 90, "dev_size": 60, "initial_size": 6, "budget": 36, "batch_size": 4}
    return EpisodeOptions.model_validate(sizes | changes)


def begun(n: int = 3, **changes: Any) -> LabelingEngine:
    engine = LabelingEngine([stream()], options(**changes), n, ("accuracy",))
    engine.reset([Streams(seed) for seed in range(n)])
    return engine


def phase_of(ids: torch.Tensor) -> set[int]:
    phases = stream().corpus.phases
    assert phases is not None
    return set(phases.of[ids.numpy()].tolist())


def test_the_texts_of_a_corpus_are_encoded_once_however_they_come_in_phases(tmp_path: Path) -> None:
    class Lengths:
        settings, calls = EncoderSettings(), 0

        def encode(self, texts: Any, progress: bool = True) -> Any:
            self.calls += 1
            return np.array([[len(text), sum(map(ord, text)), 1] for text in texts], np.float32)

        def fingerprint(self) -> dict[str, str]:
            return {"weights": "lengths"}

    encoder, files = Lengths(), ArrayCache(tmp_path)
    whole = synthetic_corpus(n_rows=200, n_classes=4)
    vectors = {}
    for phases, share in ((2, 1.0), (2, 0.75), (4, 1.0)):
        corpus = drifting(whole, phases, share)
        encoded = encode(corpus, encoder, files).embeddings.numpy()
        vectors[phases, share] = dict(zip(corpus.texts, map(bytes, encoded), strict=True))
    assert encoder.calls == 1
    assert vectors[2, 1.0] == vectors[2, 0.75] == vectors[4, 1.0]


def test_only_rows_of_the_running_phase_are_offered_and_later_ones_are_not_to_be_seen() -> None:
    engine, met = begun(), []
    while not engine.finished.all():
        view = engine.view
        met.append(int(view.progress.phase[0]))
        for episode in range(3):
            now = int(view.progress.phase[episode])
            assert phase_of(view.ids[episode][view.available[episode]]) == {now}
            assert phase_of(view.ids[episode][view.in_pool[episode]]) == set(range(now + 1))
        engine.step(make_strategy("random").select(view, 4))
    assert met == [0, 0, 0, 1, 1, 1, 2, 2, 2], "an even third of the budget each"
    assert (engine.spent == 36).all()


def test_the_initial_labels_are_of_the_first_phase() -> None:
    engine = begun()
    assert all(phase_of(torch.from_numpy(engine.draw_of(e).initial)) == {0} for e in range(3))


def test_pool_and_dev_set_hold_as_many_rows_of_each_phase() -> None:
    draw, phases = begun(1).draw_of(0), stream().corpus.phases
    assert phases is not None
    assert np.bincount(phases.of[draw.pool]).tolist() == [30, 30, 30]
    assert np.bincount(phases.of[draw.dev]).tolist() == [20, 20, 20]


def test_a_row_of_another_phase_cannot_be_bought() -> None:
    engine = begun(1)
    with pytest.raises(ReActError, match="not an unlabelled row"):
        engine.step(torch.from_numpy(engine.draw_of(0).pool[-1:])[None])


def test_shares_say_what_each_phase_may_spend() -> None:
    engine = begun(1, phases=[2, 1, 6], budget=36)
    met = [
        int(turn.round.finished[0]) or int(engine.phases.now[0])
        for turn in play(engine, make_strategy("random"))
    ]
    assert met == [0, 1, 2, 2, 2, 2, 2, 2, 1]


def test_a_phase_without_rows_left_makes_room_for_the_next() -> None:
    engine = begun(1, phases=[10, 1, 1], budget=20, pool_size=30, batch_size=4)
    engine.step(make_strategy("random").select(engine.view, 4))
    assert engine.phases.now.tolist() == [1]
    assert engine.spent.tolist() == [4.0], "four rows were left beside six initial ones"


def test_the_dev_metric_knows_only_phases_that_have_come() -> None:
    engine, phases, clear = begun(), stream().corpus.phases, 0
    assert phases is not None
    for turn in play(engine, make_strategy("margin")):
        for episode in range(3):
            dev = engine.draw_of(episode).dev
            for so_far, said in ((turn.round.metrics, engine.reached), (engine.current, engine.current)):
                assert so_far["accuracy"][episode] == said["accuracy"][episode]
            come = dev[phases.of[dev] <= engine.phases.now[episode]]
            own = HeldOut(come).measure(engine, ["accuracy"])["accuracy"][episode]
            # Classes without a label are level, and rounding says which of them comes first.
            best, second = engine.scores(come)[episode].topk(2, 0).values
            level = float((best - second < 1e-5).float().mean())
            assert engine.current["accuracy"][episode] == pytest.approx(own, abs=level + 1e-6)
            clear += level == 0
    assert clear > 10, "turns without such rows are compared exactly"


def test_a_new_phase_costs_no_reward() -> None:
    engine = begun()
    reward = Reward(engine, RewardSettings(kind="gain", scale="one"))
    reward.start(np.arange(3))
    drops = []
    for turn in play(engine, make_strategy("margin")):
        before = engine.reached["accuracy"].copy()
        gain = reward.of_round(turn.round.cost, turn.round.finished)
        drops.append((engine.current["accuracy"] - before).min())
        assert (gain > -0.25).all()
    assert min(drops) < -0.25, "unknown classes have come, and the metric fell for that"


def test_ignored_phases_come_all_at_once_from_the_same_pool() -> None:
    engine, alike = begun(phases="ignored"), begun()
    for episode in range(3):
        assert engine.draw_of(episode).pool.tolist() == alike.draw_of(episode).pool.tolist()
    assert (engine.view.in_pool.sum(1) == 90).all()
    assert (engine.view.progress.n_phases == 1).all()


def test_episodes_go_on_from_a_file_in_the_middle_of_a_phase(tmp_path: Path) -> None:
    whole, file = begun(), Checkpoint(tmp_path / "episodes", "key")
    taken = []
    for turn in play(whole, make_strategy("margin")):
        taken.append((turn.round.ids.tolist(), turn.round.metrics["accuracy"].tolist()))
        if len(taken) == 4:
            file.save([whole], Notes())
    again = LabelingEngine([stream()], options(), 3, ("accuracy",))
    assert file.restore([again], [Streams(seed) for seed in range(3)], [0, 0, 0]) is not None
    rest = [
        (t.round.ids.tolist(), t.round.metrics["accuracy"].tolist())
        for t in play(again, make_strategy("margin"))
    ]
    assert rest == taken[4:]


def test_density_is_that_among_rows_of_the_same_phase() -> None:
    corpus, phases = stream().corpus, stream().corpus.phases
    assert phases is not None
    rows = corpus.ids("train")
    rows = rows[phases.of[rows] == 1]
    own = stream().embeddings[rows]
    similar = own @ own.T
    similar.fill_diagonal_(-torch.inf)
    torch.testing.assert_close(stream().density[rows], similar.topk(20, 1).values.mean(1))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"phases": [1, 1]}, "has 3 phases and episode.phases 2 shares"),
        ({"pool_size": 500}, "pool_size 500 takes"),
        ({"classes": (2, 2)}, "leave classes out"),
        ({"initial_size": 28}, "The first of 3 phases has 30 pool rows"),
    ],
)
def test_what_does_not_fit_the_phases_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ReActError, match=said):
        LabelingEngine([stream()], options(**changes), 1)


def test_shares_must_be_above_zero() -> None:
    with pytest.raises(ValidationError, match="greater than 0"):
        options(phases=[1, 0])


def test_an_episode_without_shares_is_filed_as_before_there_were_any() -> None:
    assert "phases" not in options().model_dump()
    assert options(phases="ignored").model_dump()["phases"] == "ignored"


def test_a_config_names_phases(tmp_path: Path) -> None:
    corpus = load(CorpusConfig(corpus="synthetic", phases=2, drift=0.8, name="drifts"))
    assert (corpus.name, corpus.phases is not None and len(corpus.phases)) == ("drifts", 2)
    lines = "\n".join(f"row {n},{n % 2}" for n in range(60))
    for name in ("first", "second"):
        (tmp_path / f"{name}.csv").write_text(f"text,label\n{name} {lines}\n", encoding="utf-8")
    both = load(CorpusConfig(corpus=str(tmp_path / "first.csv"), then=(str(tmp_path / "second.csv"),)))
    assert both.phases is not None
    assert both.phases.names == ("first", "second")
    assert both.origin is not None
    assert both.origin.place(60) == "row 1 of second.csv"
