"""The week of scores that is kept of a key, for what is routine: its slots and its words."""

from __future__ import annotations

DAYS, SLOTS, REACH, ENOUGH = 7, 48, 2, 2
SLOT_MS = 86_400_000.0 / SLOTS
RING = DAYS * SLOTS + REACH + 1
MOST_STRAYED = 100.0

# The state: the mark, never zero unless there is nothing; the latest slot; how many events in a row
# were too old; then a peak for each slot in 32 bits, zero if there was no event.
MARK, LATEST, STRAYED, PEAKS = 0, 1, 2, 3
WORDS = PEAKS + -(-RING // 2)
