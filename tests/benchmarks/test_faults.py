from __future__ import annotations

import json
from itertools import count
from typing import TYPE_CHECKING

from benchmarks.faults import EVENTS_A_CHUNK, Hazard, Served, faults

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pytest

CHUNKS, KILLS = 300, 3


def test_a_job_whose_servers_are_killed() -> None:
    def hazard(servers: Sequence[Served], events: int) -> tuple[Hazard, object]:
        made = Hazard(servers)

        def told(done: int, total: int) -> None:
            step = events // (KILLS + 1) // EVENTS_A_CHUNK * EVENTS_A_CHUNK
            if done % step == 0 and done < total:
                made.strike()

        return made, told

    part = faults(CHUNKS, hazard)
    assert part.reached, list(map(str, part.render()))
    document = json.loads(json.dumps(part.to_document()))
    assert document["requests"] == CHUNKS
    assert document["kills"] == KILLS
    assert document["answered_by_servers"] + document["answered_by_the_fallback"] == CHUNKS


def test_a_fallback_that_answers_everything_does_not_pass_for_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    ports, url = count(1), Served.url
    monkeypatch.setattr(Served, "url", lambda self: (url(self), f"grpc://127.0.0.1:{next(ports)}")[1])
    part = faults(50, lambda servers, _: (Hazard(servers), lambda *_: None))
    assert {mark.name: mark.measured for mark in part.marks if not mark.reached} == {
        "requests of the undisturbed run that no server answered": "50",
        "requests that a server answered": "0",
        "servers killed": "0",
    }
