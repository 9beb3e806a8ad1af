"""`react-rl config` prints every key with its default and what it means; completion; the other ways in."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from react_rl.data import CorpusConfig, load_corpus, synthetic_corpus
from react_rl.experiments import CompareConfig, TrainConfig, load_config
from react_rl.experiments.cli import main
from react_rl.experiments.cli.template import TEMPLATES, template
from react_rl.experiments.config.sources import packaged_configs, packaged_text
from react_rl.experiments.config.tuning import TuneConfig
from react_rl.simulation import synthetic_encoded
from react_rl.simulation.draw import check_fit


def nested(model: type[BaseModel]) -> list[type[BaseModel]]:
    """A model and all that its fields hold."""
    found = [model]
    for field in model.model_fields.values():
        for part in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if isinstance(part, type) and issubclass(part, BaseModel):
                found += nested(part)
    return found


@pytest.mark.parametrize("kind", TEMPLATES.values())
def test_every_key_of_a_config_says_what_it_means(kind: type[BaseModel]) -> None:
    models = nested(kind)
    assert {CorpusConfig} < set(models)
    silent = [
        f"{model.__name__}.{name}"
        for model in models
        for name, field in model.model_fields.items()
        if not (field.description or "").strip()
    ]
    assert not silent


@pytest.mark.parametrize("command", ["train", "imitate", "adjust", "compare"])
def test_the_printed_config_reads_back_to_the_defaults(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kind: Any = TEMPLATES[command]
    assert main(["config", command]) == 0
    path = tmp_path / "my.yaml"
    path.write_text(capsys.readouterr().out, encoding="utf-8")
    expected = kind.model_validate({"name": "my-study", "corpora": [{"corpus": "bbc_news"}]})
    assert load_config(kind, str(path)) == expected
    if kind is CompareConfig:  # what is printed can be played
        check_fit(load_corpus("bbc_news"), expected.episode)


@pytest.mark.parametrize("kind", TEMPLATES.values())
def test_no_key_is_left_out_and_each_has_a_comment(kind: type[TrainConfig] | type[CompareConfig]) -> None:
    text = template(kind)
    assert set(yaml.safe_load(text)) == set(kind.model_fields)
    lines = text.splitlines()
    for before, line in zip(["", *lines], lines, strict=False):
        if not line.strip().startswith(("#", "-")):
            assert before.strip().startswith("#"), line
    assert max(map(len, lines)) <= 110


@pytest.mark.parametrize(
    ("shell", "said"),
    [("bash", "complete -o filenames"), ("zsh", "bashcompinit"), ("fish", "-l overwrite")],
)
def test_completion_knows_commands_options_and_choices(
    shell: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert said in script
    for word in ("compare", "overwrite", "strategies", "latex"):
        assert word in script
    if shell == "bash":
        check = "source /dev/stdin; COMP_WORDS=(react-rl comp); COMP_CWORD=1; _react_rl; echo ${COMPREPLY[@]}"
        done = subprocess.run(["bash", "-c", check], input=script, capture_output=True, text=True, check=True)
        assert "compare completion" in done.stdout


def test_the_package_runs_as_a_module() -> None:
    done = subprocess.run([sys.executable, "-m", "react_rl", "--version"], capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stdout.startswith("react-rl ")


def test_verbose_shows_where_an_error_comes_from(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-v", "compare", "no-such-config"]) == 2
    said = capsys.readouterr().err
    assert "Traceback" in said
    assert said.splitlines()[-1].startswith("react-rl: Unknown config")
    assert main(["compare", "no-such-config"]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_large_things_are_shown_in_a_line() -> None:
    for thing in (synthetic_corpus(), synthetic_encoded()):
        assert "synthetic" in repr(thing)
        assert len(repr(thing)) < 120


def test_every_packaged_config_is_listed_with_the_command_that_reads_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["list", "configs"]) == 0
    listed = dict(line.split()[:2] for line in capsys.readouterr().out.splitlines() if line[:1].strip())
    assert set(listed) == {"config", *packaged_configs()}
    kinds: dict[str, Any] = {**TEMPLATES, "tune": TuneConfig}
    for name, command in listed.items():
        if name != "config":
            assert set(yaml.safe_load(packaged_text(name))) <= set(kinds[command].model_fields), name
