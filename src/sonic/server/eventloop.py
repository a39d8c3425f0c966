"""The event loop that serves every connection, in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, TypeVar

from sonic.server.busypoll import BusyPoll

try:
    import uvloop
except ImportError:  # it is not made for Windows
    new_event_loop = asyncio.new_event_loop
else:
    new_event_loop = uvloop.new_event_loop

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

Result = TypeVar("Result")


def within(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether the calling thread is the one that an event loop runs in."""
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False


class EventLoop:
    """An event loop that runs until it is closed.

    Parameters
    ----------
    name : str
        Of its thread.
    busy_poll_s : float
        For how long it may look for the next request before it sleeps.

    Attributes
    ----------
    loop : asyncio.AbstractEventLoop
        For its thread alone, but for ``call_soon_threadsafe``.
    busy_poll : BusyPoll
        To be told of requests.
    """

    def __init__(self, name: str = "sonic-loop", *, busy_poll_s: float = 0.0) -> None:
        self.loop: asyncio.AbstractEventLoop = new_event_loop()
        self.busy_poll = BusyPoll(busy_poll_s, self.loop.call_soon)
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, Result]) -> Result:
        """Run a coroutine in the loop, wait for its end in the calling thread, and return its result."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result()

    def close(self) -> None:
        """Cancel what still runs, and end the thread. Harmless when repeated."""
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join()

    def _serve(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
            left = asyncio.all_tasks(self.loop)
            for task in left:
                task.cancel()
            self.loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            self.loop.run_until_complete(self.loop.shutdown_default_executor())
        finally:
            self.loop.close()
