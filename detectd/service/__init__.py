"""The long-running process: read, score, commit, and learn from the stream what to serve next.

`loop` reads a batch, lets `engine` score it, and commits outputs, position and state together, so
that after a crash everything here resumes from the last commit. Begin with `loop`, then `engine`.

loop                  one turn after the other; recovery, reload, stop (`endpoints`, `gathering`,
                      `committing`)
checkpoint            the law that every part here keeps with the commits
engine                who answers, seen from the loop
phases                a warm-up or a model, and how one comes after the other
warmup                no model yet: collect rows for the first one (on disk: `warmup_log`)
serving_phase         a model answers: `champion`, `shadow`, `retraining`
champion              the active model, and what its stream came to
shadow                a candidate that scores along without being heard
drift_monitor         evidence against the promise, and alarms
activation            follow the store's choice of models (`model_loading`, `operator_decisions`)
retraining            the next model: when it is due (`refit_schedule`), and on which rows
                      (`stream_rows`, `training_rows`, `training_window`, `window_log`,
                      `suspicious_tail`)
challenger_training   train it beside the loop; `promotion` says whether it may take over
options               from settings to what the parts are given
startup_guard         stop if a new configuration makes nothing but dead letters
batching, gc_tuning   how large a batch may be; when Python looks for garbage
run_summary           what a run did
store_upkeep          counts for reports, and pruning
"""
