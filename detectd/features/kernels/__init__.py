"""Steps: the compiled calculations for one event from one key's state.

Every step has the signature `step(state, x, t_ms, params, out)`: `state` is its part of the key's
row, zeros at first; `x` is its input value (NaN: missing); `t_ms` is the event's time in
milliseconds since the epoch (NaN: none); `out` receives its results. Each has a function
`…_words(params)` for the size of its state in float64 words.
"""
