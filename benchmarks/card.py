"""What a modelled FPGA card does, beside what FaaST's firmware was measured to do on a real one.

The model (`sonic.firmware.device.timing`) on virtual time: driven as the test of FaaST's firmware drives a card, by
eight threads with a block of 16,384 rows each, beside what that test measured on an Alveo U55C
(github.com/fastmachinelearning/nrp_u55c_benchmark, scan_u55c_hbm.dat); and behind the server's own batcher, for 1 to 16
clients with 16,000 rows a request, and for many with 1,024. Then served for real, `facile-fpga` on the modelled card:
how far requests fill its blocks, and whether it has the modelled rate if it is slow enough for the emulator. What a
modelled card does is no measurement of a real one.
"""

from __future__ import annotations

import heapq
import os
import tempfile
import time
from concurrent.futures import FIRST_COMPLETED, wait
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import sonic
from common import Figure
from sonic.client.fallback import ServeProcess
from sonic.firmware.build import build
from sonic.firmware.device.settings import DELAY_US
from sonic.firmware.device.timing import CardModel, Timeline
from sonic.firmware.fromonnx import read
from sonic.firmware.precision import Precision
from sonic.server.scheduling.batcher import Batcher
from sonic.server.scheduling.policies import BatchPolicy
from sonic.study.published import study
from sonic.workloads import MODELS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from concurrent.futures import Future

    from rich.console import Console

CARD = CardModel()
MEASURED = {
    (2, 1): 2047.93,
    (2, 2): 4040.73,
    (2, 4): 5873.7,
    (2, 8): 5812.48,
    (3, 1): 3041.34,
    (3, 2): 5909.32,
    (3, 4): 6398.53,
    (3, 8): 6732.89,
    (4, 1): 4064.61,
    (4, 2): 6695.33,
    (4, 4): 6740.22,
    (4, 8): 6815.31,
}
"""Blocks/s on the U55C, by units and buffers of each."""
THREADS = 8
HOST_S = 2e-4
"""Of a thread of that test between two blocks, in which it copies a megabyte. Fit."""
CLIENTS = (1, 2, 4, 8, 16)
EVENT_ROWS, SMALL_ROWS = 16_000, 1024
MANY = 256
DELAY_S = DELAY_US / 1e6
SLOW = replace(CARD, units=1, interval=1200.0)
SPELL_S = 5.0


def measure(repeats: int, console: Console) -> Iterator[Figure]:
    """Compare the model with what was measured, then serve it."""
    ratios = []
    for (units, buffers), measured in MEASURED.items():
        modelled = _threads(replace(CARD, units=units, buffers=buffers))
        ratios.append(modelled / measured)
        console.print(f"{units} units, {buffers} buffers: {measured:,.0f} blocks/s measured, {modelled:,.0f} modelled")
    yield Figure.of("modelled / measured blocks/s, FaaST's firmware on a U55C, 12 points", ratios)
    yield Figure.of("the same: largest difference", [max(abs(ratio - 1) for ratio in ratios)], 0.1, at_most=True)

    for clients in CLIENTS:
        rate, _ = _clients(CARD, clients, EVENT_ROWS)
        console.print(f"modelled, {clients} clients of {EVENT_ROWS:,} rows: {rate:,.0f} rows/s")
    over_gpu = study("faast").figures["rate_over_gpu"]
    console.print(
        f"FaaST (arXiv:2010.08556): about {over_gpu:.0f} times a GPU, for such a network; none is measured here"
    )
    bound = min(CARD.bounds, key=CARD.bounds.__getitem__)
    allowed = CARD.bounds[bound] * EVENT_ROWS
    yield Figure.of(f"modelled: 16 clients / what the card's {bound} allow", [rate / allowed], 0.9)
    _, filled = _clients(CARD, MANY, SMALL_ROWS)
    yield Figure.of(f"modelled: rows of a block / {CARD.block:,}, {MANY} requests of {SMALL_ROWS:,}", [filled], 0.9)
    yield from _served(repeats, console)


def _threads(card: CardModel, blocks: int = 20_000) -> float:
    """Return the blocks/s of threads that each give the card another when they have one back."""
    timeline, now_s = Timeline(card), 0.0
    due_s = [HOST_S * (1 + thread / 100) for thread in range(THREADS)]
    for _ in range(blocks):
        now_s = timeline.enqueue(heapq.heappop(due_s)).done_s
        heapq.heappush(due_s, now_s + HOST_S)
    return blocks / now_s


