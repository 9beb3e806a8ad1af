"""Experiments: configs, runners, summaries, figures and the `react-rl` command."""

from react_rl.experiments.compare import compare
from react_rl.experiments.config import CompareConfig, CorpusConfig, TrainConfig, load_config
from react_rl.experiments.figures import draw_all
from react_rl.experiments.summary import read_results, summarise
from react_rl.experiments.train import run_training

__all__ = [
    "CompareConfig",
    "CorpusConfig",
    "TrainConfig",
    "compare",
    "draw_all",
    "load_config",
    "read_results",
    "run_training",
    "summarise",
]
