"""SIGTERM under load: what was accepted ends well, what comes later is refused, and the server ends in order."""

from __future__ import annotations

import asyncio
import signal
import time
from typing import TYPE_CHECKING

import numpy as np

from sonic.protocol.messages import InferRequest

from .hazards import wait_until
from .marks import Mark, Part
from .probes import RIGHT, WRONG, Probe
from .tally import Tally
from .wire import NO_CONNECTION, Failure, GrpcWire, HttpWire

if TYPE_CHECKING:
    from .server import Serve
    from .wire import Wire

_HELD = 8
_FIRST_MS, _OTHERS_MS = 2000, 100  # that they take, one after the other
_LANES = 3
_END_S = 60.0
_REFUSALS = frozenset({"Unavailable", NO_CONNECTION})


def drain(server: Serve, *, seed: int) -> Part:
    """Terminate a server that has requests in hand and gets more.

    Parameters
    ----------
    server : Serve
        With the models ``slow`` and ``scale`` of :mod:`benchmarks.soak.models`; it has ended when this returns.
    seed : int
    """
    return asyncio.run(_drain(server, np.random.default_rng(seed)))


async def _drain(server: Serve, random: np.random.Generator) -> Part:
    tally = Tally()
    wires: list[Wire] = [GrpcWire(server.grpc), HttpWire(server.http)]
    fresh: list[Wire] = [GrpcWire(server.grpc), HttpWire(server.http)]
    over = asyncio.Event()
    told = asyncio.Event()
    held = [asyncio.create_task(_held(wires[0], 0, tally))]
    await asyncio.sleep(0.3)
    held += [asyncio.create_task(_held(wires[n % 2], n, tally)) for n in range(1, _HELD)]
    lanes = [
        asyncio.create_task(_lane(wire, random, tally, told, over)) for wire in (*wires, *fresh) for _ in range(_LANES)
    ]
    try:
        # The first is executed, all others wait: then every one of them has been accepted.
        await asyncio.to_thread(wait_until, lambda: server.pending("slow") == _HELD - 1, 30, "the queue of the model")
        server.process.send_signal(signal.SIGTERM)
        told.set()
        start_s = time.monotonic()
        await asyncio.gather(*held)
        status = await asyncio.to_thread(server.process.wait, _END_S)
        took_s = time.monotonic() - start_s
        over.set()
        await asyncio.gather(*lanes)
    finally:
        for task in (*held, *lanes):
            task.cancel()
        for wire in (*wires, *fresh):
            await wire.close()
    kept = sum(count for (kind, _, outcome), count in tally.counts.items() if kind == "held" and outcome == RIGHT)
    refused = sum(
        count for (kind, _, outcome), count in tally.counts.items() if kind == "later" and outcome == "Unavailable"
    )
    part = Part("SIGTERM under load", tally=tally, notes=[*tally.texts])
    part.marks = [
        Mark("accepted requests that ended well", f"{kept} of {_HELD}", "all", kept == _HELD),
        Mark.at_least("later ones refused as unavailable", refused, 1),
        Mark.none("requests wrong or lost", tally.wrong),
        Mark("exit status", str(status), "0", status == 0),
    ]
    part.details = {"seconds": round(took_s, 2)}
    if status:
        part.notes.append(server.log()[-2000:])
    return part


async def _held(wire: Wire, number: int, tally: Tally) -> None:
    x = np.array([_OTHERS_MS if number else _FIRST_MS, number], np.int64)
    await _ask(wire, Probe("held", InferRequest("slow", {"x": x}, id=f"h{number}"), {"y": x + 1}), tally)


async def _lane(
    wire: Wire, random: np.random.Generator, tally: Tally, told: asyncio.Event, over: asyncio.Event
) -> None:
    number = 0
    while not over.is_set():
        number += 1
        x = random.integers(1 << 22, size=(1, 4)).astype(np.float32)
        late = told.is_set()
        request = InferRequest("scale", {"x": x}, id=f"b{number}")
        # One that is sent just before the signal may be the first to be refused.
        probe = Probe("later" if late else "before", request, {"y": 2 * x + 1}, _REFUSALS)
        if await _ask(wire, probe, tally, also_after=told) != RIGHT:
            await asyncio.sleep(0.01)


async def _ask(wire: Wire, probe: Probe, tally: Tally, also_after: asyncio.Event | None = None) -> str:
    start_s = time.perf_counter()
    try:
        outcome, text = probe.judge(await wire.infer(probe.request))
    except Failure as failure:
        outcome, text = probe.judge_error(failure.name, failure.text)
        if also_after is not None and not also_after.is_set():
            outcome, text = WRONG, f"{probe.label} ended in {failure} before the signal"
    tally.add(probe.kind, wire.name, outcome, text, time.perf_counter() - start_s)
    return outcome
