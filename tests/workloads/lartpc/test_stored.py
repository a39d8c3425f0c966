from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import uproot

from sonic.errors import DataError
from sonic.workloads.lartpc.stored import average, particle_scores

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.data
def test_the_scores_of_an_analysis_file(shared_data: Path) -> None:
    file = shared_data / "data" / "pduneana.root"
    everywhere, collection = (particle_scores(file, collection=only) for only in (False, True))
    assert everywhere.hits.tolist() == [1020, 239, 8, 25, 1725, 259, 1573, 1173, 567, 1092]
    assert everywhere.track[:2] == pytest.approx([0.0325, 0.0373], abs=1e-4)
    for scores in (everywhere, collection):
        for values in scores[:3]:
            assert ((values >= 0) & (values <= 1)).all()
        # The third of the kinds, none, is not stored: little is left for it.
        assert (scores.track + scores.em) == pytest.approx(1.0, abs=0.1)
        assert len(scores.hits) == len(scores.track)


def test_files_of_another_layout_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent\.root is no analysis file of ProtoDUNE"):
        particle_scores(tmp_path / "absent.root")
    with uproot.recreate(tmp_path / "other.root") as file:
        file.mktree("Events", {"x": "float32"})
    with pytest.raises(DataError, match=r"other\.root is no analysis file of ProtoDUNE"):
        particle_scores(tmp_path / "other.root")
    with uproot.recreate(tmp_path / "poor.root") as file:
        file.mktree("pduneana/beamana", {"run": "int32"})
    with pytest.raises(DataError, match="has no branch 'reco_beam_PFP_trackScore'"):
        particle_scores(tmp_path / "poor.root")


def test_scores_of_hits_are_averaged_over_particles() -> None:
    track, em = np.array([1.0, 0.5, 0.2, 0.9]), np.array([0.0, 0.5, 0.8, 0.1])
    found = average({"track": track, "em": em, "michel": np.zeros(4)}, np.array([3, 3, 0, -1]))
    assert found.track.tolist() == [0.2, 0.75]
    assert found.em.tolist() == [0.8, 0.25]
    assert found.hits.tolist() == [1, 2]
    none = average({"track": track, "em": em, "michel": em}, np.full(4, -1))
    assert len(none.hits) == len(none.track) == 0
