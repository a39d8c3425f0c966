"""A load generator: many clients in a few processes, what they measure, and what their server counted meanwhile.

:func:`~sonic.study.load.measure.measure` is its face. Processes cut what they count into slices at the same moments;
the parent adds them up to windows, and goes on until windows agree.
"""
