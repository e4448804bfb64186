"""The step functions: what one event does to one key's state, compiled.

All have one signature, `step(state, x, t_ms, params, out)`: `state` is the step's part of the key's
row, zeros at first; `x` its source, NaN if missing; `t_ms` the event's time in epoch milliseconds,
NaN if it has none; `out` takes what it gives. Beside each stands `words(params)`, the size of its
state in words of eight bytes.
"""
