"""Models: their definition, training, storage, replication and loading for serving.

A stored model is never changed, and nothing is loaded that another user could have written. Begin
with `model`, then `training` and `serving`.

model             a fitted detector and the scores against which it ranks
training          from rows to a model (`sanity`; `contamination`: the share of anomalies estimated)
trainer_process   the same beside the service, in a process of its own (`trainer`)
collection        when a warm-up has enough rows (`even_sample`, `awaited_partitions`)
store             one directory a model (`files`, `locks`)
integrity         what is verified before a stored model is loaded
environment       the versions under which a detector was fitted
serving           a stored model, ready to answer under the terms of a configuration
observations      what the stream made of the promise (`observed`, `recent_anomalies`)
pending           what waits for an operator
replication       one model for all hosts, over a topic (`archive`, `announcement`)
"""
