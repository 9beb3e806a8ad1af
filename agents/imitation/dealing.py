"""Training corpora with more dev rows, so that the expert judges on more than official splits leave it."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from react_rl.data.corpus import DEV, TRAIN
from react_rl.data.grouping import deal_groups, text_groups
from react_rl.seeding import entropy_of
from react_rl.simulation.encoded import EncodedCorpus
from react_rl.tasks.registry import task_of

SHARES: Final = (0.6, 0.4)
"""Shares of train and dev among the rows of both."""


def dealt_again(corpus: EncodedCorpus, seed: int) -> EncodedCorpus:
    """Deal the train and dev rows out again, same texts or contexts together; test rows stay where they are.

    Args:
        corpus: A training corpus.
        seed: Decides which rows go where.

    Returns:
        The same rows and embeddings, with densities over the new train rows.
    """
    split = corpus.corpus.split.copy()
    rows = np.flatnonzero((split == TRAIN) | (split == DEV))
    passages = corpus.corpus.passages
    if passages is None:
        groups = text_groups([corpus.corpus.texts[row] for row in rows.tolist()])
    else:
        groups = passages.of[rows]
    strata = task_of([corpus.corpus]).strata(corpus.corpus)
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy_of(seed, "dealt again"))))
    hands = deal_groups(groups, strata[rows], SHARES, rng)
    split[rows] = np.array([TRAIN, DEV], dtype=np.uint8)[hands]
    dealt = replace(corpus.corpus, split=split)
    vectors = corpus.embeddings.cpu().numpy()
    return EncodedCorpus.build(dealt, vectors, device=corpus.device, tokens=corpus.tokens)
