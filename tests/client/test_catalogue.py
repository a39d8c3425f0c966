from __future__ import annotations

from sonic.client.catalogue import INDEX_S, Catalogue


def test_servers_are_asked_at_first_and_again_after_a_rest() -> None:
    catalogue = Catalogue("ab", 5.0)
    assert catalogue.due(0.0, again=False)
    assert not catalogue.due(100.0, again=False)
    assert not catalogue.due(4.9, again=True)
    assert catalogue.due(5.0, again=True)
    assert not catalogue.due(9.9, again=True)


def test_a_server_that_lacks_a_model_comes_last_while_its_list_is_believed() -> None:
    catalogue = Catalogue("abc", 5.0)
    assert catalogue.last("m", 0.0) == []
    catalogue.listed("a", ["m"], 0.0)
    catalogue.listed("b", ["n"], 0.0)
    assert (catalogue.last("m", 1.0), catalogue.last("n", 1.0)) == (["b"], ["a"])
    assert catalogue.has("a", "m")
    assert not catalogue.has("c", "m")
    assert catalogue.last("m", INDEX_S) == []


def test_a_server_that_refuses_comes_last_for_a_while() -> None:
    catalogue = Catalogue("ab", 5.0)
    catalogue.refused("a", 0.0)
    assert catalogue.last("m", 4.9) == ["a"]
    assert catalogue.last("m", 5.0) == []
    catalogue.refused("a", 6.0)
    catalogue.listed("a", ["m"], 7.0)
    assert catalogue.last("m", 7.0) == []
    catalogue.refused("a", 8.0)
    catalogue.found("a", "n")
    assert catalogue.last("m", 8.0) == []


def test_what_a_server_does_counts_more_than_what_it_said() -> None:
    catalogue = Catalogue("ab", 5.0)
    catalogue.listed("a", ["m"], 0.0)
    catalogue.not_found("a", "m", 1.0)
    assert catalogue.last("m", 2.0) == ["a"]
    catalogue.listed("b", ["n"], 0.0)
    catalogue.found("b", "m")
    assert catalogue.last("m", 2.0) == ["a"]
    catalogue.listed("a", ["m"], 3.0)
    assert catalogue.last("m", 3.0) == []
