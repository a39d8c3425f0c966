"""Errors as gRPC codes and HTTP status, and back: the only such table.

Codes of gRPC are the integers of its specification (``grpc.StatusCode.X.value[0]``); this file needs no grpc.
"""

from __future__ import annotations

from sonic.errors import (
    Cancelled,
    DeadlineExceeded,
    InferenceError,
    InvalidRequest,
    ModelFailed,
    ModelNotFound,
    RateLimited,
    RegionNotFound,
    RegionTaken,
    Unauthenticated,
    Unavailable,
    Unsupported,
)

# error: (gRPC code, HTTP status). A subclass takes the row of its nearest base.
_TABLE: dict[type[BaseException], tuple[int, int]] = {
    RegionTaken: (6, 400),  # ALREADY_EXISTS
    InvalidRequest: (3, 400),  # INVALID_ARGUMENT
    RegionNotFound: (5, 404),  # NOT_FOUND
    ModelNotFound: (5, 404),  # NOT_FOUND; what a client takes either for
    Unauthenticated: (16, 401),  # UNAUTHENTICATED
    Unsupported: (12, 501),  # UNIMPLEMENTED
    ModelFailed: (13, 500),  # INTERNAL
    Cancelled: (1, 499),  # CANCELLED; 499 as nginx has it
    DeadlineExceeded: (4, 504),  # DEADLINE_EXCEEDED
    RateLimited: (8, 429),  # RESOURCE_EXHAUSTED
    Unavailable: (14, 503),  # UNAVAILABLE
    BaseException: (13, 500),
}

# ModelFailed, where the model said more: the same.
_KINDS: dict[str, tuple[int, int]] = {
    "unknown": (2, 400),  # UNKNOWN
    "not found": (5, 404),  # NOT_FOUND
    "already exists": (6, 400),  # ALREADY_EXISTS
}

# What other servers and the proxies between may answer beside the codes above.
_FROM_GRPC: dict[int, type[InferenceError]] = {
    **{code: error for error, (code, _) in _TABLE.items() if issubclass(error, InferenceError)},
    2: ModelFailed,  # UNKNOWN
    6: InvalidRequest,  # ALREADY_EXISTS
    7: InvalidRequest,  # PERMISSION_DENIED
    8: Unavailable,  # RESOURCE_EXHAUSTED
    9: InvalidRequest,  # FAILED_PRECONDITION
    10: Unavailable,  # ABORTED
    11: InvalidRequest,  # OUT_OF_RANGE
    15: ModelFailed,  # DATA_LOSS
}
_FROM_HTTP: dict[int, type[InferenceError]] = {
    **{status: error for error, (_, status) in _TABLE.items() if issubclass(error, InferenceError)},
    408: DeadlineExceeded,
    425: Unavailable,
    502: Unavailable,
}


def grpc_code(error: BaseException) -> int:
    """Code that says this error over gRPC; 13 (INTERNAL) for one that is not of the tree."""
    return _row(error)[0]


def http_status(error: BaseException) -> int:
    """Status that says this error over HTTP; 500 for one that is not of the tree."""
    return _row(error)[1]


def from_grpc(code: int, details: str) -> InferenceError:
    """Error that a gRPC call ended in.

    Parameters
    ----------
    code : int
        Other than 0 (OK).
    details : str
        The message that came with it.
    """
    kind = _FROM_GRPC.get(code, ModelFailed)
    if "message larger than max" in details:  # RESOURCE_EXHAUSTED, but no later try makes it smaller
        kind = InvalidRequest
    elif code == 13 and "RST_STREAM" in details:  # the connection broke, not the model
        kind = Unavailable
    return kind(details or f"gRPC status {code} without a message")


def from_http(status: int, text: str, wait_s: float = 0.0) -> InferenceError:
    """Error that an HTTP call ended in.

    Parameters
    ----------
    status : int
        400 or above.
    text : str
        The server's message.
    wait_s : float
        Of a sender that has had its share: seconds until the next one is taken; 0 if that is not known.
    """
    kind = _FROM_HTTP.get(status) or (InvalidRequest if status < 500 else ModelFailed)
    error = kind(text or f"HTTP status {status} without a message")
    if isinstance(error, RateLimited):
        error.wait_s = wait_s
    return error


def _row(error: BaseException) -> tuple[int, int]:
    if isinstance(error, ModelFailed) and error.kind in _KINDS:
        return _KINDS[error.kind]
    return next(_TABLE[kind] for kind in type(error).__mro__ if kind in _TABLE)
