"""Records judged in one call, of features without a memory."""

from detectd.pipeline.scoring import judge_vectors
from detectd.pipeline.vectors import vectors


def judge_records(records, schema, judge, *, original=False):
    """What `judge_vectors` makes of the records' own feature vectors."""
    return judge_vectors(records, vectors(records, schema), schema, judge, original=original)
