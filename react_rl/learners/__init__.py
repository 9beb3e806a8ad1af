"""Learners: the models that are trained on bought labels, E episodes at once."""

from react_rl.learners.calibration import leave_one_out_accuracy, leave_one_out_metrics
from react_rl.learners.mlp import MlpHead
from react_rl.learners.mlp_training import MlpSettings
from react_rl.learners.protocol import Learner
from react_rl.learners.softmax import SoftmaxRegression, SoftmaxSettings

__all__ = [
    "Learner",
    "MlpHead",
    "MlpSettings",
    "SoftmaxRegression",
    "SoftmaxSettings",
    "leave_one_out_accuracy",
    "leave_one_out_metrics",
]
