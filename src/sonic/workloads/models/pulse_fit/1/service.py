"""The pulse fit of the hadron calorimeter, as a model of a repository."""

from sonic.workloads.hcal.service import pulse_fit as pulse_fit
