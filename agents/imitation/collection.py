"""Visiting states and asking the expert: groups of episodes, each on a task of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn

from react_rl.acquisition.batching.row_features import RowFeatures
from react_rl.acquisition.batching.selection import take_random
from react_rl.acquisition.strategies.weighted import MIXTURE
from react_rl.agents.imitation.expert import LookAhead
from react_rl.agents.imitation.settings import ImitationSettings
from react_rl.agents.imitation.states import States
from react_rl.agents.networks.beside import drawn_columns, within_pool
from react_rl.agents.scorer import ScorerStrategy, row_context
from react_rl.data.generated import Kind
from react_rl.learners.registry import LearnerSettings
from react_rl.seeding import Streams, entropy_of
from react_rl.simulation.drawn_options import draw_pool, mean_price, sized
from react_rl.simulation.encoded import EncodedCorpus
from react_rl.simulation.engine import LabelingEngine
from react_rl.simulation.generated import gathered_corpus, generated_task
from react_rl.simulation.options import EpisodeOptions
from react_rl.simulation.view import PoolView

AROUND: Final = 0.35
"""Deviation of the weights of mixed behaviour around those of the mixture."""

WILD: Final = 0.7
"""Deviation of the weights by which a third of the candidates is chosen, around half of the mixture's."""

DEALT: Final = 0.65
"""Share of tasks over gathered rows whose classes are made of the clusters; the others are of any kind."""

AIMLESS: Final = 0.15
"""Share of episodes of mixed behaviour that pick at random."""

STANDING: Final = 32
"""Rows that stand for the pool in each state, drawn for it, where the network looks at some."""


def collect(
    corpora: Sequence[EncodedCorpus],
    episode: EpisodeOptions,
    settings: ImitationSettings,
    group: int,
    policy: ScorerStrategy | None = None,
    learner: LearnerSettings | None = None,
) -> States:
    """Play one group of ``settings.n_envs`` episodes to their end and ask the expert in each round.

    Args:
        corpora: Training corpora; the tasks of the group are spread evenly over them.
        episode: Sizes of pool and dev set, and the annotator; what settings name is drawn for the group.
        settings: What is drawn.
        group: Number of the group; with the seed it decides everything.
        policy: What visits the states; None is mixed behaviour around the mixture.
        learner: Settings of the linear learner; None is the softmax regression as it comes.

    Returns:
        The states of all episodes and rounds.
    """
    entropy = entropy_of(settings.seed, "imitation")
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence((*entropy, group))))
    initial, batch = int(rng.choice(settings.initial_sizes)), int(rng.choice(settings.batch_sizes))
    rounds = settings.rounds_of(batch, int(rng.choice(settings.rounds)))
    beyond = int(rng.choice(settings.beyond)) if len(settings.beyond) > 1 else settings.beyond[0]
    if settings.pool_sizes is not None:
        pool = draw_pool(settings.pool_sizes, initial + batch * rounds, rng)
        episode = episode.model_copy(update={"pool_size": pool})
    options = sized(episode, initial, batch, rounds, mean_price(one.corpus for one in corpora))
    tasks = _tasks(corpora, settings, group, rng)
    engine = LabelingEngine(tasks, options, len(tasks), learner=learner)
    seeds = rng.integers(2**62, size=len(tasks)).tolist()
    # Draws of their own: what is seen beside the candidates changes none of them.
    standing = np.random.default_rng((*entropy_of(settings.seed, "beside"), group))
    engine.reset([Streams(seed) for seed in seeds], None, range(len(tasks)))
    visitor = policy or _Mixed(settings.features, len(tasks), rng)
    expert, parts = LookAhead(engine), []
    by_cost = settings.by_cost(corpora)
    with torch.inference_mode(), engine.threads():
        # Where rows are cheap an episode could go on; others have ended by then, and would be asked in vain.
        for _ in range(rounds):
            if engine.finished.all():
                break
            ids = visitor.select(engine.view, batch + beyond)
            picked = int(rng.integers(batch)) if rng.random() < settings.inside else 0
            after = ids[:, picked : picked + beyond]
            asked = ids[:, :picked]
            parts.append(_ask(engine, expert, asked, after, settings, rng, standing, policy, by_cost))
            engine.step(ids[:, :batch])
    return States.join(parts)


def _tasks(
    corpora: Sequence[EncodedCorpus], settings: ImitationSettings, group: int, rng: np.random.Generator
) -> list[EncodedCorpus]:
    """One task for each episode of a group."""
    tasks = []
    pulled = settings.gathered > 0 and rng.random() < settings.gathered
    if pulled:
        corpora = [gathered_corpus(base, settings.seed * 10_000_000 + group) for base in corpora]
    for place in range(settings.n_envs):
        number = group * settings.n_envs + place
        base = corpora[number % len(corpora)]
        invented = pulled or rng.random() < settings.generated
        kind: Kind = "dealt" if pulled and rng.random() < DEALT else "any"
        tasks.append(generated_task(base, settings.seed * 10_000_000 + number, kind) if invented else base)
    return tasks


