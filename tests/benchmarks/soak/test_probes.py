from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from msgspec.structs import replace

from benchmarks.soak.probes import RIGHT, WRONG, Asker
from sonic.protocol.messages import InferResponse

if TYPE_CHECKING:
    from benchmarks.soak.probes import Probe


@pytest.fixture
def asker() -> Asker:
    jets = {"points": np.arange(12, dtype=np.float32).reshape(3, 4)}
    scores = np.arange(6, dtype=np.float32).reshape(3, 2)
    return Asker("a", np.random.default_rng(1), jets, scores, largest_bytes=1 << 17)


def answered(probe: Probe) -> InferResponse:
    assert probe.answer is not None
    return InferResponse(probe.request.model, "1", probe.answer, id=probe.request.id)


def test_each_has_an_id_and_values_of_its_own(asker: Asker) -> None:
    probes = [asker.draw() for _ in range(300)]
    assert len({probe.request.id for probe in probes}) == 300
    assert {probe.kind for probe in probes} >= {"small", "large", "ensemble", "model raises", "hangs", "bad"}
    for probe in probes:
        assert probe.answer is not None or probe.errors, "it could end in nothing"


def test_left_out(asker: Asker) -> None:
    assert all(asker.draw("small", "bad").kind not in ("small", "bad") for _ in range(200))


def test_its_own_answer_is_right(asker: Asker) -> None:
    for make in (asker.small, asker.visiting, asker.tagger, asker.text, asker.large, asker.slow):
        probe = make()
        assert probe.judge(answered(probe)) == (RIGHT, "")


def test_the_answer_to_another_is_seen(asker: Asker) -> None:
    for make in (asker.visiting, asker.text, asker.large, asker.slow):
        probe, other = make(), make()
        outcome, text = probe.judge(answered(other))
        assert outcome == WRONG
        assert f"got the answer to '{other.request.id}'" in text
        outcome, text = probe.judge(replace(answered(other), id=probe.request.id))
        assert outcome == WRONG
        assert "expected" in text


def test_one_number_that_is_off_is_seen(asker: Asker) -> None:
    probe = asker.large()
    assert probe.answer is not None
    wrong = {name: array.copy() for name, array in probe.answer.items()}
    wrong["y"][-1] += 1
    assert probe.judge(replace(answered(probe), outputs=wrong))[0] == WRONG
    assert probe.judge(replace(answered(probe), outputs={}))[0] == WRONG


def test_an_answer_where_there_should_be_none(asker: Asker) -> None:
    probe = asker.bad()
    assert probe.judge(InferResponse(probe.request.model, "1", {}, id=probe.request.id))[0] == WRONG


def test_errors(asker: Asker) -> None:
    raises = asker.faulty(1)
    assert raises.judge_error("ModelFailed", f"it failed: {raises.says}") == ("ModelFailed", "")
    assert raises.judge_error("ModelFailed", "it failed: told to raise at 1")[0] == WRONG  # another's error
    assert raises.judge_error("Unavailable", raises.says)[0] == WRONG
    assert asker.small().judge_error("Unavailable", "it is being unloaded")[0] == WRONG
    assert asker.visiting().judge_error("Unavailable", "it is being unloaded")[0] == "Unavailable"
