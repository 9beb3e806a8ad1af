"""Token states as the tagger reads them: centred on the train split, turned, rounded, multiplied as bytes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from react_rl.encoders.token_states import TokenStates
from react_rl.learners.linear.byte_products import multiplies_bytes, times_states
from react_rl.learners.linear.token_store import TokenStore, rounded_states
from react_rl.simulation import EncodedCorpus, synthetic_tagged

CPU = torch.device("cpu")


def nearly_parallel() -> tuple[EncodedCorpus, TokenStates]:
    data = synthetic_tagged(120, 3)
    assert data.tokens is not None
    shifted = data.tokens.states.astype(np.float64) + 3.0
    return data, replace(data.tokens, states=shifted.astype(np.float16))


def test_states_are_those_less_the_mean_of_the_train_split_but_for_a_turn_and_rounding() -> None:
    data, tokens = nearly_parallel()
    train = [tokens.of(row).astype(np.float64) for row in data.corpus.ids("train").tolist()]
    expected = tokens.states.astype(np.float64) - np.concatenate(train).mean(0)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    found = rounded_states(data.corpus, tokens)
    whole = found.whole().astype(np.float64)
    # A turn keeps all inner products; a byte is within half a step of 1/127 of the largest number.
    np.testing.assert_allclose(whole @ whole.T, expected @ expected.T, atol=0.02)
    own = np.concatenate(
        [whole[tokens.starts[row] : tokens.starts[row + 1]] for row in data.corpus.ids("train").tolist()]
    )
    second = own.T @ own / len(own)
    np.testing.assert_allclose(np.diag(second), found.spread, rtol=1e-3)
    assert (np.diff(found.spread) <= 1e-4).all()
    assert np.abs(second - np.diag(np.diag(second))).max() < 0.01 * found.spread[0]


def test_dev_and_test_sentences_do_not_move_the_others() -> None:
    data, tokens = nearly_parallel()
    other = tokens.states.copy()
    for row in data.corpus.ids("test").tolist():
        other[tokens.starts[row] : tokens.starts[row + 1]] = 7.0
    row = int(data.corpus.ids("train")[0])
    own = slice(tokens.starts[row], tokens.starts[row + 1])
    moved, still = (rounded_states(data.corpus, one) for one in (replace(tokens, states=other), tokens))
    assert (moved.states[own] == still.states[own]).all()
    assert (moved.scale[own] == still.scale[own]).all()


@pytest.mark.parametrize("quick", [True, False])
def test_scores_are_products_of_the_inputs_and_the_weights(quick: bool) -> None:
    if quick and not multiplies_bytes(CPU):
        pytest.skip("this processor does not multiply bytes quickly")
    first, data = synthetic_tagged(120, 3), synthetic_tagged(120, 3)
    store = TokenStore([first, data], CPU, bias=1.5)
    store._quick = quick
    tokens = torch.from_numpy(store.tokens_of(1, np.array([3, -1, 60, 4]))[0])
    assert data.tokens is not None
    assert int(tokens[0]) == len(data.tokens.states) + data.tokens.starts[3]  # behind those of the first
    rng = torch.Generator().manual_seed(0)
    weights = 8.0 * torch.randn(14, store.width, generator=rng)
    shift = torch.randn(14, 1, generator=rng)
    found = torch.empty(14, len(tokens))
    store.score(weights, *store.gather(tokens), shift, found)
    states, scale = store.gather(tokens)
    expected = weights[:, :-1].double() @ (states.double() * scale[:, None]).T + weights[:, -1:] * 1.5 + shift
    assert expected.abs().max() > 5
    np.testing.assert_allclose(found, expected, atol=1e-3 if quick else 1e-4)
    # Whichever models are scored beside it, a model gives the same scores.
    alone = torch.empty(7, len(tokens))
    store.score(weights[7:], *store.gather(tokens), shift[7:], alone)
    np.testing.assert_allclose(alone, found[7:], atol=0.0 if quick else 1e-5)


def test_products_of_bytes_are_those_of_numbers_both_ways() -> None:
    if not multiplies_bytes(CPU):
        pytest.skip("this processor does not multiply bytes quickly")
    rng = torch.Generator().manual_seed(0)
    states = torch.randint(-127, 128, (3, 50, 24), generator=rng, dtype=torch.int8)
    for across, width in ((True, 24), (False, 50)):
        factors = torch.randn(3, 5, width, generator=rng)
        factors[1, 2] = 0.0
        expected = times_states(factors, states.float(), across)
        np.testing.assert_allclose(
            times_states(factors, states, across), expected, atol=1e-4 * float(expected.abs().max())
        )
