"""The names of compressed files."""

SUFFIXES = (".gz", ".bz2", ".xz", ".zst")
