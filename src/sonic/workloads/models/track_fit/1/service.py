"""The track fit, as a model of a repository."""

from sonic.workloads.tracking.service import track_fit as track_fit
