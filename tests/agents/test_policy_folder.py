"""A policy folder holds weights and a card, is never unpickled, and says in one sentence what is wrong."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from react_rl.agents import LearnedStrategy, find_policies, is_policy, load_policy, read_card
from react_rl.agents.folder import save_policy
from react_rl.errors import ReActError
from react_rl.simulation import LabelingEngine, synthetic_encoded


@pytest.fixture
def copy(trained: Any, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained.policy, tmp_path / "copy"))


def refused(folder: Path) -> str:
    with pytest.raises(ReActError) as caught:
        LearnedStrategy.load(folder)
    message = str(caught.value)
    assert "\n" not in message
    assert folder.name in message
    return message


def change_card(folder: Path, **changes: Any) -> None:
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps(card | changes))


def test_the_folder_holds_safetensors_and_a_card_and_nothing_else(trained: Any, trained_chooser: Any) -> None:
    for one in (trained, trained_chooser):
        assert sorted(file.name for file in one.policy.iterdir()) == ["card.json", "policy.safetensors"]
        assert all(
            weight.isfinite().all() for weight in load_file(one.policy / "policy.safetensors").values()
        )


def test_loading_unpickles_nothing(
    trained: Any, trained_chooser: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*_: Any, **__: Any) -> Any:
        raise AssertionError("unpickled")

    for module, name in ((pickle, "load"), (pickle, "loads"), (pickle, "Unpickler"), (torch, "load")):
        monkeypatch.setattr(module, name, forbidden)
    monkeypatch.setattr("cloudpickle.load", forbidden)
    monkeypatch.setattr("cloudpickle.loads", forbidden)
    for one in (trained, trained_chooser):
        assert LearnedStrategy.load(one.policy).name == one.card.name


def test_a_loaded_policy_has_the_weights_that_were_saved(trained: Any, tmp_path: Path) -> None:
    policy, _, card = load_policy(trained.policy)
    save_policy(tmp_path / "again", policy, card)
    for name in ("card.json", "policy.safetensors"):
        assert (tmp_path / "again" / name).read_bytes() == (trained.policy / name).read_bytes()


def test_saving_leaves_the_weights_of_the_policy_alone(trained: Any, tmp_path: Path) -> None:
    policy, _, card = load_policy(trained.policy)
    before = {name: value.clone() for name, value in policy.state_dict().items()}
    save_policy(tmp_path / "again", policy, card)
    assert all(torch.equal(value, before[name]) for name, value in policy.state_dict().items())
    assert policy.state_dict().keys() == before.keys()


@pytest.mark.parametrize("size", [0, 7, 200, -1])
def test_weights_cut_short_are_refused(copy: Path, size: int) -> None:
    whole = (copy / "policy.safetensors").read_bytes()
    (copy / "policy.safetensors").write_bytes(whole[:size])
    assert "cannot be read" in refused(copy)


def test_missing_weights_are_refused(copy: Path) -> None:
    (copy / "policy.safetensors").unlink()
    assert "cannot be read" in refused(copy)


def test_weights_of_another_network_are_refused(copy: Path, trained_chooser: Any) -> None:
    shutil.copy(trained_chooser.policy / "policy.safetensors", copy)
    assert "cannot be read" in refused(copy)


def test_weights_that_are_no_numbers_are_refused(copy: Path) -> None:
    weights = load_file(copy / "policy.safetensors")
    name = next(iter(weights))
    weights[name] = torch.full_like(weights[name], torch.nan)
    save_file(weights, copy / "policy.safetensors")
    assert name in refused(copy)


def test_a_pickle_in_place_of_the_weights_is_refused_and_not_run(copy: Path) -> None:
    torch.save({"a": torch.zeros(2)}, copy / "policy.safetensors")
    assert "cannot be read" in refused(copy)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "\ufeff{}", '{"format": 1}', '{"format": 1, "name": 3}', "NaN"],
)
def test_a_damaged_card_is_refused(copy: Path, text: str) -> None:
    (copy / "card.json").write_text(text)
    refused(copy)


def test_a_card_that_is_no_text_is_refused(copy: Path) -> None:
    (copy / "card.json").write_bytes(b"\xff\xfe\x00{")
    assert "it is UTF-16, not UTF-8" in refused(copy)


def test_a_card_of_another_format_is_refused_by_its_number(copy: Path) -> None:
    change_card(copy, format=99)
    assert "format 99; this version reads format 1" in refused(copy)


def test_a_folder_without_a_card_is_no_policy(copy: Path) -> None:
    assert is_policy(copy)
    (copy / "card.json").unlink()
    assert not is_policy(copy)
    assert "it has no card.json" in refused(copy)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"algorithm": "REINFORCE"}, "algorithm"),
        ({"observation": {"name": "context", "numbers": 3, "metric": "accuracy"}}, "train it again"),
        ({"observation": {"name": "context", "numbers": 22, "metric": "acuracy"}}, "Did you mean 'accuracy'"),
        ({"observation": {"name": "contexts"}}, "Did you mean 'context'"),
        ({"action_space": {"name": "weigh-score"}}, "Did you mean 'weigh-scores'"),
        ({"action_space": {"name": "weigh-scores", "features": ["margn"]}}, "Did you mean 'margin'"),
        ({"action_space": {"name": "weigh-scores", "speed": 2}}, "speed"),
        ({"action_space": {"name": "weigh-scores", "features": 5}}, "damaged"),
        ({"action_space": {"name": "weigh-scores", "center": ["margin"]}}, "damaged"),
        ({"network": {"net_arch": [9]}}, "cannot be read"),
        ({"network": {"layers": [8]}}, "cannot be read"),
        ({"network": {"net_arch": "wide"}}, "cannot be read"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_a_card_that_does_not_fit_is_refused(copy: Path, changes: dict[str, Any], sentence: str) -> None:
    change_card(copy, **changes)
    assert sentence in refused(copy)


def test_a_card_cannot_make_the_network_run_code(copy: Path) -> None:
    """Arguments of the network that name classes or functions must not reach it."""
    change_card(copy, network={"net_arch": [8], "optimizer_class": "torch.optim.SGD"})
    assert "cannot be read" in refused(copy)


def test_policies_are_found_below_a_folder_and_damaged_ones_named(trained: Any, tmp_path: Path) -> None:
    for name in ("b", "a", "broken", "nameless", "pointless"):
        shutil.copytree(trained.policy, tmp_path / name / "policy")
    (tmp_path / "broken" / "policy" / "card.json").write_text("{")
    change_card(tmp_path / "nameless" / "policy", action_space={})
    change_card(tmp_path / "pointless" / "policy", validation=[{"episodes": 1}])
    found = find_policies([tmp_path, tmp_path / "absent"])
    assert [(folder, card.name) for folder, card in found.whole] == [
        (tmp_path / "a" / "policy", "weigher"),
        (tmp_path / "b" / "policy", "weigher"),
    ]
    broken, nameless, pointless = found.damaged
    assert "broken/policy/card.json is no valid JSON" in broken
    assert "nameless/policy/card.json is damaged: action_space: it has no 'name'." in nameless
    assert "pointless/policy/card.json is damaged: validation: measurement 1 has no 'area'." in pointless


def test_a_loaded_policy_selects_what_the_trained_one_selected(
    small_training: Any, tmp_path: Path, trained: Any
) -> None:
    """The card's area was measured on the policy in memory; the loaded one must select the same rows."""
    loaded = LearnedStrategy.load(trained.policy)
    areas = trained.validation.areas(loaded)
    assert round(float(areas.mean()), 6) == max(point["area"] for point in trained.card.validation)
    assert (areas == trained.validation.areas(LearnedStrategy.load(trained.policy))).all()


