"""Strategies on a random part of each pool, and the narrow view that shows them nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from react_rl.acquisition import STRATEGIES, Margin, make_strategy, suited
from react_rl.acquisition.registry import entry_of, is_strategy
from react_rl.acquisition.wide.narrow import NarrowView
from react_rl.acquisition.wide.subsampling import CANDIDATES, SUBSAMPLE, Subsampled, parse_subsample
from react_rl.errors import ReActError
from react_rl.seeding import Streams
from react_rl.simulation import EpisodeOptions, LabelingEngine, PoolView, synthetic_encoded
from react_rl.simulation.pool_rows import PoolRows

STEADY = [name for name in suited() if not STRATEGIES[name].draws]


def cut(view: PoolView, episodes: list[int], rows: int, seed: int = 0) -> tuple[NarrowView, torch.Tensor]:
    """So many unlabelled rows of some episodes, beside the labelled ones."""
    stream, found = np.random.default_rng(seed), []
    for e in episodes:
        bought = view.labelled[e].nonzero()[:, 0].numpy()
        free = stream.permutation((~view.labelled[e]).nonzero()[:, 0].numpy())
        found.append(np.sort(np.concatenate([bought, free[: rows - bought.size]])))
    columns = torch.from_numpy(np.stack(found))
    return NarrowView(view, torch.tensor(episodes), columns), columns


def test_a_narrow_view_shows_the_same_numbers_of_fewer_rows(mixed: LabelingEngine) -> None:
    view, episodes = mixed.view, [4, 1, 2]
    narrow, columns = cut(view, episodes, 30)
    assert narrow.n_episodes == 3
    assert narrow.width == 30
    two = ("ids", "available", "labelled", "cost", "density", "margin", "entropy", "confidence", "predicted")
    for name in (*two, "nearest_labelled"):
        expected = getattr(view, name)[episodes].gather(1, columns)
        torch.testing.assert_close(getattr(narrow, name), expected, msg=name)
    for name in ("logits", "probabilities", "similarity_to_labelled"):
        whole = getattr(view, name)[episodes]
        expected = whole.gather(2, columns[:, None].expand(-1, whole.shape[1], -1))
        torch.testing.assert_close(getattr(narrow, name), expected, msg=name)
    for name in ("class_counts", "fitted_logits"):
        assert torch.equal(getattr(narrow, name), getattr(view, name)[episodes])
    assert torch.equal(narrow.surprisal, view.surprisal[torch.tensor(episodes)[:, None], columns])
    for name in ("weights", "labelled_geometry"):
        for part, whole in zip(getattr(narrow, name), getattr(view, name), strict=True):
            assert torch.equal(part, whole[episodes])
    assert narrow.progress.spent.tolist() == view.progress.spent[episodes].tolist()
    assert narrow.progress.budget == view.progress.budget
    assert narrow.linear_settings is view.linear_settings


def test_a_narrow_view_knows_where_its_labelled_rows_are(mixed: LabelingEngine) -> None:
    view, episodes = mixed.view, [5, 0]
    narrow, _ = cut(view, episodes, 25)
    theirs, mask = view.labelled_columns
    mine, same = narrow.labelled_columns
    assert torch.equal(same, mask[episodes])
    live = same > 0
    assert torch.equal(narrow.ids.gather(1, mine)[live], view.ids.gather(1, theirs)[episodes][live])
    for column in (0, 7, 24):
        picked = torch.full((2,), column)
        whole = view.embeddings[episodes]
        found = narrow.similarity_of_pick(picked)
        for f in range(2):
            row = int((view.ids[episodes[f]] == narrow.ids[f, column]).nonzero()[0, 0])
            place = torch.searchsorted(view.ids[episodes[f]], narrow.ids[f])
            torch.testing.assert_close(found[f], (whole[f] @ whole[f, row])[place], atol=1e-6, rtol=0)


def test_every_part_of_a_view_has_its_narrow_form() -> None:
    """What reads columns must be cut down; the rest follows from what is."""
    follows = {
        *(
            "copy_pairs",
            "level",
            "n_episodes",
            "width",
            "device",
            "in_pool",
            "columns_of",
            "n_available",
            "after",
            "start",
            "has_classes",
            "has_tokens",
            "logits",
            "tokens",
            "probabilities",
            "confidence",
            "margin",
        ),
        *(
            "entropy",
            "predicted",
            "linear",
            "ensemble",
            "linear_settings",
            "only",
            "within",
            "random",
            "generator",
            "notebook",
            "random_of_pick",
            "generator_at",
            "spans",
            "through",
        ),
    }
    public = {name for name in vars(PoolView) | vars(PoolRows) if not name.startswith("_")}
    assert public == follows | {name for name in vars(NarrowView) if not name.startswith("_")}


def test_parts_of_a_narrow_view_are_narrow_and_draw_from_the_same_streams(mixed: LabelingEngine) -> None:
    view = mixed.view
    narrow, _ = cut(view, [3, 1], 20)
    assert narrow.generator(0) is view.generator(3)
    alone = narrow.only(np.array([False, True]))
    assert not alone.available[0].any()
    assert torch.equal(alone.available[1], narrow.available[1])
    assert alone.width == 20
    half = torch.zeros(2, 20, dtype=torch.bool)
    half[:, :10] = True
    assert torch.equal(narrow.within(half).available, narrow.available & half)


def rewind(engine: LabelingEngine) -> None:
    """Set the strategy streams back to their beginning."""
    for seed, streams in enumerate(engine.draws.streams):
        streams.__dict__["strategy"] = Streams(seed).strategy


@pytest.mark.parametrize("name", STEADY)
def test_a_part_that_is_the_whole_pool_gives_the_same_batch(name: str, mixed: LabelingEngine) -> None:
    whole = make_strategy(name)
    rewind(mixed)
    expected = whole.select(mixed.view, 5)
    rewind(mixed)
    assert Subsampled("mine", whole, 60).select(mixed.view, 5).tolist() == expected.tolist()


@pytest.mark.parametrize("name", [name for name in suited() if not name.startswith(SUBSAMPLE)])
def test_every_strategy_chooses_among_the_drawn_rows(name: str, mixed: LabelingEngine) -> None:
    view, drawn = mixed.view, []
    rewind(mixed)
    for e in range(6):
        free = view.available[e].nonzero()[:, 0].numpy()
        part = view.generator(e).choice(free, 12, replace=False, shuffle=False)
        drawn.append(set(view.ids[e][part].tolist()))
    rewind(mixed)
    ids = Subsampled("mine", make_strategy(name), 12).select(view, 5)
    for e in range(6):
        assert len(set(ids[e].tolist())) == 5
        assert set(ids[e].tolist()) <= drawn[e]


def test_the_best_of_the_drawn_rows_is_taken_and_all_rows_are_drawn_evenly() -> None:
    options = EpisodeOptions(pool_size=30, dev_size=20, initial_size=5, budget=10, batch_size=1)
    engine = LabelingEngine([synthetic_encoded(200, 3, seed=1)], options, 1)
    engine.reset([Streams(0)])
    view = engine.view
    rank = torch.where(view.available[0], view.margin[0], torch.inf).argsort().argsort()
    counts = np.zeros(25)
    picked = Subsampled("mine", Margin(), 5)
    for _ in range(2000):
        (row,) = picked.select(view, 1)[0].tolist()
        counts[int(rank[int((view.ids[0] == row).nonzero()[0, 0])])] += 1
    # The k-th smallest margin is taken if it is drawn and the k before it are not.
    ways = np.array([np.prod([(25 - k - 1 - j) / (24 - j) for j in range(4)]) for k in range(25)]) * 5 / 25
    expected = 2000 * ways
    assert ((counts - expected) ** 2 / np.maximum(expected, 1)).sum() < 60
    assert counts[21:].sum() == 0


def test_a_batch_larger_than_the_part_takes_as_many_rows_as_it_needs(mixed: LabelingEngine) -> None:
    free = mixed.view.available.sum(1)
    ids = Subsampled("mine", Margin(), 3).select(mixed.view, 10)
    assert (ids >= 0).all()
    everything = Subsampled("mine", Margin(), 3).select(mixed.view, 70)
    assert torch.equal((everything >= 0).sum(1), free)


def test_rows_that_were_not_drawn_score_below_all_others(mixed: LabelingEngine) -> None:
    scores = Subsampled("mine", Margin(), 8).score(mixed.view)
    for e in range(6):
        found = scores[e][mixed.view.available[e]]
        assert (found == found.min()).sum() == found.numel() - 8
        assert found.min() == pytest.approx(float(found.topk(8).values.min()) - 1.0)


def test_names_make_subsampled_strategies() -> None:
    plain, sized = make_strategy("subsample:badge"), make_strategy("subsample:300:badge")
    assert isinstance(plain, Subsampled)
    assert isinstance(sized, Subsampled)
    assert (plain.name, plain.base.name, plain.size) == ("subsample:badge", "badge", CANDIDATES)
    assert (sized.name, sized.base.name, sized.size) == ("subsample:300:badge", "badge", 300)
    assert parse_subsample("subsample:7:x") == ("x", 7)
    said = entry_of("subsample:300:badge")
    assert (said.family, said.summary, said.draws) == ("hybrid", "badge on 300 random rows", True)
    assert said.source == entry_of("badge").source
    assert [is_strategy(name) for name in ("margin", "subsample:margin", "boss-oracle")] == [
        True,
        True,
        False,
    ]
    for wrong in ("subsample:", "subsample:9:", "subsample:9:subsample:"):
        with pytest.raises(ReActError, match="names nothing to choose with"):
            make_strategy(wrong)
    with pytest.raises(ReActError, match="Did you mean 'badge'"):
        make_strategy("subsample:bagde")
    with pytest.raises(ReActError, match="draws 0 candidates"):
        make_strategy("subsample:0:badge")
