"""The transformer trained here is the one that peft and a plain torch loop train."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from react_rl.learners.finetune.methods.network import Network
from react_rl.learners.finetune.training.fitting import _batches, fit
from react_rl.learners.finetune.training.lesson import Lesson
from react_rl.learners.finetune.training.store import TextStore
from react_rl.tasks.heads import ClassHead

N_CLASSES, ROWS, EPISODES = 3, 10, 2


class Plain(nn.Module):
    """A transformer of the library with a linear head on the pooled tokens, as anybody would write it."""

    def __init__(self, trunk: Any, pooling: str, hidden: int = 32) -> None:
        super().__init__()
        self.trunk, self.pooling = trunk, pooling
        self.out = nn.Linear(hidden, N_CLASSES)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        states = self.trunk(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        if self.pooling == "last":
            pooled = states[torch.arange(len(ids)), mask.sum(1) - 1]
        else:
            pooled = (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        scores: Tensor = self.out(pooled)
        return scores


def trunk_of(settings: Any) -> Any:
    from transformers import AutoModel

    model = AutoModel.from_pretrained(settings.model, local_files_only=True, attn_implementation="eager")
    if getattr(model, "pooler", None) is not None:
        model.pooler = None
    return model.eval()


class School:
    """Two episodes of our own network, and the batches that it will see."""

    def __init__(self, settings: Any, corpus: Any, folder: Any) -> None:
        self.settings = settings
        self.network = Network(settings, N_CLASSES)
        self.store = TextStore(corpus.texts, self.network, folder)
        rng = np.random.default_rng(5)
        self.rows = np.stack([rng.choice(len(corpus.texts), ROWS, replace=False) for _ in range(EPISODES)])
        self.targets = torch.from_numpy(corpus.targets[self.rows])
        self.weights = self.network.begin(torch.tensor([1, 2]))
        self.vocabulary: Tensor | None = None
        if self.network.words is not None:
            table = self.network.pretrained(self.network.words)
            assert table is not None
            self.weights[self.network.words] = table.expand(EPISODES, -1, -1).clone()
            self.vocabulary = torch.arange(table.shape[0]).expand(EPISODES, -1)
        self.lesson = Lesson(
            targets=self.targets[:, :, None],
            lengths=self.store.lengths[torch.from_numpy(self.rows)].numpy(),
            class_mask=torch.ones(EPISODES, N_CLASSES, dtype=torch.bool),
            seeds=torch.tensor([1, 2]),
            rounds=np.array([0, 3]),
            rectangle=lambda chosen: self.store.rectangle(self.of(chosen)),
            head=ClassHead("texts"),
            vocabulary=self.vocabulary,
        )

    def of(self, chosen: Any) -> Tensor:
        return torch.from_numpy(np.take_along_axis(self.rows, chosen, 1).reshape(-1))

    def fitted(self) -> dict[str, Tensor]:
        begin = {name: array.clone() for name, array in self.weights.items()}
        return fit(self.network, begin, self.lesson, self.settings, self.settings.learning_rate, 1).weights

    def scores(self, weights: dict[str, Tensor], rows: Tensor) -> Tensor:
        """Scores (R, T, C) of the same rows in every episode."""
        with torch.no_grad(), self.network.mount(weights, self.vocabulary):
            pooled = self.network.features(self.store.rectangle(rows.repeat(EPISODES)))
            return self.network.classify(pooled, self.lesson.class_mask)

    def batches(self, episode: int) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Ids, mask and targets of each batch that an episode sees, in order."""
        found = []
        for epoch in range(self.settings.epochs):
            for chosen in _batches(self.lesson, self.settings.batch_size, epoch):
                own = self.rows[episode, chosen[episode]]
                texts = self.store.rectangle(torch.from_numpy(own))
                assert texts.ids is not None
                found.append(
                    (texts.ids, texts.mask, self.targets[episode, torch.from_numpy(chosen[episode])])
                )
        return found


def plain_loop(
    model: nn.Module, batches: list[tuple[Tensor, Tensor, Tensor]], rate: float, decay: float, clip: float
) -> None:
    """AdamW with decay of matrices, clipping, and a linear schedule, a fifth of it warm-up."""
    from transformers import get_linear_schedule_with_warmup

    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.dim() > 1], "weight_decay": decay},
        {"params": [p for p in trained if p.dim() == 1], "weight_decay": 0.0},
    ]
    adam = torch.optim.AdamW(groups, lr=rate)
    schedule = get_linear_schedule_with_warmup(adam, int(0.2 * len(batches)), len(batches))
    for ids, mask, targets in batches:
        loss = functional.cross_entropy(model(ids, mask), targets)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(trained, clip)
        adam.step()
        schedule.step()
        adam.zero_grad()


RECIPE: dict[str, Any] = {
    "dropout": 0.0, "epochs": 3, "batch_size": 4, "learning_rate": 2e-3, "weight_decay": 5.0, "warmup": 0.2,
    "clip": 0.7,
}  # fmt: skip


def with_our_head(model: Plain, school: School, episode: int) -> Plain:
    model.out.weight.data.copy_(school.weights["head.out.weight"][episode])
    model.out.bias.data.copy_(school.weights["head.out.bias"][episode])
    return model


