"""What strategies remember of an episode: it begins empty, survives a stop, and ends with the episode."""

from __future__ import annotations

import json

from react_rl.seeding import Streams
from react_rl.simulation import EpisodeOptions, LabelingEngine, synthetic_encoded
from react_rl.simulation.notebook import Notebook


def test_a_page_keeps_what_is_written_on_it() -> None:
    book = Notebook()
    book.page("mine")["weight"] = 0.1
    assert book.page("mine") == {"weight": 0.1}
    assert book.page("another") == {}


def test_pages_come_back_from_json_as_they_were() -> None:
    book, other = Notebook(), Notebook()
    book.page("mine").update(weight=0.1 + 0.2, rows=[[3, 0.5]])
    book.page("only looked at")
    other.page("old")["gone"] = True
    other.load_state(json.loads(json.dumps(book.state())))
    assert other.state() == {"mine": {"weight": 0.1 + 0.2, "rows": [[3, 0.5]]}}


def test_each_episode_has_a_notebook_of_its_own_and_a_new_one_begins_empty() -> None:
    options = EpisodeOptions(pool_size=30, dev_size=10, initial_size=4, budget=8, batch_size=2)
    engine = LabelingEngine([synthetic_encoded(200, 3)], options, 2)
    engine.reset([Streams(0), Streams(1)])
    engine.view.notebook(0).page("mine")["seen"] = 1
    assert engine.view.notebook(1).page("mine") == {}
    engine.reset([Streams(2)], [1])
    assert engine.view.notebook(0).page("mine") == {"seen": 1}
    engine.reset([Streams(3)], [0])
    assert engine.view.notebook(0).page("mine") == {}
