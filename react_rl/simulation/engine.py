"""The one labelling loop: E episodes in lockstep, as arrays with a leading episode axis.

A round: a strategy picks row ids from the view, the oracle answers and charges, the learners are
refitted, the dev metric is measured. Environments, comparisons and the demo all run this loop. Rows may be
bought in several picks before one refit: the view knows of the picks, their labels come with the refit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from react_rl.learners.capabilities import LearnsInPhases, OffersCandidates, choose_recipes
from react_rl.learners.protocol import Resumable, part_of
from react_rl.learners.recipes.settings import Recipe
from react_rl.learners.registry import LearnerSettings, check_task, entry_of, make_learner
from react_rl.seeding import Streams
from react_rl.simulation.basket import Basket, chosen_columns
from react_rl.simulation.draw import Draw, check_fit
from react_rl.simulation.draws import Draws
from react_rl.simulation.encoded import EncodedCorpus, check_dimensions
from react_rl.simulation.geometry import Geometry
from react_rl.simulation.ledger import Ledger
from react_rl.simulation.options import EpisodeOptions
from react_rl.simulation.oracle import ABSTAINED, Oracle
from react_rl.simulation.phases import Phases
from react_rl.simulation.pools import Pools
from react_rl.simulation.progress import DevMetrics, Progress
from react_rl.simulation.proxies import Proxies
from react_rl.simulation.purchases import Bought, Mask, Round, all_of, any_of, as_ids
from react_rl.simulation.threads import inferring, threads_for
from react_rl.simulation.view import PoolView
from react_rl.tasks.protocol import Scores
from react_rl.tasks.registry import named_metrics, task_of

_CHANGING = ("spent", "rounds", "labels", "finished")


class LabelingEngine:
    """E simulated labelling episodes on one or several encoded corpora.

    Args:
        corpora: Encoded corpora of one embedding dimension, on one device.
        options: Sizes, budget and annotator of an episode.
        n_episodes: E.
        metrics: Names of the dev metrics to measure; views report them by name. ``task`` is the first one of
            the task, and so is None.
        learner: Settings of the learner; None is the softmax regression as it comes.
        capacity: Bought rows of an episode that memory is reserved for, which grows if there are more; None
            takes those that the budget buys.

    Raises:
        ReActError: Episodes of these sizes do not fit a corpus, corpora or learner are of several tasks, or a
            metric is unknown.
    """

    def __init__(
        self,
        corpora: Sequence[EncodedCorpus],
        options: EpisodeOptions,
        n_episodes: int = 1,
        metrics: Sequence[str] | None = None,
        learner: LearnerSettings | None = None,
        capacity: int | None = None,
    ) -> None:
        check_dimensions(corpora)
        for corpus in corpora:
            check_fit(corpus.corpus, options)
        self.task = task_of([corpus.corpus for corpus in corpora])
        self.metrics = named_metrics(self.task, metrics)
        check_task(learner, self.task, corpora[0].name)
        self._kind = entry_of(learner)
        self.corpora = list(corpora)
        self.options, self.n_episodes = options, n_episodes
        self.device = corpora[0].device
        width, dev, classes = options.pool_size, options.dev_size, self.most_classes
        if capacity is None:
            mean_cost = min(float(c.corpus.cost[c.corpus.ids("train")].mean()) for c in corpora)
            capacity = options.initial_size + int(np.ceil(options.budget / mean_cost)) + options.batch_size
        shape = self.task.shape([corpus.corpus for corpus in corpora])
        self.ledger = Ledger(n_episodes, self.task.n_kinds(classes), width + dev, capacity, self.device)
        self.learner = make_learner(learner, corpora, self.ledger)
        self.learner_settings = learner
        # Asked once: a check against a protocol takes as long as a small product.
        self._selective = self.learner if isinstance(self.learner, OffersCandidates) else None
        self.oracle = Oracle(n_episodes, width, options, self.device, self.task, shape)
        self.draws = Draws(corpora, options, n_episodes)
        self.phases = Phases(n_episodes, options, self.device)
        self.geometry = Geometry(corpora, n_episodes, width + dev, self.device)
        self._proxies = Proxies(corpora, self.geometry, self.ledger, self.oracle)
        self._everyone = torch.arange(n_episodes, device=self.device)
        self.pools = Pools(corpora, options, self.task, shape, classes, self.oracle, self.phases)
        self.spent = np.zeros(n_episodes)
        self.rounds = np.zeros(n_episodes, dtype=np.int64)
        self.labels = np.zeros(n_episodes, dtype=np.int64)
        self.finished = np.ones(n_episodes, dtype=np.bool_)
        self._dev = DevMetrics(self.metrics, n_episodes)
        self._basket = Basket(n_episodes, self.device)
        self._seen = 0
        self._view: PoolView | None = None

    def __repr__(self) -> str:
        """One line: how many episodes, on which corpora, with which learner."""
        names = ", ".join(corpus.name for corpus in self.corpora[:4])
        names += f" and {len(self.corpora) - 4} more" if len(self.corpora) > 4 else ""
        learner = type(self.learner).__name__
        return f"LabelingEngine({self.n_episodes} episodes on {names}, {learner}, {self.device})"

    @property
    def most_classes(self) -> int:
        """C, the largest number of classes of an episode."""
        most = max(corpus.corpus.n_classes for corpus in self.corpora)
        return most if self.options.classes is None else min(most, self.options.classes[1])

    @property
    def current(self) -> dict[str, npt.NDArray[np.float64]]:
        """Dev metrics of the present models, by name; arrays of length E."""
        return self._dev.current

    @property
    def reached(self) -> dict[str, npt.NDArray[np.float64]]:
        """Dev metrics when the last round ended: where a phase began then, without its dev rows."""
        return self._dev.reached

    def corpus_of(self, episode: int) -> EncodedCorpus:
        """Corpus that an episode was drawn from."""
        return self.corpora[self.draws[episode].corpus]

    def draw_of(self, episode: int) -> Draw:
        """Draw of an episode."""
        return self.draws[episode]

    @torch.inference_mode()
    def reset(
        self,
        streams: Sequence[Streams],
        episodes: Sequence[int] | None = None,
        corpora: Sequence[int | None] | None = None,
        draws: Sequence[Draw] | None = None,
    ) -> None:
        """Begin new episodes: draw pool, dev set and initial labels, fit the first models.

        Args:
            streams: Named streams, one for each episode that is reset.
            episodes: Positions of the episodes; None resets all.
            corpora: Position of the corpus for each of them; None draws it from the stream.
            draws: What would be drawn for each of them, where it is known; None draws it.
        """
        chosen, begun = self._begin(streams, episodes, corpora, draws)
        with self.threads():
            self._first_models(chosen, begun)

    def state(self) -> dict[str, Tensor]:
        """What rounds change, by name; together with the streams it is all that ``resume`` needs."""
        numbers = {name: torch.from_numpy(getattr(self, name)) for name in _CHANGING}
        named = {name: part.state() for name, part in self._parts.items()}
        return numbers | {f"{name}/{key}": array for name, own in named.items() for key, array in own.items()}

    @property
    def _parts(self) -> dict[str, Resumable]:
        """What keeps its own state, by name."""
        return {
            "dev": self._dev, "pools": self.pools, "phases": self.phases, "ledger": self.ledger,
            "basket": self._basket, "learner": self.learner,
        }  # fmt: skip

    def resume(
        self,
        streams: Sequence[Streams],
        corpora: Sequence[int | None] | None,
        state: Mapping[str, Tensor],
    ) -> None:
        """Begin all episodes as ``reset`` does, and put them where ``state`` was taken. Mutates.

        Draws are repeated, nothing is trained. Afterwards the streams have to be put in place too.
        """
        self._begin(streams, None, corpora)
        for name in _CHANGING:
            setattr(self, name, state[name].numpy().copy())
        for name, part in self._parts.items():
            part.load_state(part_of(state, name))
        self._open_phase(range(self.n_episodes))
        self._view = None

    @torch.inference_mode()
    def _begin(
        self,
        streams: Sequence[Streams],
        episodes: Sequence[int] | None,
        corpora: Sequence[int | None] | None,
        given: Sequence[Draw] | None = None,
    ) -> tuple[list[int], list[Draw]]:
        """Draw new episodes and start their learners, without training any. Mutates."""
        chosen, draws = self.draws.begin(streams, episodes, corpora, given)
        for episode, draw in zip(chosen, draws, strict=True):
            data = self.corpora[draw.corpus]
            columns, dev_targets = self.pools.place(episode, draw, data)
            self.geometry.place(episode, draw.corpus, columns)
            self.learner.place(episode, draw.corpus, columns, dev_targets)
            self.phases.place(episode, draw, data)
        self.geometry.regroup()
        own = [self.draws.streams[e] for e in chosen]
        self.oracle.draw(chosen, draws, self.corpora, own)
        index = torch.tensor(chosen, device=self.device)
        self.spent[chosen], self.rounds[chosen], self.labels[chosen] = 0.0, 0, 0
        self._basket.empty(np.isin(np.arange(self.n_episodes), chosen))
        seeds = [int(one.learner.integers(2**62)) for one in own] if self._kind.random else []
        self.ledger.forget(index)
        self.learner.start(index, torch.from_numpy(self.pools.n_classes[chosen]), seeds)
        self._open_phase(chosen)
        self._enter_phase(chosen)
        return chosen, draws

    def _open_phase(self, episodes: Sequence[int]) -> None:
        """Offer the pool rows of the phase of each episode, judge on the dev rows so far. Mutates."""
        self.pools.open_phase(episodes)
        if self.phases.several:
            self.geometry.forget_kept()
        self._view = None

    def _enter_phase(self, episodes: Sequence[int]) -> None:
        """Tell the learner that a phase begins. Mutates."""
        if self.phases.several and isinstance(self.learner, LearnsInPhases):
            self.learner.enter_phase(episodes, self.phases.arrived()[list(episodes)])

    def _move_on(self, episodes: Mask) -> None:
        """Begin the next phase where that of an episode ``(E,)`` is over. Mutates."""
        over = moved = self.phases.over(self.spent, self.pools.free) & episodes
        while over.any():
            some = np.flatnonzero(over).tolist()
            self.phases.move_on(over, self.spent)
            self._open_phase(some)
            self._enter_phase(some)
            over = self.phases.over(self.spent, self.pools.free) & over
        if moved.any():
            self._measure()
            self._dev.keep(moved)

    def _first_models(self, chosen: list[int], draws: Sequence[Draw]) -> None:
        """Train the models of newly drawn episodes on their initial labelled sets. Mutates."""
        index = torch.tensor(chosen, device=self.device)
        initial = torch.from_numpy(np.stack([draw.initial for draw in draws])).to(self.device)
        columns = torch.searchsorted(self.pools.ids[index], initial)
        wanted = np.ones(columns.shape, dtype=np.bool_)
        if self.options.initial_size > 0:
            self.pools.mark(index, columns, wanted)
            self._learn(index, columns, wanted)
        self._measure()
        self._dev.begin(chosen)
        self.finished[chosen] = self.exhausted[chosen]
        self._end_failed()

    def _end_failed(self) -> None:
        """End episodes whose learner cannot go on. Mutates."""
        if self.learner.failures:
            self.finished[list(self.learner.failures)] = True

    @property
    def view(self) -> PoolView:
        """The pools as they stand, made once a round; after a pick it is the round's view with the pick."""
        if self._view is None:
            self._view = self._view_of_round()
            self._seen = 0
        if self._seen < len(self._basket):
            self._view = self._view.after(self._basket.picks(self._seen))
            self._seen = len(self._basket)
        return self._view

    def _view_of_round(self) -> PoolView:
        """The pools when each episode's round began, before the picks in the basket."""
        available, spent = self.pools.free, self.spent - self._basket.cost
        if len(self._basket):
            available = available | chosen_columns(self._basket.picks(), available.shape[1])
        available = self.pools.within(available, self.options.budget - spent)
        if any_of(self.finished):
            available = available & torch.from_numpy(~self.finished).to(self.device)[:, None]
        scored = None if self._selective is None else self._selective.candidates(available)
        available = available if scored is None else scored
        progress = Progress(
            self.options.budget, self.options.batch_size, spent, self.labels.copy(), self.rounds.copy(),
            self._dev.seen(), self.pools.size.copy(), self.pools.n_classes.copy(),
            self.phases.now.copy(), self.phases.count.copy(), self.phases.progress(spent),
        )  # fmt: skip
        return PoolView(
            self.pools.shown, available, self.pools.labelled, self.oracle.cost, self.pools.density, self.task,
            self.learner, self.ledger, self.geometry, self.draws.streams, progress, scored,
            self.draws.notebooks, self._proxies,
        )  # fmt: skip

    @inferring
    def step(self, ids: Tensor | npt.ArrayLike, recipes: Sequence[Recipe | None] | None = None) -> Round:
        """Buy the labels of ``ids`` ``(E, b)`` (row ids, -1 for none), refit, measure.

        Rows are bought in the order given, as long as each fits in what is left of the budget.
        Finished episodes buy nothing. Arguments and errors are those of ``buy`` and ``learn``.
        """
        self.buy(ids)
        return self.learn(recipes=recipes)

    @inferring
    def buy(self, ids: Tensor | npt.ArrayLike) -> Bought:
        """Buy ``ids`` ``(E, b)`` as ``step`` does; their labels come with the next ``learn``. Mutates.

        Raises:
            ReActError: Ids have no line for each episode, or one is not in its episode's pool, is bought
                already, or comes twice.
        """
        ids = as_ids(ids, self.n_episodes, self.device)
        numbers = ids.cpu().numpy()
        asked = numbers >= 0
        if any_of(self.finished):
            asked &= ~self.finished[:, None]
        columns = self.pools.columns_of(ids)
        self.pools.check(ids, columns, numbers, asked)
        wanted, cost = self.pools.affordable(columns, asked, self.options.budget - self.spent)
        self.pools.mark(self._everyone, columns, wanted)
        self.spent += cost
        bought = np.where(wanted, numbers, -1)
        self._basket.add(columns, bought, cost)
        return Bought(bought, cost)

    @inferring
    def learn(self, episodes: Mask | None = None, recipes: Sequence[Recipe | None] | None = None) -> Round:
        """End the round of all episodes, or of those given ``(E,)``: labels come, learners are refitted.

        Args:
            episodes: Which; None for all.
            recipes: How each episode whose round ends is trained from now on; None changes nothing.

        Raises:
            ReActError: The learner knows no recipes, or not this one.
        """
        if recipes is not None and any(recipe is not None for recipe in recipes):
            choose_recipes(self.learner, recipes, episodes)
        chosen = None if episodes is None or episodes.all() else episodes
        columns, ids, bought = self._basket.take(chosen)
        self._dev.keep(chosen)
        index = self._everyone if chosen is None else self._everyone[torch.from_numpy(chosen)]
        with self.threads():
            if columns.shape[1] > 0:
                self._learn(index, columns, ids >= 0)
            self._measure()
        self._view, self._dev.reached = None, self.current
        ending = ~self.finished if chosen is None else ~self.finished & chosen
        self.rounds += ending
        if self.phases.several:
            self._move_on(ending)
        self.finished = self.finished | (self.exhausted & ending)
        self._end_failed()
        return Round(
            bought.ids, bought.cost, {k: v.copy() for k, v in self.reached.items()}, self.finished.copy()
        )

    @torch.inference_mode()
    def scores(self, rows: npt.NDArray[np.int64]) -> Scores:
        """Scores that the present models give to other rows ``(T,)``, as the task reads them.

        All episodes must be on one corpus.
        """
        return self.learner.logits_of_rows([rows] * self.n_episodes)

    def stop(self, episodes: npt.NDArray[np.bool_]) -> None:
        """End episodes ``(E,)`` by decision; they buy nothing more. Mutates."""
        self.finished = self.finished | episodes
        self._view = None

    def threads(self) -> AbstractContextManager[None]:
        """Context in which torch uses as many threads as pay off here; wrap whole rounds in it."""
        columns = self.n_episodes * (self.options.pool_size + self.options.dev_size)
        return threads_for(columns) if self._kind.cheap else nullcontext()

    def _learn(self, episodes: Tensor, columns: Tensor, wanted: Mask) -> None:
        everyone = episodes.numel() == self.n_episodes
        targets = self.oracle.answer(episodes, columns)
        answers = self.task.kinds(targets)
        if not all_of(wanted):
            answers = torch.where(torch.from_numpy(wanted).to(self.device), answers, ABSTAINED)
            targets = answers if self.task.has_classes else targets
        similarity = self.geometry.rows(columns) if everyone else self.geometry.rows_of(episodes, columns)
        bought = self.ledger.append(episodes, columns, answers, similarity, targets)
        self.learner.update(bought)
        labels = columns.shape[1] if bought.answered else bought.live.sum(1).cpu().numpy()
        self.labels[slice(None) if everyone else episodes.cpu().numpy()] += labels
        self.geometry.forget_picks()
        self._view = None

    def _measure(self) -> None:
        scores = self.learner.logits_of(slice(self.options.pool_size, None))
        self._dev.note(self.task.judge(self.metrics, scores, self.pools.truth, self.pools.class_mask))

    @property
    def exhausted(self) -> Mask:
        """Episodes ``(E,)`` whose budget or pool allows no further purchase."""
        return self.pools.exhausted(self.options.budget - self.spent)
