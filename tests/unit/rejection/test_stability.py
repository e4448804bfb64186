from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectd.errors import ConfigError
from detectd.rejection import binomial, expected_anomalies, log_tails, require_anomalies, stability
from detectd.rejection.stability import first_n_expecting, rank_log_tails
from tests.support.binomial_reference import CONTEXT
from tests.support.binomial_reference import log_tails as reference_log_tails
from tests.support.binomial_reference import rank_log_tails as reference_rank_log_tails

if TYPE_CHECKING:
    from mpmath import mpf

SIZES = [
    (10, 1), (10, 5), (37, 36), (100, 29), (1000, 1), (1000, 100), (10**4, 10), (10**5, 50_000),
    (10**6, 1), (10**6, 1000), (10**6, 100_000), (10**6, 500_000), (10**6, 999_999),
]  # fmt: skip


def sample_of_ranks(n: int, m: int, seed: int) -> list[int]:
    """Both ends, the middle of the zone, its surroundings, and anywhere."""
    random = np.random.default_rng(seed)
    deviation = 1 + math.isqrt(m * (n - m) // n)
    near = n - m + random.integers(-9 * deviation, 9 * deviation, 8)
    anywhere = random.integers(0, n, 8)
    middle = [n - m - 1, n - m, n - m + 1]
    return sorted({0, 1, n - 1, n, *np.clip([*near, *anywhere, *middle], 0, n).tolist()})


def relative_error(computed: float, reference: mpf) -> float:
    if abs(reference) < CONTEXT.mpf(10) ** -290:  # log of a probability that no double tells from 1
        return abs(computed)
    return float(abs((CONTEXT.mpf(computed) - reference) / reference))


@pytest.mark.slow
@pytest.mark.parametrize(("n", "m"), SIZES)
def test_both_logs_agree_with_sixty_digits_at_every_sampled_rank(n, m):
    table = stability(n, m)
    for c in sample_of_ranks(n, m, seed=n + m):
        anomaly, normal = reference_rank_log_tails(n, m, c)
        # Near log 1 the relative error is the absolute one of the other log.
        smaller, larger = sorted(
            [(anomaly, table.log_p_anomaly[c]), (normal, table.log_p_normal[c])]
        )
        assert relative_error(float(smaller[1]), smaller[0]) < 2e-14
        assert relative_error(float(larger[1]), larger[0]) < 1e-12


def test_every_rank_of_every_small_model_agrees_with_rational_arithmetic():
    for n in range(1, 13):
        for m in range(1, n + 1):
            table = stability(n, m)
            for c in range(n + 1):
                p = Fraction(1 + c, 2 + n)
                anomaly = sum(
                    math.comb(n, j) * p**j * (1 - p) ** (n - j) for j in range(n - m + 1, n + 1)
                )
                assert math.exp(table.log_p_anomaly[c]) == pytest.approx(anomaly, rel=1e-14)
                assert math.exp(table.log_p_normal[c]) == pytest.approx(1 - anomaly, rel=1e-14)


@pytest.mark.parametrize(("n", "m"), SIZES)
def test_tables_are_finite_monotone_read_only_and_sum_to_one(n, m):
    table = stability(n, m)
    assert table.log_p_anomaly.shape == table.log_p_normal.shape == (n + 1,)
    assert np.isfinite(table.log_p_anomaly).all()
    assert np.isfinite(table.log_p_normal).all()
    assert (np.diff(table.log_p_anomaly) >= 0).all()
    assert (np.diff(table.log_p_normal) <= 0).all()
    total = np.exp(table.log_p_anomaly) + np.exp(table.log_p_normal)
    np.testing.assert_allclose(total, 1.0, rtol=4e-15)
    assert (table.margin >= math.log(2) * (1 - 1e-14)).all()
    with pytest.raises(ValueError, match="read-only"):
        table.log_p_anomaly[0] = 0.0


@pytest.mark.parametrize(("n", "m"), [(100, 50), (10**5, 1000)])
def test_no_log_is_a_negative_zero(n, m):
    table = stability(n, m)
    for logs in (table.log_p_anomaly, table.log_p_normal):
        zeros = logs[logs == 0.0]
        assert not np.signbit(zeros).any()
    assert (stability(10**5, 1000).log_p_normal == 0.0).any()


@pytest.mark.parametrize(("n", "m"), [(2, 1), (10, 5), (200, 20)])
def test_kernels_without_compilation_give_the_same_tables(n, m, monkeypatch):
    compiled = stability(n, m)
    names = (
        "stirling_error", "deviance", "log_pmf", "tail_fraction", "log_tail_pair", "rank_log_tails"
    )  # fmt: skip
    for name in names:
        kernel = getattr(binomial, name)
        monkeypatch.setattr(binomial, name, getattr(kernel, "py_func", kernel))
    plain = stability(n, m)
    np.testing.assert_allclose(plain.log_p_anomaly, compiled.log_p_anomaly, rtol=1e-13)
    np.testing.assert_allclose(plain.log_p_normal, compiled.log_p_normal, rtol=1e-13)


@pytest.mark.parametrize(("n", "m"), [(1, 1), (30, 3), (5000, 100)])
def test_one_rank_alone_has_the_very_values_of_the_table(n, m):
    table = stability(n, m)
    for c in range(n + 1):
        assert rank_log_tails(n, m, c) == (table.log_p_anomaly[c], table.log_p_normal[c])


@pytest.mark.parametrize("n", [10**12, 10**15])
def test_one_rank_of_a_model_too_large_to_store_is_close_to_its_poisson_limit(n):
    normal = rank_log_tails(n, 5, n)[1]
    poisson = 1 - math.exp(-1) * (1 + 1 + 1 / 2 + 1 / 6 + 1 / 24)
    assert math.exp(normal) == pytest.approx(poisson, rel=1e-10)


@pytest.mark.parametrize(
    ("n", "m", "p"),
    [(1000, 10, 0.987), (10**6, 1000, 0.9991), (10**6, 10**5, 0.9), (100, 5, 1 - 2**-53),
     (100, 99, 1e-200), (7, 3, 0.5), (10**5, 99_000, 0.0101)],
)  # fmt: skip
def test_log_tails_at_a_real_p_agree_with_sixty_digits(n, m, p):
    expected = reference_log_tails(n, n - m + 1, CONTEXT.mpf(p))
    for computed, reference in zip(log_tails(n, m, p), expected, strict=True):
        assert relative_error(computed, reference) < 1e-13


def test_log_tails_at_the_ends():
    assert log_tails(10, 3, 0.0) == (-math.inf, 0.0)
    assert log_tails(10, 3, 1.0) == (0.0, -math.inf)


@pytest.mark.parametrize("p", [-0.1, 1.1, math.nan])
def test_log_tails_refuse_what_is_no_probability(p):
    with pytest.raises(ValueError, match="outside"):
        log_tails(10, 3, p)


@pytest.mark.parametrize(("n", "m"), [(10, 0), (10, 11), (0, 0)])
def test_stability_refuses_impossible_counts(n, m):
    with pytest.raises(ValueError, match="1 <= m <= n"):
        stability(n, m)


@pytest.mark.parametrize(
    ("n", "contamination", "m"),
    [(100, 0.29, 29), (1000, 0.001, 1), (1000, 0.0009, 0), (10, 0.5, 5), (11, 0.5, 5),
     (10**6, 0.35, 350_000), (100, np.float64(0.29), 29), (50, 0.07, 3)],
)  # fmt: skip
def test_expected_anomalies_lose_none_to_float_error(n, contamination, m):
    assert expected_anomalies(n, contamination) == m


@given(st.integers(1, 10**6), st.integers(1, 500))
def test_expected_anomalies_are_those_of_the_written_decimal(n, thousandths):
    assert expected_anomalies(n, thousandths / 1000) == n * thousandths // 1000


@given(st.integers(1, 1000), st.integers(1, 500))
def test_first_n_expecting_is_the_first(m, thousandths):
    n = first_n_expecting(m, thousandths / 1000)
    assert expected_anomalies(n, thousandths / 1000) == m
    assert expected_anomalies(n - 1, thousandths / 1000) == m - 1


@pytest.mark.parametrize("contamination", [0.0, -0.1, 0.51, 1.0, math.nan])
def test_contamination_out_of_range_is_refused(contamination):
    with pytest.raises(ConfigError, match="contamination"):
        expected_anomalies(100, contamination)


def test_a_model_that_expects_no_anomaly_is_refused_with_the_n_that_would_do():
    assert require_anomalies(100, 0.01) == 1
    with pytest.raises(ConfigError, match="at least 334 calibration scores"):
        require_anomalies(50, 0.003)
