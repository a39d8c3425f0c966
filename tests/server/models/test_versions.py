from __future__ import annotations

from typing import Any, cast

import pytest

from sonic.errors import ModelNotFound, Unavailable
from sonic.server.models.versions import Version, Versions

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
        ("z", "", ModelNotFound, "^Request for unknown model: 'z' is not found: there is a, b$"),
        ("a", "3", ModelNotFound, "^Request for unknown model: 'a' version 3 is not found: there is 2, 10, 11$"),
        ("b", "x\n", ModelNotFound, r"unknown model: 'b' version 'x\\n' is not found: there is 1$"),
        ("b", "9" * 5000, ModelNotFound, r"'b' version '9+\.\.\.9+' is not found"),
        ("a", "11", Unavailable, "unknown model: 'a' version 11 is not at ready state: unavailable: it is broken"),
        ("b", "", Unavailable, "unknown model: 'b' has no available versions: unavailable: it is broken"),
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
    with pytest.raises(Unavailable, match=r"'a' version 12 is not at ready state: loading$"):
        table.get("a", "12")
    table.announce("new", ["1"])
    assert [(row.version, row.state) for row in table.index() if row.name == "new"] == [("1", "LOADING")]


def test_the_index_is_sorted_by_number(table: Versions) -> None:
    listed = table.index({"c": "not loaded", "a": "not loaded"})
    rows = [(row.name, row.version, row.state, row.reason) for row in listed]
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
    with pytest.raises(Unavailable, match="'a' version 2 is not at ready state: unavailable: the end"):
        table.get("a", "2")
