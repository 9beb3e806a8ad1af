"""What reinforcement learning adds to imitation: policies after PPO against the one that they began from.

Trainings are ``react-rl train results/rl/NAME.yaml``; this plays what they made on corpora that chose
nothing.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import torch
from sb3_contrib import MaskablePPO
from sb3_contrib.common.maskable.policies import MaskableActorCriticPolicy

from react_rl.acquisition.contract import QueryStrategy
from react_rl.acquisition.registry import make_strategy
from react_rl.acquisition.stopping import StoppingSettings, make_stopping
from react_rl.agents import LearnedStrategy
from react_rl.agents.folder import is_policy
from react_rl.agents.networks.registry import assembled
from react_rl.agents.scorer_folder import load_scorer, pretrained_folder
from react_rl.agents.settings import policy_arguments
from react_rl.agents.start import network_of_start, starting_weights
from react_rl.agents.training import preserved_random_state
from react_rl.envs import LabelingVecEnv, build_environment
from react_rl.envs.batched import episode_streams
from react_rl.envs.many_worlds import labeling
from react_rl.experiments.analysis.csv_files import csv_text
from react_rl.experiments.config.models import TrainConfig, load_config
from react_rl.experiments.run.episodes import TestSplit
from react_rl.experiments.run.train import check_training, worlds_of
from react_rl.experiments.studies.command import run_study, say, study_parser
from react_rl.experiments.studies.gaps import Gap
from react_rl.experiments.studies.growing import GrowingTable
from react_rl.experiments.studies.played import TransferCorpora
from react_rl.experiments.studies.scores import Floats
from react_rl.experiments.studies.transfer import CHOICES
from react_rl.files import write_atomically
from react_rl.simulation.corpora import prepare
from react_rl.simulation.encoded import EncodedCorpus
from react_rl.simulation.engine import LabelingEngine
from react_rl.simulation.options import EpisodeOptions
from react_rl.simulation.play import play

BATCHES: Final = (5, 25)
ORDER: Final = ("mixture", "learned", "start", "start + PPO", "start + longer PPO", "PPO from scratch")
"""Strategies as tables list them; each is compared with those before it."""

SEEDS: Final = 12
PRICE: Final = 0.001
"""Of a label, in accuracy."""

RULES: Final = tuple(
    [StoppingSettings(rule="budget", threshold=limit) for limit in (10, 20, 30, 40, 60, 80, 100, 120, 140)]
    + [
        StoppingSettings(rule="predicted-gain", threshold=gain, window=window)
        for gain in (0.0, 0.0005, 0.001, 0.002, 0.004)
        for window in (2, 3, 5)
    ]
    + [StoppingSettings(rule="overall-uncertainty", threshold=share) for share in (0.1, 0.2, 0.4)]
    + [StoppingSettings(rule="kappa", threshold=kappa) for kappa in (0.9, 0.95, 0.99)]
)
"""The fixed stopping rules that the best is chosen from."""

DEV_SIZE: Final = 200
"""Dev rows of the judgement, which policies and stopping rules look at."""

CHOICE_SEED: Final = 2_000_000
"""First seed of the episodes by which a rule or a recipe is chosen: policies were validated on others."""

HEAD: Final = "| {} | minus | difference [95 % interval] | pairs won | corpora ahead |\n|" + " --- |" * 5
"""Of tables with ``interval``."""

_JUDGED_ON: Final = 1000
"""Most test rows."""
_RUN: Final = ("batch", "strategy", "corpus")

Judge = Callable[[LabelingEngine], Floats]
"""Accuracy of each episode's present model ``(E,)``."""


def on_test(corpus: EncodedCorpus) -> Judge:
    """Judge models by the test rows of a corpus."""
    split = TestSplit(corpus, _JUDGED_ON)
    return lambda engine: split.measure(engine, ("accuracy",))["accuracy"]


def on_dev(engine: LabelingEngine) -> Floats:
    """Judge models by the dev rows of their episodes."""
    return engine.current["accuracy"].copy()


def begun(
    corpus: EncodedCorpus, options: EpisodeOptions, first: int, seeds: int, metrics: Sequence[str]
) -> LabelingEngine:
    """Episodes of a corpus that have just begun, the same for every strategy."""
    engine = LabelingEngine([corpus], options, seeds, ("accuracy", *metrics))
    engine.reset([episode_streams(first + k, corpus.name) for k in range(seeds)])
    return engine


