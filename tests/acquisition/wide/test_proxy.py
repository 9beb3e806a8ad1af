"""Selection via a proxy: what a cheap learner on frozen states says of the rows, whatever the learner is."""

from __future__ import annotations

import pytest
import torch

from react_rl.acquisition import make_strategy
from react_rl.acquisition.origin import is_packaged
from react_rl.acquisition.registry import entry_of, is_strategy
from react_rl.acquisition.wide.narrow import NarrowView
from react_rl.errors import ReActError
from react_rl.learners.linear.settings import SoftmaxSettings
from react_rl.learners.linear.span import SpanSettings
from react_rl.learners.linear.tagger import TaggerSettings
from react_rl.learners.mlp.training import MlpSettings
from react_rl.learners.registry import LearnerSettings, check_needs, proxy_for
from react_rl.own_code import require_imported
from react_rl.seeding import Streams
from react_rl.simulation import EpisodeOptions, LabelingEngine, synthetic_encoded
from react_rl.simulation.encoded import EncodedCorpus, synthetic_asked, synthetic_tagged
from react_rl.simulation.proxies import Proxies
from react_rl.simulation.view import PoolView

OPTIONS = EpisodeOptions(
    pool_size=60, dev_size=20, initial="random", initial_size=6, budget=40, batch_size=4, abstention=0.3
)
EXACT = SoftmaxSettings(tolerance=1e-6, max_steps=2000)
EXACT_OF: dict[str, LearnerSettings] = {
    "tagging": TaggerSettings(tolerance=1e-4, max_steps=2000),
    "question-answering": SpanSettings(tolerance=1e-4, max_steps=2000),
}
MADE = {"tagging": synthetic_tagged, "question-answering": synthetic_asked}
OTHERS: dict[str, LearnerSettings] = {
    "tagging": TaggerSettings(l2=30.0, max_steps=1),
    "question-answering": SpanSettings(l2=1e4, max_steps=1),
}
"""Learners that say something else of the rows than the proxy, and cost as little as it does."""


def bought(learner: LearnerSettings, rounds: int = 3, corpus: EncodedCorpus | None = None) -> LabelingEngine:
    """Episodes that have bought the same random rows, some without an answer, whatever the learner."""
    budget = 600 if corpus is not None and corpus.corpus.task == "tagging" else 40
    options = OPTIONS.model_copy(update={"budget": budget})
    engine = LabelingEngine([corpus or synthetic_encoded(300, 4)], options, 3, learner=learner)
    engine.reset([Streams(seed) for seed in range(3)])
    for number in range(rounds):
        ids = make_strategy("random").select(engine.view, 4)
        ids[number % 3, 2:] = -1  # not all episodes have as many labels
        engine.step(ids)
    return engine


def seen(view: PoolView) -> PoolView:
    return view.through(proxy_for("classification"))


def test_the_regression_is_the_one_that_learns_round_by_round() -> None:
    exact = bought(EXACT).view
    for engine in (bought(EXACT), bought(MlpSettings(steps=20))):
        found = engine.view.through(EXACT)
        torch.testing.assert_close(found.probabilities, exact.probabilities, atol=1e-3, rtol=0)
    assert (seen(exact).probabilities - exact.probabilities).abs().max() < 0.05


def test_a_strategy_picks_by_the_regression_and_not_by_the_learner() -> None:
    engine = bought(MlpSettings(steps=20))
    proxied = seen(engine.view)
    for name in ("margin", "mixture", "uncertainty-herding", "variance-reduction", "bald-dropout"):
        base, own = make_strategy(name), make_strategy(f"proxy:{name}")
        if "dropout" not in name:
            assert torch.equal(own.select(engine.view, 4), base.select(proxied, 4)), name
        assert (own.select(engine.view, 4) >= 0).all()
    by_learner = make_strategy("margin").select(engine.view, 4)
    assert not torch.equal(by_learner, make_strategy("proxy:margin").select(engine.view, 4))


def test_all_else_in_the_view_stays_what_it_is() -> None:
    view = bought(MlpSettings(steps=20)).view
    _ = view.entropy, view.nearest_labelled, view.class_counts
    other = seen(view)
    assert other.linear
    assert not view.linear
    for name in ("available", "labelled", "nearest_labelled", "class_counts", "density"):
        assert torch.equal(getattr(other, name), getattr(view, name)), name
    assert not torch.equal(other.entropy, view.entropy)


def test_it_is_taught_once_in_a_round_and_serves_picks_and_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = bought(MlpSettings(steps=20))
    asked: list[LearnerSettings] = []
    taught = Proxies.taught

    def counted(proxies: Proxies, settings: LearnerSettings, n_classes: torch.Tensor) -> object:
        asked.append(settings)
        return taught(proxies, settings, n_classes)

    monkeypatch.setattr(Proxies, "taught", counted)
    view = engine.view
    first = seen(view)
    later = seen(view.after(torch.zeros(3, 1, dtype=torch.int64)))
    part = seen(NarrowView(view, torch.tensor([0, 2]), torch.arange(60).expand(2, -1)))
    assert len(asked) == 1
    assert torch.equal(later.start.entropy, first.entropy)
    assert torch.equal(part.entropy, first.entropy[[0, 2]])
    engine.step(torch.full((3, 4), -1))
    seen(engine.view)
    assert len(asked) == 2


