"""The batched labelling loop: encoded corpora, episode draws, the oracle, rounds."""

from react_rl.simulation.checkpoint import Checkpoint, Notes
from react_rl.simulation.draw import Draw, draw_episode
from react_rl.simulation.encoded import (
    EncodedCorpus,
    encode,
    synthetic_asked,
    synthetic_encoded,
    synthetic_tagged,
)
from react_rl.simulation.engine import LabelingEngine
from react_rl.simulation.generated import generated_task
from react_rl.simulation.held_out import HeldOut
from react_rl.simulation.options import EpisodeOptions
from react_rl.simulation.oracle import Oracle
from react_rl.simulation.progress import Progress
from react_rl.simulation.purchases import Round
from react_rl.simulation.view import PoolView

__all__ = [
    "Checkpoint",
    "Draw",
    "EncodedCorpus",
    "EpisodeOptions",
    "HeldOut",
    "LabelingEngine",
    "Notes",
    "Oracle",
    "PoolView",
    "Progress",
    "Round",
    "draw_episode",
    "encode",
    "generated_task",
    "synthetic_asked",
    "synthetic_encoded",
    "synthetic_tagged",
]
