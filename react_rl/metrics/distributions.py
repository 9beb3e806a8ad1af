"""Tail probabilities behind the tests: normal, Student's t, F, chi-square and the studentised range.

Written out here so that the package needs no scipy; the tests compare every function with it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from react_rl.errors import ReActError

_TINY: Final = 1e-300
_STEPS: Final = 10_000


def normal_sf(z: float) -> float:
    """Return ``P(Z > z)`` for a standard normal Z."""
    return 0.5 * math.erfc(z / math.sqrt(2.0))


def student_t_two_sided(t: float, degrees: float) -> float:
    """Return ``P(|T| > |t|)`` for Student's t with ``degrees`` degrees of freedom."""
    if math.isinf(t):
        return 0.0
    return incomplete_beta(degrees / 2.0, 0.5, degrees / (degrees + t * t))


@lru_cache(maxsize=256)
def student_t_critical(alpha: float, degrees: float) -> float:
    """Return t with ``P(|T| > t) = alpha`` for Student's t with ``degrees`` degrees of freedom.

    Raises:
        ReActError: If alpha is outside (0, 1).
    """
    high = 1.0
    while student_t_two_sided(high, degrees) > _level(alpha):
        high *= 2.0
    return _root(lambda t: student_t_two_sided(t, degrees) - alpha, high)


def _level(alpha: float) -> float:
    if not 0 < alpha < 1:
        raise ReActError(f"A significance level of {alpha} is not possible: give one between 0 and 1.")
    return alpha


def _root(falling: Callable[[float], float], high: float) -> float:
    """Find where a falling function crosses zero in ``[0, high]``, by bisection down to rounding."""
    low = 0.0
    for _ in range(100):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if falling(middle) > 0 else (low, middle)
    return 0.5 * (low + high)


def f_sf(f: float, numerator: float, denominator: float) -> float:
    """Return ``P(F > f)`` for Fisher's F with ``numerator`` and ``denominator`` degrees of freedom."""
    if f <= 0:
        return 1.0
    if math.isinf(f):
        return 0.0
    return incomplete_beta(denominator / 2.0, numerator / 2.0, denominator / (denominator + numerator * f))


def chi_square_sf(x: float, degrees: float) -> float:
    """Return ``P(X > x)`` for a chi-square X with ``degrees`` degrees of freedom."""
    return upper_incomplete_gamma(degrees / 2.0, x / 2.0) if x > 0 else 1.0


def _continued_fraction(start: float, terms: Callable[[int], tuple[float, float]]) -> float:
    """Evaluate ``start + a1/(b1 + a2/(b2 + ...))`` with ``terms(i) -> (a_i, b_i)``.

    Source: Lentz 1976 as modified by Thompson and Barnett 1986.
    """
    value = start or _TINY
    c, d = value, 0.0
    for index in range(1, _STEPS):
        a, b = terms(index)
        d = 1.0 / ((b + a * d) or _TINY)
        c = (b + a / c) or _TINY
        value *= c * d
        if abs(c * d - 1.0) < 1e-15:
            break
    return value


def incomplete_beta(a: float, b: float, x: float) -> float:
    """Regularised incomplete beta function ``I_x(a, b)``.

    Source: NIST Digital Library of Mathematical Functions 8.17.22 (continued fraction) and 8.17.4 (symmetry).

    Raises:
        ReActError: If ``a`` or ``b`` is not positive, or ``x`` is outside [0, 1].
    """
    if not (a > 0 and b > 0 and 0 <= x <= 1):
        raise ReActError(f"I_x(a, b) needs positive a and b and x in [0, 1]; got a={a}, b={b}, x={x}.")
    if x in (0.0, 1.0):
        return x
    if x > (a + 1.0) / (a + b + 2.0):
        return 1.0 - incomplete_beta(b, a, 1.0 - x)
    log_front = a * math.log(x) + b * math.log1p(-x) + math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)

    def term(index: int) -> tuple[float, float]:
        m = (index - 1) // 2
        if index == 1:
            return 1.0, 1.0
        if index % 2 == 0:
            return -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)), 1.0
        return m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)), 1.0

    return math.exp(log_front) / a * _continued_fraction(0.0, term)


def upper_incomplete_gamma(a: float, x: float) -> float:
    """Regularised upper incomplete gamma function ``Q(a, x)``.

    Source: NIST Digital Library of Mathematical Functions, 8.7.1 (series) and 8.9.2 (continued fraction).

    Raises:
        ReActError: If ``a`` is not positive or ``x`` is negative.
    """
    if not (a > 0 and x >= 0):
        raise ReActError(f"Q(a, x) needs a positive a and x of at least 0; got a={a}, x={x}.")
    if x == 0:
        return 1.0
    front = math.exp(a * math.log(x) - x - math.lgamma(a))
    if x < a + 1.0:
        term = total = 1.0 / a
        for index in range(1, _STEPS):
            term *= x / (a + index)
            total += term
            if term < total * 1e-16:
                break
        return 1.0 - front * total

    def fraction_term(index: int) -> tuple[float, float]:
        a_i = 1.0 if index == 1 else -(index - 1) * (index - 1 - a)
        return a_i, x + 2 * index - 1 - a

    return front * _continued_fraction(0.0, fraction_term)


def _normal_cdf(z: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.array([0.5 * math.erfc(-value / math.sqrt(2.0)) for value in z])


def studentized_range_sf(q: float, groups: int) -> float:
    """Return ``P(Q > q)`` for the range Q of ``groups`` standard normals (infinite degrees of freedom).

    ``P(Q <= q) = k * integral of phi(z) * (Phi(z + q) - Phi(z))^(k - 1) dz``, z being the smallest value.

    Raises:
        ReActError: If there are fewer than two groups.
    """
    if groups < 2:
        raise ReActError(f"The studentised range of {groups} group is not defined: give at least 2.")
    if q <= 0:
        return 1.0
    # The integrand is smooth and vanishes at both ends, so the plain sum beats any power of the step.
    step = 1.0 / 32.0
    z = np.arange(-9.0 - min(q, 40.0), 9.0, step)
    density = np.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)
    inside = (_normal_cdf(z + q) - _normal_cdf(z)) ** (groups - 1)
    return min(1.0, max(0.0, 1.0 - groups * float((density * inside).sum()) * step))


@lru_cache(maxsize=256)
def studentized_range_quantile(alpha: float, groups: int) -> float:
    """Return q with ``P(Q > q) = alpha`` for the range Q of ``groups`` standard normals.

    Raises:
        ReActError: If alpha is outside (0, 1) or there are fewer than two groups.
    """
    level = _level(alpha)
    return _root(lambda q: studentized_range_sf(q, groups) - level, high=40.0)
