"""The track fit as a service: ``sonic serve sonic.workloads.tracking.service:track_fit``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sonic.server.backends.services import service
from sonic.workloads.tracking.detector import BARREL
from sonic.workloads.tracking.kalman import fit

if TYPE_CHECKING:
    import numpy as np

    from sonic.workloads.tracking.detector import Floats

SOURCE = f"{__name__}:track_fit"
"""What :func:`sonic.serve` and ``local:`` know it by."""


@service(
    inputs={"hits": f"FP64[-1,{len(BARREL)},2]"},
    outputs={
        "parameters": "FP64[-1,5]",
        "covariance": "FP64[-1,5,5]",
        "chi2": "FP64[-1]",
        "degrees_of_freedom": "INT32[-1]",
        "good": "BOOL[-1]",
    },
    max_batch=4096,
)
def track_fit(hits: Floats) -> dict[str, np.ndarray]:
    """Fit tracks; see :func:`sonic.workloads.tracking.kalman.fit`.

    Parameters
    ----------
    hits : float array [tracks, layers, 2]
        phi and z in mm; NaN where there is none.
    """
    return dict(fit(hits)._asdict())
