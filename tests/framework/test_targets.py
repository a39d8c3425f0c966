from __future__ import annotations

from pathlib import Path

import pytest

from sonic.errors import ConfigError, DataError
from sonic.framework import Target
from sonic.framework.graph import Graph, Node
from sonic.framework.targets import check_targets, choose, targets_of

GRAPH = Graph([Node("Double", ("x",), produces=("y",)), Node("Large", ("x",), is_filter=True)])


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (("*",), (("Jet_pt", "x"), ("y",))),
        (("x", "y"), (("x",), ("y",))),
        (("Jet_*", "none_*"), (("Jet_pt",), ())),
        (("?",), (("x",), ("y",))),
        (("[xy]", "x"), (("x",), ("y",))),
        (("Large",), ((), ())),
        ((), ((), ())),
    ],
)
def test_what_is_kept(patterns, expected):
    assert choose(patterns, ["x", "Jet_pt"], GRAPH) == expected


def test_a_plain_name_must_exist():
    with pytest.raises(DataError) as caught:
        choose(["Jet_ptt"], ["x", "Jet_pt"], GRAPH)
    assert str(caught.value) == "cannot keep 'Jet_ptt': neither a branch of the input nor a product; similar: Jet_pt"


def test_patterns_that_mean_nothing_keep_no_empty_file():
    with pytest.raises(DataError, match=r"nothing to keep: no branch of the input and no product is like Jut_\*, z\?"):
        choose(["Jut_*", "z?"], ["x", "Jet_pt"], GRAPH)


def test_an_output_says_for_itself_what_the_job_says_of_all():
    own = Target("own.root", ("y",), "pass")
    path = Path("b.parquet")
    assert targets_of(None, "mask", ["x"]) == ()
    assert targets_of("a.root", "pass", ["x"]) == (Target("a.root", ("x",), "pass"),)
    assert targets_of(own, "mask", ["x"]) == (own,)
    assert targets_of([path, Target("c.root", filter_output="pass"), own], "mask", ["x"]) == (
        Target(path, ("x",), "mask"),
        Target("c.root", ("x",), "pass"),
        own,
    )


def test_one_name_is_no_sequence_of_its_letters() -> None:
    with pytest.raises(ConfigError, match=r"keep of output o\.root is a sequence of names, given the one 'Jet_pt'"):
        Target("o.root", keep="Jet_pt")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("output", "filter_output"), [(None, "some"), ("a.root", "some"), (Target("a.root", filter_output="some"), "mask")]
)
def test_events_go_there_in_one_of_two_ways(output, filter_output):
    with pytest.raises(ConfigError, match=r"^filter output 'some': expected mask or pass$"):
        targets_of(output, filter_output, [])


def test_an_output_is_no_input_and_no_other_output(tmp_path):
    there, link = tmp_path / "a.root", tmp_path / "link.root"
    there.touch()
    link.symlink_to(there)
    new = tmp_path / "new.root"
    check_targets([Target(new), Target(there)], [str(tmp_path / "b.root"), "root://host//a.root"])
    with pytest.raises(ConfigError, match=r"output .*link.root is also an input"):
        check_targets([Target(new), Target(link)], [str(there)])
    with pytest.raises(ConfigError, match=r"output .*a.root is given twice"):
        check_targets([Target(link), Target(there)], [])
