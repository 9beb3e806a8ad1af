"""Fine-tuning of transformers, many episodes side by side."""

from react_rl.learners.finetune.learner import FineTune
from react_rl.learners.finetune.settings import FineTuneSettings, PeftSettings

__all__ = ["FineTune", "FineTuneSettings", "PeftSettings"]
