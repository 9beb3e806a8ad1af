"""Generated tasks as encoded corpora: the texts and embeddings of a real corpus under invented labels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from react_rl.data.generated import GeneratedName, Kind, gathered
from react_rl.simulation.encoded import EncodedCorpus


def generated_task(
    base: EncodedCorpus, seed: int, kind: Kind = "any", name: str | None = None
) -> EncodedCorpus:
    """Label the rows of an encoded corpus with an invention (see ``react_rl.data.generated``).

    Embeddings, densities and inner products are those of ``base``, in the same memory; so are texts, costs
    and splits. A confidence that goes with the old labels is dropped.

    Args:
        base: The corpus.
        seed: Decides the labels.
        kind: How they are invented.
        name: Name of the task; None takes the one that ``load_corpus`` would understand.

    Raises:
        ReActError: The corpus is too small.
    """
    labels = base.inventor.labels(seed, kind)
    words = tuple(f"invented {number}" for number in range(int(labels.max()) + 1))
    called = name or GeneratedName(base.name, (seed,), kind).name_of(seed, base.name)
    corpus = replace(
        base.corpus,
        name=called,
        targets=labels,
        label_names=words,
        confidence=None,
        notes=(*base.corpus.notes, f"labels invented with seed {seed}, kind {kind}"),
    )
    # Asked for here, the inner products are computed once for all tasks of the corpus.
    _ = base.gram
    return base.with_corpus(corpus)


def generated_tasks(base: EncodedCorpus, name: GeneratedName) -> list[EncodedCorpus]:
    """All tasks that a name stands for, one for each seed, over ``base``."""
    return [generated_task(base, seed, name.kind, name.name_of(seed, base.name)) for seed in name.seeds]


def gathered_corpus(base: EncodedCorpus, seed: int) -> EncodedCorpus:
    """A corpus with its rows pulled together in clusters, which are its classes (see ``gathered``).

    Args:
        base: The corpus.
        seed: Decides the clusters.
    """
    vectors, classes = gathered(base.embeddings.cpu().numpy(), seed)
    words = tuple(f"cluster {number}" for number in range(int(classes.max()) + 1))
    corpus = replace(base.corpus, targets=classes, label_names=words, confidence=None)
    return EncodedCorpus.build(corpus, np.ascontiguousarray(vectors), device=base.device)
