"""Fine-tuning on tagging: words by their first piece, long sentences in windows, tokens' cross-entropy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from react_rl.acquisition import make_strategy
from react_rl.acquisition.registry import suited
from react_rl.data.synthetic import synthetic_sentences
from react_rl.encoders.token_states import TokenStates
from react_rl.errors import ReActError
from react_rl.learners.finetune.learner import FineTune
from react_rl.learners.recipes import make_recipe
from react_rl.learners.registry import check_needs
from react_rl.seeding import Streams
from react_rl.simulation import EncodedCorpus, EpisodeOptions, LabelingEngine
from react_rl.simulation.held_out import HeldOut

Finetuning = Callable[..., Any]
OPTIONS = EpisodeOptions(pool_size=24, dev_size=10, initial_size=4, budget=60, batch_size=3)


def tagged(seed: int = 0, n_types: int = 2, words: int = 16) -> EncodedCorpus:
    """Sentences of words of several pieces; with all their words most are longer than 16 pieces."""
    corpus = synthetic_sentences(80, n_types, seed)
    assert corpus.tokens is not None
    targets = np.empty(80, dtype=object)
    targets[:] = [own[: 1 + row % words] if words < 16 else own for row, own in enumerate(corpus.targets)]
    tokens = tuple(own[: len(tags)] for own, tags in zip(corpus.tokens, targets, strict=True))
    corpus = replace(corpus, targets=targets, tokens=tokens)
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((80, 8)).astype(np.float32)
    starts = np.concatenate([[0], np.cumsum([len(own) for own in tokens])])
    states = rng.standard_normal((starts[-1], 8)).astype(np.float16)
    return EncodedCorpus.build(corpus, vectors, tokens=TokenStates(states, starts, 0))


def engine_of(
    settings: Any, seeds: list[int], corpora: list[EncodedCorpus] | None = None, **options: Any
) -> tuple[LabelingEngine, FineTune]:
    engine = LabelingEngine(
        corpora or [tagged()], OPTIONS.model_copy(update=options), len(seeds), ["entity_f1"], settings
    )
    engine.reset([Streams(seed) for seed in seeds])
    assert isinstance(engine.learner, FineTune)
    return engine, engine.learner


class PlainTagger(nn.Module):
    """A transformer of the library with a linear head on every piece."""

    def __init__(self, settings: Any, weight: torch.Tensor, bias: torch.Tensor) -> None:
        from transformers import AutoModel

        super().__init__()
        self.trunk = AutoModel.from_pretrained(settings.model, attn_implementation="eager").eval()
        if getattr(self.trunk, "pooler", None) is not None:
            self.trunk.pooler = None
        self.out = nn.Linear(weight.shape[1], weight.shape[0])
        self.out.weight.data.copy_(weight)
        self.out.bias.data.copy_(bias)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        states = self.trunk(input_ids=ids, attention_mask=mask).last_hidden_state
        scores: torch.Tensor = self.out(states)
        return scores


def read(learner: FineTune, corpus: EncodedCorpus, rows: list[int]) -> tuple[Any, torch.Tensor]:
    """Sentences as the library reads them, and the tag of each piece: -100 but at a word's first."""
    tokens = corpus.corpus.tokens
    assert tokens is not None
    given = learner.network.tokenizer(
        [list(tokens[row]) for row in rows], is_split_into_words=True, padding=True, return_tensors="pt"
    )
    tags = torch.full(given["input_ids"].shape, -100)
    for line, row in enumerate(rows):
        before = None
        for place, word in enumerate(given.word_ids(line)):
            if word is not None and word != before:
                tags[line, place] = int(corpus.corpus.targets[row][word])
            before = word
    return given, tags


