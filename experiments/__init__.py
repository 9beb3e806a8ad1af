"""Experiments: configs, runners, summaries, figures and the `react-rl` command.

Public names are loaded when first asked for, so that `react-rl --help` does not wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from react_rl.data.config import CorpusConfig
    from react_rl.experiments.analysis.frames import Frames, read_frames
    from react_rl.experiments.analysis.summary import read_results, summarise
    from react_rl.experiments.cli.comparison import run_comparison
    from react_rl.experiments.cli.explanation import explain_policy
    from react_rl.experiments.config.models import CompareConfig, TrainConfig, load_config
    from react_rl.experiments.config.tuning import TuneConfig
    from react_rl.experiments.figures.drawing import draw_all
    from react_rl.experiments.run.merging import merge_labels
    from react_rl.experiments.run.suggestions import suggest_rows, write_suggestions
    from react_rl.experiments.run.train import run_training
    from react_rl.experiments.run.tune import run_tuning

_HOMES = {
    "CompareConfig": "config.models",
    "CorpusConfig": "config.models",
    "Frames": "analysis.frames",
    "TrainConfig": "config.models",
    "TuneConfig": "config.tuning",
    "run_comparison": "cli.comparison",
    "draw_all": "figures.drawing",
    "explain_policy": "cli.explanation",
    "load_config": "config.models",
    "merge_labels": "run.merging",
    "read_frames": "analysis.frames",
    "read_results": "analysis.summary",
    "run_training": "run.train",
    "run_tuning": "run.tune",
    "suggest_rows": "run.suggestions",
    "summarise": "analysis.summary",
    "write_suggestions": "run.suggestions",
}

__all__ = [
    "CompareConfig",
    "CorpusConfig",
    "Frames",
    "TrainConfig",
    "TuneConfig",
    "draw_all",
    "explain_policy",
    "load_config",
    "merge_labels",
    "read_frames",
    "read_results",
    "run_comparison",
    "run_training",
    "run_tuning",
    "suggest_rows",
    "summarise",
    "write_suggestions",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
