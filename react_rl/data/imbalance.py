"""Class imbalance on demand: the same corpus with its classes thinned to a chosen ratio of sizes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from react_rl.data.corpus import SPLITS, UNUSED, Corpus
from react_rl.errors import ReActError
from react_rl.seeding import entropy_of


def imbalanced(corpus: Corpus, ratio: float, seed: int = 0) -> Corpus:
    """Return the corpus, under the same ids, with rows of its classes taken out of use.

    Afterwards the largest class has ``ratio`` times the rows of the smallest and the sizes between them fall
    geometrically, in train, dev and test alike (as rounding to whole rows allows, each class keeping at least
    one row). A larger class never becomes a smaller one, and as many rows stay as that allows. Ratio 1 makes
    all classes equally large, which is the control of an experiment on imbalance.

    Source: the long-tailed profile of Cui et al. 2019, Class-Balanced Loss Based on Effective Number of
    Samples, section 5.1.

    Args:
        corpus: A classification corpus.
        ratio: Rows of the largest class over rows of the smallest, 1 or more.
        seed: Decides which rows stay.

    Raises:
        ReActError: The ratio is below 1, the corpus is not for classification, or a class in use has no rows
            in one of its splits.
    """
    if not 1 <= ratio < np.inf:
        raise ReActError(f"The ratio of class sizes is {ratio:g}; it must be 1 or more.")
    if corpus.task != "classification":
        raise ReActError(
            f"Corpus {corpus.name!r} is a {corpus.task} corpus; classes are thinned only in classification."
        )
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy_of(seed, "imbalance"))))
    used = np.bincount(corpus.targets[corpus.split != UNUSED], minlength=corpus.n_classes)
    # By size, the largest first; classes of one size in the order of their names.
    order = np.argsort(-used, kind="stable")[: int((used > 0).sum())]
    profile = float(ratio) ** -(np.arange(order.size) / (order.size - 1))
    keep = np.zeros(corpus.n_rows, dtype=np.bool_)
    for split in SPLITS:
        rows = corpus.ids(split)
        if rows.size == 0:
            continue
        members = [rng.permutation(rows[corpus.targets[rows] == label]) for label in order]
        sizes = np.array([len(ids) for ids in members])
        if (sizes == 0).any():
            empty = corpus.label_names[order[int(np.argmin(sizes))]]
            raise ReActError(
                f"Class {empty!r} of corpus {corpus.name!r} has no {split} rows, so the classes cannot be "
                "thinned to a ratio; leave 'imbalance' out or keep more rows."
            )
        wanted = np.maximum(np.floor((sizes / profile).min() * profile + 1e-9), 1).astype(int)
        for ids, size in zip(members, wanted, strict=True):
            keep[ids[:size]] = True
    return replace(corpus.restrict(keep), name=f"{corpus.name}[ratio {ratio:g}]")
