"""Fine-tuning on copies of labelled rows and on unlabelled ones: losses by hand, seeds, what is looked at."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from react_rl.acquisition import make_strategy
from react_rl.data.corpus import Corpus
from react_rl.data.questions import Question, question_corpus
from react_rl.data.synthetic import synthetic_sentences
from react_rl.errors import ReActError
from react_rl.experiments.config.learners import learner_config
from react_rl.learners.finetune.learner import FineTune
from react_rl.learners.finetune.methods.network import Network, Texts
from react_rl.learners.finetune.settings import FineTuneSettings
from react_rl.learners.finetune.training.consistency import consistency_loss, kept_tokens
from react_rl.learners.finetune.training.store import TextStore, shortened
from react_rl.learners.recipes import AugmentationSettings, ConsistencySettings, Recipe, make_recipe
from react_rl.seeding import Streams
from react_rl.simulation import EncodedCorpus, EpisodeOptions, LabelingEngine

Settings = Callable[..., FineTuneSettings]
SHORT = {"steps": 3, "dropout": 0.2}
OPTIONS = EpisodeOptions(pool_size=24, dev_size=10, initial_size=6, budget=60, batch_size=3)


def test_the_consistency_loss_by_hand() -> None:
    settings = ConsistencySettings(weight=2.0, threshold=0.7, temperature=0.5)
    p, q = torch.tensor([[0.8, 0.2], [0.6, 0.4]]), torch.tensor([[0.5, 0.5], [0.1, 0.9]])
    sharp = p[0].square() / p[0].square().sum()
    divergence = float((sharp * (sharp / q[0]).log()).sum())
    noisy = q.log()[None].requires_grad_()
    loss = consistency_loss(p.log()[None], noisy, settings)
    assert loss.tolist() == [pytest.approx(2.0 * divergence / 2, rel=1e-5)], (
        "the second row is not sure enough"
    )
    loss.sum().backward()  # type: ignore[no-untyped-call]
    assert noisy.grad is not None
    assert not noisy.grad[0, 1].any()
    outside = torch.full((1, 2, 1), -1e30)
    clean, other = (torch.cat([one, outside], 2) for one in (p.log()[None], noisy.detach()))
    torch.testing.assert_close(consistency_loss(clean, other, settings), loss.detach())


def test_tokens_are_left_out_whatever_the_padding_and_the_marks_stay() -> None:
    mask = torch.arange(200)[None] < torch.tensor([[150], [200]])
    keys = torch.tensor([77], dtype=torch.int32)
    kept = kept_tokens(Texts(mask), 0.3, keys)
    assert kept[0, [0, 149]].all()
    assert kept[1, [0, 199]].all()
    assert float(kept[mask].float().mean()) == pytest.approx(0.7, abs=0.08)
    assert torch.equal(kept_tokens(Texts(mask[:, :180]), 0.3, keys)[0, :150], kept[0, :150])
    ids = torch.tensor([[5, 6, 7, 8], [9, 10, 0, 0]])
    texts = Texts(ids > 0, ids, ids[:, :, None].float())
    short = shortened(texts, torch.tensor([[True, False, True, True], [True, True, True, True]]))
    assert short.ids is not None
    assert short.hidden is not None
    assert short.ids.tolist() == [[5, 7, 8], [9, 10, 0]]
    assert short.mask.tolist() == [[True] * 3, [True, True, False]]
    assert torch.equal(short.hidden[:, :, 0].long(), short.ids)
    assert short.words is None


def test_words_stay_with_their_tokens_and_those_that_are_left_out_do_not_count() -> None:
    ids = torch.tensor([[5, 6, 7, 8], [9, 10, 0, 0]])
    words = torch.tensor([[1, 2, 3], [0, -1, -1]])
    texts = Texts(ids > 0, ids, words=words)
    short = shortened(texts, torch.tensor([[True, False, True, True], [True] * 4]))
    assert short.words is not None
    assert short.words.tolist() == [[-1, 1, 2], [0, -1, -1]]
    settings = ConsistencySettings(weight=1.0, threshold=0.0, temperature=1.0)
    p, q = torch.tensor([[0.8, 0.2], [0.6, 0.4]]), torch.tensor([[0.5, 0.5], [0.1, 0.9]])
    apart = (p * (p / q).log()).sum(1)
    there = torch.tensor([[True, False]])
    found = consistency_loss(p.log()[None], q.log()[None], settings, there)
    assert found.tolist() == [pytest.approx(float(apart[0]), rel=1e-5)]
    none = consistency_loss(p.log()[None], q.log()[None], settings, ~there & there)
    assert none.tolist() == [0.0]


def test_copies_have_the_hidden_states_that_the_same_texts_have_in_the_corpus(
    finetuning: Settings, tmp_path: Path
) -> None:
    network = Network(finetuning(layers=1, method="full"), 2)
    texts = ["ba be bi", "do du ga ge gi", "ba be bi"]
    rows = torch.tensor([1, 0])
    kept, made = TextStore(texts, network, tmp_path), TextStore(texts, network, tmp_path / "no", kept=False)
    torch.testing.assert_close(kept.rectangle(rows).hidden, made.rectangle(rows).hidden)
    assert not (tmp_path / "no").exists(), "what is made in an episode is not kept on disk"


@pytest.mark.parametrize("method", ["full", "lora"])
def test_an_interrupted_episode_with_copies_goes_on_to_the_last_bit(
    method: str, finetuning: Settings, tiny_corpus: Callable[..., Corpus]
) -> None:
    recipe = Recipe(
        augmentation=AugmentationSettings(kind="eda", copies=2), consistency=ConsistencySettings(weight=1.0)
    )
    settings = finetuning(method=method, restart="warm", **SHORT, **recipe.said)
    corpus, few = tiny_corpus(), OPTIONS.model_copy(update={"budget": 12})
    vectors = np.random.default_rng(0).standard_normal((corpus.n_rows, 8)).astype(np.float32)
    encoded, random = EncodedCorpus.build(corpus, vectors), make_strategy("random")
    through, resumed = (LabelingEngine([encoded], few, 2, ["accuracy"], settings) for _ in range(2))
    streams = [Streams(seed) for seed in range(2)]
    through.reset(streams)
    through.step(random.select(through.view, 3))
    state = {name: array.clone() for name, array in through.state().items()}
    resumed.resume([Streams(seed) for seed in range(2)], None, state)
    ids = random.select(through.view, 3)
    for engine in (through, resumed):
        engine.step(ids)
    both = [engine.learner.logits_of(slice(None)) for engine in (through, resumed)]
    assert torch.equal(*both)


@pytest.mark.parametrize("recipe", ["eda", "consistency"])
def test_training_looks_at_labelled_texts_and_the_pool_and_nowhere_else(
    recipe: str,
    classroom: Any,
    finetuning: Settings,
    tiny_corpus: Callable[..., Corpus],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    room = classroom(finetuning(**SHORT), [tiny_corpus()], [0], [2])
    room.learner.choose([make_recipe(recipe)])
    seen: set[int] = set()
    store = room.learner.stores[0]
    rectangle = store.rectangle

    def noted(rows: torch.Tensor) -> Any:
        seen.update(rows.tolist())
        return rectangle(rows)

    monkeypatch.setattr(store, "rectangle", noted)
    room.teach([0], np.arange(5)[None])
    labelled, pool = set(room.rows[0, :5].tolist()), set(room.rows[0, : room.width].tolist())
    assert labelled <= seen
    assert seen <= (labelled if recipe == "eda" else pool)
    assert (seen > labelled) == (recipe == "consistency")


def test_copies_and_originals_are_both_trained_on(
    classroom: Any, finetuning: Settings, tiny_corpus: Callable[..., Corpus]
) -> None:
    room = classroom(finetuning(epochs=2, batch_size=4), [tiny_corpus()], [0], [2])
    room.learner.choose([Recipe(augmentation=AugmentationSettings(kind="eda", copies=2))])
    room.teach([0], np.arange(6)[None])
    assert room.learner.steps == 2 * 5, "two epochs of 6 texts and 12 copies, four at a time"


@pytest.fixture(scope="module")
def tagged() -> EncodedCorpus:
    vectors = np.random.default_rng(0).standard_normal((80, 8)).astype(np.float32)
    return EncodedCorpus.build(synthetic_sentences(80, 2), vectors)


def test_sentences_are_copied_with_mentions_of_labelled_ones(
    finetuning: Settings, tagged: EncodedCorpus
) -> None:
    settings = finetuning(steps=3, augmentation=make_recipe("mentions").augmentation)
    engine = LabelingEngine([tagged], OPTIONS, 2, ["entity_f1"], settings)
    engine.reset([Streams(seed) for seed in range(2)])
    engine.step(make_strategy("random").select(engine.view, 3))
    learner = engine.learner
    assert isinstance(learner, FineTune)
    material = learner._materials.of(0, 5, settings)
    assert material.copies is not None
    n = len(material.examples)
    counts = material.copies.n_vectors(np.arange(material.size - n))
    assert ((material.targets[n:] >= 0).sum(1).numpy() == counts).all(), "each word of a copy has its tag"
    words = {word for row in learner._columns.answers(0)[0] for word in (tagged.corpus.tokens or ())[row]}
    known = learner.network.tokenizer([sorted(words)], is_split_into_words=True)["input_ids"][0]
    assert set(material.copies.vocabulary(np.arange(material.size - n)).tolist()) <= {*known, 0}
    with pytest.raises(ReActError, match="take mentions"):
        learner.choose([make_recipe("eda"), None])


def test_a_copy_of_a_question_has_its_context_and_its_answer_where_they_were(finetuning: Settings) -> None:
    words = ["ba", "de", "fi", "go", "ku", "la", "me", "ni"]
    given = []
    for row in range(40):
        context, asked = words[row % 8 :] + words[: row % 8], words[row % 5 : row % 5 + 4]
        answers = () if row % 3 == 0 else ((context[2], " ".join(context).index(context[2])),)
        given.append(Question(f"{row}", row + 1, "", " ".join(asked), " ".join(context), answers))
    corpus = question_corpus([(None, "made", given)], name="made", source="made here")
    vectors = np.random.default_rng(0).standard_normal((40, 8)).astype(np.float32)
    made = AugmentationSettings(kind="eda", copies=2, share=0.5)
    settings = finetuning(steps=2, max_length=32, augmentation=made)
    options = OPTIONS.model_copy(update={"pool_size": 14, "dev_size": 6, "initial": "random", "budget": 6})
    engine = LabelingEngine([EncodedCorpus.build(corpus, vectors)], options, 1, ["answer_f1"], settings)
    engine.reset([Streams(0)])
    learner = engine.learner
    assert isinstance(learner, FineTune)
    material, network = learner._materials.of(0, 5, settings), learner.network
    rows, n = learner._columns.answers(0)[0], len(material.examples)
    assert material.copies is not None
    assert material.size == 3 * n
    assert torch.equal(material.targets[n:], material.targets[:n].repeat_interleave(2, 0))
    assert set(material.targets[:n].argmax(1).tolist()) == {0, 3}, "the mark, and the third word"
    copies = material.copies.rectangle(torch.arange(2 * n)).ids
    assert copies is not None
    questions = []
    for place, ids in enumerate(copies.tolist()):
        front, about, _ = " ".join(network.tokenizer.convert_ids_to_tokens(ids)).split(" [SEP]")
        assert corpus.passages is not None
        assert about.strip() == corpus.passages.contexts()[rows[place // 2]]
        questions.append(front.removeprefix("[CLS] "))
        assert set(questions[-1].split()) <= set(corpus.texts[rows[place // 2]].split())
    changed = [own != corpus.texts[rows[place // 2]] for place, own in enumerate(questions)]
    assert sum(changed) > n, "most questions are asked in other words"


@pytest.mark.parametrize(
    ("augmentation", "message"),
    [
        ({"kind": "translation"}, "two folders"),
        ({"kind": "masked-lm", "models": ["a", "b"]}, "one folder at most"),
        ({"kind": "eda", "models": ["a"]}, "of no use to kind eda"),
        ({"kind": "masked-lm", "synonyms": "wordnet"}, "for kind eda"),
    ],
    ids=str,
)
def test_settings_that_do_not_go_together_are_refused(augmentation: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        learner_config({"kind": "finetune", "recipe": {"augmentation": augmentation}})


def test_the_learner_s_own_masked_model_fills_in_words(
    classroom: Any, finetuning: Settings, tiny_corpus: Callable[..., Corpus], masked_checkpoint: Path
) -> None:
    settings = finetuning(model=str(masked_checkpoint), **SHORT)
    rooms = [classroom(settings, [tiny_corpus()], [0], [1]) for _ in range(2)]
    rooms[0].learner.choose([make_recipe("masked-words")])
    for room in rooms:
        room.teach([0], np.arange(5)[None])
    assert not torch.equal(rooms[0].logits(), rooms[1].logits())
