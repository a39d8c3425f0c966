"""The main job: what PFNano files are made into, with the networks of CMS's MiniAOD production as a service.

The networks are offloaded; the rest runs in the job. Truth and the values that CMSSW stored are used where the file has
them, to compare; nothing depends on them.

=========  ==================================================================
job        the workflows ``miniaod`` and ``miniaod-full``
modules    sums, selections, pairs
offloads   the networks
=========  ==================================================================
"""

from __future__ import annotations

from sonic.workloads.miniaod.job import full, workflow

__all__ = ["full", "workflow"]
