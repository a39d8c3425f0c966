"""Requests that come to a model in one turn of an event loop, and are executed together in its end.

To wait for the end costs more than an execution of a small network, so it is done only where others come meanwhile,
which is tried from time to time.
"""

from __future__ import annotations

_PATIENCE = 16
"""After so many turns with a single request, those that follow are executed at once."""
_TRIES_EVERY = 64
"""One in so many of these waits nevertheless, to find out whether others come again."""


class Turn:
    """A turn of the loop. Not thread-safe: its owner's lock guards it.

    Attributes
    ----------
    open : bool
        Whether requests wait for its end.
    n_bytes : int
        Of their inputs.
    """

    def __init__(self) -> None:
        self.open = False
        self.n_bytes = 0
        self._requests = 0
        self._asked = False
        self._alone = 0

    @property
    def pays(self) -> bool:
        """Whether a request should wait for the end."""
        return self.open or self._alone < _PATIENCE or not self._alone % _TRIES_EVERY

    def join(self, n_bytes: int) -> bool:
        """Count a request that waits for the end; return whether the loop is yet to be asked to call then."""
        self.open = True
        self._requests += 1
        self.n_bytes += n_bytes
        return self.ask()

    def miss(self) -> None:
        """Count a request that does not."""
        self._alone += 1

    def ask(self) -> bool:
        """Note that the loop is asked to call in the end; return whether it was not before."""
        first, self._asked = not self._asked, True
        return first

    def called(self) -> bool:
        """Note that it has called; return whether requests still wait for that."""
        self._asked = False
        return self.open

    def end(self) -> None:
        """Begin the next one: those that waited have been seen to."""
        if self.open:
            self._alone = 0 if self._requests > 1 else self._alone + 1
            self.open = False
            self.n_bytes = self._requests = 0
