"""Scores of words in a gap, by hand against what the model itself says of the words at its mask."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer

from react_rl.encoders.cache import ArrayCache
from react_rl.errors import ReActError
from react_rl.learners.prompts.parsing import WordScores
from react_rl.learners.prompts.reading import GapReader
from react_rl.learners.prompts.settings import PromptSettings
from react_rl.learners.prompts.templates import Template, check_template
from react_rl.learners.prompts.verbaliser import Verbaliser, check_words, words_of_name

ARCHITECTURES = ["bert", "roberta", "distilbert", "albert"]


def by_hand(folder: Path, text: str) -> torch.Tensor:
    """Scores of all words ``(V,)`` at the mask of a text."""
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForMaskedLM.from_pretrained(folder)
    ids = tokenizer(text, return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        scores: torch.Tensor = model.eval()(input_ids=ids).logits[0]
    return scores[ids[0] == tokenizer.mask_token_id][0]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_class_scores_the_mean_of_what_the_model_says_of_its_words_at_the_mask(
    architecture: str, tmp_path: Path, save_masked_lm: Callable[[Path, str], Path]
) -> None:
    folder = save_masked_lm(tmp_path, architecture)
    settings = PromptSettings(
        model=str(folder), templates=("{text} it was {mask} .",), precision="fp32", max_length=24
    )
    reader = GapReader(settings)
    verbaliser = Verbaliser((("good", "great"), ("bad",), ("news",)))
    words = WordScores(*verbaliser.head(reader.head, reader.tokenizer, "corpus"))
    found = words.raw(torch.from_numpy(reader.vectors(["the film", "a very bad plot"])))
    for scores, text in zip(found, ("the film", "a very bad plot"), strict=True):
        said = by_hand(folder, f"{text} it was [MASK] .")
        # good 5, great 6, bad 7; "news" is "n" 16 and "##ews" 17.
        hand = torch.stack([said[5:7].mean(), said[7], said[16:18].mean()])
        assert torch.allclose(scores, hand, atol=1e-4)


def test_several_templates_count_with_the_mean_of_their_scores(
    masked_lm: Path, prompting: PromptSettings
) -> None:
    templates = ("{text} it was {mask} .", "a {mask} film {text}")
    reader = GapReader(prompting.model_copy(update={"templates": templates}))
    found = reader.head.scores(torch.from_numpy(reader.vectors(["the plot"]))[0])
    hand = (by_hand(masked_lm, "the plot it was [MASK] .") + by_hand(masked_lm, "a [MASK] film the plot")) / 2
    assert torch.allclose(found, hand, atol=1e-4)


def test_a_long_text_is_cut_and_the_template_around_it_is_not(masked_lm: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(masked_lm)
    template = Template("{text} it was {mask} .", tokenizer, 9, "tiny")
    filled = template.fill(["film " * 30, "", "[MASK] film"])
    texts = [tokenizer.decode(np.frombuffer(filled.table.distinct[u], np.int32)) for u in filled.table.row_of]
    assert texts[0] == "[CLS] film film film it was [MASK] . [SEP]"
    assert texts[1] == "[CLS] it was [MASK] . [SEP]"
    # A mask of the text's own is not the gap.
    assert filled.gap_of.tolist() == [6, 3, 5]
    before = Template("a {mask} film {text}", tokenizer, 9, "tiny").fill(["plot plot", "[MASK]"])
    assert before.gap_of.tolist() == [2, 2]


def test_texts_without_content_make_classes_even_and_so_does_the_mean_over_the_pool() -> None:
    words = WordScores(torch.eye(2), torch.tensor([1.0, 0.0]))
    empty, pool = torch.tensor([[0.5, 0.0]]), torch.tensor([[3.0, 0.0], [0.0, 1.0]])
    # Zhao et al. 2021: dividing by the probabilities of a text that says nothing leaves it undecided.
    by_empty = words.adjusted("content-free", None, empty, pool)
    assert torch.allclose(torch.softmax(by_empty.raw(empty), 1), torch.full((1, 2), 0.5))
    by_pool = words.adjusted("pool", None, empty, pool)
    mean = torch.softmax(torch.tensor([[4.0, 0.0], [1.0, 1.0]]), 1).mean(0)
    assert torch.allclose(by_pool.raw(pool), torch.tensor([[4.0, 0.0], [1.0, 1.0]]) - mean.log())
    assert torch.equal(words.adjusted("none", None, empty, pool).raw(pool), words.raw(pool))


def test_scores_are_as_strong_over_the_pool_as_they_should_be() -> None:
    words = WordScores(torch.eye(2), torch.tensor([1.0, 0.0]))
    pool = torch.tensor([[3.0, 0.0], [0.0, 3.0]])
    found = words.adjusted("none", 2.0, pool[:1], pool).raw(pool)
    # Differences of 4 and -2 become such that their halves have a mean square of 4.
    assert torch.allclose(found[:, 0] - found[:, 1], torch.tensor([4.0, -2.0]) * 4 / 10**0.5)


def test_names_of_classes_are_their_words_unless_others_are_given() -> None:
    assert words_of_name("Sci/Tech") == ("sci", "tech")
    assert words_of_name("credit_card") == ("credit", "card")
    found = Verbaliser.of(("negative", "Good"), {"negative": ("bad", "awful")}, "reviews")
    assert found.words == (("bad", "awful"), ("good",))


def test_what_is_no_template_and_what_are_no_words_is_said_in_one_sentence(
    masked_lm: Path, prompting: PromptSettings
) -> None:
    for template in ("it was {mask} .", "{text} {text} {mask}", "{text} it was", "{text} {mask} {label}"):
        with pytest.raises(ReActError, match=r"needs \{text\} once and \{mask\} once"):
            check_template(template)
    with pytest.raises(ReActError, match=r"Class '0' of corpus 'c' has no word for a name"):
        Verbaliser.of(("0", "1"), {}, "c")
    with pytest.raises(ReActError, match=r"Classes 'a' and 'b' of corpus 'c' have the same words"):
        Verbaliser.of(("a", "b"), {"a": ("x",), "b": ("x",)}, "c")
    with pytest.raises(ReActError, match=r"'negativ', which no corpus has. Did you mean 'negative'"):
        check_words({"negativ": ("bad",)}, [("negative", "good")])
    reader = GapReader(prompting)
    with pytest.raises(ReActError, match=r"does not know the word 'zebra' of corpus 'c'"):
        Verbaliser((("zebra",),)).head(reader.head, reader.tokenizer, "c")
    with pytest.raises(ReActError, match="leaves no room for a text; raise max_length"):
        Template("{text} it was {mask} .", reader.tokenizer, 6, "tiny")


def test_a_model_without_a_masked_lm_head_is_refused(
    tmp_path: Path, save_masked_lm: Callable[[Path, str], Path], prompting: PromptSettings
) -> None:
    folder = save_masked_lm(tmp_path, "without")
    with pytest.raises(ReActError, match=r"has no masked-LM head .* learner.kind prompt needs one"):
        GapReader(prompting.model_copy(update={"model": str(folder)}))


def test_vectors_of_a_corpus_are_read_once(prompting: PromptSettings, tmp_path: Path) -> None:
    cache, texts = ArrayCache(tmp_path), ["the film", "the plot", "the film"]
    first = GapReader(prompting).vectors(texts, cache, "reviews")
    again = GapReader(prompting)
    again.encoder.hidden_states = None  # type: ignore[method-assign, assignment]
    assert np.array_equal(again.vectors(texts, cache, "reviews"), first)
    assert np.array_equal(first[0], first[2])
    assert [entry.kind for entry in cache.entries()] == ["gap vectors"]
