"""What strategies bought: class balance, overlap between strategies, a map of one pool with the picks.

Read from the run files. Labels and embeddings are not in them: they come from the corpora of the plan and
from the cache, where both are still there.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from react_rl.data.config import CorpusConfig
from react_rl.data.corpus import Corpus
from react_rl.encoders.cache import ArrayCache
from react_rl.encoders.embedding import Encoder, encode_corpus
from react_rl.encoders.named import make_encoder
from react_rl.encoders.precomputed import read_embeddings
from react_rl.encoders.transformer import EncoderSettings
from react_rl.envs.batched import episode_streams
from react_rl.errors import ReActError
from react_rl.experiments.config.models import CompareConfig
from react_rl.experiments.run.results import ResultFolder
from react_rl.own_code import require_imported
from react_rl.simulation.corpora import load
from react_rl.simulation.draw import Draw, draw_episode
from react_rl.simulation.encoded import EncodedCorpus
from react_rl.tasks.registry import task_of

Floats = npt.NDArray[np.float64]
Ids = npt.NDArray[np.int64]

_SECONDS: Final = ("selection_seconds", "training_seconds")


@dataclass(frozen=True)
class Purchases:
    """The rows of one run: ``initial`` ids, then one list of ids for each round."""

    corpus: str
    strategy: str
    seed: int
    initial: list[int]
    batches: list[list[int]]


@dataclass(frozen=True)
class RunFiles:
    """What the run files and their circumstances say beyond the curves.

    Args:
        purchases: Bought rows of each run.
        seconds: strategy, selection_seconds and training_seconds (means of a run), or None.
        circumstances: The different circumstances met, each with its number of runs.
    """

    purchases: list[Purchases]
    seconds: pd.DataFrame | None = None
    circumstances: list[tuple[dict[str, Any], int]] = field(default_factory=list)


@dataclass(frozen=True)
class PoolMap:
    """A pool in two dimensions.

    Args:
        corpus: Name of the corpus.
        seed: The seed whose pool it is.
        ids: ``(P,)`` row ids of the pool.
        position: ``(P, 2)`` principal components of the embeddings.
        explained: Share of the variance that the two components hold.
        targets: ``(P,)`` class names.
    """

    corpus: str
    seed: int
    ids: Ids
    position: Floats
    explained: float
    targets: list[str]


def read_run_files(folder: ResultFolder, corpora: Collection[str] | None = None) -> RunFiles:
    """Read the run files of the plan that are there.

    Args:
        folder: The comparison.
        corpora: Names of those whose runs are read; None means all.

    Raises:
        ReActError: A file is damaged.
    """
    _, runs = folder.read_plan()
    purchases, seconds = [], []
    surroundings: dict[str, tuple[dict[str, Any], int]] = {}
    for run in runs:
        if not folder.finished(run) or (corpora is not None and run.corpus not in corpora):
            continue
        result = folder.read_run(run)
        purchases.append(Purchases(run.corpus, run.strategy, run.seed, result["initial"], result["batches"]))
        around = folder.read_circumstances(run)
        if around is None:
            continue
        seconds.append({"strategy": run.strategy} | {name: around.get(name) for name in _SECONDS})
        kept = {k: v for k, v in around.items() if k not in {*_SECONDS, "key", "process"}}
        kept.pop("runs_in_lockstep", None)
        name = repr(sorted(kept.items(), key=lambda item: item[0]))
        surroundings[name] = (kept, surroundings.get(name, (kept, 0))[1] + 1)
    timed = pd.DataFrame(seconds).dropna() if seconds else pd.DataFrame()
    return RunFiles(
        purchases,
        None if timed.empty else timed.groupby("strategy", as_index=False, sort=False)[list(_SECONDS)].mean(),
        sorted(surroundings.values(), key=lambda item: -item[1]),
    )


def overlaps(purchases: Sequence[Purchases], strategies: Sequence[str]) -> pd.DataFrame:
    """Jaccard index of what two strategies have bought up to each round, same corpus and seed.

    The initial labelled set, which all share, does not count. A run that has ended keeps what it bought.

    Returns:
        Columns corpus, round (from 1), strategy, other, jaccard (mean over seeds), seeds; each pair twice.
    """
    groups: dict[tuple[str, int], dict[str, Purchases]] = {}
    for run in purchases:
        groups.setdefault((run.corpus, run.seed), {})[run.strategy] = run
    sums: dict[str, Floats] = {}
    counts: dict[str, Floats] = {}
    rounds = max((len(run.batches) for run in purchases), default=0)
    for (corpus, _), runs in groups.items():
        table, there = _jaccard(runs, strategies, rounds)
        sums[corpus] = sums.get(corpus, np.zeros_like(table)) + table
        counts[corpus] = counts.get(corpus, np.zeros_like(table)) + there
    rows = []
    for corpus, total in sums.items():
        for r, a, b in np.argwhere(counts[corpus] > 0):
            if a != b:
                n = counts[corpus][r, a, b]
                rows.append((corpus, r + 1, strategies[a], strategies[b], total[r, a, b] / n, int(n)))
    return pd.DataFrame(rows, columns=["corpus", "round", "strategy", "other", "jaccard", "seeds"])


def _jaccard(runs: dict[str, Purchases], strategies: Sequence[str], rounds: int) -> tuple[Floats, Floats]:
    """Jaccard indices ``(R, A, A)`` of one seed and whether both strategies were played."""
    bought = sorted({row for run in runs.values() for batch in run.batches for row in batch})
    column = {row: i for i, row in enumerate(bought)}
    size = len(strategies)
    owned = np.zeros((size, max(len(bought), 1)))
    there = np.array([name in runs for name in strategies])
    table = np.zeros((rounds, size, size))
    for r in range(rounds):
        for a, name in enumerate(strategies):
            if there[a] and r < len(runs[name].batches):
                owned[a, [column[row] for row in runs[name].batches[r]]] = 1.0
        shared = owned @ owned.T
        held = owned.sum(axis=1)
        union = held[:, None] + held[None, :] - shared
        # Two strategies that bought nothing bought the same.
        table[r] = np.where(union > 0, shared / np.maximum(union, 1.0), 1.0)
    both = np.broadcast_to(there[:, None] & there[None, :], table.shape).astype(np.float64)
    return table * both, both


def load_corpora(config: CompareConfig, contents: Mapping[str, str]) -> tuple[dict[str, Corpus], list[str]]:
    """Load the corpora of the plan that can still be had and are as they were.

    Args:
        config: The config in the plan.
        contents: Digests of the corpora that were played on, by name; what has none is not compared.

    Returns:
        The corpora by name, and the reasons why others cannot be had.
    """
    found: dict[str, Corpus] = {}
    reasons: list[str] = []
    for corpus_config in config.corpora:
        # Prices do not matter here, and counting tokens would need the encoder.
        unpriced = corpus_config.model_copy(update={"cost": "uniform"})
        try:
            require_imported(unpriced.corpus, f"Corpus {unpriced.corpus}")
            corpus = load(unpriced)
        except (ReActError, OSError) as error:
            reasons.append(str(error))
            continue
        if _unchanged(corpus_config, corpus, contents.get(corpus.name)):
            found[corpus.name] = corpus
        else:
            reasons.append(changed_since(corpus.name))
    return found, reasons


def changed_since(name: str) -> str:
    """The reason for leaving out a corpus that has changed."""
    return f"corpus {name!r} is not the one that was played on"


def _unchanged(config: CorpusConfig, unpriced: Corpus, played: str | None) -> bool:
    """Whether a corpus has the digest that was ``played``; yes where that cannot be known."""
    if played in (None, unpriced.digest()):
        return True
    try:
        return load(config).digest() == played  # the digest covers the prices
    except ReActError:  # only the encoder knows the price
        return True


def redraw(corpus: Corpus, config: CompareConfig, run: Purchases) -> Draw | None:
    """Draw the run's episode again; None where the corpus cannot be the one that was played on."""
    placeholder = torch.zeros((corpus.n_rows, 1))
    encoded = EncodedCorpus(corpus, placeholder, placeholder, placeholder)
    try:
        draw = draw_episode([encoded], config.episode, episode_streams(run.seed, corpus.name), 0)
    except (ReActError, ValueError):
        return None
    same = draw.initial.tolist() == sorted(run.initial)
    return draw if same and set(np.ravel(run.batches[:1]).tolist()) <= set(draw.pool.tolist()) else None


