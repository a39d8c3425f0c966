from __future__ import annotations

import awkward as ak
import numpy as np
import pytest

from sonic.client.conversion.texts import content_of


@pytest.mark.parametrize("rows", [0, 3])
def test_texts_and_numbers(rows: int) -> None:
    texts = np.array([[b"a", b""], [b"b\xff", b"c"], [b"", b"d"]], object)[:rows]
    content = content_of(texts)
    assert ak.Array(content).to_list() == texts.tolist()
    assert str(ak.Array(content).type) == f"{rows} * 2 * bytes"
    numbers = np.ones((rows, 2), np.float32)
    assert str(ak.Array(content_of(numbers, regulararray=True)).type) == f"{rows} * 2 * float32"
