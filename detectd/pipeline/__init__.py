"""The path of one record, from its bytes to the bytes of its output. Pure: no Kafka, no clock.

A record is decoded into an event and its feature vector, scored, judged and encoded; `scoring` has
the one function that does all of it. Every record in yields exactly one record out, in order. Begin
with `scoring`, then `records` for the data types. This file imports nothing, so that importing one
module of the pipeline does not load the rest.
"""
