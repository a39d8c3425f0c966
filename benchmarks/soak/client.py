"""A client process: lanes of requests over every transport, one after the other in each.

It prints a line of JSON with what became of its requests every half second, and ends when its standard input does,
after the requests that it has under way. Killed, it leaves the server with whatever was.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import sys
import time
from typing import TYPE_CHECKING

import numpy as np

from .probes import CANCELLED, MAY_FAIL, WRONG, Asker
from .shm import SharedLane
from .tally import Tally
from .wire import Failure, GrpcWire, HttpWire

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from .probes import Probe
    from .wire import Wire

_REPORT_S = 0.5
_STREAM = 24  # requests of one stream
_GARBAGE = (b"", b"\x00" * 40, b"\xff" * 64, b'{"inputs": [', b"\x0a\x05scale\x2a\xff\xff\xff\xff\x0f")


class Client:
    """Lanes of one process.

    Parameters
    ----------
    asker : Asker
    grpc_target, http_url : str
    """

    def __init__(self, asker: Asker, grpc_target: str, http_url: str) -> None:
        self._asker = asker
        self._grpc_target = grpc_target
        self._http_url = http_url
        self._stop = asyncio.Event()
        self.tally = Tally()

    def stop(self) -> None:
        """Begin no more requests."""
        self._stop.set()

    async def run(self, lanes: int, *, shared_memory: bool = True) -> None:
        """Send requests until :meth:`stop`; all of them have ended when this returns."""
        grpc_wires = [GrpcWire(self._grpc_target) for _ in range(2)]
        http_wire = HttpWire(self._http_url)
        wires: list[Wire] = [*grpc_wires, http_wire]
        work: list[Coroutine[Any, Any, None]] = []
        for number in range(lanes):
            work += [self._unary(grpc_wires[number % 2]), self._unary(http_wire)]
        work += [self._streams(grpc_wires[0]), self._streams(grpc_wires[1])]
        for wire in wires[1:]:
            work += [self._cancelling(wire), self._garbage(wire)]
        shared = SharedLane(self._asker, grpc_wires[0], os.getpid()) if shared_memory else None
        if shared is not None:
            work.append(self._repeat(lambda: shared.once(self.tally)))
        try:
            async with asyncio.TaskGroup() as group:
                for lane in work:
                    group.create_task(lane)
        finally:
            if shared is not None:
                shared.close()
            for wire in wires:
                await wire.close()

    async def _repeat(self, once: Callable[[], Coroutine[Any, Any, None]]) -> None:
        while not self._stop.is_set():
            await once()

    async def _unary(self, wire: Wire) -> None:
        await self._repeat(lambda: self._ask(wire, self._asker.draw()))

    async def _ask(self, wire: Wire, probe: Probe) -> None:
        start_s = time.perf_counter()
        try:
            outcome, text = probe.judge(await wire.infer(probe.request))
        except Failure as failure:
            outcome, text = probe.judge_error(failure.name, failure.text)
        self.tally.add(probe.kind, wire.name, outcome, text, time.perf_counter() - start_s)

    async def _streams(self, wire: GrpcWire) -> None:
        await self._repeat(lambda: self._stream(wire))

    async def _stream(self, wire: GrpcWire) -> None:
        # Without those whose errors a text alone does not tell.
        probes = [self._asker.draw(*MAY_FAIL, "wrong shape") for _ in range(_STREAM)]
        start_s, answered = time.perf_counter(), 0
        try:
            async for answer in wire.stream([probe.request for probe in probes]):
                if answered == len(probes):
                    self.tally.add("stream", wire.name, WRONG, "a stream had more answers than requests")
                    return
                probe = probes[answered]
                answered += 1
                if not isinstance(answer, Failure):
                    outcome, text = probe.judge(answer)
                elif probe.errors:
                    outcome, text = min(probe.judge_error(name, answer.text) for name in probe.errors)
                else:
                    outcome, text = probe.judge_error(answer.name, answer.text)
                self.tally.add(probe.kind, "stream", outcome, text, time.perf_counter() - start_s)
        except Failure as failure:
            self.tally.add("stream", wire.name, WRONG, f"a stream ended in {failure}")
            return
        if answered < len(probes):
            text = f"a stream had {answered} answers to {len(probes)} requests"
            self.tally.add("stream", wire.name, WRONG, text)

    async def _cancelling(self, wire: Wire) -> None:
        """Give requests up while they wait, are executed, or travel back."""

        async def once() -> None:
            probe = self._asker.draw("bad")
            asked = asyncio.create_task(self._ask(wire, probe))
            await asyncio.wait([asked], timeout=float(self._asker.random.exponential(0.01)))
            asked.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asked
            if asked.cancelled():
                self.tally.add("given up", wire.name, CANCELLED)

        await self._repeat(once)

    async def _garbage(self, wire: Wire) -> None:
        async def once() -> None:
            body = _GARBAGE[self._asker.random.integers(len(_GARBAGE))]
            start_s = time.perf_counter()
            try:
                await wire.garbage(body)
                outcome, text = WRONG, f"the bytes {body!r} were taken for a request"
            except Failure as failure:
                fine = failure.name in ("InvalidRequest", "ModelNotFound")
                outcome, text = (failure.name, "") if fine else (WRONG, f"the bytes {body!r} ended in {failure}")
            self.tally.add("garbage", wire.name, outcome, text, time.perf_counter() - start_s)
            await asyncio.sleep(0.02)

        await self._repeat(once)


async def _main(options: argparse.Namespace) -> None:
    with np.load(options.jets) as file:
        jets = dict(file)
    scores = jets.pop("scores")
    seed = np.random.default_rng([options.seed, os.getpid()])
    asker = Asker(f"{os.getpid()}", seed, jets, scores, largest_bytes=options.largest_bytes)
    client = Client(asker, options.grpc, options.http)
    loop = asyncio.get_running_loop()
    loop.add_reader(sys.stdin.fileno(), client.stop)
    work = asyncio.create_task(client.run(options.lanes))
    while not work.done():
        await asyncio.wait([work], timeout=_REPORT_S)
        tally, client.tally = client.tally, Tally()
        print(json.dumps(tally.to_document()), flush=True)
    await work


def main() -> None:
    """Be such a process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--grpc", required=True)
    parser.add_argument("--http", required=True)
    parser.add_argument("--jets", required=True)
    parser.add_argument("--lanes", type=int, default=4, help="of each transport")
    parser.add_argument("--largest-bytes", type=int, default=4 << 20)
    parser.add_argument("--seed", type=int, default=1)
    asyncio.run(_main(parser.parse_args()))


if __name__ == "__main__":
    main()
