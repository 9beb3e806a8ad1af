"""Networks over candidates: scores move with the candidates, forbidden ones are never wanted."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch

from react_rl.agents.networks.candidates import FORBIDDEN, CandidateNetwork
from react_rl.agents.networks.registry import NETWORKS, assembled, network_named, policy_class, usual_network
from react_rl.errors import ReActError

BOXES = gymnasium.spaces
CANDIDATE_NETWORKS = sorted(name for name, entry in NETWORKS.items() if entry.extractor is not None)
every_network = pytest.mark.parametrize("name", CANDIDATE_NETWORKS)


def space(candidates: int) -> gymnasium.spaces.Dict:
    return BOXES.Dict(
        {
            "context": BOXES.Box(-5, 5, (7,), np.float32),
            "candidates": BOXES.Box(-4, 4, (candidates, 5), np.float32),
            "mask": BOXES.MultiBinary(candidates),
        }
    )


def network(name: str, candidates: int = 6, stop: bool = False) -> CandidateNetwork:
    torch.manual_seed(0)
    extractor = NETWORKS[name].extractor
    assert extractor is not None
    made = extractor(space(candidates), stop).eval()
    for weights in made.parameters():  # some begin at zero
        torch.nn.init.normal_(weights, std=0.3)
    return made


def observed(candidates: int = 6, there: int = 4) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    rows = torch.randn(3, candidates, 5, generator=generator)
    mask = torch.zeros(3, candidates)
    mask[:, :there] = 1.0
    return {
        "context": torch.randn(3, 7, generator=generator),
        "candidates": rows * mask[:, :, None],
        "mask": mask,
    }


@every_network
def test_scores_move_with_the_candidates_and_the_state_stays(name: str) -> None:
    made, seen = network(name), observed()
    order = torch.tensor([2, 0, 5, 1, 3, 4])
    moved = seen | {key: seen[key][:, order] for key in ("candidates", "mask")}
    one, other = made(seen), made(moved)
    torch.testing.assert_close(other[:, :6], one[:, :6][:, order])
    torch.testing.assert_close(other[:, 6:], one[:, 6:])


@every_network
def test_forbidden_candidates_are_never_wanted_and_change_nothing(name: str) -> None:
    wide, narrow = network(name, 6), network(name, 4)
    narrow.load_state_dict(wide.state_dict())
    one, other = (
        wide(observed(6)),
        narrow({k: v if k == "context" else v[:, :4] for k, v in observed(6).items()}),
    )
    assert (one[:, 4:6] == FORBIDDEN).all()
    torch.testing.assert_close(one[:, :4], other[:, :4])
    torch.testing.assert_close(one[:, 6:], other[:, 4:])


@every_network
def test_an_empty_pool_gives_finite_numbers(name: str) -> None:
    assert torch.isfinite(network(name, stop=True)(observed(there=0))).all()


@every_network
def test_stopping_has_a_score_of_its_own(name: str) -> None:
    made = network(name, stop=True)
    scores = made(observed())
    assert scores.shape == (3, 6 + 1 + 48)
    assert (scores[:, 6] != FORBIDDEN).all()


@every_network
@pytest.mark.parametrize("algorithm", ["PPO", "MaskablePPO", "DQN"])
def test_the_likeliest_action_is_the_one_that_the_network_scores_highest(name: str, algorithm: str) -> None:
    spaces = (space(6), BOXES.Discrete(6))
    kind, arguments = assembled(algorithm, {"name": name, "net_arch": [8]}, *spaces, imports=False)
    policy: Any = kind(*spaces, lr_schedule=lambda _: 0.0, **arguments)
    extractor = policy.q_net.features_extractor if algorithm == "DQN" else policy.features_extractor
    for weights in extractor.parameters():
        torch.nn.init.normal_(weights, std=0.3)
    seen = observed()
    actions, _ = policy.predict({key: value.numpy() for key, value in seen.items()}, deterministic=True)
    assert actions.tolist() == extractor(seen)[:, :6].argmax(1).tolist()
    assert (actions < 4).all()


@pytest.mark.parametrize(
    ("name", "algorithm", "seen", "sentence"),
    [
        ("scorr", "PPO", space(4), "Unknown network 'scorr'. Did you mean 'scorer'"),
        ("scorer", "PPO", BOXES.Box(-1, 1, (3,)), "does not have; set agent.network to 'mlp'"),
        ("scorer", "QRDQN", space(4), "cannot be trained by QRDQN; use PPO, A2C"),
    ],
)
def test_what_does_not_fit_is_refused(name: str, algorithm: str, seen: Any, sentence: str) -> None:
    with pytest.raises(ReActError, match=sentence):
        policy_class(name, algorithm, seen)


def test_what_is_no_network_is_refused() -> None:
    with pytest.raises(ReActError, match=r"derived from react_rl.agents.networks.CandidateNetwork"):
        network_named("torch.nn:Linear")


def test_candidates_are_scored_unless_the_algorithm_cannot() -> None:
    assert usual_network(space(4), "MaskablePPO") == "scorer"
    assert usual_network(space(4), "QRDQN") == "mlp"
    assert usual_network(BOXES.Box(-1, 1, (3,)), "PPO") == "mlp"
