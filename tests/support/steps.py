"""Step functions of features run one event after another, and a surprise in plain Python."""

import math

import numpy as np

MOST = 3


def run_step(step, words, params, values, times=None, width=1):
    """What the step gives (n, width) for a key's events, from an empty state on."""
    params = np.array(params, dtype=float)
    # Steps write what they give, whether it is asked for or not.
    state, out = np.zeros(words(params)), np.empty((len(values), max(width, MOST)))
    for i, x in enumerate(values):
        step(state, float(x), math.nan if times is None else float(times[i]), params, out[i])
    return out[:, :width]


def run_parts(parts, steps, values, times):
    """What each part of a preset gives; `steps` are pairs of step and words, by name."""
    given = []
    for part in parts:
        source = values if part.of is None else given[part.of][:, part.at]
        step, words = steps[part.step]
        given.append(run_step(step, words, part.params, source, times, part.width))
    return given


def one_sided(earlier, x, least=0.0):
    """The surprise of a high x."""
    m = len(earlier)
    count = min(50, m // 4)
    top = sorted(earlier, reverse=True)[:count]
    edge = top[-1]
    if x <= edge:
        return -math.log10((sum(v >= x for v in earlier) + 1) / (m + 1))
    mean = max(sum(v - edge for v in top) / count, least)
    if mean == 0:
        return -math.log10(1 / (m + 1))
    beyond = min((x - edge) / (mean * math.log(10)), 1000)
    return -math.log10((count + 1) / (m + 1)) + beyond


def surprise(earlier, x):
    """The surprise of x on either side, among earlier values."""
    if len(earlier) < 20:
        return 0.0
    both = one_sided(earlier, x), one_sided([-v for v in earlier], -x)
    return max(max(both) - math.log10(2), 0.0)
