"""ReAct-RL: reinforcement-aware active learning for text."""
