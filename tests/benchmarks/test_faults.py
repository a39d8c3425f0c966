from __future__ import annotations

import json
from typing import TYPE_CHECKING

from benchmarks.faults import EVENTS_A_CHUNK, Hazard, faults

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.faults import Served

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