@pytest.mark.parametrize(
    ("architecture", "changes"),
    [
        ("bert", {"method": "full"}),
        ("bert", {"method": "full", "class_weights": "balanced"}),
        ("distilbert", {"method": "bitfit", "label_smoothing": 0.2}),
        ("gpt2", {"method": "full"}),
    ],
    ids=["full", "balanced", "bitfit smoothed", "decoder"],
)
def test_it_learns_what_a_plain_loop_of_token_classification_learns(
    architecture: str, changes: dict[str, Any], finetuning: Finetuning
) -> None:
    settings = finetuning(
        architecture, max_length=32, dropout=0.0, epochs=4, warmup=0.0, weight_decay=0.0, clip=1e6, **changes
    )
    corpus = tagged()
    engine, learner = engine_of(settings, [8], [corpus])
    assert len(learner.stores[0].lengths) > corpus.corpus.n_rows  # a few are too long for 32 pieces
    short = [
        r for r in corpus.corpus.ids("train").tolist() if len(learner.stores[0].examples(np.array([r]))) == 1
    ]
    pool, learned = engine.draw_of(0).pool, [r for r in engine.draw_of(0).initial.tolist() if r in short]
    assert sorted(learned) == sorted(engine.draw_of(0).initial.tolist()), "seed 8 draws short ones"
    head = learner.network.begin(learner._seeds)
    plain = PlainTagger(settings, head["head.out.weight"][0], head["head.out.bias"][0])
    trained = [
        array
        for name, array in plain.named_parameters()
        if settings.method == "full" or "bias" in name or name.startswith("out.")
    ]
    adam = torch.optim.AdamW(trained, lr=settings.learning_rate, weight_decay=0.0)
    given, tags = read(learner, corpus, learned)
    counts = torch.bincount(tags[tags >= 0], minlength=5)
    weight = counts.sum() / ((counts > 0).sum() * counts.clamp_min(1)) if "class_weights" in changes else None
    for step in range(4):  # one batch holds all that is labelled
        for group in adam.param_groups:
            group["lr"] = settings.learning_rate * (4 - step) / 4
        loss = functional.cross_entropy(
            plain(given["input_ids"], given["attention_mask"]).flatten(0, 1), tags.flatten(), weight=weight,
            label_smoothing=settings.label_smoothing,
        )  # fmt: skip
        adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        adam.step()
    others = [r for r in pool.tolist() if r in short and r not in learned][:6]
    given, tags = read(learner, corpus, others)
    with torch.no_grad():
        expected = plain(given["input_ids"], given["attention_mask"])[tags >= 0].T
    found = learner.logits_of_rows([np.array(others)]).logits[0]
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=2e-3)
    assert float((found - found.mean()).abs().max()) > 0.2


def test_every_word_of_a_long_sentence_is_labelled_once_and_scored_once(finetuning: Finetuning) -> None:
    engine, learner = engine_of(finetuning(epochs=1), [1, 2])
    corpus, columns = engine.corpus_of(0).corpus, learner._columns
    for episode in range(2):
        initial = [int(engine.draw_of(episode).pool[c]) for c in engine.ledger.columns[episode, :4].tolist()]
        examples, targets = learner.stores[0].taught(*columns.answers(episode))
        assert len(examples) > 4
        assert int(learner.stores[0].lengths[examples].max()) <= 16
        assert targets[targets >= 0].tolist() == np.concatenate([corpus.targets[r] for r in initial]).tolist()
    scores = learner.logits_of(slice(0, 24))
    for episode in range(2):
        words = [
            (int(c), int(p))
            for c, p in zip(scores.column[episode], scores.place[episode], strict=True)
            if c < 24
        ]
        pool = engine.draw_of(episode).pool.tolist()
        assert words == [(c, p) for c, row in enumerate(pool) for p in range(len(corpus.targets[row]))]


@pytest.mark.parametrize(
    ("words", "changes"),
    [
        (4, {"method": "full"}),
        (16, {"method": "lora", "dropout": 0.3}),
        (4, {"method": "full", "layers": 1}),
        (4, {"method": "head", "class_weights": "balanced"}),
        (4, {"method": "bitfit", "r_drop": 1.0}),
    ],
    ids=["full", "lora in windows", "top layer", "head", "bitfit with R-Drop"],
)
@pytest.mark.arithmetic
def test_episodes_side_by_side_learn_what_they_learn_alone(
    words: int, changes: dict[str, Any], finetuning: Finetuning
) -> None:
    corpora = [tagged(0, 2, words), tagged(1, 3, words)]
    settings = finetuning(epochs=1, **changes)
    together = LabelingEngine(corpora, OPTIONS, 3, ["entity_f1"], settings)
    together.reset([Streams(seed) for seed in range(3)], None, [0, 1, 0])
    together.step(make_strategy("random").select(together.view, 3))
    for seed, corpus in enumerate([0, 1, 0]):
        alone = LabelingEngine(corpora, OPTIONS, 1, ["entity_f1"], settings)
        alone.reset([Streams(seed)], None, [corpus])
        alone.step(make_strategy("random").select(alone.view, 3))
        assert (alone.view.labelled[0] == together.view.labelled[seed]).all()
        own = alone.view.tokens.total_entropy[0]
        torch.testing.assert_close(own, together.view.tokens.total_entropy[seed], rtol=1e-3, atol=2e-3)


def test_it_goes_on_where_its_state_was_taken_to_the_last_bit(finetuning: Finetuning) -> None:
    settings = finetuning(method="full", epochs=1, restart="warm", dropout=0.1)
    whole, _ = engine_of(settings, [1, 2])
    whole.step(make_strategy("mnlp").select(whole.view, 3))
    resumed = LabelingEngine([tagged()], OPTIONS, 2, ["entity_f1"], settings)
    state = {name: array.clone() for name, array in whole.state().items()}
    resumed.resume([Streams(1), Streams(2)], None, state)
    for engine in (whole, resumed):
        engine.step(make_strategy("tag-count").select(engine.view, 3))
    assert torch.equal(resumed.view.scores.logits, whole.view.scores.logits)
    assert (resumed.view.labelled == whole.view.labelled).all()
    assert resumed.current["entity_f1"].tolist() == whole.current["entity_f1"].tolist()