def _ask(
    engine: LabelingEngine,
    expert: LookAhead,
    picked: Tensor,
    after: Tensor,
    settings: ImitationSettings,
    rng: np.random.Generator,
    standing: np.random.Generator,
    policy: ScorerStrategy | None = None,
    by_cost: bool = False,
) -> States:
    """Try candidates in every running episode.

    Args:
        engine: The episodes.
        expert: What tries.
        picked: Rows ``(E, j)`` that are in the batch already.
        after: Rows ``(E, a)`` that are bought together with each candidate.
        settings: How many candidates, and what is seen of them.
        rng: Draws candidates.
        standing: Draws the rows that stand for the pool.
        policy: Proposes a part of them.
        by_cost: Whether a candidate is worth its gain for each unit that it costs.
    """
    view = engine.view
    share = min(picked.shape[1] / view.progress.batch_size, 1.0)
    features, context = RowFeatures(view, settings.features), row_context(view, picked=share)
    drawn = drawn_columns(view.available, STANDING if settings.sees_pool else 0, standing)
    beside = _of_columns(features.values, drawn).half()
    scores = None if policy is None else within_pool(policy.on(view.device), features.values, view.available)
    free = view.available.clone()
    for ids in picked.unbind(1):
        # An episode that picked nothing (-1) has no free row left: its column 0 is idle, and it is not asked.
        columns = view.columns_of(ids[:, None]).clamp_min_(0)
        free.scatter_(1, columns, False)
        features.add(columns[:, 0])
    own = None if scores is None else scores(features.values, context)
    columns = _candidates(features.values, free, settings, rng, own)
    rows = _of_columns(features.values, columns)
    before = picked[:, None].expand(-1, columns.shape[1], -1)
    candidates = view.ids.gather(1, columns)[:, :, None]
    later = after[:, None].expand(-1, columns.shape[1], -1)
    later = later.masked_fill(later == candidates, -1)
    tried = torch.cat([before, candidates, later], 2)
    weights = torch.ones(columns.shape, device=view.device)
    if by_cost:
        # What the rows around the candidate bring is not its gain.
        without = torch.cat([picked, torch.full_like(candidates[:, 0], -1), after], 1)
        worth = torch.from_numpy(expert.values(torch.cat([tried, without[:, None]], 1))).to(view.device)
        cost = view.cost.gather(1, columns)
        values = ((worth[:, :-1] - worth[:, -1:]) / cost).float()
        weights = (cost / cost.mean(1, keepdim=True)).float()
    else:
        values = torch.from_numpy(expert.values(tried)).to(view.device, torch.float32)
    asked = (free.sum(1) >= columns.shape[1]) & torch.from_numpy(~engine.finished).to(view.device)
    kept = (rows.half(), context.float(), values, weights, beside)
    return States(*(part[asked].cpu() for part in kept))


def _of_columns(values: Tensor, columns: Tensor) -> Tensor:
    """Features ``(E, k, F)`` of the columns ``(E, k)``."""
    return values.gather(1, columns[:, :, None].expand(-1, -1, values.shape[2]))


def _candidates(
    values: Tensor,
    free: Tensor,
    settings: ImitationSettings,
    rng: np.random.Generator,
    own: Tensor | None = None,
) -> Tensor:
    """Columns ``(E, K)``: the best by the policy's scores, by the mixture, by random weights; random ones."""
    n_episodes, width, n_features = values.shape
    mixture = _mixture(settings.features).to(values.device)
    noise = torch.from_numpy(rng.standard_normal((n_episodes, n_features))).to(mixture)
    wild = 0.5 * mixture + WILD * noise
    proposals = [values @ mixture, torch.bmm(values, wild[:, :, None])[:, :, 0]]
    if own is not None:
        proposals.insert(0, own)
    part = settings.candidates // (len(proposals) + 1)
    wanted = [(scores, part) for scores in proposals]
    aimless = torch.from_numpy(rng.random((n_episodes, width))).to(mixture)
    wanted.append((aimless, settings.candidates - part * len(proposals)))
    columns: list[Tensor] = []
    for scores, count in wanted:
        best = torch.where(free, scores, -torch.inf).topk(min(count, width), dim=1).indices
        free = free.scatter(1, best, False)
        columns.append(best)
    return torch.cat(columns, 1)


def _mixture(features: Sequence[str]) -> Tensor:
    return torch.tensor([MIXTURE.get(name, 0.0) for name in features])


class _Weights(nn.Module):
    """Scores by fixed weights ``(E, F)`` of each episode's own."""

    def __init__(self, weights: Tensor) -> None:
        super().__init__()
        self.register_buffer("weights", weights)

    def forward(self, rows: Tensor, _: Tensor) -> Tensor:
        return torch.bmm(rows, self.get_buffer("weights")[:, :, None])[:, :, 0]


class _Mixed:
    """Greedy batches by weights around the mixture's, each episode's own; some episodes pick at random."""

    name = "mixed behaviour"

    def __init__(self, features: Sequence[str], n_episodes: int, rng: np.random.Generator) -> None:
        noise = torch.from_numpy(rng.standard_normal((n_episodes, len(features)))).float()
        self._weighted = ScorerStrategy("weighted", _Weights(_mixture(features) + AROUND * noise), features)
        self._aimless = torch.from_numpy(rng.random(n_episodes) < AIMLESS)

    def score(self, view: PoolView) -> Tensor:
        """Scores by the weights ``(E, P)``."""
        return self._weighted.score(view)

    def select(self, view: PoolView, n: int) -> Tensor:
        """Choose ``n`` rows."""
        aimless = self._aimless.to(view.device)[:, None]
        return torch.where(aimless, take_random(view, n), self._weighted.select(view, n))