def metrics_of(strategy: QueryStrategy) -> tuple[str, ...]:
    """Dev metrics that a strategy looks at."""
    return strategy.interface.metrics if isinstance(strategy, LearnedStrategy) else ()


def contestants(policies: Path, configs: Path, batch: int) -> dict[str, QueryStrategy]:
    """The strategies of a batch size by name: the mixture, `learned`, the start, and what PPO made of it.

    The start is `imitated` over 32 candidates, which needs no training; `learned` here is `imitated` over all
    rows, which shipped under that name. A policy whose training is not there is left out.
    """
    config = load_config(TrainConfig, str(configs / f"start-{batch}.yaml"))
    found: dict[str, QueryStrategy] = {
        "mixture": make_strategy("mixture"),
        "learned": load_scorer(pretrained_folder("imitated"), "learned"),
    }
    found["start"] = LearnedStrategy("start", model_of_start(config).policy, check_training(config))
    for kind, name in (
        ("start", "start + PPO"), ("longer", "start + longer PPO"), ("scratch", "PPO from scratch")
    ):  # fmt: skip
        folder = policies / f"{kind}-{batch}" / "policy"
        if is_policy(folder):
            found[name] = LearnedStrategy.load(folder, name)
    return found


def model_of_start(config: TrainConfig, environment: LabelingVecEnv | None = None) -> MaskablePPO:
    """PPO as the training of a config begins it, with the weights of its start.

    Args:
        config: The config.
        environment: Where it would train; None for a small one of generated rows.
    """
    interface = check_training(config)
    if environment is None:
        environment = LabelingVecEnv(build_environment(action_space=interface))
    begin = starting_weights(config.agent, interface)
    assert begin is not None, "the config names a start"
    spaces = (interface.observation_space, interface.action_space)
    network = network_of_start(config.agent) | policy_arguments(config.agent, *spaces)
    kind, arguments = assembled(config.agent.algorithm, network, *spaces, imports=True)
    assert issubclass(kind, MaskableActorCriticPolicy), "the config names MaskablePPO"
    model = MaskablePPO(kind, environment, policy_kwargs=arguments, seed=0, device="cpu")
    begin(model.policy)
    return model


def judged(policies: Path, data: Path, out: Path, seeds: int) -> pd.DataFrame:
    """Area under the test curve of every run: batch, strategy, corpus, seed, area; what is known stays.

    Args:
        policies: Where the trainings wrote.
        data: Folder of the corpora.
        out: Where their configs are, and what is known.
        seeds: Paired seeds.
    """
    table = GrowingTable(out / "areas.csv", _RUN)
    for batch in BATCHES:
        strategies = contestants(policies, out, batch)
        options = load_config(TrainConfig, str(out / f"start-{batch}.yaml")).episode
        episode = {"budget": options.budget, "batch_size": batch, "dev_size": DEV_SIZE}
        ground = TransferCorpora(data, CHOICES, episode=episode)
        for name, strategy in strategies.items():
            for corpus in ground.corpora:
                if not table.holds(seeds, batch=str(batch), strategy=name, corpus=corpus.name):
                    areas = ground.areas(corpus, strategy, name, seeds)
                    table.add(areas.assign(batch=str(batch))[[*_RUN, "seed", "area"]])
            own = (table.frame["batch"] == str(batch)) & (table.frame["strategy"] == name)
            say(f"rounds of {batch}, {name}: {table.frame.loc[own, 'area'].mean():.4f}")
    return table.frame


def spread(plain: Floats, paired: Floats, size: int) -> dict[str, float]:
    """Standard deviations of returns ``(E,)``: as they are, less the mixture's, less a group's mean."""
    groups = plain.reshape(-1, size)
    grouped = (groups - groups.mean(1, keepdims=True)).ravel()
    named = {"alone": plain, "minus the mixture": paired, "minus the mean of eight": grouped}
    return {name: float(values.std(ddof=1)) for name, values in named.items()}


