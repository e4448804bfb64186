"""The rows of the stream that the next model is trained on: a bounded window, and its guard.

`sliding` holds the last `size` rows that entered. `reservoir` holds a uniform sample of all rows
that entered since the window was started (J. S. Vitter, "Random sampling with a reservoir", 1985,
algorithm R); its random numbers are derived from the row's number alone, so a replay holds the same
rows.

A model trained on everything learns an attack along with the stream. The guard limits the share of
the window that rows with a suspicious verdict take up: such a row enters only if the rows of its
verdict, itself included, stay within that share. Other rows always enter.

What the guard does to the next model: let a be the stream's rate of a guarded verdict, and q its
share. A sliding window is a loss system with m = q·size places, each occupied for `size` rows; its
load is a·size, so the share of such rows that it rejects is about Erlang's B(m, a·size).
- a well below q: nothing. An anomaly's rank lies above the zone, whose upper edge lies above the γ
  quantile, so a sound model judges fewer than γ of its events anomalies.
- a = q, as for abstentions limited to their mean: about √(2/πm) of them, 8 % for m = 100, and as
  much again at each refit. Use the upper bound of the promise instead.
- a above q, which is an attack or a change: the window's upper tail is cut to q, and the next model
  places its zone in the rest. It abstains and alarms more than promised, and the alarms are right
  if it was an attack. Each refit lets part of the tail back in, so a permanent change is learned in
  several refits, and so is an attack that lasts as long: the guard buys time to investigate.
`benchmarks/guard.md` has the figures.

`normal_only` is the guard of share zero. Alone it would cut the upper tail at each refit, and each
model would find more anomalies than the one before; see `suspicious_tail` for the remedy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from detectd.jit import compiled
from detectd.rejection import ABSTAIN, ANOMALY, NORMAL
from detectd.rejection.tie_breaking import lot

if TYPE_CHECKING:
    import numpy.typing as npt

    Rows = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]
    Verdicts = npt.NDArray[np.int8]
    Digests = npt.NDArray[np.uint64]

Kind = Literal["sliding", "reservoir"]
Guarded = Literal["none", "anomaly", "anomaly_and_abstain", "normal_only"]

# A separate random stream from that of the tie-breaking.
SALT = 0x5EED << 40


@dataclass(frozen=True)
class Guard:
    """The maximum shares of anomalies and abstained rows in the window; 1 is no limit."""

    anomaly: float = 1.0
    abstain: float = 1.0


def guard(guarded: Guarded, contamination: float, abstention: float) -> Guard:
    """Return the guard under a model: γ for anomalies, `abstention` for abstained rows.

    Use the upper bound of the promise for the latter: under its mean, a sound model's rows would be
    rejected half of the time.
    """
    if guarded == "none":
        return Guard()
    if guarded == "normal_only":
        return Guard(0.0, 0.0)
    return Guard(contamination, abstention if guarded == "anomaly_and_abstain" else 1.0)


class Window:
    """Up to `size` rows of `width` features. All memory is allocated at once: size·(8·width + 9)
    bytes, and 8 more a row if it is `keyed`, with the digests of their keys.

    `guard` may be replaced when another model serves. `offered` counts the rows that the guard
    admitted; the next step depends only on it and on the held rows.
    """

    def __init__(
        self,
        width: int,
        size: int,
        kind: Kind = "sliding",
        guard: Guard | None = None,
        *,
        keyed: bool = False,
    ):
        self.size = size
        self.keyed = keyed
        self.kind = kind
        self.guard = guard or Guard()
        self.offered = 0
        self._rows = np.zeros((size, width))
        self._verdicts = np.zeros(size, dtype=np.int8)
        self._numbers = np.full(size, -1, dtype=np.int64)
        self._held = np.zeros(3, dtype=np.int64)
        self._keys = np.zeros(size if keyed else 0, dtype=np.uint64)

    @property
    def width(self) -> int:
        """Return the number of features per row."""
        return self._rows.shape[1]

    @property
    def filled(self) -> int:
        """Return the number of rows held."""
        return min(self.offered, self.size)

    @property
    def held(self) -> dict[str, int]:
        """Return the number of rows held, by verdict."""
        codes = {"normal": NORMAL, "anomaly": ANOMALY, "abstain": ABSTAIN}
        return {name: int(self._held[code]) for name, code in codes.items()}

    def add(self, rows: Rows, verdicts: Verdicts, keys: Digests | None = None) -> Ints:
        """Offer rows (k, width) with their verdicts (k,), codes of `rejection.zone`, and if the
        window is keyed, the digests of their keys (k,).

        Return the index (k,) of each in the window, −1 if it did not enter. A later row may have
        replaced an earlier one.
        """
        shares = np.ones(3)
        shares[ANOMALY], shares[ABSTAIN] = self.guard.anomaly, self.guard.abstain
        places = np.empty(len(rows), dtype=np.int64)
        self.offered = _enter(
            np.ascontiguousarray(rows, dtype=np.float64),
            np.ascontiguousarray(verdicts, dtype=np.int8),
            shares,
            self.kind == "sliding",
            self.offered,
            self._rows,
            self._verdicts,
            self._numbers,
            self._held,
            places,
        )
        if self.keyed:
            assert keys is not None
            entered = places >= 0
            self._keys[places[entered]] = keys[entered]  # Of several at one index, the last.
        return places

    def rows(self, scored: int | None = None) -> Rows:
        """Return a copy of the rows (k, width), oldest first: all, or those `scored` with that
        verdict."""
        return self._rows[self._order(scored)]

    def keys(self, scored: int | None = None) -> Digests | None:
        """Return the digests (k,) of the keys of `rows`; None if the window is not keyed."""
        return self._keys[self._order(scored)] if self.keyed else None

    def _order(self, scored: int | None) -> Ints:
        order = np.argsort(self._numbers[: self.filled])
        return order if scored is None else order[self._verdicts[order] == scored]

    def leaving(
        self, rows: Rows, verdicts: Verdicts, keys: Digests | None = None
    ) -> tuple[Rows, Verdicts, Digests | None]:
        """Return the rows that leave a sliding window without a guard when these are added, oldest
        first.

        Rows beyond the window's size pass through it; the caller adds them.
        """
        surplus = max(0, self.filled + len(rows) - self.size)
        held = min(surplus, self.filled)
        first = self.offered - self.filled
        places = np.arange(first, first + held) % self.size
        through = surplus - held
        return (
            np.concatenate([self._rows[places], rows[:through]]),
            np.concatenate([self._verdicts[places], verdicts[:through]]),
            None if keys is None else np.concatenate([self._keys[places], keys[:through]]),
        )

    def entries(self, places: Ints) -> npt.NDArray[np.void]:
        """Return the entries at the indices (k,), oldest first, for `restore`."""
        places = places[np.argsort(self._numbers[places])]
        found = np.empty(len(places), dtype=entry(self.width, keyed=self.keyed))
        found["number"], found["place"] = self._numbers[places], places
        found["verdict"], found["row"] = self._verdicts[places], self._rows[places]
        if self.keyed:
            found["key"] = self._keys[places]
        return found

    def restore(self, entries: npt.NDArray[np.void], offered: int) -> None:
        """Restore `entries`, of which later ones may have replaced earlier ones."""
        self.clear()
        self.offered = offered
        self._rows[entries["place"]] = entries["row"]
        self._verdicts[entries["place"]] = entries["verdict"]
        self._numbers[entries["place"]] = entries["number"]
        if self.keyed:
            self._keys[entries["place"]] = entries["key"]
        self._held[:] = np.bincount(self._verdicts[: self.filled], minlength=3)

    def clear(self) -> None:
        """Drop all rows and restart."""
        self.offered = 0
        self._numbers.fill(-1)
        self._held.fill(0)


def entry(width: int, *, keyed: bool = False) -> np.dtype[np.void]:
    """Return the dtype of a row: its number in the stream, its index, its verdict, its values, and
    if it is `keyed` the digest of its key."""
    fields = [("number", "<i8"), ("place", "<i4"), ("verdict", "<i4"), ("row", "<f8", (width,))]
    return np.dtype([*fields, ("key", "<u8")] if keyed else fields)


@compiled
def _enter(
    rows: Rows,
    verdicts: Verdicts,
    shares: Rows,
    sliding: bool,
    offered: int,
    held_rows: Rows,
    held_verdicts: Verdicts,
    numbers: Ints,
    held: Ints,
    places: Ints,
) -> int:
    """Return the new count of offered rows. The last five arguments are updated in place."""
    size = numbers.shape[0]
    for i in range(rows.shape[0]):
        verdict = verdicts[i]
        places[i] = -1
        among = min(offered + 1, size)
        # The tolerance keeps 0.29 of 100 at 29.
        if shares[verdict] < 1.0 and held[verdict] + 1 > shares[verdict] * among + 1e-9:
            continue
        place = offered % size
        if not sliding and offered >= size:
            place = int(lot(offered ^ SALT) * (offered + 1))
        if place < size:
            if numbers[place] >= 0:
                held[held_verdicts[place]] -= 1
            held[verdict] += 1
            held_rows[place] = rows[i]
            held_verdicts[place] = verdict
            numbers[place] = offered
            places[i] = place
        offered += 1
    return offered
