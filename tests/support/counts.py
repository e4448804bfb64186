"""What processes have recorded of a model, put into a store."""

from __future__ import annotations

from detectd.models import observed


def record_observed(store, version, what, by=""):
    """Record what the process `by` has counted under `version`, as a service does."""
    store.make()
    observed.write(store.directory, by, version, what)
