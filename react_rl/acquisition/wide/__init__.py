"""Pools too wide to look at every row exactly or at all pairs: pieces, cuts, samples, rough passes."""
