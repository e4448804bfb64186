"""detectd: reads event streams, scores each event, answers normal, anomaly or abstain."""

__version__ = "0.2.0"
