"""MLP heads and class weights from YAML: comparisons, trainings, and names under which results are filed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import react_rl.learners
from react_rl.encoders.transformer import TextEncoder
from react_rl.errors import ReActError
from react_rl.experiments import CompareConfig
from react_rl.experiments.cli import main
from react_rl.experiments.config.learners import learner_config
from react_rl.experiments.config.models import load_config
from react_rl.learners import MlpSettings, SoftmaxSettings
from react_rl.simulation import synthetic_encoded

Write = Callable[..., str]
SMALL = {"kind": "mlp", "mlp": {"hidden": 8, "members": 3, "steps": 10}}


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes a config into an empty working folder; the corpus is made in code."""
    monkeypatch.chdir(tmp_path)
    for place in ("run.compare", "run.train"):
        monkeypatch.setattr(f"react_rl.experiments.{place}.prepare", lambda *_: [synthetic_encoded(200, 3)])
    monkeypatch.setattr(TextEncoder, "fingerprint", lambda _: {"weights": "made in code"})
    episode = {"pool_size": 40, "dev_size": 20, "initial_size": 5, "budget": 8, "batch_size": 4}

    def write(**keys: Any) -> str:
        values = {"corpora": [{"corpus": "synthetic"}], "device": "cpu", "episode": episode, **keys}
        path = tmp_path / "my.yaml"
        path.write_text(yaml.safe_dump(values))
        return str(path)

    return write


def results_of(name: str) -> dict[str, Any]:
    """Finished runs by strategy and seed."""
    found = [json.loads(path.read_text()) for path in Path("results", name).rglob("*.json")]
    runs = [
        run for run in found if isinstance(run, dict) and "batches" in json.dumps(run) and "strategy" in run
    ]
    return {f"{run['strategy']} {run['seed']}": run for run in runs}


def test_a_comparison_from_yaml_runs_on_mlp_heads_and_repeats_itself(written: Write) -> None:
    config = {"strategies": ["random", "bald"], "seeds": 2, "jobs": 1, "learner": SMALL}
    assert main(["compare", written(name="first", **config)]) == 0
    assert main(["compare", written(name="second", **config)]) == 0
    linear = {**config, "learner": {"kind": "softmax"}}
    assert main(["compare", written(name="linear", **linear)]) == 0
    first, second, other = (results_of(name) for name in ("first", "second", "linear"))
    assert set(first) == {"random 0", "random 1", "bald 0", "bald 1"}
    assert first == second
    assert first["random 0"] != other["random 0"]


def test_a_policy_trains_on_mlp_heads(written: Write) -> None:
    agent = {
        "episodes": 4, "n_envs": 2, "episodes_per_update": 1, "evaluations": 1, "evaluation_episodes": 2,
        "epochs": 1, "minibatches": 1, "layers": [8],
    }  # fmt: skip
    assert main(["train", written(name="policy", agent=agent, learner=SMALL)]) == 0
    assert Path("results", "policy", "policy").is_dir()


def test_keys_that_results_are_filed_under_stay_as_they_were() -> None:
    assert learner_config({}).identity() == {"l2": 0.1, "bias": 0.1, "tolerance": 0.01, "max_steps": 20}
    unused = learner_config({"mlp": {"hidden": 3}})
    assert unused.identity() == learner_config({}).identity()
    assert set(learner_config({"kind": "finetune"}).identity()) & {"mlp", "hidden"} == set()
    balanced = learner_config({"class_weights": "balanced"})
    assert balanced.identity() == {**learner_config({}).identity(), "class_weights": "balanced"}
    deep = learner_config(SMALL).identity()
    assert deep == {"kind": "mlp", **MlpSettings(**SMALL["mlp"]).model_dump()}  # type: ignore[arg-type]
    assert "l2" not in deep


def test_settings_reach_the_learner(written: Write) -> None:
    path = written(name="x", learner={"kind": "mlp", "mlp": {"hidden": 9, "class_weights": "balanced"}})
    config = load_config(CompareConfig, path, ["--learner.mlp.members", "2", "--learner.mlp.no-bootstrap"])
    expected = MlpSettings(hidden=9, class_weights="balanced", members=2, bootstrap=False)
    assert config.learner.settings() == expected
    config = load_config(CompareConfig, "demo-compare", ["--learner.class-weights", "balanced"])
    assert config.learner.settings() == SoftmaxSettings(class_weights="balanced")


@pytest.mark.parametrize(
    ("learner", "message"),
    [
        ({"kind": "mpl"}, "mlp"),
        ({"kind": "mlp", "mlp": {"hiden": 3}}, "Did you mean 'hidden'"),
        ({"kind": "mlp", "mlp": {"dropout": 1.0}}, "learner.mlp.dropout"),
        ({"kind": "mlp", "class_weights": "balanced"}, "set mlp.class_weights instead"),
        ({"kind": "mlp", "mlp": {"learning_rate": 1.0}}, "use less than 1"),
    ],
    ids=str,
)
def test_a_wrong_key_or_value_is_one_sentence(learner: Any, message: str, written: Write) -> None:
    with pytest.raises(ReActError, match=message) as caught:
        load_config(CompareConfig, written(name="x", learner=learner))
    assert "\n" not in str(caught.value)


def test_the_examples_of_the_page_run_as_they_stand(
    written: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    page = Path(react_rl.learners.__file__).with_name("README.md").read_text(encoding="utf-8")
    (example,) = [y for y in re.findall(r"```yaml\n(.*?)```", page, flags=re.DOTALL) if "kind: mlp" in y]
    config = CompareConfig.model_validate(yaml.safe_load(example))
    assert config.learner.settings() == MlpSettings(), "the page shows the defaults"
    (program,) = [
        p for p in re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL) if "MlpSettings(members=5" in p
    ]
    exec(compile(program, "README.md", "exec"), {})
    assert 0.5 < float(capsys.readouterr().out) <= 1.0
