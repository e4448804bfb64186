"""SIGTERM and SIGINT: asked once, the service ends between two batches; asked twice, at once."""

from __future__ import annotations

import signal


class Stop:
    """A request to stop. The second signal finds the default handlers, and kills."""

    def __init__(self) -> None:
        self.requested = False

    def listen(self) -> None:
        """Take SIGTERM and SIGINT as requests."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, _frame: object) -> None:
        self.requested = True
        signal.signal(number, signal.SIG_DFL)
