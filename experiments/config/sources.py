"""Where configs come from: YAML files and packaged presets, and which command reads them."""

from __future__ import annotations

from collections.abc import Collection
from importlib import resources
from pathlib import Path
from typing import Any, Final

from react_rl.documents import parse_yaml, read_text
from react_rl.errors import ReActError, unknown
from react_rl.files import unusual

CONFIGS = "react_rl.experiments.presets"
KEY_OF_COMMAND: Final = {
    "tune": "search",
    "imitate": "imitation",
    "adjust": "adjustment",
    "train": "agent",
    "compare": "strategies",
}
"""A key that only the configs of a command have."""


def packaged_configs() -> list[str]:
    """Names of the configs that come with the package."""
    files = resources.files(CONFIGS).iterdir()
    return sorted(file.name.removesuffix(".yaml") for file in files if file.name.endswith(".yaml"))


def packaged_text(name: str) -> str:
    """The YAML of a config that comes with the package."""
    return resources.files(CONFIGS).joinpath(f"{name}.yaml").read_text(encoding="utf-8")


def read_config(source: str) -> Any:
    """What is in a YAML file, or in a packaged config by its name.

    Raises:
        ReActError: There is none, or it is no YAML.
    """
    path = Path(source)
    if path.suffix in (".yaml", ".yml"):
        if not path.is_file():
            what = "is a folder" if path.is_dir() else unusual(path) or "does not exist"
            raise ReActError(f"Config file {source} {what}; check the path.")
        text = read_text(path, f"Config {source}", "it must be UTF-8 text")
    elif source in packaged_configs():
        text = packaged_text(source)
    else:
        raise unknown("config (a .yaml file or a packaged name)", source, packaged_configs())
    return parse_yaml(text, f"Config {source}")


def check_command(keys: Collection[str], values: Any, what: str) -> None:
    """Refuse a config that another command reads, which is no misspelt key.

    Args:
        keys: Those of the command that was given.
        values: The config.
        what: What to call it, as "Config my.yaml".

    Raises:
        ReActError: It is one.
    """
    for command, key in KEY_OF_COMMAND.items():
        if isinstance(values, dict) and key in values and key not in keys:
            raise ReActError(f"{what} has the key {key!r}, so it is one for `react-rl {command}`.")