def returns_of_the_start(
    config: TrainConfig, against: str | None, corpora: Sequence[EncodedCorpus]
) -> Floats:
    """Returns ``(E,)`` of the policy that PPO goes on from, acting by chance as in training."""
    interface = check_training(config)
    reward = config.reward.model_copy(update={"against": against})
    slots = 8 * config.reward.group_size
    environment = LabelingVecEnv(labeling(worlds_of(config, corpora), interface, reward, slots))
    environment.seed(0)
    model = model_of_start(config, environment)
    observed, total = environment.reset(), np.zeros(slots)
    for _ in range(round(config.episode.budget)):
        masks = np.stack(environment.env_method("action_masks"))
        actions, _ = model.predict(observed, action_masks=masks)  # type: ignore[arg-type]
        observed, rewards, _, _ = environment.step(actions)
        total += rewards
    return total


def spreads(configs: Path) -> pd.DataFrame:
    """How far returns of one policy lie apart, by batch size and pairing."""
    rows = []
    for batch in BATCHES:
        config = load_config(TrainConfig, str(configs / f"start-{batch}.yaml"))
        corpora = prepare(config.corpora, config.encoder, "cpu", False)
        plain, paired = (returns_of_the_start(config, name, corpora) for name in (None, "mixture"))
        for name, value in spread(plain, paired, config.reward.group_size).items():
            rows.append((batch, name, round(value, 5)))
            say(f"rounds of {batch}, returns {name}: standard deviation {value:.4f}")
    return pd.DataFrame(rows, columns=["batch", "returns", "deviation"])


def net_by_rule(engine: LabelingEngine, strategy: QueryStrategy, judge: Judge) -> Floats:
    """Accuracy less the price of the labels where each rule stops, and without any ``(R + 1, E)``."""
    rules = [make_stopping(settings) for settings in RULES]
    net = np.full((len(RULES) + 1, engine.n_episodes), np.nan)

    def look() -> Floats:
        now = judge(engine) - PRICE * engine.spent
        for place, rule in enumerate(rules):
            assert rule is not None
            stops = rule.update(engine.view) & np.isnan(net[place])
            net[place, stops] = now[stops]
        return now

    last = look()
    for _ in play(engine, strategy):
        last = look()
    return np.where(np.isnan(net), last, net)


def net_of(engine: LabelingEngine, strategy: QueryStrategy, judge: Judge) -> tuple[Floats, Floats]:
    """Accuracy less the price of the labels where a strategy ends, and the labels bought ``(E,)``."""
    for _ in play(engine, strategy):
        pass
    return judge(engine) - PRICE * engine.spent, engine.spent.copy()


def stopped(
    policies: Path,
    configs: Path,
    corpora: Sequence[EncodedCorpus],
    seeds: int,
) -> tuple[pd.DataFrame, str]:
    """Net return of every run (strategy, corpus, seed, net, labels), and the rule that the tasks chose."""
    config = load_config(TrainConfig, str(configs / "stop.yaml"))
    episode, tasks = config.episode, prepare(config.validation, config.encoder, "cpu", False)
    mixture = make_strategy("mixture")
    on_tasks = [
        net_by_rule(begun(task, episode, CHOICE_SEED, 4, ()), mixture, on_dev).mean(1) for task in tasks
    ]
    best = int(np.mean(on_tasks, axis=0)[:-1].argmax())
    say(f"rule chosen on the tasks: {named(RULES[best])}")
    policy = LearnedStrategy.load(policies / "stop" / "policy", "policy")
    options = episode.model_copy(update={"pool_size": 500, "dev_size": DEV_SIZE})
    rows: list[tuple[str, str, int, float, float]] = []
    for corpus in corpora:
        judge = on_test(corpus)
        nets = net_by_rule(begun(corpus, options, 0, seeds, ()), mixture, judge)
        own, labels = net_of(begun(corpus, options, 0, seeds, metrics_of(policy)), policy, judge)
        parts = {named(one): values for one, values in zip(RULES, nets[:-1], strict=True)}
        for name, values in (parts | {"never stop": nets[-1], "policy": own}).items():
            bought = labels if name == "policy" else np.full(seeds, np.nan)
            rows += [
                (name, corpus.name, seed, round(float(value), 6), float(count))
                for seed, (value, count) in enumerate(zip(values, bought, strict=True))
            ]
    return pd.DataFrame(rows, columns=["strategy", "corpus", "seed", "net", "labels"]), named(RULES[best])


