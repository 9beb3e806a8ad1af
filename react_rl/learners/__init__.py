"""Learners: the models that are trained on bought labels, E episodes at once."""

from react_rl.learners.linear.calibration import leave_one_out_accuracy, leave_one_out_metrics
from react_rl.learners.linear.settings import SoftmaxSettings
from react_rl.learners.linear.softmax import SoftmaxRegression
from react_rl.learners.mlp.head import MlpHead
from react_rl.learners.mlp.training import MlpSettings
from react_rl.learners.protocol import Learner
from react_rl.learners.registry import LearnerEntry

__all__ = [
    "Learner",
    "LearnerEntry",
    "MlpHead",
    "MlpSettings",
    "SoftmaxRegression",
    "SoftmaxSettings",
    "leave_one_out_accuracy",
    "leave_one_out_metrics",
]
