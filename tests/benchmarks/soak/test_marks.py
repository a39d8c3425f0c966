from __future__ import annotations

import json

from rich.console import Console

from benchmarks.soak.marks import Mark, Part
from benchmarks.soak.tally import Tally


def test_marks() -> None:
    assert Mark.at_most("a", 3, 3).reached
    assert not Mark.at_most("a", 3.1, 3).reached
    assert Mark.at_least("a", 0.9, 0.9).reached
    assert not Mark.at_least("a", 0.89, 0.9).reached
    assert not Mark.at_least("a", float("nan"), 0.9).reached
    assert Mark.none("a", 0).reached
    assert not Mark.none("a", 1).reached


def test_a_part_as_text_and_as_json() -> None:
    tally = Tally()
    tally.add("small", "gRPC", "right", duration_s=0.01)
    part = Part("mixed load", [Mark.none("lost", 0), Mark.none("wrong", 2)], ["why"], {"seconds": 3}, tally)
    assert not part.reached
    document = json.loads(json.dumps(part.to_document()))
    assert document["seconds"] == 3
    assert document["marks"][1] == {"name": "wrong", "measured": "2", "goal": "none", "reached": False}
    assert document["requests"][0]["outcomes"] == {"right": 1}
    console = Console(record=True, width=100)
    for piece in part.render():
        console.print(piece)
    text = console.export_text()
    for word in ("small", "1 right", "reached", "missed", "why"):
        assert word in text


def test_a_part_without_marks_that_are_missed() -> None:
    assert Part("overload", [Mark.none("lost", 0)]).reached
