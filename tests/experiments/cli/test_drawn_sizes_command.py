"""`react-rl train` with sizes drawn for groups of slots: in YAML, on the command line, refused early."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from react_rl.experiments import TrainConfig, load_config
from react_rl.experiments.cli import main

README = Path(__file__).parents[3] / "agents" / "README.md"
DRAWS = {"batch_sizes": [1, 4], "pool_sizes": [40, 60], "groups": 2}
Build = Callable[..., Path]


@pytest.mark.usefixtures("made_corpora")
def test_a_policy_is_trained_on_drawn_sizes_and_validated_on_those_of_the_config(train_file: Build) -> None:
    config = str(train_file(name="sized", draws=DRAWS))
    assert main(["train", config]) == 0
    folder = Path("results/sized")
    kept = json.loads((folder / "train.json").read_text())
    assert kept["draws"]["batch_sizes"] == [1, 4]
    card = json.loads((folder / "policy/card.json").read_text())
    assert list(card["episode"]) == ["classification, slots 0 to 1", "classification, slots 2 to 3"]
    assert [one["batch_size"] for one in card["episode"].values()] == [1, 4]
    # The fixed strategies are measured on the validation episodes, which do not know of the draws.
    assert (
        main(
            ["train", config, "--name", "plain", "--draws.batch-sizes", "None", "--draws.pool-sizes", "None"]
        )
        == 0
    )
    plain = json.loads(Path("results/plain/policy/card.json").read_text())
    assert plain["baselines"] == card["baselines"]
    assert plain["episode"]["batch_size"] == 4
    assert "draws" not in json.loads(Path("results/plain/train.json").read_text())


def test_sizes_are_given_on_the_command_line(train_file: Build) -> None:
    config = str(train_file())
    assert not load_config(TrainConfig, config).draws.some
    given = ["--draws.batch-sizes", "1", "5", "--draws.rounds", "3", "--draws.label-noise", "0", "0.2"]
    draws = load_config(TrainConfig, config, given).draws
    assert (draws.batch_sizes, draws.rounds, draws.label_noise) == ((1, 5), (3,), (0.0, 0.2))


@pytest.mark.usefixtures("no_encoder")
@pytest.mark.parametrize(
    ("draws", "sentence"),
    [
        ({"pool_sizes": [5000]}, "pool_size 5000 is larger than"),
        ({"batch_sizes": [50]}, "batch_size 50 is larger than the"),
        ({"batch_size": [1, 5]}, "unknown key 'draws.batch_size'. Did you mean 'batch_sizes'?"),
        ({"rounds": []}, "draws.rounds"),
    ],
)
@pytest.mark.parametrize("flags", [[], ["--dry-run"]])
def test_sizes_that_do_not_fit_are_refused_before_anything_is_encoded(
    train_file: Build,
    capsys: pytest.CaptureFixture[str],
    draws: dict[str, Any],
    sentence: str,
    flags: list[str],
) -> None:
    assert main(["train", str(train_file(draws=draws)), *flags]) == 2
    assert sentence in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.usefixtures("made_corpora")
def test_the_training_on_many_sizes_of_the_readme_runs(train_file: Build) -> None:
    section = README.read_text(encoding="utf-8").split("## Episodes of many sizes\n")[1]
    (text,) = re.findall(r"^```yaml\n(.*?)^```$", section.split("\n## ")[0], flags=re.DOTALL | re.MULTILINE)
    values = yaml.safe_load(text)
    small = {"batch_sizes": [1, 5, 10], "pool_sizes": [60, 80], "most_labels": 40}
    values |= {
        "draws": values["draws"] | small,
        "episode": values["episode"] | {"pool_size": 60, "dev_size": 30},
    }
    values["episode"]["budget"] = 20
    values["agent"] |= {"episodes": 16, "n_envs": 16, "episodes_per_update": 1, "evaluation_episodes": 4}
    Path("many.yaml").write_text(yaml.safe_dump(values))
    assert main(["train", "many.yaml"]) == 0
    card = json.loads(Path("results/many-sizes/policy/card.json").read_text())
    assert sorted(one["batch_size"] for one in card["episode"].values()) == [1, 1, 1, 5, 5, 5, 10, 10]
