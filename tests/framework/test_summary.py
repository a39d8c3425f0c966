from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from sonic.framework import Mode, Offload, Workflow
from sonic.framework.ledger import Account
from sonic.framework.report import ServerUse
from sonic.framework.steps import steps
from sonic.framework.summary import fallback_models, module_reports, servers_used
from sonic.protocol.messages import ModelStatistics


def share(*used: ServerUse) -> Any:
    return SimpleNamespace(used=used)


def test_what_the_servers_did_for_several_processes() -> None:
    shares = (
        share(ServerUse("a", 3, 1, 2, 1, "out of shared memory", {"m": 2, "n": 1}), ServerUse("b", 1, 0)),
        share(ServerUse("a", 2, 0, 2, models={"m": 2}), ServerUse("b", 4, 0, wire_reason="refused")),
    )
    assert servers_used(shares) == (
        ServerUse("a", 5, 1, 4, 1, "out of shared memory", {"m": 4, "n": 1}),
        ServerUse("b", 5, 0, wire_reason="refused"),
    )


class Ask(Offload):
    model = "m"

    def acquire(self, events: Any) -> Any:
        return {}

    def produce(self, events: Any, outputs: Any) -> Any:
        return {}


def counted(before: tuple[int, int], after: tuple[int, int]) -> Any:
    """A process that saw these rows and executions of the model when it began, and when it ended."""
    then, now = ({"Ask": ModelStatistics("m", "1", *counters)} for counters in (before, after))
    return SimpleNamespace(accounts=[Account()] * 3, before=then, after=now)


@pytest.mark.parametrize(("direct", "rows", "executions"), [(False, 70, 7), (True, 100, 10)])
def test_servers_are_shared_by_processes_and_their_own_models_are_not(direct: bool, rows: int, executions: int) -> None:
    shares = [counted((100, 10), (140, 15)), counted((110, 12), (170, 17))]
    flow = Workflow("test", (Ask(),))
    plan = steps(flow.graph(), flow.modules)
    _, module, _ = module_reports(shares, plan, {"Ask": Mode.ASYNC}, direct=direct)
    assert module.offload is not None
    assert module.offload.server is not None
    assert (module.offload.server.rows, module.offload.server.executions) == (rows, executions)
    assert module.offload.server.mean_batch == rows / executions


def test_what_the_fallback_answered_for_several_processes() -> None:
    shares: Any = [SimpleNamespace(by_fallback=each) for each in ({"m": 2}, {}, {"m": 1, "n": 3})]
    assert fallback_models(shares) == {"m": 3, "n": 3}
