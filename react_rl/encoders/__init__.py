"""Frozen transformers: texts to embeddings, the cache that keeps them, and the graph of neighbours."""

from react_rl.encoders.cache import ArrayCache, CacheEntry
from react_rl.encoders.embedding import encode_corpus
from react_rl.encoders.neighbours import NeighbourGraph, nearest_neighbours
from react_rl.encoders.transformer import EncoderSettings, Pooling, Precision, TextEncoder

__all__ = [
    "ArrayCache",
    "CacheEntry",
    "EncoderSettings",
    "NeighbourGraph",
    "Pooling",
    "Precision",
    "TextEncoder",
    "encode_corpus",
    "nearest_neighbours",
]
