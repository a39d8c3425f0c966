from __future__ import annotations

import pickle

import pytest

from sonic.errors import DataError, ModelFailed, ModuleError, RateLimited, one_line, shown


class Speechless(Exception):  # noqa: N818
    def __str__(self) -> str:
        raise AttributeError("what went wrong")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (DataError("no such file"), "no such file"),
        (ValueError("first\nsecond"), "ValueError: first"),
        (ValueError("\n\n  first\nsecond"), "ValueError: first"),
        (RuntimeError(), "RuntimeError"),
        (SystemExit(0), "SystemExit: 0"),
        (Speechless(), "Speechless"),
    ],
)
def test_one_line_says_what_happened(error: BaseException, text: str) -> None:
    assert one_line(error) == text
    assert str(ModuleError("m", "chunk 0", error)) == f"module m failed on chunk 0: {text}"


def test_what_an_error_says_can_be_sent() -> None:
    halves = "é of jets-\udcff.root"  # as Python has a file's name that is no UTF-8
    for text in (
        str(DataError(halves)),
        str(ModuleError("m", halves, ValueError(halves))),
        one_line(ValueError(halves)),
    ):
        assert "é of jets-\\udcff.root" in text
        assert text.encode().decode() == text


@pytest.mark.parametrize(
    "error",
    [
        DataError("no such file"),
        ModuleError("tagger", "chunk 3", ValueError("no jets")),
        ModelFailed("no such thing", "not found"),
        RateLimited("enough", 2.5),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_is_the_same_in_another_process(error: Exception) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))


def test_a_value_is_shown_in_short() -> None:
    assert [shown(value) for value in ("a", 3, 1.5, [1, "b"], None)] == ["'a'", "3", "1.5", "[1, 'b']", "None"]
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    for value in (deep, "x" * 10**6, b"x" * 10**6, 10**10**5, list(range(10**5)), {str(n): n for n in range(10**4)}):
        assert len(shown(value)) < 300
    assert shown(2**64) == "a number of 65 bits"
