"""The workflow ``ecal``: energies of electrons by DeepCalo, beside the window's, compared with the truth if there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import awkward as ak
import hist
import numpy as np

from sonic.framework import Analyzer, Offload, Producer, Workflow
from sonic.workloads import MODELS
from sonic.workloads.ecal.calibration import energies, sums
from sonic.workloads.ecal.geometry import CELL_ETA, ENERGIES_GEV
from sonic.workloads.ecal.images import images
from sonic.workloads.uncertainties import central_of_histogram

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from sonic.framework.module import Columns

CELL_BRANCHES = ("Cell_cluster", "Cell_layer", "Cell_ieta", "Cell_iphi", "Cell_energy")
CLUSTER_BRANCHES = ("Cluster_ieta", "Cluster_iphi")
_FEW = 10


def cluster_images(events: ak.Array) -> NDArray[np.float32]:
    """Draw all clusters of events.

    Parameters
    ----------
    events : ak.Array
        With :data:`CLUSTER_BRANCHES` and :data:`CELL_BRANCHES`. ``Cell_cluster`` is the number of the cell's cluster
        in its event; cells of none there is are left out.

    Returns
    -------
    float32 array [clusters, 56, 11, 4]
        See :func:`sonic.workloads.ecal.images.images`.
    """
    counts = np.asarray(ak.num(events.Cluster_ieta))
    event = np.repeat(np.arange(len(events)), np.asarray(ak.num(events.Cell_cluster)))
    cluster, layer, ieta, iphi = (_flat(events[name]).astype(np.int64) for name in CELL_BRANCHES[:4])
    there = (cluster >= 0) & (cluster < counts[event])
    owner = np.where(there, (np.cumsum(counts) - counts)[event] + cluster, -1)
    seed_ieta, seed_iphi = (_flat(events[name]).astype(np.int64) for name in CLUSTER_BRANCHES)
    return images(seed_ieta, seed_iphi, owner, layer, ieta, iphi, _flat(events.Cell_energy))


class WindowEnergy(Producer):
    """Energies by the ordinary way: sums in a window, weighted by layer."""

    name = "window"
    consumes = (*CLUSTER_BRANCHES, *CELL_BRANCHES)
    produces = ("Cluster_windowEnergy", "Cluster_empty")

    def produce(self, events: ak.Array) -> Columns:
        """Calibrate the clusters; one without any energy in its cells is empty, and has none."""
        layers = sums(drawn := cluster_images(events))
        empty = ~drawn.any(axis=(1, 2, 3))
        eta = CELL_ETA * (_flat(events.Cluster_ieta) + 0.5)
        counts = ak.num(events.Cluster_ieta)
        found = np.where(empty, 0.0, energies(layers, eta)).astype(np.float32)
        return {"Cluster_windowEnergy": ak.unflatten(found, counts), "Cluster_empty": ak.unflatten(empty, counts)}


class DeepCaloEnergy(Offload):
    """Energies by DeepCalo: all clusters of a chunk in one request.

    Parameters
    ----------
    model : str
        ``deepcalo-tiny``, which ships, or ``deepcalo``.
    """

    name = "deepcalo"
    consumes = (*CLUSTER_BRANCHES, *CELL_BRANCHES, "Cluster_empty")
    produces = ("Cluster_energy",)

    def __init__(self, model: str = "deepcalo-tiny") -> None:
        self.model = model

    def acquire(self, events: ak.Array) -> Mapping[str, np.ndarray]:
        """Draw the clusters that have something in them."""
        return {"images": cluster_images(events)[~_flat(events.Cluster_empty)]}

    def produce(self, events: ak.Array, outputs: Mapping[str, np.ndarray]) -> Columns:
        """Give each cluster its energy, 0 to an empty one."""
        empty = _flat(events.Cluster_empty)
        found = np.zeros(len(empty), np.float32)
        if "energy" in outputs:
            found[~empty] = outputs["energy"][:, 0]
        return {"Cluster_energy": ak.unflatten(found, ak.num(events.Cluster_empty))}


class EnergyPerformance(Analyzer):
    """Bias and resolution, where the file has the truth."""

    name = "ecal_performance"
    consumes = ("Cluster_energy", "Cluster_windowEnergy", "Cluster_empty")
    optional = ("GenElectron_energy",)

    def analyze(self, events: ak.Array) -> dict[str, Any]:
        """Fill a histogram of what is found over the truth, by the true energy, for each way."""
        if "GenElectron_energy" not in events.fields:
            return {}
        whole = ak.num(events.GenElectron_energy) == ak.num(events.Cluster_empty)  # an electron to each cluster
        kept = ~_flat(events.Cluster_empty[whole])
        true = _flat(events.GenElectron_energy[whole])[kept]
        filled: dict[str, Any] = {}
        for label, branch in (("DeepCalo", "Cluster_energy"), ("window", "Cluster_windowEnergy")):
            energy = hist.axis.Variable(ENERGIES_GEV, name="energy", label="true energy (GeV)")
            ratio = hist.axis.Regular(4000, 0.0, 2.0, name="ratio", label=f"{label}, found / true")
            filled[label] = hist.Hist(energy, ratio).fill(true, _flat(events[branch][whole])[kept] / true)
        return filled

    def summarize(self, total: Mapping[str, Any]) -> Mapping[str, float | int | str]:
        """Bias and resolution by energy: the median, and half the central 68 %."""
        rows: dict[str, float | int | str] = {}
        for label, filled in total.items():
            # Of what is found far too high as well: it counts to the quantiles as what lies at the last edge.
            edges, counts = filled.axes[1].edges, filled.values(flow=True)[1:-1]
            rows["electrons"] = int(filled.sum(flow=True))
            for low, high, part in zip(ENERGIES_GEV, ENERGIES_GEV[1:], counts, strict=False):
                if part.sum() >= _FEW:
                    median, width, _ = central_of_histogram(part, edges)
                    bias, resolution = median.less(1).scaled(100), width.scaled(100)
                    figures = f"bias {bias:+} %, resolution {resolution} %"
                    rows[f"{label}, {low:g} to {high:g} GeV"] = figures
        return rows


def workflow(*, model: str = "deepcalo-tiny") -> Workflow:
    """Return the workflow ``ecal``.

    Parameters
    ----------
    model : str
        The network: ``deepcalo-tiny``, which ships, or ``deepcalo``, from a server or a folder that has it.
    """
    return Workflow(
        name="ecal",
        modules=(WindowEnergy(), DeepCaloEnergy(model), EnergyPerformance()),
        keep=(*CLUSTER_BRANCHES, "Cluster_windowEnergy", "Cluster_empty", "Cluster_energy", "GenElectron_*"),
        models=MODELS,
    )


def _flat(column: ak.Array) -> np.ndarray:
    found: np.ndarray = np.asarray(ak.flatten(column))
    return found
