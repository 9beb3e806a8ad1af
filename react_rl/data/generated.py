"""Invented labels over real embeddings: any number of tasks that no corpus has, for training policies.

A policy learns from many tasks, and there are few labelled corpora. The geometry of real texts is what has to
be real; the labels may be invented, as long as they differ in what makes tasks differ: number and sizes of
classes, noise, and how far the label follows the directions in which the embeddings vary.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal, get_args
from urllib.parse import parse_qsl

import numpy as np
import numpy.typing as npt

from react_rl.errors import ReActError, unknown
from react_rl.seeding import entropy_of

Kind = Literal["any", "linear", "clusters", "merged", "crossed", "dealt"]
Vectors = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]

GENERATED_PREFIX: Final = "generated:"

SHARES: Final = {"linear": 0.35, "clusters": 0.25, "merged": 0.2, "crossed": 0.2}
"""How often each kind is drawn where the name leaves it open."""

FEWEST: Final = 8
"""Rows of the smallest class of the kind ``dealt``."""

SMALLEST_SHARE: Final = 0.01
"""Classes with a smaller share of the rows join the largest one."""

SMALLEST_CLASS: Final = 20
"""And so do classes with fewer rows."""

_MOVES: Final = 6


@dataclass(frozen=True)
class GeneratedName:
    """What ``generated:NAME?seed=3&kind=linear`` says.

    Args:
        base: Name or path of the corpus whose texts are labelled.
        seeds: One task each.
        kind: How labels are invented; any draws it by the seed.
    """

    base: str
    seeds: tuple[int, ...] = (0,)
    kind: Kind = "any"

    def name_of(self, seed: int, base: str) -> str:
        """Name of one task, ``base`` being what the corpus calls itself."""
        kind = "" if self.kind == "any" else f"&kind={self.kind}"
        return f"{GENERATED_PREFIX}{base}?seed={seed}{kind}"


def is_generated(name: str) -> bool:
    """Whether a name stands for generated tasks."""
    return name.startswith(GENERATED_PREFIX)


def parse_generated(name: str) -> GeneratedName:
    """Read a name such as ``generated:bbc_news?seed=0-9&kind=linear``.

    Raises:
        ReActError: The base, a setting or its value is wrong.
    """
    base, _, query = name.removeprefix(GENERATED_PREFIX).partition("?")
    if not base or is_generated(base):
        raise ReActError(f"{name!r} needs a corpus to label; write generated:bbc_news?seed=0.")
    seeds: tuple[int, ...] = (0,)
    kind: Kind = "any"
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key == "seed":
            seeds = _seeds(name, value)
        elif key == "kind":
            if value not in get_args(Kind):
                raise unknown("kind of generated labels", value, get_args(Kind))
            kind = value  # type: ignore[assignment]  # it is one of them
        else:
            raise unknown(f"setting of {name!r}:", key, ("seed", "kind"))
    return GeneratedName(base, seeds, kind)


def _seeds(name: str, value: str) -> tuple[int, ...]:
    match = re.fullmatch(r"(\d+)(?:-(\d+))?", value)
    if match is None:
        raise ReActError(f"The seed {value!r} of {name!r} must be a number, or two like 0-9.")
    first, last = int(match[1]), int(match[2] or match[1])
    if last < first:
        raise ReActError(f"The seeds {value!r} of {name!r} run backwards; write {last}-{first}.")
    return tuple(range(first, last + 1))


class LabelInventor:
    """Invents labels for the rows of one corpus.

    - ``linear``: the largest of C random linear scores of whitened principal components. Their weights fall
      as a power of the rank, over all components or over 2 to 64 that begin at the 1st to 20th; each class
      has an offset, each row Gumbel noise.
    - ``clusters``: k-means clusters, one to four for each class, dealt out to 2 to 40 classes; up to a third
      of the labels is then drawn again.
    - ``merged``: the corpus's own classes, joined at random (crossed, where there are fewer than four).
    - ``crossed``: the corpus's own classes, joined at random if many, times the two sides of a random
      direction.
    - ``dealt``: the corpus's own classes, dealt out to any number of classes from 2 to all of them; up to a
      fifth of the labels is then drawn again. Never drawn by ``any``.

    Source: training acquisition on generated tasks after Gonsior et al. 2022, ImitAL; the kinds are this
    project's.

    Args:
        embeddings: ``(N, D)`` unit-norm vectors.
        targets: ``(N,)`` the corpus's own classes.

    Raises:
        ReActError: There are too few rows for two classes.
    """

    def __init__(self, embeddings: Vectors, targets: Labels) -> None:
        if len(targets) < 4 * SMALLEST_CLASS:
            raise ReActError(
                f"Labels cannot be invented for {len(targets)} rows; it takes {4 * SMALLEST_CLASS} at least."
            )
        self._rows = embeddings - embeddings.mean(0)
        self._targets = targets

    def labels(self, seed: int, kind: Kind = "any") -> Labels:
        """Labels of one task.

        Args:
            seed: Decides everything.
            kind: One of these, or any, which leaves it to the seed.

        Returns:
            ``(N,)`` int64 classes 0 .. C - 1, C >= 2, none below ``SMALLEST_SHARE`` or ``SMALLEST_CLASS``
            (``FEWEST`` where dealt).

        Raises:
            ReActError: The kind always leaves one class.
        """
        make = {
            "linear": self._linear,
            "clusters": self._clusters,
            "merged": self._merged,
            "crossed": self._crossed,
            "dealt": self._dealt,
        }
        entropy = entropy_of(seed, "generated labels")
        for attempt in range(100):
            rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence((*entropy, attempt))))
            how = str(rng.choice(list(SHARES), p=list(SHARES.values())))
            labels = make[how if kind == "any" else kind](rng)
            fewest = FEWEST if kind == "dealt" else max(SMALLEST_CLASS, SMALLEST_SHARE * len(labels))
            labels = _without_small(labels, fewest)
            if labels.max() > 0:
                return labels
        raise ReActError(f"Labels of kind {kind!r} always leave one class; choose another kind.")

    @cached_property
    def _components(self) -> npt.NDArray[np.float64]:
        """Principal components of the rows, each of deviation 1 ``(N, R)``."""
        rows = self._rows.astype(np.float64)
        values, vectors = np.linalg.eigh(rows.T @ rows / len(rows))
        order = np.argsort(-values)
        order = order[values[order] > 1e-9 * values.max()]
        vectors = vectors[:, order]
        # Which way a component points is the processor's choice; the labels must not depend on it.
        largest = np.abs(vectors).argmax(0)
        vectors *= np.sign(vectors[largest, np.arange(vectors.shape[1])])
        components: npt.NDArray[np.float64] = rows @ vectors
        components /= np.maximum(components.std(0), 1e-12)
        return components

    def _linear(self, rng: np.random.Generator) -> Labels:
        if rng.random() < 0.5:
            # Real classes differ along many components, about 1 / rank of the difference along each.
            used, fall = self._components, rng.uniform(0.2, 0.9)
        else:
            first, many = int(rng.integers(0, 20)), int(rng.integers(2, 65))
            used, fall = self._components[:, first : first + many], rng.uniform(0.0, 1.2)
        if used.shape[1] == 0:
            used = self._components
        weight = (1.0 + np.arange(used.shape[1])) ** -fall
        n_classes = int(rng.choice([2, 2, 3, 4, 6]))
        scores = used @ (rng.standard_normal((used.shape[1], n_classes)) * weight[:, None])
        scores /= max(scores.std(), 1e-12)
        scores += rng.standard_normal(n_classes) * rng.uniform(0.0, 0.8)
        scores += rng.gumbel(size=scores.shape) * rng.uniform(0.05, 1.0)
        largest: Labels = scores.argmax(1)
        return largest

    def _clusters(self, rng: np.random.Generator) -> Labels:
        n_classes = int(rng.choice([2, 3, 5, 8, 12, 20, 40]))
        many = min(n_classes * int(rng.integers(1, 5)), len(self._rows))
        cluster, _ = clusters(self._rows, many, rng)
        return _flipped((rng.permutation(many) % n_classes)[cluster], n_classes, 0.35, rng)

    def _dealt(self, rng: np.random.Generator) -> Labels:
        many = int(self._targets.max()) + 1
        n_classes = max(round(2 * (many / 2) ** rng.random()), 2)
        return _flipped((rng.permutation(many) % n_classes)[self._targets], n_classes, 0.2, rng)

    def _merged(self, rng: np.random.Generator) -> Labels:
        n_classes = int(self._targets.max()) + 1
        if n_classes < 4:
            return self._crossed(rng)
        fewer = int(rng.integers(2, min(n_classes, 9)))
        joined: Labels = (rng.permutation(n_classes) % fewer)[self._targets]
        return joined

    def _crossed(self, rng: np.random.Generator) -> Labels:
        along = self._rows @ rng.standard_normal(self._rows.shape[1])
        side = along > np.quantile(along, rng.uniform(0.3, 0.7))
        targets, n_classes = self._targets, int(self._targets.max()) + 1
        if n_classes > 4:
            targets = (rng.permutation(n_classes) % int(rng.integers(2, 4)))[targets]
        crossed: Labels = targets * 2 + side
        return crossed


def clusters(rows: Vectors, many: int, rng: np.random.Generator) -> tuple[Labels, Vectors]:
    """K-means of a few moves: the cluster ``(N,)`` of each row and the centres ``(many, D)``."""
    centres = rows[rng.choice(len(rows), many, replace=False)]
    for _ in range(_MOVES):
        cluster: Labels = (rows @ centres.T - 0.5 * (centres**2).sum(1)).argmax(1)
        members = np.eye(many, dtype=rows.dtype)[cluster]
        filled = members.sum(0) > 0
        centres[filled] = (members.T @ rows)[filled] / members.sum(0)[filled, None]
    return cluster, centres


def gathered(embeddings: Vectors, seed: int) -> tuple[Vectors, Labels]:
    """Pull rows towards the centres of 4 to 100 clusters, so that there is room between clusters.

    Real classes are often crowds with little between them. Clusters that are cut out of one cloud are not,
    and representative rows are worth less in them.

    Args:
        embeddings: ``(N, D)`` unit-norm vectors, N at least 100.
        seed: Decides number and place of the clusters, and how far rows are pulled: .1 to .6 of the way.

    Returns:
        Unit-norm vectors ``(N, D)`` and the cluster of each row ``(N,)``, numbered without gaps.
    """
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy_of(seed, "gathered rows"))))
    middle = embeddings.mean(0)
    rows = embeddings - middle
    many = round(4 * 25 ** rng.random())
    cluster, centres = clusters(rows, many, rng)
    centre = centres[cluster]
    pulled = centre + rng.uniform(0.4, 0.9) * (rows - centre) + middle
    pulled /= np.linalg.norm(pulled, axis=1, keepdims=True)
    found: Labels = np.unique(cluster, return_inverse=True)[1].astype(np.int64)
    return pulled.astype(np.float32), found


def _flipped(labels: Labels, n_classes: int, most: float, rng: np.random.Generator) -> Labels:
    """The labels, up to a share ``most`` of them drawn again."""
    flipped = rng.random(len(labels)) < rng.uniform(0.0, most)
    return np.where(flipped, rng.integers(0, n_classes, len(labels)), labels)


def _without_small(labels: Labels, fewest: float) -> Labels:
    """The same classes, those of fewer rows joined to the largest, numbered without gaps."""
    sizes = np.bincount(labels)
    small = sizes < fewest
    labels = np.where(small[labels], sizes.argmax(), labels)
    found: Labels = np.unique(labels, return_inverse=True)[1].astype(np.int64)
    return found
