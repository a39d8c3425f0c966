from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic.errors import ConfigError
from sonic.study.scan.spec import parse, server_of


def _settings(text: str) -> list[dict[str, object]]:
    return [point.settings for point in parse(f'target = "m"\n{text}').points]


def test_a_grid_is_every_combination() -> None:
    found = _settings("[fixed]\nrows = 10\n[grid]\nclients = [1, 2]\nprotocol = ['grpc', 'http']")
    assert len(found) == 4
    assert {(each["clients"], each["protocol"]) for each in found} == {
        (1, "grpc"), (1, "http"), (2, "grpc"), (2, "http"),
    }  # fmt: skip
    assert all(each["rows"] == 10 for each in found)


def test_zipped_axes_go_side_by_side() -> None:
    found = _settings(
        "[grid]\nclients = [1, 2]\n[[zip]]\nbatching = [false, true]\ndelay_us = [0, 100]\n[[zip]]\ncores = [1, 2]"
    )
    assert len(found) == 8
    assert {(each["batching"], each["delay_us"]) for each in found} == {(False, 0), (True, 100)}
    assert {each["cores"] for each in found} == {1, 2}


def test_without_axes_there_is_one_point() -> None:
    spec = parse(
        'target = "m"\nserver = "grpc://gpu01:8001"\nabout = "One."\n[measure]\nrepeats = 5\nshapes = {x = [1, 3]}'
    )
    assert [str(point) for point in spec.points] == ["m protocol=grpc"]
    assert (spec.server, spec.about) == ("grpc://gpu01:8001", "One.")
    assert spec.measure == {"repeats": 5, "shapes": {"x": (1, 3)}}
    assert spec.varied == ()


def test_several_targets() -> None:
    assert [point.target for point in parse('target = ["a", "b"]\n[grid]\nclients = [1, 2]').points] == list("aabb")


_grids = st.fixed_dictionaries(
    {},
    optional={
        "clients": st.lists(st.integers(1, 99), min_size=1, max_size=3, unique=True),
        "instances": st.lists(st.integers(1, 9), min_size=1, max_size=3, unique=True),
        "round_trip_ms": st.lists(st.integers(0, 99), min_size=1, max_size=3, unique=True),
        "cores": st.lists(st.integers(1, 9), min_size=1, max_size=3, unique=True),
        "conditions": st.just(["relay", "netem"]),
    },
)


@given(_grids)
def test_all_points_of_a_server_stand_together(grid: dict[str, list[object]]) -> None:
    lines = [f"{name} = {str(values).replace(chr(39), chr(34))}" for name, values in grid.items()]
    points = parse("\n".join(['target = "m"', "[grid]", *lines])).points
    expected = 1
    for values in grid.values():
        expected *= len(values)
    assert len({str(point) for point in points}) == len(points) == expected
    servers = [server_of(point) for point in points]
    changes = sum(one != other for one, other in pairwise(servers))
    assert changes == len(set(servers)) - 1


