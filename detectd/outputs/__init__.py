"""What a sink has written, for whoever looks at it: committed records, in files or on Kafka.

Looking changes nothing. `follow` gives what is written from now on, behind the last that are there
if they are asked for; `last` these alone; `all` what lies there; `dead_letters` the same of dead
letters, from the first or from where the last replay ended; and `replay_sink` is a sink whose
commits say how far a replay has come. A record's value and headers are those of the output, its id
is the place where it lies.
"""
