"""exp for many numbers at a time; the C library's takes them one by one.

Cody and Waite, "Software Manual for the Elementary Functions", 1980, chapter 6: x = n·log 2 + r
with |r| ≤ ½ log 2, the series of e^r, and n added to the exponent. Without a branch or a table, so
that the compiler makes vectors of it.
"""

from __future__ import annotations

import math

import numpy as np

from detectd.jit import compiled

LOG2_E = 1.0 / math.log(2.0)
# log 2 in two parts; the first has so few bits that its product with n is exact.
LOG_2_HIGH = float.fromhex("0x1.62e42fee00000p-1")
LOG_2_LOW = float.fromhex("0x1.a39ef35793c76p-33")
# Adding this puts the nearest integer into the last bits.
ROUND = 1.5 * 2.0**52
# e^x is a normal double down to here. Smaller values are replaced by this one, which is negligible.
LOWEST = -708.0

T2, T3, T4, T5, T6, T7, T8, T9, T10, T11, T12, T13 = (1.0 / math.factorial(i) for i in range(2, 14))


@compiled
def exponential(x: float) -> float:
    """Return e^x to two units in the last place for x ≤ 0; at least e^LOWEST. Not for NaN."""
    x = max(LOWEST, x)
    shifted = x * LOG2_E + ROUND
    n = shifted - ROUND
    r = (x - n * LOG_2_HIGH) - n * LOG_2_LOW
    p = T13 * r + T12
    p = ((((((p * r + T11) * r + T10) * r + T9) * r + T8) * r + T7) * r + T6) * r + T5
    p = ((((p * r + T4) * r + T3) * r + T2) * r + 1.0) * r + 1.0
    bits = np.float64(p).view(np.int64) + (np.float64(shifted).view(np.int64) << 52)
    return np.int64(bits).view(np.float64)
