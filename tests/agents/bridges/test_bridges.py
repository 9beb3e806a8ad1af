"""Strategies on plain arrays choose what they choose in an episode; the bridges where their libraries are."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import react_rl.agents.bridges
from react_rl.acquisition import make_strategy
from react_rl.agents.bridges import pool_of_arrays, select_rows
from react_rl.errors import ReActError
from react_rl.seeding import Streams
from react_rl.simulation import EpisodeOptions, LabelingEngine, synthetic_encoded
from react_rl.simulation.ledger import Ledger

needs_scikit_activeml = pytest.mark.skipif(
    importlib.util.find_spec("skactiveml") is None, reason="scikit-activeml is not installed"
)
needs_small_text = pytest.mark.skipif(
    importlib.util.find_spec("small_text") is None, reason="small-text is not installed"
)


def rows(n: int = 80) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Embeddings, true classes, and the labels of the first ten rows."""
    data = synthetic_encoded(200, 3)
    truth = data.corpus.targets[:n]
    known = np.where(np.arange(n) < 10, truth, -1)
    return data.embeddings[:n].numpy(), truth, known


@pytest.mark.parametrize("name", ["margin", "mixture", "learned", "badge", "bait", "expected-error"])
def test_arrays_give_the_rows_of_an_episode_that_stands_there(name: str) -> None:
    data = synthetic_encoded(200, 3)
    options = EpisodeOptions(pool_size=60, dev_size=20, initial_size=12, budget=40, batch_size=4)
    engine = LabelingEngine([data], options)
    engine.reset([Streams(5)])
    draw = engine.draw_of(0)
    known = np.where(np.isin(draw.pool, draw.initial), data.corpus.targets[draw.pool], -1)
    found = select_rows(name, data.embeddings[draw.pool].numpy(), known, 4, n_classes=3, budget=40, seed=5)
    other = LabelingEngine([data], options)
    other.reset([Streams(5)], draws=[draw])
    expected = make_strategy(name).select(other.view, 4)[0].numpy()
    if name in ("margin", "badge", "bait", "expected-error"):
        # Others read the density of the corpus, and the corpus is here the pool.
        assert draw.pool[found].tolist() == expected.tolist()
    assert len(set(found.tolist())) == 4
    assert (known[found] == -1).all()


def test_only_candidates_are_chosen_and_the_same_seed_chooses_the_same() -> None:
    vectors, _, known = rows()
    chosen = select_rows("random", vectors, known, 5, candidates=np.arange(60, 80), seed=3)
    assert chosen.min() >= 60
    assert (
        chosen.tolist()
        == select_rows("random", vectors, known, 5, candidates=np.arange(60, 80), seed=3).tolist()
    )
    assert select_rows("margin", vectors, known, 100).size == 70


def test_no_label_that_is_not_there_is_read() -> None:
    vectors, truth, known = rows()
    view = pool_of_arrays(vectors, known, 5)
    assert int(view.labelled.sum()) == 10
    assert view.class_counts[0].tolist() == np.bincount(truth[:10], minlength=3).tolist()


@pytest.mark.parametrize("name", ["maxherding", "typiclust", "random"])
def test_first_rows_are_chosen_without_a_label_by_what_reads_embeddings_alone(name: str) -> None:
    vectors, _, _ = rows()
    found = select_rows(name, vectors, np.full(80, -1), 6, seed=1)
    assert len(set(found.tolist())) == 6
    assert found.tolist() == select_rows(name, vectors, np.full(80, -1), 6, seed=1).tolist()


@pytest.mark.parametrize("budget", [None, 30.0])
def test_memory_is_reserved_for_rows_with_a_label_alone(
    monkeypatch: pytest.MonkeyPatch, budget: float | None
) -> None:
    reserved = []

    class Noted(Ledger):
        def __init__(self, episodes: int, classes: int, columns: int, capacity: int, device: Any) -> None:
            super().__init__(episodes, classes, columns, capacity, device)
            reserved.append(self)

    monkeypatch.setattr("react_rl.simulation.engine.Ledger", Noted)
    vectors = np.random.default_rng(0).standard_normal((200, 6)).astype(np.float32)
    labels = np.full(200, -1)
    labels[:8] = np.arange(8) % 2
    assert len(select_rows("learned", vectors, labels, 5, budget=budget)) == 5
    assert [ledger.capacity for ledger in reserved] == [8]


def test_labels_of_one_class_are_enough_to_be_fitted() -> None:
    vectors, _, _ = rows()
    known = np.where(np.arange(80) < 4, 0, -1)
    assert select_rows("learned", vectors, known, 3, seed=1).size == 3


