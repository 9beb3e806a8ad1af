"""Each stopping rule against hand-made views, and small-text 1.4.1 on the same predictions."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy.stats import entropy
from sklearn.metrics import cohen_kappa_score

from react_rl.acquisition.stopping import StoppingSettings, cohen_kappa, make_stopping
from react_rl.errors import ReActError
from react_rl.simulation import PoolView
from react_rl.validation import validated


def view(
    predicted: npt.NDArray[np.int64] | None = None,
    labelled: npt.NDArray[np.bool_] | None = None,
    in_pool: npt.NDArray[np.bool_] | None = None,
    probabilities: npt.NDArray[np.float64] | None = None,
    **progress: Any,
) -> PoolView:
    """What a rule may look at, for E episodes."""
    parts: dict[str, Any] = {"n_episodes": len(progress.get("spent", [0]))}
    if predicted is not None:
        e, p = predicted.shape
        parts |= {
            "n_episodes": e,
            "predicted": torch.from_numpy(predicted),
            "logits": torch.zeros(e, 3, p),
            "in_pool": torch.from_numpy(np.ones((e, p), dtype=np.bool_) if in_pool is None else in_pool),
            "labelled": torch.from_numpy(np.zeros((e, p), dtype=np.bool_) if labelled is None else labelled),
        }
    if probabilities is not None:
        parts["entropy"] = torch.from_numpy(entropy(probabilities, axis=1))
    known = {k: np.asarray(v) for k, v in progress.items()}
    now = known.pop("metric", None)
    parts["progress"] = SimpleNamespace(metric=lambda _: SimpleNamespace(now=now), **known)
    return cast(PoolView, SimpleNamespace(**parts))


def decisions(
    settings: StoppingSettings, views: list[PoolView], metric: str = "accuracy"
) -> list[list[bool]]:
    rule = make_stopping(settings.model_copy(update={"metric": metric}))
    assert rule is not None
    return [rule.update(one).tolist() for one in views]


def settling_predictions() -> list[npt.NDArray[np.int64]]:
    """Thirteen predictions of fifty rows, fewer and fewer of which change."""
    r = np.random.default_rng(1)
    series = [r.integers(0, 3, 50)]
    for k in range(12):
        changed = series[-1].copy()
        moved = r.random(50) < 0.3 * 0.6**k
        changed[moved] = r.integers(0, 3, int(moved.sum()))
        series.append(changed)
    return series


def test_kappa_stops_where_small_text_stops() -> None:
    views = [view(p[None]) for p in settling_predictions()]
    # small_text 1.4.1: KappaAverage(3, window_size=3, kappa=0.9) and kappa=0.97 with window_size=2
    assert decisions(StoppingSettings(rule="kappa", threshold=0.9), views) == [[k >= 4] for k in range(13)]
    strict = decisions(StoppingSettings(rule="kappa", threshold=0.97, window=2), views)
    assert strict == [[k >= 7] for k in range(13)]


def test_classification_change_stops_where_small_text_stops() -> None:
    views = [view(p[None]) for p in settling_predictions()]
    # small_text 1.4.1: ClassificationChange(3) and ClassificationChange(3, threshold=0.05)
    never, few = [7, 8, 10, 11, 12], [4, 6, 7, 8, 9, 10, 11, 12]
    assert decisions(StoppingSettings(rule="classification-change"), views) == [
        [k in never] for k in range(13)
    ]
    assert decisions(StoppingSettings(rule="classification-change", threshold=0.05), views) == [
        [k in few] for k in range(13)
    ]


def test_kappa_is_cohens_over_the_rows_of_the_pool() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 4, (3, 40)), rng.integers(0, 4, (3, 40))
    second[1] = first[1]
    second[0, :25] = first[0, :25]
    rows = np.ones((3, 40), dtype=np.bool_)
    rows[0, 30:] = False
    found = cohen_kappa(torch.from_numpy(first), torch.from_numpy(second), torch.from_numpy(rows), 4)
    expected = [cohen_kappa_score(first[e][rows[e]], second[e][rows[e]]) for e in range(3)]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_one_class_predicted_throughout_is_perfect_agreement() -> None:
    same = np.zeros((2, 10), dtype=np.int64)
    assert decisions(StoppingSettings(rule="kappa", threshold=1.0, window=2), [view(same)] * 3) == [
        [False, False],
        [False, False],
        [True, True],
    ]


def test_rows_past_a_pool_and_labelled_rows_do_not_count_as_changes() -> None:
    before = np.zeros((2, 6), dtype=np.int64)
    after = before.copy()
    after[0, 1] = after[1, 5] = 1
    labelled = np.zeros((2, 6), dtype=np.bool_)
    labelled[0, 1] = True
    in_pool = np.ones((2, 6), dtype=np.bool_)
    in_pool[1, 5] = False
    for labels, expected in ((labelled, [True, True]), (np.zeros_like(labelled), [False, True])):
        views = [view(before, labels, in_pool), view(after, labels, in_pool)]
        assert decisions(StoppingSettings(rule="classification-change"), views)[1] == expected
    views = [view(before, None, in_pool)] + [view(p, None, in_pool) for p in (after, before)]
    assert decisions(StoppingSettings(rule="kappa", threshold=1.0, window=1), views)[1] == [False, True]


def test_overall_uncertainty_is_the_mean_normalised_entropy_of_the_unlabelled_rows() -> None:
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(3), (2, 8)).transpose(0, 2, 1)  # (E, C, P)
    labelled = np.zeros((2, 8), dtype=np.bool_)
    labelled[:, :3] = True
    mean = entropy(p, axis=1)[:, 3:].mean(1) / np.log(3)
    shown = view(np.zeros((2, 8), dtype=np.int64), labelled, None, p, n_classes=[3, 3])
    middle = float(mean.mean())
    found = decisions(StoppingSettings(rule="overall-uncertainty", threshold=middle), [shown])[0]
    assert found == (mean < middle).tolist()
    assert sorted(found) == [False, True]


def test_budget_and_metric_target_stop_at_the_number_given() -> None:
    shown = [view(spent=[9.5, 10.0], metric=[0.8, 0.79])]
    assert decisions(StoppingSettings(rule="budget", threshold=10), shown) == [[False, True]]
    target = StoppingSettings(rule="metric-target", threshold=0.8)
    assert decisions(target, shown) == [[True, False]]
    assert decisions(target, shown, metric="log_loss") == [[True, True]]
    assert decisions(target, [view(spent=[0, 0], metric=[0.81, 0.1])], metric="log_loss") == [[False, True]]


def test_predicted_gain_is_the_slope_of_the_last_rounds() -> None:
    spent = np.array([[0.0, 5, 10, 15, 20, 25]] * 2).T
    metric = np.array([[0.2, 0.5, 0.6, 0.62, 0.63, 0.63], [0.1, 0.1, 0.2, 0.3, 0.4, 0.5]]).T
    views = [view(spent=s, metric=m) for s, m in zip(spent, metric, strict=True)]
    slopes = np.array(
        [
            [np.polyfit(spent[k - 3 : k + 1, e], metric[k - 3 : k + 1, e], 1)[0] for e in (0, 1)]
            for k in (3, 4, 5)
        ]
    )
    price = 0.005
    found = decisions(StoppingSettings(rule="predicted-gain", threshold=price, window=3), views)
    assert found[:3] == [[False, False]] * 3
    assert found[3:] == (slopes < price).tolist()
    assert found[5] == [True, False]
    losses = [view(spent=s, metric=-m) for s, m in zip(spent, metric, strict=True)]
    settings = StoppingSettings(rule="predicted-gain", threshold=price, window=3)
    assert decisions(settings, losses, metric="log_loss") == found


def test_an_episode_that_buys_nothing_has_no_slope() -> None:
    views = [view(spent=[5.0], metric=[0.5]) for _ in range(4)]
    settings = StoppingSettings(rule="predicted-gain", threshold=1.0, window=2)
    assert decisions(settings, views) == [[False]] * 4


def test_no_rule_is_none_and_a_rule_starts_afresh() -> None:
    assert make_stopping(StoppingSettings()) is None
    settings = StoppingSettings(rule="classification-change")
    same = view(np.zeros((1, 4), dtype=np.int64))
    assert decisions(settings, [same, same]) == [[False], [True]]
    assert decisions(settings, [same]) == [[False]]


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"rule": "kapa"}, "rule"),
        ({"rule": "budget"}, "rule budget needs a threshold"),
        ({"rule": "kappa", "threshold": 1.5}, "must be 0 to 1"),
        ({"rule": "metric-target", "threshold": 0.9, "window": 2}, "leave window out"),
        ({"threshold": 0.9}, "without a rule"),
        ({"rule": "kappa", "windw": 3}, "Did you mean 'window'"),
    ],
)
def test_wrong_settings_are_named(values: dict[str, Any], says: str) -> None:
    with pytest.raises(ReActError, match=says):
        validated(StoppingSettings, values, "Stopping")
