from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from sonic.server.models.turns import Turns, kin

if TYPE_CHECKING:
    from collections.abc import Set

NAMES = st.sampled_from("abcdefgh")
PARTS = st.dictionaries(NAMES, st.frozensets(NAMES, max_size=3), max_size=6)


@given(known=PARTS, asked=PARTS)
def test_kin_hang_together_whichever_is_asked_for(known: dict[str, Set[str]], asked: dict[str, Set[str]]) -> None:
    def of(name: str) -> Set[str]:
        return kin(name, known.items(), lambda one: asked.get(one, frozenset()))

    for name in "abcdefgh":
        found = of(name)
        assert name in found
        assert all(known.get(one, frozenset()) | asked.get(one, frozenset()) <= found for one in found)
        assert all(parts.isdisjoint(found) for whole, parts in known.items() if whole not in found)
        assert of(next(iter(found - {name}), name)) <= found


def test_one_without_parts() -> None:
    assert kin("a", [("b", {"c"})]) == {"a"}
    assert kin("c", [("b", {"c", "d"})]) == {"b", "c", "d"}


def test_turns_of_others_are_not_waited_for() -> None:
    turns = Turns()
    with turns.take(lambda: {"a", "b"}) as held, turns.take(lambda: {"c"}):
        assert held == {"a", "b"}
        assert not turns.settle(0.0)
    assert turns.settle(0.0)


def test_who_waits_asks_again_what_to_take() -> None:
    turns, wanted, order = Turns(), [{"a"}], []
    asked, entered, gate = threading.Event(), threading.Event(), threading.Event()

    def first() -> None:
        with turns.take(lambda: {"a", "b"}):
            entered.set()
            gate.wait(10)
            order.append("first")
            wanted[0] = {"a", "c"}

    def names() -> Set[str]:
        asked.set()
        return wanted[0]

    def second() -> None:
        with turns.take(names) as held:
            order.append(f"second: {sorted(held)}")

    threads = [threading.Thread(target=first), threading.Thread(target=second)]
    threads[0].start()
    assert entered.wait(10)
    threads[1].start()
    assert asked.wait(10)
    gate.set()
    for thread in threads:
        thread.join(10)
    assert order == ["first", "second: ['a', 'c']"]


def test_one_at_a_time_of_those_that_overlap() -> None:
    turns, inside, most = Turns(), set[str](), []

    def change(names: Set[str]) -> None:
        for _ in range(200):
            with turns.take(lambda: names):
                most.append(names & inside)
                inside.update(names)
                inside.difference_update(names)

    threads = [threading.Thread(target=change, args=(set(names),)) for names in ("ab", "bc", "ca", "d")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(most) == 800
    assert not any(most)


def test_a_turn_ends_with_an_exception() -> None:
    turns = Turns()
    try:
        with turns.take(lambda: {"a"}):
            raise ValueError
    except ValueError:
        pass
    assert turns.settle(0.0)
