from __future__ import annotations

import pytest

from sonic.errors import ConfigError
from sonic.framework.policy import OnError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("stop", OnError(0, False)),
        ("skip", OnError(0, True)),
        ("retry:3", OnError(3, False)),
        ("retry:3,stop", OnError(3, False)),
        ("retry:3,skip", OnError(3, True)),
    ],
)
def test_policies(text, expected):
    assert OnError.parse(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ignore",
        "skip,stop",
        "skip,",
        "retry",
        "retry:",
        "retry:x",
        "retry:-1",
        "retry:2,",
        "retry:2,retry:3",
        "retry:" + "9" * 5000,
    ],
)
def test_texts_that_are_none(text):
    with pytest.raises(ConfigError, match=r"on error .*: expected stop, skip, retry:N or retry:N,skip"):
        OnError.parse(text)
