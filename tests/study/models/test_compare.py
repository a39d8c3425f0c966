"""All models on all series of a study."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

pytest.importorskip("iminuit")

from sonic.errors import ConfigError, DataError
from sonic.study.models.compare import MODELS, as_json, compare
from sonic.study.models.fit import models
from sonic.study.models.queues import queue
from sonic.study.records import Record

if TYPE_CHECKING:
    from collections.abc import Callable

CLIENTS = np.array([1.0, 2, 4, 8, 12, 16, 24, 32])


@pytest.fixture
def records(make: Callable[..., Record]) -> list[Record]:
    rates = queue().predict(CLIENTS, np.array([0.02, 0.002]))
    return [make(rate, settings={"clients": int(n)}) for n, rate in zip(CLIENTS, rates, strict=True)]


def test_the_model_that_made_them_is_best_and_predicts_the_saturation(records: list[Record]) -> None:
    (found,) = compare([*records, Record(**{**_fields(records[0]), "status": "unstable"})])
    assert found.fits[0].model.name == "mva"
    assert sorted(each.model.name for each in found.fits) == sorted(MODELS)
    assert found.measured.clients == pytest.approx(found.fits[0].saturation.value, rel=0.1)


def test_names_are_those_of_the_models(records: list[Record]) -> None:
    (found,) = compare(records, names=["amdahl"])
    assert [each.model.name for each in found.fits] == ["amdahl"]
    assert {each.name for each in models(found.series)} == set(MODELS)
    with pytest.raises(ConfigError, match="no model 'ammdahl': there are protodune, amdahl"):
        compare(records, names=["ammdahl"])


def test_few_points_leave_what_can_be_fitted(records: list[Record]) -> None:
    (found,) = compare(records[:3])
    assert {each.model.name for each in found.fits} == {"protodune", "amdahl", "mva"}
    assert found.refused == ("usl, mva-instances, mva-batching: 3 parameters need more points than that, given 3",)
    with pytest.raises(DataError, match="facile: no fit: protodune, amdahl, mva: 2 parameters need more points"):
        compare(records[:1])


def test_a_series_with_too_few_points_does_not_keep_others_from_being_fitted(
    records: list[Record], make: Callable[..., Record]
) -> None:
    alone = make(10.0, settings={"clients": 1, "protocol": "http"})
    few, enough = sorted(compare([*records, alone], names=["mva"]), key=lambda each: len(each.fits))
    assert few.fits == ()
    assert few.refused == ("mva: 2 parameters need more points than that, given 1",)
    assert enough.fits[0].model.name == "mva"
    assert as_json(few)["fits"] == []


def test_simulated_jobs_stand_for_clients(make: Callable[..., Record]) -> None:
    made = [Record(**{**_fields(make(50.0 * min(n, 5))), "settings": {"jobs": n}}) for n in (1, 2, 4, 8, 16)]
    (found,) = compare(made, names=["protodune"])
    assert found.fits[0].knee.value == pytest.approx(5, rel=0.01)
    assert found.x == as_json(found)["x"] == "jobs"


def test_points_of_a_rate_lack_clients(make: Callable[..., Record]) -> None:
    made = [Record(**{**_fields(make(rate)), "settings": {"rate": rate}}) for rate in (10.0, 20.0, 30.0)]
    with pytest.raises(DataError, match="no record has a number for 'clients': they have rate"):
        compare(made)


def test_json_has_no_infinite_numbers(records: list[Record]) -> None:
    (found,) = compare(records[:3])
    told = json.loads(json.dumps(as_json(found), allow_nan=False))
    assert told["clients"] == [1, 2, 4]
    assert told["fits"][0]["aicc"] is None
    assert told["measured"]["clients"] is None


def test_json_has_bounds_where_points_give_no_value(make: Callable[..., Record]) -> None:
    made = [make(50.0 * n, settings={"clients": n}) for n in (1, 2, 4, 8, 16)]
    (told,) = as_json(compare(made, names=["protodune"])[0])["fits"]
    assert told["bounded"] == ["service_s"]
    assert told["capacity"] == {"value": None, "error": None, "at_least": pytest.approx(800, rel=0.05), "at_most": None}
    assert told["parameters"]["service_s"]["at_most"] == pytest.approx(1 / 800, rel=0.05)
    assert told["parameters"]["ideal_s"]["value"] == pytest.approx(0.02)


def _fields(record: Record) -> dict[str, object]:
    return {name: getattr(record, name) for name in record.__struct_fields__}
