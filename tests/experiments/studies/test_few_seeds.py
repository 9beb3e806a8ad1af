"""Studies with few seeds: shares of wrong conclusions where theory says what they must be."""

from __future__ import annotations

from math import erf, sqrt
from pathlib import Path

import numpy as np
import pytest

from react_rl.experiments.studies.few_seeds import groups, studies, told_apart, write
from react_rl.experiments.studies.scores import FOLDER, ScoreTable


def gaussian(difference: float, seeds: int = 400, shared: float = 1.0) -> ScoreTable:
    """Two strategies on one corpus: paired differences of standard deviation 1 and exactly this mean."""
    rng = np.random.default_rng(3)
    noise = rng.normal(size=seeds)
    noise = (noise - noise.mean()) / noise.std()
    base = rng.normal(scale=shared, size=seeds)
    return ScoreTable(
        ("c",), tuple(range(seeds)), {"better": (base + difference + noise)[:, None], "worse": base[:, None]}
    )


def below(z: float) -> float:
    """Standard normal distribution function."""
    return (1 + erf(z / sqrt(2))) / 2


@pytest.mark.parametrize("n", [3, 10])
def test_orders_are_wrong_as_often_as_the_normal_distribution_says(n: int) -> None:
    (study,) = studies(gaussian(0.4), sizes=(n,), subsets=4000)
    assert study.wrong_order == pytest.approx(below(-0.4 * sqrt(n)), abs=0.02)
    assert study.other_winner == study.wrong_order
    # Own seeds for each strategy: the shared part, of variance 1, no longer cancels but counts twice.
    assert study.wrong_order_unpaired == pytest.approx(below(-0.4 * sqrt(n / 3)), abs=0.03)


def test_significance_is_that_of_the_paired_t_test() -> None:
    weak, strong = (studies(gaussian(d), sizes=(3,), subsets=4000)[0] for d in (0.25, 5.0))
    # Nearly the level of the test on either side where hardly anything is to be seen.
    assert 0.005 < weak.significant_wrong < 0.025 < weak.significant_right < 0.07
    # The t-test of 3 seeds at 5 standard deviations: mean - 2.48 standard deviations of the seeds is above 0.
    assert strong.significant_right > 0.9
    assert strong.significant_wrong == strong.wrong_order == 0


def test_the_side_of_the_better_one_does_not_matter() -> None:
    table = gaussian(0.5)
    turned = ScoreTable(
        table.corpora, table.seeds, {"worse": table.values["worse"], "better": table.values["better"]}
    )
    one, other = (studies(t, sizes=(5,))[0] for t in (table, turned))
    assert one.wrong_order == other.wrong_order
    assert one.significant_right == other.significant_right


def test_only_pairs_that_all_seeds_tell_apart_count() -> None:
    table = gaussian(0.4)
    copy = table.values["worse"] + 1e-9 * np.random.default_rng(0).normal(size=(400, 1))
    three = ScoreTable(table.corpora, table.seeds, {**table.values, "same": copy})
    assert told_apart(three).sum() == 2
    assert not told_apart(three)[0, 1, 2]
    none = ScoreTable(("c",), table.seeds, {"worse": table.values["worse"], "same": copy})
    assert np.isnan(studies(none, sizes=(3,))[0].wrong_order)


def test_sizes_that_come_near_all_seeds_are_left_out() -> None:
    assert [s.seeds for s in studies(gaussian(0.4, seeds=61), subsets=10)] == [3, 5, 10, 20, 30]


def test_groups_are_disjoint_and_in_order() -> None:
    np.testing.assert_array_equal(groups(np.arange(11.0), 3), [1, 4, 7])


def test_files_are_written_from_the_table(tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir()
    rng = np.random.default_rng(0)
    rows = ["corpus,seed,random,margin"]
    for corpus in ("a", "b"):
        rows += [
            f"{corpus},{k},{r:.6f},{r + 0.1 + m:.6f}"
            for k, (r, m) in enumerate(rng.normal(0, 0.05, (104, 2)))
        ]
    (tmp_path / FOLDER / "seeds.csv").write_text("\n".join(rows) + "\n")
    found = write(tmp_path)
    assert [s.seeds for s in found] == [3, 5, 10, 20, 30, 50]
    assert (tmp_path / "few_seeds.csv").read_text().startswith("seeds,wrong_order,wrong_order_unpaired,")
    assert (tmp_path / "few_seeds.png").read_bytes().startswith(b"\x89PNG")
