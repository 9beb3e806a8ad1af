"""Configs: packaged ones load and explain every key; mistakes are found before a model is touched."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import yaml

from react_rl.errors import ReActError
from react_rl.experiments import CompareConfig, TrainConfig, load_config
from react_rl.experiments.cli import main
from react_rl.experiments.config.models import AdjustConfig, ImitateConfig
from react_rl.experiments.config.sources import CONFIGS, packaged_configs

Build = Callable[..., Path]
PACKAGED = packaged_configs()


def text_of(name: str) -> str:
    return resources.files(CONFIGS).joinpath(f"{name}.yaml").read_text(encoding="utf-8")


def test_configs_come_with_the_package() -> None:
    assert {"demo-train", "demo-compare"} <= set(PACKAGED)


def kind_of(values: dict[str, Any]) -> Any:
    """Which of the configs these keys belong to."""
    return next(
        (
            kind
            for key, kind in (
                ("strategies", CompareConfig),
                ("imitation", ImitateConfig),
                ("adjustment", AdjustConfig),
            )
            if key in values
        ),
        TrainConfig,
    )


@pytest.mark.parametrize("name", PACKAGED)
def test_a_packaged_config_loads_by_name(name: str) -> None:
    values = yaml.safe_load(text_of(name))
    kind = kind_of(values)
    assert load_config(kind, name).name == values["name"]


@pytest.mark.parametrize("name", PACKAGED)
def test_every_key_of_a_packaged_config_has_a_comment_on_its_line(name: str) -> None:
    keys = [line for line in text_of(name).splitlines() if re.match(r"\s*(- )?\w+:", line)]
    assert len(keys) > 10
    assert [line for line in keys if not re.search(r"  # \S+", line)] == []


@pytest.mark.parametrize("name", PACKAGED)
def test_a_packaged_config_can_be_copied_to_a_file(name: str, tmp_path: Path) -> None:
    copy = tmp_path / "mine.yml"
    copy.write_text(text_of(name))
    kind = kind_of(yaml.safe_load(text_of(name)))
    assert load_config(kind, str(copy)) == load_config(kind, name)


def test_the_demo_compares_on_rows_that_training_never_sees() -> None:
    training, comparing = load_config(TrainConfig, "demo-train"), load_config(CompareConfig, "demo-compare")
    assert [c.corpus for c in training.corpora] == [c.corpus for c in comparing.corpora]
    assert {c.half for c in training.corpora} == {"first"}
    assert {c.half for c in comparing.corpora} == {"second"}
    assert training.episode == comparing.episode
    assert training.encoder == comparing.encoder
    assert comparing.seeds >= 32


@pytest.mark.usefixtures("no_encoder")
@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"seedz": 3}, "unknown key 'seedz'. Did you mean 'seeds'?"),
        ({"episode": {"pool_sise": 3}}, "unknown key 'episode.pool_sise'. Did you mean 'pool_size'?"),
        ({"encoder": {"modle": "x"}}, "unknown key 'encoder.modle'. Did you mean 'model'?"),
        ({"learner": {"l3": 1}}, "unknown key 'learner.l3'. Did you mean 'l2'?"),
        ({"corpora": [{"corpsu": "x", "corpus": "y"}]}, "'corpora.0.corpsu'. Did you mean 'corpus'?"),
        ({"corpora": None}, "key 'corpora' is missing"),
        ({"name": None}, "key 'name' is missing"),
        ({"name": None, "nmae": "x"}, "unknown key 'nmae'. Did you mean 'name'?"),
        ({"name": "../up"}, "name: '../up' cannot name a folder of results"),
        ({"name": ""}, "name: '' cannot name a folder of results"),
        ({"seeds": "many"}, "seeds is 'many'"),
        ({"seeds": 0}, "seeds is 0: input should be greater than or equal to 1"),
        ({"jobs": 0}, "jobs is 0"),
        ({"metrics": ["acuracy"]}, "Did you mean 'accuracy'?"),
        ({"metrics": []}, "at least one metric"),
        ({"strategies": []}, "at least one strategy"),
        ({"strategies": ["margin", "margin"]}, "strategy 'margin' is named twice; name each once"),
        ({"metrics": ["accuracy", "accuracy"]}, "metric 'accuracy' is named twice"),
        ({"strategies": "random"}, "strategies is 'random': it should be a list, as in [a, b]."),
        (
            {"episode": ["budget"]},
            "episode is ['budget']: it should hold keys and values, as in {key: value}.",
        ),
        ({"corpora": []}, "corpora is []: it should hold at least 1."),
        ({"strategies": ["random", "margn"]}, "Unknown strategy 'margn'. Did you mean 'margin'"),
        ({"strategies": ["random", "./nowhere"]}, "./nowhere is no policy folder"),
        ({"reference": "randm"}, "'randm' is not compared. Did you mean 'random'?"),
        ({"strategies": ["margin"]}, "'random' is not compared. Compared: margin; set 'reference' to one of"),
        (
            {"name": "my study"},
            "name: 'my study' cannot name a folder of results; use letters (a to z), digits",
        ),
        ({"name": "größe"}, "name: 'größe' cannot name a folder of results"),
        ({"agent": {}}, "has the key 'agent', so it is one for `react-rl train`."),
        ({"episode": {"batch_size": 500}}, "batch_size 500 is larger than the 490 unlabelled rows"),
        ({"episode": {"budget": 0}}, "episode.budget is 0"),
        ({"encoder": {"pooling": "sum"}}, "encoder.pooling is 'sum'"),
        ({"corpora": [{"corpus": "synthetic", "half": "third"}]}, "half is 'third'"),
    ],
)
def test_a_mistake_in_a_comparison_is_one_sentence_before_any_model_is_loaded(
    config_file: Build, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], sentence: str
) -> None:
    assert main(["compare", str(config_file(**changes))]) == 2
    shown = capsys.readouterr()
    assert sentence in shown.err
    assert len(shown.err.strip().splitlines()) == 1
    assert shown.out == ""
    assert not Path("results").exists()


@pytest.mark.usefixtures("no_encoder")
@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"agent": {"algoritm": "PPO"}}, "unknown key 'agent.algoritm'. Did you mean 'algorithm'?"),
        ({"agent": {"algorithm": "PPPO"}}, "agent.algorithm is 'PPPO'"),
        ({"agent": {"algorithm": "DQN"}}, "DQN cannot act in the space"),
        ({"reward": {"metric": "acuracy"}}, "Did you mean 'accuracy'?"),
        ({"reward": {"kind": "areas"}}, "reward.kind: Unknown reward 'areas'. Did you mean 'area'?"),
        ({"action_space": {"name": "choose-strategy", "features": ["margin"]}}, "features"),
        ({"action_space": {"features": ["margn"]}}, "Did you mean 'margin'"),
        ({"action_space": {"center": {"margn": 1}}}, "Did you mean 'margin'"),
        ({"action_space": {"reach": 0}}, "reach"),
        ({"action_space": {"name": "choose-strategy", "strategies": ["margn"]}}, "Did you mean 'margin'"),
        ({"strategies": ["random"]}, "has the key 'strategies', so it is one for `react-rl compare`."),
    ],
)
@pytest.mark.parametrize("flags", [[], ["--dry-run"]])
def test_a_mistake_in_a_training_is_one_sentence_before_any_model_is_loaded(
    train_file: Build,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, Any],
    sentence: str,
    flags: list[str],
) -> None:
    assert main(["train", str(train_file(**changes)), *flags]) == 2
    shown = capsys.readouterr()
    assert sentence in shown.err
    assert len(shown.err.strip().splitlines()) == 1
    assert not Path("results").exists()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("name: [\n", "is no valid YAML at line 2"),
        ("name: a\n\tseeds: 3\n", "is no valid YAML at line 2"),
        ("- a\n", "must hold keys and values, found list"),
        ("", "must hold keys and values, found nothing"),
        ("name: no\n", "name is False: input should be a valid string; in YAML, put it in quotes"),
        (
            "name: a\ncorpora: [{corpus: a.csv, label: 2024}]\n",
            "label is 2024: input should be a valid string; in YAML",
        ),
        ("name: [a]\n", "name is ['a']: input should be a valid string."),
    ],
)
def test_a_file_that_is_no_config_is_refused(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ReActError, match=r"bad\.yaml") as caught:
        load_config(CompareConfig, str(path))
    assert sentence in str(caught.value)


def test_a_config_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_bytes(b"name: \xff\xfe\n")
    with pytest.raises(ReActError, match=r"bad\.yaml"):
        load_config(CompareConfig, str(path))


def test_yaml_tags_run_no_code(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(f"name: !!python/object/apply:os.mkdir [{tmp_path}/made]\n")
    with pytest.raises(ReActError, match="no valid YAML"):
        load_config(CompareConfig, str(path))
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("demo-compar", "Did you mean 'demo-compare'"), ("no.yaml", "no.yaml does not exist")],
)
def test_a_config_that_is_not_there_is_named(name: str, sentence: str) -> None:
    with pytest.raises(ReActError, match=sentence):
        load_config(CompareConfig, name)


@pytest.mark.parametrize(
    ("arguments", "path", "value"),
    [
        (["--seeds", "7"], "seeds", 7),
        (["--seeds=7"], "seeds", 7),
        (["--first-seed", "9"], "first_seed", 9),
        (["--first_seed", "9"], "first_seed", 9),
        (["--strategies", "random", "entropy"], "strategies", ("random", "entropy")),
        (["--metrics", "macro_f1"], "metrics", ("macro_f1",)),
        (["--episode.budget", "8"], "episode.budget", 8.0),
        (["--episode.batch-size", "2", "--episode.initial", "balanced"], "episode.batch_size", 2),
        (["--encoder.max-length", "64"], "encoder.max_length", 64),
        (["--learner.l2", "0.5"], "learner.l2", 0.5),
        (["--test-size", "None"], "test_size", None),
        (["--corpora.0.corpus", "bbc_news"], "corpora.0.corpus", "bbc_news"),
        (["--corpora.0.max-rows", "90"], "corpora.0.max_rows", 90),
        (["--corpora.0.half", "second"], "corpora.0.half", "second"),
    ],
)
def test_an_override_changes_one_key_and_nothing_else(
    config_file: Build, arguments: list[str], path: str, value: Any
) -> None:
    source = str(config_file())
    plain, changed = load_config(CompareConfig, source), load_config(CompareConfig, source, arguments)
    found: Any = changed.model_dump()
    for part in path.split("."):
        found = found[int(part)] if part.isdigit() else found[part]
    assert found == value
    named = {argument.removeprefix("--").split("=")[0].replace("-", "_") for argument in arguments}

    def flat(values: Any, prefix: str = "") -> dict[str, Any]:
        if isinstance(values, dict):
            items = values.items()
        elif isinstance(values, tuple) and values and isinstance(values[0], dict):
            items = enumerate(values)  # type: ignore[assignment]
        else:
            return {prefix.rstrip("."): values}
        return {k: v for key, inner in items for k, v in flat(inner, f"{prefix}{key}.").items()}

    before, after = flat(plain.model_dump()), flat(changed.model_dump())
    assert {key for key in before if before[key] != after[key]} <= named


def test_overrides_of_a_training_reach_the_agent_and_the_action_space(train_file: Build) -> None:
    config = load_config(
        TrainConfig,
        str(train_file()),
        [
            *("--agent.algorithm", "A2C", "--agent.layers", "16", "8", "--agent.learning-rate", "0.01"),
            *("--action-space.features", "margin", "density", "--action-space.center", "margin", "0.5"),
            *("--reward.kind", "gain", "--strategy", "mine"),
        ],
    )
    assert config.agent.algorithm == "A2C"
    assert config.agent.layers == (16, 8)
    assert config.agent.learning_rate == 0.01
    assert config.agent.episodes == 8
    assert config.action_space.features == ("margin", "density")
    assert config.action_space.center == {"margin": 0.5}
    assert (config.reward.kind, config.strategy) == ("gain", "mine")


@pytest.mark.usefixtures("no_encoder")
@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["--seedz", "3"], "Did you mean 'seeds'"),
        (["--seeds", "many"], "many"),
        (["--seeds", "0"], "seeds is 0: input should be greater than or equal to 1."),
        (["--robustness.share", "2"], "robustness.share is 2.0: input should be less than or equal to 1."),
        (["--episode.budgett", "3"], "Did you mean 'budget'"),
        (["--corpora.0.lable", "kind"], "Did you mean 'label'"),
        (["--episode.batch-size", "900"], "900"),
        (["--name", "my study"], "'my study' cannot name a folder of results; use letters"),
        (["--learner", "finetune"], "'learner' is a section; name one of its keys, as in learner.kind."),
        (["--corpora", "my.csv"], "'corpora.0' is a section; name one of its keys, as in corpora.0.corpus."),
        (["stray"], "stray"),
    ],
)
def test_a_wrong_override_ends_with_status_2_and_one_sentence(
    config_file: Build, capsys: pytest.CaptureFixture[str], arguments: list[str], hint: str
) -> None:
    assert main(["compare", str(config_file()), *arguments]) == 2
    shown = capsys.readouterr().err
    assert hint in shown
    assert shown.count("\n") == 1
    assert "Traceback" not in shown
    assert not Path("results").exists()


@pytest.mark.usefixtures("no_encoder")
def test_a_wrong_override_is_said_alike_where_boxes_are_drawn_in_ascii(
    config_file: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Ascii(io.StringIO):
        encoding = "ascii"

    source = str(config_file())
    for stream in (io.StringIO(), Ascii()):
        monkeypatch.setattr("sys.stdout", stream)
        with pytest.raises(ReActError, match=r"seeds is 0: input should be greater than or equal to 1\.$"):
            load_config(CompareConfig, source, ["--seeds", "0"])


@pytest.mark.usefixtures("no_encoder")
def test_a_dry_run_says_what_would_run_and_writes_nothing(
    config_file: Build, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = config_file(seeds=5)
    assert main(["compare", str(source), "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "10 runs" in said
    assert "random, margin" in said
    assert "results/small" in said
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]


@pytest.mark.usefixtures("no_encoder")
def test_a_dry_run_counts_every_task_under_invented_labels(
    config_file: Build, capsys: pytest.CaptureFixture[str]
) -> None:
    source = config_file(seeds=5, corpora=[{"corpus": "generated:synthetic?seed=0-2"}])
    assert main(["compare", str(source), "--dry-run"]) == 0
    assert "30 runs: 2 strategies (random, margin) x 3 corpora" in capsys.readouterr().out


@pytest.mark.usefixtures("no_encoder")
@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"episode": {"pool_size": 900, "dev_size": 800}}, "pool_size 900 is larger than the"),
        (
            {"corpora": [{"corpus": "synthetic"}, {"corpus": "synthetic"}]},
            "Two corpora are called 'synthetic'",
        ),
        ({"metrics": ["entity_f1"]}, "Unknown metric of classification 'entity_f1'"),
        (
            {
                "corpora": [{"corpus": "synthetic_sentences"}],
                "learner": {"kind": "tagger"},
                "analysis": ["calibration"],
            },
            "leave 'analysis' out",
        ),
    ],
)
def test_a_dry_run_refuses_what_the_run_would_refuse(
    config_file: Build, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], sentence: str
) -> None:
    source = str(config_file(**changes))
    assert main(["compare", source, "--dry-run"]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert sentence in said
    assert main(["compare", source]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == said


@pytest.mark.usefixtures("no_encoder")
def test_a_dry_run_of_a_training_writes_nothing(
    train_file: Build, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", str(train_file()), "--dry-run"]) == 0
    assert "Would train PPO for 8 episodes on synthetic" in capsys.readouterr().out
    twice = [{"corpus": "synthetic"}, {"corpus": "synthetic"}]
    assert main(["train", str(train_file(corpora=twice)), "--dry-run"]) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]


@pytest.mark.usefixtures("no_encoder")
@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"learner": {"kind": "softmax"}}, "set learner.kind to finetune or tagger"),
        ({"reward": {"metric": "accuracy"}}, "reward.metric is 'accuracy', which is no metric of tagging"),
        ({"observation": {"metric": "accuracy"}}, "The metric that the policy observes is 'accuracy'"),
        ({"reward": {"against": "group", "group_size": 2, "metric": "task"}}, "have different prices"),
        ({"corpora": [{"corpus": "synthetic"}]}, "set learner.kind to softmax or mlp"),
        (
            {"action_space": {"name": "pick-candidate"}, "agent": {"episodes": 8, "n_envs": 2}},
            "Give the action space other 'features' or 'strategies'.",
        ),
        (
            {"validation": [{"corpus": "synthetic_questions"}]},
            "Corpus 'synthetic_questions' is of question-answering, which the learner",
        ),
        (
            {
                "corpora": [{"corpus": "synthetic"}, {"corpus": "synthetic_sentences"}],
                "agent": {"n_envs": 1, "episodes": 8},
            },
            "1 episodes side by side are fewer than the 2 tasks",
        ),
    ],
)
def test_a_training_refuses_what_does_not_fit_its_task_before_it_encodes(
    train_file: Build, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], sentence: str
) -> None:
    asked: dict[str, Any] = {
        "corpora": [{"corpus": "synthetic_sentences"}],
        "learner": {"kind": "tagger"},
        "reward": {"metric": "task"},
        "episode": {"pool_size": 60, "dev_size": 30, "initial_size": 5, "budget": 50, "batch_size": 4},
    }
    source = str(train_file(**asked | changes))
    for more in (["--dry-run"], []):
        assert main(["train", source, *more]) == 2
        assert sentence in capsys.readouterr().err.splitlines()[-1]


def test_configs_are_frozen(config_file: Build) -> None:
    config = load_config(CompareConfig, str(config_file()))
    with pytest.raises(ValueError, match="frozen"):
        config.seeds = 3


@pytest.mark.parametrize("packaged", ["demo-train", "several-tasks"])
def test_policies_of_a_packaged_training_are_called_as_it_is_named(packaged: str) -> None:
    config = load_config(TrainConfig, packaged, ["--name", "mine"])
    assert (config.strategy or config.name) == "mine"


@pytest.mark.parametrize(
    ("override", "said"),
    [
        (
            ["--episode.phases", "[1, 2]"],
            r"the parts of a list follow each other without brackets \(\[1, 2\]\)",
        ),
        (["--strategies", "[random, margin]"], r"without brackets \(\[random, margin\]\)"),
        (["--episode.phases", "{a: 2}"], "mappings go into the YAML file"),
        (["--episode.confusion", "{a: 0.2}"], r"episode.confusion is {'a': 0.2}: class 'a' is given 0.2"),
        (["--episode.confusion", "{a: "], "Override --episode.confusion is no valid YAML"),
        (["--episode.confusion", "smilar"], "did you mean 'similar'"),
    ],
)
def test_lists_and_mappings_that_the_command_line_cannot_read_are_said_in_a_sentence(
    override: list[str], said: str
) -> None:
    with pytest.raises(ReActError, match=said):
        load_config(CompareConfig, "demo-compare", override)


def test_confusion_is_a_mapping_on_the_command_line_as_in_yaml() -> None:
    rates = {"positive": {"neutral": 0.2}, "negative": {"neutral": 0.1}}
    given = ["--episode.confusion", "{positive: {neutral: 0.2}, negative: {neutral: 0.1}}"]
    assert load_config(CompareConfig, "demo-compare", given).episode.confusion == rates
    similar = ["--episode.label-noise", "0.1", "--episode.confusion", "similar"]
    assert load_config(CompareConfig, "demo-compare", similar).episode.confusion == "similar"
    assert (
        load_config(CompareConfig, "demo-compare", ["--episode.confusion", "null"]).episode.confusion is None
    )
