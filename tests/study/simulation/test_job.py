from __future__ import annotations

from concurrent.futures import Future
from math import inf
from random import Random
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
import pytest

from sonic.client.settings import ClientSettings
from sonic.framework import Offload, Producer, Workflow
from sonic.framework.event import Chunk, EventRange
from sonic.framework.graph import Graph, Node
from sonic.framework.ledger import Ledger
from sonic.framework.offload import Mode as RealMode
from sonic.framework.scheduler import Scheduler
from sonic.framework.steps import steps
from sonic.specs import DType, ModelSpec, TensorSpec
from sonic.study.conditions.line import Conditions
from sonic.study.simulation.client import Request, VirtualRouter, Way
from sonic.study.simulation.clock import Clock
from sonic.study.simulation.job import Job, Step, Told
from sonic.study.simulation.network import Cable, Site
from sonic.study.simulation.processor import Processor, Thread

if TYPE_CHECKING:
    from sonic.errors import InferenceError
    from sonic.study.simulation.job import Mode
    from sonic.study.simulation.queueing import Answer

NODES = [Node("fast"), Node("asks", produces=("scores",)), Node("slow"), Node("last", consumes=("scores",))]
WORK_S = {"fast": 1.0, "asks": 0.5, "slow": 2.0, "last": 1.0}


class After:
    """An address that answers after a while."""

    def __init__(self, clock: Clock, took_s: float) -> None:
        self._clock = clock
        self._took_s = took_s
        self.most = self.now = 0

    def take(self, model: str, rows: int, answer: Answer, timeout_s: float | None = None) -> None:
        self.now += 1
        self.most = max(self.most, self.now)

        def ended() -> None:
            self.now -= 1
            answer(None)

        if self._took_s:
            self._clock.after(self._took_s, ended)
        else:
            ended()


class Log(Told):
    """When each chunk was written, and each module's turn, as they began."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.began: list[str] = []
        self.written_s: list[float] = []
        self.waited_s: list[float] = []

    def chunk(self, began_s: float, error: InferenceError | None) -> None:
        self.written_s.append(self.clock.now_s())

    def request(self, rows: int, sent_s: float, error: InferenceError | None) -> None:
        self.waited_s.append(self.clock.now_s() - sent_s)


def simulated(
    chunks: int, *, answer_s: float = 3.0, mode: Mode = "async", threads: int = 1, streams: int = 1
) -> tuple[Log, After]:
    clock, random = Clock(), Random(1)
    log, server = Log(clock), After(clock, answer_s)

    def step(name: str) -> Step:
        def work_s() -> float:
            log.began.append(name)
            return WORK_S[name]

        return Step(name, work_s, Request("m", {}) if name == "asks" else None, mode=mode)

    processor = Processor(clock, inf)
    way = Way("sim:a", server, Site(Conditions(), random), Cable(clock, Conditions(), random), Thread(processor))
    router = VirtualRouter(clock, [way], ClientSettings(), random)
    ended: list[bool] = []
    Job(
        clock, Graph(NODES), [step(node.name) for node in NODES], router, processor, log,
        threads=threads, streams=streams, chunks=chunks, ended=lambda: ended.append(True),
    )  # fmt: skip
    clock.run()
    assert ended == [True]
    return log, server


def test_a_thread_works_on_while_a_chunk_waits() -> None:
    log, _ = simulated(1)
    assert log.began == ["fast", "asks", "slow", "last"]
    # fast 0-1, asks 1-1.5, slow 1.5-3.5, the answer at 4.5, last 4.5-5.5
    assert log.written_s == pytest.approx([5.5])
    assert log.waited_s == pytest.approx([3.0])


def test_a_synchronous_module_holds_its_thread() -> None:
    log, _ = simulated(1, mode="sync")
    assert log.written_s == pytest.approx([1 + 0.5 + 3 + 2 + 1])


def test_more_streams_hide_the_wait() -> None:
    assert simulated(6, streams=1)[0].written_s[-1] == pytest.approx(6 * 5.5)
    assert simulated(6, streams=3)[0].written_s[-1] < 6 * 4.5 + 4


def test_a_pseudo_asynchronous_module_has_one_request_under_way() -> None:
    assert simulated(6, threads=4, streams=4, mode="pseudo_async")[1].most == 1
    assert simulated(6, threads=4, streams=4)[1].most > 1


def test_threads_share_the_work() -> None:
    log, _ = simulated(8, threads=4, streams=4, answer_s=0.01)
    assert log.written_s[-1] == pytest.approx(8 * 4.5 / 4, rel=0.3)


@pytest.mark.parametrize("streams", [1, 2, 3])
def test_modules_run_in_the_order_of_the_frameworks_own_scheduler(streams: int) -> None:
    """With one thread, and a server that answers at once, the order is the rule's alone."""
    assert simulated(5, streams=streams, answer_s=0.0)[0].began == real(5, streams)


def real(chunks: int, streams: int) -> list[str]:
    began: list[str] = []

    def module(node: Node) -> Any:
        class Logged(Producer):
            name, consumes, produces = node.name, ("x", *node.consumes), ()

            def produce(self, events: ak.Array) -> dict[str, ak.Array]:
                began.append(node.name)
                return {}

        class Asking(Offload):
            name, consumes, produces, model = node.name, ("x",), node.produces, "m"

            def acquire(self, events: ak.Array) -> dict[str, np.ndarray]:
                began.append(node.name)
                return {"x": ak.to_numpy(events.x)}

            def produce(self, events: ak.Array, outputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
                return {"scores": outputs["x"]}

        return Asking() if node.name == "asks" else Logged()

    class Model:
        spec = ModelSpec("m", "1", (TensorSpec("x", DType.FP64, (-1,)),), (TensorSpec("x", DType.FP64, (-1,)),), 100)

        def submit(self, **arrays: np.ndarray) -> Future[dict[str, np.ndarray]]:
            future: Future[dict[str, np.ndarray]] = Future()
            future.set_result(arrays)
            return future

    modules = [module(node) for node in NODES]
    graph = Workflow("test", modules).graph()
    scheduler = Scheduler(
        graph,
        steps(graph, modules),
        {"asks": Model()},
        Ledger([node.name for node in NODES], 1),
        threads=1,
        streams=streams,
        modes={"asks": RealMode.ASYNC},
    )
    block = {"x": ak.to_layout(np.arange(2.0 * chunks))}
    events = [Chunk(EventRange(i, "events.root", 2 * i, 2 * i + 2), block, 2 * i) for i in range(chunks)]
    scheduler.run(iter(events), lambda chunk: None)
    return began