def class_balance(corpus: Corpus, runs: Sequence[Purchases]) -> pd.DataFrame:
    """How even the classes of the labelled set are, and how often each occurs, after each round.

    Where rows have no classes, their strata stand for them: types of entities, answers and none.

    Args:
        corpus: The corpus that the runs were played on.
        runs: Runs on it.

    Returns:
        Columns strategy, labels, evenness (entropy of the class shares over log of the number of classes,
        mean over seeds; 1 is even) and ``share:CLASS``. Shares are of true classes, before oracle noise.

    Raises:
        ReActError: A run names a row that the corpus does not have.
    """
    task = task_of([corpus])
    strata, labels = task.strata(corpus), task.strata_names(corpus)
    rows = []
    for run in runs:
        last = max(max(ids, default=0) for ids in (run.initial, *run.batches))
        if last >= corpus.n_rows:
            raise ReActError(
                f"The run file of {run.strategy} on {run.corpus} with seed {run.seed} is damaged: it names "
                f"row {last} of {corpus.n_rows}; delete it and run the comparison again."
            )
        counts = np.bincount(strata[run.initial], minlength=len(labels)).astype(np.float64)
        for batch in [[], *run.batches]:
            counts = counts + np.bincount(strata[batch].astype(np.int64), minlength=len(labels))
            shares = counts / max(counts.sum(), 1.0)
            there = shares[shares > 0]
            evenness = float(-(there * np.log(there)).sum() / np.log(len(labels)))
            rows.append((run.strategy, int(counts.sum()), evenness, *shares))
    names = [f"share:{name}" for name in labels]
    frame = pd.DataFrame(rows, columns=["strategy", "labels", "evenness", *names])
    return frame.groupby(["strategy", "labels"], as_index=False, sort=False).mean()


