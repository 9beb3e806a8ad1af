"""Corpora: reading them, splitting them, pricing their rows."""

from react_rl.data.config import CorpusConfig
from react_rl.data.continual import drifting, in_phases
from react_rl.data.corpus import DEV, SPLITS, TEST, TRAIN, UNUSED, Corpus, Task
from react_rl.data.costs import COSTS, CostModel, apply_cost
from react_rl.data.hub import load_hub
from react_rl.data.imbalance import imbalanced
from react_rl.data.inspection import CorpusFacts, inspect_corpus
from react_rl.data.phases import PhaseRows
from react_rl.data.readers import corpus_from_frame, read_corpus
from react_rl.data.registry import CORPORA, BuiltIn, CorpusInfo, describe_corpora, load_corpus
from react_rl.data.splits import DEFAULT_SHARES, draw_splits
from react_rl.data.synthetic import synthetic_corpus, synthetic_embeddings

__all__ = [
    "CORPORA",
    "COSTS",
    "DEFAULT_SHARES",
    "DEV",
    "SPLITS",
    "TEST",
    "TRAIN",
    "UNUSED",
    "BuiltIn",
    "Corpus",
    "CorpusConfig",
    "CorpusFacts",
    "CorpusInfo",
    "CostModel",
    "PhaseRows",
    "Task",
    "apply_cost",
    "corpus_from_frame",
    "describe_corpora",
    "draw_splits",
    "drifting",
    "imbalanced",
    "in_phases",
    "inspect_corpus",
    "load_corpus",
    "load_hub",
    "read_corpus",
    "synthetic_corpus",
    "synthetic_embeddings",
]