def _clients(card: CardModel, clients: int, rows: int, requests: int = 20_000) -> tuple[float, float]:
    """Return rows/s, and how full blocks are, of clients that each wait for one answer before they send again."""
    batcher: Batcher[int] = Batcher(BatchPolicy(card.block, (card.block,), DELAY_S))
    timeline, idle = Timeline(card), card.slots
    events: list[tuple[float, int, Sequence[int]]] = [(1e-6 * client, client, [client]) for client in range(clients)]
    running: dict[int, Sequence[int]] = {}
    now_s, wakes_s, serial, answered, blocks = 0.0, inf, clients, 0, 0
    while answered < requests:
        now_s, number, senders = heapq.heappop(events)
        if number in running:  # a block is done; its clients send again
            senders = running.pop(number)
            idle, answered = idle + 1, answered + len(senders)
        for client in senders:
            batcher.add(client, rows, now_s=now_s)
        while idle and (batch := batcher.take(now_s)):
            serial, idle, blocks = serial + 1, idle - 1, blocks + 1
            running[serial] = batch
            heapq.heappush(events, (timeline.enqueue(now_s).done_s, serial, ()))
        ready_s = batcher.next_ready_s() if idle else inf
        if ready_s < wakes_s or wakes_s <= now_s < ready_s < inf:
            serial, wakes_s = serial + 1, ready_s
            heapq.heappush(events, (ready_s, serial, ()))
    return answered * rows / now_s, answered * rows / ((blocks - len(running)) * card.block)


def _served(repeats: int, console: Console) -> Iterator[Figure]:
    network = read(MODELS / "facile-fpga" / "1" / "model.onnx", "facile")
    cores = len(os.sched_getaffinity(0))
    filled, kept = [], []
    with tempfile.TemporaryDirectory() as folder:
        made = build(network, Precision(), Path(folder) / "facile" / "1", route="hls4ml-catapult")
        name = network.names[0]
        for card, requests, rows in ((CARD, MANY, SMALL_ROWS), (SLOW, 2 * SLOW.slots, CARD.block)):
            (made.folder.parent / "config.pbtxt").write_text(_config(card))
            x = np.random.default_rng(1).normal(size=(rows, *network.given_shape)).astype(np.float32)
            with ServeProcess([folder], cores=cores) as server, sonic.Model(f"{server.grpc_url}/facile") as model:
                for _ in range(repeats):
                    before = model.statistics()
                    rate = _rate(model, {name: x}, requests)
                    after = model.statistics()
                    executions = after.execution_count - before.execution_count
                    share = (after.inference_count - before.inference_count) / executions / card.block
                    modelled, _ = _clients(card, requests, rows, 1000)
                    console.print(
                        f"served: {rate:,.0f} rows/s, blocks {share:.0%} full; the model: {modelled:,.0f} rows/s"
                    )
                    if card is CARD:
                        filled.append(share)
                    else:
                        kept.append(rate / modelled)
    yield Figure.of(f"served: rows of a block / {CARD.block:,}, {MANY} requests of {SMALL_ROWS:,}", filled, 0.9)
    yield Figure.of("served / modelled rows/s, a card slow enough for its emulator", kept, 0.9)


def _config(card: CardModel) -> str:
    values = {"device": "modelled", "units": card.units, "interval": card.interval}
    return 'backend: "fpga"\n' + "".join(
        f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}\n' for key, value in values.items()
    )


def _rate(model: sonic.Model, inputs: dict[str, np.ndarray], requests: int) -> float:
    """Return rows/s with so many requests under way."""
    (rows,) = {len(array) for array in inputs.values()}
    pending: set[Future[object]] = {model.submit(**inputs) for _ in range(requests)}
    done, start_s = 0, time.perf_counter()
    while (passed_s := time.perf_counter() - start_s) < SPELL_S:
        ended, pending = wait(pending, return_when=FIRST_COMPLETED)
        done += len(ended)
        pending |= {model.submit(**inputs) for _ in ended}
    wait(pending)
    return done * rows / passed_s
