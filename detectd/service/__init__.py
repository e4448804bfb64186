"""Who answers the stream, and what is learnt from it.

answerer      the one that the loop asks: a warm-up or a model, and who comes next
warming       no model yet: answers without one, and collects rows for the first
warmup        those rows on the disk; when they are enough (`collection`), which of them are kept
              (`even_sample`), and whose part is waited for (`awaited`)
incumbent     the model that answers, what its stream came to (`observations`)
vigil         the promise watched: evidence, alarms
shadow        a candidate that scores along without being heard
succession    which model should answer, as the store says it
renewal       the next model: when it is due, its rows (`window`, `window_file`), whether it may
              take over (`acceptance`)
"""
