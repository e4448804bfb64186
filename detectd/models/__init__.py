"""What a model is, how it comes about, and where models live.

model          the vocabulary: recipe, contamination, model
training       from rows to a model
contamination  the share of anomalies, where nobody knows it
refitting      the same beside the loop, in a process of its own (`trainer`)
store          one directory a model, verified (`trusted`) before it is loaded
serving        a stored model, ready to answer under the terms of a configuration
replication    one model for all hosts, over a topic (`archive`)
libraries      the versions under which a detector was fitted
"""
