from __future__ import annotations

from typing import Any

import pytest

from sonic.errors import InvalidRequest
from sonic.protocol.parameters import check_parameters, pop_timeout_s, priority_of, put_timeout_s


def test_seconds_are_microseconds_on_the_wire() -> None:
    wire = put_timeout_s({"priority": 1}, 0.25)
    assert wire == {"priority": 1, "timeout": 250_000}
    assert pop_timeout_s(wire) == 0.25
    assert wire == {"priority": 1}


def test_no_timeout() -> None:
    assert put_timeout_s({}, None) == {}
    assert pop_timeout_s({}) is None
    assert pop_timeout_s({"timeout": 0}) is None


def test_a_timeout_never_becomes_none_by_rounding() -> None:
    assert put_timeout_s({}, 1e-9) == {"timeout": 1}
    assert put_timeout_s({}, 0.0) == {"timeout": 1}


def test_text_is_taken_as_some_clients_send_it() -> None:
    assert pop_timeout_s({"timeout": "1000"}) == 0.001


@pytest.mark.parametrize("value", [-1, 1.5, True, "soon", "\u00b2", "9" * 5000, 10**400, 2**64])
def test_other_values_are_refused(value: object) -> None:
    with pytest.raises(InvalidRequest, match="microseconds"):
        pop_timeout_s({"timeout": value})  # type: ignore[dict-item]


def test_reserved_names() -> None:
    parameters = {"triton_enable_empty_final_response": True, "mine": 1}
    check_parameters(parameters)
    assert parameters == {"mine": 1}
    with pytest.raises(InvalidRequest, match="parameter 'triton_x': keys starting with 'triton_' are reserved"):
        check_parameters({"mine": 1, "triton_x": 2})


@pytest.mark.parametrize("value", [0, 5, 2**64 - 1, "", "five"])
def test_sequences(value: int | str) -> None:
    parameters = {"sequence_id": value, "sequence_start": True, "sequence_end": False, "mine": -1}
    for signed in (False, True):
        given = dict(parameters)
        check_parameters(given, signed=signed)
        assert given == parameters


def test_the_sign_that_the_wire_gave_a_sequence() -> None:
    parameters: dict[str, Any] = {"sequence_id": -1}
    check_parameters(parameters, signed=True)
    assert parameters == {"sequence_id": 2**64 - 1}


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        *(("sequence_id", value, "a whole number of 64 bits or a text") for value in (-1, 1.5, True)),
        *((f"sequence_{end}", value, "true or false") for end in ("start", "end") for value in ("x", 1, 0.0)),
        ("triton_enable_empty_final_response", 1, "true or false"),
    ],
)
def test_parameters_of_another_type(name: str, value: Any, expected: str) -> None:
    with pytest.raises(InvalidRequest, match=f"parameter {name} is {expected}, given {value!r}"):
        check_parameters({name: value})


def test_a_sequence_of_more_bits() -> None:
    for value in (2**64, -(2**64) - 1):
        with pytest.raises(InvalidRequest, match="given a number of 65 bits"):
            check_parameters({"sequence_id": value}, signed=True)


def test_priorities() -> None:
    assert [priority_of(given) for given in ({}, {"priority": 3}, {"priority": "2"})] == [0, 3, 2]


@pytest.mark.parametrize("value", [-1, 1.5, True, "high", "9" * 5000, 10**4000])
def test_other_priorities_are_refused(value: object) -> None:
    with pytest.raises(InvalidRequest, match="priority is a whole number"):
        priority_of({"priority": value})  # type: ignore[dict-item]
