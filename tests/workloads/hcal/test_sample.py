from __future__ import annotations

import numpy as np

from sonic.workloads.hcal.sample import rows


def test_hard_channels_and_some_of_the_others() -> None:
    made = rows(1, seed=2)
    assert made.shape[1] == 18
    assert 15_840 / 20 < len(made) < 15_840 / 4
    assert made[:, 2:10].max() > 30_000  # fC: of some 20 GeV
    assert np.array_equal(made, rows(1, seed=2))
    assert not np.array_equal(made[:50], rows(1, seed=3)[:50])
