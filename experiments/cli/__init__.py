"""The command `react-rl`: what it reads, prints and draws on the screen."""

from react_rl.experiments.cli.command import main

__all__ = ["main"]
