"""The examples of the labelling loop's page run as they stand, and its tables name every option."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

import react_rl.simulation
from react_rl.simulation import EpisodeOptions

PAGE = Path(react_rl.simulation.__file__).with_name("README.md").read_text(encoding="utf-8")


def test_the_examples_run(capsys: pytest.CaptureFixture[str]) -> None:
    examples = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    assert len(examples) == 3
    names: dict[str, object] = {}
    for example in examples:
        exec(compile(example, "README.md", "exec"), names)
    assert "answered as" in capsys.readouterr().out


def test_the_config_of_an_annotator_is_one() -> None:
    (config,) = re.findall(r"```yaml\n(.*?)```", PAGE, flags=re.DOTALL)
    options = EpisodeOptions.model_validate(yaml.safe_load(config)["episode"])
    assert (options.label_noise, options.confusion) == ("crowd", "similar")


def test_every_option_and_module_is_named() -> None:
    assert [name for name in EpisodeOptions.model_fields if f"`{name}`" not in PAGE] == []
    modules = Path(react_rl.simulation.__file__).parent.glob("[a-z]*.py")
    assert [file.name for file in modules if f"`{file.name}`" not in PAGE] == []
