from __future__ import annotations

import hist
import pytest

from sonic.errors import WorkflowError
from sonic.framework import Analyzer, Filter, Producer
from sonic.framework.module import add, node_of


class Jets(Producer):
    consumes = ("Jet_pt", "Jet_pt", "x")
    optional = ("y",)
    produces = ("ht",)

    def produce(self, events):
        return {}


def test_a_module_is_called_like_its_class_unless_it_says_otherwise():
    class Renamed(Jets):
        name = "jets"

    class Parametrised(Jets):
        def __init__(self, name):
            self.name = name

    assert Jets().name == "Jets"
    assert Renamed().name == "jets"
    assert Parametrised("a").name == "a"
    assert Parametrised.name == "Parametrised"


def test_the_graph_sees_each_name_once():
    node = node_of(Jets(), is_filter=False)
    assert (node.name, node.consumes, node.optional, node.produces) == ("Jets", ("Jet_pt", "x"), ("y",), ("ht",))


@pytest.mark.parametrize("field", ["consumes", "optional", "produces"])
def test_one_name_in_place_of_a_tuple_is_noticed(field):
    module = Jets()
    for given in ("Jet_pt", None, 3):
        setattr(module, field, given)
        with pytest.raises(WorkflowError, match=f"module Jets: `{field}` must be a tuple of names, got {given!r}"):
            node_of(module, is_filter=False)


def test_what_is_no_module_is_noticed():
    with pytest.raises(WorkflowError, match="is not a module"):
        node_of(Jets, is_filter=False)
    module = Jets()
    module.name = ""
    with pytest.raises(WorkflowError, match="class Jets has no name"):
        node_of(module, is_filter=False)


def test_the_kinds_are_abstract():
    for kind in (Producer, Filter, Analyzer):
        with pytest.raises(TypeError, match="abstract"):
            kind()


def test_results_add_up_key_by_key():
    def histogram(value):
        return hist.Hist.new.Reg(2, 0, 2).Double().fill([value])

    first = {"n": 1, "h": histogram(0.5), "deep": {"a": 1.5}, "once": 7}
    total = add(first, {"n": 2, "h": histogram(1.5), "deep": {"a": 1, "b": 4}, "new": 5})
    assert total["h"].values().tolist() == [1, 1]
    del total["h"]
    assert total == {"n": 3, "deep": {"a": 2.5, "b": 4}, "once": 7, "new": 5}
    assert first["n"] == 1
    assert first["h"].values().tolist() == [1, 0]


def test_an_analyzer_summarises_nothing_unless_it_says_so():
    class Count(Analyzer):
        def analyze(self, events):
            return len(events)

    assert Count().summarize(3) == {}
