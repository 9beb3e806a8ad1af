"""What the engine relies on, as checks that anybody can run on a part of their own.

Each check is a function that raises ``ContractBroken`` with one sentence; ``check_strategy`` and its like run
all of one kind. The parts of this package are tested by the same functions.
"""

from react_rl.contracts.interfaces import INTERFACE_CHECKS, check_interface
from react_rl.contracts.learners import LEARNER_CHECKS, check_learner
from react_rl.contracts.strategies import STRATEGY_CHECKS, check_strategy
from react_rl.contracts.tasks import TASK_CHECKS, check_task
from react_rl.contracts.worlds import ContractBroken

__all__ = [
    "INTERFACE_CHECKS",
    "LEARNER_CHECKS",
    "STRATEGY_CHECKS",
    "TASK_CHECKS",
    "ContractBroken",
    "check_interface",
    "check_learner",
    "check_strategy",
    "check_task",
]
