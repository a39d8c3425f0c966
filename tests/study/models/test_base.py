"""What holds for every model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sonic.study.models.queues import batching, hindered, queue
from sonic.study.models.simple import amdahl, bounds, scalability
from sonic.study.saturation import PART

if TYPE_CHECKING:
    from sonic.study.models.base import Model

CLIENTS = np.arange(1.0, 501.0)
SECONDS = st.floats(1e-3, 0.05)
SERVICE = st.floats(2e-3, 0.05)
KINDS: list[tuple[Model, list[st.SearchStrategy[float]]]] = [
    (bounds(), [SECONDS, SECONDS]),
    (amdahl(), [st.floats(1.0, 1e4), st.floats(0.04, 1.0)]),
    (scalability(), [st.floats(1.0, 1e4), st.floats(0.0, 1.0), st.floats(1e-5, 1.0)]),
    (queue(), [SECONDS, SERVICE]),
    (queue(3), [SECONDS, SERVICE]),
    (hindered(), [SECONDS, SERVICE, st.floats(1.0, 8.0)]),
    (batching(most=8), [SECONDS, SERVICE, SERVICE]),
]


@pytest.mark.parametrize(("model", "ranges"), KINDS, ids=lambda each: getattr(each, "name", ""))
@given(data=st.data())
@settings(max_examples=40)
def test_saturation_is_the_first_number_of_clients_with_95_percent(
    model: Model, ranges: list[st.SearchStrategy[float]], data: st.DataObject
) -> None:
    values = np.array([data.draw(each) for each in ranges])
    wanted = PART * model.capacity(values)
    rate = model.predict(CLIENTS, values)
    # One that reaches it to the last digit alone may or may not count.
    surely, nearly = (int(np.argmax(rate >= (1 + by) * wanted)) + 1 for by in (1e-9, -1e-9))
    assert rate.max() >= wanted
    assert nearly <= np.ceil(model.saturation(values)) <= surely


@pytest.mark.parametrize(
    ("values", "clients"), [([100.0, 0.0, 0.03], 5), ([92.2, 0.0, 0.000479], 34), ([1.0, 0.0, 0.5], 1)]
)
def test_a_narrow_peak_is_found(values: list[float], clients: int) -> None:
    assert np.ceil(scalability().saturation(np.array(values))) == clients
