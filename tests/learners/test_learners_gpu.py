"""Learners on a CUDA device, or a simulated one: they learn there what they learn on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from react_rl.acquisition import make_strategy, suited
from react_rl.acquisition.registry import entry_of
from react_rl.data.continual import drifting
from react_rl.data.synthetic import synthetic_embeddings, synthetic_sentences
from react_rl.data.synthetic_questions import synthetic_questions
from react_rl.encoders import EncoderSettings, TextEncoder
from react_rl.encoders.masked_pretraining import PretrainingSettings, adapted
from react_rl.encoders.paraphrase import paraphrases
from react_rl.learners import MlpSettings, SoftmaxSettings
from react_rl.learners.linear.span import SpanSettings
from react_rl.learners.linear.tagger import TaggerSettings
from react_rl.learners.recipes import RECIPES, AugmentationSettings, ConsistencySettings, Recipe, make_recipe
from react_rl.seeding import Streams
from react_rl.simulation import EncodedCorpus, EpisodeOptions, LabelingEngine, synthetic_encoded
from react_rl.simulation.checkpoint import Checkpoint, Notes
from react_rl.simulation.encoded import synthetic_asked, synthetic_tagged
from react_rl.simulation.held_out import HeldOut

pytestmark = pytest.mark.gpu
OPTIONS = EpisodeOptions(pool_size=24, dev_size=12, initial="random", initial_size=6, budget=18, batch_size=4)
METRICS = {"classification": "accuracy", "tagging": "entity_f1", "question-answering": "answer_f1"}


def on(corpus: EncodedCorpus, device: str) -> EncodedCorpus:
    return EncodedCorpus.of_arrays(corpus.arrays(), device)


def played(
    corpus: EncodedCorpus, learner: Any, recipes: Sequence[Recipe] | None = None, n_rounds: int = 2
) -> LabelingEngine:
    """Two episodes of one seed, or one for each recipe, after some rounds of the same batches."""
    metric = METRICS[corpus.corpus.task]
    engine = LabelingEngine([corpus], OPTIONS, len(recipes or "ab"), [metric], learner)
    engine.reset([Streams(3) for _ in range(engine.n_episodes)])
    for _ in range(n_rounds):
        engine.step(make_strategy("random").select(engine.view, 4), recipes)
    return engine


def signal(engine: LabelingEngine) -> torch.Tensor:
    """How unsure the learners are of the pool's rows ``(E, P)``."""
    view, task = engine.view, engine.corpus_of(0).corpus.task
    if task == "classification":
        return view.entropy.cpu()
    return (view.tokens.total_entropy if task == "tagging" else view.spans.span_entropy).cpu()


def use(engine: LabelingEngine, learner: Any, folder: Path) -> None:
    """Ask the learner for all that others ask it for."""
    corpus = engine.corpus_of(0).corpus
    with torch.inference_mode():
        for name in suited(learner, corpus.task):
            if entry_of(name).surprisal and engine.corpus_of(0).surprisal is None:
                continue
            ids = make_strategy(name).select(engine.view, 3)
            assert ids.is_cuda, name
    measured = HeldOut(corpus.ids("test")).measure(engine, [METRICS[corpus.task]])
    assert all(np.isfinite(own).all() for own in measured.values())
    Checkpoint(folder / "kept", "key").save([engine], Notes())
    other = LabelingEngine(engine.corpora, OPTIONS, engine.n_episodes, [METRICS[corpus.task]], learner)
    streams = [Streams(3) for _ in range(engine.n_episodes)]
    assert Checkpoint(folder / "kept", "key").restore([other], streams) is not None
    free = engine.view.available.cpu()
    torch.testing.assert_close(signal(other)[free], signal(engine)[free])


FROZEN: dict[str, tuple[Callable[[], EncodedCorpus], Any]] = {
    "softmax": (lambda: synthetic_encoded(80, 3), SoftmaxSettings()),
    "mlp": (lambda: synthetic_encoded(80, 3), MlpSettings(members=2, dropout=0.1, hidden=6, steps=5)),
    "tagger": (lambda: synthetic_tagged(80, 2), TaggerSettings()),
    "span": (lambda: synthetic_asked(80, 0.3), SpanSettings(dimensions=6)),
}


@pytest.mark.parametrize("kind", FROZEN)
def test_a_learner_on_frozen_embeddings_learns_what_it_learns_on_a_cpu(
    kind: str, tmp_path: Path, cuda: str
) -> None:
    corpus, learner = FROZEN[kind][0](), FROZEN[kind][1]
    engine = played(on(corpus, cuda), learner)
    torch.testing.assert_close(signal(engine), signal(played(corpus, learner)), rtol=1e-2, atol=1e-2)
    use(engine, learner, tmp_path)


