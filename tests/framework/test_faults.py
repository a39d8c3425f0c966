"""Faults of servers through a whole job: the output is that of an undisturbed run, or there is a clear error."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import Future
from typing import TYPE_CHECKING

import awkward as ak
import numpy as np
import pytest

from sonic.client.model import Client
from sonic.client.settings import ClientSettings
from sonic.errors import Cancelled, ModuleError, RateLimited, Unavailable
from sonic.framework import Offload, Workflow
from sonic.framework.job import run
from sonic.protocol.messages import InferResponse
from sonic.server.inprocess import InProcessTransport
from sonic.testing.compare import differences
from sonic.testing.transports import FakeTransport

if TYPE_CHECKING:
    from sonic.protocol.messages import InferRequest
    from sonic.specs import ModelSpec

CHUNKS, FILE_EVENTS = 40, 120
TIMEOUT_S = 20.0
QUICK = ClientSettings(chain=("different", *("again",) * 20, "fallback"), backoff_s=0.0, silence_s=0.05, rest_s=0.0)


class Score(Offload):
    model = "scorer"
    consumes = ("x", "Jet_pt", "Jet_eta")
    produces = ("Jet_score",)

    def acquire(self, events):
        columns = [ak.to_numpy(ak.flatten(events[f"Jet_{name}"])) for name in ("pt", "eta")]
        return {"x": np.stack(columns, axis=1).astype(np.float32)}

    def produce(self, events, outputs):
        return {"Jet_score": ak.unflatten(outputs["y"][:, 0], ak.num(events.Jet_pt))}


class Faulty(FakeTransport):
    """A server with the model's true answers, and what a fault makes of them from its first request on."""

    REFUSED = 2
    """Requests until a server that is started again is up."""

    def __init__(self, spec: ModelSpec, truth: InProcessTransport, name: str, fault: str) -> None:
        super().__init__([spec], lambda request: truth.submit(request).result(TIMEOUT_S).outputs, f"fake:{name}")
        self._fault = fault
        self._thawed = threading.Event()
        self.silenced: list[Future[InferResponse]] = []

    def submit(self, request: InferRequest) -> Future[InferResponse]:
        number = len(self.requests)
        if number == 0 and self._fault == "hung":
            self.holding = True
        if number == 0 and self._fault == "killed":
            self.down = Unavailable("connection reset")
        if number < self.REFUSED and self._fault == "restarted":
            self.then(Unavailable("connection refused"))
        if self._fault == "refuses half" and not number % 2:
            self.then(Unavailable("full"))
        if self._fault == "limits its clients" and number % 3 != 2:
            self.then(RateLimited("your share is used up", 0.001))
        return super().submit(request)

    def model_spec(self, model: str, version: str = "", timeout_s: float | None = None) -> ModelSpec:
        if self.holding and not self._thawed.wait(timeout_s or TIMEOUT_S):
            raise Unavailable("no answer")
        return super().model_spec(model, version, timeout_s)

    def close(self) -> None:
        self._thawed.set()
        super().close()