def named(rule: StoppingSettings) -> str:
    """A rule in a few words."""
    window = "" if rule.window is None else f" over {rule.window}"
    return f"{rule.rule} {rule.threshold:g}{window}"


def interval(frame: pd.DataFrame, value: str, ours: str, theirs: str) -> str:
    """Mean difference with its 95 % t-interval over seeds, share of pairs won, and corpora ahead."""
    wide = frame.pivot_table(index=["seed", "corpus"], columns="strategy", values=value)
    found = Gap.paired(wide[ours], wide[theirs])
    return f"{found.plain} | {found.won:.2f} | {found.ahead} of {found.corpora}"


def tables(areas: pd.DataFrame, nets: pd.DataFrame | None, rule: str) -> str:
    """Differences as Markdown."""
    lines = ["# Reinforcement learning against imitation, in numbers", ""]
    for batch, frame in sorted(areas.groupby("batch"), key=lambda pair: int(str(pair[0]))):
        names = [name for name in ORDER if name in set(frame["strategy"])]
        means = frame.groupby("strategy")["area"].mean()
        lines += [f"## Rounds of {batch}", "", "Mean areas: "]
        lines[-1] += ", ".join(f"{name} {means[name]:.4f}" for name in names) + "."
        lines += ["", HEAD.format("policy")]
        for ours in names[2:]:
            for theirs in names[: names.index(ours)]:
                lines.append(f"| {ours} | {theirs} | {interval(frame, 'area', ours, theirs)} |")
        each = frame.pivot_table(index="corpus", columns="strategy", values="area", sort=False)[names]
        lines += ["", "| corpus | " + " | ".join(names) + " |", "| --- |" + " ---: |" * len(names)]
        lines += [
            f"| {corpus} | " + " | ".join(f"{one:.4f}" for one in row) + " |"
            for corpus, row in zip(each.index, each.to_numpy(), strict=True)
        ]
        lines.append("")
    if nets is not None:
        lines += [*_stopping(nets, rule), ""]
    return "\n".join(lines)


def _stopping(nets: pd.DataFrame, rule: str) -> list[str]:
    means = nets.groupby("strategy")["net"].mean().sort_values(ascending=False)
    fixed = means.drop(["policy", "never stop"])
    labels = nets.loc[nets["strategy"] == "policy", "labels"].mean()
    lines = [f"## Stopping at a price of {PRICE} a label", ""]
    lines += [
        f"Mean net return: policy {means['policy']:.4f} ({labels:.0f} labels), {rule} (chosen on the tasks) "
        f"{means[rule]:.4f}, never stop {means['never stop']:.4f}; the best rule in hindsight is "
        f"{fixed.index[0]} with {fixed.iloc[0]:.4f}.",
        "",
        HEAD.format("policy"),
    ]
    for theirs in dict.fromkeys((rule, fixed.index[0], "never stop")):
        lines.append(f"| policy | {theirs} | {interval(nets, 'net', 'policy', theirs)} |")
    return lines


def study(asked: argparse.Namespace) -> str:
    """Play what was asked for, and write the tables; returns the page."""
    if asked.spread:
        with preserved_random_state():
            found = spreads(asked.out)
        write_atomically(asked.out / "spread.csv", csv_text(found))
        return str(found.to_string(index=False))
    with torch.inference_mode(), preserved_random_state():
        areas = judged(asked.policies, asked.data, asked.out, asked.seeds)
        nets, rule = None, ""
        if is_policy(asked.policies / "stop" / "policy"):
            corpora = TransferCorpora(asked.data, CHOICES).corpora
            nets, rule = stopped(asked.policies, asked.out, corpora, asked.seeds)
            write_atomically(asked.out / "stopping.csv", csv_text(nets))
    page = tables(areas, nets, rule)
    write_atomically(asked.out / "tables.md", page)
    return page


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit status."""
    parser = study_parser(__doc__, "rl_against_imitation", "results/rl", SEEDS, data=True)
    parser.add_argument(
        "--policies", type=Path, default=Path("results/rl/policies"), help="where the trainings wrote"
    )
    parser.add_argument("--spread", action="store_true", help="how far returns lie apart, and nothing else")
    return run_study(parser, arguments, study)


if __name__ == "__main__":
    sys.exit(main())
