from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from sonic.errors import InvalidRequest
from sonic.server.failures import failed, is_interrupt, without_frames


def raised() -> InvalidRequest:
    try:
        try:
            raise KeyError("a")
        except KeyError as error:
            raise InvalidRequest("b") from error
    except InvalidRequest as error:
        return error


def test_what_interrupts_comes_to_the_main_thread() -> None:
    assert is_interrupt(KeyboardInterrupt())
    assert not is_interrupt(SystemExit())
    with ThreadPoolExecutor() as pool:
        assert not pool.submit(is_interrupt, KeyboardInterrupt()).result()


def test_the_frames_are_gone_and_the_reasons_stay() -> None:
    error = raised()
    assert error.__traceback__ is not None
    assert without_frames(error) is error
    assert isinstance(error.__cause__, KeyError)
    assert (error.__traceback__, error.__cause__.__traceback__) == (None, None)


def test_errors_in_a_circle() -> None:
    error = raised()
    assert error.__cause__ is not None
    error.__cause__.__context__ = error
    assert without_frames(error).__traceback__ is None


def test_a_future_that_has_failed() -> None:
    future = failed(raised())
    assert future.done()
    with pytest.raises(InvalidRequest, match="b"):
        future.result()
