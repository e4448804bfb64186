"""The long-running process: read, score, commit, and learn the next model from the stream.

`loop` reads a batch, lets `engine` score it, and commits outputs, position and state together, so
that after a crash everything resumes from the last commit. Begin with `loop`, then `engine`.

loop                  one turn after the other; recovery, reload, stop (`endpoints`, `gathering`,
                      `committing`, `reloading`)
checkpoint            the protocol for state that is committed with the outputs
engine                scoring, as the loop sees it
phases                warm-up or serving, and the transitions between them
warmup                no model yet: collect rows for the first one (on disk: `warmup_log`)
serving_phase         a model is active: `champion`, `shadow`, `retraining`
champion              the active model, its counts, and evidence against its promise
shadow                a candidate that scores the same events for comparison only
drift_monitor         evidence against the promise, and alarms
activation            follow the store's choice of models (`model_loading`, `operator_decisions`)
retraining            the next model: when it is due (`refit_schedule`), and on which rows
                      (`stream_rows`, `training_rows`, `training_window`, `window_log`,
                      `suspicious_tail`)
challenger_training   train it beside the loop; `promotion` decides whether it may take over
options               convert settings to the options of the parts
startup_guard         stop if a new configuration makes nothing but dead letters
batching, gc_tuning   the size of a batch; when Python collects garbage
run_summary           the summary of a run
store_upkeep          counts for reports, and pruning
"""
