"""Answers of decoders: log-probabilities by brute force, shared prompts, episodes without labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from react_rl.acquisition import make_strategy
from react_rl.encoders.cache import ArrayCache
from react_rl.errors import ReActError
from react_rl.learners.prompts.answers import AnswerReader, load_decoder
from react_rl.learners.prompts.settings import PromptSettings
from react_rl.seeding import Streams
from react_rl.simulation import EpisodeOptions, LabelingEngine
from react_rl.simulation.encoded import EncodedCorpus

WORDS = [
    "[UNK]",
    "<s>",
    "good",
    "great",
    "bad",
    "film",
    "plot",
    "the",
    "a",
    "was",
    "it",
    "very",
    ".",
    "n",
    "##ews",
]
CLASSES = ("negative", "good")


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random GPT-2 that knows the words of the tests; ``news`` has two pieces."""
    import transformers as t
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    folder = tmp_path_factory.mktemp("decoder")
    vocabulary = {word: number for number, word in enumerate(WORDS)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    t.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="[UNK]", bos_token="<s>", eos_token="<s>", model_max_length=40
    ).save_pretrained(folder)
    config = t.GPT2Config(
        vocab_size=len(WORDS), n_positions=40, n_embd=16, n_layer=2, n_head=2, initializer_range=0.5,
        bos_token_id=1, eos_token_id=1,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        t.GPT2LMHeadModel(config).eval().save_pretrained(folder)
    return folder


def settings(decoder: Path, **changes: object) -> PromptSettings:
    given = {
        "model": str(decoder), "templates": "{text} it was {mask}", "answers": "sum", "max_length": 24,
        "words": {"negative": ["bad", "very bad news"], "good": ["good"]},
    }  # fmt: skip
    return PromptSettings.model_validate(given | changes)


def by_hand(decoder: Path, text: str, answer: str) -> tuple[float, int]:
    """Sum of log-probabilities of an answer's tokens, one whole sequence at a time, and their number."""
    model, tokenizer = load_decoder("x", decoder)
    prompt = tokenizer(f"{text} it was")["input_ids"]
    own = tokenizer(answer, add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        log = torch.log_softmax(model(input_ids=torch.tensor([prompt + own])).logits[0], -1)
    return sum(float(log[len(prompt) - 1 + k, token]) for k, token in enumerate(own)), len(own)


TEXTS = ["a film", "the plot was good", "very very bad film .", "good"]


@pytest.mark.parametrize("answers", ["sum", "mean"])
def test_a_class_has_the_mean_log_probability_of_its_words_as_answers(decoder: Path, answers: str) -> None:
    found = AnswerReader(settings(decoder, answers=answers), CLASSES, "reviews").vectors(TEXTS)
    for row, text in enumerate(TEXTS):
        each = []
        for word in ("bad", "very bad news", "good"):
            total, length = by_hand(decoder, text, word)
            each.append(total / (length if answers == "mean" else 1))
        expected = [(each[0] + each[1]) / 2, each[2]]
        np.testing.assert_allclose(found[row], expected, atol=1e-4)


def test_a_prompt_is_read_once_for_all_answers(decoder: Path) -> None:
    reader, lengths = AnswerReader(settings(decoder), CLASSES, "reviews"), []
    reader._model.register_forward_pre_hook(
        lambda _, args, given: lengths.append(tuple(given["input_ids"].shape)), with_kwargs=True
    )
    reader.vectors(["a film", "the plot", "a plot was bad"])
    # Two prompts of five tokens and one of seven; then three answers each, without their last token.
    assert lengths == [(2, 5), (6, 3), (1, 7), (3, 3)]


def test_a_long_text_is_cut_and_the_template_and_the_answer_are_not(decoder: Path) -> None:
    reader = AnswerReader(settings(decoder, max_length=12), CLASSES, "reviews")
    (ids,) = reader.prompts(["very " * 30])
    assert len(ids) == 12 - 4, "the longest answer has four pieces"
    assert ids[-2:] == [WORDS.index("it"), WORDS.index("was")]


def test_what_was_read_is_looked_up(decoder: Path, tmp_path: Path) -> None:
    cache = ArrayCache(tmp_path)
    first = AnswerReader(settings(decoder), CLASSES, "reviews").vectors(TEXTS, cache)
    again = AnswerReader(settings(decoder, answers="mean"), CLASSES, "reviews")
    again.read = None  # type: ignore[method-assign, assignment]  # nothing may be read again
    assert np.isfinite(again.vectors(TEXTS, cache)).all()
    assert len(cache.entries()) == 1
    assert first.shape == (4, 2)


@pytest.mark.parametrize("train", ["nothing", "embedding"])
def test_episodes_begin_at_what_the_answers_say(decoder: Path, reviews: EncodedCorpus, train: str) -> None:
    options = EpisodeOptions(pool_size=30, dev_size=10, initial_size=0, budget=8, batch_size=4)
    asked = settings(decoder, train=train, calibration="none", strength=None)
    engine = LabelingEngine([reviews], options, 2, learner=asked)
    engine.reset([Streams(seed) for seed in range(2)])
    said = AnswerReader(asked, reviews.corpus.label_names, "reviews").vectors(reviews.corpus.texts)
    pool = engine.draw_of(0).pool
    before = engine.learner.logits_of(slice(0, 30))[0].T.clone()
    np.testing.assert_allclose(before.numpy(), said[pool], atol=1e-4)
    while not engine.finished.all():
        engine.step(make_strategy("margin").select(engine.view, 4))
    after = engine.learner.logits_of(slice(0, 30))[0].T
    assert torch.equal(before, after) is (train == "nothing")


def test_what_a_decoder_cannot_do_is_refused(decoder: Path, masked_lm: Path) -> None:
    with pytest.raises(ReActError, match=r"does not end with \{mask\}"):
        AnswerReader(settings(decoder, templates="{mask} : {text}"), CLASSES, "reviews")
    with pytest.raises(ReActError, match="no decoder that gives answers"):
        AnswerReader(settings(masked_lm), CLASSES, "reviews")
    with pytest.raises(ValueError, match="set train to embedding or nothing"):
        settings(decoder, train="gap")
    with pytest.raises(ValueError, match="set demonstrations to 0"):
        settings(decoder, train="nothing", demonstrations=2)


@pytest.mark.gpu
def test_answers_are_read_on_the_device(decoder: Path, cuda: str) -> None:
    found = [
        AnswerReader(settings(decoder, precision="fp32"), CLASSES, "reviews", device).vectors(TEXTS)
        for device in ("cpu", cuda)
    ]
    np.testing.assert_allclose(found[0], found[1], atol=1e-3)
