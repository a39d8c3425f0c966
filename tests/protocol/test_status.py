from __future__ import annotations

import grpc
import pytest

from sonic import errors
from sonic.protocol import status

TREE = [
    errors.InvalidRequest,
    errors.ModelNotFound,
    errors.Unauthenticated,
    errors.Unsupported,
    errors.ModelFailed,
    errors.Cancelled,
    errors.DeadlineExceeded,
    errors.Unavailable,
]


@pytest.mark.parametrize("kind", TREE)
def test_every_error_comes_back_over_both(kind: type[errors.InferenceError]) -> None:
    error = kind("what happened")
    for back in (
        status.from_grpc(status.grpc_code(error), "what happened"),
        status.from_http(status.http_status(error), "what happened"),
    ):
        assert type(back) is kind
        assert str(back) == "what happened"


def test_every_leaf_of_the_tree_is_in_the_table() -> None:
    assert set(TREE) == set(errors.InferenceError.__subclasses__())


def test_every_code_of_grpc_means_an_error() -> None:
    for code in grpc.StatusCode:
        number = code.value[0]
        if number:
            assert isinstance(status.from_grpc(number, "text"), errors.InferenceError)


@pytest.mark.parametrize(
    ("kind", "code", "http"),
    [
        (errors.InvalidRequest, grpc.StatusCode.INVALID_ARGUMENT, 400),
        (errors.ModelNotFound, grpc.StatusCode.NOT_FOUND, 404),
        (errors.Unauthenticated, grpc.StatusCode.UNAUTHENTICATED, 401),
        (errors.RegionNotFound, grpc.StatusCode.NOT_FOUND, 404),
        (errors.RegionTaken, grpc.StatusCode.ALREADY_EXISTS, 400),
        (errors.RateLimited, grpc.StatusCode.RESOURCE_EXHAUSTED, 429),
        (errors.Unsupported, grpc.StatusCode.UNIMPLEMENTED, 501),
        (errors.ModelFailed, grpc.StatusCode.INTERNAL, 500),
        (errors.Unavailable, grpc.StatusCode.UNAVAILABLE, 503),
        (errors.DeadlineExceeded, grpc.StatusCode.DEADLINE_EXCEEDED, 504),
        (errors.Cancelled, grpc.StatusCode.CANCELLED, 499),
        (RuntimeError, grpc.StatusCode.INTERNAL, 500),
        (errors.ConfigError, grpc.StatusCode.INTERNAL, 500),
    ],
)
def test_codes(kind: type[Exception], code: grpc.StatusCode, http: int) -> None:
    assert status.grpc_code(kind("")) == code.value[0]
    assert status.http_status(kind("")) == http


def test_subclasses_take_the_row_of_their_base() -> None:
    class QueueFull(errors.Unavailable):
        pass

    assert status.http_status(QueueFull("")) == 503


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (status.from_grpc(8, "Received message larger than max (5 vs. 4)"), errors.InvalidRequest),
        (status.from_grpc(8, "quota"), errors.Unavailable),
        (status.from_grpc(13, "Received RST_STREAM with error code 2"), errors.Unavailable),
        (status.from_grpc(99, ""), errors.ModelFailed),
        (status.from_http(429, "slow down"), errors.RateLimited),
        (status.from_http(502, "Bad Gateway"), errors.Unavailable),
        (status.from_http(413, "too large"), errors.InvalidRequest),
        (status.from_http(599, ""), errors.ModelFailed),
    ],
)
def test_what_others_say(error: errors.InferenceError, kind: type[errors.InferenceError]) -> None:
    assert type(error) is kind
    assert str(error)
