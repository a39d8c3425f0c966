from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from sonic.errors import ConfigError, WorkflowError
from sonic.framework import Analyzer, Filter, Offload, OffloadFilter, Producer, Workflow
from sonic.framework.drawing import Edge, draw, plan


class Jets(Producer):
    consumes = ("Jet_pt", "Jet_eta")
    produces = ("Jet_good",)

    def produce(self, events): ...


class Tagger(Offload):
    model = "particlenet <2>"
    consumes = ("Jet_pt", "Jet_good")
    produces = ("Jet_b",)

    def acquire(self, events): ...
    def produce(self, events, outputs): ...


class Rare(OffloadFilter):
    model, version = "trigger", "3"
    consumes = ("Jet_b",)

    def acquire(self, events): ...
    def select(self, events, outputs): ...


class Two(Filter):
    consumes = ("Jet_good",)

    def select(self, events): ...


class Count(Analyzer):
    optional = ("run",)

    def analyze(self, events): ...


FLOW = Workflow('the "main" job & more', (Jets(), Tagger(), Rare(), Two(), Count()))


def test_what_goes_where():
    boxes, edges = plan(FLOW)
    assert [(box.title, box.column) for box in boxes] == [
        ("input", 0),
        ("Jets", 1),
        ("Tagger", 2),
        ("Rare", 3),
        ("Two", 4),
        ("Count", 5),
    ]
    assert edges == [
        Edge(-1, 0, ("Jet_pt", "Jet_eta")),
        Edge(-1, 1, ("Jet_pt",)),
        Edge(0, 1, ("Jet_good",)),
        Edge(1, 2, ("Jet_b",)),
        Edge(0, 3, ("Jet_good",)),
        Edge(2, 3, ()),
        Edge(-1, 4, ("run",)),
        Edge(3, 4, ()),
    ]


def test_as_text():
    text = draw(FLOW, ".txt")
    assert text.splitlines()[0] == 'the "main" job & more'
    assert "  Tagger: offload model particlenet <2>\n    <- input: Jet_pt\n    <- Jets: Jet_good\n" in text
    assert "  Rare: offload filter, model trigger version 3\n" in text
    assert "    <- Rare: events that pass\n" in text


def test_as_svg():
    root = ET.fromstring(draw(FLOW, ".svg"))
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    for expected in ("input", "Jets", "Tagger", "model particlenet <2>", "Two", "reads run", 'the "main" job & more'):
        assert expected in texts
    assert len(list(root.iter("{http://www.w3.org/2000/svg}polygon"))) == 2  # filters
    width, height = float(root.get("width")), float(root.get("height"))
    boxes = list(root.iter("{http://www.w3.org/2000/svg}rect"))
    assert all(float(box.get("x", 0)) + float(box.get("width")) <= width for box in boxes)
    assert all(float(box.get("y", 0)) >= 0 and float(box.get("height")) <= height for box in boxes)


def test_as_dot():
    text = draw(FLOW, ".dot")
    assert text.startswith('digraph "the \\"main\\" job & more" {')
    assert 'n2 [label="Tagger\\nmodel particlenet <2>", peripheries=2];' in text
    assert 'n1 -> n2 [label="Jet_good"];' in text
    assert 'n3 -> n4 [label="", style=dashed];' in text


def test_nothing_to_draw():
    for ending in (".svg", ".dot", ".txt"):
        assert "input" in draw(Workflow("empty", ()), ending) or ending == ".txt"


def test_what_cannot_be_drawn():
    with pytest.raises(ConfigError, match=r"drawn as .svg, .dot, .txt, not as .png"):
        draw(FLOW, ".png")
    with pytest.raises(WorkflowError, match="two modules are called 'Jets'"):
        draw(Workflow("twice", (Jets(), Jets())), ".svg")