@pytest.mark.parametrize(
    ("method", "architecture"),
    [
        *(("full", name) for name in ("bert", "distilbert", "roberta", "gpt2", "llama")),
        *(("bitfit", name) for name in ("bert", "distilbert", "gpt2")),
    ],
)
def test_fine_tuning_equals_a_plain_torch_loop(
    method: str,
    architecture: str,
    finetuning: Callable[..., Any],
    tiny_corpus: Callable[..., Any],
    tmp_path: Any,
) -> None:
    settings = finetuning(architecture, method=method, **RECIPE)
    school = School(settings, tiny_corpus(), tmp_path)
    rows = torch.arange(20)
    found = school.scores(school.fitted(), rows)
    texts = school.store.rectangle(rows)
    assert texts.ids is not None
    for episode in range(EPISODES):
        model = with_our_head(Plain(trunk_of(settings), settings.pooling), school, episode)
        for name, parameter in model.trunk.named_parameters():
            parameter.requires_grad_(method == "full" or name.endswith("bias"))
        with torch.no_grad():
            before = model(texts.ids, texts.mask)
        torch.testing.assert_close(school.scores(school.weights, rows)[episode], before, rtol=1e-4, atol=1e-5)
        plain_loop(model, school.batches(episode), settings.learning_rate, 5.0, 0.7)
        with torch.no_grad():
            expected = model(texts.ids, texts.mask)
        assert (expected - before).abs().max() > 0.1
        torch.testing.assert_close(found[episode], expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("layers", "name"), [(1, "encoder.layer.2."), (2, "encoder.layer.1.")])
def test_training_the_top_layers_equals_a_plain_loop_with_the_others_frozen(
    layers: int, name: str, finetuning: Callable[..., Any], tiny_corpus: Callable[..., Any], tmp_path: Any
) -> None:
    settings = finetuning(method="full", layers=layers, **RECIPE)
    school = School(settings, tiny_corpus(), tmp_path)
    whole = TextStore(tiny_corpus().texts, Network(finetuning(method="full"), N_CLASSES), tmp_path)
    rows = torch.arange(20)
    texts = whole.rectangle(rows)
    assert texts.ids is not None
    model = with_our_head(Plain(trunk_of(settings), "mean"), school, 1)
    model.requires_grad_(False)
    model.trunk.encoder.layer[3 - layers :].requires_grad_(True)
    model.out.requires_grad_(True)
    first = min(n for n, p in model.trunk.named_parameters() if p.requires_grad)
    assert first.startswith(name)
    school.store.rectangle = whole.rectangle  # type: ignore[method-assign]
    batches = school.batches(1)
    del school.store.rectangle
    plain_loop(model, batches, settings.learning_rate, 5.0, 0.7)
    with torch.no_grad():
        expected = model(texts.ids, texts.mask)
    # The states below are kept in fp16.
    torch.testing.assert_close(school.scores(school.fitted(), rows)[1], expected, rtol=0.02, atol=0.02)


def peft_model(settings: Any, targets: list[str], school: School, episode: int, turned: bool) -> Plain:
    """The library's LoRA around the same trunk, holding an episode's A and B."""
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=0.0,
        target_modules=targets,
        fan_in_fan_out=turned,
    )
    with torch.random.fork_rng(devices=[]):
        wrapped = peft.get_peft_model(trunk_of(settings), config)
    theirs = {n: p for n, p in wrapped.named_parameters() if "lora_" in n}
    ours = {n: a for n, a in school.weights.items() if "lora_" in n}
    assert len(theirs) == len(ours) > 0
    for name, array in ours.items():
        path, _, part = name.rpartition(".")
        theirs[f"base_model.model.{path}.{part}.default.weight"].data.copy_(array[episode])
    return with_our_head(Plain(wrapped, settings.pooling), school, episode)


LORA = {
    "bert": (["query", "value"], False),
    "distilbert": (["q_lin", "v_lin"], False),
    "roberta": (["query", "value"], False),
    "gpt2": (["c_attn"], True),
    "llama": (["q_proj", "v_proj"], False),
    "bert everywhere": (["query", "key", "value", "dense"], False),
}


@pytest.mark.parametrize("case", list(LORA))
def test_lora_equals_that_of_peft(
    case: str, finetuning: Callable[..., Any], tiny_corpus: Callable[..., Any], tmp_path: Any
) -> None:
    architecture, _, everywhere = case.partition(" ")
    targets, turned = LORA[case]
    settings = finetuning(
        architecture,
        method="lora",
        targets="all" if everywhere else "query-value",
        rank=4,
        alpha=12.0,
        **RECIPE,
    )
    school = School(settings, tiny_corpus(), tmp_path)
    generator = torch.Generator().manual_seed(0)
    for name, array in school.weights.items():
        if "lora_B" in name:
            array += 0.1 * torch.randn(array.shape, generator=generator)
    rows = torch.arange(20)
    texts = school.store.rectangle(rows)
    assert texts.ids is not None
    before, after = school.scores(school.weights, rows), school.scores(school.fitted(), rows)
    for episode in range(EPISODES):
        model = peft_model(settings, targets, school, episode, turned)
        with torch.no_grad():
            torch.testing.assert_close(before[episode], model(texts.ids, texts.mask), rtol=1e-4, atol=1e-4)
        plain_loop(model, school.batches(episode), settings.learning_rate, 5.0, 0.7)
        with torch.no_grad():
            expected = model(texts.ids, texts.mask)
        assert (expected - before[episode]).abs().max() > 0.05
        torch.testing.assert_close(after[episode], expected, rtol=1e-3, atol=1e-3)


def test_fresh_lora_weights_have_the_distribution_of_pefts(finetuning: Callable[..., Any]) -> None:
    network = Network(finetuning(method="lora", rank=16, targets="query-value"), N_CLASSES)
    weights = network.begin(torch.arange(40))
    bound = 32**-0.5  # kaiming_uniform_ with a = sqrt(5) on a matrix with 32 columns
    for name, array in weights.items():
        if "lora_A" in name:
            assert float(array.abs().max()) <= bound
            assert float(array.std()) == pytest.approx(bound / 3**0.5, rel=0.03)
        elif "lora_B" in name:
            assert not array.any()
