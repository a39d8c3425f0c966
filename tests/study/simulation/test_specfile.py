from __future__ import annotations

import textwrap

import pytest

from sonic.errors import ConfigError
from sonic.study.simulation import specfile
from sonic.study.simulation.specfile import axis, parse, unfold

assert specfile.__doc__ is not None
EXAMPLE = textwrap.dedent(specfile.__doc__.split("::\n\n")[1])


def test_the_grid_is_unfolded() -> None:
    points = parse(EXAMPLE, "SPEC.toml", {"round_trip_ms": (0, 50), "models.ak4.max_rows": (16,)})
    assert [settings["jobs"] for settings, _ in points] == [50, 50, 100, 100, 200, 200]
    settings, spec = points[-1]
    assert settings == {"jobs": 200, "round_trip_ms": 50, "models.ak4.max_rows": 16}
    assert spec.jobs is not None
    assert (spec.jobs.number, spec.servers[0].network.round_trip_ms, spec.models["ak4"].max_rows) == (200, 50, 16)


def test_an_axis_of_the_command_line_takes_the_place_of_the_files() -> None:
    (point,) = parse(EXAMPLE, "SPEC.toml", dict([axis("jobs=7")]))
    assert point[1].jobs is not None
    assert point[1].jobs.number == 7
    assert axis("balancer.policy=random, round_robin") == ("balancer.policy", ("random", "round_robin"))
    assert axis("x=1,2.5,true") == ("x", (1, 2.5, True))


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        (
            "rows = 10",
            "rowz = 10",
            r"SPEC.toml: it has unknown field 'rowz' - at '\$.jobs.modules\[1\]'; similar: rows",
        ),
        ('model = "ak4"', 'model = "ak5"', "no model 'ak5': there are ak4"),
        ("jobs = [50", "jobz = [50", "unknown field 'jobz'; similar: jobs"),
        (
            "number = 100",
            "size = 100",
            r"'size' - at '\$.jobs'; there are modules, number, threads, streams, chunk_events",
        ),
        (
            "max_rows = 500",
            "batch = 500",
            r"'batch' - at '\$.models\[...\]'; there are service, card, fallback, max_rows",
        ),
        ("execution_s = 1e-3", "execution_ms = 1", r"'execution_ms' .*; similar: execution_s"),
        (
            "{round_trip_ms = 10}",
            "{rtt = 10}",
            r"'rtt' - at '\$.servers\[0\].network'; there are round_trip_ms, jitter_ms",
        ),
        ('target = "ak4', 'grid = 3\ntarget = "ak4', "not TOML"),
        ("jobs = [50, 100, 200]", "jobs = 50", "grid.jobs is a list of values, given 50"),
        ("count = 4", "count = 0", "servers.count is above 0, given 0"),
        ("threads = 4", "threads = -1", "jobs.threads is above 0, given -1"),
        ("execution_s = 1e-3", "execution_s = -1", "at least 0"),
        ("cpu_s = 0.93", "cpu_s = -0.93", r"jobs.modules.cpu_s is a finite number of 0 or more, given -0.93"),
        ("count = 4", "count = 4\nfailures = {mttr_s = nan}", "servers.failures.mttr_s is a finite number"),
        ("max_rows = 500", "max_rows = 8", "model ak4 takes 8 rows at most, and is asked for 10 at once"),
        ("rows = 10", "rows = 10\nrequests = 0", "jobs.modules.requests is above 0, given 0"),
        ("count = 4", "count = 4\naccelerators = 0", "servers.accelerators is above 0, given 0"),
        ('target = "ak4', 'window_s = inf\ntarget = "ak4', "window_s is a finite number of 0 or more, given inf"),
        ('target = "ak4', "target = ak4", "SPEC.toml is not TOML"),
        ("[grid]", "[client]\nsettings = {triez = 2}\n[grid]", "client.settings: no setting 'triez'; similar: tries"),
        ("[grid]", "[client]\nsettings = {tries = 'x'}\n[grid]", "SPEC.toml: Expected"),
        ("[grid]", "[clients]\n[grid]", "one of the tables clients, arrivals and jobs"),
        ("[grid]", "[scaling]\n[grid]", "scaling needs one table"),
        ('name = "rest"', 'name = "tagger"', "two modules are called 'tagger'"),
        ("round_trip_ms = 10", "round_trip_ms = 10, loss = 0.6", "SPEC.toml: network: loss must be at most 0.5"),
        ("round_trip_ms = 10", "jitter_ms = 10", "SPEC.toml: network: jitter_ms must be at most half of round_trip_ms"),
        ("[jobs]", "[[servers]]\n[balancer]\n[jobs]", "SPEC.toml: servers behind a balancer are in one place"),
    ],
)
def test_errors_say_what_and_where(old: str, new: str, text: str) -> None:
    assert old in EXAMPLE
    with pytest.raises(Exception, match=text) as raised:
        parse(EXAMPLE.replace(old, new), "SPEC.toml")
    assert isinstance(raised.value, ConfigError) or "two modules" in text


def test_jobs_whose_events_take_no_time_would_never_end() -> None:
    free = EXAMPLE.replace("cpu_s = 0.93", "cpu_s = 0").replace("cpu_s = 0.06", "cpu_s = 0")
    parse(free, "SPEC.toml", {"mode": ("service",)})
    with pytest.raises(ConfigError, match="events take no time"):
        parse(free, "SPEC.toml", {"mode": ("direct",)})


@pytest.mark.parametrize("name", ["rate", "rows"])
def test_arrivals_have_a_rate_and_rows(name: str) -> None:
    tree = {"target": "t", "models": {"m": {"service": {"execution_s": 0.01}}}, "servers": [{}]}
    with pytest.raises(ConfigError, match=f"arrivals.{name} is above 0, given 0"):
        unfold({**tree, "arrivals": {"rate": 1, name: 0}}, "here")


@pytest.mark.parametrize("text", ["jobs", "jobs=", "=1", ""])
def test_an_axis_has_a_name_and_values(text: str) -> None:
    with pytest.raises(ConfigError, match="an axis is NAME=VALUE"):
        axis(text)


def test_an_axis_goes_nowhere_without_a_table() -> None:
    with pytest.raises(ConfigError, match="there is nothing of that name"):
        parse(EXAMPLE, "SPEC.toml", {"target.x": (1,)})


def test_a_grid_is_a_table() -> None:
    with pytest.raises(ConfigError, match="here: grid is a table of lists, given 3"):
        unfold({"grid": 3}, "here")
