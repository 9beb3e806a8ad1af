"""What of imitation makes the policy: small trainings that differ in one thing each, judged on eight corpora.

The states of the base serve all trainings that see less of them or fit another network, so that only what is
named differs; those that the base policy visited itself (DAgger) stay the base policy's there. Trainings on
other tasks have half as many states, all of mixed behaviour, as has half of the tasks of the base.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn

from react_rl.acquisition.contract import QueryStrategy
from react_rl.acquisition.registry import make_strategy
from react_rl.acquisition.strategies.weighted import MIXTURE
from react_rl.agents.imitation.collection import collect
from react_rl.agents.imitation.dealing import dealt_again
from react_rl.agents.imitation.fitting import Made, fit_ensemble
from react_rl.agents.imitation.settings import ImitationSettings
from react_rl.agents.imitation.states import States
from react_rl.agents.networks import RowScorer
from react_rl.agents.scorer import ROW_CONTEXT, ScorerStrategy
from react_rl.envs.context import PROGRESS
from react_rl.errors import unknown
from react_rl.experiments.config.models import ImitateConfig, load_config
from react_rl.experiments.studies.command import run_study, say, study_parser
from react_rl.experiments.studies.gaps import gap
from react_rl.experiments.studies.growing import GrowingTable
from react_rl.experiments.studies.played import TransferCorpora, score_table
from react_rl.experiments.studies.scores import ScoreTable
from react_rl.experiments.studies.transfer import CHOICES
from react_rl.files import write_atomically
from react_rl.simulation.corpora import prepare
from react_rl.simulation.encoded import EncodedCorpus
from react_rl.simulation.generated import generated_task

BASE: Final = "base"

REFERENCES: Final = ("learned", "uncertainty-herding", "mixture")
"""Strategies that are judged beside the trainings, where the study of context has not done it already."""

REAL: Final = (
    *("sst2", "mr", "cola", "davidson_hate", "yelp_sentences", "tweeteval_sentiment"),
    *("20newsgroups", "banking77"),
)
"""Corpora that lend their own labels to one training, their texts to another; nothing is judged on them."""

FEW_TASKS: Final = {"16 tasks": 16, "64 tasks": 64}
"""Tasks of trainings that meet the same ones again and again."""

NEXT_ROWS: Final = (0, 5, 15)
"""Rows that are bought together with a candidate where its gain is that of several steps."""

FURTHER: Final = ("expected_change", "cluster_gap", "bald", "flips")
"""Features that the base does not see."""

SAME: Final = "the same states, 16 features"
"""What a training that sees these is compared with."""

POSTERIOR: Final = ("unsure_herding", "variance", "even_reduction", "variance_reduction")
"""Features that ask what a row does for all rows of the pool."""

_REAL_DEV: Final = 420
"""Dev rows on which the expert judges there: the smallest of these corpora has few more."""

_NAMES: Final = ("corpus", "strategy")

_FURTHER: Final = 50_000
_OWN: Final = 100_000
"""Numbers of the groups of episodes begin here: further mixed states, and those of the policy itself."""


class LinearScorer(RowScorer):
    """A row scorer without its MLP: weights that follow the context.

    Args:
        n_features: F, features of a row.
        n_context: G, numbers that all rows of a pool share.
        hidden: Units of the gate.
    """

    def __init__(self, n_features: int, n_context: int, hidden: int = 48) -> None:
        super().__init__(n_features, n_context, hidden)
        _, last = self.layers
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        last.requires_grad_(False)


class Blind(nn.Module):
    """A network that is shown some numbers of the context only; the others are 0.

    Args:
        network: From features ``(E, R, F)`` and context ``(E, G)`` to scores ``(E, R)``.
        seen: ``(G,)`` 1 for each number that it is shown.
    """

    def __init__(self, network: nn.Module, seen: Tensor) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("seen", seen)

    def forward(self, rows: Tensor, context: Tensor) -> Tensor:
        """Scores ``(E, R)``."""
        scores: Tensor = self.network(rows, context * self.get_buffer("seen"))
        return scores


@dataclass(frozen=True)
class Training:
    """One line of the ablation.

    Args:
        name: Name in the table.
        states: Which states it is fitted to, a key of ``Collection``.
        says: What differs from the base.
        features: Features that the network sees; None for all.
        context: Numbers of the context that it sees; None for all.
        make: Makes the network.
    """

    name: str
    states: str
    says: str
    features: tuple[str, ...] | None = None
    context: tuple[str, ...] | None = None
    make: Made = RowScorer


TRAININGS: Final = (
    Training(BASE, "base", "4,000 states of mixed behaviour, 2,000 of the policy itself; 16 features, MLP"),
    Training("no context", "base", "features of the row alone", context=()),
    Training("progress as context", "base", "budget and classes, nothing of the pool", context=PROGRESS),
    Training("linear", "base", "weights that follow the context, no MLP", make=LinearScorer),
    Training("linear, no context", "base", "one weight for each feature", context=(), make=LinearScorer),
    Training("four features", "base", "those of the mixture", features=tuple(MIXTURE)),
    Training(
        "no look at the pool", "base", "without variance, its reductions and herding",
        features=tuple(name for name in ImitationSettings().features if name not in POSTERIOR),
    ),
    Training("second seed", "second seed", "other tasks, episodes and first weights"),
    Training("no DAgger", "mixed", "all 6,000 states of mixed behaviour"),
    Training("half of the tasks", "half", "3,000 of these"),
    Training("an eighth of the tasks", "eighth", "750 of these"),
    Training("real labels", "real", "3,000 states on eight other corpora, their own labels"),
    Training("their texts", "texts", "3,000 states on the same eight, invented labels"),
    Training("16 tasks", "16 tasks", "3,000 states in 16 tasks"),
    Training("64 tasks", "64 tasks", "3,000 states in 64 tasks"),
    Training(
        "several steps", "several steps",
        "3,000 states, a candidate tried with the next 0, 5 or 15 rows",
    ),
    Training(SAME, "further", "3,000 other states", features=ImitationSettings().features),
    Training(
        "20 features", "further", "the same; heads that disagree, flips, clusters without labels, change",
        features=(*ImitationSettings().features, *FURTHER),
    ),
)  # fmt: skip
"""Written down before anything was trained."""


class Collection:
    """States by name, collected when first asked for, and kept on disk group by group.

    Args:
        config: The base.
        data: Folder of the corpora in ``REAL``.
        folder: Where states are kept.
    """

    def __init__(self, config: ImitateConfig, data: Path, folder: Path) -> None:
        self._config, self._data, self._folder = config, data, folder
        self._corpora: dict[str, list[EncodedCorpus]] = {}
        self._states: dict[str, States] = {}

    @property
    def settings(self) -> ImitationSettings:
        """Settings of the base."""
        return self._config.imitation

    def settings_of(self, name: str) -> ImitationSettings:
        """Settings of some states: which features were recorded."""
        if name != "further":
            return self.settings
        return self.settings.model_copy(update={"features": (*self.settings.features, *FURTHER)})

    def invented(self) -> list[EncodedCorpus]:
        """Corpora of the base, dealt out again."""
        return self._of("invented", self.settings.seed)

    def __getitem__(self, name: str) -> States:
        if name not in self._states:
            self._states[name] = States.join(self._parts(name))
        return self._states[name]

    def _parts(self, name: str) -> list[States]:
        settings, second = self.settings, self.settings.model_copy(update={"seed": 1})
        whole = settings.states + settings.dagger_states
        if name == "base":
            return self._with_own("invented", settings)
        if name == "second seed":
            return self._with_own("invented", second)
        if name in ("mixed", "half", "eighth"):
            share = {"mixed": 1.0, "half": 0.5, "eighth": 0.125}[name]
            parts = self._mixed("invented", settings, settings.states)
            parts += self._mixed("invented", settings, whole - settings.states, _FURTHER)
            found = np.cumsum([len(part) for part in parts])
            return parts[: int(np.searchsorted(found, share * found[-1])) + 1]
        if name == "further":
            return self._mixed(name, self.settings_of(name), whole // 2)
        changes: dict[str, object] = {"beyond": NEXT_ROWS}
        if name != "several steps":
            changes = {"generated": 1.0 if name == "texts" else 0.0}
        return self._mixed(name, settings.model_copy(update=changes), whole // 2)

    def _with_own(self, source: str, settings: ImitationSettings) -> list[States]:
        """States of mixed behaviour, then where a policy goes that was fitted to them."""
        parts = self._mixed(source, settings, settings.states)

        @cache
        def own() -> ScorerStrategy:
            network = fit_ensemble(States.join(parts), settings, RowScorer)
            return ScorerStrategy("own", network, settings.features)

        return parts + self._mixed(source, settings, settings.dagger_states, _OWN, own)

    def _mixed(
        self,
        source: str,
        settings: ImitationSettings,
        count: int,
        first: int = 0,
        own: Callable[[], ScorerStrategy] | None = None,
    ) -> list[States]:
        """So many states of mixed behaviour, or three quarters of the groups by a policy of its own."""
        parts: list[States] = []
        while sum(len(part) for part in parts) < count:
            group = first + len(parts)
            path = self._folder / f"{source}-{settings.seed}-{group:06d}.safetensors"

            def collected(group: int = group, name: str = path.name) -> States:
                visitor = None if own is None or group % 4 == 3 else own()
                dev = _REAL_DEV if source in ("real", "texts") else self._config.episode.dev_size
                episode = self._config.episode.model_copy(update={"dev_size": dev})
                states = collect(self._of(source, settings.seed), episode, settings, group, visitor)
                say(f"{name}, seed {settings.seed}")
                return states

            parts.append(States.kept(path, collected))
        return parts

    def _of(self, source: str, seed: int) -> list[EncodedCorpus]:
        """Training corpora, dealt out again."""
        key = f"{source}-{seed}"
        if key not in self._corpora:
            if source in ("real", "texts"):
                corpora = TransferCorpora(self._data, REAL).corpora
            else:
                corpora = prepare(self._config.corpora, self._config.encoder, "cpu")
            dealt = [dealt_again(corpus, seed) for corpus in corpora]
            few = FEW_TASKS.get(source, 0)
            if few:
                dealt = [generated_task(dealt[task % len(dealt)], task) for task in range(few)]
            self._corpora[key] = dealt
        return self._corpora[key]


def fitted(training: Training, states: States, settings: ImitationSettings) -> ScorerStrategy:
    """The policy of a training."""
    features = training.features or settings.features
    seen = torch.tensor([float(training.context is None or one in training.context) for one in ROW_CONTEXT])
    columns = [settings.features.index(feature) for feature in features]
    shown = replace(states, rows=states.rows[:, :, columns], context=states.context * seen)
    if training.name == "second seed":
        settings = settings.model_copy(update={"seed": settings.networks})
    network = Blind(fit_ensemble(shown, settings, training.make), seen)
    return ScorerStrategy(training.name, network, features)


def markdown(table: ScoreTable, states: Mapping[str, int]) -> str:
    """One line for each training: area, differences to the base and to references."""
    said = {one.name: one.says for one in TRAININGS}
    rivals = [
        name for name in (BASE, "half of the tasks", SAME, "learned", "mixture") if name in table.values
    ]
    lines = [
        "# Small trainings, in numbers",
        "",
        f"Area under the test accuracy curve, {len(table.corpora)} corpora, {len(table.seeds)} paired seeds; "
        "differences x 1,000 with 95 % t-intervals over seeds, * where they exclude 0.",
        "",
        f"| training | what differs | states | area | minus {' | minus '.join(rivals)} |",
        f"| --- | --- | ---: | ---: |{' --- |' * len(rivals)}",
    ]
    for name in table.values:
        cells = ["" if name == rival else gap(table, name, rival).long for rival in rivals]
        count = f"{states[name]:,}" if name in states else ""
        lines.append(
            f"| {name} | {said.get(name, '')} | {count} | {table.of(name).mean():.4f} | {' | '.join(cells)} |"
        )
    return "\n".join([*lines, ""])


def study(asked: argparse.Namespace) -> str:
    """Collect, fit, judge; what is on disk already is not done again."""
    known = [training.name for training in TRAININGS]
    for name in asked.trainings:
        if name not in known:
            raise unknown("training", name, known)
    config = load_config(ImitateConfig, str(asked.config))
    collection = Collection(config, asked.data, asked.out / "states")
    ground = TransferCorpora(asked.data, CHOICES)
    areas = GrowingTable(asked.out / "trainings.csv", _NAMES)
    counts: dict[str, int] = {}
    for training in TRAININGS:
        if training.name in asked.trainings:
            states = collection[training.states]
            counts[training.name] = len(states)
            if not _judged(ground, areas, training.name, asked.seeds):
                policy = fitted(training, states, collection.settings_of(training.states))
                _judge(ground, areas, policy, training.name, asked.seeds)
    for name in REFERENCES:
        _judge(ground, areas, make_strategy(name), name, asked.seeds)
    shown = areas.frame[areas.frame["strategy"].isin((*counts, *REFERENCES))]
    text = markdown(score_table(shown, CHOICES, asked.seeds), counts)
    write_atomically(asked.out / "trainings.md", text)
    return text


def _judged(ground: TransferCorpora, areas: GrowingTable, name: str, seeds: int) -> bool:
    return all(areas.holds(seeds, strategy=name, corpus=corpus.name) for corpus in ground.corpora)


def _judge(
    ground: TransferCorpora, areas: GrowingTable, strategy: QueryStrategy, name: str, seeds: int
) -> None:
    for corpus in ground.corpora:
        if not areas.holds(seeds, strategy=name, corpus=corpus.name):
            areas.add(ground.areas(corpus, strategy, name, seeds))
    say(f"{name} is judged")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit status."""
    parser = study_parser(__doc__, "trainings", "results/ablations", seeds=24, data=True)
    parser.add_argument(
        "--config", type=Path, default=Path("results/ablations/base.yaml"), help="the base training"
    )
    names = [training.name for training in TRAININGS]
    parser.add_argument("--trainings", nargs="+", default=names, help="some of them; the default is all")
    return run_study(parser, arguments, study)


if __name__ == "__main__":
    sys.exit(main())
