"""The command `react-rl`: listings, cache, plot, training, a user's own file, exit statuses."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from react_rl import __version__
from react_rl.acquisition import STRATEGIES
from react_rl.agents.scorer_folder import pretrained_folder
from react_rl.data.registry import CORPORA
from react_rl.encoders.cache import ArrayCache
from react_rl.errors import ReActError
from react_rl.experiments.cli import main
from react_rl.learners.recipes import RECIPES
from react_rl.learners.registry import LEARNERS

Build = Callable[..., Path]
Shown = pytest.CaptureFixture[str]


def status_of(arguments: list[str]) -> int:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    return int(stop.value.code or 0)


def test_help_comes_without_loading_torch_and_quickly() -> None:
    program = """
import sys
from react_rl.experiments.cli import main
try:
    main(["--help"])
except SystemExit as stop:
    assert stop.code == 0
heavy = {"torch", "transformers", "stable_baselines3", "matplotlib", "pandas", "tyro"} & set(sys.modules)
assert not heavy, heavy
"""
    seconds = []
    for _ in range(2):
        before = os.times()
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
        after = os.times()
        # Of the processor, since others may keep it busy.
        seconds.append(sum(after[2:4]) - sum(before[2:4]))
        assert done.returncode == 0, done.stderr
        for command in ("demo", "train", "compare", "plot", "list", "cache"):
            assert command in done.stdout
    # The first start may have to read the files from a cold disk.
    assert min(seconds) < 3


@pytest.mark.parametrize("command", ["demo", "train", "compare", "plot", "list", "cache"])
def test_every_command_explains_itself(command: str, capsys: Shown) -> None:
    assert status_of([command, "--help"]) == 0
    assert f"usage: react-rl {command}" in capsys.readouterr().out


def test_the_version_is_the_package_s(capsys: Shown) -> None:
    assert status_of(["--version"]) == 0
    assert capsys.readouterr().out.strip() == f"react-rl {__version__}"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["comapre", "x"],
        ["compare"],
        ["list", "corpus"],
        ["list", "corpora", "--fast"],
        ["cache", "--claer"],
    ],
)
def test_a_wrong_command_line_ends_with_status_2(arguments: list[str], capsys: Shown) -> None:
    assert status_of(arguments) == 2
    shown = capsys.readouterr()
    assert "usage: react-rl" in shown.err
    assert shown.out == ""


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("corpora", list(CORPORA)),
        ("strategies", [*STRATEGIES, "Sener & Savarese 2018"]),
        ("recipes", [*RECIPES, "Zhou et al. 2004", "softmax"]),
        ("learners", [*LEARNERS, "question-answering", "committee", "l2-loo", "freelb"]),
        ("envs", ["react_rl:ReActRL/Labeling-v0", "weigh-scores", "pick-candidate", "context"]),
        ("algorithms", ["MaskablePPO", "Huang", "BoltzmannDQN", "deep-sets"]),
        ("configs", ["demo-train", "demo-compare"]),
        ("policies", ["No policy below results; `react-rl train` makes one."]),
    ],
)
def test_list_names_all_there_is(
    what: str, words: list[str], capsys: Shown, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["list", what]) == 0
    shown = capsys.readouterr()
    assert all(word in shown.out for word in words), shown.out
    assert shown.err == ""
    assert list(tmp_path.iterdir()) == []


def test_the_cache_is_shown_and_cleared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Shown
) -> None:
    folder = tmp_path / "cache"
    monkeypatch.setenv("REACT_RL_CACHE", str(folder))
    assert main(["cache"]) == 0
    assert "0 entries" in capsys.readouterr().out
    cache = ArrayCache()
    for i, name in enumerate(("one", "two\x1b[2J")):
        numbers = np.zeros(2**18, dtype=np.float32)
        cache.put(str(i) * 64, {"embeddings": numbers}, {"kind": "embeddings", "corpus": name})
    (folder / ("f" * 64 + ".safetensors")).write_bytes(b"broken")
    assert main(["cache"]) == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    for word in ("embeddings", "one", r"two\x1b[2J", "damaged", "1.0", "3 entries", "2.0 MiB"):
        assert word in shown
    (folder / "keep.txt").write_text("mine")
    assert main(["cache", "--clear"]) == 0
    assert "3 entries" in capsys.readouterr().out
    assert [file.name for file in folder.iterdir()] == ["keep.txt"]


def test_plot_of_a_folder_that_is_no_comparison_is_refused(tmp_path: Path, capsys: Shown) -> None:
    (tmp_path / "file").write_text("x")
    for name in ("absent", "", "file"):
        assert main(["plot", str(tmp_path / name)]) == 2
        shown = capsys.readouterr()
        assert "holds no comparison (no plan.json)" in shown.err
        assert len(shown.err.strip().splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_reader_that_goes_away_is_no_error() -> None:
    start = "import sys; from react_rl.experiments.cli import main"
    program = f"{start}; sys.exit(main(['list', 'strategies']))"
    done = subprocess.run(
        ["bash", "-c", f'set -o pipefail; "{sys.executable}" -c "{program}" | true'],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


@pytest.mark.usefixtures("made_corpora")
def test_results_that_cannot_be_written_are_one_sentence(
    config_file: Build, tmp_path: Path, capsys: Shown
) -> None:
    (tmp_path / "taken").write_text("a file")
    assert main(["compare", str(config_file()), "--results", str(tmp_path / "taken")]) == 2
    shown = capsys.readouterr().err
    assert "taken/small cannot be written: a file is where a folder is needed." in shown
    assert "Traceback" not in shown


@pytest.mark.usefixtures("made_corpora")
def test_compare_prints_the_table_and_where_the_figures_lie(config_file: Build, capsys: Shown) -> None:
    assert main(["compare", str(config_file())]) == 0
    shown = capsys.readouterr().out
    assert "4 runs played, 0 kept from before, 0 failed." in shown
    assert "test accuracy, 2 paired seeds" in shown
    for line in (
        "random",
        "margin",
        "Figures: ",
        "learning_curves.png",
        "areas.png",
        "Tables: ",
        "summary.csv",
    ):
        assert line in shown
    folder = Path("results/small")
    for name in ("learning_curves", "areas"):
        assert (folder / f"{name}.png").is_file()
        assert (folder / f"{name}.svg").is_file()
    assert main(["compare", str(config_file())]) == 0
    assert "0 runs played, 4 kept from before (random 2, margin 2), 0 failed." in capsys.readouterr().out


@pytest.mark.usefixtures("made_corpora")
def test_a_trained_policy_is_listed_and_compared_like_any_other_strategy(
    train_file: Build, config_file: Build, capsys: Shown
) -> None:
    assert main(["train", str(train_file(name="mine", strategy="my policy"))]) == 0
    shown = capsys.readouterr().out
    assert "Policy: results/mine/policy" in shown
    assert "Validation area" in shown
    folder = Path("results/mine")
    assert sorted(file.name for file in (folder / "policy").iterdir()) == ["card.json", "policy.safetensors"]
    assert json.loads((folder / "train.json").read_text())["agent"]["episodes"] == 8
    assert "git_commit" in json.loads((folder / "train-circumstances.json").read_text())

    assert main(["list", "policies"]) == 0
    listed = capsys.readouterr().out
    assert "results/mine/policy" in listed
    assert "weigh-scores" in listed

    config = str(config_file(strategies=["random", "results/mine/policy"]))
    assert main(["compare", config]) == 0
    assert "my policy" in capsys.readouterr().out
    runs = [json.loads(file.read_text()) for file in Path("results/small/runs").glob("*my-policy*")]
    assert len(runs) == 2
    for run in runs:
        assert run["features"] == ["margin", "entropy", "density", "novelty", "balance"]
        assert np.asarray(run["weights"]).shape == (3, 5)
    assert Path("results/small/policy_weights.svg").is_file()
    curves = pd.read_csv("results/small/curves.csv")
    assert curves.loc[curves["strategy"] == "my policy", "weight:margin"].notna().sum() == 6
    assert curves.loc[curves["strategy"] == "random", "weight:margin"].isna().all()


def test_the_folder_of_a_policy_is_listed_whole(
    tmp_path: Path, capsys: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Path("results", "a-study-of-many-trials", "trials", "0002", "policy")
    shutil.copytree(pretrained_folder("imitated"), folder)
    assert main(["list", "policies"]) == 0
    assert f"\n{folder} " in capsys.readouterr().out


@pytest.mark.usefixtures("made_corpora")
def test_a_policy_that_was_trained_again_is_played_again(
    train_file: Build, config_file: Build, capsys: Shown
) -> None:
    for seed in (0, 1):
        assert main(["train", str(train_file(name="mine")), "--agent.seed", str(seed), "--overwrite"]) == 0
        capsys.readouterr()
        assert main(["compare", str(config_file(strategies=["random", "results/mine/policy"]))]) == 0
        kept = 2 * seed
        assert f"{4 - kept} runs played, {kept} kept from before" in capsys.readouterr().out


@pytest.mark.usefixtures("made_corpora")
def test_training_with_the_command_twice_gives_the_same_files(train_file: Build, tmp_path: Path) -> None:
    config = str(train_file())
    for name in ("one", "two"):
        assert main(["train", config, "--results", str(tmp_path / name)]) == 0
    for file in ("policy/card.json", "policy/policy.safetensors", "validation.csv", "train.json"):
        assert (tmp_path / "one/small" / file).read_bytes() == (tmp_path / "two/small" / file).read_bytes()


@pytest.mark.slow
def test_a_user_compares_strategies_on_a_csv_of_their_own_with_the_real_encoder(
    reviews: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Shown
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text(
        "name: mine\n"
        "corpora:\n"
        "  - corpus: reviews.csv\n"
        "strategies: [random, margin]\n"
        "seeds: 4\n"
        "episode: {pool_size: 80, dev_size: 25, initial_size: 4, budget: 20, batch_size: 5}\n"
    )
    assert main(["compare", "mine.yaml", "--jobs", "1"]) == 0
    shown = capsys.readouterr()
    assert "8 runs played, 0 kept from before, 0 failed." in shown.out
    assert "reviews: test accuracy, 4 paired seeds" in shown.out
    summary = pd.read_csv("results/mine/summary.csv").set_index("strategy")
    assert (summary["final"] > 0.8).all(), "the words separate the classes, so MiniLM must too"
    assert main(["cache"]) == 0
    assert "reviews" in capsys.readouterr().out
    first = {file.name: file.read_bytes() for file in Path("results/mine/runs").iterdir()}
    assert main(["compare", "mine.yaml", "--jobs", "1", "--results", "again"]) == 0
    assert {file.name: file.read_bytes() for file in Path("again/mine/runs").iterdir()} == first
    assert main(["compare", "mine.yaml", "--jobs", "1", "--seeds", "3", "--results", "fewer"]) == 0
    fewer = {file.name: file.read_bytes() for file in Path("fewer/mine/runs").iterdir()}
    assert len(fewer) == 6
    assert fewer.items() <= first.items(), "a run does not depend on how many are played beside it"


def test_an_error_of_ours_is_one_line_on_stderr(monkeypatch: pytest.MonkeyPatch, capsys: Shown) -> None:
    def fail(*_: Any) -> int:
        raise ReActError("This went wrong; do that.")

    monkeypatch.setattr("react_rl.experiments.cli.command._run", fail)
    assert main(["list", "corpora"]) == 2
    assert capsys.readouterr().err == "react-rl: This went wrong; do that.\n"
