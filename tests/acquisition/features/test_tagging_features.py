"""Features of tagged sentences against loops over their tokens."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from react_rl.acquisition import FEATURES
from react_rl.learners.linear.tagger import TaggerSettings
from react_rl.seeding import Streams
from react_rl.simulation import EpisodeOptions, LabelingEngine, synthetic_tagged


def test_mentions_and_the_largest_entropy_are_read_off_the_tokens() -> None:
    options = EpisodeOptions(pool_size=40, dev_size=20, initial_size=12, budget=60)
    engine = LabelingEngine([synthetic_tagged(300, 3)], options, 2, learner=TaggerSettings())
    engine.reset([Streams(seed) for seed in range(2)])
    view = engine.view
    found = {name: FEATURES[name](view) for name in ("mentions", "peak_entropy")}
    for e in range(2):
        probability = torch.softmax(view.scores.logits[e], 0).double().numpy()
        for row in range(40):
            own = probability[:, view.scores.column[e].numpy() == row]
            entropy = -(own * np.log(own)).sum(0)
            tags = own.argmax(0)
            before = np.concatenate([[0], tags[:-1]])
            continues = (tags % 2 == 0) & ((before == tags) | (before == tags - 1))
            mentions = int(((tags > 0) & ~continues).sum())
            assert float(found["mentions"][e, row]) == mentions
            assert float(found["peak_entropy"][e, row]) == pytest.approx(entropy.max(), abs=1e-4)
    assert found["mentions"].sum() > 0
