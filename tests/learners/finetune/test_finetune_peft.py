"""Adapters of the peft library as a fine-tuning method: the same as peft alone, episodes in turn."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from react_rl.data.corpus import Corpus
from react_rl.errors import ReActError
from react_rl.learners.finetune.methods.adapters import Adapter
from react_rl.learners.finetune.methods.network import Network
from react_rl.learners.finetune.settings import FineTuneSettings

KINDS = ("lora", "adalora", "ia3", "prefix", "prompt")
TOKENS, RANK = 3, 2
TAUGHT = list(range(12))

Finetuning = Callable[..., FineTuneSettings]
Corpora = Callable[..., Corpus]


def adapter_of(kind: str, **changes: Any) -> dict[str, Any]:
    return {
        "method": "peft", "peft": {"kind": kind, "rank": RANK, "tokens": TOKENS}, "learning_rate": 1e-2,
        **changes,
    }  # fmt: skip


def weights_of(room: Any) -> dict[str, Tensor]:
    state = room.learner.state()
    return {name: array.clone() for name, array in state.items() if name.startswith("weights/")}


def loss_of(room: Any, corpus: Corpus) -> float:
    rows = room.rows[0, TAUGHT]
    scores = room.learner.logits_of_rows([rows])[0].T
    return float(nn.functional.cross_entropy(scores, torch.from_numpy(corpus.targets[rows])))


@pytest.mark.parametrize(
    ("kind", "architecture"),
    [*((kind, "bert") for kind in KINDS), ("adalora", "gpt2"), ("ia3", "gpt2"), ("ia3", "llama"),
     ("prefix", "llama"), ("prefix", "gpt2"), ("prompt", "llama")],
)  # fmt: skip
def test_training_moves_every_array_and_lowers_the_loss(
    kind: str, architecture: str, finetuning: Finetuning, tiny_corpus: Corpora, classroom: Any
) -> None:
    corpus = tiny_corpus()
    room = classroom(finetuning(architecture, **adapter_of(kind, epochs=16)), [corpus], [0], [1])
    before, start = loss_of(room, corpus), weights_of(room)
    room.teach([0], [TAUGHT])
    assert not room.learner.failures
    assert loss_of(room, corpus) < 0.95 * before
    after = weights_of(room)
    assert len(after) > 2  # more than the head
    # AdaLoRA may take all rank from a layer: then its singular values are zero again.
    moving = {name: array for name, array in start.items() if "lora_E" not in name}
    assert all(not torch.equal(array, after[name]) for name, array in moving.items())


@pytest.mark.parametrize("kind", KINDS)
def test_narrow_arithmetic_gives_nearly_the_scores_of_fp32(
    kind: str, finetuning: Finetuning, tiny_corpus: Corpora, classroom: Any
) -> None:
    corpus = tiny_corpus()
    scores = []
    for precision in ("fp32", "bf16"):
        settings = finetuning(**adapter_of(kind, precision=precision, steps=2, warmup=0.0))
        room = classroom(settings, [corpus], [0], [1])
        room.teach([0], [TAUGHT])
        scores.append(room.logits()[:, : corpus.n_classes])
    torch.testing.assert_close(scores[0], scores[1], atol=0.1, rtol=0.1)


@pytest.mark.parametrize(
    ("architecture", "targets"),
    [
        ("bert", "query-value"),
        ("distilbert", "query-value"),
        ("mpnet", "query-value"),
        ("bert", "all"),
        ("gpt2", "all"),
    ],
)
def test_lora_of_peft_begins_and_learns_as_our_own(
    architecture: str, targets: str, finetuning: Finetuning, tiny_corpus: Corpora, classroom: Any
) -> None:
    corpus = tiny_corpus()
    ours, theirs = (
        classroom(finetuning(architecture, targets=targets, rank=RANK, **changes), [corpus], [0], [1])
        for changes in ({"method": "lora", "learning_rate": 1e-2}, adapter_of("lora"))
    )
    for _ in range(2):
        expected = {
            name
            if name.startswith("weights/head.")
            else f"weights/base_model.model.{name.removeprefix('weights/')}.default.weight": array
            for name, array in weights_of(ours).items()
        }
        found = weights_of(theirs)
        assert found.keys() == expected.keys()
        for name, array in found.items():
            torch.testing.assert_close(array, expected[name], atol=1e-4, rtol=1e-3)
        torch.testing.assert_close(theirs.logits(), ours.logits(), atol=1e-3, rtol=1e-3)
        ours.teach([0], [TAUGHT])
        theirs.teach([0], [TAUGHT])


def plain_config(kind: str, steps: int) -> Any:
    """What a user of peft would ask for on BERT."""
    import peft

    task = "FEATURE_EXTRACTION"
    down = r".*layer\.\d+\.output\.dense"
    if kind == "lora":
        return peft.LoraConfig(task_type=task, r=RANK, lora_alpha=16, target_modules=["query", "value"])
    if kind == "adalora":
        return peft.AdaLoraConfig(
            task_type=task, init_r=3, target_r=RANK, lora_alpha=16, target_modules=["query", "value"],
            total_step=steps, tinit=steps // 10, tfinal=3 * steps // 10,
        )  # fmt: skip
    if kind == "ia3":
        both = rf"{down}|.*\.(key|value)"
        return peft.IA3Config(task_type=task, target_modules=both, feedforward_modules=down)
    make = peft.PrefixTuningConfig if kind == "prefix" else peft.PromptTuningConfig
    return make(task_type=task, num_virtual_tokens=TOKENS)


def plain_peft(settings: FineTuneSettings, kind: str, steps: int) -> Any:
    import peft
    from transformers import AutoModel

    with torch.random.fork_rng(devices=[]):
        model = AutoModel.from_pretrained(settings.model, local_files_only=True)
        return peft.get_peft_model(model, plain_config(kind, steps)).eval()


@pytest.mark.parametrize(
    ("kind", "pooling"), [*((kind, "mean") for kind in KINDS), ("prompt", "cls"), ("prompt", "last")]
)
@pytest.mark.filterwarnings("ignore")
def test_an_episode_learns_what_a_plain_loop_around_peft_learns(
    kind: str, pooling: str, finetuning: Finetuning, tiny_corpus: Corpora, classroom: Any
) -> None:
    from transformers import AutoTokenizer

    steps, rate = 20, 1e-2
    corpus = tiny_corpus()
    settings = finetuning(
        **adapter_of(kind, pooling=pooling, steps=steps, batch_size=len(TAUGHT), warmup=0.0, dropout=0.0,
                     targets="query-value", weight_decay=0.0, clip=1e6)
    )  # fmt: skip
    room = classroom(settings, [corpus], [0], [1])
    start = {name.removeprefix("weights/"): array[0] for name, array in weights_of(room).items()}
    model = plain_peft(settings, kind, steps)
    trained = {name: array for name, array in model.named_parameters() if array.requires_grad}
    assert trained.keys() == start.keys() - {"head.out.weight", "head.out.bias"}
    for name, array in trained.items():
        array.data = start[name].clone().view(array.shape)
    n_out, n_in = start["head.out.weight"].shape
    head = nn.Linear(n_in, n_out)
    head.weight.data, head.bias.data = start["head.out.weight"].clone(), start["head.out.bias"].clone()
    tokenizer = AutoTokenizer.from_pretrained(settings.model, local_files_only=True)

    def scores(rows: Any) -> Tensor:
        given = tokenizer(
            [corpus.texts[r] for r in rows], padding=True, truncation=True, max_length=16, return_tensors="pt"
        )
        states = model(input_ids=given["input_ids"], attention_mask=given["attention_mask"]).last_hidden_state
        states, mask = states[:, TOKENS if kind == "prompt" else 0 :], given["attention_mask"]
        if pooling == "mean":
            pooled = (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        else:
            place = mask.sum(1) - 1 if pooling == "last" else torch.zeros(len(mask), dtype=torch.int64)
            pooled = states[torch.arange(len(mask)), place]
        result: Tensor = head(pooled)
        return result

    optimiser = torch.optim.AdamW([*trained.values(), *head.parameters()], lr=rate, weight_decay=0.0)
    rows = room.rows[0, TAUGHT]
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = rate * (steps - step) / steps
        loss = nn.functional.cross_entropy(scores(rows), torch.from_numpy(corpus.targets[rows]))
        if kind == "adalora":
            grams = [a @ a.T if "lora_A" in n else a.T @ a for n, a in trained.items() if "lora_E" not in n]
            loss = loss + 0.5 * sum((g - torch.eye(len(g))).norm() for g in grams) / len(grams)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        if kind == "adalora":
            model.base_model.update_and_allocate(step)
        optimiser.zero_grad()

    room.teach([0], [TAUGHT])
    others = room.rows[0, len(TAUGHT) :]
    found = room.learner.logits_of_rows([others])[0].T
    torch.testing.assert_close(found, scores(others).detach(), atol=5e-3, rtol=5e-3)


def test_adalora_ends_every_round_with_the_rank_that_was_asked_for(
    finetuning: Finetuning, tiny_corpus: Corpora, classroom: Any
) -> None:
    room = classroom(finetuning(**adapter_of("adalora", steps=10)), [tiny_corpus()], [0], [1])
    for first in (0, 6):
        room.teach([0], [range(first, first + 6)])
        kept = [int((array != 0).sum()) for name, array in weights_of(room).items() if "lora_E" in name]
        assert sum(kept) == RANK * len(kept)
        assert max(kept) > RANK  # shared out by importance, not evenly


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_adalora_bears_rounds_of_few_steps(
    steps: int, finetuning: Finetuning, tiny_corpus: Corpora, classroom: Any
) -> None:
    room = classroom(finetuning(**adapter_of("adalora", steps=steps)), [tiny_corpus()], [0], [1])
    room.teach([0], [TAUGHT])
    assert not room.learner.failures


@pytest.mark.parametrize(
    ("kind", "restart"), [*((kind, "reset") for kind in KINDS), ("adalora", "warm"), ("prefix", "shrink")]
)
def test_two_episodes_in_turn_learn_what_each_learns_alone(
    kind: str, restart: str, finetuning: Finetuning, tiny_corpus: Corpora, classroom: Any
) -> None:
    corpora = [tiny_corpus(3, 0), tiny_corpus(2, 1)]
    settings = finetuning(**adapter_of(kind, restart=restart))
    together = classroom(settings, corpora, [0, 1], [1, 2])
    alone = [classroom(settings, corpora, [which], [seed]) for which, seed in ((0, 1), (1, 2))]
    for columns in ([0, 1, 2, 3], [4, 5, 6, 7]):
        together.teach([0, 1], [columns, columns])
        for room in alone:
            room.teach([0], [columns])
    for episode, room in enumerate(alone):
        assert torch.equal(together.logits()[episode], room.logits()[0])
    assert not torch.equal(together.logits()[0], together.logits()[1])


@pytest.mark.parametrize("kind", KINDS)
def test_an_episode_begun_anew_starts_and_learns_as_the_first_time(
    kind: str, finetuning: Finetuning, tiny_corpus: Corpora, classroom: Any
) -> None:
    room = classroom(finetuning(**adapter_of(kind, restart="warm")), [tiny_corpus()], [0], [1])
    start = weights_of(room)
    room.teach([0], [TAUGHT])
    learned = weights_of(room)
    room.begin(0, 0, 1)
    again = weights_of(room)
    assert all(torch.equal(array, again[name]) for name, array in start.items())
    room.teach([0], [TAUGHT])
    relearned = weights_of(room)
    assert all(torch.equal(array, relearned[name]) for name, array in learned.items())
    room.begin(0, 0, 2)
    other = weights_of(room)
    drawn = [name for name in start if not torch.equal(start[name], other[name])]
    assert "weights/head.out.weight" in drawn
    assert len(drawn) > 1 or kind == "ia3"  # IA3 begins with ones


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore")
def test_weights_begin_in_the_distribution_of_peft(kind: str, finetuning: Finetuning) -> None:
    settings = finetuning(**adapter_of(kind))
    model = plain_peft(settings, kind, 20)
    theirs = {n: a.detach().flatten() for n, a in model.named_parameters() if a.requires_grad}
    seeds = torch.arange(20)
    ours = {n: a for n, a in Network(settings, 3).begin(seeds).items() if not n.startswith("head")}
    for part in ("lora_A", "lora_B", "lora_E", "ia3_l", "embedding"):
        wanted, drawn = (
            [array.flatten() for name, array in arrays.items() if f".{part}." in name]
            for arrays in (theirs, ours)
        )
        assert bool(wanted) == bool(drawn)
        if wanted:
            known, found = torch.cat(wanted), torch.cat(drawn)
            spread = float(known.std())
            assert float(found.mean()) == pytest.approx(float(known.mean()), abs=0.3 * spread + 1e-9)
            assert float(found.std()) == pytest.approx(spread, rel=0.2)
            if kind == "lora":  # uniform, so the bound is met
                assert float(found.abs().max()) == pytest.approx(float(known.abs().max()), rel=0.1)


@pytest.mark.parametrize("kind", KINDS)
def test_torchs_own_random_state_stays_where_it_is(
    kind: str, finetuning: Finetuning, tiny_corpus: Corpora, classroom: Any
) -> None:
    before = torch.random.get_rng_state()
    room = classroom(finetuning(**adapter_of(kind)), [tiny_corpus()], [0], [1])
    room.teach([0], [TAUGHT])
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("architecture", ["distilbert", "mpnet", "deberta", "modernbert"])
def test_prefix_tuning_says_what_works_where_it_does_not(architecture: str, finetuning: Finetuning) -> None:
    with pytest.raises(
        ReActError, match=r"'prefix' does not work .* use lora or adalora or ia3 or prompt\.$"
    ):
        Network(finetuning(architecture, **adapter_of("prefix")), 3)
    Network(finetuning(architecture, **adapter_of("prompt")), 3)


@pytest.mark.parametrize("architecture", ["bert", "roberta", "gpt2"])
@pytest.mark.parametrize("kind", ["prefix", "prompt"])
def test_virtual_tokens_need_room_among_the_positions(
    kind: str, architecture: str, finetuning: Finetuning
) -> None:
    chosen = {"kind": kind, "tokens": 17}
    with pytest.raises(ReActError, match=r"puts 17 virtual tokens before max_length 16 tokens"):
        Network(finetuning(architecture, method="peft", peft=chosen), 3)


def test_padding_that_leaks_into_texts_is_found(
    finetuning: Finetuning, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden = Adapter.hidden

    def leaking(self: Adapter, weights: dict[str, Tensor], ids: Tensor, mask: Tensor) -> Tensor:
        return hidden(self, weights, ids, torch.ones_like(mask))

    monkeypatch.setattr(Adapter, "hidden", leaking)
    with pytest.raises(ReActError, match="does not work") as caught:
        Network(finetuning(**adapter_of("lora")), 3)
    assert "padding" in str(caught.value.__cause__)


def test_an_adapter_that_nothing_depends_on_is_found(
    finetuning: Finetuning, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden = Adapter.hidden

    def deaf(self: Adapter, weights: dict[str, Tensor], ids: Tensor, mask: Tensor) -> Tensor:
        started = {name: array * 0.0 for name, array in weights.items()}
        return hidden(self, started, ids, mask)

    monkeypatch.setattr(Adapter, "hidden", deaf)
    with pytest.raises(ReActError, match="does not work") as caught:
        Network(finetuning(**adapter_of("lora")), 3)
    assert "does not depend" in str(caught.value.__cause__)


def test_a_missing_library_gives_one_sentence(
    finetuning: Finetuning, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "peft" else find(name))
    with pytest.raises(ReActError, match="needs the package peft"):
        Network(finetuning(**adapter_of("lora")), 3)


@pytest.mark.parametrize("changes", [{"layers": 1}, {"compile": True}])
def test_settings_that_adapters_do_not_know_are_refused(
    changes: dict[str, Any], finetuning: Finetuning
) -> None:
    with pytest.raises(ValueError, match="method lora"):
        finetuning(**adapter_of("lora"), **changes)


def test_monte_carlo_samples_differ_and_repeat(
    finetuning: Finetuning, tiny_corpus: Corpora, classroom: Any
) -> None:
    room = classroom(finetuning(**adapter_of("prompt", dropout=0.3)), [tiny_corpus()], [0], [1])
    room.teach([0], [TAUGHT])
    drawn, again = (room.learner.dropout_logits(slice(0, 4), 2) for _ in range(2))
    assert torch.equal(drawn, again)
    assert not torch.equal(drawn[:, 0], drawn[:, 1])
    assert np.isfinite(drawn.numpy()).all()
