"""Binomial tails in 60 digits, slow and plain: probabilities added one by one."""

from __future__ import annotations

import mpmath as mp

CONTEXT = mp.mp.clone()
CONTEXT.dps = 60
# Sums of terms from 1 downwards, as integers: mpmath's numbers take four times as long.
BITS = 256


def log_tails(n: int, k: int, p: mp.mpf) -> tuple[mp.mpf, mp.mpf]:
    """(log P(X ≥ k), log P(X < k)) for X ~ Bin(n, p), 1 ≤ k ≤ n, 0 < p < 1."""
    if k >= n * p:
        upper = _log_sum(n, k, p)
        return upper, CONTEXT.log1p(-CONTEXT.exp(upper))
    lower = _log_sum(n, n - k + 1, 1 - p)
    return CONTEXT.log1p(-CONTEXT.exp(lower)), lower


def rank_log_tails(n: int, m: int, c: int) -> tuple[mp.mpf, mp.mpf]:
    """(log P(anomaly | c), log P(normal | c))."""
    return log_tails(n, n - m + 1, CONTEXT.mpf(1 + c) / (2 + n))


def _log_sum(n: int, k: int, p: mp.mpf) -> mp.mpf:
    odds = int(CONTEXT.ldexp(p / (1 - p), BITS))
    first = CONTEXT.loggamma(n + 1) - CONTEXT.loggamma(k + 1) - CONTEXT.loggamma(n - k + 1)
    first += k * CONTEXT.log(p) + (n - k) * CONTEXT.log(1 - p)
    term = total = 1 << BITS
    for j in range(k, n):
        term = term * (n - j) * odds // ((j + 1) << BITS)
        total += term
        if term < total >> 150:  # less than 45 digits below
            break
    return first + CONTEXT.log(CONTEXT.ldexp(total, -BITS))
