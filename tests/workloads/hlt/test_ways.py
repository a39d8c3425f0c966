from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import sonic
from sonic.workloads.hcal.geometry import channels
from sonic.workloads.hlt.local import FACILE
from sonic.workloads.hlt.shares import path_ms
from sonic.workloads.hlt.ways import WAYS, Routed, Way, run_ways

if TYPE_CHECKING:
    from pathlib import Path


class Named:
    """Gives models that know who gave them."""

    def __init__(self, name: str) -> None:
        self.name = name

    def model(self, *what: Any) -> Any:
        return self.name, *what


def test_a_model_comes_from_who_has_it() -> None:
    routed = Routed(("a",), Named("remote"), Named("local"))
    assert routed.model("a", "1", ("y",), 5) == ("remote", "a", "1", ("y",), 5)
    assert routed.model("b") == ("local", "b", "", (), 0)


def test_the_ways_differ_in_where_and_how(hlt_file: Path, hlt_server: str) -> None:
    pytest.importorskip("fastjet")
    assert {way.hcal for way in WAYS.values()} == {"fit", FACILE, "facile-v2"}
    ways = {"here": Way(FACILE), "there": Way(FACILE, (FACILE,))}
    with sonic.Client([hlt_server], fallback=False) as client:
        models = [client.model(name) for name in (FACILE, "track_fit", "particlenet-ak4")]
        before = [model.statistics().inference_count for model in models]
        reports = run_ways(hlt_file, hlt_server, ways)
        served = [model.statistics().inference_count - count for model, count in zip(models, before, strict=True)]
    assert served == [4 * len(channels()), 0, 0]  # the channels of four events, once
    assert list(reports) == list(ways)
    assert reports["here"].summaries == reports["there"].summaries
    assert {"hcal", "jets", "finder", "tagger"} <= path_ms(reports["there"]).keys()
