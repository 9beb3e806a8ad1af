"""Prompt learning: classes are words that a masked language model puts into a gap of a template."""

from react_rl.learners.prompts.settings import PromptSettings

__all__ = ["PromptSettings"]