def test_arrays_may_be_on_a_device(cuda: str) -> None:
    vectors, _, known = rows()
    chosen = select_rows("margin", vectors, known, 5, candidates=np.arange(40, 80), device=cuda)
    assert chosen.tolist() == select_rows("margin", vectors, known, 5, candidates=np.arange(40, 80)).tolist()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": np.zeros(5, int)}, "do not go together"),
        ({"labels": np.zeros(80)}, "give integers"),
        ({"labels": np.array(["a"] * 80)}, "give integers"),
        ({"labels": np.full(80, -1)}, "0 of 80 rows have a label, and 'margin' chooses by a model"),
        ({"labels": np.zeros(80, int)}, "80 of 80 rows have a label"),
        ({"n_classes": 2}, "does not fit 2 classes"),
        ({"strategy": "margn"}, "Did you mean 'margin'"),
    ],
    ids=["shape", "kind", "words", "none", "all", "classes", "name"],
)
def test_arrays_that_do_not_fit_are_refused(change: dict[str, object], message: str) -> None:
    vectors, _, known = rows()
    known[:3] = [0, 1, 2]
    arguments: dict[str, object] = {"strategy": "margin", "embeddings": vectors, "labels": known} | change
    with pytest.raises(ReActError, match=message):
        select_rows(**arguments)  # type: ignore[arg-type]


@needs_scikit_activeml
@pytest.mark.parametrize("name", ["learned", "margin", "bait"])
def test_scikit_activeml_queries_a_strategy(name: str) -> None:
    from react_rl.agents.bridges.scikit_activeml import ScikitActiveMLStrategy

    vectors, _, known = rows()
    words = np.array(["b", "c", "a"], dtype=object)
    y = np.array([words[c] if c >= 0 else None for c in known], dtype=object)
    strategy = ScikitActiveMLStrategy(name, classes=words, missing_label=None, random_state=0)
    chosen, utilities = strategy.query(vectors, y, batch_size=4, return_utilities=True)
    again = ScikitActiveMLStrategy(name, classes=words, missing_label=None, random_state=0)
    assert again.query(vectors, y, batch_size=4).tolist() == chosen.tolist()
    seed = int(np.random.RandomState(0).randint(2**31 - 1))
    assert chosen.tolist() == select_rows(name, vectors, known, 4, n_classes=3, seed=seed).tolist()
    assert utilities.shape == (4, 80)
    assert np.isnan(utilities[:, :10]).all()
    assert np.nanargmax(utilities[0]) == chosen[0] or name == "learned"
    assert np.isnan(utilities[1, chosen[0]])
    few = strategy.query(vectors, y, candidates=[70, 71, 72], batch_size=2)
    assert set(few.tolist()) <= {70, 71, 72}


@needs_small_text
@pytest.mark.parametrize("name", ["learned", "margin"])
def test_small_text_queries_a_strategy(name: str) -> None:
    from react_rl.agents.bridges.small_text import SmallTextStrategy

    vectors, truth, _ = rows()

    class Embedder:
        def embed(self, dataset: object) -> npt.NDArray[np.float32]:
            return vectors

    labelled, unlabelled = np.arange(10), np.arange(30, 80)
    asked = (Embedder(), None, unlabelled, labelled, truth[:10])
    chosen = SmallTextStrategy(name).query(*asked, n=4)
    assert set(chosen.tolist()) <= set(unlabelled.tolist())
    assert chosen.tolist() == SmallTextStrategy(name, embeddings=vectors).query(*asked, n=4).tolist()
    assert str(SmallTextStrategy(name)) == f"SmallTextStrategy({name})"


def test_the_snippets_of_the_readme_run(capsys: pytest.CaptureFixture[str]) -> None:
    readme = Path(react_rl.agents.bridges.__file__).with_name("README.md").read_text(encoding="utf-8")
    names: dict[str, object] = {}
    missing = [name for name in ("skactiveml", "small_text") if importlib.util.find_spec(name) is None]
    modules = {"skactiveml": "bridges.scikit_activeml", "small_text": "bridges.small_text"}
    ran = 0
    for snippet in re.findall(r"```python\n(.*?)```", readme, flags=re.DOTALL):
        if not any(modules[name] in snippet for name in missing):
            exec(compile(snippet, "README.md", "exec"), names)
            ran += 1
    assert ran == 3 - len(missing)
    assert capsys.readouterr().out.count("[") == 5 - len(missing)
