"""Fine-tuning from phase to phase: information and pull by hand, what is learned from, resuming."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from react_rl.acquisition import make_strategy
from react_rl.data import drifting, synthetic_corpus
from react_rl.data.synthetic import synthetic_embeddings
from react_rl.errors import ReActError
from react_rl.learners.finetune.methods.network import Network, Texts
from react_rl.learners.finetune.phase_adapters import PhaseAdapters
from react_rl.learners.finetune.phases import FineTuneInPhases
from react_rl.learners.finetune.settings import FineTuneSettings
from react_rl.learners.finetune.training.anchoring import pull
from react_rl.learners.finetune.training.holding import Held, information
from react_rl.learners.recipes import make_recipe
from react_rl.seeding import Streams
from react_rl.simulation import EncodedCorpus, EpisodeOptions, LabelingEngine
from react_rl.simulation.checkpoint import Checkpoint, Notes
from react_rl.simulation.play import play

Settings = Callable[..., FineTuneSettings]
OPTIONS = EpisodeOptions(pool_size=40, dev_size=20, initial_size=4, budget=16, batch_size=4)
KINDS = ("sequential", "replay", "ewc", "lwf", "adapters")
LORA = {"method": "lora", "layers": 1, "steps": 3, "dropout": 0.1, "learning_rate": 5e-3}


def test_the_pull_of_important_weights_by_hand() -> None:
    # Half of 2 sum F (w - w*)^2 with F = (1, 3), w - w* = (.5, -2): its slope is 2 F (w - w*).
    gradient = torch.tensor([[10.0, 20.0]])
    pull(gradient, torch.tensor([[1.0, -1.0]]), torch.tensor([[0.5, 1.0]]), 2.0, torch.tensor([[1.0, 3.0]]))
    torch.testing.assert_close(gradient, torch.tensor([[11.0, 8.0]]))


def test_information_of_a_head_by_hand(finetuning: Settings) -> None:
    network = Network(finetuning(method="head", dropout=0.0), 3)
    weights = network.begin(torch.tensor([3, 4]))
    weights["head.out.weight"] = torch.randn(
        2, 3, network.hidden_size, generator=torch.Generator().manual_seed(0)
    )
    states = torch.randn(2, 2, network.hidden_size, generator=torch.Generator().manual_seed(1))

    def rectangle(chosen: Any) -> Texts:
        hidden = torch.stack([states[r, place] for r, place in enumerate(chosen[:, 0])])[:, None]
        return Texts(torch.ones(2, 1, dtype=torch.bool), hidden=hidden.to(network.dtype))

    chance = torch.tensor([[0.1, 0.9], [0.5, 0.5]])
    mask = torch.tensor([[True, True, True], [True, True, False]])
    found = information(network, weights, mask, rectangle, np.array([2, 1]), chance)
    for r, count in enumerate((2, 1)):
        expected = torch.zeros(3, network.hidden_size)
        for place in range(count):
            vector = states[r, place].to(network.dtype).float()
            scores = torch.where(
                mask[r], weights["head.out.weight"][r] @ vector + weights["head.out.bias"][r], -1e30
            )
            p = torch.softmax(scores, 0)
            label = int((p.cumsum(0) <= chance[r, place]).sum())
            slope = torch.nn.functional.one_hot(torch.tensor(label), 3) - p
            expected += (slope[:, None] * vector).square()
        torch.testing.assert_close(found["head.out.weight"][r], expected, rtol=0.05, atol=1e-2)


def test_a_teacher_says_what_it_said_of_each_text() -> None:
    held = Held(teacher=torch.arange(12.0).view(2, 3, 2), classes=torch.ones(2, 2, dtype=torch.bool))
    found = held.said_of(torch.tensor([[2, 0], [1, 1]]))
    assert found is not None
    assert found.tolist() == [[[4, 5], [0, 1]], [[8, 9], [8, 9]]]
    assert Held().said_of(torch.tensor([[0]])) is None


@pytest.fixture
def stream() -> EncodedCorpus:
    corpus = drifting(synthetic_corpus(n_rows=300, n_classes=4, seed=4), 2)
    return EncodedCorpus.build(corpus, synthetic_embeddings(corpus, seed=4))


def begun(stream: EncodedCorpus, settings: FineTuneSettings, n: int = 2, **recipe: Any) -> LabelingEngine:
    told = {"continual": recipe} if recipe else {}
    engine = LabelingEngine([stream], OPTIONS, n, ["accuracy"], settings.following(make_recipe(told)))
    engine.reset([Streams(seed) for seed in range(n)])
    return engine


def learner_of(engine: LabelingEngine) -> FineTuneInPhases:
    assert isinstance(engine.learner, FineTuneInPhases)
    return engine.learner


def played(engine: LabelingEngine, rounds: int = 4) -> list[Tensor]:
    """Scores of all columns after each round."""
    found = []
    for _, turn in zip(range(rounds), play(engine, make_strategy("random")), strict=False):
        assert turn.running.all()
        found.append(engine.learner.logits_of(slice(None)).clone())
    return found


@pytest.mark.parametrize("kind", ["sequential", "ewc"])
def test_until_the_second_phase_all_kinds_learn_alike(
    kind: str, finetuning: Settings, stream: EncodedCorpus
) -> None:
    ways: list[dict[str, Any]] = [{}, {"kind": kind, "strength": 1e4}]
    joint, other = (played(begun(stream, finetuning(**LORA), **told)) for told in ways)
    for before, now in zip(joint[:1], other[:1], strict=True):
        assert torch.equal(before, now)
    assert not torch.allclose(joint[-1], other[-1], atol=1e-4)


def test_a_round_learns_from_the_labels_that_its_kind_may_see(
    finetuning: Settings, stream: EncodedCorpus
) -> None:
    seen = {}
    for kind in ("sequential", "replay", "joint"):
        engine = begun(stream, finetuning(**LORA), 1, kind=kind, share=0.25)
        sizes = []
        for _ in play(engine, make_strategy("random")):
            sizes.append(len(learner_of(engine)._columns.answers(0)[0]))
        seen[kind] = sizes
    # 4 initial labels and two rounds of 4, then the second phase.
    assert seen["joint"] == [8, 12, 16, 20]
    assert seen["sequential"] == [8, 12, 4, 8]
    assert seen["replay"] == [8, 12, 4 + 3, 8 + 3]


def moved(engine: LabelingEngine) -> float:
    learner = learner_of(engine)
    parts = [(learner._weights[name] - array).square().sum() for name, array in learner._begun.items()]
    return float(torch.stack(parts).sum().sqrt())


def test_important_weights_stay_where_the_phase_began(finetuning: Settings, stream: EncodedCorpus) -> None:
    free = begun(stream, finetuning(**LORA), kind="ewc", strength=0.0)
    alone = begun(stream, finetuning(**LORA), kind="sequential")
    held = begun(stream, finetuning(**LORA), kind="ewc", strength=1e6)
    ends = [played(engine)[-1] for engine in (free, alone, held)]
    assert torch.equal(ends[0], ends[1]), "without a penalty nothing holds"
    assert moved(held) < 0.8 * moved(free)
    information = learner_of(held)._information
    assert all(bool((array >= 0).all()) for array in information.values())
    assert float(torch.stack([array.sum() for array in information.values()]).sum()) > 0


def test_outputs_stay_near_those_before_the_phase(finetuning: Settings, stream: EncodedCorpus) -> None:
    def drift(**told: Any) -> float:
        calm = LORA | {"steps": 24, "dropout": 0.0, "learning_rate": 1e-2}
        engine = begun(stream, finetuning(**calm), 1, **told)
        played(engine, 2)
        before, seen = engine.scores(np.arange(300)), learner_of(engine)._seen[0]
        taught = [turn.round.ids[0] for turn in play(engine, make_strategy("random"))]
        p, q = (torch.softmax(one[0][seen], 0) for one in (before, engine.scores(np.arange(300))))
        return float((p - q)[:, np.concatenate(taught)].abs().mean())

    assert drift(kind="lwf", distillation=1000.0) < 0.5 * drift(kind="sequential")


@pytest.mark.parametrize(("kind", "restart"), [*((kind, "reset") for kind in KINDS), ("ewc", "warm")])
def test_episodes_go_on_from_a_file_in_the_second_phase(
    kind: str, restart: str, finetuning: Settings, stream: EncodedCorpus, tmp_path: Path
) -> None:
    settings = finetuning(**LORA, restart=restart)
    whole, file = begun(stream, settings, kind=kind), Checkpoint(tmp_path / "file", "key")
    played(whole, 3)
    file.save([whole], Notes())
    again = LabelingEngine([stream], OPTIONS, 2, ["accuracy"], whole.learner_settings)
    assert file.restore([again], [Streams(seed) for seed in range(2)], [0, 0]) is not None
    (end,), (repeated,) = played(whole, 1), played(again, 1)
    assert torch.equal(end, repeated)
    assert torch.equal(whole.ledger.columns, again.ledger.columns)


def scores_of(engine: LabelingEngine, adapters: PhaseAdapters, phase: int | None, rows: Any) -> Tensor:
    """What the adapter of one phase says of rows ``(C, n)``, the last one for None, in the first episode."""
    learner = learner_of(engine)
    weights = learner._weights if phase is None else adapters._weights[phase]
    return learner._predict_with(weights, [0], [rows], None, False)[0]


def test_the_adapter_of_a_phase_says_ever_after_what_it_said_when_the_phase_ended(
    finetuning: Settings, stream: EncodedCorpus
) -> None:
    assert stream.corpus.phases is not None
    first = np.flatnonzero(stream.corpus.phases.of == 0)
    engine = begun(stream, finetuning(**LORA), kind="adapters")
    played(engine, 2)
    assert (learner_of(engine)._first == engine.labels).all(), "the first phase has just ended"
    ended = engine.scores(first)
    played(engine, 2)
    assert torch.equal(engine.scores(first), ended)
    second = np.flatnonzero(stream.corpus.phases.of == 1)
    alone = scores_of(engine, learner_of(engine)._adapters, 0, second)
    assert not torch.allclose(engine.scores(second)[0], alone, atol=1e-2), "rows of the second have their own"


def test_rows_of_unknown_phase_are_read_by_the_surest_adapter(
    finetuning: Settings, stream: EncodedCorpus
) -> None:
    engine = begun(stream, finetuning(**LORA), 1, kind="adapters", rows="inferred")
    rows = np.arange(300)
    played(engine, 3)
    adapters = learner_of(engine)._adapters
    each = torch.stack([scores_of(engine, adapters, phase, rows) for phase in (0, None)])  # (2, C, n)
    surest = torch.softmax(each, 1).amax(1).argmax(0)
    assert 0 < int(surest.sum()) < 300, "both are asked"
    expected = each.gather(0, surest.expand(1, each.shape[1], -1))[0]
    assert torch.equal(engine.scores(rows)[0], expected)


def test_until_a_phase_has_a_label_the_adapters_before_it_read_its_rows(
    finetuning: Settings, stream: EncodedCorpus
) -> None:
    assert stream.corpus.phases is not None
    engine = begun(stream, finetuning(**LORA), 1, kind="adapters")
    played(engine, 2)
    learner, second = learner_of(engine), np.flatnonzero(stream.corpus.phases.of == 1)
    assert learner._first[0] == engine.labels[0], "the second phase has just begun"
    assert torch.equal(engine.scores(second)[0], scores_of(engine, learner._adapters, 0, second))


def test_each_adapter_learns_from_the_labels_of_its_phase(
    finetuning: Settings, stream: EncodedCorpus
) -> None:
    engine = begun(stream, finetuning(**LORA), 1, kind="adapters")
    turns = play(engine, make_strategy("random"))
    assert [len(learner_of(engine)._columns.answers(0)[0]) for _ in turns] == [8, 12, 4, 8]


def test_an_adapter_of_peft_is_kept_for_each_phase(finetuning: Settings, stream: EncodedCorpus) -> None:
    assert stream.corpus.phases is not None
    engine = begun(stream, finetuning(method="peft", steps=2), 1, kind="adapters")
    played(engine, 2)
    first = np.flatnonzero(stream.corpus.phases.of == 0)[:40]
    ended = engine.scores(first)
    played(engine, 1)
    assert torch.equal(engine.scores(first), ended)


def test_contrastive_training_goes_from_phase_to_phase(finetuning: Settings, stream: EncodedCorpus) -> None:
    pairs = {"contrastive": {"loss": "cosine"}}
    alone, joint = (
        played(begun(stream, finetuning(**LORA, **pairs), kind=kind))[-1] for kind in ("sequential", "joint")
    )
    assert not torch.allclose(alone, joint, atol=1e-3)


@pytest.mark.parametrize("kind", ["ewc", "lwf", "adapters"])
def test_an_episode_learns_alone_what_it_learns_beside_others(
    kind: str, finetuning: Settings, stream: EncodedCorpus
) -> None:
    together, alone = (played(begun(stream, finetuning(**LORA), n, kind=kind))[-1] for n in (2, 1))
    torch.testing.assert_close(together[:1], alone, atol=2e-2, rtol=2e-2)


def test_early_stopping_sees_no_dev_row_that_is_yet_to_come(
    finetuning: Settings, stream: EncodedCorpus
) -> None:
    engine = begun(stream, finetuning(**LORA), 1)
    columns = learner_of(engine)._columns
    assert len(columns.dev[0][0]) == 10
    played(engine)
    assert len(columns.dev[0][0]) == 20


@pytest.mark.parametrize(
    "settings",
    [
        {"method": "peft", "continual": {"kind": "replay"}},
        {"method": "full", "continual": {"kind": "sequential"}},
        {"continual": {"kind": "lwf"}, "mixup": {"alpha": 0.4}},
        {"continual": {"kind": "ewc"}, "l2_sp": 0.1},
        {"method": "full", "layers": 1, "continual": {"kind": "adapters"}},
        {"patience": 1, "continual": {"kind": "adapters"}},
        {"contrastive": {"loss": "cosine"}, "continual": {"kind": "lwf"}},
    ],
    ids=["peft", "word table", "mixup", "l2-sp", "no adapter", "patience", "pairs"],
)
def test_what_cannot_be_kept_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        FineTuneSettings.model_validate(settings)


def test_texts_of_later_phases_are_not_pretrained_on(finetuning: Settings, stream: EncodedCorpus) -> None:
    with pytest.raises(ReActError, match="yet to come"):
        begun(stream, finetuning(**LORA, pretraining={}))


def test_members_of_an_ensemble_go_from_phase_to_phase(finetuning: Settings, stream: EncodedCorpus) -> None:
    engines = [begun(stream, finetuning(**LORA, members=2), kind=kind) for kind in ("sequential", "joint")]
    alone, joint = (played(engine)[-1] for engine in engines)
    assert not torch.allclose(alone, joint, atol=1e-4)


def test_settings_without_phases_are_filed_as_before_there_were_any() -> None:
    assert "continual" not in FineTuneSettings().model_dump()
    assert math.isclose(FineTuneSettings().continual.share, 0.2)
