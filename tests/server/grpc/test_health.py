from __future__ import annotations

import threading
from queue import SimpleQueue
from types import SimpleNamespace
from typing import Any

import pytest

from sonic.protocol.proto import health_pb2
from sonic.server.grpc.health import Health

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


def lookers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "sonic-grpc-health"]


def test_nobody_looks_where_nobody_watches() -> None:
    state = SimpleNamespace(ready=True)
    server: Any = SimpleNamespace(ready=lambda: state.ready)
    health = Health(server, (), look_s=0.001)
    before = set(lookers())
    for _ in range(2):
        state.ready = True
        told: SimpleQueue[Any] = SimpleQueue()
        forget, forget_too = (
            health.watch(health_pb2.HealthCheckRequest(), told.put, lambda: pytest.fail("it has not ended"))
            for _ in range(2)
        )
        (looker,) = set(lookers()) - before
        forget()
        assert [told.get(timeout=10).status for _ in range(2)] == [SERVING, SERVING]
        state.ready = False
        assert told.get(timeout=10).status == NOT_SERVING
        forget_too()
        looker.join(10)
        assert not looker.is_alive()
        assert told.empty()
    health.close()


def test_who_begins_to_watch_after_the_end_is_not_kept() -> None:
    server: Any = SimpleNamespace(ready=lambda: False)
    health = Health(server, ())
    health.close()
    told: list[Any] = []
    health.watch(
        health_pb2.HealthCheckRequest(), lambda response: told.append(response.status), lambda: told.append("end")
    )
    assert told == [NOT_SERVING, "end"]