def test_saving_and_loading_changes_no_selection(trained: Any, trained_chooser: Any, tmp_path: Path) -> None:
    for one in (trained, trained_chooser):
        policy, interface, card = load_policy(one.policy)
        with torch.no_grad():
            for weight in policy.parameters():
                weight.mul_(3.0)
        in_memory = LearnedStrategy("changed", policy, interface)
        save_policy(tmp_path / one.card.name, policy, card)
        on_disk = LearnedStrategy.load(tmp_path / one.card.name)
        picked = [selection(strategy) for strategy in (in_memory, on_disk)]
        assert torch.equal(*picked)


def test_a_card_is_read_without_the_weights(copy: Path) -> None:
    (copy / "policy.safetensors").unlink()
    assert read_card(copy).name == "weigher"


def selection(strategy: LearnedStrategy) -> torch.Tensor:
    from react_rl.seeding import Streams
    from react_rl.simulation import EpisodeOptions

    options = EpisodeOptions(pool_size=40, dev_size=30, initial_size=4, budget=12, batch_size=4)
    engine = LabelingEngine([synthetic_encoded(200, 3)], options, 6)
    engine.reset([Streams(seed) for seed in range(6)])
    rounds = []
    while not engine.finished.all():
        rounds.append(strategy.select(engine.view, 4))
        engine.step(rounds[-1])
        engine.stop((rounds[-1] < 0).all(1).numpy())
    return torch.stack(rounds)


def test_the_weights_have_the_mode_of_other_files(trained: Any, tmp_path: Path) -> None:
    policy, _, card = load_policy(trained.policy)
    before = os.umask(0o022)
    try:
        save_policy(tmp_path / "policy", policy, card)
    finally:
        os.umask(before)
    assert {file.stat().st_mode & 0o777 for file in (tmp_path / "policy").iterdir()} == {0o644}
    assert len(list((tmp_path / "policy").iterdir())) == 2


def test_weights_that_may_not_be_read_are_not_called_missing(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Path.open

    def forbidden(self: Path, *arguments: Any, **options: Any) -> Any:
        if self.name == "policy.safetensors":
            raise PermissionError(13, "Permission denied", str(self))
        return whole(self, *arguments, **options)

    monkeypatch.setattr(Path, "open", forbidden)
    assert "policy.safetensors cannot be read: Permission denied" in refused(copy)
