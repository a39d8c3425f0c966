from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic.errors import DataError, WorkflowError
from sonic.framework.graph import Graph, Node, similar


def ordered(graph: Graph, choose=min) -> list[int]:
    """Run a graph one module at a time, the choice among those ready being `choose`'s."""
    ready_set = graph.start()
    ready, done = set(ready_set.roots()), []
    while ready:
        i = choose(ready)
        ready.remove(i)
        done.append(i)
        ready |= set(ready_set.done(i))
    assert ready_set.remaining == len(graph.nodes) - len(done)
    return done


def test_a_module_waits_for_what_it_consumes():
    graph = Graph(
        [
            Node("last", ("b",)),
            Node("middle", ("a", "x"), produces=("b",)),
            Node("first", ("x",), optional=("y",), produces=("a",)),
        ]
    )
    assert ordered(graph) == [2, 1, 0]
    assert graph.required == {"x": ("middle", "first")}
    assert graph.optional == {"y": ("first",)}
    assert graph.makers == {"a": 2, "b": 1}


def test_modules_after_a_filter_wait_for_it_and_are_a_level_up():
    graph = Graph(
        [Node("a", produces=("p",)), Node("f", is_filter=True), Node("b"), Node("g", is_filter=True), Node("c")]
    )
    assert graph.levels == (0, 0, 1, 1, 2)
    assert graph.filters == ("f", "g")
    order = ordered(graph, max)
    assert order.index(1) < order.index(2)
    assert order.index(3) < order.index(4)
    assert order.index(1) < order.index(3)


def test_independent_modules_are_ready_together():
    ready = Graph([Node("a", produces=("p",)), Node("b"), Node("c", ("p",))]).start()
    assert ready.roots() == [0, 1]
    assert ready.done(1) == []
    assert ready.done(0) == [2]
    assert ready.remaining == 1


def test_an_optional_product_is_waited_for():
    assert ordered(Graph([Node("a", optional=("p",)), Node("b", produces=("p",))])) == [1, 0]


@pytest.mark.parametrize(
    ("nodes", "complaint"),
    [
        ([Node("a"), Node("a")], "two modules are called 'a'"),
        ([Node("a", produces=("p",)), Node("b", produces=("p",))], "modules a and b both make 'p'"),
        ([Node("a", ("p",), produces=("p",))], "module a both consumes and makes p"),
        ([Node("a", produces=("f",)), Node("f", is_filter=True)], "a makes 'f', which is the name of a filter"),
        (
            [Node("a", ("q",), produces=("p",)), Node("b", ("p",), produces=("q",))],
            "wait for each other in a circle: (a -> b -> a|b -> a -> b)",
        ),
        (
            [Node("a", ("p",)), Node("f", is_filter=True), Node("b", produces=("p",))],
            "a consumes 'p' for all events, but module b makes it only for those that pass filter f: list a after that",
        ),
        (
            [Node("f", ("p",), is_filter=True), Node("b", produces=("p",))],
            "f consumes 'p' for all events, but module b makes it only for those that pass filter f",
        ),
    ],
)
def test_graphs_that_cannot_run(nodes, complaint):
    with pytest.raises(WorkflowError, match=complaint):
        Graph(nodes)


def test_a_missing_branch_is_named_with_its_readers_and_its_likes():
    graph = Graph([Node("tagger", ("Jet_ptt",)), Node("other", ("Jet_ptt",), produces=("jets",))])
    with pytest.raises(DataError) as caught:
        graph.check_input({"Jet_pt", "Jet_eta", "run"}, "f.root, tree Events")
    assert str(caught.value) == (
        "f.root, tree Events has no branch 'Jet_ptt', and no module makes it; needed by tagger, other; "
        "similar: Jet_pt, Jet_eta"
    )
    graph.check_input({"Jet_ptt"}, "f.root")


def test_a_misspelt_product_is_recognised():
    graph = Graph([Node("a", produces=("scores",)), Node("b", ("score",))])
    with pytest.raises(DataError, match="similar: scores"):
        graph.check_input({"x"}, "f.root")


def test_a_name_must_not_be_both_branch_and_product_or_filter():
    with pytest.raises(WorkflowError, match=r"module a makes 'x', which f\.root has already"):
        Graph([Node("a", produces=("x",))]).check_input({"x"}, "f.root")
    with pytest.raises(WorkflowError, match="filter x is called like a branch"):
        Graph([Node("x", is_filter=True)]).check_input({"x"}, "f.root")


def test_an_empty_graph():
    graph = Graph([])
    assert graph.start().roots() == []
    assert graph.start().remaining == 0


def test_similar_names():
    assert similar("jet_pt", ["Jet_pt", "MET"]) == "; similar: Jet_pt"
    assert similar("zzz", ["Jet_pt"]) == ""


@st.composite
def workflows(draw: st.DrawFn) -> list[Node]:
    """Nodes of which each consumes products of earlier ones, listed in a random order where filters allow."""
    count = draw(st.integers(1, 8))
    filters = draw(st.lists(st.booleans(), min_size=count, max_size=count))
    nodes = []
    for i in range(count):
        consumed = draw(st.lists(st.integers(0, i - 1), unique=True)) if i else []
        names = [f"p{j}" for j in consumed if not filters[j]]
        produces = () if filters[i] else (f"p{i}",)
        nodes.append(Node(f"m{i}", tuple(names), produces=produces, is_filter=filters[i]))
    # Between two filters the order is free.
    shuffled: list[Node] = []
    block: list[Node] = []
    for node in nodes:
        if node.is_filter:
            shuffled += [*draw(st.permutations(block)), node]
            block = []
        else:
            block.append(node)
    return shuffled + draw(st.permutations(block))


@given(workflows(), st.randoms(use_true_random=False))
def test_every_module_runs_once_and_after_what_it_needs(nodes, random):
    graph = Graph(nodes)
    order = ordered(graph, lambda ready: random.choice(sorted(ready)))
    assert sorted(order) == list(range(len(nodes)))
    for at, i in enumerate(order):
        before = {nodes[j].name for j in order[:at]}
        made = {name for j in order[:at] for name in nodes[j].produces}
        assert set(nodes[i].consumes) <= made
        assert {node.name for node in nodes[:i] if node.is_filter} <= before


@given(st.lists(st.lists(st.integers(0, 5), unique=True, max_size=3), min_size=1, max_size=6))
def test_circles_are_found_exactly_when_there_are_some(wants):
    count = len(wants)
    edges = [[j for j in want if j < count and j != i] for i, want in enumerate(wants)]
    nodes = [Node(f"m{i}", tuple(f"p{j}" for j in edge), produces=(f"p{i}",)) for i, edge in enumerate(edges)]
    left, progress = set(range(count)), True
    while progress:
        free = {i for i in left if not left & set(edges[i])}
        left -= free
        progress = bool(free)
    if left:
        with pytest.raises(WorkflowError, match="circle"):
            Graph(nodes)
    else:
        assert sorted(ordered(Graph(nodes))) == list(range(count))
