"""`make bench-workloads`: each workload direct, as a service, and the ordinary algorithm, with its figure of merit.

=============  ==================================================================
case           what a workload's file says, and what was found of it
measure        the measurement that all have in common
table          what was found, as a table, as Markdown and as JSON
cases/         a file a workload, with a `CASE` in it
=============  ==================================================================
"""
