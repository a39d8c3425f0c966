from __future__ import annotations

import threading

import numpy as np
import pytest

from sonic.framework import EventRange, Mode
from sonic.framework.ledger import Ledger
from sonic.framework.requests import Call, Requests

TIMEOUT_S = 20.0


class Desk:
    """Requests of one module, with a clock that the test sets."""

    def __init__(self, model, mode):
        self.now = 0
        self.ledger = Ledger(["m"], threads=1)
        self.resumed = []
        self.came_back = threading.Event()
        self.requests = Requests({0: model}, {0: mode}, {0: "m"}, self.ledger, threading.Lock(), lambda: self.now)
        self.requests.start()

    def _resume(self, call):
        self.resumed.append(call)
        self.came_back.set()

    def send(self, size=2):
        call = Call(0, EventRange(7, "f", 0, 1), 3, None, self._resume)
        self.requests.send(call, {"x": np.arange(float(size))})
        return call


@pytest.fixture
def desk():
    desks = []

    def make(model, mode):
        desks.append(Desk(model, mode))
        return desks[-1]

    yield make
    for made in desks:
        made.requests.give_up()
        made.requests.join()


def test_an_answer_brings_the_module_back_with_its_outputs(desk, manual_model):
    model = manual_model()
    at = desk(model, Mode.ASYNC)
    at.now = 100
    call = at.send()
    assert at.resumed == []
    at.now = 350
    model.answer(0)
    assert at.resumed == [call]
    assert call.outputs()["y"].tolist() == [0.0, 2.0]
    account = at.ledger.accounts[0]
    assert (account.external_ns, account.requests, account.rows) == (250, 1, 2)
    record = at.ledger.records[0]
    assert (record.chunk, record.stream, record.worker, record.start_ns, record.stop_ns) == (7, 3, -1, 100, 350)


def test_a_call_without_a_request_has_no_outputs():
    assert Call(0, EventRange(0, "f", 0, 1), 0, None, lambda call: None).outputs() == {}


def test_a_request_of_the_modules_own_thread_holds_no_other(desk, manual_model):
    model = manual_model()
    at = desk(model, Mode.PSEUDO_ASYNC)
    call = at.send()
    model.wait_for(1)  # so that the thread of the module is the first to do anything
    worker = threading.Thread(target=at.requests.hold, args=(call,), daemon=True)
    worker.start()
    worker.join(1.0)
    assert not worker.is_alive()
    model.answer(0)
    assert at.came_back.wait(TIMEOUT_S)


def test_an_answer_that_is_there_already_is_no_wait(desk, manual_model):
    at = desk(manual_model(at_once=True), Mode.ASYNC)
    at.send()
    assert len(at.resumed) == 1
    assert at.ledger.accounts[0].external_ns == 0
    assert at.ledger.records == []


def test_no_rows_are_no_request(desk, manual_model):
    model = manual_model()
    at = desk(model, Mode.ASYNC)
    at.send(size=0)
    assert len(at.resumed) == 1
    assert at.resumed[0].outputs()["y"].shape == (0,)
    assert model.calls == []
    assert at.ledger.accounts[0].requests == 0


def test_a_sync_call_holds_its_thread_and_counts_it_as_idle(desk, manual_model):
    model = manual_model()
    at = desk(model, Mode.SYNC)

    class AnswersMeanwhile(threading.Event):
        def wait(self, timeout=None):
            at.now = 40
            model.answer(0)
            return super().wait(TIMEOUT_S)

    at.ledger.busy(0, +1)
    call = at.send()
    call.latch = AnswersMeanwhile()
    at.requests.hold(call)
    assert at.resumed == [call]
    assert (at.ledger.accounts[0].external_ns, at.ledger.accounts[0].hidden_ns) == (40, 0)
    assert at.ledger.mark(50) == 10


def test_an_async_call_holds_nobody(desk, manual_model):
    at = desk(manual_model(), Mode.ASYNC)
    at.requests.hold(at.send())


def test_a_pseudo_async_wait_begins_when_the_module_hands_over(desk, manual_model):
    model = manual_model()
    at = desk(model, Mode.PSEUDO_ASYNC)
    at.now = 10
    at.send()
    at.now = 30
    at.send()
    model.wait_for(1)
    assert len(model.calls) == 1
    at.now = 110
    model.answer(0)
    model.wait_for(2)
    at.now = 130
    model.answer(1)
    assert at.ledger.accounts[0].external_ns == 100 + 100


def test_a_pseudo_async_call_that_cannot_be_sent_is_told(desk, manual_model):
    model = manual_model()
    model.submit = lambda **arrays: 1 / 0
    at = desk(model, Mode.PSEUDO_ASYNC)
    call = at.send()
    assert at.came_back.wait(TIMEOUT_S)
    assert at.resumed == [call]
    with pytest.raises(ZeroDivisionError):
        call.outputs()
    at.ledger.departed(7, 100)  # another request of the chunk
    at.ledger.waited(0, 7, 3, 100, 300, 0)
    assert at.ledger.together_ns == 0, "only one of the chunk was out at a time"


@pytest.mark.parametrize("mode", list(Mode))
def test_giving_up_cancels_what_is_out_and_what_comes_later(desk, manual_model, mode):
    model = manual_model()
    at = desk(model, mode)
    call = at.send()
    model.wait_for(1)
    at.requests.give_up()
    at.requests.hold(call)
    assert call.future.cancelled()
    assert at.resumed == []
    if mode is not Mode.PSEUDO_ASYNC:
        late = at.send()
        at.requests.hold(late)
        assert late.future.cancelled()


def test_a_cancelled_answer_is_an_error_of_its_module(desk, manual_model):
    from concurrent.futures import CancelledError

    model = manual_model()
    at = desk(model, Mode.ASYNC)
    call = at.send()
    model.calls[0][1].cancel()
    assert at.resumed == [call]
    with pytest.raises(CancelledError):
        call.outputs()
