from __future__ import annotations

import pytest

from sonic.errors import RateLimited
from sonic.server.access.guard import Guard
from sonic.server.access.ratelimit import RateLimit


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("fe80::1%lo", "fe80::2%lo", True),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("192.0.2.1", "192.0.2.2", False),
        ("::1", "::1", True),
        ("", "unknown", False),
    ],
)
def test_whose_share_it_is_without_tokens(one: str, other: str, same: bool) -> None:
    guard = Guard(limit=RateLimit(1.0, 1.0), clock=lambda: 0.0)
    guard.admit(one, None)
    if same:
        with pytest.raises(RateLimited):
            guard.admit(other, None)
    else:
        guard.admit(other, None)
