from __future__ import annotations

from typing import Any, cast

import pytest

from sonic.errors import ModelNotFound, Unavailable
from sonic.server.versions import Version, Versions

BROKEN = Version("UNAVAILABLE", "it is broken", failed=True)


def ready(model: Any) -> Version:
    return Version("READY", model=cast("Any", model))


@pytest.fixture
def table() -> Versions:
    made = Versions()
    made.put("a", {"2": ready("a2"), "10": ready("a10"), "11": BROKEN})
    made.put("b", {"1": BROKEN})
    return made


def test_the_highest_that_is_loaded_unless_one_is_named(table: Versions) -> None:
    assert (table.get("a"), table.get("a", "2")) == ("a10", "a2")
    assert table.models() == ("a2", "a10")
    table.put("c", {"7": ready("c7")})
    assert (table.get("c"), table.get("c", "7")) == ("c7", "c7")


@pytest.mark.parametrize(
    ("name", "version", "kind", "text"),
    [
        ("z", "", ModelNotFound, "unknown model 'z': there is a, b$"),
        ("a", "3", ModelNotFound, "model 'a' has no version '3': there is 2, 10, 11$"),
        ("b", "2", ModelNotFound, "model 'b' has no version '2': there is 1$"),
        ("a", "11", Unavailable, "model 'a' is unavailable: it is broken"),
        ("b", "", Unavailable, "model 'b' is unavailable: it is broken"),
    ],
)
def test_what_is_not_there(name: str, version: str, kind: type[Exception], text: str, table: Versions) -> None:
    with pytest.raises(kind, match=text):
        table.get(name, version)


def test_nothing_at_all() -> None:
    with pytest.raises(ModelNotFound, match="none is loaded"):
        Versions().get("a")
    empty = Versions()
    empty.put("a", {})
    with pytest.raises(Unavailable, match="it has no version"):
        empty.get("a")


def test_what_is_being_loaded_hides_nothing(table: Versions) -> None:
    table.announce("a", ["2", "12"])
    assert table.get("a", "2") == "a2"
    with pytest.raises(Unavailable, match="model 'a' is loading"):
        table.get("a", "12")
    table.announce("new", ["1"])
    assert [(row.version, row.state) for row in table.index() if row.name == "new"] == [("1", "LOADING")]


def test_the_index_is_sorted_by_number(table: Versions) -> None:
    rows = [(row.name, row.version, row.state, row.reason) for row in table.index(["c", "a"])]
    assert rows == [
        ("a", "2", "READY", ""),
        ("a", "10", "READY", ""),
        ("a", "11", "UNAVAILABLE", "it is broken"),
        ("b", "1", "UNAVAILABLE", "it is broken"),
        ("c", "", "UNAVAILABLE", "not loaded"),
    ]
    assert table.failed()


def test_clearing_gives_back_what_was_loaded(table: Versions) -> None:
    assert table.clear("the end") == ["a2", "a10"]
    assert table.models() == ()
    assert not table.failed()
    with pytest.raises(Unavailable, match="model 'a' is unavailable: the end"):
        table.get("a", "2")
