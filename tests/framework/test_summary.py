from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from sonic.framework.report import ServerUse
from sonic.framework.summary import fallback_models, servers_used


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


def test_what_the_fallback_answered_for_several_processes() -> None:
    shares: Any = [SimpleNamespace(by_fallback=each) for each in ({"m": 2}, {}, {"m": 1, "n": 3})]
    assert fallback_models(shares) == {"m": 3, "n": 3}
