"""Steps: what is calculated for one event from one key's state, compiled.

Every step has the signature `step(state, x, t_ms, params, out)`: `state` is its part of the key's
row, zeros at first; `x` is the value that it reads (NaN: missing); `t_ms` is the event's time in
milliseconds since the epoch (NaN: none); `out` takes its results. Beside each stands
`…_words(params)`, the size of its state in float64 words.
"""
