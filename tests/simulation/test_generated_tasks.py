"""Generated tasks are corpora like any other, over the texts and embeddings of a real one."""

from __future__ import annotations

import pytest
import torch

from react_rl.acquisition import make_strategy
from react_rl.errors import ReActError
from react_rl.learners.linear.tagger import LinearTagger, TaggerSettings
from react_rl.seeding import Streams
from react_rl.simulation import (
    EpisodeOptions,
    LabelingEngine,
    generated_task,
    synthetic_asked,
    synthetic_encoded,
    synthetic_tagged,
)
from react_rl.simulation.generated import gathered_corpus


def test_a_task_shares_all_but_the_labels_with_its_corpus() -> None:
    base = synthetic_encoded(400, 5)
    task = generated_task(base, 3)
    assert task.embeddings is base.embeddings
    assert task.density is base.density
    assert task.gram is base.gram
    assert task.corpus.texts == base.corpus.texts
    assert (task.corpus.split == base.corpus.split).all()
    assert task.targets.tolist() == task.corpus.targets.tolist()
    assert task.targets.tolist() != base.targets.tolist()
    assert task.name == "generated:synthetic?seed=3"
    assert task.corpus.digest() != generated_task(base, 4).corpus.digest()


def test_gathered_rows_are_denser_and_their_clusters_are_classes() -> None:
    base = synthetic_encoded(400, 5)
    pulled = gathered_corpus(base, 1)
    train = torch.from_numpy(base.corpus.ids("train"))
    assert pulled.density[train].mean() > base.density[train].mean()
    assert pulled.corpus.texts == base.corpus.texts
    assert pulled.corpus.n_classes == len(set(pulled.targets.tolist())) >= 4


def test_episodes_of_several_tasks_run_side_by_side() -> None:
    base = synthetic_encoded(400, 5)
    tasks = [generated_task(base, seed) for seed in range(4)]
    options = EpisodeOptions(pool_size=80, dev_size=40, initial_size=8, budget=20, batch_size=5)
    engine = LabelingEngine(tasks, options, 8)
    engine.reset([Streams(seed) for seed in range(8)], corpora=[seed % 4 for seed in range(8)])
    while not engine.finished.all():
        engine.step(make_strategy("mixture").select(engine.view, 5))
    for e in range(8):
        data = engine.corpus_of(e)
        bought = engine.view.ids[e][engine.view.labelled[e]]
        counts = torch.bincount(data.targets[bought], minlength=data.corpus.n_classes)
        assert engine.view.class_counts[e, : data.corpus.n_classes].tolist() == counts.tolist()


def test_a_tagging_task_has_invented_types_over_the_same_token_states() -> None:
    base = synthetic_tagged(300, 3)
    tasks = [generated_task(base, seed) for seed in range(3)]
    assert all(task.tokens is base.tokens for task in tasks)
    assert tasks[0].name == "generated:synthetic_sentences?seed=0"
    assert all(task.corpus.label_names[0] == "O" for task in tasks)
    options = EpisodeOptions(pool_size=60, dev_size=30, initial_size=6, budget=90, batch_size=3)
    engine = LabelingEngine([base, *tasks], options, 4, learner=TaggerSettings())
    learner = engine.learner
    assert isinstance(learner, LinearTagger)
    assert base.tokens is not None
    assert len(learner._store.states) == len(base.tokens.states)  # held once for all tasks
    engine.reset([Streams(seed) for seed in range(4)], corpora=range(4))
    while not engine.finished.all():
        engine.step(make_strategy("mnlp").select(engine.view, 3))


def test_answers_and_kinds_of_tags_are_not_invented() -> None:
    with pytest.raises(ReActError, match="answers cannot be invented"):
        generated_task(synthetic_asked(100), 0)
    with pytest.raises(ReActError, match="leave kind=linear out"):
        generated_task(synthetic_tagged(100, 2), 0, "linear")
