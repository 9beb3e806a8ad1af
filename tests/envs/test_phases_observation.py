"""What a policy sees of phases."""

from __future__ import annotations

import numpy as np
import pytest

from react_rl.acquisition import make_strategy
from react_rl.data import drifting, synthetic_corpus
from react_rl.data.synthetic import synthetic_embeddings
from react_rl.envs.observations import CONTEXT, PhasesObservation, make_observation
from react_rl.seeding import Streams
from react_rl.simulation import EncodedCorpus, EpisodeOptions, LabelingEngine, synthetic_encoded
from react_rl.simulation.play import play

SHORT = EpisodeOptions(pool_size=60, dev_size=30, initial_size=5, budget=24, batch_size=4)


def test_a_policy_sees_how_far_the_phase_is_and_how_many_there_are() -> None:
    corpus = drifting(synthetic_corpus(n_rows=400, n_classes=4), 2)
    engine = LabelingEngine(
        [EncodedCorpus.build(corpus, synthetic_embeddings(corpus))], SHORT, 1, ["accuracy"]
    )
    engine.reset([Streams(0)])
    seen = PhasesObservation()
    found = [seen.observe(engine.view)[0]]
    found += [seen.observe(engine.view)[0] for _ in play(engine, make_strategy("random"))]
    numbers = np.array(found)[:, len(CONTEXT) :]
    assert numbers[:, 0].tolist() == [0, 0, 0, 0.5, 0.5, 0.5, 0.5]
    assert numbers[:, 1] == pytest.approx([0, 1 / 3, 2 / 3, 0, 1 / 3, 2 / 3, 1])
    assert numbers[:, 2] == pytest.approx(np.log(2.0))


def test_without_phases_an_episode_is_in_its_only_one() -> None:
    engine = LabelingEngine([synthetic_encoded()], SHORT, 2, ["accuracy"])
    engine.reset([Streams(0), Streams(1)])
    seen = make_observation("phases")
    assert seen.space.shape == (len(CONTEXT) + 3,)
    assert seen.observe(engine.view)[:, len(CONTEXT) :].tolist() == [[0, 0, 0]] * 2
    assert seen.describe() == {"name": "phases", "numbers": len(CONTEXT) + 3, "metric": "accuracy"}
