from __future__ import annotations

from sonic.server.tritonserver.known import FLAGS, INERT, NAMES, REFUSED, REPEATABLE, usage


def test_every_flag_has_one_fate() -> None:
    fates = [*FLAGS, *INERT, *REFUSED]
    assert len(fates) == len(set(fates))
    assert set(fates) <= NAMES
    assert FLAGS.keys() >= REPEATABLE


def test_usage_names_what_is_read_and_what_is_refused() -> None:
    for name in (*FLAGS, *REFUSED):
        assert f"--{name}" in usage()