@pytest.mark.parametrize("task", sorted(MADE))
def test_elsewhere_it_is_the_frozen_learner_fed_with_the_same_labels(task: str) -> None:
    corpus, name = MADE[task](), {"tagging": "mnlp", "question-answering": "span-margin"}[task]
    exact = bought(EXACT_OF[task], corpus=corpus).view
    engine = bought(OTHERS[task], corpus=corpus)
    found = engine.view.through(EXACT_OF[task])
    assert found.available.equal(exact.available)
    torch.testing.assert_close(found.confidence, exact.confidence, atol=2e-3, rtol=0)
    picks = make_strategy(name).select(exact, 4)
    assert torch.equal(make_strategy(name).select(found, 4), picks)
    assert not torch.equal(make_strategy(name).select(engine.view, 4), picks)
    # As it comes the proxy is near enough to its optimum to choose the same rows but for close calls.
    pairs = zip(
        make_strategy(f"proxy:{name}").select(engine.view, 12),
        make_strategy(name).select(exact, 12),
        strict=True,
    )
    assert sum(len(set(a.tolist()) & set(b.tolist())) for a, b in pairs) >= 30


@pytest.mark.parametrize("task", sorted(MADE))
@pytest.mark.parametrize("name", ["margin", "mixture", "uncertainty-herding", "variance-reduction"])
def test_elsewhere_any_strategy_that_the_frozen_learner_serves_is_served(task: str, name: str) -> None:
    engine = bought(OTHERS[task], corpus=MADE[task]())
    if name == "variance-reduction":
        with pytest.raises(ReActError, match="'proxy:variance-reduction' needs a corpus of classification"):
            check_needs(f"proxy:{name}", entry_of(f"proxy:{name}").needs, OTHERS[task], task)
        return
    check_needs(f"proxy:{name}", entry_of(f"proxy:{name}").needs, OTHERS[task], task)
    base, own = make_strategy(name), make_strategy(f"proxy:{name}")
    assert torch.equal(own.select(engine.view, 4), base.select(engine.view.through(proxy_for(task)), 4))


@pytest.mark.parametrize("task", sorted(MADE))
def test_what_a_proxy_says_depends_on_bought_labels_alone(task: str) -> None:
    engine = bought(OTHERS[task], corpus=MADE[task]())
    before = engine.view.through(EXACT_OF[task]).confidence
    heard = torch.zeros(3, 60)
    heard.scatter_add_(1, engine.ledger.slot_columns(), engine.ledger.slot_mask())
    answers = engine.oracle._answers
    answers[heard == 0] = torch.where(answers[heard == 0] >= 0, 0, -1)
    engine._view = None
    assert torch.equal(engine.view.through(EXACT_OF[task]).confidence, before)
    answers[heard > 0] = torch.where(answers[heard > 0] >= 0, 0, -1)
    engine._view = None
    assert not torch.equal(engine.view.through(EXACT_OF[task]).confidence, before)


def test_a_new_episode_is_taught_from_its_own_rows() -> None:
    engine = bought(OTHERS["tagging"], corpus=synthetic_tagged())
    engine.view.through(proxy_for("tagging"))
    engine.reset([Streams(7)], [1])
    fresh = LabelingEngine([synthetic_tagged()], engine.options, 1, learner=OTHERS["tagging"])
    fresh.reset([Streams(7)])
    alone = fresh.view.through(proxy_for("tagging")).confidence[0]
    again = engine.view.through(proxy_for("tagging")).confidence[1]
    torch.testing.assert_close(again, alone, atol=1e-3, rtol=0)


def test_without_labels_nothing_is_known() -> None:
    options = OPTIONS.model_copy(update={"initial_size": 0})
    engine = LabelingEngine([synthetic_encoded(300, 4)], options, 2, learner=MlpSettings(steps=20))
    engine.reset([Streams(seed) for seed in range(2)])
    torch.testing.assert_close(seen(engine.view).probabilities, torch.full((2, 4, 60), 0.25))


def test_names_and_needs() -> None:
    assert is_strategy("proxy:margin")
    assert is_packaged("proxy:subsample:50:badge")
    assert not is_packaged("proxy:mine:Own")
    mlp = MlpSettings()
    check_needs("x", entry_of("proxy:bald").needs, mlp)
    with pytest.raises(ReActError, match="needs"):
        check_needs("proxy:mnlp", entry_of("proxy:mnlp").needs, mlp)
    assert entry_of("proxy:margin").needs == set()
    assert entry_of("proxy:mnlp").needs == {"tokens"}
    assert entry_of("proxy:bait").needs == {"classes"}
    with pytest.raises(ReActError, match="'token-bald' needs hidden units to drop, which no proxy has"):
        make_strategy("proxy:token-bald")
    with pytest.raises(ReActError, match="names nothing to choose with"):
        make_strategy("proxy:")
    for beginning in ("proxy:", "subsample:", "distinct:"):
        with pytest.raises(ReActError, match=f"says '{beginning}' twice.* write '{beginning}margin'"):
            make_strategy(f"{beginning}{beginning}margin")
    for name in ("proxy:margin", "distinct:mnlp"):
        require_imported(name, "The card")