def test_points_read_as_they_are_written() -> None:
    spec = parse('target = "m"\n[fixed]\nround_trip_ms = 2.50\nbatching = true\nclients = 3')
    assert str(spec.points[0]) == "m clients=3 round_trip_ms=2.5 batching=true"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("target = ", "Invalid value"),
        ('targets = "m"', "there is no key targets; similar: target"),
        ('target = "m"\nclients = 4', r"there is no key clients; clients goes into \[fixed\] or \[grid\]"),
        ("[grid]\nclients = [1]", "target is the name of a model or workflow, or a list of them, given None"),
        ('target = "m"\n[server]\ncores = 1', "server is the URL of one"),
        ('target = "m"\n[grid]\nclient = [1]', r"\[grid\]: there is no setting client; similar: clients"),
        ('target = "m"\n[grid]\nclients = 4', r"\[grid\]: clients is a list of values, given 4"),
        ('target = "m"\n[grid]\nclients = []', r"\[grid\]: clients is a list of values, given \[\]"),
        ('target = "m"\n[grid]\nclients = [1, 1]', "clients has a value twice"),
        ('target = "m"\ngrid = 4', r"grid is a table, \[grid\], given 4"),
        ('target = "m"\nzip = 4', r"zip is a table, or several: \[\[zip\]\]"),
        ('target = "m"\n[fixed]\nrows = 1\n[grid]\nrows = [1]', "rows is set twice"),
        (
            'target = "m"\n[[zip]]\nrows = [1, 2]\ncores = [1]',
            "as many values of each are expected, given: rows has 2, cores",
        ),
        ('target = "m"\nload = 4', "there is no key load; there are target, about, server, "),
        (
            'target = "m"\n[fixed]\nwarmup_s = 1.0',
            r"\[fixed\]: there is no setting warmup_s; warmup_s goes into \[measure\]",
        ),
        ('target = "m"\n[grid]\nseed = [1]', r"\[grid\]: there is no setting seed; seed goes into \[measure\]"),
        ('target = "m"\n[measure]\nwindow = 1', r"\[measure\]: there is no setting window; similar: window"),
        ('target = "m"\n[measure]\nwindow_s = "1"', "window_s is a number, given '1'"),
        ('target = "m"\n[measure.shapes]\nx = [-1]', r"the shape of x is a list of whole numbers, given \[-1\]"),
        ('target = "m"\n[measure]\nwindow_s = -1', r"\[measure\]: window_s is 0.01 or more, below 1e.09; given -1"),
        ('target = "m"\n[measure]\nclients = 1', r"there is no setting clients; clients goes into \[fixed\]"),
        ('target = "m"\nrounds = 3', "there is no key rounds; rounds goes into .measure."),
        ('target = "m"\n[measure]\nrounds = 0', r"\[measure\]: rounds is 1 or more; given 0"),
        ('target = "m"\n[measure]\nrounds = 2.5', r"\[measure\]: rounds is a whole number, given 2.5"),
        (
            'target = "m"\n[grid]\nclients = [1, 2]\n[measure]\nrounds = 60000',
            "at most 100,000 points, given 2 in 60,000 rounds",
        ),
        ('target = "m"\nmetrics = 8002', "metrics is a text, given 8002"),
        ('target = "m"\nserver = "gpu01"', "'gpu01' is not a URL of a server"),
        ('target = "m"\nserver = "http://a"\n[fixed]\nprotocol = "grpc"', "protocol is set twice"),
        (
            'target = "m"\nserver = "http://a?compression=gzip"\n[grid]\ncompression = ["none"]',
            "compression is set twice",
        ),
        ('target = "m"\nserver = "grpcs://a"\n[fixed]\nloss = 0.1', "loss needs a network, but protocol is grpcs"),
        ('target = "m"\n[fixed]\njitter_ms = 1', "jitter_ms must be at most half of round_trip_ms"),
        ('target = "m"\n[fixed]\nprotocol = "local"\nloss = 0.1', "loss needs a network, but protocol is local"),
        ('target = "m"\n[fixed]\nprotocol = "local"\ncompression = "gzip"', "compression is for what goes over a wire"),
        ('target = "m"\n[fixed]\nrate = 10\nclients = 1', "rate is of an open loop and clients of a closed one"),
        ('target = "m"\n[fixed]\nclients = 1\narrivals = "constant"', "arrivals is of an open loop: set rate, too"),
        ('target = ["m", "m"]\n[fixed]\nclients = 1', "a point is there twice: m clients=1"),
        ('target = "m"\n[[zip]]\nrows = [1, 1]\nclients = [2, 2]', "a point is there twice: m clients=2 rows=1"),
        ('target = "m"\n[fixed]\nbatching = false\ndelay_us = 10', r"batching is false, but delay_us .* pair them"),
        ('target = "m"\n[fixed]\nbackend = "pytorch"', "needs weights = .random."),
        ('target = "m"\nserver = "grpc://a"\n[fixed]\ncores = 1', "cores is for servers that the scan starts"),
        (
            'target = "m"\nserver = "grpc://a"\n[fixed]\nconditions = "netem"',
            ".netem. is for servers that the scan starts",
        ),
        (
            f'target = "m"\n[grid]\nclients = {list(range(1, 400))}\nrows = {list(range(1, 400))}',
            "at most 100,000 points",
        ),
    ],
)
def test_what_is_wrong_is_named(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        parse(text, "mine.toml")
    assert str(caught.value).startswith("mine.toml")
    assert "\n" not in str(caught.value)
