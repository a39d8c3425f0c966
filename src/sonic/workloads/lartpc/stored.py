"""The scores that ProtoDUNE's analysis files have: those of the experiment's own network, averaged over particles.

The layout is that of the tree ``pduneana/beamana``. It has no score of a single hit: for each reconstructed particle
there are the means over its hits, and how many these are; so ours are averaged likewise to stand beside them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import awkward as ak
import numpy as np
import uproot

from sonic.errors import DataError

if TYPE_CHECKING:
    import os

    from sonic.workloads.lartpc.chamber import Floats, Ints

TREE = "pduneana/beamana"
SCORES = ("track", "em", "michel")
_BEAM, _DAUGHTER = "reco_beam_PFP", "reco_daughter_PFP"
_ABSENT = -999


class ParticleScores(NamedTuple):
    """Scores averaged over the hits of particles.

    Attributes
    ----------
    track, em, michel : float array [particles]
    hits : int array [particles]
    """

    track: Floats
    em: Floats
    michel: Floats
    hits: Ints


def particle_scores(file: str | os.PathLike[str], *, collection: bool = False) -> ParticleScores:
    """Read the scores of the beam's particle and of its daughters, of all events.

    Parameters
    ----------
    file : path
    collection : bool
        Whether over the hits of the collection plane alone.

    Raises
    ------
    DataError
        If the file cannot be read, or is of another layout.
    """
    end = "_collection" if collection else ""
    names = [f"{score}Score{end}" for score in SCORES]
    branches = [f"{who}_{name}" for who in (_BEAM, _DAUGHTER) for name in (*names, "nHits")]
    if collection:
        branches.append(f"{_DAUGHTER}_nHits_collection")
    read = _read(file, branches)
    columns = [np.concatenate([_flat(read[f"{who}_{name}"]) for who in (_BEAM, _DAUGHTER)]) for name in names]
    # The beam's particle has its hits on all planes alone.
    of_daughters = _flat(read[f"{_DAUGHTER}_nHits{end}"])
    hits = np.concatenate([_flat(read[f"{_BEAM}_nHits"]), of_daughters])
    there = columns[0] != _ABSENT
    track, em, michel = (column[there].astype(float) for column in columns)
    return ParticleScores(track, em, michel, hits[there].astype(np.int64))


def average(scores: dict[str, Floats], particle: Ints) -> ParticleScores:
    """Average scores of hits over the particles that they are of, noise left out.

    Parameters
    ----------
    scores : dict of str to float array [hits]
        By :data:`SCORES`.
    particle : int array [hits]
        Numbers of particles; those below 0 are of none.
    """
    mine = particle >= 0
    hits = np.bincount(particle[mine])
    seen = hits > 0
    means = [np.bincount(particle[mine], scores[name][mine])[seen] / hits[seen] for name in SCORES]
    return ParticleScores._make([*means, hits[seen]])


def _read(file: str | os.PathLike[str], branches: list[str]) -> ak.Array:
    try:
        with uproot.open(file) as opened:
            tree = opened[TREE]
            absent = [name for name in branches if name not in tree]
            if absent:
                raise DataError(f"{file}, tree {TREE} has no branch {absent[0]!r}")
            return tree.arrays(branches)
    except (OSError, KeyError, ValueError) as error:
        raise DataError(f"{file} is no analysis file of ProtoDUNE: {error}") from error


def _flat(column: ak.Array) -> np.ndarray:
    return np.asarray(ak.flatten(column, axis=None))
