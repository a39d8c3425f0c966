from __future__ import annotations

import pytest

from sonic.errors import DataError, ModuleError, one_line


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (DataError("no such file"), "no such file"),
        (ValueError("first\nsecond"), "ValueError: first"),
        (ValueError("\n\n  first\nsecond"), "ValueError: first"),
        (RuntimeError(), "RuntimeError"),
        (SystemExit(0), "SystemExit: 0"),
    ],
)
def test_one_line_says_what_happened(error: BaseException, text: str) -> None:
    assert one_line(error) == text
    assert str(ModuleError("m", "chunk 0", error)) == f"module m failed on chunk 0: {text}"
