"""Requests of a job's offloads: sent, waited for as the mode says, cancelled when the job is given up."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from sonic.client.arrays import empty_outputs, is_empty
from sonic.framework.offload import Mode, rows, tensor_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import awkward as ak
    import numpy as np

    from sonic.framework.event import EventRange
    from sonic.framework.ledger import Ledger
    from sonic.framework.offload import Callee


class Call:
    """One offload of one chunk, between its two halves.

    Parameters
    ----------
    i : int
        Number of the module.
    where : EventRange
        The chunk.
    stream : int
        Its stream.
    events : ak.Array
        What the module saw.
    resume : callable
        Called under the lock when the answer is there.
    """

    __slots__ = ("departed_ns", "events", "future", "i", "latch", "mark", "resume", "stream", "where")

    def __init__(
        self, i: int, where: EventRange, stream: int, events: ak.Array, resume: Callable[[Call], None]
    ) -> None:
        self.i = i
        self.where = where
        self.stream = stream
        self.events = events
        self.resume = resume
        self.future: Future[dict[str, np.ndarray]] | None = None
        self.latch: threading.Event | None = None
        self.departed_ns = 0
        self.mark: int | None = None

    def outputs(self) -> dict[str, np.ndarray]:
        """Return the model's outputs; nothing if it was not called. To be called once.

        Raises
        ------
        InferenceError
            As the request ended.
        """
        # The future's callback holds this call. Let go of it, or the arrays live until the garbage collector comes.
        future, self.future = self.future, None
        return {} if future is None else future.result()


class Requests:
    """All requests of a job.

    Parameters
    ----------
    callees : mapping of int to Callee
        By number of the module.
    modes : mapping of int to Mode
        Likewise.
    names : mapping of int to str
        Likewise; names of the modules' own threads.
    ledger : Ledger
    lock : Lock
        The scheduler's. It guards the ledger and everything here.
    clock : callable
        Nanoseconds since the job began.
    """

    def __init__(
        self,
        callees: Mapping[int, Callee],
        modes: Mapping[int, Mode],
        names: Mapping[int, str],
        ledger: Ledger,
        lock: threading.Lock,
        clock: Callable[[], int],
    ) -> None:
        self._callees = callees
        self._modes = modes
        self._ledger = ledger
        self._lock = lock
        self._clock = clock
        self._given_up = False
        self._outstanding: set[Call] = set()
        self._queues: dict[int, SimpleQueue[tuple[Call, Mapping[str, np.ndarray]] | None]] = {
            i: SimpleQueue() for i, mode in modes.items() if mode is Mode.PSEUDO_ASYNC
        }
        self._threads = [
            threading.Thread(target=self._wait_for_model, args=(queue,), name=f"sonic-{names[i]}", daemon=True)
            for i, queue in self._queues.items()
        ]

    def start(self) -> None:
        """Start the threads of modules in mode `pseudo_async`."""
        for thread in self._threads:
            thread.start()

    def send(self, call: Call, inputs: Mapping[str, np.ndarray]) -> None:
        """Send a request, or hand it to the module's own thread. A `sync` module is to :meth:`hold` afterwards.

        Raises
        ------
        InferenceError
            If it cannot be sent.
        """
        mode = self._modes[call.i]
        if mode is Mode.PSEUDO_ASYNC:
            self._depart(call)
            self._queues[call.i].put((call, inputs))
            return
        if mode is Mode.SYNC:
            call.latch = threading.Event()
        self._submit(call, inputs)

    def hold(self, call: Call) -> None:
        """Keep the calling thread until the answer of a `sync` module is there, or the job is given up."""
        if self._modes[call.i] is not Mode.SYNC or call.latch is None or call.latch.is_set():
            return  # in mode pseudo_async the latch is that of the module's own thread
        with self._lock:
            self._ledger.busy(self._clock(), -1)
        call.latch.wait()
        with self._lock:
            self._ledger.busy(self._clock(), +1)

    def give_up(self) -> None:
        """Cancel everything that is on its way and release who waits for it."""
        with self._lock:
            self._given_up = True
            outstanding = list(self._outstanding)
            self._outstanding.clear()
        for call in outstanding:
            self._cancel(call)

    def join(self) -> None:
        """End the modules' own threads."""
        for queue in self._queues.values():
            queue.put(None)
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()

    def _submit(self, call: Call, inputs: Mapping[str, np.ndarray]) -> None:
        callee = self._callees[call.i]
        count = rows(inputs)
        size_bytes = tensor_bytes(inputs)
        if count == 0 and is_empty(callee.spec, dict(inputs)):
            # Not left to the client, which would ask for shapes: what a chunk without events gives has often lost them.
            call.future = Future()
            call.future.set_result(empty_outputs(callee.spec))
        else:
            call.future = callee.submit(**inputs)
        max_batch = callee.spec.max_batch_size if count else 0
        # A model in this process answers before submit() returns: there is nothing to wait for.
        waits = not call.future.done()
        if waits and call.mark is None:
            self._depart(call)
        with self._lock:
            if count:
                self._ledger.accounts[call.i].sent(count, max_batch, size_bytes)
            given_up = self._given_up
            if not given_up:
                self._outstanding.add(call)
        if given_up:
            self._cancel(call)
        else:
            call.future.add_done_callback(partial(self._answered, call))

    def _depart(self, call: Call) -> None:
        with self._lock:
            call.departed_ns = self._clock()
            call.mark = self._ledger.departed(call.where.index, call.departed_ns)

    def _answered(self, call: Call, _future: Future[Any]) -> None:
        with self._lock:
            if call in self._outstanding:
                self._outstanding.discard(call)
                self._go_on(call)
        if call.latch is not None:
            call.latch.set()

    def _go_on(self, call: Call) -> None:
        """Book the wait, and go on with the chunk (lock held)."""
        if call.mark is not None:
            self._ledger.waited(call.i, call.where.index, call.stream, call.departed_ns, self._clock(), call.mark)
        call.resume(call)

    def _cancel(self, call: Call) -> None:
        if call.future is not None:
            call.future.cancel()
        if call.latch is not None:
            call.latch.set()

    def _wait_for_model(self, queue: SimpleQueue[tuple[Call, Mapping[str, np.ndarray]] | None]) -> None:
        while (item := queue.get()) is not None:
            call, inputs = item
            if self._given_up:
                continue
            call.latch = threading.Event()
            try:
                self._submit(call, inputs)
            except Exception as error:  # noqa: BLE001 - the call's outcome, as if the model had answered so
                call.future = Future()
                call.future.set_exception(error)
                with self._lock:
                    self._go_on(call)
                continue
            call.latch.wait()
