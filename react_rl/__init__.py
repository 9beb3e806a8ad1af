"""ReAct-RL: reinforcement-aware active learning for text.

Importing the package registers its environment ids with Gymnasium, so that
``gymnasium.make("react_rl:ReActRL/Labeling-v0")`` works; nothing heavy is loaded until it is called.
Gymnasium looks for no plugins any more (since 1.0), so an import is the only way to register.
"""

from importlib.metadata import version

import gymnasium

__version__ = version("react-rl")

gymnasium.register(
    id="ReActRL/Labeling-v0",
    entry_point="react_rl.envs.single:LabelingEnv",
    vector_entry_point="react_rl.envs.vector:LabelingVectorEnv",
)

__all__ = ["__version__"]
