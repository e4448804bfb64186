"""What a sink has written, for whoever looks at it: committed records, in files or on Kafka.

Looking changes nothing. `follow` gives what is written from now on; `dead_letters` what lies there,
from the first or from where the last replay ended; and `replay_sink` is a sink whose commits say
how far a replay has come. A record's value and headers are those of the output, its id is the place
where it lies.
"""
