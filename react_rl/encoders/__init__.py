"""Frozen transformers: texts to embeddings, the cache that keeps them, and the graph of neighbours."""

from react_rl.encoders.cache import ArrayCache, CacheEntry
from react_rl.encoders.config import EncoderConfig
from react_rl.encoders.embedding import Encoder, encode_corpus
from react_rl.encoders.named import FunctionEncoder, make_encoder
from react_rl.encoders.neighbours import NeighbourGraph, nearest_neighbours
from react_rl.encoders.precomputed import read_embeddings
from react_rl.encoders.transformer import EncoderSettings, Pooling, Precision, TextEncoder

__all__ = [
    "ArrayCache",
    "CacheEntry",
    "Encoder",
    "EncoderConfig",
    "EncoderSettings",
    "FunctionEncoder",
    "NeighbourGraph",
    "Pooling",
    "Precision",
    "TextEncoder",
    "encode_corpus",
    "make_encoder",
    "nearest_neighbours",
    "read_embeddings",
]
