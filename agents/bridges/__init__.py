"""Query strategies of this package in other hands: on plain arrays, in scikit-activeml and small-text."""

from react_rl.agents.bridges.arrays import pool_of_arrays, select_rows

__all__ = ["pool_of_arrays", "select_rows"]