@pytest.fixture
def job(events_file, tmp_path, models):
    """Run the same job with these faults of its servers, or in peace; returns report, transports and output."""
    source = events_file(FILE_EVENTS)
    truth = InProcessTransport(str(models))
    ways: list[Faulty] = []

    def attempt(*faults: str, fallback=None, settings: ClientSettings = QUICK, **options):
        path = tmp_path / f"{'-'.join(faults) or 'calm'}.root"
        ways[:] = [Faulty(truth.model_spec("scorer"), truth, str(i), fault) for i, fault in enumerate(faults)]
        ways[:] = ways or [Faulty(truth.model_spec("scorer"), truth, "calm", "")]
        with Client(transports=ways, settings=settings, fallback=fallback, timeout_s=TIMEOUT_S) as client:
            flow = Workflow("test", (Score(),), ("x", "Jet_pt", "Jet_score"), models)
            options = {"client": client, "chunk_size": FILE_EVENTS // CHUNKS, "threads": 2, "streams": 6} | options
            try:
                return run(flow, [source], path, **options), ways, path
            finally:
                for way in ways:
                    way.close()

    try:
        yield attempt
    finally:
        truth.close()


@pytest.mark.parametrize(
    "faults",
    [
        ("killed", "", ""),
        ("killed", "killed", ""),
        ("hung", ""),
        ("hung", "hung", ""),
        ("restarted", "restarted"),
        ("refuses half", "refuses half", "refuses half"),
        ("limits its clients", ""),
        ("killed", "hung", "refuses half", ""),
    ],
)
def test_the_output_is_that_of_an_undisturbed_run(job, faults):
    _, _, calm = job()
    report, ways, struck = job(*faults)
    assert (report.chunks, report.events, report.skipped) == (CHUNKS, FILE_EVENTS, ())
    assert differences(calm, struck) == []
    calls = next(module.offload for module in report.modules if module.offload)
    assert sum(len(way.requests) for way in ways) > calls.requests  # some were sent again
    assert (calls.requests, calls.rows) == (CHUNKS, sum(rows_of(ways).values()))


def rows_of(ways: list[Faulty]) -> Counter[bytes]:
    """Rows of each request, however often it was sent: there are no two with the same bytes."""
    return Counter(
        {request.inputs["x"].tobytes(): len(request.inputs["x"]) for way in ways for request in way.requests}
    )


def test_every_request_is_answered_by_the_fallback_when_all_servers_are_gone(job, models):
    _, _, calm = job()
    report, ways, struck = job("killed", "hung", fallback=models)
    assert report.chunks == CHUNKS
    assert differences(calm, struck) == []
    assert all(way.requests for way in ways)


@pytest.mark.parametrize("faults", [("killed", "killed"), ("killed", "hung")])
def test_without_a_fallback_one_error_names_module_events_and_servers(job, faults, tmp_path):
    with pytest.raises(ModuleError, match=r"module Score failed on chunk \d+, events.root entries \d+:\d+: ") as caught:
        job(*faults)
    assert "fake:0" in str(caught.value)
    assert "fake:1" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob("killed*"))


def test_a_fallback_that_dies_too(job, models, monkeypatch):
    def dies(self: InProcessTransport, request: InferRequest) -> Future[InferResponse]:
        gone: Future[InferResponse] = Future()
        gone.set_exception(Unavailable("the fallback is gone"))
        return gone

    monkeypatch.setattr(InProcessTransport, "submit", dies)
    with pytest.raises(ModuleError, match=r"module Score failed on chunk \d+, .*: .*the fallback is gone"):
        job("killed", fallback=models)


def test_a_server_whose_answers_are_garbage_is_an_error_of_its_own(job, monkeypatch):
    def wrong(self: Faulty, request: InferRequest) -> Future[InferResponse]:
        future = FakeTransport.submit(self, request)
        outputs = future.result().outputs
        again = type(future)()
        again.set_result(InferResponse("scorer", "1", {"y": outputs["y"][:-1]}, request.id))
        return again

    monkeypatch.setattr(Faulty, "submit", wrong)
    with pytest.raises(ModuleError, match=r"module Score failed on chunk \d+, events.root entries .*y"):
        job("garbage")


def test_a_module_is_tried_again_when_the_client_has_given_up(job):
    """All servers are gone for the time of several chains; the job's own retries bridge it."""
    _, _, calm = job()
    once = ClientSettings(chain=(), rest_s=0.0, silence_s=0.05)
    report, _, struck = job("restarted", settings=once, on_error="retry:5")
    assert differences(calm, struck) == []
    assert next(module.retries for module in report.modules if module.name == "Score") == Faulty.REFUSED


def test_a_client_that_is_closed_under_the_job(job, monkeypatch):
    closed = threading.Event()

    def close(self: Faulty, request: InferRequest) -> Future[InferResponse]:
        if len(self.requests) == 5 and not closed.is_set():
            closed.set()
            self.close()
        return FakeTransport.submit(self, request)

    monkeypatch.setattr(Faulty, "submit", close)
    with pytest.raises(ModuleError, match="is closed") as caught:
        job("closed", settings=ClientSettings(chain=()))
    assert isinstance(caught.value.__cause__, Cancelled)
