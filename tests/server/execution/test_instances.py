from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from sonic.errors import Unsupported
from sonic.server.execution.instances import CallInstance, Reply

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sonic.errors import InferenceError
    from sonic.server.execution.instances import Call

X = np.ones((1, 2), np.float32)


class Listed(CallInstance):
    def __init__(self, outcome: Reply | InferenceError) -> None:
        self.outcome = outcome
        self.calls: Sequence[Call] = ()

    def run_calls(self, calls: Sequence[Call]) -> Sequence[Reply | InferenceError]:
        self.calls = calls
        return [self.outcome]


def test_a_list_of_one_is_a_run() -> None:
    instance = Listed(Reply({"y": X}))
    assert instance.run({"x": X}, ["y"])["y"] is X
    ((call),) = instance.calls
    assert (call.inputs["x"] is X, list(call.wanted), call.timeout_s, dict(call.parameters)) == (True, ["y"], None, {})


def test_its_error_is_raised() -> None:
    with pytest.raises(Unsupported, match="no"):
        Listed(Unsupported("no")).run({"x": X}, ["y"])


def test_a_reply_has_no_parameters_of_another() -> None:
    assert dict(Reply({}).parameters) == {}
    with pytest.raises(TypeError):
        Reply({}).parameters["a"] = 1  # type: ignore[index]
