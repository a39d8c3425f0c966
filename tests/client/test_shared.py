from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TYPE_CHECKING

import pytest

from sonic.client.shared import disconnect, once

if TYPE_CHECKING:
    from collections.abc import Iterator


class Thing:
    def __init__(self) -> None:
        self.closed = False

    def close(self) -> None:
        self.closed = True


@pytest.fixture(autouse=True)
def _disconnected() -> Iterator[None]:
    yield
    disconnect()


def test_one_for_each_key() -> None:
    first = once("a", Thing)
    assert once("a", Thing) is first
    assert once("b", Thing) is not first


def test_what_is_closed_is_made_again() -> None:
    first = once("a", Thing)
    first.close()
    second = once("a", Thing)
    assert second is not first
    assert once("a", Thing) is second
    disconnect()
    assert second.closed
    assert once("a", Thing) is not second


def test_of_two_that_are_made_at_once_one_stays_and_the_other_is_closed() -> None:
    together, made = Barrier(2), []

    def make() -> Thing:
        together.wait(30)
        made.append(Thing())
        return made[-1]

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: once("a", make), range(2))
    assert first is second
    assert not first.closed
    assert [thing.closed for thing in made if thing is not first] == [True]
