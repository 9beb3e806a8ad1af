"""Completion of the command in bash, zsh and fish: scripts that are made from its parser."""

from __future__ import annotations

import argparse
from typing import Final

SHELLS: Final = ("bash", "zsh", "fish")

_BASH: Final = """\
_react_rl() {{
  local word="${{COMP_WORDS[COMP_CWORD]}}" words
  if [ "$COMP_CWORD" -eq 1 ]; then words="{commands}"; else
    case "${{COMP_WORDS[1]}}" in
{cases}
    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$word") $(compgen -f -- "$word"))
}}
complete -o filenames -F _react_rl react-rl
"""


def completion(parser: argparse.ArgumentParser, shell: str) -> str:
    """The script that completes commands, their options and their choices; other words are files.

    Args:
        parser: The parser of the command.
        shell: One of ``SHELLS``.
    """
    commands = _commands(parser)
    if shell == "fish":
        lines = [f"complete -c react-rl -n __fish_use_subcommand -a '{' '.join(commands)}'"]
        for name, words in commands.items():
            known = f"-n '__fish_seen_subcommand_from {name}'"
            lines += [
                f"complete -c react-rl {known} -l {word.removeprefix('--')}"
                if word.startswith("--")
                else f"complete -c react-rl {known} -a {word}"
                for word in words
            ]
        return "\n".join(lines) + "\n"
    cases = "\n".join(f'      {name}) words="{" ".join(words)}" ;;' for name, words in commands.items())
    script = _BASH.format(commands=" ".join(commands), cases=cases)
    return script if shell == "bash" else f"autoload -U +X bashcompinit && bashcompinit\n{script}"


def _commands(parser: argparse.ArgumentParser) -> dict[str, list[str]]:
    """Long options and choices of each command."""
    found: dict[str, list[str]] = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, sub in action.choices.items():
                words = [word for one in sub._actions for word in one.option_strings if word.startswith("--")]
                words += [str(word) for one in sub._actions for word in one.choices or ()]
                found[name] = words
    return found
