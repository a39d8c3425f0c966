from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sonic.errors import Unavailable
from sonic.server.scheduling import budget
from sonic.server.scheduling.budget import Budget, array_bytes, default_queue_bytes


def inputs(size: int) -> dict[str, np.ndarray]:
    return {"x": np.zeros(size, np.uint8)}


def test_what_is_given_back_can_be_taken_again() -> None:
    made = Budget(100)
    first, second = made.take("m", inputs(60)), made.take("m", inputs(40))
    assert (first, second, made.held_bytes) == (60, 40, 100)
    with pytest.raises(Unavailable, match=r"^m: the requests that wait hold 100 of 100 bytes, 1 more are not taken$"):
        made.take("m", inputs(1))
    made.give(first)
    assert made.take("m", inputs(60)) == 60


def test_one_that_is_larger_than_all_may_go_alone() -> None:
    made = Budget(100)
    size = made.take("m", inputs(500))
    with pytest.raises(Unavailable):
        made.take("m", inputs(1))
    made.give(size)
    assert (size, made.held_bytes) == (500, 0)
    made.take("m", inputs(1))
    with pytest.raises(Unavailable):
        made.take("m", inputs(500))


def test_no_bound_counts_nothing() -> None:
    made = Budget()
    assert (made.take("m", inputs(10**6)), made.held_bytes) == (0, 0)


def test_texts_count_by_their_length() -> None:
    assert array_bytes(np.zeros((3, 2), np.float64)) == 48
    assert array_bytes(np.array([b"x" * 1000, b""], np.object_)) == 2 * 8 + 2 * 48 + 1000


@pytest.mark.parametrize(("there", "bound"), [(4000, 1000), (None, 0)])
def test_the_default_is_a_quarter_of_the_memory(there: int | None, bound: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "available_memory_bytes", lambda: there)
    assert default_queue_bytes() == bound


def test_a_server_refuses_what_would_hold_too_much(serve: Any, folder: Any, script: Any, until: Any) -> None:
    from sonic.protocol.messages import InferRequest

    folder.scripted("a")
    folder.scripted("b")
    server = serve(folder, max_queue_bytes=1000)

    def ask(model: str, rows: int) -> Any:
        return server.dataplane.infer(InferRequest(model, {"x": np.ones((rows, 2), np.float32)}), inline=False)

    script.hold()
    running = ask("a", 50)
    script.wait_started()
    waiting = ask("a", 50)
    refused = ask("a", 60)
    with pytest.raises(Unavailable, match="model 'a': the requests that wait hold 800 of 1000 bytes, 480 more are not"):
        refused.result(10)
    with pytest.raises(Unavailable, match="model 'b': the requests that wait hold 800 of 1000"):  # all models together
        ask("b", 60).result(10)
    script.release()
    assert (len(running.result(10).outputs["y"]), len(waiting.result(10).outputs["y"])) == (50, 50)
    assert server.dataplane.drain(10)
    assert server.repository._budget.held_bytes == 0
