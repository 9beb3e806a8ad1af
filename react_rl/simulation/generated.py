"""Generated tasks as encoded corpora: the texts and embeddings of a real corpus under invented labels."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from react_rl.data.corpus import Corpus
from react_rl.data.generated import GeneratedName, Kind, gathered
from react_rl.errors import ReActError
from react_rl.simulation.encoded import EncodedCorpus


def generated_task(
    base: EncodedCorpus, seed: int, kind: Kind = "any", name: str | None = None
) -> EncodedCorpus:
    """Label the rows of an encoded corpus with an invention: see ``data.generated``, ``generated_tags``.

    Embeddings, densities and inner products are those of ``base``, in the same memory; so are texts, costs
    and splits. A confidence that goes with the old labels is dropped.

    Args:
        base: The corpus.
        seed: Decides the labels.
        kind: How classes are invented.
        name: Name of the task; None takes the one that ``load_corpus`` would understand.

    Raises:
        ReActError: The corpus is too small, or its answers cannot be invented.
    """
    labels, words = _invented(base, seed, kind)
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


def check_inventable(corpus: Corpus, kind: Kind = "any") -> None:
    """Check that labels of a kind can be invented for a corpus.

    Raises:
        ReActError: It is of question answering, or is tagged and has no such kinds.
    """
    if corpus.task == "question-answering":
        raise ReActError(
            f"Corpus {corpus.name!r} is of question answering, and answers cannot be invented; use its own."
        )
    if corpus.task == "tagging" and kind != "any":
        raise ReActError(
            f"Corpus {corpus.name!r} is of tagging, where types are invented in one way; leave "
            f"kind={kind} out."
        )


def _invented(base: EncodedCorpus, seed: int, kind: Kind) -> tuple[npt.NDArray[Any], tuple[str, ...]]:
    """Targets of all rows, and the names of the classes or tags."""
    check_inventable(base.corpus, kind)
    if base.corpus.task == "tagging":
        tags, n_types = base.tag_inventor.tags(seed)
        types = [f"{prefix}-invented{number}" for number in range(n_types) for prefix in "BI"]
        return tags, ("O", *types)
    labels = base.inventor.labels(seed, kind)
    return labels, tuple(f"invented {number}" for number in range(int(labels.max()) + 1))


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
