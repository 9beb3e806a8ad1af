"""Fine-tuning on question answering: borders by a softmax over words, contexts in windows, no answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from react_rl.acquisition import make_strategy
from react_rl.acquisition.registry import suited
from react_rl.data.questions import Question, question_corpus
from react_rl.data.synthetic_questions import synthetic_questions
from react_rl.encoders.token_states import TokenStates
from react_rl.errors import ReActError
from react_rl.learners.finetune.learner import FineTune
from react_rl.learners.finetune.training.word_stores import QuestionStore
from react_rl.seeding import Streams
from react_rl.simulation import EncodedCorpus, EpisodeOptions, LabelingEngine
from react_rl.simulation.held_out import HeldOut
from react_rl.tasks.heads import SpanHead
from react_rl.tasks.questions import best_answers

Finetuning = Callable[..., Any]
OPTIONS = EpisodeOptions(pool_size=24, dev_size=8, initial="random", initial_size=4, budget=12, batch_size=3)
HEAD = SpanHead()
MASK = torch.ones(1, 2, dtype=torch.bool)


def encoded(corpus: Any) -> EncodedCorpus:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((corpus.n_rows, 8)).astype(np.float32)
    starts = np.concatenate([[0], np.cumsum(corpus.passages.lengths + 1)])
    states = rng.standard_normal((starts[-1], 8)).astype(np.float16)
    return EncodedCorpus.build(corpus, vectors, tokens=TokenStates(states, starts, 0))


def asked(unanswerable: float = 0.3, seed: int = 0) -> EncodedCorpus:
    """Contexts of some eighty pieces, which take several windows of 32."""
    return encoded(synthetic_questions(80, unanswerable, seed))


def short(unanswerable: bool = True) -> EncodedCorpus:
    """Contexts of six words of one piece, which fit behind their question of one."""
    words = ["ba", "de", "fi", "go", "ku", "la", "me", "ni"]
    rng = np.random.default_rng(0)
    found = []
    for row in range(60):
        order = rng.permutation(8)
        context = " ".join(words[w] for w in order[:6])
        wanted = words[order[int(rng.integers(8 if unanswerable else 6))]]
        answers = ((wanted, context.index(wanted)),) if wanted in context else ()
        found.append(Question(f"question {row}", row + 1, "", wanted, context, answers))
    return encoded(question_corpus([(None, "short", found)], name="short", source="made here"))


def engine_of(
    settings: Any, seeds: list[int], corpora: list[EncodedCorpus] | None = None, **options: Any
) -> tuple[LabelingEngine, FineTune]:
    engine = LabelingEngine(
        corpora or [asked()], OPTIONS.model_copy(update=options), len(seeds), ["answer_f1"], settings
    )
    engine.reset([Streams(seed) for seed in seeds])
    assert isinstance(engine.learner, FineTune)
    return engine, engine.learner


@pytest.mark.parametrize("smoothing", [0.0, 0.4])
def test_the_loss_of_a_window_is_the_mean_over_its_two_borders(smoothing: float) -> None:
    # A mark and three words: the answer is words 1 and 2; in the second window of two words there is none.
    scores = torch.tensor(
        [
            [[0.1, 0.3], [1.0, -1.0], [0.5, 2.0], [0.0, 0.0]],
            [[1.0, 0.2], [0.0, 1.0], [0.3, 0.4], [9.0, 9.0]],
        ]
    )[None]
    targets = torch.tensor([[[0, 1, 2, 0], [3, 0, 0, -1]]])
    places: list[tuple[tuple[int, int], int]] = [((1, 2), 4), ((0, 0), 3)]
    expected = []
    for window, (borders, n) in enumerate(places):
        total = 0.0
        for side, at in enumerate(borders):
            log = torch.log_softmax(scores[0, window, :n, side].double(), 0)
            total -= float((1 - smoothing) * log[at] + smoothing * log.mean()) / 2.0
        expected.append(total)
    each = HEAD.loss(scores, targets, MASK, smoothing)
    assert each.sum(2)[0].tolist() == pytest.approx(expected)
    assert float(each[0, 1, 3]) == 0.0
    share = HEAD.shares(targets, torch.ones(1, 2))
    assert float((each * share).sum()) == pytest.approx(sum(expected) / 2)
    assert float(HEAD.divergence(scores, scores, targets).abs().max()) == 0.0
    other = scores.flip(3)
    apart = 0.0
    for side in range(2):
        p, q = (torch.softmax(one[0, 1, :3, side].double(), 0) for one in (scores.detach(), other))
        apart += float((p * (p / q).log()).sum() + (q * (q / p).log()).sum()) / 2.0
    assert float(HEAD.divergence(scores, other, targets)[0, 1].sum()) == pytest.approx(apart, rel=1e-5)


def test_a_piece_that_words_share_has_one_place_in_the_loss() -> None:
    # A mark and pieces of one, two and three words: what is left out of a softmax may have any score.
    targets = torch.tensor([[[0, 3, 8, 4, 8, 12, 4]]])
    starts, ends = [0, 1, 2, 4], [0, 1, 3, 6]
    scores = torch.randn(1, 1, 7, 2, generator=torch.Generator().manual_seed(0)).requires_grad_()
    for smoothing in (0.0, 0.4):
        expected = 0.0
        for side, own in enumerate((starts, ends)):
            log = torch.log_softmax(scores.detach()[0, 0, own, side].double(), 0)
            expected -= float((1 - smoothing) * log[1] + smoothing * log.mean()) / 2.0
        loss = HEAD.loss(scores, targets, MASK, smoothing).sum()
        assert loss.item() == pytest.approx(expected)
    (slope,) = torch.autograd.grad(loss, scores)
    assert [place for place in range(7) if slope[0, 0, place, 0] != 0] == starts
    assert [place for place in range(7) if slope[0, 0, place, 1] != 0] == ends
    other = scores.detach().flip(3)
    apart = 0.0
    for side, own in enumerate((starts, ends)):
        p, q = (torch.softmax(one[0, 0, own, side].double(), 0) for one in (scores.detach(), other))
        apart += float((p * (p / q).log()).sum() + (q * (q / p).log()).sum()) / 2.0
    divergence = HEAD.divergence(scores.detach(), other, targets)
    assert float(divergence.sum()) == pytest.approx(apart, rel=1e-5)


def test_the_dev_loss_has_all_words_of_a_question_in_one_softmax() -> None:
    scores = torch.tensor([[1.0, 2.0, 0.5], [0.0, -1.0, 3.0]])  # two words of one question, one of another
    found = HEAD.dev_loss(
        scores, torch.tensor([0, 0, 1]), torch.tensor([0, 1, 0]), torch.tensor([[1, 2], [0, 0]])
    )
    logs = [
        torch.log_softmax(torch.tensor(own), 0)[at]
        for own, at in (([0, 1.0, 2.0], 1), ([0, 0.0, -1.0], 2), ([0, 0.5], 0), ([0, 3.0], 0))
    ]
    assert float(found) == pytest.approx(-float(torch.stack(logs).mean()))


def test_the_dev_loss_counts_a_piece_that_words_share_once() -> None:
    scores = torch.randn(2, 7, generator=torch.Generator().manual_seed(0))
    column, place = torch.tensor([0, 0, 0, 0, 0, 1, 1]), torch.tensor([0, 1, 2, 3, 4, 0, 1])
    # Of the first question words 2 to 4 are one piece, of the second both words.
    repeated = torch.tensor([False, False, True, True, False, False, True])
    truth = torch.tensor([[3, 3], [0, 0]])
    starts, ends = scores.double()
    zero = torch.zeros(1, dtype=torch.float64)
    expected = [
        torch.log_softmax(torch.cat([zero, own]), 0)[at]
        for own, at in ((starts[[0, 1, 4]], 2), (ends[[0, 3, 4]], 2), (starts[[5]], 0), (ends[[6]], 0))
    ]
    found = HEAD.dev_loss(scores, column, place, truth, repeated)
    assert float(found) == pytest.approx(-float(torch.stack(expected).mean()), rel=1e-5)


class PlainReader(nn.Module):
    """A transformer of the library with a linear head for start and end on every piece."""

    def __init__(self, settings: Any, weight: torch.Tensor, bias: torch.Tensor) -> None:
        from transformers import AutoModel

        super().__init__()
        self.trunk = AutoModel.from_pretrained(settings.model, attn_implementation="eager").eval()
        if getattr(self.trunk, "pooler", None) is not None:
            self.trunk.pooler = None
        self.out = nn.Linear(weight.shape[1], 2)
        self.out.weight.data.copy_(weight)
        self.out.bias.data.copy_(bias)

    def forward(self, ids: torch.Tensor, mark: int) -> torch.Tensor:
        """Scores (B, 7, 2) of the mark and the six words behind the question."""
        states = self.trunk(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
        words = list(range(ids.shape[1] - 7, ids.shape[1] - 1)) if mark == 0 else list(range(1, 7))
        scores: torch.Tensor = self.out(states)[:, [mark % ids.shape[1], *words]]
        return scores


@pytest.mark.parametrize(
    ("architecture", "unanswerable"), [("bert", True), ("bert", False), ("gpt2", True)],
    ids=["no answers", "answers", "decoder"],
)  # fmt: skip
def test_it_learns_what_a_plain_loop_of_question_answering_learns(
    architecture: str, unanswerable: bool, finetuning: Finetuning
) -> None:
    settings = finetuning(
        architecture, method="full", max_length=32, dropout=0.0, epochs=4, warmup=0.0, weight_decay=0.0,
        clip=1e6, learning_rate=1e-2,
    )  # fmt: skip
    corpus = short(unanswerable)
    engine, learner = engine_of(settings, [3], [corpus])
    passages, data = corpus.corpus.passages, corpus.corpus
    assert passages is not None
    head = learner.network.begin(learner._seeds)
    plain = PlainReader(settings, head["head.out.weight"][0], head["head.out.bias"][0])
    decoder = architecture == "gpt2"

    def read(rows: list[int]) -> torch.Tensor:
        ids = []
        for row in rows:
            question, context = (
                learner.network.tokenizer(text, add_special_tokens=False)["input_ids"]
                for text in (data.texts[row], passages.contexts()[row])
            )
            ids.append([*question, *context] if decoder else [2, *question, 3, *context, 3])
        return plain(torch.tensor(ids), -1 if decoder else 0)  # type: ignore[no-any-return]

    adam = torch.optim.AdamW(plain.parameters(), lr=settings.learning_rate, weight_decay=0.0)
    learned = engine.draw_of(0).initial.tolist()
    truth = torch.from_numpy(data.targets[learned])
    for step in range(4):  # one batch holds all that is labelled
        for group in adam.param_groups:
            group["lr"] = settings.learning_rate * (4 - step) / 4
        scores = read(learned)
        loss = sum(functional.cross_entropy(scores[..., side], truth[:, side]) for side in range(2)) / 2
        adam.zero_grad()
        loss.backward()  # type: ignore[union-attr]
        adam.step()
    others = [row for row in engine.draw_of(0).pool.tolist() if row not in learned][:6]
    with torch.no_grad():
        expected = read(others)
    found = learner.logits_of_rows([np.array(others)])
    for side, own in enumerate((found.start, found.end)):
        torch.testing.assert_close(
            own[0, :, 1:], (expected[..., side] - expected[:, :1, side])[:, 1:], rtol=1e-3, atol=1e-3
        )
        assert (own[0, :, 0] == (0.0 if unanswerable else -1e30)).all()
    assert float(found.start[0, :, 1:].abs().max()) > 0.1


def test_borders_are_taught_in_their_window_and_at_the_marks_of_all_others(finetuning: Finetuning) -> None:
    engine, learner = engine_of(finetuning(epochs=1, max_length=32), [1])
    store, corpus = learner.stores[0], engine.corpus_of(0).corpus
    assert isinstance(store, QuestionStore)
    assert corpus.passages is not None
    rows = np.arange(80)
    crossing = 0
    examples, targets = store.taught(rows, torch.tensor(corpus.targets))
    assert int(store.lengths.max()) <= 32
    assert len(examples) > 160
    at = 0
    for row in rows.tolist():
        own = store.examples(np.array([row]))
        starts, ends, words = [], [], 0
        for example in own.tolist():
            n = int(store.n_vectors(np.array([example]))[0])
            line = targets[at]
            at += 1
            assert (line[: n + 1] >= 0).all()
            assert (line[n + 1 :] == -1).all()
            assert int((line.clamp_min(0) & 1).sum()) == int((line.clamp_min(0) >> 1 & 1).sum()) == 1
            starts += [words + p for p in range(1, n + 1) if int(line[p]) & 1]
            ends += [words + p for p in range(1, n + 1) if int(line[p]) & 2]
            crossing += any(int(line[p]) & 3 == 1 for p in range(1, n + 1)) and int(line[0]) == 2
            words += n
        assert words == corpus.passages.lengths[row]
        first, last = corpus.targets[row].tolist()
        assert (starts, ends) == (([first], [last]) if first else ([], []))
    assert at == len(examples)
    assert crossing > 0, "some answer begins in one window and ends in the next"


def test_words_of_several_windows_compete_as_independent_windows_would(finetuning: Finetuning) -> None:
    _, learner = engine_of(finetuning(epochs=1, max_length=32), [1])
    store, network = learner.stores[0], learner.network
    rows = np.array([5, 9])
    found = torch.softmax(learner.logits_of_rows([rows]).start[0], 1)
    for line, row in enumerate(rows.tolist()):
        examples = store.examples(np.array([row]))
        counts = store.n_vectors(examples)
        assert len(examples) > 2
        with network.mount(learner._weights), torch.no_grad():
            vectors = network.features(store.rectangle(torch.from_numpy(examples)))
            scores = network.classify(vectors, MASK).view(len(examples), -1, 2)[..., 0].double()
        own = [torch.softmax(one[: n + 1], 0) for one, n in zip(scores, counts.tolist(), strict=True)]
        nowhere = torch.stack([one[0] for one in own]).prod()
        joint = torch.cat([nowhere[None], *(nowhere / one[0] * one[1:] for one in own)])
        torch.testing.assert_close(
            found[line, : len(joint)].double(), joint / joint.sum(), rtol=1e-3, atol=1e-5
        )


def glued() -> EncodedCorpus:
    """Contexts of eight Han characters, each a word; those without a space between them are one piece."""
    rng, found = np.random.default_rng(0), []
    for row in range(60):
        order = [*rng.permutation([*"天地人山水火日月"])]
        wanted = order[int(rng.integers(8))]
        context = " ".join("".join(part) for part in (order[:3], order[3], order[4:7], order[7]))
        answers = ((wanted, context.index(wanted)),)
        found.append(Question(f"question {row}", row + 1, "", wanted, context, answers))
    return encoded(question_corpus([(None, "glued", found)], name="glued", source="made here"))


@pytest.mark.parametrize(("room", "members"), [(32, 1), (9, 1), (32, 2)], ids=["one", "windows", "ensemble"])
def test_words_of_one_piece_are_one_place_for_borders(
    room: int, members: int, finetuning: Finetuning
) -> None:
    # Of the words, which count from 1, 1 to 3 and 5 to 7 are a piece.
    first, last = np.array([0, 1, 1, 1, 4, 5, 5, 5, 8]), np.array([0, 3, 3, 3, 4, 7, 7, 7, 8])
    corpus = glued()
    engine = LabelingEngine([corpus], OPTIONS, 2, ["answer_f1"], finetuning(max_length=room, members=members))
    engine.reset([Streams(seed) for seed in (1, 2)])
    rows = np.arange(20)
    scores = engine.scores(rows)
    for side, border in ((scores.start, first), (scores.end, last)):
        can = [word for word in range(1, 9) if border[word] == word]
        assert bool((side[:, :, can] > -1e6).all())
        assert bool((side[:, :, [word for word in range(9) if word not in can]] < -1e6).all())
    signals, unknown = engine.view.spans, ~engine.view.labelled
    assert bool((signals.span_margin[unknown] > 0).all()), "no answer ties with a shorter one"
    assert bool((signals.margin[unknown] > 0).all())
    if members == 1:
        assert isinstance(engine.learner, FineTune)
        store = engine.learner.stores[0]
        columns, dev = engine.learner._columns, engine.learner._columns.dev[0][0]
        logits = torch.randn(
            2, int(store.n_vectors_of(dev).sum()), generator=torch.Generator().manual_seed(0)
        )
        loss = columns.wanting(0, logits, engine.learner._task, torch.ones(2, dtype=torch.bool))
        inner = logits.clone().view(2, len(dev), 8)
        inner[0, :, [1, 2, 5, 6]] = 9.0  # where nothing can begin
        inner[1, :, [0, 1, 4, 5]] = 9.0  # or end
        assert loss == columns.wanting(
            0, inner.view(2, -1), engine.learner._task, torch.ones(2, dtype=torch.bool)
        )
        examples, targets = store.taught(rows, torch.tensor(corpus.corpus.targets[rows]))
        counts, at = store.n_vectors(examples), 0
        for row in rows.tolist():
            told: dict[int, list[int]] = {1: [], 2: [], 4: [], 8: []}
            words = 0
            while words < 8:
                line = targets[at, 1 : 1 + counts[at]].tolist()
                for code, found in told.items():
                    found += [words + p + 1 for p, value in enumerate(line) if value & code]
                words, at = words + counts[at], at + 1
            begin, end = corpus.corpus.targets[row].tolist()
            assert told == {1: [first[begin]], 2: [last[end]], 4: [2, 3, 6, 7], 8: [1, 2, 5, 6]}


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "full"},
        {"method": "lora", "dropout": 0.3},
        {"method": "full", "layers": 1, "label_smoothing": 0.2},
        {"method": "bitfit", "r_drop": 1.0, "adversarial": {"kind": "fgm"}},
    ],
    ids=["full", "lora", "top layer", "bitfit with R-Drop and FGM"],
)
@pytest.mark.arithmetic
def test_episodes_side_by_side_learn_what_they_learn_alone(
    changes: dict[str, Any], finetuning: Finetuning
) -> None:
    corpora = [short(), asked(0.0)]
    settings = finetuning(epochs=1, max_length=32, **changes)
    together = LabelingEngine(corpora, OPTIONS, 3, ["answer_f1"], settings)
    together.reset([Streams(seed) for seed in range(3)], None, [0, 1, 0])
    together.step(make_strategy("random").select(together.view, 3))
    for seed, corpus in enumerate([0, 1, 0]):
        alone = LabelingEngine(corpora, OPTIONS, 1, ["answer_f1"], settings)
        alone.reset([Streams(seed)], None, [corpus])
        alone.step(make_strategy("random").select(alone.view, 3))
        own = alone.view.spans.span_entropy[0]
        torch.testing.assert_close(own, together.view.spans.span_entropy[seed], rtol=1e-3, atol=2e-3)


def test_all_strategies_of_questions_choose_from_a_fine_tuned_reader(finetuning: Finetuning) -> None:
    settings = finetuning(epochs=1, max_length=32)
    engine, _ = engine_of(settings, [1, 2])
    names = suited(settings, "question-answering")
    assert {"random", "margin", "span-margin", "span-entropy", "mnlp-span", "no-answer-doubt"} <= set(names)
    assert not {"badge", "bald", "mnlp"} & set(names)
    for name in names:
        if not name.startswith("alps"):
            chosen = make_strategy(name).select(engine.view, 3)
            assert all(len(set(own)) == 3 and min(own) >= 0 for own in chosen.tolist()), name


def test_it_learns_to_find_the_word_that_is_asked_for(finetuning: Finetuning) -> None:
    settings = finetuning(method="full", epochs=40, learning_rate=5e-3, dropout=0.0, max_length=32)
    engine, learner = engine_of(settings, [8], [short()], initial_size=18, budget=6)
    rows = engine.draw_of(0).initial
    assert HeldOut(rows).measure(engine, ["answer_f1"])["answer_f1"][0] > 0.9
    first, last = best_answers(learner.logits_of_rows([rows]))
    truth = engine.corpus_of(0).corpus.targets[rows]
    assert {0} < set(truth[:, 0].tolist()), "questions with and without an answer"
    assert (first[0].numpy() == truth[:, 0]).mean() > 0.9
    assert (last[0].numpy() == truth[:, 1]).mean() > 0.9


def test_it_stops_early_and_other_rows_get_the_scores_that_the_pool_gets(finetuning: Finetuning) -> None:
    settings = finetuning(method="full", epochs=40, max_length=32, dropout=0.0, patience=2)
    engine, learner = engine_of(settings, [1], [short()])
    assert 3 <= learner.steps < 40
    rows = engine.draw_of(0).dev
    inside, outside = learner.logits_of(slice(24, None)), learner.logits_of_rows([rows])
    torch.testing.assert_close(outside.start, inside.start, rtol=1e-4, atol=1e-4)
    assert (outside.rows == inside.rows).all()
    assert HeldOut(rows).measure(engine, ["answer_f1"])["answer_f1"][0] == pytest.approx(
        engine.current["answer_f1"][0]
    )


def test_monte_carlo_samples_are_of_words_alone(finetuning: Finetuning) -> None:
    _, learner = engine_of(finetuning(epochs=1, max_length=32, dropout=0.3), [1], [short()])
    drawn = learner.dropout_logits(slice(0, 24), 2)
    assert drawn.shape == (1, 2, 2, 24 * 6)
    assert learner.features_of(slice(0, 24)).shape == (1, 24 * 6, 32)
    assert not torch.equal(drawn[:, 0], drawn[:, 1])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"class_weights": "balanced"}, "is of question-answering, which has none; leave it out"),
        ({"mixup": {"alpha": 0.4}}, "mixup mixes words of different contexts"),
        ({"max_length": 4}, "has no room for a question and a word of its context"),
    ],
    ids=["class weights", "mixup", "short windows"],
)
def test_what_cannot_be_read_or_weighed_is_refused(
    changes: dict[str, Any], message: str, finetuning: Finetuning
) -> None:
    with pytest.raises(ReActError, match=message):
        engine_of(finetuning(**changes), [1])