def test_all_strategies_of_tagging_choose_from_a_fine_tuned_tagger(finetuning: Finetuning) -> None:
    settings = finetuning(epochs=1)
    engine, _ = engine_of(settings, [1, 2])
    names = suited(settings, "tagging")
    assert {"random", "margin", "mnlp", "token-entropy", "n-best-entropy", "tag-count"} <= set(names)
    assert not {"badge", "bald"} & set(names)
    for name in names:
        if not name.startswith("alps"):
            chosen = make_strategy(name).select(engine.view, 3)
            assert all(len(set(own)) == 3 and min(own) >= 0 for own in chosen.tolist()), name
    assert {"badge", "bald"} <= set(suited(settings, "classification"))


def test_bald_over_tokens_is_the_mean_information_of_a_sentences_tokens(finetuning: Finetuning) -> None:
    settings = finetuning(epochs=1, dropout=0.3)
    assert "token-bald" in suited(settings, "tagging")
    assert "token-bald" not in suited(finetuning(dropout=0.0), "tagging")
    engine, learner = engine_of(settings, [1, 2])
    samples = torch.softmax(learner.dropout_logits(slice(0, 24), 10).double(), 2)
    found, column = make_strategy("token-bald").score(engine.view), engine.view.scores.column
    for e, sentence in ((0, 0), (1, 7), (1, 23)):
        own = samples[e][:, :, column[e] == sentence]
        information = []
        for token in range(own.shape[2]):
            mean = own[:, :, token].mean(0)
            each = -(own[:, :, token] * own[:, :, token].log()).sum(1)
            information.append(float(-(mean * mean.log()).sum() - each.mean()))
        assert float(found[e, sentence]) == pytest.approx(np.mean(information), rel=1e-3)
        assert np.mean(information) > 1e-4


def test_other_rows_get_the_scores_that_the_pool_gets(finetuning: Finetuning) -> None:
    engine, learner = engine_of(finetuning(epochs=1), [1, 2])
    rows = engine.draw_of(0).dev
    inside, outside = learner.logits_of(slice(24, None)), learner.logits_of_rows([rows, rows])
    n = outside.logits.shape[2]
    torch.testing.assert_close(outside.logits[0], inside.logits[0, :, :n], rtol=1e-4, atol=1e-4)
    assert outside.column[0].tolist() == inside.column[0, :n].tolist()
    found = HeldOut(rows).measure(engine, ["entity_f1"])["entity_f1"]
    assert found[0] == pytest.approx(engine.current["entity_f1"][0])


def test_it_learns_the_sentences_it_was_taught(finetuning: Finetuning) -> None:
    settings = finetuning(method="full", epochs=60, learning_rate=6e-3, dropout=0.0)
    engine, _ = engine_of(settings, [8])
    assert HeldOut(engine.draw_of(0).initial).measure(engine, ["entity_f1"])["entity_f1"][0] > 0.9


def test_it_stops_early_on_the_dev_sentences(finetuning: Finetuning) -> None:
    settings = finetuning(method="full", epochs=40, max_length=32, dropout=0.0, patience=2)
    _, learner = engine_of(settings, [1], initial_size=8)
    assert 3 * 2 <= learner.steps < 40 * 2


def test_what_needs_classes_is_refused_on_tagging(finetuning: Finetuning) -> None:
    check_needs("badge", {"classes"}, finetuning())
    with pytest.raises(ReActError, match="'badge' needs a corpus of classification"):
        check_needs("badge", {"classes"}, finetuning(), "tagging")
    engine, _ = engine_of(finetuning(epochs=1), [1])
    with pytest.raises(ReActError, match="the task is tagging"):
        make_strategy("badge").select(engine.view, 3)


def test_a_tokenizer_that_knows_no_words_is_refused(
    finetuning: Finetuning, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import PreTrainedTokenizerFast

    monkeypatch.setattr(PreTrainedTokenizerFast, "is_fast", property(lambda self: False))
    with pytest.raises(ReActError, match="does not say which word a piece belongs to"):
        engine_of(finetuning(), [1])


def test_words_of_a_batch_are_mixed_and_whole_sentences_are_not(finetuning: Finetuning) -> None:
    found = []
    for recipe in ("plain", "mixup"):
        engine, learner = engine_of(finetuning(steps=3), [0])
        engine.step(make_strategy("random").select(engine.view, 3), [make_recipe(recipe)])
        found.append(learner.logits_of(slice(None)).logits)
    assert torch.isfinite(found[1]).all()
    assert not torch.equal(*found)
    with pytest.raises(ReActError, match=r"mixup\.layer mixes whole texts"):
        learner.choose([make_recipe("mixup-layer")])
