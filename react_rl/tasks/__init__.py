"""What is learned and judged: classification, tagging and question answering behind one protocol."""

from react_rl.tasks.classification import Classification
from react_rl.tasks.protocol import Annotator, AnnotatorSettings, RowSignals, Scores, Task
from react_rl.tasks.questions import QuestionAnswering, SpanScores, SpanSignals
from react_rl.tasks.registry import TASKS, check_metrics, register_task, task_of
from react_rl.tasks.tagging import Tagging, TokenScores, TokenSignals
from react_rl.tasks.without_classes import WithoutClasses

__all__ = [
    "TASKS",
    "Annotator",
    "AnnotatorSettings",
    "Classification",
    "QuestionAnswering",
    "RowSignals",
    "Scores",
    "SpanScores",
    "SpanSignals",
    "Tagging",
    "Task",
    "TokenScores",
    "TokenSignals",
    "WithoutClasses",
    "check_metrics",
    "register_task",
    "task_of",
]
