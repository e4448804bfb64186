"""Binomial tails in 60 digits, slow and plain: probabilities added one by one."""

from __future__ import annotations

import mpmath as mp

CONTEXT = mp.mp.clone()
CONTEXT.dps = 60


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
    odds = p / (1 - p)
    first = CONTEXT.loggamma(n + 1) - CONTEXT.loggamma(k + 1) - CONTEXT.loggamma(n - k + 1)
    first += k * CONTEXT.log(p) + (n - k) * CONTEXT.log(1 - p)
    term = total = CONTEXT.mpf(1)
    for j in range(k, n):
        term *= CONTEXT.mpf(n - j) / (j + 1) * odds
        total += term
        if term < total * CONTEXT.mpf(10) ** -45:
            break
    return first + CONTEXT.log(total)
