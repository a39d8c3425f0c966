from __future__ import annotations

import pytest

from sonic.server.backends.python.responses import (
    TRITONSERVER_RESPONSE_COMPLETE_FINAL,
    InferenceResponse,
    ResponseSender,
    TritonModelException,
)

FINAL = TRITONSERVER_RESPONSE_COMPLETE_FINAL


def test_one_response_is_sent() -> None:
    sender = ResponseSender()
    response = InferenceResponse([])
    for wrong, complaint in (
        ((None, FINAL), "cannot send complete final before sending a response"),
        ((response, 7), "Unsupported flag provided"),
    ):
        with pytest.raises(TritonModelException, match=complaint):
            sender.send(*wrong)
    with pytest.raises(TypeError, match="expected an InferenceResponse to send, given list"):
        sender.send([])  # type: ignore[arg-type]
    assert not sender.sent
    sender.send(response)
    assert sender.sent
    assert sender.wait() is response
    with pytest.raises(TritonModelException, match="Non-decoupled model cannot send more than one response"):
        sender.send(response)
    sender.send(flags=FINAL)
    with pytest.raises(TritonModelException, match="Response sender has been closed"):
        sender.send(flags=FINAL)