@pytest.mark.parametrize("kind", ["softmax", "tagger"])
def test_a_frozen_learner_follows_every_recipe(kind: str, cuda: str) -> None:
    corpus, learner = FROZEN[kind][0](), FROZEN[kind][1]
    recipes = [make_recipe(name) for name, entry in RECIPES.items() if kind in entry.kinds]
    found = [signal(played(one, learner, recipes)) for one in (on(corpus, cuda), corpus)]
    torch.testing.assert_close(*found, rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize("kind", ["sequential", "replay", "ewc", "lwf"])
def test_a_head_goes_from_phase_to_phase(kind: str, cuda: str) -> None:
    data = drifting(synthetic_encoded(120, 4).corpus, 2)
    corpus = EncodedCorpus.build(data, synthetic_embeddings(data))
    found = [signal(played(one, None, [make_recipe(kind)], 3)) for one in (on(corpus, cuda), corpus)]
    torch.testing.assert_close(*found, rtol=2e-2, atol=2e-2)


TUNED: dict[str, dict[str, Any]] = {
    "all weights, stopped early": {"method": "full", "patience": 1, "steps": None, "epochs": 1},
    "low-rank updates in bf16": {"method": "lora", "precision": "bf16"},
    "top layer, two members": {"method": "full", "layers": 1, "members": 2},
    "dense head": {"method": "bitfit", "head": "dense"},
    "adapters of peft": {"method": "peft"},
    "pairs": {"method": "full", "layers": 1, "contrastive": {"loss": "cosine"}},
    "some candidates, warm": {"method": "lora", "candidates": 8, "restart": "warm"},
}


def texts(corpus: Any) -> EncodedCorpus:
    vectors = np.random.default_rng(0).standard_normal((corpus.n_rows, 8)).astype(np.float32)
    return EncodedCorpus.build(corpus, vectors)


@pytest.mark.parametrize("how", TUNED)
def test_a_fine_tuned_model_learns_what_it_learns_on_a_cpu(
    how: str, cuda: str, finetuning: Callable[..., Any], tiny_corpus: Callable[..., Any]
) -> None:
    learner, corpus = finetuning(**({"steps": 1} | TUNED[how])), texts(tiny_corpus())
    found = [signal(played(one, learner, n_rounds=1)) for one in (on(corpus, cuda), corpus)]
    torch.testing.assert_close(*found, rtol=5e-2, atol=5e-2)


def test_a_fine_tuned_model_answers_all_that_is_asked(
    tmp_path: Path, cuda: str, finetuning: Callable[..., Any], tiny_corpus: Callable[..., Any]
) -> None:
    learner = finetuning(steps=2, layers=1)
    use(played(on(texts(tiny_corpus()), cuda), learner), learner, tmp_path)


@pytest.mark.parametrize("task", METRICS)
def test_fine_tuning_follows_every_recipe_of_a_task(
    task: str,
    cuda: str,
    finetuning: Callable[..., Any],
    tiny_corpus: Callable[..., Any],
    masked_checkpoint: Path,
) -> None:
    made: dict[str, Callable[[], Any]] = {
        "classification": tiny_corpus,
        "tagging": lambda: synthetic_sentences(60, 2),
        "question-answering": lambda: synthetic_questions(60, 0.2),
    }
    words = AugmentationSettings(kind="masked-lm", models=(str(masked_checkpoint),), share=0.5)
    own = {
        "masked-words": Recipe(augmentation=words),
        "consistency": Recipe(consistency=ConsistencySettings(weight=1.0, threshold=0.0)),
    }
    unfit = {
        "classification": {"mentions", "adapters"},
        "tagging": {"eda", "masked-words", "mixup-layer", "adapters"},
        "question-answering": {"mentions", "mixup", "mixup-layer", "consistency", "adapters"},
    }
    names = [
        name
        for name, entry in RECIPES.items()
        if "finetune" in entry.kinds and name not in {*unfit[task], "eda-wordnet", "back-translation"}
    ]
    recipes = [own.get(name) or make_recipe(name) for name in names]
    learner = finetuning(method="full", layers=1, steps=1, dropout=0.2, max_length=32)
    assert torch.isfinite(signal(played(on(texts(made[task]()), cuda), learner, recipes, 1))).all()


@pytest.mark.parametrize("kind", ["ewc", "adapters"])
def test_a_fine_tuned_model_goes_from_phase_to_phase(
    kind: str, cuda: str, finetuning: Callable[..., Any], tiny_corpus: Callable[..., Any]
) -> None:
    corpus = on(texts(drifting(tiny_corpus(4), 2)), cuda)
    learner = finetuning(steps=1, continual={"kind": kind})
    assert torch.isfinite(signal(played(corpus, learner, n_rounds=3))).all()


def test_a_masked_language_model_learns_and_rewrites_on_the_device(
    tmp_path: Path, cuda: str, masked_checkpoint: Path
) -> None:
    texts = ["ba de fi", "go ku la me", "ni ba"]
    made = adapted(str(masked_checkpoint), texts, PretrainingSettings(steps=1), 16, cuda, tmp_path)
    encoder = TextEncoder(EncoderSettings(model=str(made), max_length=16, precision="fp32", device=cuda))
    assert len(paraphrases(texts, encoder, 0.5)) == len(texts)