def pool_map(corpus: Corpus, config: CompareConfig, draw: Draw, seed: int) -> PoolMap:
    """Project the pool of one seed on the two principal components of its embeddings.

    Raises:
        ReActError: The embeddings are not in the cache, or the encoder cannot be had.
    """
    task, embeddings = task_of([corpus]), _embeddings(corpus, config)
    rows = embeddings[draw.pool].astype(np.float64)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    left, singular, _ = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)
    position = left[:, :2] * singular[:2]
    # The sign of a component is arbitrary: its largest entry points up, so that maps look alike everywhere.
    position *= np.sign(position[np.abs(position).argmax(axis=0), [0, 1]])
    power = singular**2
    return PoolMap(
        corpus.name,
        seed,
        draw.pool,
        position,
        float(power[:2].sum() / max(power.sum(), 1e-12)),
        [task.strata_names(corpus)[stratum] for stratum in task.strata(corpus)[draw.pool]],
    )


def _embeddings(corpus: Corpus, config: CompareConfig) -> npt.NDArray[np.float32]:
    """The embeddings of a corpus of the plan: from the file that gives them, or from the cache."""
    for one in config.corpora:
        if (
            one.embeddings is not None
            and load(one.model_copy(update={"cost": "uniform"})).name == corpus.name
        ):
            return read_embeddings(one.embeddings, corpus.n_rows, corpus.name)
    require_imported(config.encoder.model, f"Encoder {config.encoder.model}")
    encoder = _CachedOnly(make_encoder(config.encoder.settings(config.device)))
    return encode_corpus(corpus, encoder, ArrayCache(), progress=False)


class _CachedOnly:
    """An encoder that finds what is in the cache and refuses to compute."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder

    @property
    def settings(self) -> EncoderSettings:
        """Settings of the encoder."""
        return self._encoder.settings

    def encode(self, texts: Sequence[str], progress: bool = True) -> npt.NDArray[np.float32]:
        """Refuse."""
        raise ReActError("its embeddings are not in the cache; `react-rl compare` puts them there")

    def fingerprint(self) -> dict[str, str]:
        """Fingerprint of the encoder."""
        return self._encoder.fingerprint()
