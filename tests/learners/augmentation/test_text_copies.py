"""Copies of labelled texts: what each operation may change, where words come from, seeds."""

from __future__ import annotations

import sys
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from react_rl.errors import ReActError
from react_rl.learners.augmentation.copying import Copier, rewriter_of
from react_rl.learners.augmentation.edits import (
    deleted,
    edited,
    inserted,
    replaced,
    swapped,
    wordnet_synonyms,
    words_of,
)
from react_rl.learners.augmentation.mentions import entities_of, mentions_of, with_other_mentions
from react_rl.learners.augmentation.rewriting import BackTranslator, MaskedRewriter
from react_rl.learners.recipes import AugmentationSettings

WORDS = ["the", "quick", "brown", "fox", "jumps", "over", "the", "lazy", "dog"]
CPU = torch.device("cpu")


def stream(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def synonyms(word: str) -> Sequence[str]:
    return {"quick": ["fast", "rapid"], "dog": ["hound"], "the": ["never"]}.get(word, [])


@pytest.mark.parametrize("seed", range(5))
def test_operations_keep_what_they_do_not_change(seed: int) -> None:
    assert Counter(swapped(WORDS, 3, stream(seed))) == Counter(WORDS)
    kept = deleted(WORDS, 0.5, stream(seed))
    rest = iter(WORDS)
    assert all(word in rest for word in kept), "what is left keeps its order"
    assert 1 <= len(kept) <= len(WORDS)
    changed = replaced(WORDS, 2, synonyms, stream(seed))
    assert [i for i, word in enumerate(changed) if word != WORDS[i]] == [1, 8]
    assert changed[1] in ("fast", "rapid")
    assert changed[8] == "hound"
    longer = inserted(WORDS, 1, synonyms, stream(seed))
    extra = Counter(longer) - Counter(WORDS)
    assert set(extra) <= {"fast", "rapid", "hound"}
    assert sum(extra.values()) == 1
    assert [word for word in longer if word not in extra] == WORDS


def test_a_text_of_one_word_stays_and_so_does_one_without_synonyms() -> None:
    for seed in range(8):
        assert edited("Yes!", 0.5, synonyms, stream(seed)) == "Yes!"
    assert deleted(["a", "b"], 0.999, stream()) in (["a"], ["b"])
    assert replaced(["of", "the"], 2, synonyms, stream()) == ["of", "the"], "function words stay"


def test_punctuation_around_a_replaced_word_stays_and_han_is_edited_by_the_character() -> None:
    assert replaced(["Quick,"], 1, lambda _: ["fast"], stream()) == ["fast,"]
    assert words_of("我今天很高兴") == (list("我今天很高兴"), "")
    copy = edited("我今天很高兴", 0.4, None, stream(1))
    assert set(copy) <= set("我今天很高兴")
    assert " " not in copy


class FewWords:
    """What is asked of nltk's WordNet, with two sets of synonyms: nltk takes seconds to import."""

    def ensure_loaded(self) -> None: ...

    def all_lemma_names(self, part_of_speech: str) -> list[str]:
        return [f"{part_of_speech}{number}" for number in range(250)]

    def synsets(self, word: str) -> list[FewWords]:
        self.names = {"quick": ["quick", "fast"], "dog": ["dog", "hunting_hound", "Dog"]}.get(word, [])
        return [self, self]

    def lemma_names(self) -> list[str]:
        return self.names


@pytest.fixture
def wordnet(monkeypatch: pytest.MonkeyPatch) -> None:
    """A WordNet of a few words where nltk's would be."""
    module = ModuleType("nltk.corpus")
    vars(module)["wordnet"] = FewWords()
    monkeypatch.setitem(sys.modules, "nltk.corpus", module)


@pytest.mark.usefixtures("wordnet")
def test_synonyms_come_from_wordnet_each_once_and_without_the_word_itself() -> None:
    found = wordnet_synonyms()
    assert found("quick") == ["fast"]
    assert found("dog") == ["hunting hound"]
    assert found("zebra") == []


def test_wordnet_that_is_there_in_part_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    class Torn(FewWords):
        def ensure_loaded(self) -> None:
            raise OSError("No such file or directory: 'corpora/wordnet/lexnames'")

    module = ModuleType("nltk.corpus")
    vars(module)["wordnet"] = Torn()
    monkeypatch.setitem(sys.modules, "nltk.corpus", module)
    with pytest.raises(ReActError, match=r"needs neither \(No such file or directory: .*lexnames'\)"):
        wordnet_synonyms()


@pytest.mark.parametrize(
    ("damaged", "where"),
    [
        (lambda _: True, "an entry of 'n0' cannot be read"),  # line ends were changed
        (lambda word: word > "v1", "an entry of 'v100' cannot be read"),  # the file of verbs was cut short
    ],
)
def test_wordnet_that_is_damaged_is_one_sentence_before_a_text_is_edited(
    monkeypatch: pytest.MonkeyPatch, damaged: Callable[[str], bool], where: str
) -> None:
    class Damaged(FewWords):
        def synsets(self, word: str) -> Any:
            warnings.warn("No WordNet synset found", stacklevel=1)
            return [None] if damaged(word) else []

    module = ModuleType("nltk.corpus")
    vars(module)["wordnet"] = Damaged()
    monkeypatch.setitem(sys.modules, "nltk.corpus", module)
    with pytest.raises(ReActError, match=f"WordNet is damaged: {where}, .*nltk.downloader wordnet"):
        wordnet_synonyms()


def test_an_index_of_wordnet_that_ends_in_a_line_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    class Short(FewWords):
        def ensure_loaded(self) -> None:
            next(iter(()))

    module = ModuleType("nltk.corpus")
    vars(module)["wordnet"] = Short()
    monkeypatch.setitem(sys.modules, "nltk.corpus", module)
    with pytest.raises(ReActError, match="WordNet is damaged: its index cannot be read"):
        wordnet_synonyms()


@pytest.mark.usefixtures("wordnet")
def test_an_entry_of_wordnet_that_nobody_looked_up_first_is_one_sentence_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = wordnet_synonyms()
    monkeypatch.setattr(FewWords, "synsets", lambda self, word: [None])
    with pytest.raises(ReActError, match="WordNet is damaged: an entry of 'quick' cannot be read"):
        found("quick")


def test_wordnet_that_is_not_there_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nltk.corpus", None)
    with pytest.raises(ReActError, match="take the recipe eda, which needs neither"):
        wordnet_synonyms()


def test_a_masked_model_fills_in_a_share_of_the_words(masked_checkpoint: Path) -> None:
    rewrite = MaskedRewriter(str(masked_checkpoint), 24, CPU).rewrite
    text = "ba be, bi bo bu da de di do du"
    copies = [rewrite(text, 0.2, stream(seed)) for seed in range(6)]
    for copy in copies:
        changed = [i for i, (a, b) in enumerate(zip(copy.split(), text.split(), strict=True)) if a != b]
        assert len(changed) == 2
        assert all(word.strip(",").isalpha() for word in copy.split())
        assert copy.split()[1].endswith(","), "punctuation stays"
    assert len(set(copies)) > 1
    assert rewrite(text, 0.2, stream(3)) == copies[3]
    assert rewrite("!!! ...", 0.5, stream()) == "!!! ..."


def test_a_model_without_a_masked_head_is_refused(checkpoint: object) -> None:
    assert callable(checkpoint)
    with pytest.raises(ReActError, match="no masked-LM head"):
        MaskedRewriter(str(checkpoint("bert")), 24, CPU)


@pytest.fixture(scope="module", params=["marian", "t5"])
def translator(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, masked_checkpoint: Path
) -> Path:
    """The folder of a tiny random translator on syllables: it writes something for every text."""
    import shutil

    import transformers as t

    folder = tmp_path_factory.mktemp("translator")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(masked_checkpoint / name, folder / name)
    marks = {"pad_token_id": 0, "eos_token_id": 3, "decoder_start_token_id": 0}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model: Any
        if request.param == "t5":
            config = t.T5Config(
                vocab_size=150, d_model=16, d_kv=4, d_ff=16, num_layers=1, num_heads=2, **marks
            )
            model = t.T5ForConditionalGeneration(config)
        else:
            # As the checkpoints of Helsinki-NLP are saved: beams by default, padding never written.
            marian = t.MarianConfig(
                vocab_size=150, d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
                decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16,
                max_position_embeddings=64, init_std=0.5, num_beams=4, bad_words_ids=[[0]],
                forced_eos_token_id=3, **marks,
            )  # fmt: skip
            model = t.MarianMTModel(marian)
        model.eval().save_pretrained(folder)
    return folder


def test_a_text_is_translated_and_back_by_its_own_seed(translator: Path) -> None:
    rewrite = BackTranslator(str(translator), str(translator), 16, CPU).rewrite
    before = torch.get_rng_state()
    copies = [rewrite("ba be bi", 0.1, stream(seed)) for seed in (0, 1, 0)]
    assert torch.equal(before, torch.get_rng_state()), "torch's own stream stays"
    assert copies[0] == copies[2] != copies[1]
    assert all(copy and "[" not in copy for copy in copies), "marks are left out"


def test_a_package_that_a_tokenizer_needs_is_named(translator: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import transformers

    def lacking(*given: object, **options: object) -> None:
        raise ImportError(
            "MarianTokenizer requires the SentencePiece library but it was not found in your ..."
        )

    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", lacking)
    with pytest.raises(ReActError, match="needs sentencepiece, which is not installed; run: pip install"):
        BackTranslator(str(translator), str(translator), 16, CPU)


def test_an_encoder_does_not_translate(masked_checkpoint: Path) -> None:
    with pytest.raises(ReActError, match="does not translate"):
        BackTranslator(str(masked_checkpoint), str(masked_checkpoint), 16, CPU)


SENTENCES = [
    (["Ann", "met", "Bob", "Lee", "in", "Rome"], [1, 0, 1, 2, 0, 3]),
    (["Oslo", "is", "far"], [3, 0, 0]),
    (["nothing", "here"], [0, 0]),
]


def test_mentions_are_exchanged_for_others_of_their_type_and_every_tag_is_right() -> None:
    known = mentions_of(SENTENCES)
    assert known == {0: [("Ann",), ("Bob", "Lee")], 1: [("Oslo",), ("Rome",)]}
    assert entities_of([0, 2, 2, 4, 1, 1]) == [(1, 3, 0), (3, 4, 1), (4, 5, 0), (5, 6, 0)]
    words, tags = with_other_mentions(SENTENCES[0], known, 0.999, stream())
    assert words == ["Bob", "Lee", "met", "Ann", "in", "Oslo"]
    assert tags == [1, 2, 0, 1, 0, 3]
    for seed in range(6):
        words, tags = with_other_mentions(SENTENCES[0], known, 0.001, stream(seed))
        kinds = [kind for _, _, kind in entities_of(tags)]
        assert kinds == [0, 0, 1], "as many entities of the same types, in order"
        assert words != SENTENCES[0][0], "one is exchanged at least"
        assert all(tuple(words[a:b]) in known[kind] for a, b, kind in entities_of(tags))
    assert with_other_mentions(SENTENCES[2], known, 0.5, stream()) == (["nothing", "here"], [0, 0])


def test_copies_depend_on_seed_row_and_number_and_on_nothing_else() -> None:
    settings = AugmentationSettings(kind="eda", copies=3, share=0.3)

    def copier() -> Copier:
        return Copier(settings, "texts", "none", 16, CPU)

    texts = [" ".join(WORDS), "one two three four five six"]
    both = copier().texts(texts, [7, 9], 5)
    assert len(both) == 6
    assert copier().texts(texts[1:], [9], 5) == both[3:]
    assert copier().texts(texts, [7, 9], 6) != both
    again = copier()
    assert again.texts(texts, [7, 9], 5) == again.texts(texts, [7, 9], 5) == both
    assert len(set(both[:3])) > 1


def test_an_augmentation_that_does_not_go_with_the_task_is_refused() -> None:
    with pytest.raises(ReActError, match="'eda' is not for sentences with tags; take mentions"):
        Copier(AugmentationSettings(kind="eda"), "words", "none", 16, CPU)
    with pytest.raises(ReActError, match="'mentions' is not for texts with a class"):
        Copier(AugmentationSettings(kind="mentions"), "texts", "none", 16, CPU)
    with pytest.raises(ReActError, match="'mentions' is not for questions about contexts"):
        Copier(AugmentationSettings(kind="mentions"), "answers", "none", 16, CPU)


@pytest.mark.usefixtures("wordnet")
def test_eda_with_wordnet_uses_all_four_operations() -> None:
    rewrite = rewriter_of(AugmentationSettings(kind="eda", synonyms="wordnet"), "none", 16, CPU)
    copies = {rewrite("a quick dog ran home", 0.3, stream(seed)) for seed in range(40)}
    assert any("fast" in copy and "quick" in copy for copy in copies), "inserted"
    assert any("fast" in copy and "quick" not in copy for copy in copies), "replaced"
    assert any(len(copy.split()) < 5 for copy in copies), "deleted"
